// Jacobians over trees of arrays.
#include "plait/jacobian.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "bind.h"
#include "derived.h"
#include "trees.h"

namespace plait::python {
namespace {

using Numbers = std::variant<int, std::vector<int>>;

std::vector<int> numbers_of(const char* op, const Numbers& argnums) {
  std::vector<int> out;
  if (const int* one = std::get_if<int>(&argnums))
    out.push_back(*one);
  else
    out = std::get<std::vector<int>>(argnums);
  if (out.empty()) throw ArgumentError({.op = op, .got = "no argument number", .accepts = "at least one"});
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] < 0 || std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(i), out[i]) !=
                          out.begin() + static_cast<std::ptrdiff_t>(i))
      throw ArgumentError(
          {.op = op, .got = "argument number " + std::to_string(out[i]), .accepts = "0 and more, each once"});
  return out;
}

using Jacobian = Arrays (*)(const char*, const GradTrace&, const Arrays&);

/// f's result with, in the place of each of its arrays, its derivatives: a tree like the argument, or a tuple of them.
nb::object jacobian_call(const char* op, Jacobian jacobian, const Numbers& argnums, const nb::object& f, nb::args args,
                         nb::kwargs kwargs) {
  const std::vector<int> numbers = numbers_of(op, argnums);
  std::vector<Tree> trees;
  Arrays primals;
  for (const int number : numbers) {
    if (static_cast<size_t>(number) >= args.size())
      throw ArgumentError({.op = op,
                           .got = "argument number " + std::to_string(number) + " of a call with " +
                                  std::to_string(args.size()) + " positional arguments",
                           .accepts = args.size() == 0 ? "a call with arguments by position"
                                                       : "0 to " + std::to_string(args.size() - 1)});
    trees.push_back(Tree::of(args[static_cast<size_t>(number)]));
    if (trees.back().leaves.empty())
      throw ArgumentError({.op = op,
                           .got = "argument " + std::to_string(number) + " holds no array",
                           .accepts = "an array, or a tree of arrays"});
    primals.insert(primals.end(), trees.back().leaves.begin(), trees.back().leaves.end());
  }
  const GradTrace trace(primals);
  const auto per_tree = [&](Arrays::const_iterator from) {
    std::vector<nb::object> out;
    for (const Tree& tree : trees) {
      const auto to = from + static_cast<std::ptrdiff_t>(tree.leaves.size());
      out.push_back(tree.with(Arrays(from, to)));
      from = to;
    }
    return out;
  };
  nb::list traced;
  for (nb::handle a : args) traced.append(a);
  const std::vector<nb::object> inputs = per_tree(trace.inputs().begin());
  for (size_t i = 0; i < numbers.size(); ++i) traced[static_cast<size_t>(numbers[i])] = inputs[i];
  const nb::object result = nb::steal(PyObject_Call(f.ptr(), nb::tuple(traced).ptr(), kwargs.ptr()));
  if (!result.is_valid()) throw nb::python_error();
  const Tree out = Tree::of(result);
  if (out.leaves.empty())
    throw ArgumentError(
        {.op = op, .got = "a function whose result holds no array", .accepts = "an array, or a tree of arrays"});

  const Arrays derivatives = jacobian(op, trace, out.leaves);
  std::vector<nb::object> of_results;
  for (size_t o = 0; o < out.leaves.size(); ++o) {
    const std::vector<nb::object> each =
        per_tree(derivatives.begin() + static_cast<std::ptrdiff_t>(o * primals.size()));
    if (std::holds_alternative<int>(argnums)) {
      of_results.push_back(each[0]);
    } else {
      nb::list all;
      for (const nb::object& e : each) all.append(e);
      of_results.push_back(nb::tuple(all));
    }
  }
  return out.with(of_results);
}

DerivedFunction derived(const char* op, Jacobian jacobian, const nb::object& fun, const Numbers& argnums) {
  if (!PyCallable_Check(fun.ptr()))
    throw ArgumentTypeError(
        {.op = op, .got = "an object of type " + std::string(Py_TYPE(fun.ptr())->tp_name), .accepts = "a function"});
  numbers_of(op, argnums);
  return {fun, [=](const nb::object& f, nb::args args, nb::kwargs kwargs) {
            return jacobian_call(op, jacobian, argnums, f, std::move(args), std::move(kwargs));
          }};
}

}  // namespace

void bind_jacobian(nb::module_& m) {
  m.def(
      "jacfwd",
      [](const nb::object& fun, const Numbers& argnums) { return derived("jacfwd", jacobian_forwards, fun, argnums); },
      nb::arg("fun").none(), nb::arg("argnums") = 0,
      nb::sig("def jacfwd(fun: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]"),
      "A function that returns the derivatives of all results by all elements of the arguments at argnums, computed forwards.\n\n"
      "Each array of fun's result becomes a tree like the argument (a tuple of trees for several argnums) of arrays of shape\n"
      "result.shape + argument.shape. For few inputs and many results. Errors: ValueError for what is not real floating point.");
  m.def(
      "jacrev",
      [](const nb::object& fun, const Numbers& argnums) { return derived("jacrev", jacobian_backwards, fun, argnums); },
      nb::arg("fun").none(), nb::arg("argnums") = 0,
      nb::sig("def jacrev(fun: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]"),
      "As jacfwd, computed backwards: for few results and many inputs.\n\nShapes: as jacfwd. Errors: as jacfwd.");
  m.def(
      "hessian",
      [](const nb::object& fun, const Numbers& argnums) {
        const nb::object gradient = nb::cast(derived("hessian", jacobian_backwards, fun, argnums));
        return derived("hessian", jacobian_forwards, gradient, argnums);
      },
      nb::arg("fun").none(), nb::arg("argnums") = 0,
      nb::sig("def hessian(fun: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]"),
      "The second derivatives of fun by the arguments at argnums: jacfwd of jacrev. Shapes are result.shape + first.shape +\n"
      "second.shape; trees nest as those of the two. Errors: as jacfwd.");
}

}  // namespace plait::python
