// Python and NumPy numbers that a compiled function was given: they stand for the number of each call.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/numbers.h"

namespace nb = nanobind;

namespace plait::python {

/// Whether `o` is an argument that may differ from call to call: an int of 64 bits, a float, a complex or a NumPy number,
/// or one that stands for such a number. bool, and what is derived from int or float, are not: programs branch on them.
bool is_number(PyObject* o);
/// Whether it is what a function sees in the place of a number, while it is traced or later.
bool is_traced_number(PyObject* o);
/// Its id among the numbers of the trace that is open now, or 0.
uint32_t open_number(PyObject* o);
/// The type of the number, or of the one that it stands for.
nb::handle number_type(PyObject* o);

/// The number itself, read by the program: while it is being traced, other numbers lead to another trace.
nb::object plain_number(PyObject* o);
/// A stand-in as an operand, which follows the call's number: beside an array, or alone. Errors: as scalar_beside.
Array traced_operand(PyObject* o, std::optional<DType> beside);
/// A stand-in as an array of this dtype.
Array traced_constant(PyObject* o, DType dtype);

/// What a trace knows of numbers: those it was given, those that Python computed from them, and what it saw by looking
/// at one.
///
/// Threads: under the GIL.
class TracedNumbers {
 public:
  explicit TracedNumbers(std::vector<nb::object> given) : examples_(std::move(given)) { count_ = examples_.size(); }
  TracedNumbers(const TracedNumbers&) = delete;
  TracedNumbers& operator=(const TracedNumbers&) = delete;

  /// While the function runs; `scope` is the trace's own.
  class Tracing {
   public:
    Tracing(TracedNumbers& numbers, uint64_t scope) : numbers_(numbers) { numbers_.scope_ = scope; }
    ~Tracing() { numbers_.scope_ = 0; }
    Tracing(const Tracing&) = delete;
    Tracing& operator=(const Tracing&) = delete;

   private:
    TracedNumbers& numbers_;
  };
  bool is_tracing() const { return scope_ != 0; }
  /// Whether it is the innermost trace of this thread: constants made now are its.
  bool is_open() const;

  /// What the function gets in the place of its `at`-th number.
  static nb::object stand_in(const std::shared_ptr<TracedNumbers>& numbers, size_t at);

  /// All numbers of a call, the given and the computed; false where the function would have seen something else, and then
  /// `why` says what, if it is not null.
  bool apply(const std::vector<nb::object>& given, std::vector<nb::object>& all, std::string* why) const;

  // For the stand-ins; ids count from 1.
  nb::object example(uint32_t id) const { return examples_[id - 1]; }
  /// The operand of a computation: one of these numbers, or another.
  struct Operand {
    uint32_t id = 0;
    nb::object other;
  };
  using Compute = PyObject* (*)(PyObject*, PyObject*);
  /// Notes that another number is computed from these; its id.
  uint32_t add(Compute compute, Operand a, Operand b, nb::object result);
  void saw(uint32_t id);
  /// Whether an integer is one of the dtype.
  void saw_fit(uint32_t id, DType dtype);

  int traverse(visitproc visit, void* arg) const;
  std::string in_words() const;  // what it saw

 private:
  struct Computed {
    Compute compute;
    Operand a, b;
  };
  struct Seen {
    uint32_t id;
    nb::object value;  // or whether it fits:
    DType dtype = DType::int32;
    bool fitted = false;
  };
  std::vector<nb::object> examples_;
  size_t count_ = 0;  // given
  std::vector<Computed> computed_;
  std::vector<Seen> seen_;
  uint64_t scope_ = 0;
};

/// The numbers as constants are made from them.
std::vector<Number> to_numbers(const std::vector<nb::object>& objects);

/// Makes the type of the stand-ins.
void bind_traced_numbers();

}  // namespace plait::python
