// Arrays as memory of others: the buffer protocol, DLPack and NumPy, out of plait without a copy.
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bind.h"
#include "buffers.h"
#include "dlpack.h"
#include "engine/device_sharing.h"
#include "graph/node.h"
#include "memory/device.h"
#include "plait/more_ops.h"
#include "plait/ops.h"
#include "trees.h"

namespace plait::python {
namespace {

/// Keeps an evaluated value and its buffer in place while someone has a pointer into it. Buffers seen from outside are
/// never reused for results.
class Shared {
 public:
  explicit Shared(Array value) : value_(std::move(value)), storage_(evaluated_storage(value_)) {
    if (!storage_.buffer->add_view()) throw nb::buffer_error("the array's memory is being reused; evaluate it again");
  }
  ~Shared() {
    // Whoever moves the buffer between memories has its lock, and may want the GIL to name the line or to look for Ctrl-C.
    std::optional<nb::gil_scoped_release> waiting;
    if (memory::device_memory() && PyGILState_Check()) waiting.emplace();
    storage_.buffer->remove_view();
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  const Array& value() const { return value_; }
  const Storage& storage() const { return storage_; }
  void* data() const { return storage_.data(); }
  dlpack::Device device() const { return {dlpack::kCpu, 0}; }

 private:
  Array value_;
  Storage storage_;
};

/// Whether two elements share memory, as in a broadcast: then nobody may write through a pointer.
bool overlaps(const Array& a, const Storage& s) {
  for (int i = 0; i < a.rank(); ++i)
    if (s.strides[static_cast<size_t>(i)] == 0 && a.shape()[static_cast<size_t>(i)].value() > 1) return true;
  return false;
}

/// The slot's value, evaluated, with memory of its own for each element. A slot that held a broadcast gets the copy, so
/// that what is written through the pointer shows in the array.
std::unique_ptr<Shared> share(PyObject* self) {
  Array value = value_of(self);
  if (overlaps(value, evaluated_storage(value))) {
    value = contiguous(value);
    evaluated_storage(value);
    rebind(self, value);
  }
  return std::make_unique<Shared>(std::move(value));
}

const char* format_of(DType d) {
  static constexpr const char* formats[kDTypeCount] = {"?", "B", "H", "I",        "Q", "b", "h",
                                                       "i", "q", "e", "bfloat16", "f", "d", "Zf"};
  return formats[static_cast<int>(d)];
}

struct Exported {
  std::unique_ptr<Shared> shared;
  std::vector<Py_ssize_t> shape, strides;
};

// NumPy drops an error of the buffer protocol and asks __array__ next: Ctrl-C is raised there again.
thread_local bool interrupted_in_buffer = false;

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  return guarded(
      [&] {
        auto out = std::make_unique<Exported>();
        interrupted_in_buffer = false;
        try {
          out->shared = share(self);
        } catch (const Interrupted&) {
          interrupted_in_buffer = true;
          throw;
        }
        const Array& a = out->shared->value();
        const Storage& s = out->shared->storage();
        for (int i = 0; i < a.rank(); ++i) {
          out->shape.push_back(a.shape()[static_cast<size_t>(i)].value());
          out->strides.push_back(s.strides[static_cast<size_t>(i)] * size_of(a.dtype()));
        }
        const bool strided = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
        if (!strided && !s.row_major) throw nb::buffer_error("the array is not contiguous in memory");
        if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS && !s.row_major)
          throw nb::buffer_error("the array is not contiguous in memory");
        const bool read_only = !s.buffer->writable();
        if (read_only && (flags & PyBUF_WRITABLE)) throw nb::buffer_error("the array's memory may not be written to");
        *view = {};
        view->obj = Py_NewRef(self);
        view->buf = s.data();
        view->len = a.nbytes();
        view->readonly = read_only;
        view->itemsize = size_of(a.dtype());
        view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format_of(a.dtype())) : nullptr;
        view->ndim = a.rank();
        view->shape = (flags & PyBUF_ND) ? out->shape.data() : nullptr;
        view->strides = strided ? out->strides.data() : nullptr;
        view->internal = out.release();
        return 0;
      },
      -1);
}

