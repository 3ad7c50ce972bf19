// Loops and branches over trees of arrays.
#include "plait/control_flow.h"

#include <functional>
#include <string>
#include <vector>

#include "bind.h"
#include "plait/ops.h"
#include "trees.h"

namespace plait::python {
namespace {

void check_function(const char* op, const char* name, nb::handle f) {
  if (!PyCallable_Check(f.ptr()))
    throw ArgumentTypeError(
        {.op = op, .got = std::string(name) + " of type " + Py_TYPE(f.ptr())->tp_name, .accepts = "a function"});
}

std::string type_of(nb::handle o) { return Py_TYPE(o.ptr())->tp_name; }

/// Whether a leaf becomes an array: numbers and arrays of others do.
bool is_value(nb::handle leaf) {
  return is_array(leaf.ptr()) || is_scalar(leaf.ptr()) || PyObject_HasAttrString(leaf.ptr(), "__array__") == 1;
}

Array as_array(nb::handle leaf) { return is_array(leaf.ptr()) ? value_of(leaf.ptr()) : make_array(leaf, nb::none()); }

/// A tree of values, taken apart: `tree` has holes where they were.
struct Structure {
  Tree tree;
  std::vector<bool> weak;  // a Python number, that takes the dtype of what follows

  static Structure of(nb::handle whole) {
    Structure out;
    const nb::object arrays = map_tree(whole, [&](nb::handle leaf) -> nb::object {
      if (!is_value(leaf)) return nb::borrow(leaf);
      out.weak.push_back(PyLong_CheckExact(leaf.ptr()) || PyFloat_CheckExact(leaf.ptr()));
      return nb::cast(as_array(leaf));
    });
    out.tree = Tree::of(arrays);
    return out;
  }
  size_t size() const { return tree.leaves.size(); }
  nb::object with(const Arrays& arrays) const { return tree.with(arrays); }
};

/// What a mismatch is called in messages.
struct Context {
  const char* op;
  const char* got;      // "the carry that the step returns"
  const char* accepts;  // "the structure of init"
};

[[noreturn]] void raise_structure(const Context& c, const std::string& path, const std::string& got,
                                  const std::string& accepts) {
  throw ArgumentError({.op = c.op, .got = got + " at " + c.got + path, .accepts = accepts + ", as in " + c.accepts});
}

std::string described(nb::handle o) {
  if (is_array(o.ptr())) return "an array";
  if (o.is_none()) return "None";
  const bool container = PyDict_Check(o.ptr()) || PyList_Check(o.ptr()) || PyTuple_Check(o.ptr());
  return "a " + type_of(o) + (container ? " of " + std::to_string(nb::len(o)) : "");
}

/// The values of `tree` in the order of `like`, whose structure it has to have, and their paths.
void align(const Context& c, nb::handle like, nb::handle tree, const std::string& path, Arrays& into,
           std::vector<std::string>& paths) {
  const auto mismatch = [&] {
    raise_structure(c, path, described(tree), is_array(like.ptr()) ? "an array" : described(like));
  };
  if (is_array(like.ptr())) {
    if (!is_value(tree)) mismatch();
    into.push_back(as_array(tree));
    paths.push_back(path);
  } else if (PyDict_Check(like.ptr())) {
    if (!PyDict_Check(tree.ptr()) || nb::len(tree) != nb::len(like)) mismatch();
    for (auto [key, value] : nb::borrow<nb::dict>(like)) {
      const std::string below = path + "[" + nb::cast<std::string>(nb::repr(key)) + "]";
      const nb::handle other = PyDict_GetItemWithError(tree.ptr(), key.ptr());
      if (!other.is_valid()) {
        if (PyErr_Occurred()) throw nb::python_error();
        raise_structure(c, below, "nothing", described(value));
      }
      align(c, value, other, below, into, paths);
    }
  } else if (PyList_Check(like.ptr()) || PyTuple_Check(like.ptr())) {
    if (Py_TYPE(like.ptr()) != Py_TYPE(tree.ptr()) || nb::len(tree) != nb::len(like)) mismatch();
    for (size_t i = 0; i < nb::len(like); ++i)
      align(c, nb::object(like[i]), nb::object(tree[i]), path + "[" + std::to_string(i) + "]", into, paths);
  } else {
    const int same = PyObject_RichCompareBool(like.ptr(), tree.ptr(), Py_EQ);
    if (same < 0) throw nb::python_error();
    if (same == 0) mismatch();
  }
}

std::string kind_of(const Array& a) { return std::string(name_of(a.dtype())) + to_string(a.shape()); }

/// Thrown through a trace: numbers to begin with should have these dtypes.
struct TakesOtherDTypes {
  Arrays init;
};

/// What a function returned, in the order of `like`, each of the dtype and shape of its place. `weak`: numbers there give
/// way to the dtype that comes.
Arrays fitted(const Context& c, const Structure& like, nb::handle tree, const Arrays& wanted,
              const std::vector<bool>& weak = {}) {
  Arrays got;
  std::vector<std::string> paths;
  align(c, like.with(wanted), tree, "", got, paths);
  Arrays init = like.tree.leaves;
  bool give_way = false;
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i].shape() == wanted[i].shape() && got[i].dtype() == wanted[i].dtype()) continue;
    if (i < weak.size() && weak[i] && got[i].shape() == wanted[i].shape()) {
      init[i] = astype(init[i], got[i].dtype());
      give_way = true;
      continue;
    }
    const bool shape = !(got[i].shape() == wanted[i].shape());
    const ErrorInfo info{.op = c.op,
                         .got = kind_of(got[i]) + " at " + c.got + paths[i],
                         .accepts = kind_of(wanted[i]) + ", as in " + c.accepts,
                         .hint = shape ? "broadcast_to gives what it begins with the shape of what follows"
                                       : "astype converts; or begin with an array of that dtype"};
    if (shape) throw ShapeError(info);
    throw DTypeError(info);
  }
  if (give_way) throw TakesOtherDTypes{std::move(init)};
  return got;
}

