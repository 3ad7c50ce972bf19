/* Typed functions, functions as values, files and devices, from C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plait/c.h"

static int failures = 0;

#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      ++failures;                                                                              \
      printf("%s:%d: %s failed: %s\n", __FILE__, __LINE__, #condition, plait_error_message()); \
    }                                                                                          \
  } while (0)
#define OK(call) CHECK((call) == PLAIT_OK)

static plait_array vector(const float* values, int64_t count) {
  plait_array out = NULL;
  OK(plait_array_new(values, (size_t)count * sizeof(float), &count, 1, PLAIT_FLOAT32, &out));
  return out;
}

static float item(plait_array a) {
  float value = -1234;
  OK(plait_array_read(a, &value, sizeof value));
  return value;
}

static plait_number real(double value) {
  const plait_number number = {PLAIT_NUMBER_FLOAT, 0, value, 0};
  return number;
}

static plait_number integer(int64_t value) {
  const plait_number number = {PLAIT_NUMBER_INT, value, 0, 0};
  return number;
}

static void typed_functions(void) {
  const float values[6] = {1, 2, 3, 4, 5, 6};
  plait_array a = vector(values, 6), b = NULL, c = NULL;
  const int64_t shape[2] = {2, 3};
  OK(plait_reshape(a, shape, 2, &b));
  const int axis = 1;
  OK(plait_sum(b, &axis, 1, false, &c));
  float sums[2] = {0, 0};
  OK(plait_array_read(c, sums, sizeof sums));
  CHECK(sums[0] == 6 && sums[1] == 15);
  plait_array_free(c);
  OK(plait_sum(b, NULL, 0, false, &c)); /* all axes */
  CHECK(item(c) == 21);
  plait_array_free(c);
  OK(plait_sum(b, &axis, 0, false, &c)); /* none */
  CHECK(plait_array_rank(c) == 2);
  plait_array_free(c);

  /* Numbers: of their own dtype, or that beside an array. */
  OK(plait_array_from_number(integer(3), NULL, &c));
  CHECK(plait_array_dtype(c) == PLAIT_INT32 && plait_array_rank(c) == 0);
  plait_array_free(c);
  OK(plait_array_beside(real(0.5), b, &c));
  CHECK(plait_array_dtype(c) == PLAIT_FLOAT32);
  plait_array half = c;
  OK(plait_multiply(b, half, &c));
  char text[64];
  size_t length = 0;
  OK(plait_array_text(half, text, sizeof text, &length));
  CHECK(strcmp(text, "array(0.5, dtype=float32)") == 0 && length == strlen(text));
  OK(plait_array_text(half, text, length, &length)); /* no room for the 0 */
  CHECK(text[0] == '\0' && length == 25);
  plait_array_free(c);
  plait_array_free(half);

  /* Optional arguments and several results. */
  plait_array parts[8] = {NULL};
  size_t count = 0;
  OK(plait_split(a, 3, NULL, 0, 0, parts, 8, &count));
  CHECK(count == 3 && plait_array_extent(parts[2], 0) == 2);
  for (size_t i = 0; i < count; ++i) plait_array_free(parts[i]);
  const int64_t at[2] = {1, 4};
  OK(plait_split(a, 0, at, 2, 0, parts, 8, &count));
  CHECK(count == 3 && plait_array_extent(parts[1], 0) == 3);
  for (size_t i = 0; i < count; ++i) plait_array_free(parts[i]);
  const plait_dtype half_precision = PLAIT_FLOAT16;
  const plait_number stop = integer(5), step = integer(2);
  OK(plait_arange(integer(1), &stop, &step, &half_precision, &c));
  CHECK(plait_array_dtype(c) == PLAIT_FLOAT16 && plait_array_extent(c, 0) == 2);
  plait_array_free(c);
  OK(plait_linalg_norm(a, NULL, NULL, NULL, 0, false, &c));
  CHECK(item(c) > 9.53f && item(c) < 9.55f);
  plait_array_free(c);
  OK(plait_random_key(7, &c));
  const int64_t four[1] = {4};
  plait_array drawn = NULL;
  OK(plait_random_uniform(NULL, NULL, four, 1, NULL, c, &drawn));
  CHECK(plait_array_extent(drawn, 0) == 4);
  plait_array_free(drawn);
  plait_array_free(c);

  /* What is wrong is a status, and nothing is handed out. */
  c = NULL;
  CHECK(plait_add(a, NULL, &c) == PLAIT_USER_ERROR && c == NULL);
  CHECK(strstr(plait_error_message(), "no b") != NULL);
  CHECK(plait_add(a, b, &c) == PLAIT_USER_ERROR && c == NULL);
  CHECK(plait_add(a, a, NULL) == PLAIT_USER_ERROR);
  CHECK(plait_reshape(a, NULL, 2, &c) == PLAIT_USER_ERROR);
  CHECK(plait_split(a, 3, NULL, 0, 0, parts, 2, &count) == PLAIT_USER_ERROR);
  CHECK(plait_einsum(NULL, &a, 1, &c) == PLAIT_USER_ERROR);
  const int far = 9;
  CHECK(plait_sum(a, &far, 1, false, &c) == PLAIT_USER_ERROR && c == NULL);
  const plait_dtype none = (plait_dtype)77;
  CHECK(plait_astype(a, none, &c) == PLAIT_USER_ERROR && c == NULL);
  const int64_t far_more[3] = {(int64_t)1 << 40, INT64_MAX, 2}; /* than there is: nothing is allocated for it */
  CHECK(plait_array_new(values, sizeof values, far_more, 1, PLAIT_FLOAT32, &c) == PLAIT_USER_ERROR && c == NULL);
  CHECK(plait_array_new(values, sizeof values, far_more + 1, 2, PLAIT_FLOAT32, &c) == PLAIT_USER_ERROR && c == NULL);
  CHECK(plait_array_new(values, SIZE_MAX, far_more + 1, 1, PLAIT_UINT8, &c) == PLAIT_USER_ERROR && c == NULL);
  plait_number odd = integer(1);
  odd.kind = (plait_number_kind)9;
  CHECK(plait_array_from_number(odd, NULL, &c) == PLAIT_USER_ERROR);
  plait_array_free(b);
  plait_array_free(a);
}

