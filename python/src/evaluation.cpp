// eval and its kin, memory, and what has to happen around anything that waits: Python's lock is let go, Ctrl-C is
// answered, and objects of other libraries are let go under the lock.
#include <pthread.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "base/interrupt.h"
#include "bind.h"
#include "engine/engine.h"
#include "graph/node.h"
#include "graph/source.h"
#include "memory/buffer.h"
#include "plait/array_memory.h"
#include "plait/memory.h"
#include "trees.h"

namespace plait::python {
namespace {

/// Lets the lock go if this thread has it.
class WithoutGil {
 public:
  WithoutGil() : saved_(PyGILState_Check() ? PyEval_SaveThread() : nullptr) {}
  ~WithoutGil() {
    if (saved_) PyEval_RestoreThread(saved_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* saved_;
};

constinit thread_local std::vector<std::string>* noted = nullptr;

void note(const char* why, std::span<const Array> arrays) {
  if (!noted) [[likely]]
    return;
  for (const Array& a : arrays) {
    if (!a.defined() || a.is_evaluated()) continue;
    const std::string line = describe_source(current_source());
    noted->push_back(why + (line.empty() ? "" : " at " + line));
    return;
  }
}

/// The engine, entered without Python's lock.
class UnlockedEvaluator final : public Evaluator {
 public:
  explicit UnlockedEvaluator(Evaluator& engine) : engine_(&engine) {}
  void eval(std::span<const Array> arrays) override {
    note("asked for", arrays);
    const WithoutGil unlocked;
    engine_->eval(arrays);
  }
  void async_eval(std::span<const Array> arrays) override {
    note("in the background, asked for", arrays);
    const WithoutGil unlocked;
    engine_->async_eval(arrays);
  }
  void eval_over_budget(const Array& newest) override {
    note("pending work passed its budget", std::span(&newest, 1));
    const WithoutGil unlocked;
    engine_->eval_over_budget(newest);
  }

 private:
  Evaluator* engine_;
};

// ---- Ctrl-C ----

unsigned long main_thread = 0;
std::atomic<bool> ending{false};

void check_signals() {
  if (PyThread_get_thread_ident() != main_thread) {  // only that one runs signal handlers
    if (ending.load(std::memory_order_relaxed) && !PyGILState_GetThisThreadState())
      throw Interrupted({.op = "eval", .got = "the end of the process"});
    return;
  }
  const PyGILState_STATE gil = PyGILState_Ensure();
  const bool raised = PyErr_CheckSignals() != 0;
  const bool interrupted = raised && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
  if (interrupted) PyErr_Clear();
  std::exception_ptr other;
  if (raised && !interrupted) {
    try {
      throw nb::python_error();
    } catch (...) {
      other = std::current_exception();
    }
  }
  PyGILState_Release(gil);
  if (interrupted) throw Interrupted({.op = "eval", .got = "an interrupt"});
  if (other) std::rethrow_exception(other);
}

// ---- memory of other libraries ----

struct Release {
  ForeignDeleter deleter;
  void* context;
};
std::mutex queue_mutex;  // never held while the GIL is taken
std::vector<Release>* queue = new std::vector<Release>;
std::atomic<bool> drain_scheduled{false};

int drain(void*) {
  drain_scheduled.store(false);
  std::vector<Release> taken;
  {
    const std::lock_guard lock(queue_mutex);
    taken.swap(*queue);
  }
  for (const Release& r : taken) r.deleter(r.context);
  return 0;
}

}  // namespace

void release_under_lock(void (*deleter)(void*), void* context) {
  if (!Py_IsInitialized()) return;  // the process ends
  if (PyGILState_Check()) {
    deleter(context);
    return;
  }
  try {
    const std::lock_guard lock(queue_mutex);
    queue->push_back({deleter, context});
  } catch (const std::bad_alloc&) {
    return;  // what it holds is not given back, where the alternative is to end the process
  }
  if (!drain_scheduled.exchange(true)) Py_AddPendingCall(drain, nullptr);
}

namespace {

void before_fork() { queue_mutex.lock(); }
void after_fork() { queue_mutex.unlock(); }
void after_fork_in_child() {
  queue_mutex.unlock();
  main_thread = PyThread_get_thread_ident();
}

// At exit: threads of the library would use what it and others destroy then.
void end_background_work() {
  ending.store(true);
  const nb::gil_scoped_release waiting;
  engine::end_background_work();
}

// ---- functions ----

void eval_trees(const nb::args& trees) {
  const Arrays arrays = arrays_of(trees);
  if (!arrays.empty()) eval(arrays);
}

void async_eval_trees(const nb::args& trees) {
  const Arrays arrays = arrays_of(trees);
  if (!arrays.empty()) async_eval(arrays);
}

int64_t checked_limit(nb::handle limit, const char* op) {
  int64_t bytes = 0;
  if (!load_int(limit.ptr(), bytes) || bytes < 0 || bytes == INT64_MAX)
    throw ArgumentTypeError({.op = op,
                             .got = "the limit " + std::string(nb::repr(limit).c_str()),
                             .accepts = "a number of bytes from 0 to 2**63 - 2"});
  return bytes;
}

int64_t buffer_size(const nb::args& trees) { return get_array_buffer_size(arrays_of(trees)); }

}  // namespace

std::vector<std::string>* note_evaluations(std::vector<std::string>* into) { return std::exchange(noted, into); }

void bind_evaluation(nb::module_& m) {
  main_thread = PyThread_get_thread_ident();
  set_evaluator(new UnlockedEvaluator(evaluator()));
  set_interrupt_hook(check_signals);
  set_foreign_release_hook([](ForeignDeleter deleter, void* context) { release_under_lock(deleter, context); });
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(end_background_work));

