#include "plait/jacobian.h"

#include <string>
#include <utility>

#include "ops/view/slice.h"
#include "plait/ops.h"

namespace plait {
namespace {

void check_real(const char* op, const char* what, const Arrays& arrays) {
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (is_in(arrays[i].dtype(), dtypes::floating)) continue;
    throw DTypeError(
        {.op = op,
         .got = std::string(what) + " " + std::to_string(i) + " of dtype " + std::string(name_of(arrays[i].dtype())),
         .accepts = "real floating point",
         .hint = "astype(float32) makes it so"});
  }
}

std::vector<int64_t> sizes_of(const Arrays& arrays) {
  std::vector<int64_t> out;
  for (const Array& a : arrays) out.push_back(a.shape().count().fixed());
  return out;
}

/// Along the first axis, one after the other, the arrays of which one element is 1 and all others are 0.
Arrays basis(const Arrays& like, const std::vector<int64_t>& sizes) {
  int64_t all = 0;
  for (const int64_t n : sizes) all += n;
  Arrays out;
  int64_t before = 0;
  for (size_t i = 0; i < like.size(); ++i) {
    Shape shape = like[i].shape();
    shape.insert(shape.begin(), all);
    out.push_back(reshape(eye(all, sizes[i], -before, like[i].dtype()), shape));
    before += sizes[i];
  }
  return out;
}

Array shaped(const Array& a, const Shape& first, const Shape& second) {
  Shape shape = first;
  for (const Dim& d : second) shape.push_back(d);
  return reshape(a, shape);
}

Arrays argument_list(const char* op, const Arrays& arguments, const std::vector<int>& argnums) {
  Arrays primals;
  for (const int k : argnums) {
    if (k < 0 || k >= static_cast<int>(arguments.size()))
      throw ArgumentError({.op = op,
                           .got = "argument number " + std::to_string(k),
                           .accepts = "0 to " + std::to_string(static_cast<int>(arguments.size()) - 1)});
    primals.push_back(arguments[static_cast<size_t>(k)]);
  }
  return primals;
}

template <class Method>
Function jacobian(const char* op, Function f, std::vector<int> argnums, Method method) {
  return [op, f = std::move(f), argnums = std::move(argnums), method](const Arrays& arguments) {
    const GradTrace trace(argument_list(op, arguments, argnums), op);
    Arrays traced = arguments;
    for (size_t i = 0; i < argnums.size(); ++i) traced[static_cast<size_t>(argnums[i])] = trace.inputs()[i];
    return method(op, trace, f(traced));
  };
}

}  // namespace

Arrays jacobian_forwards(const char* op, const GradTrace& trace, const Arrays& outputs) {
  const Arrays& inputs = trace.inputs();
  check_real(op, "argument", inputs);
  check_real(op, "result", outputs);
  const std::vector<int64_t> sizes = sizes_of(inputs);
  const VmapTrace each(basis(inputs, sizes), std::vector<int>(inputs.size(), 0));
  const Arrays moved = each.batched(trace.push_forward(outputs, each.inputs()), std::vector<int>(outputs.size(), 0));
  Arrays out;
  for (size_t o = 0; o < outputs.size(); ++o) {
    int64_t before = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Array columns = moveaxis(slice_axis(moved[o], 0, before, sizes[i]), 0, -1);
      out.push_back(shaped(columns, outputs[o].shape(), inputs[i].shape()));
      before += sizes[i];
    }
  }
  return out;
}

Arrays jacobian_backwards(const char* op, const GradTrace& trace, const Arrays& outputs) {
  const Arrays& inputs = trace.inputs();
  check_real(op, "argument", inputs);
  check_real(op, "result", outputs);
  if (outputs.empty()) return {};
  const std::vector<int64_t> sizes = sizes_of(outputs);
  const VmapTrace each(basis(outputs, sizes), std::vector<int>(outputs.size(), 0));
  const Arrays grads = each.batched(trace.pull_back(outputs, each.inputs()), std::vector<int>(inputs.size(), 0));
  Arrays out;
  int64_t before = 0;
  for (size_t o = 0; o < outputs.size(); ++o) {
    for (size_t i = 0; i < inputs.size(); ++i)
      out.push_back(shaped(slice_axis(grads[i], 0, before, sizes[o]), outputs[o].shape(), inputs[i].shape()));
    before += sizes[o];
  }
  return out;
}

Function jacfwd(Function f, std::vector<int> argnums) {
  return jacobian("jacfwd", std::move(f), std::move(argnums), jacobian_forwards);
}

Function jacrev(Function f, std::vector<int> argnums) {
  return jacobian("jacrev", std::move(f), std::move(argnums), jacobian_backwards);
}

Function hessian(Function f, std::vector<int> argnums) { return jacfwd(jacrev(std::move(f), argnums), argnums); }

}  // namespace plait
