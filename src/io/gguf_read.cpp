#include <algorithm>
#include <bit>
#include <cstring>

#include "base/interrupt.h"
#include "io/gguf.h"
#include "io/gguf_blocks.h"
#include "io/later.h"

namespace plait::io {
namespace {

using namespace gguf;

constexpr uint64_t kGroup = 32;  // elements of a scale
constexpr uint64_t kPiece = uint64_t{8} << 20;

/// Numbers and texts from the start of a source on, whose end nobody knows before.
class Cursor {
 public:
  Cursor(const Reading& reading, const ByteSource& source) : reading_(reading), source_(source) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return source_.size() - at_; }

  template <class T>
  T number() {
    T v{};
    bytes(reinterpret_cast<char*>(&v), sizeof v);
    return v;
  }
  std::string text() {
    const uint64_t length = counted(1, "bytes of a text");
    std::string out(length, '\0');
    bytes(out.data(), length);
    return out;
  }
  /// A number of things that take at least `each` bytes: never more than can follow.
  uint64_t counted(uint64_t each, const char* what) {
    const auto n = number<uint64_t>();
    if (n > left() / each)
      reading_.reject(std::to_string(n) + " " + what,
                      "at most " + std::to_string(left() / each) + ", which the bytes left hold");
    return n;
  }
  void bytes(char* to, uint64_t count) {
    if (count > left()) reading_.reject("the end within the header", "whole files");
    while (count > 0) {
      if (at_ < begin_ || at_ >= begin_ + buffer_.size()) refill();
      const uint64_t offset = at_ - begin_, n = std::min(count, buffer_.size() - offset);
      std::memcpy(to, buffer_.data() + offset, n);
      to += n;
      at_ += n;
      count -= n;
    }
  }

 private:
  void refill() {
    poll_interrupt();
    begin_ = at_;
    buffer_ = read_text(source_, at_, std::min<uint64_t>(left(), uint64_t{1} << 16));
  }

  const Reading& reading_;
  const ByteSource& source_;
  uint64_t at_ = 0, begin_ = 0;
  std::string buffer_;
};

struct Tensor {
  std::string name;
  const TensorType* type = nullptr;
  std::vector<uint64_t> extents;  // from the outermost on
  uint64_t offset = 0, bytes = 0;
};

class Reader {
 public:
  Reader(const Reading& reading, const std::shared_ptr<const ByteSource>& source)
      : reading_(reading), source_(source), from_(reading, *source) {}

  Loaded read() {
    if (source_->size() < 24 || from_.number<uint32_t>() != kMagic)
      reading_.reject("no GGUF file: it begins otherwise", "files that begin with GGUF");
    const auto version = from_.number<uint32_t>();
    if (version < 2 || version > kVersion)
      reading_.reject("version " + std::to_string(version) + " of GGUF", "versions 2 and 3, little-endian");
    const uint64_t tensors = from_.counted(24, "tensors"), values = from_.counted(13, "values of metadata");
    for (uint64_t i = 0; i < values; ++i) {
      std::string key = from_.text();
      MetadataValue v = value(key);
      if (!out_.metadata.emplace(key, std::move(v)).second)
        reading_.reject("two values of the name " + key, "each name once");
    }
    for (uint64_t i = 0; i < tensors; ++i) tensors_.push_back(tensor());
    place_tensors();
    for (const Tensor& t : tensors_) add(t);
    return std::move(out_);
  }

 private:
  MetadataValue value(const std::string& key) {
    const auto code = from_.number<uint32_t>();
    if (code == kString) return from_.text();
    if (code != kArray) return numbers(key, code, {});
    const auto element = from_.number<uint32_t>();
    if (element == kArray)
      reading_.reject("the value " + key + ", an array of arrays", "numbers, texts, and arrays of them");
    if (element != kString) {
      const uint64_t count = from_.counted(1, "elements");
      return numbers(key, element, {static_cast<int64_t>(count)});
    }
    std::vector<std::string> texts(from_.counted(8, "texts"));
    for (std::string& text : texts) text = from_.text();
    return texts;
  }

  Array numbers(const std::string& key, uint32_t code, const Shape& shape) {
    for (const ValueType& type : kValueTypes) {
      if (type.code != code) continue;
      const auto count = static_cast<uint64_t>(shape.count_value()),
                 bytes = count * static_cast<uint64_t>(size_of(type.dtype));
      if (bytes > from_.left())  // the count is that of bytes left at most, so that the product is right
        reading_.reject("the value " + key + " of " + std::to_string(count) + " elements",
                        "as many as the bytes left hold");
      Storage storage = allocate_storage({shape, type.dtype});
      from_.bytes(storage.data(), bytes);
      if (type.dtype == DType::bool_) settle_bools(storage.data(), bytes);
      return make_evaluated(std::move(storage), {shape, type.dtype});
    }
    reading_.reject("the value " + key + " of type " + std::to_string(code), "types 0 to 12");
  }

  Tensor tensor() {
    Tensor t;
    t.name = from_.text();
    if (!is_utf8(t.name)) reading_.reject("a name that is no UTF-8: " + t.name, "UTF-8");
    const auto axes = from_.number<uint32_t>();
    if (axes > 64) reading_.reject("the tensor " + t.name + " of " + std::to_string(axes) + " axes", "at most 64");
    for (uint32_t i = 0; i < axes; ++i) t.extents.insert(t.extents.begin(), from_.number<uint64_t>());
    const auto code = from_.number<uint32_t>();
    t.offset = from_.number<uint64_t>();
    t.type = tensor_type(code);
    if (t.type == nullptr) reject_type(t.name, code);
    const uint64_t elements = checked_bytes(reading_, "the tensor " + t.name, t.extents, 8) / 8;
    const auto block = static_cast<uint64_t>(t.type->block);
    if (block > 1 && (t.extents.empty() || t.extents.back() % block != 0))
      reading_.reject("the tensor " + t.name + " of type " + std::string(t.type->name) + " with a last axis of " +
                          std::to_string(t.extents.empty() ? 1 : t.extents.back()),
                      "multiples of " + std::to_string(block));
    t.bytes = elements / block * static_cast<uint64_t>(t.type->block_bytes);
    return t;
  }

