#pragma once

#include "io/gguf_format.h"

namespace plait::io::gguf {

/// `blocks` blocks of 32 elements as packed words, and for each block a scale and a bias: an element is scale * q + bias.
void unpack(const TensorType& type, const char* from, int64_t blocks, uint32_t* words, float16_t* scales,
            float16_t* biases);

/// `blocks` blocks as float16.
void to_halves(const TensorType& type, const char* from, int64_t blocks, float16_t* to);

}  // namespace plait::io::gguf
