/* Functions of plait.core that Python calls with several kinds of argument. Included by plait/c.h; further as plait/c_ops.h. */
#ifndef PLAIT_C_MORE_OPS_H
#define PLAIT_C_MORE_OPS_H

#include "plait/c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values from start up to stop, without it; plait_arange has steps too. */
PLAIT_API plait_status plait_arange_to(plait_number start, plait_number stop, plait_array* result);

/* Convolution over one to three axes: input (n, spatial..., c), weight (c_out, kernel..., c / groups). Each list has one
 * number, or one for each spatial axis. */
PLAIT_API plait_status plait_conv_general(plait_array input, plait_array weight, const int64_t* stride,
                                          size_t stride_count, const int64_t* padding_low, size_t padding_low_count,
                                          const int64_t* padding_high, size_t padding_high_count,
                                          const int64_t* kernel_dilation, size_t kernel_dilation_count,
                                          const int64_t* input_dilation, size_t input_dilation_count, int64_t groups,
                                          bool flip, plait_array* result);

/* Elements put before and behind each axis: `widths` has (before, after) once for all axes, or for each; pair_count counts
 * pairs. mode: "constant", "edge", "reflect" or "symmetric". Without constant_values: 0. */
PLAIT_API plait_status plait_pad(plait_array a, const int64_t* widths, size_t pair_count, const char* mode,
                                 plait_array constant_values, plait_array* result);

/* Sums of products over pairs of axes, a's in order with b's. */
PLAIT_API plait_status plait_tensordot(plait_array a, plait_array b, const int* a_axes, size_t a_axes_count,
                                       const int* b_axes, size_t b_axes_count, plait_array* result);

/* Norms. `ord` is null for the 2-norm of all elements, a number, or, where ord_name is not null, "fro" or "nuc". */
PLAIT_API plait_status plait_linalg_norm(plait_array a, const double* ord, const char* ord_name, const int* axis,
                                         size_t axis_count, bool keepdims, plait_array* result);
/* Of the matrices in the last two axes. */
PLAIT_API plait_status plait_linalg_matrix_norm(plait_array a, const double* ord, const char* ord_name, bool keepdims,
                                                plait_array* result);

/* softmax(scale * q @ k.T + mask) @ v for each head. `causal`, or a mask, or neither (null); sinks may be null. */
PLAIT_API plait_status plait_fast_scaled_dot_product_attention(plait_array q, plait_array k, plait_array v,
                                                               double scale, bool causal, plait_array mask,
                                                               plait_array sinks, plait_array* result);

/* A key from a number, and the process's own state as such a key. */
PLAIT_API plait_status plait_random_key(uint64_t seed, plait_array* result);
PLAIT_API plait_status plait_random_seed(uint64_t seed);
PLAIT_API plait_status plait_random_state(plait_array* result);
PLAIT_API plait_status plait_random_set_state(plait_array key);

/* Positions along each axis of the elements that are not zero. It evaluates. */
PLAIT_API plait_status plait_nonzero(plait_array a, plait_array* results, size_t capacity, size_t* result_count);
/* The different elements, sorted; unique_all: and where each stands first, where each element's value is among them, and how
 * often each occurs. They evaluate. */
PLAIT_API plait_status plait_unique_values(plait_array a, plait_array* result);
PLAIT_API plait_status plait_unique_all(plait_array a, plait_array* results, size_t capacity, size_t* result_count);

/* The inputs, computed only after the dependencies are. */
PLAIT_API plait_status plait_depends(const plait_array* inputs, size_t inputs_count, const plait_array* dependencies,
                                     size_t dependencies_count, plait_array* results, size_t capacity,
                                     size_t* result_count);

/* The dtype that two meet in. */
PLAIT_API plait_status plait_promote(plait_dtype a, plait_dtype b, plait_dtype* result);

#ifdef __cplusplus
}
#endif

#endif
