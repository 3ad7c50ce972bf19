#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "plait/dtype.h"

/// Numbers of the GGUF format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
namespace plait::io::gguf {

inline constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
inline constexpr uint32_t kVersion = 3;
inline constexpr uint64_t kAlignment = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";

// Types of metadata.
inline constexpr uint32_t kString = 8, kArray = 9;
struct ValueType {
  uint32_t code;
  DType dtype;
};
inline constexpr ValueType kValueTypes[] = {
    {0, DType::uint8},   {1, DType::int8},   {2, DType::uint16},   {3, DType::int16},
    {4, DType::uint32},  {5, DType::int32},  {6, DType::float32},  {7, DType::bool_},
    {10, DType::uint64}, {11, DType::int64}, {12, DType::float64},
};

/// How a type of tensors becomes arrays: elements as they are; packed words with scales and biases, as quantize gives them;
/// or float16.
enum class Becomes : uint8_t { elements, packed, halves };

struct TensorType {
  uint32_t code;
  std::string_view name;
  Becomes becomes;
  DType dtype;  // of elements
  int block;  // elements that are stored together, along the last axis
  int block_bytes;
  int bits = 0;  // packed
};
inline constexpr TensorType kTensorTypes[] = {
    {0, "F32", Becomes::elements, DType::float32, 1, 4},     {1, "F16", Becomes::elements, DType::float16, 1, 2},
    {30, "BF16", Becomes::elements, DType::bfloat16, 1, 2},  {24, "I8", Becomes::elements, DType::int8, 1, 1},
    {25, "I16", Becomes::elements, DType::int16, 1, 2},      {26, "I32", Becomes::elements, DType::int32, 1, 4},
    {27, "I64", Becomes::elements, DType::int64, 1, 8},      {28, "F64", Becomes::elements, DType::float64, 1, 8},
    {2, "Q4_0", Becomes::packed, DType::uint32, 32, 18, 4},  {3, "Q4_1", Becomes::packed, DType::uint32, 32, 20, 4},
    {8, "Q8_0", Becomes::packed, DType::uint32, 32, 34, 8},  {6, "Q5_0", Becomes::halves, DType::float16, 32, 22},
    {7, "Q5_1", Becomes::halves, DType::float16, 32, 24},    {10, "Q2_K", Becomes::halves, DType::float16, 256, 84},
    {11, "Q3_K", Becomes::halves, DType::float16, 256, 110}, {12, "Q4_K", Becomes::halves, DType::float16, 256, 144},
    {13, "Q5_K", Becomes::halves, DType::float16, 256, 176}, {14, "Q6_K", Becomes::halves, DType::float16, 256, 210},
};

/// Names of types that no array can be made of, for messages.
inline constexpr struct {
  uint32_t code;
  std::string_view name;
} kOtherTypes[] = {{9, "Q8_1"},   {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
                   {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},  {23, "IQ4_XS"},
                   {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}};

constexpr const TensorType* tensor_type(uint32_t code) {
  for (const TensorType& type : kTensorTypes)
    if (type.code == code) return &type;
  return nullptr;
}

}  // namespace plait::io::gguf
