#include "capi/c_arguments.h"

#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace plait::capi {

namespace {

thread_local std::string message;
thread_local const char* short_message = "";  // where there was no memory for a text
thread_local uint64_t failures = 0;

template <class E>
int64_t number_of(const E& e) {
  std::underlying_type_t<E> number;
  std::memcpy(&number, &e, sizeof number);
  return number;
}

plait_status failed(plait_status status, const char* text) noexcept {
  ++failures;
  try {
    message = text;
    short_message = nullptr;
  } catch (const std::bad_alloc&) {
    short_message = "an error, and no memory for what it says";
  }
  return status;
}

}  // namespace

const char* last_message() noexcept { return short_message ? short_message : message.c_str(); }

uint64_t failure_count() noexcept { return failures; }

plait_status status_of_exception() noexcept {
  try {
    throw;
  } catch (const OutOfMemory& e) {
    return failed(PLAIT_OUT_OF_MEMORY, e.what());
  } catch (const IndexError& e) {
    return failed(PLAIT_INDEX_ERROR, e.what());
  } catch (const DeviceError& e) {
    return failed(PLAIT_DEVICE_ERROR, e.what());
  } catch (const UserError& e) {
    return failed(PLAIT_USER_ERROR, e.what());
  } catch (const std::bad_alloc&) {
    return failed(PLAIT_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return failed(PLAIT_INTERNAL_ERROR, e.what());
  } catch (...) {
    return failed(PLAIT_INTERNAL_ERROR, "an unknown error");
  }
}

void throw_status(plait_status status, const char* op, bool with_message) {
  const int64_t number = number_of(status);
  const ErrorInfo info{.op = op,
                       .got = with_message ? "a function that failed: " + std::string(last_message())
                                           : "a function that failed with status " + std::to_string(number)};
  switch (number) {
    case PLAIT_OUT_OF_MEMORY: throw OutOfMemory(info);
    case PLAIT_INDEX_ERROR: throw IndexError(info);
    case PLAIT_DEVICE_ERROR: throw DeviceError(info);
    case PLAIT_INTERNAL_ERROR: throw InternalError(info.got);
    default: throw ArgumentError(info);
  }
}

void CArguments::given(const void* pointer, const char* name) const {
  if (pointer == nullptr)
    throw ArgumentError({.op = op_, .got = std::string("no ") + name, .accepts = "a pointer that is not null"});
}

const Array& CArguments::array(plait_array a, const char* name) const {
  given(a, name);
  return a->value;
}

std::optional<Array> CArguments::opt_array(plait_array a) const {
  return a ? std::optional<Array>(a->value) : std::nullopt;
}

Arrays CArguments::arrays(const plait_array* list, size_t count, const char* name) const {
  if (count > 0) given(list, name);
  Arrays out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(array(list[i], name));
  return out;
}

NamedArrays CArguments::named(const char* const* names, const plait_array* list, size_t count) const {
  if (count > 0) given(names, "names");
  const Arrays values = arrays(list, count, "named arrays");
  NamedArrays out;
  for (size_t i = 0; i < count; ++i) {
    given(names[i], "name");
    if (!out.emplace(names[i], values[i]).second)
      throw ArgumentError({.op = op_, .got = std::string("the name ") + names[i] + " twice"});
  }
  return out;
}

Axes CArguments::axes(const int* axes, size_t count, const char* name) const {
  if (axes == nullptr && count == 0) return {};
  return Axes(list<std::vector<int>>(axes, count, name));
}

IntList CArguments::ints(const int64_t* ints, size_t count, const char* name) const {
  return IntList(list<std::vector<int64_t>>(ints, count, name));
}

std::optional<IntList> CArguments::opt_ints(const int64_t* list, size_t count, const char* name) const {
  if (list == nullptr && count == 0) return std::nullopt;
  return ints(list, count, name);
}

Shape CArguments::shape(const int64_t* list, size_t rank, const char* name) const {
  if (rank > 0) given(list, name);
  return Shape(std::span<const int64_t>(list, rank));
}

std::optional<Shape> CArguments::opt_shape(const int64_t* list, size_t rank, const char* name) const {
  if (list == nullptr && rank == 0) return std::nullopt;
  return shape(list, rank, name);
}

IntOrInts CArguments::count_or_list(int64_t count, const int64_t* list, size_t length) const {
  if (list == nullptr && length == 0) return count;
  return std::vector<int64_t>(ints(list, length, "positions"));
}

Scalar CArguments::scalar(const plait_number& number) const {
  switch (number_of(number.kind)) {
    case PLAIT_NUMBER_BOOL: return Scalar(number.integer != 0);
    case PLAIT_NUMBER_INT: return Scalar(number.integer);
    case PLAIT_NUMBER_FLOAT: return Scalar(number.real);
    case PLAIT_NUMBER_COMPLEX:
      return Scalar(complex64_t{static_cast<float>(number.real), static_cast<float>(number.imaginary)});
  }
  throw ArgumentError(
      {.op = op_, .got = "number kind " + std::to_string(number_of(number.kind)), .accepts = "a plait_number_kind"});
}

std::optional<Scalar> CArguments::opt_scalar(const plait_number* number) const {
  return number ? std::optional<Scalar>(scalar(*number)) : std::nullopt;
}

DType CArguments::dtype(const plait_dtype& dtype) const { return dtype_number(number_of(dtype)); }

DType CArguments::dtype_number(int64_t number) const {
  if (number < 0 || number >= kDTypeCount)
    throw DTypeError({.op = op_, .got = "dtype number " + std::to_string(number), .accepts = "a plait_dtype"});
  return static_cast<DType>(number);
}

std::optional<DType> CArguments::opt_dtype(const plait_dtype* dtype) const {
  return dtype ? std::optional<DType>(this->dtype(*dtype)) : std::nullopt;
}

const char* CArguments::str(const char* text, const char* name) const {
  given(text, name);
  return text;
}

std::optional<std::string_view> CArguments::opt_str(const char* text) const {
  return text ? std::optional<std::string_view>(text) : std::nullopt;
}

void CArguments::hand_out(const Arrays& out, plait_array* results, size_t capacity, size_t* result_count) const {
  if (out.size() > capacity)
    throw ArgumentError({.op = op_,
                         .got = "room for " + std::to_string(capacity) + " results",
                         .accepts = "room for " + std::to_string(out.size())});
  if (!out.empty()) given(results, "place for the results");
  std::vector<std::unique_ptr<plait_array_s>> made;
  for (const Array& a : out) made.push_back(std::make_unique<plait_array_s>(plait_array_s{a}));
  for (size_t i = 0; i < made.size(); ++i) results[i] = made[i].release();
  *result_count = out.size();
}

void CArguments::give_text(const std::string& text, char* to, size_t capacity, size_t* length) const {
  given(length, "place for the length");
  *length = text.size();
  if (capacity == 0) return;
  given(to, "place for the text");
  const size_t copied = text.size() < capacity ? text.size() : 0;
  std::memcpy(to, text.c_str(), copied);
  to[copied] = '\0';
}

}  // namespace plait::capi