typedef struct {
  int calls;
  int freed;
} Context;

static void set_freed(void* context) { ++((Context*)context)->freed; }

/* sum(x * x * y) */
static plait_status weighted(void* context, const plait_array* in, size_t count, plait_array* out, size_t capacity,
                             size_t* out_count) {
  ++((Context*)context)->calls;
  if (count != 2 || capacity < 1) return PLAIT_USER_ERROR;
  plait_array square = NULL, product = NULL;
  plait_status status = plait_square(in[0], &square);
  if (status == PLAIT_OK) status = plait_multiply(square, in[1], &product);
  if (status == PLAIT_OK) status = plait_sum(product, NULL, 0, false, &out[0]);
  if (status == PLAIT_OK) *out_count = 1;
  plait_array_free(square);
  plait_array_free(product);
  return status;
}

/* (carry, x) -> (carry + x, carry * x) */
static plait_status running(void* context, const plait_array* in, size_t count, plait_array* out, size_t capacity,
                            size_t* out_count) {
  (void)context;
  (void)count;
  (void)capacity;
  plait_status status = plait_add(in[0], in[1], &out[0]);
  if (status != PLAIT_OK) return status;
  status = plait_multiply(in[0], in[1], &out[1]);
  if (status != PLAIT_OK)
    plait_array_free(out[0]);
  else
    *out_count = 2;
  return status;
}

/* Hands out what is not its own, or one handle as two results. */
static plait_status wrongly(void* context, const plait_array* in, size_t count, plait_array* out, size_t capacity,
                            size_t* out_count) {
  (void)count, (void)capacity;
  plait_status status = PLAIT_OK;
  if (*(const int*)context == 1)
    out[0] = in[0];
  else
    status = plait_add(in[0], in[0], &out[0]);
  out[1] = out[0];
  *out_count = *(const int*)context;
  return status;
}

