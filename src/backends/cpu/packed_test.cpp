// Loops over packed numbers against codes taken one by one. tests/CMakeLists.txt runs this file once for each instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "backends/cpu/packed_rows.h"

namespace plait::cpu {
namespace {

using packed::Codes;
using packed::Format;

const std::vector<Format> kFormats = {
    {Codes::affine, 2, 32},  {Codes::affine, 2, 128}, {Codes::affine, 3, 32}, {Codes::affine, 3, 64},
    {Codes::affine, 4, 32},  {Codes::affine, 4, 64},  {Codes::affine, 5, 64}, {Codes::affine, 5, 128},
    {Codes::affine, 6, 32},  {Codes::affine, 6, 128}, {Codes::affine, 8, 32}, {Codes::affine, 8, 64},
    {Codes::affine, 4, 128}, {Codes::mxfp4, 4, 32},   {Codes::mxfp8, 8, 32},  {Codes::nvfp4, 4, 16},
};

// Rows of random codes, as many in memory as the row has.
struct Matrix {
  Format format;
  int64_t n, rows;
  std::vector<std::vector<uint32_t>> words;
  std::vector<std::vector<float>> scales, biases;

  Matrix(const Format& f, int64_t n, int64_t rows) : format(f), n(n), rows(rows) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> part(-1, 1);
    for (int64_t r = 0; r < rows; ++r) {
      words.emplace_back(static_cast<size_t>(f.words(n)));
      for (uint32_t& word : words.back())
        word = static_cast<uint32_t>(random()) & (f.codes == Codes::mxfp8 ? 0xfefefefeu : ~0u);  // no NaN
      for (auto* parts : {&scales, &biases}) {
        parts->emplace_back(static_cast<size_t>(n / f.group + kPackedPadding), 0.0f);
        for (int64_t g = 0; g < n / f.group; ++g) parts->back()[static_cast<size_t>(g)] = part(random);
      }
    }
  }
  const float* biases_of(size_t row) const { return format.affine() ? biases[row].data() : nullptr; }
  float number(size_t row, int64_t i) const {
    const auto g = static_cast<size_t>(i / format.group);
    const float value = packed::value_of(format, packed::code_at(words[row].data(), i, format.bits)) * scales[row][g];
    return format.affine() ? value + biases[row][g] : value;
  }
};

TEST(Packed, RowsAreUnpackedExactly) {
  for (const Format& format : kFormats)
    for (const int64_t groups : {1, 2, 3, 7}) {
      const Matrix m(format, groups * format.group, 1);
      for (const int64_t first : {int64_t{0}, int64_t{8}, m.n / 2}) {
        std::vector<float> got(static_cast<size_t>(m.n - first));
        packed_kernels()
            .of(kind_of(format))
            .unpack({m.words[0].data(), m.scales[0].data(), m.biases_of(0), format.group, first, m.n - first},
                    got.data());
        for (int64_t i = first; i < m.n; ++i)
          ASSERT_EQ(got[static_cast<size_t>(i - first)], m.number(0, i)) << format.bits << " bits, " << i;
      }
    }
}

TEST(Packed, DotProductsOfOddLengths) {
  for (const Format& format : kFormats)
    for (const int64_t groups : {1, 2, 5, 12, 33})
      for (const int of_x : {1, 2, 4}) {
        const auto& kernels = packed_kernels();
        const int rows = kPackedRows / of_x, codes = packed_codes(kind_of(format));
        const Matrix m(format, groups * format.group, rows);
        const int64_t unit = static_cast<int64_t>(kernels.lanes) * codes, stride = (m.n + unit - 1) / unit * unit;
        const int64_t sums_stride = groups + kPackedPadding;
        std::mt19937 random(5);
        std::uniform_real_distribution<float> part(-1, 1);
        std::vector<float> x(static_cast<size_t>(of_x * m.n)), arranged(static_cast<size_t>(of_x * stride)),
            x_sums(static_cast<size_t>(of_x * sums_stride));
        for (float& v : x) v = part(random);
        for (int i = 0; i < of_x; ++i) {
          kernels.arrange(&x[static_cast<size_t>(i * m.n)], m.n, codes, &arranged[static_cast<size_t>(i * stride)]);
          for (int64_t k = 0; k < m.n; ++k)
            x_sums[static_cast<size_t>(i * sums_stride + k / format.group)] += x[static_cast<size_t>(i * m.n + k)];
        }
        float sums[kPackedRows];
        PackedDots at{m.n, format.group, {}, {}, {}, arranged.data(), x_sums.data(), sums_stride, sums};
        for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
          at.words[r] = m.words[r].data();
          at.scales[r] = m.scales[r].data();
          at.biases[r] = m.biases_of(r);
        }
        kernels.of(kind_of(format)).dots[of_x / 2](at);
        for (int r = 0; r < rows; ++r)
          for (int i = 0; i < of_x; ++i) {
            double want = 0, size = 0;
            for (int64_t k = 0; k < m.n; ++k) {
              const double term =
                  static_cast<double>(x[static_cast<size_t>(i * m.n + k)]) * m.number(static_cast<size_t>(r), k);
              want += term;
              size += std::fabs(term);
            }
            ASSERT_NEAR(sums[r * of_x + i], want, 1e-5 * size + 1e-5)
                << format.bits << " bits, groups of " << format.group << ", " << groups << " of them, row " << r
                << " with " << i;
          }
      }
}

