#include "plait/c_more_ops.h"

#include <utility>
#include <vector>

#include "capi/c_arguments.h"
#include "plait/fast.h"
#include "plait/linalg.h"
#include "plait/more_ops.h"
#include "plait/random.h"

using plait::capi::CArguments, plait::capi::guarded;

namespace {

plait::linalg::NormOrder order_of(const double* order, const char* name) {
  if (name) return std::string_view(name);
  if (order) return *order;
  return {};
}

}  // namespace

extern "C" {

plait_status plait_arange_to(plait_number start, plait_number stop, plait_array* result) {
  return guarded([&] {
    const CArguments in("arange");
    in.give(result, [&] { return plait::arange(in.scalar(start), in.scalar(stop)); });
  });
}

plait_status plait_conv_general(plait_array input, plait_array weight, const int64_t* stride, size_t stride_count,
                                const int64_t* padding_low, size_t padding_low_count, const int64_t* padding_high,
                                size_t padding_high_count, const int64_t* kernel_dilation, size_t kernel_dilation_count,
                                const int64_t* input_dilation, size_t input_dilation_count, int64_t groups, bool flip,
                                plait_array* result) {
  return guarded([&] {
    const CArguments in("conv_general");
    in.give(result, [&] {
      return plait::conv_general(in.array(input, "input"), in.array(weight, "weight"),
                                 in.ints(stride, stride_count, "stride"),
                                 in.ints(padding_low, padding_low_count, "padding_low"),
                                 in.ints(padding_high, padding_high_count, "padding_high"),
                                 in.ints(kernel_dilation, kernel_dilation_count, "kernel_dilation"),
                                 in.ints(input_dilation, input_dilation_count, "input_dilation"), groups, flip);
    });
  });
}

plait_status plait_pad(plait_array a, const int64_t* widths, size_t pair_count, const char* mode,
                       plait_array constant_values, plait_array* result) {
  return guarded([&] {
    const CArguments in("pad");
    if (pair_count > 0) in.given(widths, "widths");
    std::vector<std::pair<int64_t, int64_t>> pairs;
    for (size_t i = 0; i < pair_count; ++i) pairs.emplace_back(widths[2 * i], widths[2 * i + 1]);
    in.give(result, [&] {
      const plait::Array& array = in.array(a, "a");
      return plait::pad(array, pairs, in.str(mode, "mode"),
                        in.array_or(constant_values, plait::beside(plait::Scalar(0), array)));
    });
  });
}

plait_status plait_tensordot(plait_array a, plait_array b, const int* a_axes, size_t a_axes_count, const int* b_axes,
                             size_t b_axes_count, plait_array* result) {
  return guarded([&] {
    const CArguments in("tensordot");
    in.give(result, [&] {
      return plait::tensordot(in.array(a, "a"), in.array(b, "b"),
                              in.list<std::vector<int>>(a_axes, a_axes_count, "a_axes"),
                              in.list<std::vector<int>>(b_axes, b_axes_count, "b_axes"));
    });
  });
}

plait_status plait_linalg_norm(plait_array a, const double* ord, const char* ord_name, const int* axis,
                               size_t axis_count, bool keepdims, plait_array* result) {
  return guarded([&] {
    const CArguments in("linalg.norm");
    in.give(result, [&] {
      return plait::linalg::norm(in.array(a, "a"), order_of(ord, ord_name), in.axes(axis, axis_count, "axis"),
                                 keepdims);
    });
  });
}

plait_status plait_linalg_matrix_norm(plait_array a, const double* ord, const char* ord_name, bool keepdims,
                                      plait_array* result) {
  return guarded([&] {
    const CArguments in("linalg.matrix_norm");
    in.give(result, [&] { return plait::linalg::matrix_norm(in.array(a, "a"), order_of(ord, ord_name), keepdims); });
  });
}

plait_status plait_fast_scaled_dot_product_attention(plait_array q, plait_array k, plait_array v, double scale,
                                                     bool causal, plait_array mask, plait_array sinks,
                                                     plait_array* result) {
  return guarded([&] {
    const CArguments in("fast.scaled_dot_product_attention");
    if (causal && mask)
      throw plait::ArgumentError({.op = in.op(), .got = "causal and a mask", .accepts = "one of them"});
    in.give(result, [&] {
      plait::fast::AttentionMask which;
      which.causal = causal;
      which.array = in.opt_array(mask);
      return plait::fast::scaled_dot_product_attention(in.array(q, "q"), in.array(k, "k"), in.array(v, "v"), scale,
                                                       which, in.opt_array(sinks));
    });
  });
}

plait_status plait_random_key(uint64_t seed, plait_array* result) {
  return guarded([&] { CArguments("random.key").give(result, [&] { return plait::random::key(seed); }); });
}

plait_status plait_random_seed(uint64_t seed) {
  return guarded([&] { plait::random::seed(seed); });
}

plait_status plait_random_state(plait_array* result) {
  return guarded([&] { CArguments("random.state").give(result, [&] { return plait::random::state(); }); });
}

plait_status plait_random_set_state(plait_array key) {
  return guarded([&] { plait::random::set_state(CArguments("random.set_state").array(key, "key")); });
}

plait_status plait_nonzero(plait_array a, plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("nonzero");
    in.give_all(results, capacity, result_count, [&] { return plait::nonzero(in.array(a, "a")); });
  });
}

plait_status plait_unique_values(plait_array a, plait_array* result) {
  return guarded([&] {
    const CArguments in("unique_values");
    in.give(result, [&] { return plait::unique_values(in.array(a, "a")); });
  });
}

plait_status plait_unique_all(plait_array a, plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("unique_all");
    in.give_all(results, capacity, result_count, [&] { return plait::unique_all(in.array(a, "a")); });
  });
}

plait_status plait_depends(const plait_array* inputs, size_t inputs_count, const plait_array* dependencies,
                           size_t dependencies_count, plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("depends");
    in.give_all(results, capacity, result_count, [&] {
      return plait::depends(in.arrays(inputs, inputs_count, "inputs"),
                            in.arrays(dependencies, dependencies_count, "dependencies"));
    });
  });
}

plait_status plait_promote(plait_dtype a, plait_dtype b, plait_dtype* result) {
  return guarded([&] {
    const CArguments in("promote");
    in.given(result, "place for the result");
    *result = static_cast<plait_dtype>(plait::promote(in.dtype(a), in.dtype(b)));
  });
}

}  // extern "C"
