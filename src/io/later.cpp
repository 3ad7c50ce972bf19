#include "io/later.h"

#include "io/file.h"

namespace plait::io {
namespace {

void check_unchanged(const ByteSource& source) {
  if (const auto* file = dynamic_cast<const InputFile*>(&source)) file->check_unchanged();
}

}  // namespace

Arrays made_later(const std::shared_ptr<const ByteSource>& source, Avals avals, ReadElements read) {
  if (source->lasting())
    return read_later(std::move(avals), [source, read = std::move(read)](std::span<char* const> to) {
      read(to);
      check_unchanged(*source);
    });
  Arrays out;
  SmallVector<char*, 4> to;
  for (const Aval& aval : avals) {
    Storage storage = allocate_storage(aval);
    to.push_back(storage.data());
    out.push_back(make_evaluated(std::move(storage), aval));
  }
  read(std::span<char* const>(to.begin(), to.end()));
  return out;
}

Array elements_later(const std::shared_ptr<const ByteSource>& source, uint64_t at, Aval aval) {
  const auto bytes = static_cast<uint64_t>(aval.shape.count_value()) * static_cast<uint64_t>(size_of(aval.dtype));
  const bool is_bool = aval.dtype == DType::bool_;
  return made_later(source, {std::move(aval)}, [source = source.get(), at, bytes, is_bool](std::span<char* const> to) {
    read_bytes(*source, at, to[0], bytes);
    if (is_bool) settle_bools(to[0], bytes);
  })[0];
}

}  // namespace plait::io
