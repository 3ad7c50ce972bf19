// Functions as files, and graphs as text.

#include <memory>

#include "bind.h"
#include "io/file.h"
#include "paths.h"
#include "plait/export_function.h"
#include "trees.h"

namespace plait::python {
namespace {

// ---- arguments ------------------------------------------------------------------------------------------------------

struct Inputs {
  Arrays args;
  NamedArrays named;
};

bool all_arrays(nb::handle sequence) {
  for (nb::handle item : nb::borrow<nb::sequence>(sequence))
    if (!is_array(item.ptr())) return false;
  return true;
}

bool is_sequence_of_arrays(nb::handle o) { return (PyTuple_Check(o.ptr()) || PyList_Check(o.ptr())) && all_arrays(o); }

bool is_dict_of_arrays(nb::handle o) {
  if (!PyDict_Check(o.ptr())) return false;
  for (auto [key, value] : nb::borrow<nb::dict>(o))
    if (!PyUnicode_Check(key.ptr()) || !is_array(value.ptr())) return false;
  return true;
}

/// Arrays by position and by name, or a tuple of arrays, or a dict of arrays, or both in this order.
Inputs inputs_of(const char* op, const nb::args& args, const nb::kwargs& kwargs) {
  nb::object positional = args, named = kwargs;
  if (kwargs.size() == 0 && args.size() > 0 && args.size() <= 2 && !is_array(args[0].ptr())) {
    const nb::object first = args[0], last = args[args.size() - 1];
    positional = is_dict_of_arrays(first) ? nb::object(nb::tuple()) : first;
    if (args.size() == 2 || is_dict_of_arrays(first)) named = last;
  }
  if (!is_sequence_of_arrays(positional) || !is_dict_of_arrays(named))
    throw ArgumentError(
        {.op = op,
         .got = "arguments that are no arrays",
         .accepts = "arrays by position and by name, or one tuple of arrays, one dict of arrays, or both",
         .hint = "array(x) makes an array of a number"});
  Inputs out;
  for (nb::handle a : nb::borrow<nb::sequence>(positional)) out.args.push_back(value_of(a.ptr()));
  for (auto [key, value] : nb::borrow<nb::dict>(named)) out.named[nb::cast<std::string>(key)] = value_of(value.ptr());
  return out;
}

Arrays outputs_of(nb::handle result) {
  if (is_array(result.ptr())) return {value_of(result.ptr())};
  if (!is_sequence_of_arrays(result))
    throw ArgumentError({.op = "export_function",
                         .got = "a function that returns " + std::string(Py_TYPE(result.ptr())->tp_name),
                         .accepts = "an array, or a tuple or list of arrays"});
  return arrays_of(result);
}

/// The function as the library calls it, which happens without Python's lock. `f` outlives it.
NamedFunction called(const nb::object& f) {
  return [function = f.ptr()](const Arrays& args, const NamedArrays& named) {
    const nb::gil_scoped_acquire locked;
    nb::list positional;
    for (const Array& a : args) positional.append(nb::cast(a));
    nb::dict keywords;
    for (const auto& [name, a] : named) keywords[name.c_str()] = nb::cast(a);
    return outputs_of(checked(nb::steal(PyObject_Call(function, nb::tuple(positional).ptr(), keywords.ptr()))));
  };
}

// ---- exporter -------------------------------------------------------------------------------------------------------

class Exporter {
 public:
  Exporter(std::string path, nb::object f, ExportOptions options)
      : f_(std::move(f)),
        exporter_(std::make_unique<FunctionExporter>(std::move(path), called(f_), std::move(options))) {}

  void add(const nb::args& args, const nb::kwargs& kwargs) {
    const Inputs inputs = inputs_of("exporter", args, kwargs);
    const nb::object keep = f_;
    const nb::gil_scoped_release unlocked;
    (*exporter_)(inputs.args, inputs.named);
  }
  void close() {
    const nb::gil_scoped_release unlocked;
    exporter_->close();
  }
  void discard() {
    const nb::gil_scoped_release unlocked;
    exporter_->discard();
  }

  nb::object f_;

 private:
  std::unique_ptr<FunctionExporter> exporter_;
};

int exporter_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<Exporter>(self)->f_.ptr());
  return 0;
}

int exporter_clear(PyObject* self) {
  if (!nb::inst_ready(self)) return 0;
  auto* exporter = nb::inst_ptr<Exporter>(self);
  exporter->discard();  // whoever still holds it cannot call the function any more
  exporter->f_.reset();
  return 0;
}

PyType_Slot exporter_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(exporter_traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(exporter_clear)},
                                {0, nullptr}};

