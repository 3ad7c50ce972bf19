/* Devices, streams, and the memory of arrays (docs/devices.md). Included by plait/c.h.
 *
 * Operations go to the default stream of the default device of the thread that makes them. Errors: PLAIT_DEVICE_ERROR for
 * a device or stream that is not there. */
#ifndef PLAIT_C_DEVICES_H
#define PLAIT_C_DEVICES_H

#include "plait/c.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum plait_device_type { PLAIT_CPU, PLAIT_GPU } plait_device_type;

typedef struct plait_device {
  plait_device_type type;
  int32_t index; /* among those of its type */
} plait_device;

/* An order of execution on one device. */
typedef struct plait_stream {
  uint32_t index;
  plait_device device;
} plait_stream;

PLAIT_API bool plait_is_available(plait_device device);
PLAIT_API int plait_device_count(plait_device_type type);
PLAIT_API plait_status plait_default_device(plait_device* out);
/* For the whole process. */
PLAIT_API plait_status plait_set_default_device(plait_device device);
/* The name ("NVIDIA H200") and architecture of a device, as plait_array_text gives a text. */
PLAIT_API plait_status plait_device_name(plait_device device, char* to, size_t capacity, size_t* length);
PLAIT_API plait_status plait_device_architecture(plait_device device, char* to, size_t capacity, size_t* length);

/* Of the calling thread, on a device. */
PLAIT_API plait_status plait_default_stream(plait_device device, plait_stream* out);
PLAIT_API plait_status plait_set_default_stream(plait_stream stream);
PLAIT_API plait_status plait_new_stream(plait_device device, plait_stream* out);
/* Waits for everything submitted to the stream. */
PLAIT_API plait_status plait_synchronize(plait_stream stream);
/* The same elements, computed on a device. */
PLAIT_API plait_status plait_array_to_device(plait_array array, plait_device device, plait_array* out);
/* The device that the elements are or will be computed on. */
PLAIT_API plait_status plait_array_device(plait_array array, plait_device* out);

/* Bytes of arrays in one device's memory, and its limits. */
typedef struct plait_memory {
  int64_t active;
  int64_t peak;
  int64_t cached;
  int64_t limit;
  int64_t cache_limit;
} plait_memory;

PLAIT_API plait_status plait_memory_stats(plait_device device, plait_memory* out);
PLAIT_API plait_status plait_reset_peak_memory(plait_device device);
PLAIT_API plait_status plait_clear_cache(plait_device device);
/* Past it an allocation is PLAIT_OUT_OF_MEMORY. `before` may be null. */
PLAIT_API plait_status plait_set_memory_limit(plait_device device, int64_t bytes, int64_t* before);
PLAIT_API plait_status plait_set_cache_limit(plait_device device, int64_t bytes, int64_t* before);

#ifdef __cplusplus
}
#endif

#endif
