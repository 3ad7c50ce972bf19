// Packed numbers: the functions of bits that kernels are made of, on the host beside the CPU's, and the kernels themselves.
#include <algorithm>
#include <cstdio>

#include "backends/cuda/kernels/kernel_case.h"
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/packed_codes.h"

namespace plait::cuda_test {
namespace {

using cuda::Codes;
using packed::Format;

const std::vector<Format> kFormats = [] {
  std::vector<Format> all;
  for (int bits : {2, 3, 4, 5, 6, 8})
    for (int64_t group : {32, 64, 128})
      if (!small() || group == 64) all.push_back({Codes::affine, bits, group});
  all.push_back({Codes::mxfp4, 4, 32});
  all.push_back({Codes::mxfp8, 8, 32});
  all.push_back({Codes::nvfp4, 4, 16});
  return all;
}();
const std::vector<DType> kReal =
    types({DType::float16, DType::bfloat16, DType::float32, DType::float64}, {DType::bfloat16, DType::float32});

std::string mode_of(const Format& f) {
  return f.affine() ? "affine" : f.codes == Codes::mxfp4 ? "mxfp4" : f.codes == Codes::mxfp8 ? "mxfp8" : "nvfp4";
}
std::string op_of(const Format& f, const char* what) {
  return (f.affine() ? "affine_" : "microscaled_") + std::string(what);
}
std::vector<Attr> attrs_of(const Format& f) {
  return {{"mode", mode_of(f)}, {"bits", int64_t{f.bits}}, {"group_size", f.group}};
}

uint32_t random_bits() { return static_cast<uint32_t>(generator()()); }
double number_between(double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(generator());
}

bool same_number(float a, float b) { return std::memcmp(&a, &b, 4) == 0 || (a != a && b != b); }

// ---- Functions of bits, on the host ----------------------------------------------------------------------------------

template <Codes C, int B>
void expect_codes() {
  uint32_t words[8];
  for (int round = 0; round < 100; ++round) {
    for (uint32_t& w : words) w = random_bits();
    for (int part = 0; part < 4; ++part) {
      uint32_t pairs[4];
      cuda::eight_codes<B>(words, part, pairs);
      for (int i = 0; i < 8; ++i)
        ASSERT_EQ(cuda::code_of(pairs, i), packed::code_at(words, 8 * part + i, B)) << B << " " << part << " " << i;
      for (uint32_t pair : pairs) ASSERT_EQ(pair & ~(((1u << B) - 1) * 0x10001u), 0u);
    }
  }
}

float half_number(uint32_t bits) { return static_cast<float>(float16_t{static_cast<uint16_t>(bits)}); }
float bhalf_number(uint32_t bits) { return static_cast<float>(bfloat16_t{static_cast<uint16_t>(bits)}); }

template <Codes C, int B>
void expect_numbers() {
  const Format format{C, B, 32};
  for (uint32_t low = 0; low < 1u << B; ++low)
    for (uint32_t high : {0u, (1u << B) - 1, low ^ 1u}) {
      const float a = packed::value_of(format, low), b = packed::value_of(format, high);
      const uint32_t halves = cuda::numbers_of<__half, C, B>(low | high << 16);
      const uint32_t bhalves = cuda::numbers_of<__nv_bfloat16, C, B>(low | high << 16);
      ASSERT_TRUE(same_number(half_number(halves), a) && same_number(half_number(halves >> 16), b)) << B << " " << low;
      ASSERT_TRUE(same_number(bhalf_number(bhalves), a) && same_number(bhalf_number(bhalves >> 16), b))
          << B << " " << low;
      const float one = 1 + static_cast<float>(low) / (1 << B), other = 1 + static_cast<float>(high) / (1 << B);
      const uint32_t narrow = cuda::fractions_of<__half, B>(low | high << 16);
      ASSERT_TRUE(half_number(narrow) == one && half_number(narrow >> 16) == other) << B << " " << low;
      if constexpr (cuda::has_fractions<__nv_bfloat16, B>()) {
        const uint32_t wide = cuda::fractions_of<__nv_bfloat16, B>(low | high << 16);
        ASSERT_TRUE(bhalf_number(wide) == one && bhalf_number(wide >> 16) == other) << B << " " << low;
      }
    }
}

TEST(CudaPacked, CodesAndNumbersOnTheHost) {
  for (const Format& f : kFormats)
    cuda::dispatch_format(f, []<Codes C, int B>() {
      expect_codes<C, B>();
      expect_numbers<C, B>();
    });
  // Numbers of nvfp4 times their scales fit into 16 bits.
  for (uint32_t code = 0; code < 16; ++code)
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const float scale = packed::from_float8(byte), number = packed::from_float4(code) * scale;
      const auto product = [&]<class T>() {
        return cuda::product_of_pairs<T>(cuda::numbers_of<T, Codes::nvfp4, 4>(code), cuda::twice<T>(scale));
      };
      EXPECT_TRUE(same_number(half_number(product.template operator()<__half>()), number)) << code << " " << byte;
      EXPECT_TRUE(same_number(bhalf_number(product.template operator()<__nv_bfloat16>()), number))
          << code << " " << byte;
    }
}

// A step of 32 numbers as the lanes of a warp share it: pairs of codes beside the pairs of x that they meet.
TEST(CudaPacked, LanesMeetTheirColumnsOnTheHost) {
  for (const Format& f : kFormats)
    cuda::dispatch_format(f, [&]<Codes C, int B>() {
      uint32_t words[8];
      for (uint32_t& w : words) w = random_bits();
      double sum = 0, expected = 0;
      for (int k = 0; k < 32; ++k) expected += (k + 1.0) * packed::code_at(words, k, B);
      for (int part = 0; part < 4; ++part) {
        uint32_t pairs[4];
        cuda::eight_codes<B>(words, part, pairs);
        uint32_t x[4];  // two columns each, as they lie in memory
        for (uint32_t i = 0; i < 4; ++i) x[i] = (8 * part + 2 * i + 1) | (8 * part + 2 * i + 2) << 16;
        const uint32_t meets[4] = {(x[0] & 0xFFFF) | x[2] << 16, x[0] >> 16 | (x[2] & 0xFFFF0000),
                                   (x[1] & 0xFFFF) | x[3] << 16, x[1] >> 16 | (x[3] & 0xFFFF0000)};
        for (int i = 0; i < 4; ++i)
          sum += (pairs[i] & 0xFFFF) * (meets[i] & 0xFFFF) + (pairs[i] >> 16) * (meets[i] >> 16);
      }
      EXPECT_EQ(sum, expected) << B;
    });
}

std::vector<Tensor> all_outputs(const std::string& op, const std::vector<Attr>& given, const Tensor& input,
                                bool device_too) {
  const Attrs attrs(op, given);
  Device* const device = device_too ? new Device : nullptr;
  const std::vector<Aval> in{{Shape(std::span<const int64_t>(input.shape)), input.dtype}};
  std::vector<Tensor> out;
  for (const Aval& aval : attrs.def().infer(attrs.base(), in)) {
    out.push_back(Tensor::empty(aval.dtype, aval.shape.values()));
    std::memset(out.back().bytes.data(), 0x5A, out.back().bytes.size());
  }
  std::vector<TensorView> views;
  for (Tensor& t : out) views.push_back(t.view(device ? device->put(t) : t.bytes.data()));
  const TensorView from = input.view(device ? device->put(input) : const_cast<char*>(input.bytes.data()));
  const KernelArgs args{
      .op = op, .inputs = {&from, 1}, .outputs = views, .attrs = attrs.view(), .queue = device ? device->queue() : 0};
  (device ? cuda_kernel(op) : kernels().find(op, Backend::reference))->run(args);
  if (device)
    for (size_t i = 0; i < out.size(); ++i) device->get(out[i], views[i].data);
  delete device;
  return out;
}

/// Groups around zero, of one sign, flat ones, all zero, with NaN and infinities, tiny and huge ones.
Tensor weights(DType dtype, Extents shape) {
  Tensor t = any(dtype, shape);
  const Tensor odd = crowded(dtype, shape);
  const std::vector<double> factors{1, 1e-3, 1e-30, 1e30, 6e-8, 0, 448, 3e4};
  dispatch(dtype, [&]<class T>() {
    auto* x = reinterpret_cast<T*>(t.bytes.data());
    for (int64_t i = 0; i < t.stored(); ++i) {
      const int64_t block = i / 64 % 12;
      const double value = number(x[i]).real();
      if (block < 8)
        x[i] = element<T>(value * factors[static_cast<size_t>(block)], 0);
      else if (block == 8)
        x[i] = element<T>(std::fabs(value), 0);
      else if (block == 9)
        x[i] = element<T>(3, 0);
      else if (block == 10)
        x[i] = reinterpret_cast<const T*>(odd.bytes.data())[i];
    }
  });
  return t;
}

template <class W, int B>
void expect_affine_group(const std::vector<W>& x, const uint32_t* words, W scale, W bias) {
  W low = HUGE_VAL, high = -low;
  const W last = (1 << B) - 1;
  for (W e : x) {
    low = e < low ? e : low;
    high = e > high ? e : high;
  }
  const auto of = packed::affine_group(low, high, last);
  EXPECT_TRUE(of.scale == scale || (of.scale != of.scale && scale != scale));
  EXPECT_EQ(of.bias, bias);
  std::vector<uint32_t> made(x.size() * B / 32, 0);
  for (size_t i = 0; i < x.size(); i += 8) {
    uint64_t eight = 0;
    for (size_t k = 0; k < 8; ++k) eight |= static_cast<uint64_t>(packed::affine_code(x[i + k], of, last)) << (B * k);
    for (int word = 0; word < B; ++word)
      made[i / 32 * B + static_cast<size_t>(word)] |= cuda::part_of_word<B>(eight, static_cast<int>(i / 8 % 4), word);
  }
  for (size_t i = 0; i < made.size(); ++i) ASSERT_EQ(made[i], words[i]) << B << " word " << i;
}

template <class W>
void expect_packing(DType dtype) {
  for (const Format& f : kFormats) {
    const Tensor in = weights(dtype, {5, 12 * 64 * 2});
    const std::vector<Tensor> out = all_outputs(op_of(f, "quantize"), attrs_of(f), in, false);
    const auto* x = reinterpret_cast<const W*>(in.bytes.data());
    const auto* words = reinterpret_cast<const uint32_t*>(out[0].bytes.data());
    cuda::dispatch_format(f, [&]<Codes C, int B>() {
      for (int64_t g = 0; g < in.stored() / f.group; ++g) {
        const std::vector<W> group(x + g * f.group, x + (g + 1) * f.group);
        const uint32_t* const of_group = words + f.words(g * f.group);
        if constexpr (C == Codes::affine) {
          expect_affine_group<W, B>(group, of_group, reinterpret_cast<const W*>(out[1].bytes.data())[g],
                                    reinterpret_cast<const W*>(out[2].bytes.data())[g]);
        } else {
          float most = 0;
          for (W e : group) most = std::max(most, std::fabs(static_cast<float>(e)));
          const uint32_t byte = packed::scale_byte(C, B, most);
          ASSERT_EQ(byte, static_cast<uint8_t>(out[1].bytes[static_cast<size_t>(g)])) << most;
          const float scale = packed::scale_of_byte(C, byte);
          for (int64_t i = 0; i < f.group; ++i)
            ASSERT_EQ(packed::microscaled_code(B, static_cast<float>(group[static_cast<size_t>(i)]),
                                               std::signbit(group[static_cast<size_t>(i)]), scale),
                      packed::code_at(of_group, i, B));
        }
      }
    });
  }
}

TEST(CudaPacked, PackingOnTheHost) {
  expect_packing<float>(DType::float32);
  expect_packing<double>(DType::float64);
}

// ---- Kernels ---------------------------------------------------------------------------------------------------------

/// Any codes with scales (and biases) of moderate size; `any_bits`: all that bits can say, NaN and infinities too.
std::vector<Tensor> packed_matrix(const Format& f, DType dtype, Extents shape, bool any_bits = false) {
  const int64_t n = shape.back();
  shape.back() = f.words(n);
  std::vector<Tensor> parts{any(DType::uint32, shape)};
  if (!any_bits && f.codes == Codes::mxfp8)
    for (char& b : parts[0].bytes) b &= static_cast<char>(0xFE);  // no NaN
  shape.back() = n / f.group;
  if (f.affine()) {
    std::uniform_real_distribution<double> scale(0.01, 0.06), bias(-0.5, 0.5);
    parts.push_back(filled(dtype, shape, [&] { return scale(generator()); }));
    parts.push_back(filled(dtype, shape, [&] { return bias(generator()); }));
    return parts;
  }
  parts.push_back(any(DType::uint8, shape));
  if (any_bits) return parts;
  for (char& b : parts[1].bytes) {
    const auto bits = static_cast<unsigned char>(b);
    b = static_cast<char>(f.codes == Codes::nvfp4   ? 0x20 + bits % 32
                          : f.codes == Codes::mxfp4 ? 118 + bits % 8
                                                    : 110 + bits % 8);
  }
  return parts;
}

TEST(CudaKernels, Dequantize) {
  PLAIT_NEEDS_GPU();
  for (const Format& f : kFormats)
    for (DType d : kReal)
      for (const Extents& shape : {Extents{3, f.group},
                                   {1, 3 * f.group},
                                   {0, f.group},
                                   {2, 5, 4 * f.group},
                                   {77, 0},
                                   {300, 640},
                                   {2, 65536}}) {
        std::vector<Attr> attrs = attrs_of(f);
        if (!f.affine()) attrs.push_back({"dtype", d});
        expect_same(op_of(f, "dequantize"), attrs, packed_matrix(f, d, shape, !f.affine()));
      }
}

TEST(CudaKernels, Quantize) {
  PLAIT_NEEDS_GPU();
  for (const Format& f : kFormats)
    for (DType d : kReal)
      for (const Extents& shape :
           {Extents{5, 12 * 64 * 2}, {1, f.group}, {3, 3 * f.group}, {0, f.group}, {2, 2, 65536}, {7, 0}}) {
        const Tensor in = weights(d, shape);
        const std::string op = op_of(f, "quantize");
        const auto device = all_outputs(op, attrs_of(f), in, true), cpu = all_outputs(op, attrs_of(f), in, false);
        for (size_t i = 0; i < cpu.size(); ++i)
          EXPECT_EQ(difference(device[i], cpu[i]), 0) << describe(op, attrs_of(f), {in}) << " output " << i;
      }
}

double rounding(DType d) {
  switch (d) {
    case DType::float16: return 1e-3;
    case DType::bfloat16: return 8e-3;
    case DType::float64: return 1e-13;
    default: return 1e-5;
  }
}

Tensor in_double(const Tensor& t) {
  if (!is_floating(t.dtype)) return t;
  Tensor wide = t;
  wide.dtype = DType::float64;
  wide.bytes.resize(static_cast<size_t>(t.stored()) * 8);
  dispatch(t.dtype, [&]<class T>() {
    for (int64_t i = 0; i < t.stored(); ++i)
      reinterpret_cast<double*>(wide.bytes.data())[i] = number(reinterpret_cast<const T*>(t.bytes.data())[i]).real();
  });
  return wide;
}

/// Against sums in double, relative to the size of all results.
void expect_product(const Format& f, bool transpose, const std::vector<Tensor>& in, const char* what = "matmul") {
  std::vector<Attr> given = attrs_of(f);
  given.push_back({"transpose", transpose});
  const std::string op = op_of(f, what);
  const Attrs attrs(op, given);
  const Tensor got = in_double(on_device(op, attrs, in));
  std::vector<Tensor> wide;
  for (const Tensor& t : in) wide.push_back(in_double(t));
  const Tensor wanted = on_cpu(op, attrs, wide);
  const auto *a = reinterpret_cast<const double*>(got.bytes.data()),
             *b = reinterpret_cast<const double*>(wanted.bytes.data());
  double squares = 0, worst = 0;
  for (int64_t i = 0; i < wanted.stored(); ++i) squares += b[i] * b[i];
  const double typical = std::sqrt(squares / static_cast<double>(std::max<int64_t>(1, wanted.stored()))) + 1e-30;
  for (int64_t i = 0; i < wanted.stored(); ++i) {
    const double far = std::fabs(a[i] - b[i]) / (std::fabs(b[i]) + typical);
    worst = std::isnan(far) ? HUGE_VAL : std::max(worst, far);
  }
  // For many rows numbers are rounded to 16 bits before they are multiplied.
  const int64_t rows = in[0].shape[in[0].shape.size() - 2];
  const double unpacked = is_half(in[0].dtype) && rows > cuda::kMostHalfRows ? 2 : 1;
  EXPECT_LE(worst, unpacked * rounding(in[0].dtype)) << describe(op, given, in);
}

std::vector<Tensor> operands(Tensor x, std::vector<Tensor> w) {
  w.insert(w.begin(), std::move(x));
  return w;
}

TEST(CudaKernels, QuantizedMatmul) {
  PLAIT_NEEDS_GPU();
  for (const Format& f : kFormats)
    for (DType d : kReal)
      for (int64_t m : {1, 5, 8, 9, 17, 32, 33}) {
        for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, f.group}, {7, 3 * f.group}, {130, 640}})
          expect_product(f, true, operands(any(d, {m, k}), packed_matrix(f, d, {n, k})));
        for (const auto& [k, n] : {std::pair<int64_t, int64_t>{1, f.group}, {7, 3 * f.group}, {131, 640}})
          expect_product(f, false, operands(any(d, {m, k}), packed_matrix(f, d, {k, n})));
      }
}