  m.def("eval", eval_trees, nb::sig("def eval(*args) -> None"),
        "Computes every array in the given trees (nested dicts, lists and tuples) now.\n\n"
        "Errors: what the pending operations raise, naming the line that made them; KeyboardInterrupt on Ctrl-C.");
  m.def("async_eval", async_eval_trees, nb::sig("def async_eval(*args)"),
        "Starts computing every array in the given trees, in the background.\n\n"
        "Errors: as eval, when a result is asked for.");

  // Of the default device: the host's memory, or the GPU's own.
  m.def(
      "get_active_memory", [] { return memory_stats(default_device()).active; },
      nb::sig("def get_active_memory() -> int"), "Bytes in use by arrays in the memory of the default device.");
  m.def(
      "get_peak_memory", [] { return memory_stats(default_device()).peak; }, nb::sig("def get_peak_memory() -> int"),
      "The most bytes in use at once since the start or the last reset, in the memory of the default device.");
  m.def(
      "reset_peak_memory", [] { reset_peak_memory(default_device()); }, nb::sig("def reset_peak_memory() -> None"),
      "Sets the peak to 0.");
  m.def(
      "get_cache_memory", [] { return memory_stats(default_device()).cached; },
      nb::sig("def get_cache_memory() -> int"), "Bytes kept for reuse, in the memory of the default device.");
  m.def(
      "clear_cache", [] { plait::clear_cache(default_device()); }, nb::sig("def clear_cache() -> None"),
      "Gives what is kept for reuse back to the system.");
  m.def(
      "get_memory_limit", [] { return memory_stats(default_device()).limit; }, nb::sig("def get_memory_limit() -> int"),
      "The most bytes arrays may use at once, in the memory of the default device.");
  m.def(
      "set_memory_limit",
      [](nb::handle limit) { return set_memory_limit(default_device(), checked_limit(limit, "set_memory_limit")); },
      nb::arg("limit"), nb::sig("def set_memory_limit(limit: int) -> int"),
      "Sets the most bytes arrays may use at once, past which OutOfMemory is raised; returns the limit before.\n\n"
      "Errors: TypeError for what is no number of bytes.");
  m.def(
      "set_cache_limit",
      [](nb::handle limit) { return set_cache_limit(default_device(), checked_limit(limit, "set_cache_limit")); },
      nb::arg("limit"), nb::sig("def set_cache_limit(limit: int) -> int"),
      "Sets the most bytes kept for reuse; returns the limit before.\n\n"
      "Errors: TypeError for what is no number of bytes.");
  m.def(
      "set_wired_limit", [](nb::handle limit) { return set_wired_limit(checked_limit(limit, "set_wired_limit")); },
      nb::arg("limit"), nb::sig("def set_wired_limit(limit: int) -> int"),
      "Has no effect on Linux; returns the limit before.\n\nErrors: TypeError for what is no number of bytes.");
  m.def("get_array_buffer_size", buffer_size, nb::sig("def get_array_buffer_size(*args) -> int"),
        "Bytes of the buffers behind evaluated arrays.\n\nErrors: ValueError for an array that is not evaluated.");
}

}  // namespace plait::python
