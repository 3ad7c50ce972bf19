// Functions and methods whose arguments take several shapes: what the generator has no rule for.
#include "plait/more_ops.h"

#include <algorithm>
#include <string>

#include "bind.h"
#include "plait/device_info.h"
#include "plait/linalg.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

/// The numbers of a(2, 3), a((2, 3)) or a([2, 3]).
IntList spread(const nb::args& args, const char* what) {
  IntList out;
  nb::handle given = args;
  if (args.size() == 1 && (PyList_Check(nb::object(args[0]).ptr()) || PyTuple_Check(nb::object(args[0]).ptr())))
    given = args[0];
  if (!load_ints(given.ptr(), out)) throw nb::type_error((std::string(what) + " has to be integers").c_str());
  return out;
}

std::vector<std::pair<int64_t, int64_t>> pad_widths(nb::handle given) {
  const auto reject = [] {
    throw nb::type_error(
        "pad: pad_width is an int, (both,), (before, after), or a list of (before, after), one per axis");
  };
  int64_t one = 0;
  if (load_int(given.ptr(), one)) return {{one, one}};
  std::vector<int64_t> numbers;
  if (load_ints(given.ptr(), numbers)) {
    if (numbers.size() == 1) return {{numbers[0], numbers[0]}};
    if (numbers.size() != 2) reject();
    return {{numbers[0], numbers[1]}};
  }
  std::vector<std::pair<int64_t, int64_t>> out;
  if (!PyList_Check(given.ptr()) && !PyTuple_Check(given.ptr())) reject();
  for (nb::handle axis : nb::borrow<nb::sequence>(given)) {
    if (!load_ints(axis.ptr(), numbers) || numbers.empty() || numbers.size() > 2) reject();
    out.emplace_back(numbers.front(), numbers.back());
  }
  return out;
}

Array tensordot_of(const Array& a, const Array& b, nb::handle axes, StreamArg stream) {
  const StreamGuard on(stream);
  int64_t count = 0;
  if (load_int(axes.ptr(), count))
    return tensordot(a, b, static_cast<int>(std::clamp<int64_t>(count, INT32_MIN, INT32_MAX)));
  std::vector<int64_t> sides[2];
  const bool pair =
      (PyList_Check(axes.ptr()) || PyTuple_Check(axes.ptr())) && PySequence_Fast_GET_SIZE(axes.ptr()) == 2;
  for (int i = 0; i < 2; ++i)
    if (!pair || !load_ints(PySequence_Fast_GET_ITEM(axes.ptr(), i), sides[i]))
      throw nb::type_error("tensordot: axes is an int, or a list of two lists of axes");
  return tensordot(a, b, std::vector<int>(sides[0].begin(), sides[0].end()),
                   std::vector<int>(sides[1].begin(), sides[1].end()));
}

linalg::NormOrder order_of(const char* op, nb::handle order) {
  if (order.is_none()) return {};
  if (nb::isinstance<nb::str>(order)) return nb::cast<std::string_view>(order);
  double number = 0;
  if (!nb::try_cast(order, number))
    throw ArgumentTypeError({.op = op,
                             .got = "ord of type " + nb::cast<std::string>(nb::type_name(order.type())),
                             .accepts = "a number, 'fro', 'nuc' or None"});
  return number;
}

Array norm_of(const Array& a, nb::handle order, const Axes& axis, bool keepdims, StreamArg stream) {
  const StreamGuard on(stream);
  return linalg::norm(a, order_of("linalg.norm", order), axis, keepdims);
}

/// An object with __plait_array__, marked as such.
struct ArrayLike {
  nb::object object;
};

nb::dict device_info_of(nb::handle asked) {
  nb::dict out;
  Device device = default_device();
  DeviceType type{};
  if (!asked.is_none() && !nb::try_cast(asked, device)) {
    if (!nb::try_cast(asked, type)) throw nb::type_error("device_info: a Device or DeviceType is needed");
    device = {type, 0};
  }
  if (!is_available(device)) return out;
  const DeviceInfo info = device_info(device);
  out["architecture"] = info.architecture.c_str();
  out["device_name"] = info.name.c_str();
  if (device.type == DeviceType::gpu) out["memory_size"] = info.memory_bytes;
  return out;
}

