/* The C ABI as a C program uses it: arrays in, a function by name, results out, errors as statuses. */
#include <math.h>
#include <stdio.h>
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

static plait_array floats(const float* values, const int64_t* shape, int rank) {
  size_t count = 1;
  for (int i = 0; i < rank; ++i) count *= (size_t)shape[i];
  plait_array out = NULL;
  CHECK(plait_array_new(values, count * sizeof(float), shape, rank, PLAIT_FLOAT32, &out) == PLAIT_OK);
  return out;
}

int main(void) {
  const int64_t shape[2] = {2, 3};
  const float values[6] = {1, 2, 3, 4, 5, 6};
  plait_array a = floats(values, shape, 2);
  CHECK(plait_array_rank(a) == 2 && plait_array_extent(a, 1) == 3 && plait_array_extent(a, 2) == -1);
  CHECK(plait_array_dtype(a) == PLAIT_FLOAT32 && plait_array_bytes(a) == 24);

  plait_array sum = NULL;
  size_t count = 0;
  const plait_array pair[2] = {a, a};
  CHECK(plait_call("add", pair, 2, NULL, 0, &sum, 1, &count) == PLAIT_OK && count == 1);

  plait_attr axis;
  memset(&axis, 0, sizeof axis);
  axis.name = "axis";
  axis.kind = PLAIT_ATTR_INT;
  axis.integer = 1;
  plait_array total = NULL;
  CHECK(plait_call("sum", &sum, 1, &axis, 1, &total, 1, &count) == PLAIT_OK);
  CHECK(plait_eval(&total, 1) == PLAIT_OK);
  float got[2] = {0, 0};
  CHECK(plait_array_read(total, got, sizeof got) == PLAIT_OK);
  CHECK(got[0] == 12 && got[1] == 30);

  plait_array copy = NULL;
  CHECK(plait_array_copy(total, &copy) == PLAIT_OK);
  plait_array_free(total);
  CHECK(plait_array_read(copy, got, sizeof got) == PLAIT_OK && got[1] == 30);

  /* Errors are statuses with a message; nothing is handed out. */
  plait_array none = NULL;
  axis.integer = 7;
  CHECK(plait_call("sum", &a, 1, &axis, 1, &none, 1, &count) == PLAIT_USER_ERROR && none == NULL);
  CHECK(strstr(plait_error_message(), "axis 7") != NULL);
  axis.integer = ((int64_t)1 << 32) + 1; /* its low bits are an axis */
  CHECK(plait_call("sum", &a, 1, &axis, 1, &none, 1, &count) == PLAIT_USER_ERROR && none == NULL);
  axis.kind = PLAIT_ATTR_INTS;
  axis.ints = &axis.integer;
  axis.count = 1;
  CHECK(plait_call("sum", &a, 1, &axis, 1, &none, 1, &count) == PLAIT_USER_ERROR && none == NULL);
  axis.kind = PLAIT_ATTR_INT;
  axis.integer = 7;
  CHECK(plait_call("no_such_function", &a, 1, NULL, 0, &none, 1, &count) == PLAIT_USER_ERROR);
  CHECK(plait_call(NULL, &a, 1, NULL, 0, &none, 1, &count) == PLAIT_USER_ERROR);
  CHECK(plait_call("add", pair, 2, NULL, 0, &none, 0, &count) == PLAIT_USER_ERROR && none == NULL);
  CHECK(plait_array_new(values, 20, shape, 2, PLAIT_FLOAT32, &none) == PLAIT_USER_ERROR);
  CHECK(plait_array_new(values, 24, shape, 2, (plait_dtype)99, &none) == PLAIT_USER_ERROR);
  axis.kind = (plait_attr_kind)99;
  CHECK(plait_call("sum", &a, 1, &axis, 1, &none, 1, &count) == PLAIT_USER_ERROR && none == NULL);
  CHECK(plait_array_read(copy, got, 4) == PLAIT_USER_ERROR);
  CHECK(plait_eval(NULL, 1) == PLAIT_USER_ERROR);
  const int64_t huge[2] = {INT64_C(1) << 40, INT64_C(1) << 40};
  CHECK(plait_array_new(values, 24, huge, 2, PLAIT_FLOAT32, &none) != PLAIT_OK);

  plait_array_free(copy);
  plait_array_free(sum);
  plait_array_free(a);
  plait_array_free(NULL);
  printf("plait %s: %s\n", plait_version(), failures ? "FAILED" : "ok");
  return failures != 0;
}
