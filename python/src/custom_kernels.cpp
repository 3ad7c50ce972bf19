#include "custom_kernels.h"

#include <cstdio>

#include "bind.h"
#include "plait/custom_kernel.h"

namespace plait::python {
namespace {

std::string type_of(nb::handle o) { return Py_TYPE(o.ptr())->tp_name; }

[[noreturn]] void refuse(const std::string& op, std::string got, std::string accepts) {
  throw ArgumentTypeError({.op = op, .got = std::move(got), .accepts = std::move(accepts)});
}

/// The items of a sequence that is no text. Errors: ArgumentTypeError.
std::vector<nb::object> items(const std::string& op, const char* what, nb::handle o) {
  if (!PySequence_Check(o.ptr()) || PyUnicode_Check(o.ptr()) || PyBytes_Check(o.ptr()))
    refuse(op, std::string(what) + " of type " + type_of(o), "a list or a tuple");
  const nb::object fast = nb::steal(PySequence_Fast(o.ptr(), "a list or a tuple"));
  if (!fast.is_valid()) throw nb::python_error();
  std::vector<nb::object> out;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.ptr()); ++i)
    out.push_back(nb::borrow(PySequence_Fast_GET_ITEM(fast.ptr(), i)));
  return out;
}

std::array<Dim, 3> three(const std::string& op, const char* what, nb::handle o) {
  std::vector<int64_t> given;
  if (!load_ints(o.ptr(), given) || given.size() != 3) {
    const std::string text = nb::repr(o).c_str();
    refuse(op, std::string(what) + " = " + text, "three integers: (x, y, z)");
  }
  return {Dim(given[0]), Dim(given[1]), Dim(given[2])};
}

Arrays inputs_of(const std::string& op, nb::handle given) {
  Arrays out;
  for (const nb::object& o : items(op, "inputs", given)) out.push_back(to_array(o));
  return out;
}

void outputs_of(const std::string& op, nb::handle shapes, nb::handle dtypes, fast::KernelCall& call) {
  for (const nb::object& o : items(op, "output_shapes", shapes)) {
    Shape shape;
    if (PyLong_Check(o.ptr()) || !nb::try_cast(o, shape))
      refuse(op, std::string("an output shape of type ") + type_of(o), "a tuple of integers for each output");
    call.output_shapes.push_back(shape);
  }
  for (const nb::object& o : items(op, "output_dtypes", dtypes)) {
    if (!is_dtype(o.ptr())) refuse(op, "an output dtype of type " + type_of(o), "a dtype for each output");
    call.output_dtypes.push_back(to_dtype(o.ptr()));
  }
}

std::vector<std::pair<std::string, fast::KernelValue>> values_of(const std::string& op, nb::handle given) {
  std::vector<std::pair<std::string, fast::KernelValue>> out;
  if (given.is_none()) return out;
  for (const nb::object& pair : items(op, "template", given)) {
    const std::vector<nb::object> parts = items(op, "an entry of template", pair);
    std::string name;
    if (parts.size() != 2 || !nb::try_cast(parts[0], name)) refuse(op, "an entry of template", "(name, value)");
    PyObject* const value = parts[1].ptr();
    int64_t number = 0;
    if (is_dtype(value))
      out.emplace_back(name, to_dtype(value));
    else if (PyBool_Check(value))
      out.emplace_back(name, value == Py_True);
    else if (load_int(value, number))
      out.emplace_back(name, number);
    else
      refuse(op, "the template value '" + name + "' of type " + type_of(parts[1]),
             "a dtype, a bool, or an int of 64 bits");
  }
  return out;
}

std::optional<Scalar> initial(const std::string& op, nb::handle given) {
  if (given.is_none()) return std::nullopt;
  if (!is_scalar(given.ptr())) refuse(op, "init_value of type " + type_of(given), "a number, or None");
  return to_scalar(given.ptr());
}

/// Where a call is told to run: the kind of device has to be the kernel's.
class KernelStream {
 public:
  KernelStream(const std::string& op, StreamArg given, DeviceType type) : on_(given) {
    if (given.object.is_valid() && default_device().type != type)
      throw DeviceError({.op = op,
                         .got = type == DeviceType::gpu ? "a stream of the CPU" : "a stream of a GPU",
                         .accepts = type == DeviceType::gpu ? "streams of a GPU" : "streams of the CPU"});
  }