TEST(CudaKernels, LongQuantizedMatmul) {
  PLAIT_NEEDS_GPU();
  if (small()) GTEST_SKIP() << "long arrays";
  for (const Format& f : kFormats)
    for (DType d : {DType::bfloat16, DType::float32})
      for (int64_t m : {1, 20}) {
        expect_product(f, true, operands(any(d, {m, 8192}), packed_matrix(f, d, {72, 8192})));
        expect_product(f, false, operands(any(d, {m, 528}), packed_matrix(f, d, {528, 1024})));
      }
  // One row of x: more columns than its kernel holds, and all of a row for one warp.
  for (const Format& f : {Format{Codes::affine, 4, 64}, Format{Codes::affine, 5, 128}, Format{Codes::mxfp8, 8, 32},
                          Format{Codes::nvfp4, 4, 16}})
    for (DType d : {DType::bfloat16, DType::float16}) {
      const int64_t columns = cuda::kMostRowColumns;
      for (const int64_t k : {columns, columns + f.group})
        expect_product(f, true, operands(any(d, {1, k}), packed_matrix(f, d, {19, k})));
    }
  const Format four{Codes::affine, 4, 64};
  expect_product(four, true,
                 operands(any(DType::bfloat16, {1, 1088}), packed_matrix(four, DType::bfloat16, {33000, 1088})));
  // More numbers than are unpacked at a time, in both directions.
  for (const bool transpose : {true, false}) {
    const Format f{Codes::affine, 3, 32};
    const Extents shape = transpose ? Extents{12000, 2048} : Extents{2048, 12032};
    expect_product(f, transpose, operands(any(DType::bfloat16, {40, 2048}), packed_matrix(f, DType::bfloat16, shape)));
    expect_product(f, transpose, operands(any(DType::float64, {3, 2048}), packed_matrix(f, DType::float64, shape)));
  }
}