/// Runs `attempt` with what it begins with, again when numbers among that have to have other dtypes.
template <class F>
auto with_settled_numbers(Structure& init, F&& attempt) {
  for (int round = 0;; ++round) {
    try {
      return attempt();
    } catch (TakesOtherDTypes& other) {
      init.tree.leaves = std::move(other.init);
      if (round == 2) init.weak.clear();  // it does not settle: the next mismatch is an error
    }
  }
}

nb::object called(nb::handle f, std::initializer_list<nb::object> arguments) {
  nb::list list;
  for (const nb::object& a : arguments) list.append(a);
  nb::object result = nb::steal(PyObject_CallObject(f.ptr(), nb::tuple(list).ptr()));
  if (!result.is_valid()) throw nb::python_error();
  return result;
}

nb::object call_unpacked(nb::handle f, const nb::object& arguments) {
  nb::object result = nb::steal(PyObject_CallObject(f.ptr(), arguments.ptr()));
  if (!result.is_valid()) throw nb::python_error();
  return result;
}

// ---- the functions --------------------------------------------------------------------------------------------------

nb::object scan_call(const nb::object& f, const nb::object& init, const nb::object& xs, const nb::object& length,
                     bool reverse, int64_t unroll) {
  check_function("scan", "f", f);
  Structure carry = Structure::of(init);
  const Structure sequences = Structure::of(xs);
  std::optional<Dim> n;
  if (!length.is_none()) {
    int64_t value = 0;
    if (!load_int(length.ptr(), value))
      throw ArgumentTypeError(
          {.op = "scan", .got = "a length of type " + type_of(length), .accepts = "an int, or None"});
    n = Dim(value);
  }
  if (unroll < 1 || unroll > 4096)
    throw ArgumentError({.op = "scan", .got = "unroll " + std::to_string(unroll), .accepts = "1 to 4096"});
  Structure stacked;
  const ScanFunction step = [&](const Arrays& c, const Arrays& x) {
    const nb::object result = called(f, {carry.with(c), sequences.with(x)});
    if (!PyTuple_Check(result.ptr()) || nb::len(result) != 2)
      throw ArgumentError({.op = "scan",
                           .got = "a step that returns " + described(result),
                           .accepts = "a tuple of two: the next carry, and what is kept of the step or None"});
    Arrays next = fitted({"scan", "the carry that the step returns", "the one it was given"}, carry,
                         nb::object(result[0]), c, carry.weak);
    stacked = Structure::of(nb::object(result[1]));
    return std::pair(std::move(next), stacked.tree.leaves);
  };
  const auto [last, ys] = with_settled_numbers(carry, [&] {
    return scan(step, carry.tree.leaves, sequences.tree.leaves, n, reverse, static_cast<int>(unroll));
  });
  return nb::make_tuple(carry.with(last), stacked.with(ys));
}

nb::object map_call(const nb::object& f, const nb::object& xs) {
  check_function("map", "f", f);
  const Structure sequences = Structure::of(xs);
  if (sequences.size() == 0)
    throw ArgumentError({.op = "map", .got = "xs without an array", .accepts = "an array, or a tree of arrays"});
  Structure out;
  const Arrays ys = map(
      [&](const Arrays& x) {
        out = Structure::of(called(f, {sequences.with(x)}));
        return out.tree.leaves;
      },
      sequences.tree.leaves);
  return out.with(ys);
}