 private:
  StreamGuard on_;
};

constexpr const char* kCallSignature =
    "def __call__(*, inputs: Sequence[scalar | array], output_shapes: Sequence[Sequence[int]], "
    "output_dtypes: Sequence[Dtype], grid: tuple[int, int, int], threadgroup: tuple[int, int, int], "
    "template: Sequence[tuple[str, bool | int | Dtype]] | None = None, init_value: float | None = None, "
    "verbose: bool = False, stream: StreamOrDevice = None) -> list[array]";

/// The kernel as a Python function.
nb::object callable(fast::CustomKernel kernel, std::string op, DeviceType type) {
  return nb::cpp_function(
      [kernel = std::move(kernel), op = std::move(op), type](
          nb::object inputs, nb::object output_shapes, nb::object output_dtypes, nb::object grid,
          nb::object threadgroup, nb::object values, nb::object init_value, bool verbose, StreamArg stream) {
        const KernelStream on(op, stream, type);
        fast::KernelCall call{.inputs = inputs_of(op, inputs),
                              .grid = three(op, "grid", grid),
                              .threadgroup = three(op, "threadgroup", threadgroup),
                              .values = values_of(op, values),
                              .init_value = initial(op, init_value)};
        outputs_of(op, output_shapes, output_dtypes, call);
        if (verbose) nb::print(nb::str(kernel.text(call).c_str()));
        return kernel(call);
      },
      nb::kw_only(), nb::arg("inputs"), nb::arg("output_shapes"), nb::arg("output_dtypes"), nb::arg("grid"),
      nb::arg("threadgroup"), nb::arg("template").none() = nb::none(), nb::arg("init_value").none() = nb::none(),
      nb::arg("verbose") = false, nb::arg("stream").none() = nb::none(), nb::sig(kCallSignature),
      "Runs the kernel once for each thread of the grid; a list of the outputs.");
}

using Names = std::vector<std::string>;

fast::KernelSource source_of(std::string name, Names inputs, Names outputs, std::string source, std::string header,
                             bool contiguous, int64_t shared_memory = 0) {
  return {.name = std::move(name),
          .input_names = std::move(inputs),
          .output_names = std::move(outputs),
          .body = std::move(source),
          .header = std::move(header),
          .ensure_row_contiguous = contiguous,
          .shared_memory = shared_memory};
}

nb::object cpu_kernel(std::string name, Names inputs, Names outputs, std::string source, std::string header,
                      bool contiguous) {
  const std::string op = "cpu_kernel '" + name + "'";
  return callable(fast::cpu_kernel(source_of(std::move(name), std::move(inputs), std::move(outputs), std::move(source),
                                             std::move(header), contiguous)),
                  op, DeviceType::cpu);
}

nb::object cuda_kernel(std::string name, Names inputs, Names outputs, std::string source, std::string header,
                       bool contiguous, int64_t shared_memory) {
  const std::string op = "cuda_kernel '" + name + "'";
  return callable(fast::cuda_kernel(source_of(std::move(name), std::move(inputs), std::move(outputs), std::move(source),
                                              std::move(header), contiguous, shared_memory)),
                  op, DeviceType::gpu);
}

/// It can be made anywhere, so that programs that choose a kernel when they run need not choose when they are imported.
nb::object metal_kernel(const std::string& name, const Names&, const Names&, const std::string&, const std::string&,
                        bool, bool, nb::object) {
  return nb::cpp_function(
      [name](nb::args, nb::kwargs) -> nb::object {
        throw DeviceError({.op = "metal_kernel '" + name + "'",
                           .got = "a call on Linux",
                           .accepts = "Metal, which is part of macOS: Apple's MLX runs such kernels there",
                           .hint = "fast.cuda_kernel runs on NVIDIA GPUs, fast.cpu_kernel on the CPU"});
      },
      "Raises DeviceError: Metal kernels run on macOS alone.");
}

