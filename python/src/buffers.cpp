#include "buffers.h"

#include <cstring>
#include <memory>
#include <vector>

#include "dlpack_import.h"
#include "engine/device_sharing.h"
#include "graph/node.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

/// Whether str(dtype) is "bfloat16": how ml_dtypes' type is told without importing it.
bool named_bfloat16(const nb::object& dtype) {
  const nb::object text = nb::steal(PyObject_Str(dtype.ptr()));
  if (!text.is_valid()) throw nb::python_error();
  return PyUnicode_CompareWithASCIIString(text.ptr(), "bfloat16") == 0;
}

/// Elements of someone else's memory; strides count bytes.
struct Foreign {
  const char* data = nullptr;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  DType dtype = DType::float32;
  bool wide_complex = false;  // complex128, which becomes complex64

  int64_t element_bytes() const { return wide_complex ? 16 : size_of(dtype); }
};

template <class From, class To>
void copy_elements(const char* from, int64_t from_stride, char* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * from_stride, sizeof value);
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to + i * static_cast<int64_t>(sizeof(To)), &value, sizeof value);
    } else {
      const To narrowed = static_cast<To>(value);
      std::memcpy(to + i * static_cast<int64_t>(sizeof(To)), &narrowed, sizeof narrowed);
    }
  }
}

struct Complex128 {
  double re, im;
  explicit operator complex64_t() const { return {static_cast<float>(re), static_cast<float>(im)}; }
};

using CopyRow = void (*)(const char*, int64_t, char*, int64_t);

CopyRow row_copier(const Foreign& f, DType to) {
  if (f.wide_complex) return copy_elements<Complex128, complex64_t>;
  if (f.dtype == DType::float64 && to == DType::float32) return copy_elements<double, float>;
  switch (size_of(f.dtype)) {
    case 1: return copy_elements<uint8_t, uint8_t>;
    case 2: return copy_elements<uint16_t, uint16_t>;
    case 4: return copy_elements<uint32_t, uint32_t>;
    default: return copy_elements<uint64_t, uint64_t>;
  }
}

bool contiguous(const Foreign& f) {
  int64_t expected = f.element_bytes();
  for (size_t i = f.shape.size(); i-- > 0;) {
    if (f.shape[i] != 1 && f.strides[i] != expected) return false;
    expected *= f.shape[i];
  }
  return true;
}

void copy_nested(const Foreign& f, size_t axis, const char* from, char*& to, CopyRow copy, int64_t to_bytes) {
  if (axis + 1 == f.shape.size()) {
    copy(from, f.strides[axis], to, f.shape[axis]);
    to += f.shape[axis] * to_bytes;
    return;
  }
  for (int64_t i = 0; i < f.shape[axis]; ++i) copy_nested(f, axis + 1, from + i * f.strides[axis], to, copy, to_bytes);
}

/// The dtype that a copy has: 64-bit floats become 32-bit unless asked for.
DType copied_dtype(const Foreign& f, std::optional<DType> wanted) {
  if (f.wide_complex) return DType::complex64;
  return f.dtype == DType::float64 && (!wanted || *wanted == DType::float32) ? DType::float32 : f.dtype;
}

Array copied(const Foreign& f, std::optional<DType> wanted) {
  // Narrowing 64-bit floats here saves a pass; every other conversion is an operation like any other.
  const DType to = copied_dtype(f, wanted);
  Aval aval{Shape(std::span<const int64_t>(f.shape)), to};
  Storage storage = allocate_storage(aval);
  char* out = storage.data();
  int64_t count = 1;
  for (const int64_t extent : f.shape) count *= extent;
  if (count > 0) {
    const CopyRow copy = row_copier(f, to);
    if (to == f.dtype && !f.wide_complex && contiguous(f)) {
      std::memcpy(out, f.data, static_cast<size_t>(count * size_of(to)));
    } else if (f.shape.empty()) {
      copy(f.data, 0, out, 1);
    } else {
      copy_nested(f, 0, f.data, out, copy, size_of(to));
    }
  }
  const Array made = make_evaluated(std::move(storage), std::move(aval));
  return wanted && *wanted != to ? astype(made, *wanted) : made;
}