// Numbers beyond 65504 in products that are not.
TEST(CudaKernels, QuantizedMatmulBeyondFloat16) {
  PLAIT_NEEDS_GPU();
  for (const Format& f : {Format{Codes::affine, 4, 64}, Format{Codes::affine, 3, 32}, Format{Codes::affine, 8, 128},
                          Format{Codes::mxfp4, 4, 32}, Format{Codes::mxfp8, 8, 32}})
    for (int64_t m : {1, 32, 33, 70})
      for (const bool transpose : {true, false}) {
        const auto x = [&](Extents shape) {
          return filled(DType::float16, std::move(shape), [] { return number_between(-1e-5, 1e-5); });
        };
        const auto large = [&](Extents shape) {
          std::vector<Tensor> w = packed_matrix(f, DType::float16, std::move(shape));
          if (f.affine())
            w[1] = filled(DType::float16, w[1].shape, [] { return number_between(0, 1) < 0.3 ? 6e4 : 1.0; });
          else
            for (char& b : w[1].bytes) b = static_cast<char>(number_between(0, 1) < 0.3 ? 127 + 15 : 127);
          return w;
        };
        const int64_t k = transpose ? 384 : 50;
        expect_product(f, transpose, operands(x({m, k}), large({50, 384})));
        expect_product(f, transpose, operands(x({2, m, k}), large({2, 50, 384})));
        std::vector<Tensor> picked = operands(x({3, m, k}), large({2, 50, 384}));
        picked.push_back(positions(DType::int32, {5}, 3));
        picked.push_back(positions(DType::int32, {5}, 2));
        expect_product(f, transpose, picked, "gathered_matmul");
      }
}