/* Fails of its own, with no message of plait. */
static plait_status refuses(void* context, const plait_array* in, size_t count, plait_array* out, size_t capacity,
                            size_t* out_count) {
  (void)in, (void)count, (void)out, (void)capacity, (void)out_count;
  return *(const plait_status*)context;
}

typedef struct {
  plait_function self;
  int freed, freed_while_it_ran;
} Fleeting;

static void fleeting_freed(void* context) { ++((Fleeting*)context)->freed; }

/* Gives its own handle back, which ends no earlier than the call. */
static plait_status fleeting(void* context, const plait_array* in, size_t count, plait_array* out, size_t capacity,
                             size_t* out_count) {
  (void)count, (void)capacity;
  Fleeting* const own = context;
  plait_function_free(own->self);
  own->freed_while_it_ran = own->freed;
  *out_count = 1;
  return plait_negative(in[0], &out[0]);
}

static void callbacks(void) {
  const float xs[3] = {1, 2, 3};
  plait_array x = vector(xs, 3), out[2] = {NULL};
  size_t count = 0;
  plait_function f = NULL;
  CHECK(plait_add(x, NULL, &out[0]) == PLAIT_USER_ERROR); /* a message of something else */
  const plait_status all[] = {PLAIT_USER_ERROR, PLAIT_INDEX_ERROR, PLAIT_OUT_OF_MEMORY, PLAIT_DEVICE_ERROR,
                              PLAIT_INTERNAL_ERROR};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    OK(plait_function_new(refuses, (void*)&all[i], NULL, &f));
    CHECK(plait_function_call(f, &x, 1, NULL, NULL, 0, out, 2, &count) == all[i]);
    char want[32];
    snprintf(want, sizeof want, "with status %d", (int)all[i]);
    CHECK(strstr(plait_error_message(), want) != NULL && strstr(plait_error_message(), "no b") == NULL);
    plait_function_free(f);
  }

  Fleeting context = {NULL, 0, -1};
  OK(plait_function_new(fleeting, &context, fleeting_freed, &context.self));
  OK(plait_function_call(context.self, &x, 1, NULL, NULL, 0, out, 2, &count));
  CHECK(context.freed_while_it_ran == 0 && context.freed == 1);
  float got[3] = {0, 0, 0};
  OK(plait_array_read(out[0], got, sizeof got));
  CHECK(got[2] == -3);
  plait_array_free(out[0]);
  plait_array_free(x);
}

