// Blocks of quantized numbers as ggml lays them out. All are computed in float32 and rounded once.
#include "io/gguf_blocks.h"

#include <array>
#include <cstring>

#include "base/parallel.h"
#include "plait/error.h"

namespace plait::io::gguf {
namespace {

constexpr int64_t kBlocksAtOnce = 1 << 12;

float half(const uint8_t* at) {
  float16_t v;
  std::memcpy(&v.bits, at, sizeof v.bits);
  return static_cast<float>(v);
}

// ---- packed words ---------------------------------------------------------------------------------------------------

// Two elements in a byte: the low halves are elements 0 to 15, the high ones 16 to 31.
void pack_nibbles(const uint8_t* from, uint32_t* words) {
  for (int word = 0; word < 4; ++word) {
    words[word] = 0;
    for (int k = 0; k < 8; ++k) {
      const int i = word * 8 + k;
      const uint32_t q = i < 16 ? from[i] & 15u : from[i - 16] >> 4;
      words[word] |= q << (4 * k);
    }
  }
}

void unpack_one(const TensorType& type, const uint8_t* from, uint32_t* words, float16_t& scale, float16_t& bias) {
  const float d = half(from);
  scale = float16_t::from(d);
  switch (type.code) {
    case 2:  // Q4_0: (q - 8) * d
      bias = float16_t::from(-8 * d);
      pack_nibbles(from + 2, words);
      return;
    case 3:  // Q4_1: q * d + m
      bias = float16_t::from(half(from + 2));
      pack_nibbles(from + 4, words);
      return;
    default:  // Q8_0: signed bytes * d
      bias = float16_t::from(-128 * d);
      std::memcpy(words, from + 2, 32);
      for (int i = 0; i < 8; ++i) words[i] ^= 0x80808080u;
  }
}

// ---- blocks of 32 ---------------------------------------------------------------------------------------------------

// Q5_0: d, the fifth bits, the other four. Q5_1 has a least value behind d.
template <bool with_least>
void five_bits(const uint8_t* from, float* to) {
  const float d = half(from), least = with_least ? half(from + 2) : -16 * d;
  const uint8_t* high = from + (with_least ? 4 : 2);
  const uint8_t* low = high + 4;
  for (int i = 0; i < 32; ++i) {
    const int q = (i < 16 ? low[i] & 15 : low[i - 16] >> 4) | (high[i / 8] >> (i % 8) & 1) << 4;
    to[i] = with_least ? static_cast<float>(q) * d + least : static_cast<float>(q - 16) * d;
  }
}

// ---- blocks of 256 --------------------------------------------------------------------------------------------------

// Sixteen groups of 16 elements, each with a scale and a least value of 4 bits.
void q2_k(const uint8_t* from, float* to) {
  const uint8_t *scales = from, *quants = from + 16;
  const float d = half(from + 80), dmin = half(from + 82);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 128, shift = i % 128 / 32 * 2;
    const uint8_t scale = scales[i / 16];
    const int q = quants[part * 32 + i % 32] >> shift & 3;
    to[i] = d * static_cast<float>(scale & 15) * static_cast<float>(q) - dmin * static_cast<float>(scale >> 4);
  }
}

// Sixteen groups of 16 elements with scales of 6 bits; the third bit of each element stands apart and counts when it is 0.
void q3_k(const uint8_t* from, float* to) {
  const uint8_t *mask = from, *quants = from + 32, *scales = from + 96;
  const float d = half(from + 108);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 128, step = i % 128 / 32, group = i / 16;
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int scale = (low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
    const int high = mask[i % 32] >> (part * 4 + step) & 1;
    const int q = (quants[part * 32 + i % 32] >> (step * 2) & 3) - (high ? 0 : 4);
    to[i] = d * static_cast<float>(scale) * static_cast<float>(q);
  }
}

struct ScaleAndLeast {
  float scale, least;
};

// Eight scales and eight least values of 6 bits in 12 bytes, of Q4_K and Q5_K.
ScaleAndLeast of_six_bits(const uint8_t* packed, int group) {
  const int j = group;
  if (j < 4) return {static_cast<float>(packed[j] & 63), static_cast<float>(packed[j + 4] & 63)};
  return {static_cast<float>((packed[j + 4] & 15) | packed[j - 4] >> 6 << 4),
          static_cast<float>(packed[j + 4] >> 4 | packed[j] >> 6 << 4)};
}

// Eight groups of 32 elements; Q5_K has a fifth bit of each between scales and quants.
template <bool five>
void q4_or_5_k(const uint8_t* from, float* to) {
  const float d = half(from), dmin = half(from + 2);
  const uint8_t *packed = from + 4, *high = from + 16, *quants = from + (five ? 48 : 16);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndLeast s = of_six_bits(packed, group);
    const float scale = d * s.scale, least = dmin * s.least;
    for (int l = 0; l < 32; ++l) {
      const uint8_t pair = quants[group / 2 * 32 + l];
      int q = group % 2 == 0 ? pair & 15 : pair >> 4;
      if (five) q |= (high[l] >> group & 1) << 4;
      to[group * 32 + l] = scale * static_cast<float>(q) - least;
    }
  }
}

// Sixteen groups of 16 elements with scales of 8 bits; the upper two bits of each element stand apart.
void q6_k(const uint8_t* from, float* to) {
  const uint8_t *lows = from, *highs = from + 128, *scales = from + 192;
  const float d = half(from + 208);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 128, step = i % 128 / 32, l = i % 32;
    const uint8_t low = lows[part * 64 + step % 2 * 32 + l];
    const int q = ((step < 2 ? low & 15 : low >> 4) | (highs[part * 32 + l] >> (step * 2) & 3) << 4) - 32;
    to[i] = d * static_cast<float>(static_cast<int8_t>(scales[i / 16])) * static_cast<float>(q);
  }
}

using Decode = void (*)(const uint8_t* from, float* to);

Decode decoder_of(const TensorType& type) {
  switch (type.code) {
    case 6: return five_bits<false>;
    case 7: return five_bits<true>;
    case 10: return q2_k;
    case 11: return q3_k;
    case 12: return q4_or_5_k<false>;
    case 13: return q4_or_5_k<true>;
    case 14: return q6_k;
    default: throw InternalError("a type of blocks without a decoder");
  }
}

}  // namespace

void unpack(const TensorType& type, const char* from, int64_t blocks, uint32_t* words, float16_t* scales,
            float16_t* biases) {
  parallel_for(blocks, kBlocksAtOnce, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      unpack_one(type, reinterpret_cast<const uint8_t*>(from) + b * type.block_bytes, words + b * type.bits, scales[b],
                 biases[b]);
  });
}

void to_halves(const TensorType& type, const char* from, int64_t blocks, float16_t* to) {
  const Decode decode = decoder_of(type);
  parallel_for(blocks, kBlocksAtOnce, [&](int64_t begin, int64_t end) {
    std::array<float, 256> wide{};
    for (int64_t b = begin; b < end; ++b) {
      decode(reinterpret_cast<const uint8_t*>(from) + b * type.block_bytes, wide.data());
      for (int i = 0; i < type.block; ++i) to[b * type.block + i] = float16_t::from(wide[static_cast<size_t>(i)]);
    }
  });
}

}  // namespace plait::io::gguf