TEST(CudaKernels, QuantizedMatmulOfBatchesAndStrides) {
  PLAIT_NEEDS_GPU();
  const auto repeated = [](Tensor t, size_t axis, int64_t extent) {
    t.shape[axis] = extent;
    t.strides[axis] = 0;
    return t;
  };
  const std::vector<Format> formats{
      {Codes::affine, 4, 64}, {Codes::affine, 3, 32}, {Codes::mxfp8, 8, 32}, {Codes::nvfp4, 4, 16}};
  for (const Format& f : formats)
    for (DType d : kReal)
      for (int64_t m : {1, 3, 40})
        for (const bool transpose : {true, false}) {
          const int64_t k = transpose ? 192 : 20;
          const Extents matrix{20, 192};
          const auto batch = [&](Extents leading) {
            leading.insert(leading.end(), matrix.begin(), matrix.end());
            return packed_matrix(f, d, leading);
          };
          expect_product(f, transpose, operands(any(d, {3, m, k}), batch({3})));
          expect_product(f, transpose, operands(any(d, {2, 3, m, k}), batch({2, 3})));
          std::vector<Tensor> shared = batch({2, 1});  // for each of three examples
          for (Tensor& t : shared) t = repeated(t, 1, 3);
          expect_product(f, transpose, operands(any(d, {2, 3, m, k}), shared));
          expect_product(f, transpose, operands(repeated(any(d, {1, m, k}), 0, 4), batch({4})));
          std::vector<Tensor> mixed = batch({2, 5});  // words in another order, scales that all share
          std::swap(mixed[0].shape[0], mixed[0].shape[1]);
          std::swap(mixed[0].strides[0], mixed[0].strides[1]);
          const std::vector<Tensor> one = batch({1, 1});
          for (size_t i = 1; i < mixed.size(); ++i) mixed[i] = repeated(repeated(one[i], 0, 5), 1, 2);
          expect_product(f, transpose, operands(any(d, {5, 2, m, k}), mixed));
          Tensor shifted = any(d, {m + 1, k});  // begins anywhere
          shifted.offset = 1;
          shifted.shape = {m, k};
          expect_product(f, transpose, operands(shifted, batch({})));
          Tensor wide = any(d, {m, k + 24});
          wide.shape = {m, k};
          expect_product(f, transpose, operands(wide, batch({})));
          Tensor turned_x = any(d, {k, m});
          std::swap(turned_x.shape[0], turned_x.shape[1]);
          std::swap(turned_x.strides[0], turned_x.strides[1]);
          expect_product(f, transpose, operands(turned_x, batch({})));
          std::vector<Tensor> cut = packed_matrix(f, d, {20, 192 + f.group * 2});  // columns of a wider matrix
          cut[0].shape[1] = f.words(192);
          for (size_t i = 1; i < cut.size(); ++i) cut[i].shape[1] = 192 / f.group;
          expect_product(f, transpose, operands(any(d, {m, k}), cut));
        }
}