static void functions(const char* folder) {
  Context context = {0, 0};
  const float xs[3] = {1, 2, 3}, ys[3] = {1, 0, 2};
  plait_array in[2] = {vector(xs, 3), vector(ys, 3)}, out[4] = {NULL};
  size_t count = 0;
  plait_function f = NULL, gradient = NULL, both = NULL, compiled = NULL, imported = NULL;
  OK(plait_function_new(weighted, &context, set_freed, &f));
  OK(plait_function_call(f, in, 2, NULL, NULL, 0, out, 4, &count));
  CHECK(count == 1 && item(out[0]) == 19);
  plait_array_free(out[0]);

  const int first = 0;
  OK(plait_grad(f, &first, 1, &gradient));
  OK(plait_function_call(gradient, in, 2, NULL, NULL, 0, out, 4, &count));
  float got[3];
  OK(plait_array_read(out[0], got, sizeof got));
  CHECK(count == 1 && got[0] == 2 && got[1] == 0 && got[2] == 12);
  plait_array_free(out[0]);
  OK(plait_value_and_grad(f, &first, 1, &both));
  OK(plait_compile(both, &compiled));
  const int calls = context.calls;
  for (int i = 0; i < 3; ++i) {
    OK(plait_function_call(compiled, in, 2, NULL, NULL, 0, out, 4, &count));
    CHECK(count == 2 && item(out[0]) == 19);
    plait_array_free(out[0]);
    plait_array_free(out[1]);
  }
  CHECK(context.calls == calls + 1);

  /* What a callback says was wrong is what the call says. */
  CHECK(plait_function_call(f, in, 1, NULL, NULL, 0, out, 4, &count) == PLAIT_USER_ERROR);
  const float two[2] = {1, 2};
  plait_array bad[2] = {in[0], vector(two, 2)};
  CHECK(plait_function_call(f, bad, 2, NULL, NULL, 0, out, 4, &count) == PLAIT_USER_ERROR);
  CHECK(strstr(plait_error_message(), "multiply") != NULL);
  const char* name = "y";
  CHECK(plait_function_call(f, in, 1, &name, in + 1, 1, out, 4, &count) == PLAIT_USER_ERROR);
  plait_array_free(bad[1]);

  for (int results = 1; results <= 2; ++results) {
    plait_function wrong = NULL;
    OK(plait_function_new(wrongly, &results, NULL, &wrong));
    CHECK(plait_function_call(wrong, in, 1, NULL, NULL, 0, out, 4, &count) == PLAIT_USER_ERROR);
    CHECK(strstr(plait_error_message(), "plait_array_copy") != NULL);
    OK(plait_array_read(in[0], got, sizeof got));
    CHECK(got[2] == 3);
    plait_function_free(wrong);
  }

  /* Through a file. */
  char path[512];
  snprintf(path, sizeof path, "%s/c_doors.plait", folder);
  OK(plait_export_function(path, f, in, 2, true, "weighted"));
  OK(plait_function_import(path, &imported));
  remove(path);
  CHECK(strcmp(plait_function_metadata(imported), "weighted") == 0);
  OK(plait_function_call(imported, in, 2, NULL, NULL, 0, out, 4, &count));
  CHECK(item(out[0]) == 19);
  plait_array_free(out[0]);

  /* Loops. */
  plait_function step = NULL;
  OK(plait_function_new(running, NULL, NULL, &step));
  plait_array zero = NULL;
  OK(plait_array_from_number(real(0), NULL, &zero));
  OK(plait_scan(step, &zero, 1, in, 1, -1, false, 1, out, 4, &count));
  CHECK(count == 2 && item(out[0]) == 6);
  OK(plait_array_read(out[1], got, sizeof got));
  CHECK(got[0] == 0 && got[1] == 2 && got[2] == 9);
  plait_array_free(out[0]);
  plait_array_free(out[1]);
  plait_array_free(zero);
  plait_function_free(step);

  plait_function_free(f);
  CHECK(context.freed == 0); /* what is made of it needs it */
  plait_function_free(gradient);
  plait_function_free(both);
  plait_function_free(compiled);
  CHECK(context.freed == 1);
  plait_function_free(imported);
  CHECK(plait_function_new(NULL, &context, set_freed, &f) == PLAIT_USER_ERROR && context.freed == 2);
  plait_array_free(in[0]);
  plait_array_free(in[1]);
}

