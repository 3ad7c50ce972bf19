/* plait for other languages: a C ABI that only grows. This file has arrays, errors and calls by name, and includes the rest:
 *
 *   plait/c_ops.h         every function of plait.core that has arrays for results, typed; generated
 *   plait/c_more_ops.h    those of them that Python calls with several kinds of argument
 *   plait/c_functions.h   functions as values: transforms, loops, files of exported functions
 *   plait/c_files.h       npy, npz, safetensors, GGUF
 *   plait/c_devices.h     devices, streams, memory
 *
 * docs/other_languages.md shows programs.
 *
 * Ownership: every plait_array that a function hands out belongs to the caller, who gives it back with
 * plait_array_free. Arguments are borrowed. Threads: any; one handle is not freed while another thread uses it.
 * Errors: functions return PLAIT_OK or the kind of error; plait_error_message tells the calling thread what happened.
 * Nothing throws or aborts across this border. */
#ifndef PLAIT_C_H
#define PLAIT_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plait/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct plait_array_s* plait_array;

typedef enum plait_dtype {
  PLAIT_BOOL,
  PLAIT_UINT8,
  PLAIT_UINT16,
  PLAIT_UINT32,
  PLAIT_UINT64,
  PLAIT_INT8,
  PLAIT_INT16,
  PLAIT_INT32,
  PLAIT_INT64,
  PLAIT_FLOAT16,
  PLAIT_BFLOAT16,
  PLAIT_FLOAT32,
  PLAIT_FLOAT64,
  PLAIT_COMPLEX64
} plait_dtype;

typedef enum plait_status {
  PLAIT_OK = 0,
  PLAIT_USER_ERROR = 1, /* a bad argument, shape, axis or dtype */
  PLAIT_INDEX_ERROR = 2, /* an index out of range */
  PLAIT_OUT_OF_MEMORY = 3, /* nothing was lost; smaller work may succeed */
  PLAIT_DEVICE_ERROR = 4,
  PLAIT_INTERNAL_ERROR = 5 /* a defect of plait */
} plait_status;

typedef enum plait_number_kind {
  PLAIT_NUMBER_BOOL, /* integer */
  PLAIT_NUMBER_INT, /* integer */
  PLAIT_NUMBER_FLOAT, /* real */
  PLAIT_NUMBER_COMPLEX /* real, imaginary */
} plait_number_kind;

/* A number of the host language; which fields count is said by `kind`. */
typedef struct plait_number {
  plait_number_kind kind;
  int64_t integer;
  double real;
  double imaginary;
} plait_number;

typedef enum plait_attr_kind {
  PLAIT_ATTR_NONE,
  PLAIT_ATTR_BOOL, /* integer */
  PLAIT_ATTR_INT, /* integer */
  PLAIT_ATTR_FLOAT, /* number */
  PLAIT_ATTR_STRING, /* text */
  PLAIT_ATTR_DTYPE, /* integer: a plait_dtype */
  PLAIT_ATTR_INTS, /* ints, count */
  PLAIT_ATTR_ARRAY /* array */
} plait_attr_kind;

/* An argument by name; which field counts is said by `kind`. */
typedef struct plait_attr {
  const char* name;
  plait_attr_kind kind;
  int64_t integer;
  double number;
  const char* text;
  const int64_t* ints;
  size_t count;
  plait_array array;
} plait_attr;

/* "major.minor.patch" of the library in use. */
PLAIT_API const char* plait_version(void);

/* What the calling thread's last failed call said; "" before the first. Valid until its next failed call. */
PLAIT_API const char* plait_error_message(void);

/* Copies row-major elements into a new array. `rank` extents; `bytes` must be what shape and dtype need. */
PLAIT_API plait_status plait_array_new(const void* data, size_t bytes, const int64_t* shape, int rank,
                                       plait_dtype dtype, plait_array* out);
/* Another handle on the same value. */
PLAIT_API plait_status plait_array_copy(plait_array array, plait_array* out);
/* Null is allowed. */
PLAIT_API void plait_array_free(plait_array array);
/* A number as a 0-d array, of the number's own dtype (bool, int32, int64 where it needs that, float32, complex64) where
 * `dtype` is null. */
PLAIT_API plait_status plait_array_from_number(plait_number number, const plait_dtype* dtype, plait_array* out);
/* A number as a 0-d array of the dtype it has beside `like`: `like + 1` in Python is plait_add(like, 1 beside like). */
PLAIT_API plait_status plait_array_beside(plait_number number, plait_array like, plait_array* out);

PLAIT_API int plait_array_rank(plait_array array);
/* Extent along `axis`, 0 to rank - 1; -1 for an axis that does not exist. A traced function that reads one is traced again
 * for another. */
PLAIT_API int64_t plait_array_extent(plait_array array, int axis);
PLAIT_API plait_dtype plait_array_dtype(plait_array array);
PLAIT_API size_t plait_array_bytes(plait_array array);

/* Computes arrays now, in one plan. */
PLAIT_API plait_status plait_eval(const plait_array* arrays, size_t count);
/* Starts computing them in the background; errors come when a result is asked for. */
PLAIT_API plait_status plait_async_eval(const plait_array* arrays, size_t count);
/* Elements as Python prints them, evaluating first. Copies the text and its 0 if both have room; *length is that of the
 * text in any case. */
PLAIT_API plait_status plait_array_text(plait_array array, char* to, size_t capacity, size_t* length);
/* Copies the elements, row-major, evaluating first. `bytes` must be plait_array_bytes. */
PLAIT_API plait_status plait_array_read(plait_array array, void* to, size_t bytes);

/* Calls a function of plait.core by name ("add", "random.uniform"): arrays in order, all else by name. Writes at most
 * `capacity` results and their number; with more results than that it fails and hands out none. */
PLAIT_API plait_status plait_call(const char* name, const plait_array* arrays, size_t array_count,
                                  const plait_attr* attrs, size_t attr_count, plait_array* results, size_t capacity,
                                  size_t* result_count);

#ifdef __cplusplus
}
#endif

#include "plait/c_devices.h"
#include "plait/c_files.h"
#include "plait/c_functions.h"
#include "plait/c_more_ops.h"
#include "plait/c_ops.h"

#endif