  [[noreturn]] void reject_type(const std::string& name, uint32_t code) const {
    std::string type = "type " + std::to_string(code), all;
    for (const auto& other : kOtherTypes)
      if (other.code == code) type = "type " + std::string(other.name);
    for (const TensorType& known : kTensorTypes) all += (all.empty() ? "" : ", ") + std::string(known.name);
    reading_.reject("the tensor " + name + " of " + type, all, "no array can be made of elements of this type");
  }

  uint64_t alignment() const {
    const auto found = out_.metadata.find(std::string(kAlignmentKey));
    if (found == out_.metadata.end()) return kAlignment;
    const Array* given = std::get_if<Array>(&found->second);
    if (given == nullptr || given->rank() != 0 || given->dtype() != DType::uint32 ||
        !std::has_single_bit(given->item<uint32_t>()))
      reading_.reject("a general.alignment that is none", "a power of two, as one uint32");
    return given->item<uint32_t>();
  }

  // Offsets count from where the header ends, rounded up; tensors may not share bytes.
  void place_tensors() {
    const uint64_t unit = alignment(), size = source_->size();
    const uint64_t data = std::min((from_.at() + unit - 1) / unit * unit, size);
    std::vector<const Tensor*> order;
    for (Tensor& t : tensors_) {
      if (t.offset % unit != 0 || t.offset > size - data || t.bytes > size - data - t.offset)
        reading_.reject(
            "the tensor " + t.name + " of " + std::to_string(t.bytes) + " bytes at byte " + std::to_string(t.offset) +
                " of the data",
            "multiples of " + std::to_string(unit) + " within the " + std::to_string(size - data) + " bytes of it");
      t.offset += data;
      order.push_back(&t);
    }
    std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
    });
    for (size_t i = 1; i < order.size(); ++i)
      if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes)
        reading_.reject("the tensors " + order[i - 1]->name + " and " + order[i]->name + ", which share bytes",
                        "tensors apart");
  }

  void add(const Tensor& t) {
    switch (t.type->becomes) {
      case Becomes::elements:
        give(t.name, elements_later(source_, t.offset, {shape_of(t.extents), t.type->dtype}));
        return;
      case Becomes::halves: give(t.name, halves(t)); return;
      case Becomes::packed: give_packed(t); return;
    }
  }

  void give(const std::string& name, Array array) {
    if (!out_.arrays.emplace(name, std::move(array)).second)
      reading_.reject("two arrays of the name " + name,
                      "each name once; a packed tensor takes those of its scales and biases too");
  }

  /// Calls `decode(raw, first block, blocks)` for all blocks of a tensor.
  template <class DecodeBlocks>
  static void for_blocks(const ByteSource& source, const Tensor& t, DecodeBlocks decode) {
    const auto each = static_cast<uint64_t>(t.type->block_bytes), at_once = kPiece / each, all = t.bytes / each;
    std::string raw;
    for (uint64_t first = 0; first < all; first += at_once) {
      const uint64_t blocks = std::min(at_once, all - first);
      raw.resize(blocks * each);
      read_bytes(source, t.offset + first * each, raw.data(), raw.size());
      decode(raw.data(), static_cast<int64_t>(first), static_cast<int64_t>(blocks));
    }
  }

  Array halves(const Tensor& t) {
    return made_later(source_, {{shape_of(t.extents), DType::float16}},
                      [t, source = source_.get()](std::span<char* const> to) {
                        auto* out = reinterpret_cast<float16_t*>(to[0]);
                        for_blocks(*source, t, [&](const char* raw, int64_t first, int64_t blocks) {
                          to_halves(*t.type, raw, blocks, out + first * t.type->block);
                        });
                      })[0];
  }

  void give_packed(const Tensor& t) {
    std::vector<uint64_t> words = t.extents, groups = t.extents;
    words.back() = words.back() / 32 * static_cast<uint64_t>(t.type->bits);
    groups.back() /= kGroup;
    const Aval group{shape_of(groups), DType::float16};
    const Arrays made =
        made_later(source_, {{shape_of(words), DType::uint32}, group, group},
                   [t, source = source_.get()](std::span<char* const> to) {
                     auto* packed = reinterpret_cast<uint32_t*>(to[0]);
                     auto* scales = reinterpret_cast<float16_t*>(to[1]);
                     auto* biases = reinterpret_cast<float16_t*>(to[2]);
                     for_blocks(*source, t, [&](const char* raw, int64_t first, int64_t blocks) {
                       unpack(*t.type, raw, blocks, packed + first * t.type->bits, scales + first, biases + first);
                     });
                   });
    constexpr std::string_view ending = ".weight";
    const std::string stem = t.name.ends_with(ending) ? t.name.substr(0, t.name.size() - ending.size()) : t.name;
    give(t.name, made[0]);
    give(stem + ".scales", made[1]);
    give(stem + ".biases", made[2]);
  }

  const Reading& reading_;
  const std::shared_ptr<const ByteSource>& source_;
  Cursor from_;
  std::vector<Tensor> tensors_;
  Loaded out_;
};

}  // namespace

Loaded read_gguf(const Reading& reading, const std::shared_ptr<const ByteSource>& source) {
  return Reader(reading, source).read();
}

}  // namespace plait::io
