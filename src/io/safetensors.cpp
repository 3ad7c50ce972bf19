// The format of https://github.com/huggingface/safetensors: the length of a header in 8 bytes, the header in JSON, and the
// elements of all tensors, row-major and little-endian.
#include "io/safetensors.h"

#include <algorithm>
#include <optional>
#include <set>

#include "io/bytes.h"
#include "io/json.h"
#include "io/later.h"
#include "io/writing.h"

namespace plait::io {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLongestHeader = 100'000'000;  // as the format's own reader has it
constexpr std::string_view kMetadata = "__metadata__";
constexpr uint64_t kAlignment = 8;

struct NamedDType {
  DType dtype;
  std::string_view name;
};
// Each dtype with the name that is written first. Bytes of 8-bit floats come as they are, for from_fp8.
constexpr NamedDType kDTypes[] = {
    {DType::bool_, "BOOL"},  {DType::uint8, "U8"},      {DType::uint16, "U16"},    {DType::uint32, "U32"},
    {DType::uint64, "U64"},  {DType::int8, "I8"},       {DType::int16, "I16"},     {DType::int32, "I32"},
    {DType::int64, "I64"},   {DType::float16, "F16"},   {DType::bfloat16, "BF16"}, {DType::float32, "F32"},
    {DType::float64, "F64"}, {DType::complex64, "C64"}, {DType::uint8, "F8_E4M3"}, {DType::uint8, "F8_E8M0"},
};

std::string_view name_in_file(DType dtype) {
  return std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const NamedDType& d) { return d.dtype == dtype; })
      ->name;
}

struct Tensor {
  std::string name;
  Aval aval;
  uint64_t begin = 0, end = 0;  // in the bytes behind the header
};

class HeaderReader {
 public:
  HeaderReader(const Reading& reading, std::string_view text) : reading_(reading), json_(reading, text) {}

  std::vector<Tensor> tensors;
  Metadata metadata;

  void read() {
    std::set<std::string> names;
    json_.object([&](const std::string& name) {
      if (!names.insert(name).second) reading_.reject("two entries of the name " + name, "each name once");
      if (name == kMetadata)
        texts();
      else
        tensors.push_back(tensor(name));
    });
    json_.finish();
  }

 private:
  void texts() {
    if (json_.null()) return;
    json_.object([&](const std::string& name) {
      if (!metadata.emplace(name, json_.string()).second)
        reading_.reject("two texts of the name " + name, "each name once");
    });
  }

  std::vector<uint64_t> numbers() {
    std::vector<uint64_t> out;
    json_.array([&] { out.push_back(json_.number()); });
    return out;
  }

  Tensor tensor(const std::string& name) {
    std::optional<std::string> dtype;
    std::optional<std::vector<uint64_t>> shape, offsets;
    const auto once = [&](bool given) {
      if (given) reading_.reject("the tensor " + name + " with a property given twice", "each property once");
    };
    json_.object([&](const std::string& property) {
      if (property == "dtype")
        once(dtype.has_value()), dtype = json_.string();
      else if (property == "shape")
        once(shape.has_value()), shape = numbers();
      else if (property == "data_offsets")
        once(offsets.has_value()), offsets = numbers();
      else
        json_.skip();
    });
    if (!dtype || !shape || !offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1])
      reading_.reject("the tensor " + name + " without a dtype, a shape or two data_offsets in order", "all of them");
    Tensor out{name, {{}, dtype_of(name, *dtype)}, (*offsets)[0], (*offsets)[1]};
    const uint64_t bytes = checked_bytes(reading_, "the tensor " + name, *shape, size_of(out.aval.dtype));
    if (bytes != out.end - out.begin)
      reading_.reject("the tensor " + name + " in " + std::to_string(out.end - out.begin) + " bytes",
                      std::to_string(bytes) + " bytes, as its shape and dtype say");
    out.aval.shape = shape_of(*shape);
    return out;
  }

  DType dtype_of(const std::string& name, const std::string& dtype) const {
    for (const NamedDType& known : kDTypes)
      if (known.name == dtype) return known.dtype;
    std::string all;
    for (const NamedDType& known : kDTypes) all += (all.empty() ? "" : ", ") + std::string(known.name);
    reading_.reject("the tensor " + name + " of type " + dtype, all, "no array has elements of this type");
  }

  const Reading& reading_;
  JsonReader json_;
};

