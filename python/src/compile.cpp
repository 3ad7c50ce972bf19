// compile: a function is run once for each structure of its arguments and replayed from then on.

#include <algorithm>
#include <memory>
#include <vector>

#include "bind.h"
#include "plait/compile_switch.h"
#include "plait/debug.h"
#include "plait/random.h"
#include "source.h"
#include "traced_number.h"
#include "transforms/program.h"
#include "tree_spec.h"
#include "trees.h"

namespace plait::python {
namespace {

/// Puts arrays into a tree in place, in the order in which they are found. Tuples are looked through, not changed.
void refill(nb::handle tree, Arrays::const_iterator& next) {
  PyObject* o = tree.ptr();
  if (PyDict_Check(o)) {
    // Only values of keys that are there are replaced, which does not disturb the walk.
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(o, &at, &key, &value);) {
      if (!is_array(value)) {
        refill(value, next);
      } else if (PyDict_SetItem(o, key, nb::cast(*next++).ptr()) != 0) {
        throw nb::python_error();
      }
    }
  } else if (PyList_Check(o)) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); ++i) {
      PyObject* item = PyList_GET_ITEM(o, i);
      if (!is_array(item)) {
        refill(item, next);
      } else if (PyList_SetItem(o, i, nb::cast(*next++).release().ptr()) != 0) {
        throw nb::python_error();
      }
    }
  } else if (PyTuple_Check(o)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) refill(PyTuple_GET_ITEM(o, i), next);
  } else if (is_array(o)) {
    rebind(o, *next++);
  } else if (random_state_slot(tree)) {
    random::set_state(*next++);
  }
}

/// What `compile` returns.
///
/// Threads: calls from any thread, under the GIL.
class CompiledCallable {
 public:
  CompiledCallable(nb::object f, nb::object inputs, nb::object outputs)
      : f_(std::move(f)), state_in_(std::move(inputs)), state_out_(std::move(outputs)) {}

  nb::object operator()(const nb::args& args, const nb::kwargs& kwargs) {
    if (!compile_enabled() || debug::eager())
      return checked(nb::steal(PyObject_Call(f_.ptr(), args.ptr(), kwargs.ptr())));
    if (NumberScope::current() != nullptr) {  // part of the trace around it, whose extents it may have captured
      const TransformScope scope(transform_of("compile", f_));
      return checked(nb::steal(PyObject_Call(f_.ptr(), args.ptr(), kwargs.ptr())));
    }
    const nb::object call = nb::make_tuple(args, kwargs);
    Leaves given;
    const std::shared_ptr<Structure> structure = structure_of(call, given);

    std::vector<int64_t> values;
    std::vector<nb::object> numbers;
    std::string why;
    std::shared_ptr<Programs::Kept> kept = structure->programs.find([&](const Programs::Kept& known) {
      std::string* reason = why.empty() ? &why : nullptr;
      if (!note_of(known).numbers->apply(given.numbers, numbers, reason)) return false;
      if (known.program->fits(given.arrays, values)) return true;
      if (reason) *reason = known.program->why_not(given.arrays);
      return false;
    });
    if (!kept) {
      if (why.empty()) why = structures_.size() > 1 ? "other arguments: containers, constants or types" : "first call";
      kept = traced(*structure, given);
      kept->why = std::move(why);
      check_internal(
          note_of(*kept).numbers->apply(given.numbers, numbers, nullptr) && kept->program->fits(given.arrays, values),
          "a fresh trace does not fit the arguments it was made from");
      structure->programs.add(kept);
    }

    const Note& note = note_of(*kept);
    Leaves results;
    results.arrays = kept->program->replay(given.arrays, values, to_numbers(numbers));
    for (const uint32_t id : note.result_numbers) results.numbers.push_back(numbers[id - 1]);
    TreeSpec::Position at;
    nb::object result = note.results.build(results, at);
    if (has_state_out()) {
      auto next = results.arrays.cbegin() + static_cast<std::ptrdiff_t>(at.array);
      refill(state_out_, next);
    }
    return result;
  }

  const nb::object& function() const { return f_; }

  /// The plan of a call: of its results and of the state that it assigns, which is put back.
  nb::dict explain(const nb::tuple& args, const nb::dict& kwargs, bool analyze) {
    const Arrays before = has_state_out() ? arrays_of(state_out_) : Arrays();
    Arrays after;
    const auto put_back = [&] {
      auto next = before.begin();
      if (has_state_out() && arrays_of(state_out_).size() == before.size()) refill(state_out_, next);
    };
    return explained_call([&] { return (*this)(nb::borrow<nb::args>(args), nb::borrow<nb::kwargs>(kwargs)); },
                          [&](nb::handle result) {
                            after = arrays_of(result);
                            if (has_state_out()) {
                              const Arrays state = arrays_of(state_out_);
                              after.insert(after.end(), state.begin(), state.end());
                            }
                            try {
                              if (analyze) put_back();  // what a step of a program would overwrite is needed afterwards
                              nb::dict out = explained(after, analyze, before);
                              if (!analyze) put_back();
                              return out;
                            } catch (...) {
                              put_back();
                              throw;
                            }
                          });
  }

