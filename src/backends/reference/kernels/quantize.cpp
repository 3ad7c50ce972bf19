#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/packed_numbers.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

template <class T, class W = Wide<T>>
void pack_affine(const packed::Format& format, const T* from, uint32_t* codes, T* scale_to, T* bias_to) {
  W low = std::numeric_limits<W>::infinity(), high = -low;  // NaN is passed over
  for (int64_t i = 0; i < format.group; ++i) {
    const W x = widened(from[i]);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  const W last = static_cast<W>((1 << format.bits) - 1);
  const packed::AffineGroup<W> of = packed::affine_group(low, high, last);
  for (int64_t i = 0; i < format.group; ++i) codes[i] = packed::affine_code(widened(from[i]), of, last);
  *scale_to = narrowed<T>(of.scale);
  *bias_to = narrowed<T>(of.bias);
}

template <class T>
void pack_microscaled(const packed::Format& format, const T* from, uint32_t* codes, uint8_t* scale_to) {
  float most = 0;
  for (int64_t i = 0; i < format.group; ++i) most = std::max(most, std::fabs(static_cast<float>(widened(from[i]))));
  *scale_to = static_cast<uint8_t>(packed::scale_byte(format.codes, format.bits, most));
  const float scale = packed::scale_of(format, *scale_to);
  for (int64_t i = 0; i < format.group; ++i) {
    const auto x = static_cast<float>(widened(from[i]));
    codes[i] = packed::microscaled_code(format.bits, x, std::signbit(x), scale);
  }
}

void pack_codes(const uint32_t* codes, int64_t n, int bits, uint32_t* to) {
  uint64_t held = 0;
  int filled = 0;
  for (int64_t i = 0; i < n; ++i) {
    held |= uint64_t{codes[i]} << filled;
    filled += bits;
    if (filled < 32) continue;
    *to++ = static_cast<uint32_t>(held);
    held >>= 32;
    filled -= 32;
  }
}

void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  if (in.count() == 0) return;
  const packed::Format format = packed::format_of(args.attrs);
  const int64_t n = in.shape.back(), groups = n / format.group;
  // Two groups of 16 codes of 4 bits fill whole words as well: each group begins with a word.
  const int64_t words = format.words(format.group);
  dispatch(in.dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<Wide<T>>) {
      parallel_for(in.count() / n * groups, row_grain(format.group), [&](int64_t begin, int64_t end) {
        std::vector<uint32_t> codes(static_cast<size_t>(format.group));
        for (int64_t g = begin; g < end; ++g) {
          const T* from = in.as<T>() + g * format.group;
          if (format.affine())
            pack_affine(format, from, codes.data(), args.outputs[1].as<T>() + g, args.outputs[2].as<T>() + g);
          else
            pack_microscaled(format, from, codes.data(), args.outputs[1].as<uint8_t>() + g);
          pack_codes(codes.data(), format.group, format.bits, args.outputs[0].as<uint32_t>() + g * words);
        }
      });
    }
  });
}

}  // namespace

void register_reference_kernels_quantize(KernelTable& table) {
  table.add("affine_quantize", Backend::reference, {.run = run});
  table.add("microscaled_quantize", Backend::reference, {.run = run});
}

}  // namespace plait
