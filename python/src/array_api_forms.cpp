// Further forms of functions: parameters that the array API standard has and the recorded interface has not. Each comes behind
// the recorded form, so that a call which both take is the recorded one's.
#include <optional>
#include <string>

#include "bind.h"
#include "plait/linalg.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

constexpr const char* kStream = "stream: StreamOrDevice = None) -> array";

/// Adds a form to m.name; the last parameter is `stream`.
template <class F, class... Extra>
void form(nb::module_& m, const std::string& name, const char* parameters, const char* doc, F&& f,
          const Extra&... extra) {
  m.def(name.c_str(), std::forward<F>(f), extra..., nb::arg("stream").none() = nb::none(),
        nb::sig(("def " + name + "(" + parameters + ", " + kStream).c_str()), doc);
}

// ---- sorting ----

void bind_sorting(nb::module_& m) {
  const auto add = [&m](const char* name, auto run, const char* doc) {
    form(
        m, name, "x: array, /, *, axis: None | int = -1, descending: bool = False, stable: bool = True", doc,
        [run](const Array& a, std::optional<int> axis, bool descending, bool, StreamArg stream) {
          const StreamGuard on(stream);
          return run(a, axis, descending);
        },
        nb::arg(), nb::kw_only(), nb::arg("axis").none() = -1, nb::arg("descending") = false, nb::arg("stable") = true);
  };
  using Run = Array (*)(const Array&, std::optional<int>, bool);
  add("sort", static_cast<Run>(sort), "The elements along an axis in order, or from the largest on.");
  add("argsort", static_cast<Run>(argsort),
      "Where the elements of the sorted axis stood; equal ones stay in order, also from the largest on.");
  form(
      m, "searchsorted", "x1: array, x2: array, /, *, side: str = 'left', sorter: array | None = None",
      "Positions at which x2 goes into x1, which `sorter` puts in order.",
      [](const Array& a, const Array& values, std::string_view side, const std::optional<Array>& sorter,
         StreamArg stream) {
        const StreamGuard on(stream);
        return searchsorted(sorter ? take(a, *sorter, 0) : a, values, side);
      },
      nb::arg(), nb::arg(), nb::kw_only(), nb::arg("side") = "left", nb::arg("sorter").none() = nb::none());
}

// ---- sums, products, differences ----

Array in_dtype(const Array& a, std::optional<DType> dtype) { return dtype ? astype(a, *dtype) : a; }

void bind_sums(nb::module_& m) {
  const auto reduced = [&m](const char* name, Array (*run)(const Array&, const Axes&, bool), const char* doc) {
    form(
        m, name,
        "x: array, /, *, axis: None | int | Sequence[int] = None, dtype: Dtype | None = None, keepdims: bool = False",
        doc,
        [run](const Array& a, const Axes& axis, std::optional<DType> dtype, bool keepdims, StreamArg stream) {
          const StreamGuard on(stream);
          return run(in_dtype(a, dtype), axis, keepdims);
        },
        nb::arg(), nb::kw_only(), nb::arg("axis").none() = nb::none(), nb::arg("dtype").none() = nb::none(),
        nb::arg("keepdims") = false);
  };
  reduced("sum", sum, "Sum along axes, of the elements converted to a dtype.");
  reduced("prod", prod, "Product along axes, of the elements converted to a dtype.");

  const auto running = [&m](const char* name, auto run, int initial, const char* doc) {
    form(
        m, name, "x: array, /, *, axis: None | int = None, dtype: Dtype | None = None, include_initial: bool = False",
        doc,
        [run, initial](const Array& a, std::optional<int> axis, std::optional<DType> dtype, bool include_initial,
                       StreamArg stream) {
          const StreamGuard on(stream);
          const Array all = run(a, axis, false, true, dtype);
          if (!include_initial) return all;
          const int along = axis.value_or(0);
          Shape first = all.shape();
          first[along < 0 ? along + all.rank() : along] = 1;
          return concatenate({full(first, Array(Scalar(initial)), all.dtype()), all}, along);
        },
        nb::arg(), nb::kw_only(), nb::arg("axis").none() = nb::none(), nb::arg("dtype").none() = nb::none(),
        nb::arg("include_initial") = false);
  };
  running("cumsum", cumsum, 0, "Running sums; with include_initial a 0 comes first.");
  running("cumprod", cumprod, 1, "Running products; with include_initial a 1 comes first.");
  m.attr("cumulative_sum") = m.attr("cumsum");
  m.attr("cumulative_prod") = m.attr("cumprod");

  form(
      m, "diff",
      "x: array, /, *, axis: int = -1, n: int = 1, prepend: array | None = None, append: array | None = None",
      "Differences of neighbours along an axis, after others are put before and behind it.",
      [](const Array& a, int axis, int64_t n, const std::optional<Array>& prepend, const std::optional<Array>& append,
         StreamArg stream) {
        const StreamGuard on(stream);
        Arrays parts;
        if (prepend) parts.push_back(*prepend);
        parts.push_back(a);
        if (append) parts.push_back(*append);
        return diff(parts.size() == 1 ? a : concatenate(parts, axis), n, axis);
      },
      nb::arg(), nb::kw_only(), nb::arg("axis") = -1, nb::arg("n") = 1, nb::arg("prepend").none() = nb::none(),
      nb::arg("append").none() = nb::none());
}

