#pragma once

#include <span>

#include "plait/io.h"

/// What writers of all formats share.
namespace plait::io {

/// The same arrays, computed in one go, row-major. Errors: as evaluation.
NamedArrays ready(const NamedArrays& arrays);
Array ready(const Array& array);

/// The elements of one of those, on the host.
std::span<const char> elements_of(const Array& ready);

// One format each, of arrays that are ready.
void write_npy(ByteSink& to, const Array& array);
void write_npz(ByteSink& to, const NamedArrays& arrays, bool deflated);
void write_safetensors(ByteSink& to, const NamedArrays& arrays, const TextMetadata& metadata);
void write_gguf(ByteSink& to, const NamedArrays& arrays, const Metadata& metadata);

}  // namespace plait::io