// Bytes that two tensors share or that none has could hide another file.
void check_places(const Reading& reading, std::vector<Tensor>& tensors, uint64_t bytes) {
  std::sort(tensors.begin(), tensors.end(),
            [](const Tensor& a, const Tensor& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  uint64_t end = 0;
  for (const Tensor& t : tensors) {
    if (t.begin != end || t.end > bytes)
      reading.reject("the tensor " + t.name + " at bytes " + std::to_string(t.begin) + " to " + std::to_string(t.end),
                     "tensors one behind the other, in the " + std::to_string(bytes) + " bytes behind the header");
    end = t.end;
  }
  if (end != bytes) reading.reject(std::to_string(bytes - end) + " bytes behind the last tensor", "none");
}

void check_name(std::string_view op, std::string_view what, const std::string& name) {
  if (!is_utf8(name) || name == kMetadata)
    throw FileError({.op = std::string(op),
                     .got = std::string(what) + " " + name,
                     .accepts = "UTF-8, and other names than " + std::string(kMetadata)});
}

}  // namespace

Loaded read_safetensors(const Reading& reading, const std::shared_ptr<const ByteSource>& source) {
  const uint64_t size = source->size();
  if (size < kLengthBytes) reading.reject(std::to_string(size) + " bytes", "a safetensors file, of 8 bytes and more");
  const std::string start = read_text(*source, 0, kLengthBytes);
  const uint64_t length = ByteReader(reading.op, reading.file, start).u64();
  if (length > std::min(kLongestHeader, size - kLengthBytes))
    reading.reject("a header of " + std::to_string(length) + " bytes",
                   "one that the file holds, and at most " + std::to_string(kLongestHeader) + " bytes");
  const std::string text = read_text(*source, kLengthBytes, length);
  HeaderReader header(reading, text);
  header.read();
  const uint64_t from = kLengthBytes + length;
  check_places(reading, header.tensors, size - from);
  Loaded out;
  out.metadata = std::move(header.metadata);
  for (Tensor& t : header.tensors)
    out.arrays.emplace(std::move(t.name), elements_later(source, from + t.begin, std::move(t.aval)));
  return out;
}

// The tensors of the widest elements come first, and the header is filled up with spaces: so each of them is aligned, and
// whoever maps the file can use it where it lies.
void write_safetensors(ByteSink& to, const NamedArrays& arrays, const TextMetadata& metadata) {
  constexpr const char* op = "save_safetensors";
  std::vector<const NamedArrays::value_type*> order;
  for (const auto& item : arrays) {
    check_name(op, "a tensor of the name", item.first);
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  std::map<std::string_view, int64_t> places;
  int64_t end = 0;
  for (const auto* item : order) {
    places[item->first] = end;
    end += item->second.nbytes();
  }
  std::string header = "{";
  for (const auto& [name, text] : metadata) {
    check_name(op, "a text of the name", name);
    check_name(op, "the text", text);
    header += (header.size() == 1 ? json_string(kMetadata) + ":{" : ",") + json_string(name) + ":" + json_string(text);
  }
  if (!metadata.empty()) header += "}";
  for (const auto& [name, array] : arrays) {
    std::string shape;
    for (const Dim& d : array.shape()) shape += (shape.empty() ? "" : ",") + std::to_string(d.value());
    const int64_t place = places[name];
    header += (header.size() == 1 ? "" : ",") + json_string(name) + ":{\"data_offsets\":[" + std::to_string(place) +
              "," + std::to_string(place + array.nbytes()) + "],\"dtype\":\"" +
              std::string(name_in_file(array.dtype())) + "\",\"shape\":[" + shape + "]}";
  }
  header += "}";
  header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (header.size() > kLongestHeader)
    throw FileError({.op = op,
                     .got = "names and texts of " + std::to_string(header.size()) + " bytes",
                     .accepts = "at most " + std::to_string(kLongestHeader)});
  ByteWriter length;
  length.u64(header.size());
  to.write(length.bytes().data(), length.size());
  to.write(header.data(), header.size());
  for (const auto* item : order) {
    const auto elements = elements_of(item->second);
    to.write(elements.data(), elements.size());
  }
}

}  // namespace plait::io