/// Submodules that name other machines' devices: there is none, and asking is no error.
void bind_other_devices(nb::module_& m) {
  nb::module_ cuda = submodule(m, "core.cuda");
  cuda.def(
      "is_available", [] { return is_available({DeviceType::gpu, 0}); }, nb::sig("def is_available() -> bool"),
      "Whether a CUDA device can be used.");
  nb::module_ metal = submodule(m, "core.metal");
  metal.def("is_available", [] { return false; }, nb::sig("def is_available() -> bool"), "False: this is not macOS.");
  metal.def(
      "device_info", [] { return nb::dict(); }, nb::sig("def device_info() -> dict[str, str | int]"),
      "Empty: there is no such device.");
  metal.def(
      "start_capture", [](nb::str) {}, nb::arg("path"), nb::sig("def start_capture(path: str) -> None"),
      "Does nothing here.\n\nErrors: TypeError for what is no text.");
  metal.def("stop_capture", [] {}, nb::sig("def stop_capture() -> None"), "Does nothing here.");
  for (const char* name : {"clear_cache", "get_active_memory", "get_cache_memory", "get_peak_memory",
                           "reset_peak_memory", "set_cache_limit", "set_memory_limit", "set_wired_limit"})
    metal.attr(name) = m.attr(name);
}

/// One padding for both ends, or a pair (before, after) of lists.
std::pair<IntList, IntList> paddings(nb::handle given) {
  IntList low, high;
  if ((PyTuple_Check(given.ptr()) || PyList_Check(given.ptr())) && nb::len(given) == 2 &&
      load_ints(nb::object(given[0]).ptr(), low) && load_ints(nb::object(given[1]).ptr(), high))
    return {low, high};
  low.clear();
  if (!nb::try_cast(given, low))
    throw nb::type_error("conv_general: padding has to be an integer, integers, or a pair of such lists");
  return {low, low};
}

}  // namespace

