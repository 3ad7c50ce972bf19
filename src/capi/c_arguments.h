// What the functions of plait/c.h share: errors as statuses, and arguments of C as those of C++.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plait/array.h"
#include "plait/axes.h"
#include "plait/c.h"
#include "plait/named_arrays.h"

struct plait_array_s {
  plait::Array value;
};
struct plait_function_s {
  std::function<plait::Arrays(const plait::Arrays&, const plait::NamedArrays&)> call;
  std::string metadata = {};
};

namespace plait::capi {

/// The status of the exception that is being handled; its text is what plait_error_message gives. With no memory for the
/// text it is a shorter one.
plait_status status_of_exception() noexcept;
const char* last_message() noexcept;
/// How many calls of this thread have failed.
uint64_t failure_count() noexcept;

/// Runs `body`, and turns what it throws into a status and a message.
template <class Body>
plait_status guarded(Body&& body) noexcept {
  try {
    body();
    return PLAIT_OK;
  } catch (...) {
    return status_of_exception();
  }
}

/// Throws what a status stands for: how a failure of a caller's callback goes on. `with_message`: whether the thread's message
/// is about it.
[[noreturn]] void throw_status(plait_status status, const char* op, bool with_message);

/// The arguments of one call, as its C++ function takes them. Errors: ArgumentError for a null pointer where something has
/// to be, DTypeError for a number that is no dtype.
class CArguments {
 public:
  explicit CArguments(const char* op) : op_(op) {}

  const char* op() const { return op_; }
  void given(const void* pointer, const char* name) const;

  const Array& array(plait_array a, const char* name) const;
  std::optional<Array> opt_array(plait_array a) const;
  Array array_or(plait_array a, Array otherwise) const { return a ? a->value : std::move(otherwise); }
  Arrays arrays(const plait_array* list, size_t count, const char* name) const;
  NamedArrays named(const char* const* names, const plait_array* list, size_t count) const;

  Axes axes(const int* list, size_t count, const char* name) const;
  IntList ints(const int64_t* list, size_t count, const char* name) const;
  std::optional<IntList> opt_ints(const int64_t* list, size_t count, const char* name) const;
  Shape shape(const int64_t* list, size_t rank, const char* name) const;
  std::optional<Shape> opt_shape(const int64_t* list, size_t rank, const char* name) const;
  IntOrInts count_or_list(int64_t count, const int64_t* list, size_t length) const;
  /// The list as another container of numbers.
  template <class T, class From>
  T list(const From* list, size_t count, const char* name) const {
    if (count > 0) given(list, name);
    return T(list, list + count);
  }

  Scalar scalar(const plait_number& number) const;
  std::optional<Scalar> opt_scalar(const plait_number* number) const;
  /// By reference: a C caller's enum may hold any number, which C++ may not read as an enumerator.
  DType dtype(const plait_dtype& dtype) const;
  DType dtype_number(int64_t number) const;
  std::optional<DType> opt_dtype(const plait_dtype* dtype) const;
  const char* str(const char* text, const char* name) const;
  std::optional<std::string_view> opt_str(const char* text) const;
  template <class T, class From>
  std::optional<T> optional(const From* value) const {
    return value ? std::optional<T>(*value) : std::nullopt;
  }

  /// Hands the result of `make` out. The place is looked at first: nothing is made for none.
  template <class Make>
  void give(plait_array* result, Make&& make) const {
    given(result, "place for the result");
    *result = new plait_array_s{make()};
  }
  /// Hands all results of `make` out, or none. Errors: ArgumentError when there are more than places.
  template <class Make>
  void give_all(plait_array* results, size_t capacity, size_t* result_count, Make&& make) const {
    given(result_count, "place for the number of results");
    hand_out(make(), results, capacity, result_count);
  }
  void hand_out(const Arrays& out, plait_array* results, size_t capacity, size_t* result_count) const;
  /// Copies a text and its terminating 0 if there is room for both, else nothing; says how long it is in any case.
  void give_text(const std::string& text, char* to, size_t capacity, size_t* length) const;

 private:
  const char* op_;
};

}  // namespace plait::capi