void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Exported*>(view->internal); }

// ---- DLPack ----

dlpack::DataType dlpack_type(DType d) {
  using namespace dlpack;
  const auto bits = static_cast<uint8_t>(8 * size_of(d));
  if (d == DType::bool_) return {kBool, bits, 1};
  if (d == DType::bfloat16) return {kBfloat, bits, 1};
  if (d == DType::complex64) return {kComplex, bits, 1};
  if (is_floating(d)) return {kFloat, bits, 1};
  return {static_cast<uint8_t>(is_in(d, dtypes::signed_integer) ? kInt : kUInt), bits, 1};
}

/// What a consumer holds: `Held` keeps the memory, which Shared does on the host and SharedOnDevice on a device.
template <class M, class Held>
struct Export {
  M managed{};
  std::unique_ptr<Held> held;
  std::vector<int64_t> shape, strides;
};

template <class M>
void set_version(M&, uint64_t) {}
template <>
void set_version(dlpack::ManagedVersioned& m, uint64_t flags) {
  m.version = {1, 0};
  m.flags = flags;
}

/// A consumer may let go of its tensor on any thread.
template <class M, class Held>
void delete_export(M* managed) {
  const PyGILState_STATE gil = PyGILState_Ensure();
  delete static_cast<Export<M, Held>*>(managed->context);
  PyGILState_Release(gil);
}

template <class M, class Held>
nb::object export_capsule(std::unique_ptr<Held> held, const char* name, uint64_t flags) {
  auto out = std::make_unique<Export<M, Held>>();
  const Array& a = held->value();
  const Storage& s = held->storage();
  for (int i = 0; i < a.rank(); ++i) {
    out->shape.push_back(a.shape()[static_cast<size_t>(i)].value());
    out->strides.push_back(s.strides[static_cast<size_t>(i)]);
  }
  out->managed.tensor = {held->data(),      held->device(),      a.rank(), dlpack_type(a.dtype()),
                         out->shape.data(), out->strides.data(), 0};
  set_version(out->managed, flags);
  out->managed.context = out.get();
  out->managed.deleter = delete_export<M, Held>;
  out->held = std::move(held);
  PyObject* capsule = PyCapsule_New(&out->managed, name, [](PyObject* c) {
    const char* now = PyCapsule_GetName(c);
    if (!now || std::strncmp(now, "used_", 5) == 0) return;  // a consumer took it
    M* managed = static_cast<M*>(PyCapsule_GetPointer(c, now));
    if (managed) managed->deleter(managed);
  });
  if (!capsule) throw nb::python_error();
  out.release();
  return nb::steal(capsule);
}

template <class Held>
nb::object capsule_of(std::unique_ptr<Held> held, bool versioned, uint64_t flags) {
  return versioned ? export_capsule<dlpack::ManagedVersioned>(std::move(held), "dltensor_versioned", flags)
                   : export_capsule<dlpack::Managed>(std::move(held), "dltensor", flags);
}

/// A value in a device's memory while another library uses it, whose stream later work of plait waits for at the end.
class SharedOnDevice {
 public:
  SharedOnDevice(engine::DeviceView view, Device device, void* consumer)
      : view_(std::move(view)), device_(device), consumer_(consumer) {}
  ~SharedOnDevice() { engine::wait_for_readers(view_, consumer_); }
  SharedOnDevice(const SharedOnDevice&) = delete;
  SharedOnDevice& operator=(const SharedOnDevice&) = delete;

  const Array& value() const { return view_.value; }
  const Storage& storage() const { return view_.storage; }
  void* data() const { return view_.data; }
  dlpack::Device device() const { return {dlpack::kCuda, device_.index}; }

 private:
  engine::DeviceView view_;
  Device device_;
  void* consumer_;
};

/// The device whose memory an array's elements are or will be in, as other libraries see it: nothing for the host.
std::optional<Device> shared_device_of(const Array& a) {
  const Device device = device_of(a);
  return engine::can_share(device) ? std::optional(device) : std::nullopt;
}

