#include <limits>

#include "backends/packed_numbers.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

// The extreme of larger magnitude, or 0, is a code exactly: weights that are large stay what they are.
template <class T, class W = Wide<T>>
void pack_affine(const packed::Format& format, const T* from, uint32_t* codes, T* scale_to, T* bias_to) {
  W low = std::numeric_limits<W>::infinity(), high = -low;  // NaN is passed over
  for (int64_t i = 0; i < format.group; ++i) {
    const W x = widened(from[i]);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  const W last = static_cast<W>((1 << format.bits) - 1);
  W scale = std::max((high - low) / last, static_cast<W>(1e-7f)), bias = 0;
  const bool from_low = std::fabs(low) > std::fabs(high);
  if (!from_low) scale = -scale;
  const W edge = from_low ? low : high, steps = std::rint(edge / scale);
  if (steps != 0) {
    scale = edge / steps;
    bias = edge;
  }
  for (int64_t i = 0; i < format.group; ++i) {
    const W code = std::rint((widened(from[i]) - bias) / scale);
    codes[i] = static_cast<uint32_t>(code >= 0 ? std::min(code, last) : W(0));  // NaN: 0
  }
  *scale_to = narrowed<T>(scale);
  *bias_to = narrowed<T>(bias);
}

// The byte of the smallest power of two that is as large; of 0 that of 1.
uint8_t power_no_smaller(float x) {
  if (x == 0) return 127;
  if (std::isinf(x)) return 254;
  int exponent = 0;
  if (std::frexp(x, &exponent) == 0.5f) --exponent;
  return static_cast<uint8_t>(std::clamp(exponent, -127, 127) + 127);
}

template <class T>
void pack_microscaled(const packed::Format& format, const T* from, uint32_t* codes, uint8_t* scale_to) {
  float most = 0;
  for (int64_t i = 0; i < format.group; ++i) most = std::max(most, std::fabs(static_cast<float>(widened(from[i]))));
  const float wanted = most / (format.bits == 4 ? 6.0f : 448.0f);
  if (format.codes == packed::Codes::nvfp4) {
    *scale_to = static_cast<uint8_t>(packed::to_float8(wanted));
  } else {
    *scale_to = power_no_smaller(wanted);
  }
  const float scale = packed::scale_of(format, *scale_to);
  for (int64_t i = 0; i < format.group; ++i) {
    const float x = scale == 0 ? 0.0f : static_cast<float>(widened(from[i])) / scale;
    codes[i] = format.bits == 4 ? packed::to_float4(x) : packed::to_float8(x);
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