// ---- names of parameters ----

void bind_names(nb::module_& m) {
  form(
      m, "clip", "x: array, /, min: scalar | array | None = None, max: scalar | array | None = None, *",
      "Elements kept between two bounds, either of which may be missing.\n\nErrors: TypeError without bounds.",
      [](const Array& a, std::optional<Operand> min, std::optional<Operand> max, StreamArg stream) {
        const StreamGuard on(stream);
        if (!min && !max) throw ArgumentTypeError({.op = "clip", .got = "no bound", .accepts = "min, max, or both"});
        OperandDType common;
        common.see(a);
        common.see(min);
        common.see(max);
        return clip(a, common.convert(min), common.convert(max));
      },
      nb::arg(), nb::arg("min").none() = nb::none(), nb::arg("max").none() = nb::none(), nb::kw_only());
  form(
      m, "full", "shape: int | Sequence[int], fill_value: scalar | array, *, dtype: Dtype | None = None",
      "An array of one value.",
      [](const Shape& shape, Operand fill_value, std::optional<DType> dtype, StreamArg stream) {
        const StreamGuard on(stream);
        return full(shape, to_array(fill_value), dtype);
      },
      nb::arg("shape"), nb::arg("fill_value"), nb::kw_only(), nb::arg("dtype").none() = nb::none());
  form(
      m, "full_like", "x: array, /, fill_value: scalar | array, *, dtype: Dtype | None = None",
      "An array of one value, with the shape of another, and its dtype when none is given.",
      [](const Array& a, Operand fill_value, std::optional<DType> dtype, StreamArg stream) {
        const StreamGuard on(stream);
        return full_like(a, to_array(fill_value), dtype);
      },
      nb::arg(), nb::arg("fill_value"), nb::kw_only(), nb::arg("dtype").none() = nb::none());
  form(
      m, "reshape", "x: array, /, shape: Sequence[int], *, copy: bool | None",
      "The elements in another shape. copy makes no difference: arrays do not change through one another.",
      [](const Array& a, const Shape& shape, std::optional<bool>, StreamArg stream) {
        const StreamGuard on(stream);
        return reshape(a, shape);
      },
      nb::arg(), nb::arg("shape"), nb::kw_only(), nb::arg("copy").none());
}

void bind_repeat(nb::module_& m) {
  form(
      m, "repeat", "x: array, repeats: array, /, *, axis: None | int = None",
      "Each element along an axis as often as an array of integers says: one for all, or one for each. Their sum has to be\n"
      "known: it evaluates, and raises TransformError while a function is traced.",
      [](const Array& a, const Array& repeats, std::optional<int> axis, StreamArg stream) {
        const StreamGuard on(stream);
        return repeat_each(a, repeats, axis);
      },
      nb::arg(), nb::arg(), nb::kw_only(), nb::arg("axis").none() = nb::none());
}

// ---- linear algebra ----

void bind_linalg(nb::module_ m) {
  form(
      m, "pinv", "x: array, /, *, rtol: int | float", "Singular values up to rtol times the largest count as 0.",
      [](const Array& a, double rtol, StreamArg stream) {
        const StreamGuard on(stream);
        return linalg::pinv(a, rtol);
      },
      nb::arg(), nb::kw_only(), nb::arg("rtol"));
  m.def(
      "qr",
      [](const Array& a, std::string_view mode, StreamArg stream) {
        const StreamGuard on(stream);
        if (mode != "reduced" && mode != "complete")
          throw ArgumentError(
              {.op = "linalg.qr", .got = "mode '" + std::string(mode) + "'", .accepts = "'reduced', 'complete'"});
        return to_named("QRResult", mode == "complete" ? linalg::complete_qr(a) : linalg::qr(a));
      },
      nb::arg(), nb::kw_only(), nb::arg("mode"), nb::arg("stream").none() = nb::none(),
      nb::sig(
          "def qr(x: array, /, *, mode: Literal['reduced', 'complete'], stream: StreamOrDevice = None) -> QRResult"),
      "'complete': all columns of Q, and as many rows of R.");
  m.def(
      "svd",
      [](const Array& a, bool full_matrices, StreamArg stream) {
        const StreamGuard on(stream);
        return to_named("SVDResult", full_matrices ? linalg::svd(a) : linalg::reduced_svd(a));
      },
      nb::arg(), nb::kw_only(), nb::arg("full_matrices"), nb::arg("stream").none() = nb::none(),
      nb::sig("def svd(x: array, /, *, full_matrices: bool, stream: StreamOrDevice = None) -> SVDResult"),
      "Without full matrices U and V^H have min(m, n) columns and rows.");
}

}  // namespace

void bind_array_api_forms(nb::module_& m) {
  bind_repeat(m);
  bind_linalg(submodule(m, "core.linalg"));
  bind_sorting(m);
  bind_sums(m);
  bind_names(m);
}

}  // namespace plait::python