TEST(CudaKernels, GatheredMatmul) {
  PLAIT_NEEDS_GPU();
  const auto gathered = [](Tensor x, std::vector<Tensor> w, const Tensor& lhs, const Tensor& rhs) {
    std::vector<Tensor> in = operands(std::move(x), std::move(w));
    in.push_back(lhs);
    in.push_back(rhs);
    return in;
  };
  for (const Format& f : kFormats)
    for (DType d : kReal)
      for (int64_t m : {1, 3, 12, 40})
        for (const bool transpose : {true, false}) {
          const int64_t k = transpose ? 384 : 20;
          const Tensor x = any(d, {4, m, k});
          const std::vector<Tensor> w = packed_matrix(f, d, {5, 20, 384});
          expect_product(f, transpose,
                         gathered(x, w, positions(DType::int32, {7}, 4), positions(DType::uint32, {7}, 5)),
                         "gathered_matmul");
          expect_product(f, transpose, gathered(x, w, positions(DType::uint8, {0}, 4), positions(DType::int64, {0}, 5)),
                         "gathered_matmul");
          std::vector<Attr> given = attrs_of(f);
          given.push_back({"transpose", transpose});
          const std::string op = op_of(f, "gathered_matmul");
          const Tensor zero = positions(DType::int64, {3}, 1);
          const Tensor outside = filled(DType::int64, {3}, [i = 0]() mutable { return i++ < 2 ? 0.0 : 5.0; });
          EXPECT_THROW(on_device(op, Attrs(op, given), gathered(x, w, zero, outside)), memory::PositionError);
          EXPECT_THROW(on_device(op, Attrs(op, given), gathered(x, w, outside, zero)), memory::PositionError);
        }
}