TEST(Packed, WhatCodesStandFor) {
  constexpr float kFloat4[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  for (uint32_t code = 0; code < 16; ++code) {
    EXPECT_EQ(packed::from_float4(code), code < 8 ? kFloat4[code] : -kFloat4[code - 8]);
    EXPECT_EQ(std::signbit(packed::from_float4(code)), code >= 8);
    EXPECT_EQ(packed::to_float4(packed::from_float4(code)), code == 8 ? 0 : code);  // a zero has no sign
  }
  for (uint32_t code = 0; code < 256; ++code) {
    EXPECT_EQ(std::signbit(packed::from_float8(code)), code >= 128);
    if ((code & 0x7f) == 0x7f) continue;
    const int exponent = static_cast<int>(code >> 3 & 15), rest = static_cast<int>(code & 7);
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(rest), -9)
                                     : std::ldexp(static_cast<float>(8 + rest), exponent - 10);
    EXPECT_EQ(std::fabs(packed::from_float8(code)), size) << code;
    EXPECT_EQ(packed::to_float8(packed::from_float8(code)), code);
  }
  for (int byte = 0; byte < 255; ++byte) {
    EXPECT_EQ(packed::power_of_two(static_cast<uint32_t>(byte)), std::ldexp(1.0f, byte - 127));
    for (const float part : {0.51f, 0.75f, 1.0f})
      EXPECT_EQ(packed::power_no_smaller(std::ldexp(part, byte - 127)), static_cast<uint32_t>(byte)) << part;
  }
  EXPECT_TRUE(std::isinf(packed::power_of_two(255)));
}

TEST(Packed, WhatNoCodeStandsFor) {
  const float nan = std::nanf(""), infinity = INFINITY;
  EXPECT_TRUE(std::isnan(packed::from_float8(0x7f)) && std::isnan(packed::from_float8(0xff)));
  EXPECT_EQ(packed::to_float8(nan), 0x7fu);
  EXPECT_EQ(packed::to_float4(nan), 0u);
  EXPECT_EQ(packed::to_float4(1e30f), 7u);
  EXPECT_EQ(packed::from_float8(packed::to_float8(-1e30f)), -448.0f);
  EXPECT_EQ(packed::power_no_smaller(0.0f), 127u);
  EXPECT_EQ(packed::power_no_smaller(infinity), 254u);
  EXPECT_EQ(packed::power_no_smaller(0x1p-149f), 0u);
  EXPECT_EQ(packed::microscaled_code(8, nan, true, 2.0f), 0xffu);
  EXPECT_EQ(packed::microscaled_code(4, nan, true, 2.0f), 0u);
  EXPECT_EQ(packed::microscaled_code(8, 3.0f, false, 0.0f), 0u);
}

// Of two codes that are equally near the even one (E4M3), or the one nearer to 0 (E2M1).
TEST(Packed, TheNearestCode) {
  for (uint32_t code = 0; code + 1 < 0x7f; ++code) {
    const float low = packed::from_float8(code), high = packed::from_float8(code + 1), middle = (low + high) / 2;
    EXPECT_EQ(packed::to_float8(middle), code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(packed::to_float8(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(packed::to_float8(-std::nextafter(middle, 1e3f)), (code + 1) | 0x80);
  }
  for (uint32_t code = 0; code + 1 < 8; ++code) {
    const float middle = (packed::from_float4(code) + packed::from_float4(code + 1)) / 2;
    EXPECT_EQ(packed::to_float4(middle), code);
    EXPECT_EQ(packed::to_float4(-std::nextafter(middle, 1e3f)), (code + 1) | 8);
  }
}

}  // namespace
}  // namespace plait::cpu
