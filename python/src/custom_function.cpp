// Functions with rules of their own, recomputation, and order: custom_function, checkpoint, depends.
#include <utility>

#include "bind.h"
#include "plait/more_ops.h"
#include "plait/transforms.h"
#include "source.h"
#include "trees.h"

namespace plait::python {
namespace {

/// What the nodes of one call keep: how arguments and results were arranged, and the user's rules.
struct Call {
  nb::object given;   // (args, kwargs), with holes
  nb::object result;  // with holes
  nb::object vjp, jvp, vmap;
};

/// Nodes end on any thread; what they hold of Python ends under its lock.
std::shared_ptr<Call> shared_call() {
  return {new Call,
          [](Call* call) { release_under_lock([](void* context) { delete static_cast<Call*>(context); }, call); }};
}

nb::object called(const nb::object& f, nb::handle args, nb::handle kwargs) {
  return checked(nb::steal(PyObject_Call(f.ptr(), args.ptr(), kwargs.ptr())));
}

/// A tree like `shape` with the given objects where its arrays were; None, or what stands there, for other leaves.
nb::object filled(nb::handle shape, const std::vector<nb::object>& leaves, bool others) {
  size_t next = 0;
  return map_tree(shape, [&](nb::handle leaf) -> nb::object {
    if (Tree::is_hole(leaf)) return leaves.at(next++);
    return others ? nb::borrow(leaf) : nb::none();
  });
}

std::vector<nb::object> objects(const Arrays& arrays) {
  std::vector<nb::object> out;
  for (const Array& a : arrays) out.push_back(a.defined() ? nb::cast(a) : nb::none());
  return out;
}

/// One positional argument stands for itself in a rule, several are a tuple.
nb::object unpacked(const nb::object& args) { return nb::len(args) == 1 ? nb::object(args[0]) : args; }

[[noreturn]] void refuse(const char* rule, std::string got, std::string accepts) {
  throw TransformError(
      {.op = std::string("custom_function: ") + rule + " rule", .got = std::move(got), .accepts = std::move(accepts)});
}

std::string type_of(nb::handle o) { return Py_TYPE(o.ptr())->tp_name; }

size_t holes_in(nb::handle shape) {
  size_t count = 0;
  map_tree(shape, [&](nb::handle leaf) -> nb::object {
    count += Tree::is_hole(leaf) ? 1 : 0;
    return nb::none();
  });
  return count;
}

bool is_sequence(nb::handle o) { return PyTuple_Check(o.ptr()) || PyList_Check(o.ptr()); }

/// Takes apart what a rule returned, which is arranged like `shape`: `leaf` gets what stands where arrays were; None
/// stands for everything below it.
template <class Leaf>
void match(const char* rule, nb::handle shape, nb::handle returned, Leaf&& leaf) {
  if (Tree::is_hole(shape)) return leaf(returned);
  if (returned.is_none()) {
    for (size_t i = holes_in(shape); i > 0; --i) leaf(returned);
    return;
  }
  if (PyDict_Check(shape.ptr())) {
    if (!PyDict_Check(returned.ptr())) refuse(rule, "a " + type_of(returned), "a dict with the keys of the argument");
    for (auto [key, value] : nb::borrow<nb::dict>(shape)) {
      if (holes_in(value) == 0) continue;
      PyObject* found = PyDict_GetItemWithError(returned.ptr(), key.ptr());
      if (found == nullptr && PyErr_Occurred()) throw nb::python_error();
      if (found == nullptr) refuse(rule, std::string("no key ") + nb::repr(key).c_str(), "the keys of the argument");
      match(rule, value, found, leaf);
    }
  } else if (is_sequence(shape)) {
    if (!is_sequence(returned) || nb::len(returned) != nb::len(shape))
      refuse(rule, is_sequence(returned) ? std::to_string(nb::len(returned)) + " entries" : "a " + type_of(returned),
             std::to_string(nb::len(shape)) + " entries, in a tuple or a list");
    for (size_t i = 0; i < nb::len(shape); ++i) match(rule, nb::object(shape[i]), nb::object(returned[i]), leaf);
  }
}

Arrays arrays_like(const char* rule, nb::handle shape, nb::handle returned) {
  Arrays out;
  match(rule, shape, returned, [&](nb::handle o) {
    if (o.is_none())
      out.emplace_back();
    else if (is_array(o.ptr()))
      out.push_back(value_of(o.ptr()));
    else if (PyFloat_Check(o.ptr()) || PyLong_Check(o.ptr()))
      out.push_back(make_array(o, nb::none()));
    else
      refuse(rule, "a " + type_of(o), "an array, or None for zero");
  });
  return out;
}

/// Gradients of (args, kwargs). One argument that holds arrays may be answered alone; keywords follow as a dict.
Arrays gradients_like(const Call& call, nb::handle returned) {
  const nb::object args = call.given[0], kwargs = call.given[1];
  const size_t count = nb::len(args);
  nb::object for_args = nb::borrow(returned), for_kwargs = nb::none();
  if (holes_in(kwargs) > 0) {
    const bool both = PyTuple_Check(returned.ptr()) && nb::len(returned) == count + 1 &&
                      (PyDict_Check(nb::object(returned[count]).ptr()) || nb::object(returned[count]).is_none());
    if (!both && !returned.is_none())
      refuse("vjp", "gradients without those of keyword arguments",
             std::to_string(count) + " gradients and a dict, in a tuple");
    if (both) {
      for_kwargs = returned[count];
      for_args = nb::steal(PyTuple_GetSlice(returned.ptr(), 0, static_cast<Py_ssize_t>(count)));
    }
  }
  Arrays out;
  if (PyTuple_Check(for_args.ptr()) && nb::len(for_args) == count &&
      (count != 1 || !PyTuple_Check(nb::object(args[0]).ptr()))) {
    out = arrays_like("vjp", args, for_args);
  } else if (for_args.is_none()) {
    out.resize(holes_in(args));
  } else {
    size_t holders = 0, last = 0;
    for (size_t i = 0; i < count; ++i)
      if (holes_in(nb::object(args[i])) > 0) ++holders, last = i;
    if (holders != 1) refuse("vjp", "a " + type_of(for_args), std::to_string(count) + " gradients, in a tuple");
    out = arrays_like("vjp", nb::object(args[last]), for_args);
  }
  const Arrays named = arrays_like("vjp", kwargs, for_kwargs);
  out.insert(out.end(), named.begin(), named.end());
  return out;
}

void without_keywords(const char* rule, const Call& call) {
  if (nb::len(nb::object(call.given[1])) > 0)
    refuse(rule, "a call with keyword arguments", "positional arguments, where there is such a rule");
}

void axes_like(nb::handle shape, nb::handle axes, std::vector<nb::object>& into) {
  if (axes.is_none() || PyLong_Check(axes.ptr())) {
    into.insert(into.end(), holes_in(shape), nb::borrow(axes));
    return;
  }
  match("vmap", shape, axes, [&](nb::handle axis) {
    if (!axis.is_none() && !PyLong_Check(axis.ptr()))
      refuse("vmap", "an axis of type " + type_of(axis), "an int or None");
    into.push_back(nb::borrow(axis));
  });
}

CustomRules rules_of(const std::shared_ptr<Call>& call) {
  CustomRules rules;
  if (!call->vjp.is_none())
    rules.vjp = [call](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
      const nb::gil_scoped_acquire gil;
      const nb::object given = filled(call->given, objects(primals), true);
      const nb::tuple args = nb::make_tuple(unpacked(given[0]), filled(call->result, objects(cotangents), true),
                                            filled(call->result, objects(outputs), true));
      return gradients_like(*call, called(call->vjp, args, nb::object(given[1])));
    };
  if (!call->jvp.is_none())
    rules.jvp = [call](const Arrays& primals, const Arrays& tangents) {
      const nb::gil_scoped_acquire gil;
      without_keywords("jvp", *call);
      const nb::object given = filled(call->given, objects(primals), true);
      const nb::object moving = filled(call->given, objects(tangents), false);
      const nb::tuple args = nb::make_tuple(unpacked(given[0]), unpacked(moving[0]));
      return arrays_like("jvp", call->result, called(call->jvp, args, nb::dict()));
    };
  if (!call->vmap.is_none())
    rules.vmap = [call](const Arrays& inputs, const std::vector<int>& axes) {
      const nb::gil_scoped_acquire gil;
      without_keywords("vmap", *call);
      std::vector<nb::object> numbers;
      for (const int axis : axes) numbers.push_back(axis == kNotMapped ? nb::none() : nb::object(nb::int_(axis)));
      const nb::object given = filled(call->given, objects(inputs), true);
      const nb::object at = filled(call->given, numbers, false);
      const nb::object pair = called(call->vmap, nb::make_tuple(unpacked(given[0]), unpacked(at[0])), nb::dict());
      if (!PyTuple_Check(pair.ptr()) || nb::len(pair) != 2)
        refuse("vmap", "a " + type_of(pair), "a tuple of the results and their batch axes");
      std::pair<Arrays, std::vector<int>> out{arrays_like("vmap", call->result, nb::object(pair[0])), {}};
      std::vector<nb::object> chosen;
      axes_like(call->result, nb::object(pair[1]), chosen);
      for (size_t i = 0; i < out.first.size(); ++i) {
        if (!out.first[i].defined()) refuse("vmap", "None among the results", "arrays");
        int axis = chosen[i].is_none() ? kNotMapped : nb::cast<int>(chosen[i]);
        if (!chosen[i].is_none() && axis < 0) axis += out.first[i].rank();
        if (!chosen[i].is_none() && axis < 0)
          refuse("vmap", "the axis " + std::string(nb::repr(chosen[i]).c_str()), "an axis of the result");
        out.second.push_back(axis);
      }
      return out;
    };
  return rules;
}

/// The arrays of a call as a function of arrays; `result` receives how what f returned is arranged.
Function over_arrays(const nb::object& f, nb::handle given, nb::object& result) {
  return [&f, given, &result](const Arrays& arrays) {
    const nb::object filled_in = filled(given, objects(arrays), true);
    Tree tree = Tree::of(called(f, nb::object(filled_in[0]), nb::object(filled_in[1])));
    result = tree.shape;
    return tree.leaves;
  };
}

struct CustomFunction {
  nb::object f, vjp, jvp, vmap;

