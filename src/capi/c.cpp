#include "plait/c.h"

#include <cstring>
#include <string>
#include <type_traits>

#include "capi/c_arguments.h"
#include "plait/call.h"
#include "plait/library.h"
#include "plait/print.h"

using plait::capi::CArguments, plait::capi::guarded;

namespace {

plait::CallAttr::Value value_of(const CArguments& in, const plait_attr& attr) {
  // A C caller's enum may hold any number, which C++ may not read as an enumerator.
  std::underlying_type_t<plait_attr_kind> kind;
  std::memcpy(&kind, &attr.kind, sizeof kind);
  switch (kind) {
    case PLAIT_ATTR_NONE: return std::monostate();
    case PLAIT_ATTR_BOOL: return attr.integer != 0;
    case PLAIT_ATTR_INT: return attr.integer;
    case PLAIT_ATTR_FLOAT: return attr.number;
    case PLAIT_ATTR_STRING: return std::string(in.str(attr.text, "text"));
    case PLAIT_ATTR_DTYPE: return in.dtype_number(attr.integer);
    case PLAIT_ATTR_INTS: return in.list<std::vector<int64_t>>(attr.ints, attr.count, "ints");
    case PLAIT_ATTR_ARRAY: return in.array(attr.array, "array");
  }
  throw plait::ArgumentError(
      {.op = in.op(), .got = "attribute kind " + std::to_string(kind), .accepts = "a plait_attr_kind"});
}

}  // namespace

extern "C" {

const char* plait_version(void) { return plait::version(); }
const char* plait_error_message(void) { return plait::capi::last_message(); }

plait_status plait_array_new(const void* data, size_t bytes, const int64_t* shape, int rank, plait_dtype dtype,
                             plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_array_new");
    if (bytes > 0) in.given(data, "data");
    if (rank < 0)
      throw plait::ShapeError({.op = in.op(), .got = "rank " + std::to_string(rank), .accepts = "0 and more"});
    const plait::Shape extents = in.shape(shape, static_cast<size_t>(rank), "shape");
    for (const plait::Dim& extent : extents)
      if (extent.value() < 0)
        throw plait::ShapeError(
            {.op = in.op(), .got = "extent " + std::to_string(extent.value()), .accepts = "0 and more"});
    in.give(out, [&] { return plait::Array::from_bytes(data, static_cast<int64_t>(bytes), extents, in.dtype(dtype)); });
  });
}

plait_status plait_array_copy(plait_array array, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_array_copy");
    in.give(out, [&] { return in.array(array, "array"); });
  });
}

void plait_array_free(plait_array array) { delete array; }

plait_status plait_array_from_number(plait_number number, const plait_dtype* dtype, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_array_from_number");
    in.give(out, [&] {
      const plait::Scalar value = in.scalar(number);
      return plait::Array(value, dtype ? in.dtype(*dtype) : value.default_dtype());
    });
  });
}

plait_status plait_array_beside(plait_number number, plait_array like, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_array_beside");
    in.give(out, [&] { return plait::beside(in.scalar(number), in.array(like, "array")); });
  });
}

int plait_array_rank(plait_array array) { return array ? array->value.rank() : -1; }

// An extent that a traced function has read is fixed from then on: another one traces it again.
int64_t plait_array_extent(plait_array array, int axis) {
  if (array == nullptr || axis < 0 || axis >= array->value.rank()) return -1;
  int64_t extent = -1;
  guarded([&] { extent = array->value.shape()[static_cast<size_t>(axis)].fixed(); });
  return extent;
}

plait_dtype plait_array_dtype(plait_array array) {
  return array ? static_cast<plait_dtype>(array->value.dtype()) : PLAIT_BOOL;
}

size_t plait_array_bytes(plait_array array) {
  if (array == nullptr) return 0;
  plait::Dim bytes(static_cast<int64_t>(plait::size_of(array->value.dtype())));
  const plait_status status = guarded([&] {
    for (const plait::Dim& extent : array->value.shape()) bytes *= extent.fixed();
  });
  return status == PLAIT_OK ? static_cast<size_t>(bytes.value()) : 0;
}

plait_status plait_eval(const plait_array* arrays, size_t count) {
  return guarded([&] { plait::eval(CArguments("plait_eval").arrays(arrays, count, "arrays")); });
}

plait_status plait_async_eval(const plait_array* arrays, size_t count) {
  return guarded([&] { plait::async_eval(CArguments("plait_async_eval").arrays(arrays, count, "arrays")); });
}

plait_status plait_array_text(plait_array array, char* to, size_t capacity, size_t* length) {
  return guarded([&] {
    const CArguments in("plait_array_text");
    in.give_text(plait::to_string(in.array(array, "array")), to, capacity, length);
  });
}

plait_status plait_array_read(plait_array array, void* to, size_t bytes) {
  return guarded([&] {
    const CArguments in("plait_array_read");
    const plait::Array& a = in.array(array, "array");
    if (bytes != static_cast<size_t>(a.nbytes()))
      throw plait::ArgumentError(
          {.op = in.op(), .got = std::to_string(bytes) + " bytes", .accepts = std::to_string(a.nbytes())});
    if (bytes > 0) in.given(to, "memory to copy to");
    a.read_bytes(to);
  });
}

plait_status plait_call(const char* name, const plait_array* arrays, size_t array_count, const plait_attr* attrs,
                        size_t attr_count, plait_array* results, size_t capacity, size_t* result_count) {
  return guarded([&] {
    const CArguments in("plait_call");
    in.str(name, "name");
    if (attr_count > 0) in.given(attrs, "attributes");
    const plait::Arrays inputs = in.arrays(arrays, array_count, "arrays");
    std::vector<plait::CallAttr> named;
    for (size_t i = 0; i < attr_count; ++i)
      named.push_back({in.str(attrs[i].name, "attribute name"), value_of(in, attrs[i])});
    CArguments(name).give_all(results, capacity, result_count, [&] { return plait::call(name, inputs, named); });
  });
}

}  // extern "C"