/// The device that a consumer asks for; without one that of the array.
std::optional<Device> wanted_device(nb::handle asked, const std::optional<Device>& own) {
  if (asked.is_none()) return own;
  const int code = nb::cast<int>(asked[0]);
  const int index = nb::cast<int>(asked[1]);
  if (code == dlpack::kCpu && index == 0) return std::nullopt;
  const Device device{DeviceType::gpu, index};
  if (code == dlpack::kCuda && engine::can_share(device)) return device;
  throw nb::buffer_error("__dlpack__: dl_device is none that plait has memory of");
}

std::vector<char> elements_of(const Array& a) {
  std::vector<char> bytes(static_cast<size_t>(a.nbytes()));
  a.read_bytes(bytes.data());
  return bytes;
}

/// Elements of their own, on the device they are on.
Array duplicate(const Array& a, const std::optional<Device>& device) {
  if (!device) {
    const std::vector<char> bytes = elements_of(a);
    return Array::from_bytes(bytes.data(), a.nbytes(), a.shape(), a.dtype());
  }
  const StreamScope on(default_stream(*device));
  return positive(a);
}

nb::object export_from_device(const Array& a, Device device, nb::handle stream, bool versioned, uint64_t flags) {
  intptr_t consumer = stream.is_none() ? 1 : nb::cast<intptr_t>(stream);  // 1: the legacy default stream
  if (consumer == 0)
    throw nb::value_error(
        "__dlpack__: stream 0 has two meanings; 1 is the legacy default stream, 2 that of the thread");
  if (consumer == -1) consumer = 1;  // "do not wait": what plait has to do is done anyway
  engine::DeviceView view;
  {
    nb::gil_scoped_release waiting;
    view = engine::view_on_device(a, device);
  }
  return capsule_of(std::make_unique<SharedOnDevice>(std::move(view), device, reinterpret_cast<void*>(consumer)),
                    versioned, flags | dlpack::kReadOnly);
}

nb::object to_dlpack(nb::handle self, nb::handle stream, nb::handle max_version, nb::handle dl_device,
                     std::optional<bool> copy) {
  Array value = value_of(self.ptr());
  const std::optional<Device> own = shared_device_of(value), wanted = wanted_device(dl_device, own);
  if (own != wanted && copy.has_value() && !*copy)
    throw nb::buffer_error("__dlpack__: copy=False, and the array's memory is on another device");
  if (!wanted && !stream.is_none()) throw nb::value_error("__dlpack__: arrays on the CPU have no stream; pass None");
  const bool versioned = !max_version.is_none() && nb::cast<int>(max_version[0]) >= 1;
  const bool copies = copy.value_or(false);
  uint64_t flags = copies ? dlpack::kIsCopied : 0;
  if (wanted) return export_from_device(copies ? duplicate(value, wanted) : value, *wanted, stream, versioned, flags);
  std::unique_ptr<Shared> shared =
      copies ? std::make_unique<Shared>(duplicate(value, std::nullopt)) : share(self.ptr());
  if (!shared->storage().buffer->writable()) {
    if (!versioned) throw nb::buffer_error("__dlpack__: read-only memory needs max_version=(1, 0)");
    flags |= dlpack::kReadOnly;
  }
  return capsule_of(std::move(shared), versioned, flags);
}

nb::tuple dlpack_device(const Array& a) {
  const std::optional<Device> device = shared_device_of(a);
  return device ? nb::make_tuple(static_cast<int>(dlpack::kCuda), device->index)
                : nb::make_tuple(static_cast<int>(dlpack::kCpu), 0);
}

nb::object to_numpy(nb::handle self, nb::handle dtype, nb::handle copy) {
  if (std::exchange(interrupted_in_buffer, false)) throw Interrupted({.op = "__array__", .got = "an interrupt"});
  nb::module_ numpy = nb::module_::import_("numpy");
  nb::object view = nb::steal(PyMemoryView_FromObject(self.ptr()));
  if (!view.is_valid()) throw nb::python_error();
  nb::object out = numpy.attr("asarray")(view);
  if (!dtype.is_none()) out = out.attr("astype")(dtype, nb::arg("copy") = false);
  return !copy.is_none() && nb::cast<bool>(copy) ? out.attr("copy")() : out;
}

