#include "plait/c.h"

#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <type_traits>

#include "plait/array.h"
#include "plait/call.h"
#include "plait/export_function.h"
#include "plait/library.h"

struct plait_array_s {
  plait::Array value;
};
struct plait_function_s {
  plait::ImportedFunction value;
};

namespace {

thread_local std::string message;

// Runs `body`, and turns what it throws into a status and a message.
template <class Body>
plait_status guarded(Body&& body) noexcept {
  try {
    body();
    return PLAIT_OK;
  } catch (const plait::OutOfMemory& e) {
    message = e.what();
    return PLAIT_OUT_OF_MEMORY;
  } catch (const plait::IndexError& e) {
    message = e.what();
    return PLAIT_INDEX_ERROR;
  } catch (const plait::DeviceError& e) {
    message = e.what();
    return PLAIT_DEVICE_ERROR;
  } catch (const plait::UserError& e) {
    message = e.what();
    return PLAIT_USER_ERROR;
  } catch (const std::bad_alloc&) {
    message = "out of memory";
    return PLAIT_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    message = e.what();
    return PLAIT_INTERNAL_ERROR;
  } catch (...) {
    message = "an unknown error";
    return PLAIT_INTERNAL_ERROR;
  }
}

void check_given(const void* pointer, const char* op, const char* what) {
  if (pointer == nullptr)
    throw plait::ArgumentError({.op = op, .got = std::string("no ") + what, .accepts = "a pointer"});
}

plait::Array& value_of(plait_array array, const char* op) {
  check_given(array, op, "array");
  return array->value;
}

// A C caller's enum may hold any number, which C++ may not read as an enumerator.
template <class E>
int64_t number_of(const E& e) {
  std::underlying_type_t<E> number;
  std::memcpy(&number, &e, sizeof number);
  return number;
}

plait::DType dtype_of(int64_t dtype, const char* op) {
  if (dtype < 0 || dtype >= plait::kDTypeCount)
    throw plait::DTypeError({.op = op, .got = "dtype number " + std::to_string(dtype), .accepts = "a plait_dtype"});
  return static_cast<plait::DType>(dtype);
}

plait::CallAttr::Value value_of(const plait_attr& attr) {
  const char* op = "plait_call";
  switch (number_of(attr.kind)) {
    case PLAIT_ATTR_NONE: return std::monostate();
    case PLAIT_ATTR_BOOL: return attr.integer != 0;
    case PLAIT_ATTR_INT: return attr.integer;
    case PLAIT_ATTR_FLOAT: return attr.number;
    case PLAIT_ATTR_STRING: check_given(attr.text, op, "text"); return std::string(attr.text);
    case PLAIT_ATTR_DTYPE: return dtype_of(attr.integer, op);
    case PLAIT_ATTR_INTS:
      if (attr.count > 0) check_given(attr.ints, op, "ints");
      return std::vector<int64_t>(attr.ints, attr.ints + attr.count);
    case PLAIT_ATTR_ARRAY: return value_of(attr.array, op);
  }
  throw plait::ArgumentError(
      {.op = op, .got = "attribute kind " + std::to_string(number_of(attr.kind)), .accepts = "a plait_attr_kind"});
}

// Hands all results out, or none. Errors: ArgumentError when there are more than places.
void hand_out(const char* op, const std::string& what, const plait::Arrays& out, plait_array* results, size_t capacity,
              size_t* result_count) {
  if (out.size() > capacity)
    throw plait::ArgumentError({.op = op,
                                .got = "room for " + std::to_string(capacity) + " results",
                                .accepts = what + " gives " + std::to_string(out.size())});
  if (!out.empty()) check_given(results, op, "place for the results");
  std::vector<std::unique_ptr<plait_array_s>> made;
  for (const plait::Array& a : out) made.push_back(std::make_unique<plait_array_s>(plait_array_s{a}));
  for (size_t i = 0; i < made.size(); ++i) results[i] = made[i].release();
  *result_count = out.size();
}

}  // namespace