void bind_more_ops(nb::module_& m) {
  method(
      "reshape",
      [](const Array& a, const nb::args& shape, StreamArg stream) {
        const StreamGuard on(stream);
        const IntList extents = spread(shape, "reshape: the shape");
        return reshape(a, Shape(std::span<const int64_t>(extents)));
      },
      nb::arg("shape"), nb::arg("stream").none() = nb::none(),
      nb::sig("def reshape(self, *shape, stream: StreamOrDevice = None) -> array"),
      "The elements in another shape, as plait.core.reshape: a.reshape(2, 3), a.reshape((2, -1)).");
  method(
      "transpose",
      [](const Array& a, const nb::args& axes, StreamArg stream) {
        const StreamGuard on(stream);
        if (axes.size() == 0 || (axes.size() == 1 && nb::object(axes[0]).is_none())) return transpose(a);
        const IntList order = spread(axes, "transpose: the axes");
        return transpose(a, Axes(std::vector<int>(order.begin(), order.end())));
      },
      nb::arg("axes"), nb::arg("stream").none() = nb::none(),
      nb::sig("def transpose(self, *axes, stream: StreamOrDevice = None) -> array"),
      "The array with its axes in another order, as plait.core.transpose; reversed when none is given.");
  method(
      "conj",
      [](const Array& a, StreamArg stream) {
        const StreamGuard on(stream);
        return conjugate(a);
      },
      nb::kw_only(), nb::arg("stream").none() = nb::none(),
      nb::sig("def conj(self, *, stream: StreamOrDevice = None) -> array"), "Complex conjugate; real numbers stay.");
  m.def(
      "nonzero",
      [](const Array& a, StreamArg stream) {
        const StreamGuard on(stream);
        return to_tuple(nonzero(a));
      },
      nb::arg("a"), nb::kw_only(), nb::arg("stream").none() = nb::none(),
      nb::sig("def nonzero(a: array, /, *, stream: StreamOrDevice = None) -> tuple[array, ...]"),
      "Positions along each axis of the elements that are not zero, in row-major order, as int32. Their number has to be\n"
      "known: it evaluates, and raises TransformError while a function is traced. Errors: ValueError without axes.");
  m.def(
      "einsum_path",
      [](std::string_view subscripts, const nb::args& operands) {
        const auto [path, text] = einsum_path(subscripts, to_arrays(operands));
        nb::list steps;
        for (const std::vector<int>& step : path) {
          nb::list positions;
          for (int i : step) positions.append(i);
          steps.append(nb::tuple(positions));
        }
        return nb::make_tuple(steps, nb::str(text.c_str()));
      },
      nb::arg("subscripts"), nb::arg("operands"),
      nb::sig("def einsum_path(subscripts: str, *operands) -> tuple[list[tuple[int, ...]], str]"),
      "The order in which einsum contracts its arrays, as positions among those left, and what that costs as text.\n"
      "Of four to eight arrays no order takes fewer operations.\n\n"
      "Errors: ValueError for subscripts that are malformed or do not fit the shapes.");
  m.def(
      "arange",
      [](const Scalar& start, const std::optional<Scalar>& stop, std::optional<DType> dtype, StreamArg stream) {
        const StreamGuard on(stream);
        return arange(start, stop, std::nullopt, dtype);
      },
      nb::arg("start"), nb::arg("stop").none() = nb::none(), nb::kw_only(), nb::arg("dtype").none() = nb::none(),
      nb::arg("stream").none() = nb::none(),
      nb::sig("def arange(start: int | float, stop: None | int | float = None, *, dtype: Dtype | None = None, stream: "
              "StreamOrDevice = None) -> array"),
      "Values from start up to stop, without it; with one bound from 0.");
  m.def(
      "arange",
      [](const Scalar& stop, const std::optional<Scalar>& step, std::optional<DType> dtype, StreamArg stream) {
        const StreamGuard on(stream);
        return arange(Scalar(0), stop, step, dtype);
      },
      nb::arg("stop"), nb::arg("step").none() = nb::none(), nb::arg("dtype").none() = nb::none(), nb::kw_only(),
      nb::arg("stream").none() = nb::none(),
      nb::sig("def arange(stop: int | float, step: None | int | float = None, dtype: Dtype | None = None, *, stream: "
              "StreamOrDevice = None) -> array"),
      "Values from 0 up to stop, without it, in steps.");
  m.def(
      "broadcast_shapes",
      [](const nb::args& shapes) {
        std::vector<Shape> all;
        for (nb::handle shape : shapes) all.push_back(nb::cast<Shape>(shape));
        return broadcast_shapes(all);
      },
      nb::sig("def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int]"),
      "The shape that all of them broadcast to.\n\nErrors: ShapeError.");
  m.def(
      "pad",
      [](const Array& a, nb::handle widths, std::string_view mode, Operand values, StreamArg stream) {
        const StreamGuard on(stream);
        OperandDType common;
        common.see(a);
        return pad(a, pad_widths(widths), mode, common.convert(values));
      },
      nb::arg(), nb::arg("pad_width"), nb::arg("mode") = "constant", nb::arg("constant_values") = 0, nb::kw_only(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def pad(a: array, pad_width: int | tuple[int] | tuple[int, int] | list[tuple[int, int]], mode: Literal['constant', 'edge', 'reflect', 'symmetric'] = 'constant', constant_values: scalar | array = 0, *, stream: StreamOrDevice = None) -> array"),
      "Elements put before and behind each axis: pad_width is one number, (before, after), or a list of these, one per axis.\n"
      "mode: what is put there; constant_values in mode 'constant'.\n\nErrors: ShapeError, ArgumentError.");
  m.def(
      "tensordot", tensordot_of, nb::arg(), nb::arg(), nb::arg("axes") = 2, nb::kw_only(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def tensordot(a: array, b: array, /, axes: int | list[Sequence[int]] = 2, *, stream: StreamOrDevice = None) -> array"),
      "Sums of products over pairs of axes: the last axes of a with the first of b, or a list of a's and a list of b's.\n\n"
      "Errors: AxisError, ShapeError, DTypeError for integers.");
  nb::module_ of_linalg = submodule(m, "core.linalg");
  of_linalg.def(
      "norm", norm_of, nb::arg(), nb::arg("ord").none() = nb::none(), nb::arg("axis").none() = nb::none(),
      nb::arg("keepdims") = false, nb::kw_only(), nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def norm(a: array, /, ord: None | int | float | str = None, axis: None | int | list[int] = None, keepdims: "
          "bool = False, *, stream: StreamOrDevice = None) -> array"),
      "Norms of vectors along one axis, or of matrices along two.\n\n"
      "Without axis: of all elements, and with an ord of a vector or a matrix. Vectors: sum(|a|**ord)**(1/ord), the largest or\n"
      "smallest element for inf and -inf, the number of those that are not 0 for 0. Matrices: the largest or smallest sum of a\n"
      "column (1, -1) or row (inf, -inf), the largest or smallest singular value (2, -2), their sum ('nuc'), the 2-norm of the\n"
      "elements ('fro').\n\nErrors: ArgumentError for another ord, ShapeError, AxisError.");
  of_linalg.def(
      "matrix_norm",
      [](const Array& a, bool keepdims, nb::handle order, StreamArg stream) {
        const StreamGuard on(stream);
        return linalg::matrix_norm(a, order_of("linalg.matrix_norm", order), keepdims);
      },
      nb::arg(), nb::kw_only(), nb::arg("keepdims") = false, nb::arg("ord").none() = "fro",
      nb::arg("stream").none() = nb::none(),
      nb::sig("def matrix_norm(x: array, /, *, keepdims: bool = False, ord: None | int | float | str = 'fro', stream: "
              "StreamOrDevice = None) -> array"),
      "Norms of the matrices in the last two axes: (..., m, n) -> (...), with ord as norm has it for matrices.\n\n"
      "Errors: ArgumentError for another ord, ShapeError for fewer than two axes.");
  m.attr("matrix_norm") = of_linalg.attr("norm");  // the recorded interface has it twice
  m.def(
      "conv_general",
      [](const Array& input, const Array& weight, const IntList& stride, nb::handle padding,
         const IntList& kernel_dilation, const IntList& input_dilation, int64_t groups, bool flip,
         StreamArg on_stream) {
        const StreamGuard on(on_stream);
        const auto [low, high] = paddings(padding);
        return conv_general(input, weight, stride, low, high, kernel_dilation, input_dilation, groups, flip);
      },
      nb::arg(), nb::arg(), nb::arg("stride") = 1, nb::arg("padding") = 0, nb::arg("kernel_dilation") = 1,
      nb::arg("input_dilation") = 1, nb::arg("groups") = 1, nb::arg("flip") = false, nb::kw_only(),
      nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def conv_general(input: array, weight: array, /, stride: int | Sequence[int] = 1, padding: int | Sequence[int] | "
          "tuple[Sequence[int], Sequence[int]] = 0, kernel_dilation: int | Sequence[int] = 1, input_dilation: int | Sequence[int] = 1, "
          "groups: int = 1, flip: bool = False, *, stream: StreamOrDevice = None) -> array"),
      "Convolution over one to three axes, with all settings: input (N, spatial..., C), weight (C_out, kernel..., C / groups).\n\n"
      "padding: one for both ends, or a pair (before, after); negative cuts off. input_dilation puts zeros between the elements of the "
      "input; flip reverses the kernel.\n\nErrors: ValueError for dtypes, ranks and channels that do not fit.");
  nb::class_<ArrayLike>(m, "ArrayLike",
                        "An object that says how it becomes an array: it has __plait_array__ or __mlx_array__.")
      .def(
          "__init__",
          [](ArrayLike* self, nb::object o) {
            if (!array_like(o)) throw nb::type_error("ArrayLike: the object has no __plait_array__");
            new (self) ArrayLike{std::move(o)};
          },
          nb::arg(), nb::sig("def __init__(self, arg: object, /) -> None"))
      .def("__plait_array__", [](const ArrayLike& a) { return *array_like(a.object); });
  m.def("device_info", device_info_of, nb::arg("d").none() = nb::none(),
        nb::sig("def device_info(d: None | Device | DeviceType = None) -> dict[str, str | int]"),
        "What is known of a device: architecture and name; empty for one that is not there.\n\n"
        "Errors: TypeError for what is no device.");
  bind_other_devices(m);
}

}  // namespace plait::python