// ---- events ---------------------------------------------------------------------------------------------------------

nb::object python_value(const CallAttr::Value& value) {
  return std::visit(
      []<class T>(const T& v) -> nb::object {
        if constexpr (std::is_same_v<T, std::monostate>)
          return nb::none();
        else if constexpr (std::is_same_v<T, std::string>)
          return text_of(v);
        else
          return nb::cast(v);
      },
      value);
}

nb::list described(const std::vector<TraceListing::Value>& values) {
  nb::list out;
  for (const auto& v : values) out.append(nb::make_tuple(v.name, shape_tuple(v.shape), nb::cast(v.dtype)));
  return out;
}

void send_events(const nb::object& callback, const TraceListing& trace) {
  const auto send = [&](const char* type, std::initializer_list<std::pair<const char*, nb::object>> items) {
    nb::dict event;
    event["type"] = type;
    for (const auto& [key, value] : items) event[key] = value;
    callback(event);
  };
  nb::list keywords, constants;
  for (const auto& [argument, value] : trace.named) keywords.append(nb::make_tuple(argument, value));
  for (const auto& [name, a] : trace.constants) constants.append(nb::make_tuple(name, nb::cast(a)));
  send("inputs", {{"inputs", described(trace.inputs)}});
  send("keyword_inputs", {{"keywords", keywords}});
  send("outputs", {{"outputs", described(trace.outputs)}});
  send("constants", {{"constants", constants}});
  for (const TraceListing::Step& step : trace.steps) {
    nb::list arguments;
    for (const auto& [name, value] : step.arguments) arguments.append(python_value(value));
    send("primitive", {{"name", nb::str(step.op.c_str())},
                       {"inputs", described(step.inputs)},
                       {"outputs", described(step.outputs)},
                       {"arguments", arguments}});
  }
}

void export_function(const nb::object& file_or_callback, const nb::object& fun, const nb::args& args, bool shapeless,
                     const std::optional<std::string>& metadata, const nb::kwargs& kwargs) {
  const char* op = "export_function";
  check_callable(op, fun);
  const Inputs inputs = inputs_of(op, args, kwargs);
  if (is_path(file_or_callback)) {
    const std::string path = path_of(file_or_callback);
    const nb::gil_scoped_release unlocked;
    plait::export_function(path, called(fun), inputs.args, inputs.named, {shapeless, metadata.value_or("")});
    return;
  }
  check_callable(op, file_or_callback);
  if (metadata) throw ArgumentError({.op = op, .got = "metadata for a callback", .accepts = "metadata for a file"});
  TraceListing trace;
  {
    const nb::gil_scoped_release unlocked;
    trace = list_function(called(fun), inputs.args, inputs.named);
  }
  send_events(file_or_callback, trace);
}

void export_to_dot(const nb::object& file, const nb::args& args, const nb::kwargs& kwargs) {
  const auto leaves = [](nb::handle tree) {
    (void)map_tree(tree, [](nb::handle leaf) -> nb::object {
      if (!is_array(leaf.ptr()))
        throw ArgumentError({.op = "export_to_dot",
                             .got = "an object of type " + std::string(Py_TYPE(leaf.ptr())->tp_name),
                             .accepts = "arrays, and lists, tuples and dicts of them"});
      return nb::none();
    });
    return arrays_of(tree);
  };
  std::vector<std::pair<std::string, Array>> names;
  for (auto [key, value] : kwargs) {
    const Arrays arrays = leaves(value);
    const std::string name = nb::cast<std::string>(key);
    for (size_t i = 0; i < arrays.size(); ++i)
      names.emplace_back(arrays.size() == 1 ? name : name + "[" + std::to_string(i) + "]", arrays[i]);
  }
  const std::string text = graph_to_dot(leaves(args), names);
  if (is_path(file)) {
    io::OutputFile out("export_to_dot", path_of(file));
    out.write(0, text.data(), text.size());
    out.commit();
  } else if (nb::hasattr(file, "write")) {
    file.attr("write")(text_of(text));
  } else {
    throw ArgumentError({.op = "export_to_dot",
                         .got = "an object of type " + std::string(Py_TYPE(file.ptr())->tp_name),
                         .accepts = "the name of a file, or an object with a method write"});
  }
}

}  // namespace