extern "C" {

const char* plait_version(void) { return plait::version(); }
const char* plait_error_message(void) { return message.c_str(); }

plait_status plait_array_new(const void* data, size_t bytes, const int64_t* shape, int rank, plait_dtype dtype,
                             plait_array* out) {
  return guarded([&] {
    const char* op = "plait_array_new";
    check_given(out, op, "place for the result");
    if (bytes > 0) check_given(data, op, "data");
    if (rank < 0) throw plait::ShapeError({.op = op, .got = "rank " + std::to_string(rank), .accepts = "0 and more"});
    if (rank > 0) check_given(shape, op, "shape");
    plait::Shape extents;
    for (int i = 0; i < rank; ++i) {
      if (shape[i] < 0)
        throw plait::ShapeError({.op = op, .got = "extent " + std::to_string(shape[i]), .accepts = "0 and more"});
      extents.push_back(shape[i]);
    }
    *out = new plait_array_s{
        plait::Array::from_bytes(data, static_cast<int64_t>(bytes), extents, dtype_of(number_of(dtype), op))};
  });
}

plait_status plait_array_copy(plait_array array, plait_array* out) {
  return guarded([&] {
    check_given(out, "plait_array_copy", "place for the result");
    *out = new plait_array_s{value_of(array, "plait_array_copy")};
  });
}

void plait_array_free(plait_array array) { delete array; }

int plait_array_rank(plait_array array) { return array ? array->value.rank() : -1; }

int64_t plait_array_extent(plait_array array, int axis) {
  if (array == nullptr || axis < 0 || axis >= array->value.rank()) return -1;
  return array->value.shape()[static_cast<size_t>(axis)].value();
}

plait_dtype plait_array_dtype(plait_array array) {
  return array ? static_cast<plait_dtype>(array->value.dtype()) : PLAIT_BOOL;
}

size_t plait_array_bytes(plait_array array) { return array ? static_cast<size_t>(array->value.nbytes()) : 0; }

plait_status plait_eval(const plait_array* arrays, size_t count) {
  return guarded([&] {
    plait::Arrays all;
    if (count > 0) check_given(arrays, "plait_eval", "arrays");
    for (size_t i = 0; i < count; ++i) all.push_back(value_of(arrays[i], "plait_eval"));
    plait::eval(all);
  });
}

plait_status plait_array_read(plait_array array, void* to, size_t bytes) {
  return guarded([&] {
    const plait::Array& a = value_of(array, "plait_array_read");
    if (bytes != static_cast<size_t>(a.nbytes()))
      throw plait::ArgumentError(
          {.op = "plait_array_read", .got = std::to_string(bytes) + " bytes", .accepts = std::to_string(a.nbytes())});
    if (bytes > 0) check_given(to, "plait_array_read", "memory to copy to");
    a.read_bytes(to);
  });
}

plait_status plait_call(const char* name, const plait_array* arrays, size_t array_count, const plait_attr* attrs,
                        size_t attr_count, plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const char* op = "plait_call";
    check_given(name, op, "name");
    check_given(result_count, op, "place for the number of results");
    if (array_count > 0) check_given(arrays, op, "arrays");
    if (attr_count > 0) check_given(attrs, op, "attributes");
    plait::Arrays inputs;
    for (size_t i = 0; i < array_count; ++i) inputs.push_back(value_of(arrays[i], op));
    std::vector<plait::CallAttr> named;
    for (size_t i = 0; i < attr_count; ++i) {
      check_given(attrs[i].name, op, "attribute name");
      named.push_back({attrs[i].name, value_of(attrs[i])});
    }
    hand_out(op, name, plait::call(name, inputs, named), results, capacity, result_count);
  });
}

plait_status plait_function_import(const char* path, plait_function* out) {
  return guarded([&] {
    check_given(path, "plait_function_import", "path");
    check_given(out, "plait_function_import", "place for the result");
    *out = new plait_function_s{plait::import_function(path)};
  });
}

void plait_function_free(plait_function function) { delete function; }

const char* plait_function_metadata(plait_function function) {
  return function ? function->value.metadata().c_str() : "";
}

plait_status plait_function_call(plait_function function, const plait_array* arrays, size_t array_count,
                                 const char* const* names, const plait_array* named, size_t named_count,
                                 plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const char* op = "plait_function_call";
    check_given(function, op, "function");
    check_given(result_count, op, "place for the number of results");
    if (array_count > 0) check_given(arrays, op, "arrays");
    if (named_count > 0) check_given(names, op, "names");
    if (named_count > 0) check_given(named, op, "named arrays");
    plait::Arrays args;
    for (size_t i = 0; i < array_count; ++i) args.push_back(value_of(arrays[i], op));
    plait::NamedArrays by_name;
    for (size_t i = 0; i < named_count; ++i) {
      check_given(names[i], op, "name");
      by_name[names[i]] = value_of(named[i], op);
    }
    hand_out(op, "the function", function->value(args, by_name), results, capacity, result_count);
  });
}

}  // extern "C"