static void files(const char* folder) {
  char path[512], other[512];
  snprintf(path, sizeof path, "%s/c_doors.safetensors", folder);
  snprintf(other, sizeof other, "%s/c_doors.npz", folder);
  const float xs[3] = {1, 2, 3}, ys[2] = {4, 5};
  plait_array arrays[2] = {vector(xs, 3), vector(ys, 2)}, a = NULL;
  const char* names[2] = {"x", "y"};
  const char* key = "made by";
  const char* text = "C";
  OK(plait_save_safetensors(path, names, arrays, 2, &key, &text, 1));
  if (plait_savez_compressed(other, names, arrays, 2) != PLAIT_OK) {
    CHECK(strstr(plait_error_message(), "PLAIT_ZLIB") != NULL);
    printf("NO ZLIB: compressed archives are not tested\n");
    OK(plait_savez(other, names, arrays, 2));
  }
  plait_loaded loaded = NULL;
  for (int i = 0; i < 2; ++i) {
    OK(plait_load(i ? other : path, NULL, &loaded));
    CHECK(plait_loaded_count(loaded) == 2 && strcmp(plait_loaded_name(loaded, 1), "y") == 0);
    CHECK(plait_loaded_name(loaded, 2) == NULL);
    OK(plait_loaded_get(loaded, "y", &a));
    float got[2] = {0, 0};
    OK(plait_array_read(a, got, sizeof got));
    CHECK(got[1] == 5);
    plait_array_free(a);
    a = NULL;
    CHECK(plait_loaded_get(loaded, "z", &a) == PLAIT_USER_ERROR && a == NULL);
    if (i == 0) CHECK(strcmp(plait_loaded_metadata(loaded, "made by"), "C") == 0);
    CHECK(plait_loaded_metadata(loaded, "nothing") == NULL);
    plait_loaded_free(loaded);
    loaded = NULL;
  }
  CHECK(plait_load(path, "npz", &loaded) == PLAIT_USER_ERROR && loaded == NULL);
  CHECK(plait_load("/no/such/file.npz", NULL, &loaded) == PLAIT_USER_ERROR);
  const char* twice[2] = {"x", "x"};
  CHECK(plait_savez(other, twice, arrays, 2) == PLAIT_USER_ERROR);
  remove(path);
  remove(other);
  plait_array_free(arrays[0]);
  plait_array_free(arrays[1]);
  plait_loaded_free(NULL);
}

static void devices(void) {
  const plait_device cpu = {PLAIT_CPU, 0}, far = {PLAIT_CPU, 9};
  plait_device device = far;
  OK(plait_default_device(&device));
  CHECK(plait_is_available(cpu) && !plait_is_available(far) && plait_device_count(PLAIT_CPU) == 1);
  char name[256];
  size_t length = 0;
  OK(plait_device_name(cpu, name, sizeof name, &length));
  CHECK(length > 0 && length == strlen(name));
  plait_stream first, stream;
  OK(plait_default_stream(cpu, &first));
  OK(plait_new_stream(cpu, &stream));
  CHECK(stream.index != first.index);
  OK(plait_set_default_stream(stream));
  const float xs[3] = {1, 2, 3};
  plait_array x = vector(xs, 3), y = NULL;
  OK(plait_exp(x, &y));
  OK(plait_async_eval(&y, 1));
  OK(plait_synchronize(stream));
  OK(plait_array_device(y, &device));
  CHECK(device.type == PLAIT_CPU && device.index == 0);
  OK(plait_set_default_stream(first));
  CHECK(plait_new_stream(far, &stream) == PLAIT_DEVICE_ERROR);

  plait_memory memory;
  OK(plait_memory_stats(cpu, &memory));
  CHECK(memory.active > 0 && memory.limit > 0 && memory.peak >= memory.active);
  int64_t before = 0;
  OK(plait_set_memory_limit(cpu, memory.active + 4096, &before));
  CHECK(before == memory.limit);
  const int64_t large[1] = {1 << 20};
  plait_array zeros = NULL;
  OK(plait_zeros(large, 1, NULL, &zeros));
  plait_array sum = NULL;
  OK(plait_add(zeros, zeros, &sum));
  CHECK(plait_eval(&sum, 1) == PLAIT_OUT_OF_MEMORY);
  OK(plait_set_memory_limit(cpu, before, NULL));
  OK(plait_eval(&sum, 1)); /* nothing was lost */
  plait_array_free(zeros);
  plait_array_free(sum);
  plait_array_free(x);
  plait_array_free(y);
}

int main(void) {
  const char* folder = getenv("TMPDIR");
  if (folder == NULL) folder = "/tmp";
  typed_functions();
  callbacks();
  functions(folder);
  files(folder);
  devices();
  printf("plait %s: %s\n", plait_version(), failures ? "FAILED" : "ok");
  return failures != 0;
}