nb::object precompiled_cuda_kernel(std::string name, nb::bytes code, nb::object inputs, nb::object output_shapes,
                                   nb::object output_dtypes, nb::object scalars, nb::object grid,
                                   nb::object threadgroup, int64_t shared_memory, nb::object init_value,
                                   bool contiguous, StreamArg stream) {
  const std::string op = "precompiled_cuda_kernel '" + name + "'";
  const KernelStream on(op, stream, DeviceType::gpu);
  fast::KernelCall call{.inputs = inputs_of(op, inputs),
                        .grid = three(op, "grid", grid),
                        .threadgroup = three(op, "threadgroup", threadgroup),
                        .init_value = initial(op, init_value)};
  outputs_of(op, output_shapes, output_dtypes, call);
  std::vector<Scalar> numbers;
  for (const nb::object& o : items(op, "scalars", scalars)) {
    if (!is_scalar(o.ptr()) || PyComplex_Check(o.ptr()))
      refuse(op, "a scalar of type " + type_of(o), "bool, int and float");
    numbers.push_back(to_scalar(o.ptr()));
  }
  return to_list(fast::precompiled_cuda_kernel(std::move(name), std::string(code.c_str(), code.size()), call, numbers,
                                               shared_memory, contiguous));
}

}  // namespace

void bind_custom_kernels(nb::module_& m) {
  m.def("cpu_kernel", cpu_kernel, nb::arg("name"), nb::arg("input_names"), nb::arg("output_names"), nb::arg("source"),
        nb::arg("header") = "", nb::arg("ensure_row_contiguous") = true,
        nb::sig("def cpu_kernel(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, "
                "header: str = '', ensure_row_contiguous: bool = True) -> Callable[..., list[array]]"),
        "A kernel for the CPU from the body of a function in C++, compiled when it is first run.");
  m.def("cuda_kernel", cuda_kernel, nb::arg("name"), nb::arg("input_names"), nb::arg("output_names"), nb::arg("source"),
        nb::arg("header") = "", nb::arg("ensure_row_contiguous") = true, nb::arg("shared_memory") = 0,
        nb::sig("def cuda_kernel(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, "
                "header: str = '', ensure_row_contiguous: bool = True, shared_memory: int = 0) -> "
                "Callable[..., list[array]]"),
        "A kernel for NVIDIA GPUs from the body of a function in CUDA C++, compiled when it is first run.");
  m.def("metal_kernel", metal_kernel, nb::arg("name"), nb::arg("input_names"), nb::arg("output_names"),
        nb::arg("source"), nb::arg("header") = "", nb::arg("ensure_row_contiguous") = true,
        nb::arg("atomic_outputs") = false, nb::arg("compile_options").none() = nb::none(),
        nb::sig("def metal_kernel(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, "
                "header: str = '', ensure_row_contiguous: bool = True, atomic_outputs: bool = False, "
                "compile_options: object | None = None) -> Callable[..., list[array]]"),
        "A kernel for Apple's GPUs, which cannot be called here: a call raises DeviceError.");
  m.def("precompiled_cuda_kernel", precompiled_cuda_kernel, nb::kw_only(), nb::arg("name"), nb::arg("compiled_source"),
        nb::arg("inputs"), nb::arg("output_shapes"), nb::arg("output_dtypes"), nb::arg("scalars"), nb::arg("grid"),
        nb::arg("threadgroup"), nb::arg("shared_memory") = 0, nb::arg("init_value").none() = nb::none(),
        nb::arg("ensure_row_contiguous") = false, nb::arg("stream").none() = nb::none(),
        nb::sig("def precompiled_cuda_kernel(*, name: str, compiled_source: bytes, inputs: Sequence[scalar | array], "
                "output_shapes: Sequence[Sequence[int]], output_dtypes: Sequence[Dtype], "
                "scalars: Sequence[bool | int | float], grid: tuple[int, int, int], threadgroup: tuple[int, int, int], "
                "shared_memory: int = 0, init_value: float | None = None, ensure_row_contiguous: bool = False, "
                "stream: StreamOrDevice = None) -> list[array]"),
        "Runs a function of PTX or cubin on an NVIDIA GPU; a list of the outputs.");
}

}  // namespace plait::python
