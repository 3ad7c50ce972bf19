#include "ops/read_later.h"

#include "ops/prelude.h"

namespace plait {
namespace {

struct ReadLaterAttrs {
  Avals avals;
  ReadElements read;
};

Avals infer_read_later(const ReadLaterAttrs& attrs, std::span<const Aval>) { return attrs.avals; }

std::vector<Storage> fetched(const Avals& avals, const ReadElements& read) {
  std::vector<Storage> out;
  SmallVector<char*, 4> to;
  for (const Aval& aval : avals) {
    out.push_back(allocate_storage(aval));
    to.push_back(out.back().data());
  }
  read(std::span<char* const>(to.begin(), to.end()));
  return out;
}

void run_read_later(const ReadLaterAttrs& attrs, const Node&, const ControlArgs& at) {
  std::vector<Storage> all = fetched(attrs.avals, attrs.read);
  std::move(all.begin(), all.end(), at.outputs.begin());
}

}  // namespace

Arrays read_later(Avals avals, ReadElements read) {
  static const OpHandle op("read_later");
  if (LevelFloor::current() == 0)
    return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<ReadLaterAttrs>({std::move(avals), std::move(read)})), {});
  Arrays out;
  size_t k = 0;
  for (Storage& storage : fetched(avals, read)) out.push_back(make_evaluated(std::move(storage), avals[k++]));
  return out;
}

void register_read_later(OpRegistry& ops) {
  ops.control<ReadLaterAttrs>("read_later")
      .summary("Elements that a file holds, read when they are first needed.")
      .infer(infer_read_later)
      .run(run_read_later)
      .no_export("it refers to a file")
      .not_differentiable("it has no array operand")
      .no_vmap("it has no array operand");
}

}  // namespace plait
