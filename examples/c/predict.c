/* Runs a function that another program exported, with parameters from a safetensors file.
 *
 *   predict MODEL.plait WEIGHTS.safetensors ROWS
 *
 * The function takes x, float32 (rows, 3), and the file's arrays by their names. Prints each number of the first result. */
#include <stdio.h>
#include <stdlib.h>

#include "plait/c.h"

/* Ends the program with what went wrong. A larger one would hand the status on. */
static void check(plait_status status) {
  if (status == PLAIT_OK) return;
  fprintf(stderr, "%s\n", plait_error_message());
  exit(1);
}

/* 0, 0.1, 0.2, ...: (rows, 3) */
static plait_array input(int64_t rows) {
  const int64_t shape[2] = {rows, 3};
  const plait_number zero = {.kind = PLAIT_NUMBER_FLOAT},
                     end = {.kind = PLAIT_NUMBER_FLOAT, .real = 3.0 * (double)rows};
  const plait_number ten = {.kind = PLAIT_NUMBER_FLOAT, .real = 10.0};
  plait_array counted, divisor, divided, x;
  check(plait_arange_to(zero, end, &counted));
  check(plait_array_beside(ten, counted, &divisor));
  check(plait_divide(counted, divisor, &divided));
  check(plait_reshape(divided, shape, 2, &x));
  plait_array_free(counted);
  plait_array_free(divisor);
  plait_array_free(divided);
  return x;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s MODEL.plait WEIGHTS.safetensors ROWS\n", argv[0]);
    return 2;
  }
  plait_function predict;
  plait_loaded weights;
  check(plait_function_import(argv[1], &predict));
  check(plait_load(argv[2], NULL, &weights));

  enum { kMost = 64 };
  const size_t count = plait_loaded_count(weights);
  const char* names[kMost];
  plait_array named[kMost];
  if (count > kMost) return 2;
  for (size_t i = 0; i < count; ++i) {
    names[i] = plait_loaded_name(weights, i);
    check(plait_loaded_get(weights, names[i], &named[i]));
  }

  plait_array x = input(atoll(argv[3])), result;
  size_t results;
  check(plait_function_call(predict, &x, 1, names, named, count, &result, 1, &results));

  const size_t bytes = plait_array_bytes(result);
  float* numbers = malloc(bytes ? bytes : 1);
  if (numbers == NULL) return 2;
  check(plait_array_read(result, numbers, bytes)); /* computed here */
  for (size_t i = 0; i < bytes / sizeof(float); ++i) printf("%.8g\n", (double)numbers[i]);

  free(numbers);
  plait_array_free(result);
  plait_array_free(x);
  for (size_t i = 0; i < count; ++i) plait_array_free(named[i]);
  plait_loaded_free(weights);
  plait_function_free(predict);
  return 0;
}
