/* Files of arrays: npy, npz, safetensors, GGUF (docs/files.md). Included by plait/c.h.
 *
 * A file that is damaged, or made to harm, is a PLAIT_USER_ERROR. What is written replaces an old file when it is complete. */
#ifndef PLAIT_C_FILES_H
#define PLAIT_C_FILES_H

#include "plait/c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a file held. Arrays are in the order of their names. */
typedef struct plait_loaded_s* plait_loaded;

/* Reads a file; `format` is "npy", "npz", "safetensors" or "gguf", or null for what the file's ending names. Elements of
 * safetensors and GGUF stay in the file until they are needed. */
PLAIT_API plait_status plait_load(const char* path, const char* format, plait_loaded* out);
/* Null is allowed. Arrays that were handed out stay. */
PLAIT_API void plait_loaded_free(plait_loaded loaded);
/* How many arrays it has; an npy file has one, whose name is "". */
PLAIT_API size_t plait_loaded_count(plait_loaded loaded);
/* The name of the array at a place, null past the last; valid as long as `loaded`. */
PLAIT_API const char* plait_loaded_name(plait_loaded loaded, size_t at);
/* The array of a name. Errors: PLAIT_USER_ERROR where there is none. */
PLAIT_API plait_status plait_loaded_get(plait_loaded loaded, const char* name, plait_array* out);
/* The text that stands beside the arrays under a name, or null; valid as long as `loaded`. */
PLAIT_API const char* plait_loaded_metadata(plait_loaded loaded, const char* key);
/* Metadata of GGUF that is an array. Errors: PLAIT_USER_ERROR where there is none. */
PLAIT_API plait_status plait_loaded_metadata_array(plait_loaded loaded, const char* key, plait_array* out);

/* Each adds its ending to a path that does not have it. Keys and texts are metadata, and may be null with a count of 0. */
PLAIT_API plait_status plait_save(const char* path, plait_array array);
PLAIT_API plait_status plait_savez(const char* path, const char* const* names, const plait_array* arrays, size_t count);
PLAIT_API plait_status plait_savez_compressed(const char* path, const char* const* names, const plait_array* arrays,
                                              size_t count);
PLAIT_API plait_status plait_save_safetensors(const char* path, const char* const* names, const plait_array* arrays,
                                              size_t count, const char* const* keys, const char* const* texts,
                                              size_t metadata_count);
PLAIT_API plait_status plait_save_gguf(const char* path, const char* const* names, const plait_array* arrays,
                                       size_t count, const char* const* keys, const char* const* texts,
                                       size_t metadata_count);

#ifdef __cplusplus
}
#endif

#endif