  nb::object operator()(const nb::args& args, const nb::kwargs& kwargs) const {
    const Tree given = Tree::of(nb::make_tuple(args, kwargs));
    const nb::object function = f;  // kept while it runs
    const auto call = shared_call();
    *call = {given.shape, nb::none(), vjp, jvp, vmap};
    const Arrays out = custom_function(over_arrays(function, given.shape, call->result), rules_of(call))(given.leaves);
    return filled(call->result, objects(out), true);
  }
};

struct CheckpointedFunction {
  nb::object f;

  nb::object operator()(const nb::args& args, const nb::kwargs& kwargs) const {
    const Tree given = Tree::of(nb::make_tuple(args, kwargs));
    const nb::object function = f;
    nb::object result;
    const Arrays out =
        checkpoint(over_arrays(function, given.shape, result), transform_of("checkpoint", function))(given.leaves);
    return filled(result, objects(out), true);
  }
};

int traverse_custom(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const auto* custom = nb::inst_ptr<CustomFunction>(self);
  for (const nb::object* o : {&custom->f, &custom->vjp, &custom->jvp, &custom->vmap}) Py_VISIT(o->ptr());
  return 0;
}
int clear_custom(PyObject* self) {
  if (nb::inst_ready(self)) *nb::inst_ptr<CustomFunction>(self) = {};
  return 0;
}
int traverse_checkpointed(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<CheckpointedFunction>(self)->f.ptr());
  return 0;
}
int clear_checkpointed(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<CheckpointedFunction>(self)->f.reset();
  return 0;
}
PyType_Slot custom_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_custom)},
                              {Py_tp_clear, reinterpret_cast<void*>(clear_custom)},
                              {0, nullptr}};
