#include "plait/c_files.h"

#include <string>
#include <variant>

#include "capi/c_arguments.h"
#include "plait/io.h"

using plait::capi::CArguments, plait::capi::guarded;

struct plait_loaded_s {
  plait::NamedArrays arrays;
  plait::Metadata metadata;
};

namespace {

/// One text for each key. `Map` is plait::TextMetadata or plait::Metadata.
template <class Map>
Map texts_of(const CArguments& in, const char* const* keys, const char* const* texts, size_t count) {
  if (count > 0) in.given(keys, "metadata keys");
  if (count > 0) in.given(texts, "metadata texts");
  Map out;
  for (size_t i = 0; i < count; ++i)
    if (!out.emplace(in.str(keys[i], "metadata key"), std::string(in.str(texts[i], "metadata text"))).second)
      throw plait::ArgumentError({.op = in.op(), .got = std::string("the metadata key ") + keys[i] + " twice"});
  return out;
}

const plait::MetadataValue* metadata_of(plait_loaded loaded, const char* key) {
  if (loaded == nullptr || key == nullptr) return nullptr;
  const auto found = loaded->metadata.find(key);
  return found == loaded->metadata.end() ? nullptr : &found->second;
}

}  // namespace

extern "C" {

plait_status plait_load(const char* path, const char* format, plait_loaded* out) {
  return guarded([&] {
    const CArguments in("plait_load");
    in.str(path, "path");
    in.given(out, "place for the result");
    plait::Loaded file = plait::load(path, format ? std::optional(plait::file_format(format)) : std::nullopt);
    auto loaded = std::make_unique<plait_loaded_s>(plait_loaded_s{std::move(file.arrays), std::move(file.metadata)});
    if (file.array) loaded->arrays.emplace("", *file.array);
    *out = loaded.release();
  });
}

void plait_loaded_free(plait_loaded loaded) { delete loaded; }

size_t plait_loaded_count(plait_loaded loaded) { return loaded ? loaded->arrays.size() : 0; }

const char* plait_loaded_name(plait_loaded loaded, size_t at) {
  if (loaded == nullptr || at >= loaded->arrays.size()) return nullptr;
  return std::next(loaded->arrays.begin(), static_cast<std::ptrdiff_t>(at))->first.c_str();
}

plait_status plait_loaded_get(plait_loaded loaded, const char* name, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_loaded_get");
    in.given(loaded, "file");
    const auto found = loaded->arrays.find(in.str(name, "name"));
    if (found == loaded->arrays.end())
      throw plait::ArgumentError(
          {.op = in.op(),
           .got = std::string("the name ") + name,
           .accepts = "a name of the file's " + std::to_string(loaded->arrays.size()) + " arrays",
           .hint = "plait_loaded_name lists them"});
    in.give(out, [&] { return found->second; });
  });
}

const char* plait_loaded_metadata(plait_loaded loaded, const char* key) {
  const plait::MetadataValue* value = metadata_of(loaded, key);
  const auto* text = value ? std::get_if<std::string>(value) : nullptr;
  return text ? text->c_str() : nullptr;
}

plait_status plait_loaded_metadata_array(plait_loaded loaded, const char* key, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_loaded_metadata_array");
    in.given(loaded, "file");
    in.str(key, "key");
    const plait::MetadataValue* value = metadata_of(loaded, key);
    const auto* array = value ? std::get_if<plait::Array>(value) : nullptr;
    if (array == nullptr)
      throw plait::ArgumentError({.op = in.op(), .got = std::string("the key ") + key, .accepts = "a key of an array"});
    in.give(out, [&] { return *array; });
  });
}

plait_status plait_save(const char* path, plait_array array) {
  return guarded([&] {
    const CArguments in("plait_save");
    plait::save(in.str(path, "path"), in.array(array, "array"));
  });
}

plait_status plait_savez(const char* path, const char* const* names, const plait_array* arrays, size_t count) {
  return guarded([&] {
    const CArguments in("plait_savez");
    plait::savez(in.str(path, "path"), in.named(names, arrays, count));
  });
}

plait_status plait_savez_compressed(const char* path, const char* const* names, const plait_array* arrays,
                                    size_t count) {
  return guarded([&] {
    const CArguments in("plait_savez_compressed");
    plait::savez_compressed(in.str(path, "path"), in.named(names, arrays, count));
  });
}

plait_status plait_save_safetensors(const char* path, const char* const* names, const plait_array* arrays, size_t count,
                                    const char* const* keys, const char* const* texts, size_t metadata_count) {
  return guarded([&] {
    const CArguments in("plait_save_safetensors");
    plait::save_safetensors(in.str(path, "path"), in.named(names, arrays, count),
                            texts_of<plait::TextMetadata>(in, keys, texts, metadata_count));
  });
}

plait_status plait_save_gguf(const char* path, const char* const* names, const plait_array* arrays, size_t count,
                             const char* const* keys, const char* const* texts, size_t metadata_count) {
  return guarded([&] {
    const CArguments in("plait_save_gguf");
    plait::save_gguf(in.str(path, "path"), in.named(names, arrays, count),
                     texts_of<plait::Metadata>(in, keys, texts, metadata_count));
  });
}

}  // extern "C"