Array as_array(nb::handle a, nb::handle dtype, std::optional<bool> copy) {
  if (is_array(a.ptr())) return make_array(a, dtype);
  if (!copy.value_or(true)) {
    const bool has_dlpack = PyObject_HasAttrString(a.ptr(), "__dlpack__");
    if (!has_dlpack && !PyObject_CheckBuffer(a.ptr()))
      throw ArgumentError({.op = "asarray",
                           .got = "copy=False for a value of type " + std::string(Py_TYPE(a.ptr())->tp_name),
                           .accepts = "an array, or an object with DLPack or a buffer"});
    const Array shared = has_dlpack ? from_dlpack(a, false) : shared_buffer(a);
    if (!dtype.is_none() && nb::cast<DType>(dtype) != shared.dtype())
      throw ArgumentError({.op = "asarray", .got = "copy=False with another dtype, which needs a copy"});
    return shared;
  }
  return make_array(a, dtype);
}

}  // namespace

void add_sharing_slots(PyType_Slot*& at) {
  *at++ = {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)};
  *at++ = {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)};
}

namespace {

/// NumPy's functions on our arrays: NumPy computes, on arrays that share their memory where they can.
nb::object numpy_function(nb::handle, const nb::object& function, nb::handle, nb::handle args, nb::handle kwargs) {
  const nb::object as_numpy = nb::module_::import_("numpy").attr("asarray");
  const auto convert = [&](nb::handle leaf) -> nb::object {
    return is_array(leaf.ptr()) ? as_numpy(leaf) : nb::borrow(leaf);
  };
  const nb::object plain_args = map_tree(args, convert);
  const nb::object plain_kwargs = map_tree(kwargs, convert);
  nb::object result = nb::steal(PyObject_Call(function.ptr(), plain_args.ptr(), plain_kwargs.ptr()));
  if (!result.is_valid()) throw nb::python_error();
  return result;
}

}  // namespace

void bind_array_sharing(nb::module_& m) {
  method(
      "__array_function__", numpy_function, nb::arg("func"), nb::arg("types"), nb::arg("args"), nb::arg("kwargs"),
      nb::sig(
          "def __array_function__(self, func: Callable[..., Any], types: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any"));
  method("__array__", to_numpy, nb::arg("dtype").none() = nb::none(), nb::arg("copy").none() = nb::none(),
         nb::sig("def __array__(self, dtype: object | None = None, copy: object | None = None) -> numpy.ndarray[]"));
  method(
      "__dlpack__", to_dlpack, nb::kw_only(), nb::arg("stream").none() = nb::none(),
      nb::arg("max_version").none() = nb::none(), nb::arg("dl_device").none() = nb::none(),
      nb::arg("copy").none() = nb::none(),
      nb::sig(
          "def __dlpack__(self, *, stream: object | None = None, max_version: object | None = None, dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> ndarray[]"));
  method("__dlpack_device__", dlpack_device, nb::sig("def __dlpack_device__(self) -> tuple"));
  m.def(
      "from_dlpack", [](nb::handle x, std::optional<bool> copy) { return from_dlpack(x, copy); }, nb::arg(),
      nb::kw_only(), nb::arg("copy").none() = nb::none(),
      nb::sig("def from_dlpack(x: DLPackCompatible, /, *, copy: bool | None = None) -> array"),
      "An array over the memory of another library's tensor, without a copy where its dtype allows. copy=True copies.\n\n"
      "Errors: TypeError without __dlpack__, ValueError when copy=False and a copy is needed.");
  m.def(
      "asarray", as_array, nb::arg("a"), nb::arg("dtype").none() = nb::none(), nb::kw_only(),
      nb::arg("copy").none() = nb::none(),
      nb::sig(
          "def asarray(a: scalar | array | Sequence | DLPackCompatible, dtype: Dtype | None = None, *, copy: bool | None = None) -> array"),
      "The argument as an array; arrays come back as they are. copy=False shares the memory of a DLPack producer, or "
      "of a buffer.\n\n"
      "Errors: ValueError when copy=False and a copy is needed.");
}

}  // namespace plait::python