  /// One dict for each program, those of the structure used last first.
  nb::list traces() const {
    nb::list out;
    for (const std::shared_ptr<Structure>& structure : structures_)
      for (const std::shared_ptr<Programs::Kept>& kept : structure->programs.all()) {
        const DimScope::Record& record = kept->program->record();
        std::vector<std::string> arrays;
        for (const Array& a : kept->program->placeholders()) {
          std::string text = std::string(name_of(a.dtype())) + "(";
          for (int i = 0; i < a.rank(); ++i)
            text += (i ? ", " : "") + record.in_words(a.shape()[static_cast<size_t>(i)].expr());
          arrays.push_back(text + (a.rank() == 1 ? ",)" : ")"));
        }
        std::vector<std::string> guards;
        for (const DimScope::Record::Guard& guard : record.guards) guards.push_back(record.in_words(guard));
        if (const std::string seen = note_of(*kept).numbers->in_words(); !seen.empty()) guards.push_back(seen);
        TreeSpec::Position at;
        nb::dict trace;
        trace["arguments"] = structure->call.in_words(arrays, at);
        trace["state"] = static_cast<int64_t>(arrays.size() - at.array);
        trace["guards"] = guards;
        trace["operations"] = static_cast<int64_t>(kept->program->steps().size());
        trace["why"] = kept->why;
        trace["calls"] = kept->calls.load();
        out.append(trace);
      }
    return out;
  }

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(f_.ptr());
    Py_VISIT(state_in_.ptr());
    Py_VISIT(state_out_.ptr());
    for (const std::shared_ptr<Structure>& s : structures_) {
      int stop = s->call.traverse(visit, arg);
      if (!stop) stop = s->state.traverse(visit, arg);
      if (stop) return stop;
    }
    return 0;
  }
  void clear() {
    f_.reset();
    state_in_.reset();
    state_out_.reset();
    structures_.clear();
  }

 private:
  /// What replaying one program takes beside it.
  struct Note {
    TreeSpec results;
    std::shared_ptr<TracedNumbers> numbers;
    std::vector<uint32_t> result_numbers;  // ids
  };
  static const Note& note_of(const Programs::Kept& kept) { return *static_cast<const Note*>(kept.note.get()); }

  /// One structure of arguments and state.
  struct Structure {
    TreeSpec call;
    TreeSpec state;
    Programs programs;
  };

  bool has_state_out() const { return state_out_.is_valid() && !state_out_.is_none(); }

  /// The structure that the call has, known or new; `given` receives its leaves, those of the state last.
  std::shared_ptr<Structure> structure_of(const nb::object& call, Leaves& given) {
    // Comparing constants may run Python code that calls this function: the list may move meanwhile.
    for (size_t i = 0; i < structures_.size(); ++i) {
      std::shared_ptr<Structure> known = structures_[i];
      if (known->call.matches(call, given) && known->state.matches(state_in_, given)) {
        if (i > 0 && i < structures_.size() && structures_[i] == known)
          std::rotate(structures_.begin(), structures_.begin() + static_cast<std::ptrdiff_t>(i),
                      structures_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        return known;
      }
      given = {};
    }
    constexpr size_t kMost = 256;
    auto made = std::make_shared<Structure>();
    made->call = TreeSpec::of(call, TreeSpec::What::arguments, given);
    made->state = TreeSpec::of(state_in_, TreeSpec::What::state, given);
    structures_.insert(structures_.begin(), made);
    if (structures_.size() > kMost) structures_.pop_back();
    return made;
  }

  /// Runs the function on placeholders; the captured state is replaced by placeholders as well meanwhile.
  std::shared_ptr<Programs::Kept> traced(const Structure& structure, const Leaves& given) {
    auto note = std::make_shared<Note>();
    note->numbers = std::make_shared<TracedNumbers>(given.numbers);
    const auto run = [&](const Arrays& placeholders) {
      const TracedNumbers::Tracing tracing(*note->numbers, NumberScope::current()->serial());
      Leaves leaves{placeholders, {}};
      for (size_t i = 0; i < given.numbers.size(); ++i)
        leaves.numbers.push_back(TracedNumbers::stand_in(note->numbers, i));
      TreeSpec::Position at;
      const nb::object arguments = structure.call.build(leaves, at);
      return with_state(Arrays(placeholders.begin() + static_cast<std::ptrdiff_t>(at.array), placeholders.end()),
                        arguments, *note);
    };
    auto kept = std::make_shared<Programs::Kept>();
    kept->program = std::make_shared<const Program>(run, given.arrays, transform_of("compile", f_));
    kept->note = std::move(note);
    return kept;
  }

  /// Results of the function, then the state as it left it.
  Arrays with_state(const Arrays& state, const nb::object& arguments, Note& note) {
    const Arrays before = arrays_of(state_in_);
    auto next = state.begin();
    refill(state_in_, next);
    const Arrays placed = arrays_of(state_in_);
    Leaves results;
    try {
      const nb::object result =
          checked(nb::steal(PyObject_Call(f_.ptr(), nb::object(arguments[0]).ptr(), nb::object(arguments[1]).ptr())));
      note.results = TreeSpec::of(result, TreeSpec::What::results, results);
      for (const nb::object& number : results.numbers) note.result_numbers.push_back(open_number(number.ptr()));
      if (has_state_out()) {
        const Arrays after = arrays_of(state_out_);
        results.arrays.insert(results.arrays.end(), after.begin(), after.end());
      }
    } catch (...) {
      Arrays::const_iterator at = before.begin();
      if (arrays_of(state_in_).size() == before.size()) refill(state_in_, at);
      throw;
    }
    // Entries that the function did not replace get their arrays back; replaced ones are filled after the replay.
    Arrays now = arrays_of(state_in_);
    if (now.size() == before.size()) {
      for (size_t i = 0; i < now.size(); ++i)
        if (now[i].same(placed[i]) || !has_state_out()) now[i] = before[i];
      Arrays::const_iterator at = now.begin();
      refill(state_in_, at);
    }
    return results.arrays;
  }

  nb::object f_;
  nb::object state_in_;
  nb::object state_out_;
  std::vector<std::shared_ptr<Structure>> structures_;  // the last used first
};