[[noreturn]] void throw_element_type(const std::string& what) {
  throw DTypeError({.op = "array",
                    .got = "elements of type " + what,
                    .accepts = "bool, integers, floats and complex numbers in this machine's byte order",
                    .hint = "convert them first, for example with astype"});
}

/// The element type of a buffer's format string.
void set_format(Foreign& f, const char* format, int64_t item_bytes) {
  const std::string all = format ? format : "B";
  std::string code = all;
  if (!code.empty() && (code[0] == '@' || code[0] == '=' || code[0] == '<' || code[0] == '|')) {
    code.erase(0, 1);
  } else if (!code.empty() && (code[0] == '>' || code[0] == '!')) {
    code.erase(0, 1);
    if (item_bytes > 1) throw_element_type("'" + all + "' (big-endian)");
  }
  const auto integer = [&](bool is_signed) {
    switch (item_bytes) {
      case 1: return is_signed ? DType::int8 : DType::uint8;
      case 2: return is_signed ? DType::int16 : DType::uint16;
      case 4: return is_signed ? DType::int32 : DType::uint32;
      default: return is_signed ? DType::int64 : DType::uint64;
    }
  };
  if (code == "?") {
    f.dtype = DType::bool_;
  } else if (code == "b" || code == "h" || code == "i" || code == "l" || code == "q" || code == "n") {
    f.dtype = integer(true);
  } else if (code == "B" || code == "c" || code == "H" || code == "I" || code == "L" || code == "Q" || code == "N") {
    f.dtype = integer(false);
  } else if (code == "e") {
    f.dtype = DType::float16;
  } else if (code == "f") {
    f.dtype = DType::float32;
  } else if (code == "d") {
    f.dtype = DType::float64;
  } else if (code == "Zf") {
    f.dtype = DType::complex64;
  } else if (code == "Zd") {
    f.wide_complex = true;
    f.dtype = DType::complex64;
  } else if (code == "bfloat16") {
    f.dtype = DType::bfloat16;
  } else {
    throw_element_type("'" + all + "'");
  }
}

struct BufferView {
  Py_buffer view{};
  ~BufferView() { PyBuffer_Release(&view); }
};

DType dtype_of_dlpack(const dlpack::DataType& t, bool& wide_complex) {
  using namespace dlpack;
  wide_complex = t.code == kComplex && t.bits == 128;
  if (t.lanes == 1) {
    if (wide_complex || (t.code == kComplex && t.bits == 64)) return DType::complex64;
    if (t.code == kBool && t.bits == 8) return DType::bool_;
    if (t.code == kBfloat && t.bits == 16) return DType::bfloat16;
    if (t.code == kFloat && t.bits == 16) return DType::float16;
    if (t.code == kFloat && t.bits == 32) return DType::float32;
    if (t.code == kFloat && t.bits == 64) return DType::float64;
    constexpr DType kSigned[] = {DType::int8, DType::int16, DType::int32, DType::int64};
    constexpr DType kUnsigned[] = {DType::uint8, DType::uint16, DType::uint32, DType::uint64};
    for (int i = 0; i < 4; ++i) {
      if (t.bits != 8 << i) continue;
      if (t.code == kInt) return kSigned[i];
      if (t.code == kUInt) return kUnsigned[i];
    }
  }
  throw_element_type("DLPack code " + std::to_string(t.code) + " with " + std::to_string(t.bits) + " bits");
}

Foreign describe(const dlpack::Tensor& t) {
  Foreign f;
  f.data = static_cast<const char*>(t.data) + t.byte_offset;
  f.dtype = dtype_of_dlpack(t.dtype, f.wide_complex);
  f.shape.assign(t.shape, t.shape + t.ndim);
  f.strides.resize(f.shape.size());
  int64_t row_major = f.element_bytes();
  for (size_t i = f.shape.size(); i-- > 0;) {
    f.strides[i] = t.strides ? t.strides[i] * f.element_bytes() : row_major;
    row_major *= f.shape[i];
  }
  return f;
}

}  // namespace