TEST(CudaKernels, EmptyQuantizedMatmul) {
  PLAIT_NEEDS_GPU();
  for (const Format& f : {Format{Codes::affine, 4, 64}, Format{Codes::mxfp4, 4, 32}})
    for (DType d : kReal) {
      expect_product(f, true, operands(any(d, {0, 64}), packed_matrix(f, d, {5, 64})));
      expect_product(f, true, operands(any(d, {3, 64}), packed_matrix(f, d, {0, 64})));
      expect_product(f, true, operands(any(d, {3, 0}), packed_matrix(f, d, {5, 0})));
      expect_product(f, false, operands(any(d, {3, 0}), packed_matrix(f, d, {0, 64})));
      expect_product(f, true, operands(any(d, {0, 3, 64}), packed_matrix(f, d, {0, 5, 64})));
    }
}

// ---- Speed -----------------------------------------------------------------------------------------------------------

// Prints how fast packed bytes are read, beside a copy of as many bytes in all. Matrices take turns so that no cache holds them.
TEST(CudaPackedSpeed, FewRows) {
  PLAIT_NEEDS_GPU();
  const memory::Queue queue = Device().queue();
  cudaEvent_t begin = nullptr, end = nullptr;
  check_cuda(cudaEventCreate(&begin), "an event");
  check_cuda(cudaEventCreate(&end), "an event");
  const auto microseconds = [&](int calls, auto&& call) {
    std::vector<float> took;
    for (int run = 0; run < 7; ++run) {
      const cudaStream_t stream = stream_of(queue);
      check_cuda(cudaEventRecord(begin, stream), "an event");
      for (int i = 0; i < calls; ++i) call(i);
      check_cuda(cudaEventRecord(end, stream), "an event");
      check_cuda(cudaEventSynchronize(end), "an event");
      float ms = 0;
      check_cuda(cudaEventElapsedTime(&ms, begin, end), "an event");
      took.push_back(ms * 1e3f / static_cast<float>(calls));
    }
    std::nth_element(took.begin(), took.begin() + 3, took.end());
    return static_cast<double>(took[3]);
  };
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{4096, 4096}, {14336, 4096}, {8192, 8192}})
    for (const Format& f : {Format{Codes::affine, 4, 64}, Format{Codes::affine, 8, 64}, Format{Codes::affine, 3, 64},
                            Format{Codes::mxfp4, 4, 32}, Format{Codes::nvfp4, 4, 16}, Format{Codes::mxfp8, 8, 32}}) {
      const int64_t bytes = f.words(n * k) * 4 + n * k / f.group * (f.affine() ? 4 : 1);
      const int turns = static_cast<int>(std::max<int64_t>(1, (int64_t{400} << 20) / bytes));
      Device device;
      std::vector<std::vector<TensorView>> sets;
      const std::vector<Tensor> w = packed_matrix(f, DType::bfloat16, {n, k});
      for (int i = 0; i < turns; ++i) {
        sets.emplace_back();
        for (const Tensor& t : w) sets.back().push_back(t.view(device.put(t)));
      }
      void* const to = device.put(Tensor::empty(DType::uint8, {bytes / 2}));
      const double copy = microseconds(turns, [&](int i) {
        const TensorView& some = sets[static_cast<size_t>(i)][0];
        const auto size = static_cast<size_t>(std::min(bytes / 2, some.count() * 4));
        check_cuda(cudaMemcpyAsync(to, some.data, size, cudaMemcpyDeviceToDevice, stream_of(queue)), "copy");
      });
      std::printf("%s %d bits, %lld x %lld: copy %.1f us;", mode_of(f).c_str(), f.bits, static_cast<long long>(n),
                  static_cast<long long>(k), copy);
      std::vector<Attr> given = attrs_of(f);
      given.push_back({"transpose", true});
      const std::string op = op_of(f, "matmul");
      const Attrs attrs(op, given);
      for (int64_t m : {1, 2, 8, 16, 32, 64, 512}) {
        const Tensor x = any(DType::bfloat16, {m, k}), out = Tensor::empty(DType::bfloat16, {m, n});
        const TensorView x_view = x.view(device.put(x)), out_view = out.view(device.put(out));
        const double took = microseconds(turns, [&](int i) {
          std::vector<TensorView> in = sets[static_cast<size_t>(i)];
          in.insert(in.begin(), x_view);
          cuda_kernel(op)->run(
              {.op = op, .inputs = in, .outputs = {&out_view, 1}, .attrs = attrs.view(), .queue = queue});
        });
        std::printf(" %lld: %.1f us (%.0f %%)", static_cast<long long>(m), took, 100 * copy / took);
      }
      std::printf("\n");
    }
}

}  // namespace
}  // namespace plait::cuda_test