int compiled_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  return nb::inst_ptr<CompiledCallable>(self)->traverse(visit, arg);
}

int compiled_clear(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<CompiledCallable>(self)->clear();
  return 0;
}

PyType_Slot compiled_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(compiled_traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(compiled_clear)},
                                {0, nullptr}};

}  // namespace

void bind_compile(nb::module_& m) {
  bind_traced_numbers();
  nb::class_<CompiledCallable>(m, "CompiledFunction", nb::type_slots(compiled_slots), nb::dynamic_attr(),
                               "A function that compile made.")
      .def("__call__",
           [](CompiledCallable& self, const nb::args& args, const nb::kwargs& kwargs) { return self(args, kwargs); })
      .def_prop_ro("__wrapped__", [](const CompiledCallable& self) { return self.function(); })
      .def(
          "explain_call", &CompiledCallable::explain, nb::arg("args"), nb::arg("kwargs"), nb::arg("analyze"),
          nb::sig(
              "def explain_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], analyze: bool) -> dict[str, Any]"),
          "The plan of a call; plait.debug.explain shows it.")
      .def("traces", &CompiledCallable::traces, nb::sig("def traces(self) -> list[dict[str, Any]]"),
           "What was traced, why, and how often it was used; plait.debug.explain shows it.");
  m.def(
      "compile",
      [](const nb::object& fun, const nb::object& inputs, const nb::object& outputs, bool shapeless) {
        (void)shapeless;  // every trace serves all shapes for which it is right
        check_callable("compile", fun);
        nb::object made = nb::cast(new CompiledCallable(fun, inputs, outputs), nb::rv_policy::take_ownership);
        for (const char* name : {"__name__", "__doc__", "__qualname__", "__module__"})
          if (nb::hasattr(fun, name)) made.attr(name) = fun.attr(name);
        return made;
      },
      nb::arg("fun"), nb::arg("inputs") = nb::none(), nb::arg("outputs") = nb::none(), nb::arg("shapeless") = false,
      nb::sig(
          "def compile(fun: Callable[P, R], inputs: object | None = None, outputs: object | None = None, shapeless: bool = False) -> Callable[P, R]"),
      "fun, run once for each structure of its arguments and replayed from then on. inputs and outputs: containers of arrays that fun reads and "
      "assigns. Extents and numbers are symbolic; where fun looks at one, another runs fun again.\n\n"
      "Errors: TypeError for what cannot be called; when it is called, what fun raises, and TransformError where fun asks for the\n"
      "value of an array.");
  m.def("disable_compile", disable_compile, nb::sig("def disable_compile() -> None"),
        "From now on compiled functions are run as they are written.");
  m.def("enable_compile", enable_compile, nb::sig("def enable_compile() -> None"), "Undoes disable_compile.");
}

}  // namespace plait::python