PyType_Slot checkpointed_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_checkpointed)},
                                    {Py_tp_clear, reinterpret_cast<void*>(clear_checkpointed)},
                                    {0, nullptr}};

Arrays arrays_argument(nb::handle given) {
  if (is_array(given.ptr())) return {value_of(given.ptr())};
  Arrays out;
  if (is_sequence(given))
    for (nb::handle item : nb::borrow<nb::sequence>(given)) {
      if (!is_array(item.ptr())) break;
      out.push_back(value_of(item.ptr()));
    }
  if (!is_sequence(given) || out.size() != nb::len(given))
    throw ArgumentTypeError({.op = "depends",
                             .got = "an argument of type " + type_of(given),
                             .accepts = "an array, or a list or tuple of arrays"});
  return out;
}

nb::object depends_on(nb::handle inputs, nb::handle dependencies) {
  const Arrays out = depends(arrays_argument(inputs), arrays_argument(dependencies));
  if (is_array(inputs.ptr())) return nb::cast(out[0]);
  nb::list all;
  for (const Array& a : out) all.append(nb::cast(a));
  return all;
}

}  // namespace

void bind_custom_functions(nb::module_& m) {
  const auto rule = [](nb::object CustomFunction::* member) {
    return [member](nb::handle_t<CustomFunction> self, const nb::object& f) {
      check_callable("custom_function", f);
      nb::inst_ptr<CustomFunction>(self)->*member = f;
      return nb::borrow(self);
    };
  };
  nb::class_<CustomFunction>(
      m, "custom_function", nb::type_slots(custom_slots), nb::dynamic_attr(),
      "f with rules of its own for gradients, forward derivatives and batches, given by the methods vjp, jvp and vmap. "
      "Without a rule they go through what f does.")
      .def(
          "__init__",
          [](CustomFunction* self, const nb::object& f) {
            check_callable("custom_function", f);
            new (self) CustomFunction{f, nb::none(), nb::none(), nb::none()};
          },
          nb::arg("f"), nb::sig("def __init__(self, f: Callable)"))
      .def(
          "__call__",
          [](const CustomFunction& self, const nb::args& args, const nb::kwargs& kwargs) { return self(args, kwargs); },
          nb::sig("def __call__(self, *args, **kwargs) -> object"))
      .def("vjp", rule(&CustomFunction::vjp), nb::arg("f"), nb::sig("def vjp(self, f: Callable)"),
           "Sets the rule f(primals, cotangents, outputs) -> gradients, arranged like the arguments; None is zero. One "
           "argument comes alone, several as a tuple. Returns the custom function.")
      .def("jvp", rule(&CustomFunction::jvp), nb::arg("f"), nb::sig("def jvp(self, f: Callable)"),
           "Sets the rule f(primals, tangents) -> tangents of the results; None is zero, in both. Returns the custom "
           "function.")
      .def(
          "vmap", rule(&CustomFunction::vmap), nb::arg("f"), nb::sig("def vmap(self, f: Callable)"),
          "Sets the rule f(inputs, axes) -> (results, axes), for a whole batch; an axis is None where there is no batch. "
          "Returns the custom function.")
      .def_prop_ro("__wrapped__", [](const CustomFunction& self) { return self.f; });

  nb::class_<CheckpointedFunction>(m, "CheckpointedFunction", nb::type_slots(checkpointed_slots),
                                   "A function that checkpoint made.")
      .def("__call__", [](const CheckpointedFunction& self, const nb::args& args,
                          const nb::kwargs& kwargs) { return self(args, kwargs); })
      .def_prop_ro("__wrapped__", [](const CheckpointedFunction& self) { return self.f; })
      .def("__getattr__",
           [](const CheckpointedFunction& self, nb::str name) { return nb::getattr(self.f, name); });  // __name__ ...
  m.def(
      "checkpoint",
      [](const nb::object& fun) {
        check_callable("checkpoint", fun);
        return CheckpointedFunction{fun};
      },
      nb::arg("fun"), nb::sig("def checkpoint(fun: Callable[P, R]) -> Callable[P, R]"),
      "fun, which keeps for the gradient only its arguments, and the arrays from outside that it uses: what it computes in "
      "between is computed again when the gradient needs it.\n\nErrors: TypeError for what cannot be called.");
  m.def("depends", depends_on, nb::arg("inputs"), nb::arg("dependencies"),
        nb::sig("def depends(inputs: array | Sequence[array], dependencies: array | Sequence[array])"),
        "The inputs, a list where several were given, computed only after the dependencies.\n\n"
        "Errors: TypeError for what is no array.");
}

}  // namespace plait::python