bool has_buffer(PyObject* o) {
  return PyObject_CheckBuffer(o) || PyObject_HasAttrString(reinterpret_cast<PyObject*>(Py_TYPE(o)), "__dlpack__");
}

namespace {

/// uint16 words that are the bits of bfloat16 numbers.
Array bfloat16_from(nb::handle words, std::optional<DType> dtype) {
  BufferView b;
  if (PyObject_GetBuffer(words.ptr(), &b.view, PyBUF_FORMAT | PyBUF_STRIDES) != 0) throw nb::python_error();
  Foreign f;
  f.data = static_cast<const char*>(b.view.buf);
  f.dtype = DType::bfloat16;
  f.shape.assign(b.view.shape, b.view.shape + b.view.ndim);
  f.strides.assign(b.view.strides, b.view.strides + b.view.ndim);
  return copied(f, dtype);
}

}  // namespace

namespace {

/// The first byte and the one behind the last, from `data`.
struct Extent {
  int64_t lowest = 0;
  int64_t past = 0;
};
Extent extent_of(const Foreign& f) {
  Extent e{0, size_of(f.dtype)};
  for (size_t i = 0; i < f.shape.size(); ++i) {
    if (f.shape[i] == 0) return {};
    const int64_t reach = f.strides[i] * (f.shape[i] - 1);
    (reach < 0 ? e.lowest : e.past) += reach;
  }
  return e;
}

Strides element_strides(const Foreign& f) {
  Strides strides;
  for (const int64_t bytes : f.strides) strides.push_back(bytes / size_of(f.dtype));
  return strides;
}

/// An array over the memory itself. `context` goes to the deleter when nothing needs it any more, or at once on failure.
template <class Context>
Array shared(const Foreign& f, bool writable, std::unique_ptr<Context> context) {
  Storage storage;
  const Extent extent = extent_of(f);
  storage.strides = element_strides(f);
  storage.offset = -extent.lowest;
  Aval aval{Shape(std::span<const int64_t>(f.shape)), f.dtype};
  storage.row_major = is_row_major(aval.shape, storage.strides);
  storage.buffer = Buffer::adopt_foreign(
      const_cast<char*>(f.data) + extent.lowest, extent.past - extent.lowest, writable,
      [](void* p) { delete static_cast<Context*>(p); }, context.get());
  (void)context.release();  // the buffer's now
  return make_evaluated(std::move(storage), std::move(aval));
}

/// An array over a tensor in a device's memory. Errors: DTypeError for elements that are converted on the host alone.
Array shared_on_device(std::unique_ptr<Import> import) {
  const Foreign f = describe(import->tensor());
  if (f.wide_complex)
    throw DTypeError({.op = "from_dlpack",
                      .got = "complex128 elements on a GPU",
                      .accepts = "element types that plait has",
                      .hint = "convert them first, or copy them to the CPU"});
  const Extent extent = extent_of(f);
  const Device device = *import->device();
  Array made = engine::adopt_on_device(
      device, const_cast<char*>(f.data) + extent.lowest, extent.past - extent.lowest,
      {Shape(std::span<const int64_t>(f.shape)), f.dtype}, element_strides(f), -extent.lowest,
      [](void* p) { delete static_cast<Import*>(p); }, import.get());
  (void)import.release();  // the buffer's now
  return made;
}

/// A copy of such a tensor, made there.
Array copied_on_device(std::unique_ptr<Import> import, std::optional<DType> wanted) {
  const Device device = *import->device();
  const Foreign f = describe(import->tensor());
  const DType to = wanted.value_or(copied_dtype(f, wanted));
  const Array there = shared_on_device(std::move(import));
  const StreamScope on(default_stream(device));
  const Array made = there.dtype() == to ? positive(there) : astype(there, to);
  made.eval();
  return made;
}

/// Whether elements lie where strides that count elements can say it.
bool has_whole_strides(const Foreign& f) {
  for (size_t i = 0; i < f.shape.size(); ++i)
    if (f.shape[i] > 1 && f.strides[i] % size_of(f.dtype) != 0) return false;
  return reinterpret_cast<uintptr_t>(f.data) % static_cast<uintptr_t>(std::min(size_of(f.dtype), 8)) == 0;
}

}  // namespace