nb::object while_call(const nb::object& condition, const nb::object& body, const nb::object& init) {
  check_function("while_loop", "cond_fun", condition);
  check_function("while_loop", "body_fun", body);
  Structure carry = Structure::of(init);
  const Function test = [&](const Arrays& c) {
    const nb::object result = called(condition, {carry.with(c)});
    if (!is_value(result))
      throw ArgumentError({.op = "while_loop",
                           .got = "a condition that returns " + described(result),
                           .accepts = "one 0-d bool or number"});
    return Arrays{as_array(result)};
  };
  const Function turn = [&](const Arrays& c) {
    const nb::object result = called(body, {carry.with(c)});
    return fitted({"while_loop", "what the body returns", "what it was given"}, carry, result, c, carry.weak);
  };
  return carry.with(with_settled_numbers(carry, [&] { return while_loop(test, turn, carry.tree.leaves); }));
}

nb::object cond_call(const nb::object& predicate, const nb::object& on_true, const nb::object& on_false,
                     nb::args operands) {
  check_function("cond", "true_fun", on_true);
  check_function("cond", "false_fun", on_false);
  if (!is_value(predicate))
    throw ArgumentTypeError(
        {.op = "cond", .got = "a predicate of type " + type_of(predicate), .accepts = "a 0-d bool or number"});
  const Structure in = Structure::of(operands);
  Structure out;
  Arrays results;  // of the first branch
  const auto of_first = [&](const nb::object& branch, const Arrays& a) {
    out = Structure::of(call_unpacked(branch, in.with(a)));
    return results = out.tree.leaves;
  };
  const Function yes = [&](const Arrays& a) { return of_first(on_true, a); };
  const Function no = [&](const Arrays& a) {
    if (!out.tree.shape.is_valid()) return of_first(on_false, a);  // the eager switch: the only one that is called
    return fitted({"cond", "what false_fun returns", "what true_fun returns"}, out, call_unpacked(on_false, in.with(a)),
                  results);
  };
  return out.with(cond(as_array(predicate), yes, no, in.tree.leaves));
}

}  // namespace

void bind_control_flow(nb::module_& m) {
  m.def(
      "scan", scan_call, nb::arg("f").none(), nb::arg("init").none(), nb::arg("xs") = nb::none(),
      nb::arg("length") = nb::none(), nb::arg("reverse") = false, nb::arg("unroll") = 1,
      nb::sig(
          "def scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None, "
          "reverse: bool = False, unroll: int = 1) -> tuple[Any, Any]"),
      "Runs f(carry, x) -> (carry, y) over the first axis of xs, as one operation: the last carry, and the ys stacked.\n\n"
      "init, xs and y are trees of arrays; every carry has the structure, shapes and dtypes of init. length is needed where\n"
      "xs holds no array. reverse goes from the last x to the first; ys stay in the places of their xs. unroll steps are run\n"
      "as one program, so that they are fused with each other. f is run once, on arrays without values.\n"
      "Errors: ValueError for a carry that changes, for first extents of xs that differ, for neither xs nor length.");
  m.def("map", map_call, nb::arg("f").none(), nb::arg("xs").none(),
        nb::sig("def map(f: Callable[[Any], Any], xs: Any) -> Any"),
        "f(x) for each x along the first axis of xs, one after another and as one operation; results are stacked.\n\n"
        "xs and results are trees of arrays. vmap does all at once instead, and needs the memory for it.\n"
        "Errors: ValueError for first extents of xs that differ, and for xs without an array.");
  m.def(
      "while_loop", while_call, nb::arg("cond_fun").none(), nb::arg("body_fun").none(), nb::arg("init_val").none(),
      nb::sig("def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any"),
      "Runs body_fun on its own results, from init_val on, while cond_fun of them is true, as one operation.\n\n"
      "Every value has the structure, shapes and dtypes of init_val. Both functions are run once, on arrays without values.\n"
      "Derivatives: forwards only; scan has gradients too. Errors: ValueError for a value that changes, or a condition that\n"
      "is not 0-d.");
  m.def(
      "cond", cond_call, nb::arg("pred").none(), nb::arg("true_fun").none(), nb::arg("false_fun").none(),
      nb::arg("operands"),
      nb::sig(
          "def cond(pred: scalar | array, true_fun: Callable[..., R], false_fun: Callable[..., R], *operands: Any) -> R"),
      "true_fun(*operands) or false_fun(*operands), by pred, as one operation that runs one of them.\n\n"
      "Both are traced, and return the same structure, shapes and dtypes. Under vmap with a batch of preds both are run.\n"
      "Errors: ValueError for branches that differ, or a pred that is not 0-d.");
}

}  // namespace plait::python
