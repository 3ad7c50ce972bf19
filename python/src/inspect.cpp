// Taking laziness apart, for plait.debug.

#include "bind.h"
#include "plait/debug.h"
#include "plait/fail_allocation.h"
#include "plait/random.h"
#include "trees.h"

namespace plait::python {

namespace {

// As (nan, inf, deep).
nb::tuple set_nan_check(bool nan, bool inf, bool deep) {
  const debug::NanCheck before = debug::set_nan_check({.nan = nan, .inf = inf, .deep = deep});
  return nb::make_tuple(before.nan, before.inf, before.deep);
}

nb::dict in_python(const debug::PlannedStep& step) {
  nb::dict out;
  out["kind"] = step.kind;
  out["operations"] = step.operations;
  nb::list shape;
  for (const Dim& d : step.shape) shape.append(d.value());
  out["shape"] = nb::tuple(shape);
  out["dtype"] = nb::cast(step.dtype);
  out["results"] = step.results;
  out["device"] = step.device;
  out["stream"] = step.stream;
  out["how"] = step.how;
  out["bytes_read"] = step.bytes_read;
  out["bytes_written"] = step.bytes_written;
  out["bytes_allocated"] = step.bytes_allocated;
  out["bytes_held"] = step.bytes_held;
  out["notes"] = step.notes;
  nb::list transfers;
  for (const auto& t : step.transfers) transfers.append(nb::make_tuple(t.from, t.to, t.bytes));
  out["transfers"] = transfers;
  out["lines"] = step.lines;
  out["seconds"] =
      step.duration_ns < 0 ? nb::none() : nb::object(nb::float_(static_cast<double>(step.duration_ns) * 1e-9));
  return out;
}

struct Noting {
  std::vector<std::string> evaluations;
  std::vector<std::string>* before = note_evaluations(&evaluations);
  ~Noting() { note_evaluations(before); }
};

}  // namespace

nb::dict explained(const Arrays& arrays, bool analyze, const Arrays& kept) {
  debug::Explanation e;
  {
    const nb::gil_scoped_release unlocked;
    e = debug::explain(arrays, analyze, kept);
  }
  nb::dict out;
  nb::list steps;
  for (const debug::PlannedStep& step : e.steps) steps.append(in_python(step));
  out["steps"] = steps;
  out["operations"] = e.operations;
  out["peak_bytes"] = e.peak_bytes;
  out["result_bytes"] = e.result_bytes;
  out["plan"] = e.plan;
  out["text"] = debug::to_string(e);
  return out;
}

nb::dict explained_call(const std::function<nb::object()>& call, const std::function<nb::dict(nb::handle)>& explain) {
  const struct Random {
    Array state = random::state();
    ~Random() { random::set_state(state); }
  } random_state;
  nb::object result;
  std::vector<std::string> evaluations;
  {
    Noting noting;
    result = call();
    evaluations = std::move(noting.evaluations);
  }
  nb::dict out = explain(result);
  out["evaluations"] = evaluations;
  return out;
}

void bind_inspection(nb::module_& m) {
  m.def(
      "fail_allocation", debug::fail_allocation, nb::arg("count"), nb::sig("def fail_allocation(count: int) -> int"),
      "The allocation of array memory after the next `count` ones raises OutOfMemory, once; below 0 none does. Returns what\n"
      "was left to count, -1 when none has to fail any more. plait.debug.failing_allocation is a block with it.\n\n"
      "Errors: TypeError for what is no int.");
  m.def(
      "set_eager", debug::set_eager, nb::arg("on"), nb::sig("def set_eager(on: bool) -> bool"),
      "Whether this thread evaluates each operation when it is made; returns what was set before. plait.debug.eager is "
      "a\nblock with it.\n\nErrors: TypeError for what is no bool.");
  m.def(
      "set_nan_check", set_nan_check, nb::arg("nan"), nb::arg("inf"), nb::arg("deep"),
      nb::sig("def set_nan_check(nan: bool, inf: bool, deep: bool) -> tuple[bool, bool, bool]"),
      "What the evaluations that this thread asks for look for; returns what was set before. plait.debug.check_nan is "
      "a\nblock with it.\n\nErrors: TypeError for what is no bool; evaluations that find one raise NanError.");
  m.def(
      "set_position_check", debug::set_position_check, nb::arg("on"),
      nb::sig("def set_position_check(on: bool) -> bool"),
      "Whether positions outside of an axis that a GPU finds late are raised, in the whole process; returns what was set "
      "before.\nplait.debug.unchecked_positions is a block without it.\n\nErrors: TypeError for what is no bool.");
  m.def(
      "explain_arrays", [](nb::handle tree, bool analyze) { return explained(arrays_of(tree), analyze); },
      nb::arg("tree"), nb::arg("analyze"), nb::sig("def explain_arrays(tree: object, analyze: bool) -> dict[str, Any]"),
      "The plan for evaluating the arrays of a tree; plait.debug.explain shows it. analyze: evaluates them, and says how "
      "long\neach step took.\n\nErrors: with analyze, as eval.");
  m.def(
      "explain_call",
      [](const nb::object& fun, const nb::tuple& args, const nb::dict& kwargs, bool analyze) {
        return explained_call([&] { return checked(nb::steal(PyObject_Call(fun.ptr(), args.ptr(), kwargs.ptr()))); },
                              [&](nb::handle result) { return explained(arrays_of(result), analyze); });
      },
      nb::arg("fun"), nb::arg("args"), nb::arg("kwargs"), nb::arg("analyze"),
      nb::sig("def explain_call(fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], analyze: bool) "
              "-> dict[str, Any]"),
      "The same for what a call returns; plait.debug.explain shows it.\n\nErrors: those of the call; with analyze, as "
      "eval.");
}

}  // namespace plait::python