Array from_buffer(nb::handle o, std::optional<DType> dtype) {
  if (!PyObject_CheckBuffer(o.ptr())) {
    auto import = std::make_unique<Import>(o);
    return import->device() ? copied_on_device(std::move(import), dtype) : copied(describe(import->tensor()), dtype);
  }
  BufferView b;
  if (PyObject_GetBuffer(o.ptr(), &b.view, PyBUF_FORMAT | PyBUF_STRIDES) != 0) {
    PyErr_Clear();  // some element types have no place in the buffer protocol
    if (nb::hasattr(o, "dtype") && nb::hasattr(o, "view") && named_bfloat16(o.attr("dtype"))) {  // ml_dtypes
      const nb::object words = o.attr("view")("uint16");
      return bfloat16_from(words, dtype);
    }
    if (nb::hasattr(o, "__dlpack__")) {
      try {
        const Import import(o);
        return copied(describe(import.tensor()), dtype);
      } catch (nb::python_error&) {  // its own complaint says less than ours
      }
    }
    throw_element_type("that " + std::string(Py_TYPE(o.ptr())->tp_name) +
                       " does not describe through the buffer protocol");
  }
  Foreign f;
  f.data = static_cast<const char*>(b.view.buf);
  set_format(f, b.view.format, b.view.itemsize);
  f.shape.assign(b.view.shape, b.view.shape + b.view.ndim);
  f.strides.assign(b.view.strides, b.view.strides + b.view.ndim);
  return copied(f, dtype);
}

Array shared_buffer(nb::handle o) {
  auto held = std::make_unique<BufferView>();
  if (PyObject_GetBuffer(o.ptr(), &held->view, PyBUF_FORMAT | PyBUF_STRIDES | PyBUF_WRITABLE) != 0) {
    PyErr_Clear();
    if (PyObject_GetBuffer(o.ptr(), &held->view, PyBUF_FORMAT | PyBUF_STRIDES) != 0) throw nb::python_error();
  }
  Foreign f;
  f.data = static_cast<const char*>(held->view.buf);
  set_format(f, held->view.format, held->view.itemsize);
  f.shape.assign(held->view.shape, held->view.shape + held->view.ndim);
  f.strides.assign(held->view.strides, held->view.strides + held->view.ndim);
  if (f.wide_complex || !has_whole_strides(f))
    throw ArgumentError({.op = "asarray",
                         .got = f.wide_complex ? "complex128 elements, which have to be converted"
                                               : "elements that are not aligned, which have to be copied",
                         .accepts = "copy=None or copy=True"});
  const bool writable = !held->view.readonly;
  return shared(f, writable, std::move(held));
}

Array from_dlpack(nb::handle o, std::optional<bool> copy) {
  if (is_array(o.ptr())) return value_of(o.ptr());
  auto import = std::make_unique<Import>(o);
  const Foreign f = describe(import->tensor());
  if (import->device()) {
    const bool converts = copied_dtype(f, std::nullopt) != f.dtype;
    return copy.value_or(converts) ? copied_on_device(std::move(import), std::nullopt)
                                   : shared_on_device(std::move(import));
  }
  const bool shareable = !f.wide_complex;
  if (copy.value_or(false) || (!shareable && !copy) || (!copy && f.dtype == DType::float64))
    return copied(f, std::nullopt);
  if (!shareable)
    throw ArgumentError({.op = "from_dlpack",
                         .got = "complex128 elements, which have to be converted",
                         .accepts = "copy=None or copy=True"});
  const bool writable = !import->read_only();
  return shared(f, writable, std::move(import));
}

}  // namespace plait::python