void bind_export(nb::module_& m) {
  nb::class_<Exporter>(m, "FunctionExporter", nb::type_slots(exporter_slots),
                       "Collects traces of a function for one file, which is written when it is closed.")
      .def(
          "__call__", [](Exporter& self, const nb::args& args, const nb::kwargs& kwargs) { self.add(args, kwargs); },
          nb::sig("def __call__(self, *args, **kwargs) -> None"), "Adds a trace for arguments like these.")
      .def(
          "__enter__", [](nb::object self) { return self; }, nb::sig("def __enter__(self) -> FunctionExporter"))
      .def(
          "__exit__",
          [](Exporter& self, const nb::object& type, const nb::object&, const nb::object&) {
            return type.is_none() ? self.close() : self.discard();
          },
          nb::arg("exc_type") = nb::none(), nb::arg("exc_value") = nb::none(), nb::arg("traceback") = nb::none(),
          nb::sig("def __exit__(self, exc_type: object | None = None, exc_value: object | None = None, traceback: "
                  "object | None = None) -> None"),
          "Writes the file, or nothing when an exception ends the block.")
      .def("close", &Exporter::close, nb::sig("def close(self) -> None"), "Writes the file.");

  nb::class_<ImportedFunction>(m, "ImportedFunction", "A function that import_function read.")
      .def("__call__",
           [](const ImportedFunction& self, const nb::args& args, const nb::kwargs& kwargs) {
             const Inputs inputs = inputs_of("imported function", args, kwargs);
             return to_tuple(self(inputs.args, inputs.named));
           })
      .def_prop_ro(
          "metadata", [](const ImportedFunction& self) { return text_of(self.metadata()); },
          "The text that was exported with it.")
      .def_prop_ro(
          "signatures",
          [](const ImportedFunction& self) {
            nb::list out;
            for (const std::string& s : self.signatures()) out.append(text_of(s));
            return out;
          },
          nb::sig("def signatures(self) -> list[str]"), "The arguments that each trace in the file takes.");

  m.def("export_function", export_function, nb::arg("file_or_callback"), nb::arg("fun"), nb::arg("args"),
        nb::arg("shapeless") = false, nb::arg("metadata") = nb::none(), nb::arg("kwargs"),
        nb::sig("def export_function(file_or_callback: str | Callable, fun: Callable, *args, shapeless: bool = False, "
                "metadata: str | None = None, **kwargs) -> None"),
        "Runs fun once on arguments like args and kwargs, and writes what it computes to a file that import_function "
        "reads; a callback gets the parts as dicts instead. shapeless: extents may be others in each call. Errors: "
        "ValueError for arguments or results that are no arrays; RuntimeError for a file that cannot be written; "
        "TransformError for an op that no file can hold.");
  m.def(
      "exporter",
      [](const nb::object& file, const nb::object& fun, bool shapeless, const std::optional<std::string>& metadata) {
        check_callable("exporter", fun);
        return new Exporter(path_of(file), fun, {shapeless, metadata.value_or("")});
      },
      nb::rv_policy::take_ownership, nb::arg("file"), nb::arg("fun"), nb::kw_only(), nb::arg("shapeless") = false,
      nb::arg("metadata") = nb::none(),
      nb::sig("def exporter(file: str, fun: Callable, *, shapeless: bool = False, metadata: str | None = None) -> "
              "FunctionExporter"),
      "For several traces of one function in one file: call it with example arguments, in a with statement or before "
      "close(). Errors: as export_function; RuntimeError for a second trace with the same signature.");
  m.def(
      "import_function",
      [](const nb::object& file, bool return_metadata) -> nb::object {
        const std::string path = path_of(file);
        std::optional<ImportedFunction> read;
        {
          const nb::gil_scoped_release unlocked;
          read = plait::import_function(path);
        }
        const nb::object metadata = text_of(read->metadata());
        const nb::object function = nb::cast(std::move(*read));
        return return_metadata ? nb::object(nb::make_tuple(function, metadata)) : function;
      },
      nb::arg("file"), nb::arg("return_metadata") = false,
      nb::sig("def import_function(file: str, return_metadata: bool = False) -> Callable | tuple[Callable, str]"),
      "A function that a file of export_function holds: it takes arrays as exported and returns a tuple of arrays. "
      "Errors: RuntimeError for a file that is missing, damaged or made by a newer plait; calls raise ValueError for "
      "arguments that the file has no trace for.");
  m.def("export_to_dot", export_to_dot, nb::arg("file"), nb::arg("args"), nb::arg("kwargs"),
        nb::sig("def export_to_dot(file: object, *args, **kwargs) -> None"),
        "Writes the graph of arrays that are not computed yet as text for Graphviz, to a file or an object with a "
        "method write. Arrays given by name are labelled so.\n\n"
        "Errors: ValueError for what is no array or no file; RuntimeError for a file that cannot be written.");
}

}  // namespace plait::python
