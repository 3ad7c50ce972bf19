// For tests: one call of a kernel on the device and of the CPU's on the same inputs, and what they gave.
#pragma once

#include <gtest/gtest.h>

#include <complex>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "graph/op.h"
#include "graph/registry.h"

namespace plait {
void register_all_ops(OpRegistry& ops);  // generated from the list of op files
}

namespace plait::cuda_test {

/// First line of a test that needs a GPU.
#define PLAIT_NEEDS_GPU()                                                           \
  if (int devices = 0; cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) \
  GTEST_SKIP() << "NO GPU: this test of a kernel did not run"

/// Under a tool that runs everything a hundred times slower (PLAIT_TEST_SMALL=1): few types, no long arrays.
inline bool small() { return std::getenv("PLAIT_TEST_SMALL") != nullptr; }
inline std::vector<DType> types(std::vector<DType> all, std::vector<DType> few) { return small() ? few : all; }
inline const std::vector<DType> kAll = types(
    {DType::bool_, DType::uint8, DType::uint16, DType::uint32, DType::uint64, DType::int8, DType::int16, DType::int32,
     DType::int64, DType::float16, DType::bfloat16, DType::float32, DType::float64, DType::complex64},
    {DType::uint8, DType::bfloat16, DType::float32, DType::complex64});
inline const std::vector<DType> kInexact =
    types({DType::float16, DType::bfloat16, DType::float32, DType::float64, DType::complex64},
          {DType::bfloat16, DType::float32});

using Extents = std::vector<int64_t>;

/// A tensor on the host; strides count elements from `offset` on.
struct Tensor {
  DType dtype = DType::float32;
  Extents shape, strides;
  int64_t offset = 0;
  std::vector<char> bytes;

  static Tensor empty(DType dtype, Extents shape) {
    Tensor t{dtype, std::move(shape), {}, 0, {}};
    int64_t step = 1;
    t.strides.resize(t.shape.size());
    for (size_t i = t.shape.size(); i-- > 0;) {
      t.strides[i] = step;
      step *= t.shape[i];
    }
    t.bytes.resize(static_cast<size_t>(step * size_of(dtype)));
    return t;
  }
  int64_t stored() const { return static_cast<int64_t>(bytes.size()) / size_of(dtype); }
  TensorView view(void* data) const {
    TensorView v;
    v.data = static_cast<char*>(data) + offset * size_of(dtype);
    v.dtype = dtype;
    v.shape.assign(shape.begin(), shape.end());
    v.strides.assign(strides.begin(), strides.end());
    return v;
  }
};

template <class T>
std::complex<double> number(T x) {
  if constexpr (std::is_same_v<T, std::complex<float>>)
    return x;
  else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
    return static_cast<double>(static_cast<float>(x));
  else
    return static_cast<double>(x);
}

template <class T>
T element(double re, double im) {
  if constexpr (std::is_same_v<T, std::complex<float>>)
    return {static_cast<float>(re), static_cast<float>(im)};
  else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
    return T::from(static_cast<float>(re));
  else if constexpr (std::is_same_v<T, bool>)
    return re > 0;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<int64_t>(re));
  else
    return static_cast<T>(re);
}

/// Elements made by draw(), which gives doubles.
template <class Draw>
Tensor filled(DType dtype, Extents shape, Draw draw) {
  Tensor t = Tensor::empty(dtype, std::move(shape));
  dispatch(dtype, [&]<class T>() {
    auto* to = reinterpret_cast<T*>(t.bytes.data());
    for (int64_t i = 0; i < t.stored(); ++i) {
      const double re = draw(), im = draw();
      to[i] = element<T>(re, im);
    }
  });
  return t;
}

inline std::mt19937& generator() {
  static std::mt19937 g(7);
  return g;
}

/// Any bits for integers, numbers around 0 for floats.
inline Tensor any(DType dtype, Extents shape) {
  if (!is_inexact(dtype) && dtype != DType::bool_) {
    Tensor t = Tensor::empty(dtype, std::move(shape));
    for (char& b : t.bytes) b = static_cast<char>(generator()());
    return t;
  }
  std::normal_distribution<double> normal;
  return filled(dtype, std::move(shape), [&] { return normal(generator()); });
}

/// Numbers of which many are equal, with NaN, infinities and both zeros among floats.
inline Tensor crowded(DType dtype, Extents shape) {
  const double nan = std::nan(""), infinity = HUGE_VAL;
  const std::vector<double> floats{0.0, -0.0, 1.0, -1.0, nan, -nan, infinity, -infinity, 2.5, -3.0, 0.5, 7.0};
  std::uniform_int_distribution<size_t> pick(0, floats.size() - 1);
  if (is_inexact(dtype)) return filled(dtype, std::move(shape), [&] { return floats[pick(generator())]; });
  return filled(dtype, std::move(shape), [&] { return static_cast<double>(pick(generator())) - 5; });
}

/// Positions in an axis of extent n, negative ones too where the dtype has them.
inline Tensor positions(DType dtype, Extents shape, int64_t n) {
  std::uniform_int_distribution<int64_t> pick(is_in(dtype, dtypes::signed_integer) ? -n : 0, n - 1);
  return filled(dtype, std::move(shape), [&] { return static_cast<double>(pick(generator())); });
}

struct Attr {
  std::string name;
  AttrValue value;
};

inline const OpDef& op_named(std::string_view name) {
  set_registry_source(register_all_ops);
  return *OpHandle(name);
}

/// Attributes as a node would hold them.
class Attrs {
 public:
  Attrs(std::string_view op, const std::vector<Attr>& given) : def_(&op_named(op)) {
    if (!def_->default_attrs) return;
    attrs_ = def_->default_attrs();
    for (const Attr& a : given)
      for (const auto& field : def_->attrs)
        if (field->name == a.name) field->set(attrs_->mutable_data(), a.value);
  }
  AttrsView view() const { return AttrsView(&def_->attrs, attrs_ ? attrs_->data() : nullptr); }
  const OpDef& def() const { return *def_; }
  const AttrsBase* base() const { return attrs_.get(); }

 private:
  const OpDef* def_;
  Ref<AttrsBase> attrs_;
};

/// The queue of all tests, which stays open for good, and the memory of one call.
class Device {
 public:
  Device() {
    static const memory::Queue queue = cuda_memory().open_queue(0);
    queue_ = queue;
  }
  ~Device() {
    for (void* data : blocks_) cuda_memory().release(queue_, data);
  }
  memory::Queue queue() const { return queue_; }
  void* put(const Tensor& t) {
    const auto bytes = static_cast<int64_t>(t.bytes.size());
    void* data = cuda_memory().allocate(queue_, std::max<int64_t>(1, bytes));
    blocks_.push_back(data);
    if (bytes) cuda_memory().upload(queue_, data, t.bytes.data(), bytes);
    return data;
  }
  void get(Tensor& t, const void* data) {
    const auto bytes = static_cast<int64_t>(t.bytes.size());
    if (bytes) cuda_memory().download(cuda_memory().mark(queue_), t.bytes.data(), data, bytes);
    cuda_memory().finish(cuda_memory().mark(queue_));
  }

 private:
  memory::Queue queue_ = 0;
  std::vector<void*> blocks_;
};

inline Tensor output_of(const Attrs& attrs, const std::vector<Tensor>& inputs) {
  std::vector<Aval> in;
  for (const Tensor& t : inputs) in.push_back({Shape(std::span<const int64_t>(t.shape)), t.dtype});
  const Aval out = attrs.def().infer(attrs.base(), in)[0];
  return Tensor::empty(out.dtype, out.shape.values());
}

inline Tensor on_device(const std::string& op, const Attrs& attrs, const std::vector<Tensor>& inputs) {
  const Kernel& kernel = *cuda_kernel(op);
  Device device;
  Tensor out = kernel.output_aliases_input0 ? inputs[0] : output_of(attrs, inputs);
  if (!kernel.output_aliases_input0) std::memset(out.bytes.data(), 0x5A, out.bytes.size());
  std::vector<TensorView> views;
  for (const Tensor& t : inputs) views.push_back(t.view(device.put(t)));
  void* to = kernel.output_aliases_input0 ? views[0].data : device.put(out);
  const TensorView out_view = out.view(to);
  static auto* const note =
      static_cast<memory::PositionNote*>(cuda_memory().allocate_shared(sizeof(memory::PositionNote)));
  *note = {};
  const KernelArgs args{.op = op,
                        .inputs = views,
                        .outputs = {&out_view, 1},
                        .attrs = attrs.view(),
                        .queue = device.queue(),
                        .note = note};
  EXPECT_TRUE(!kernel.takes || kernel.takes(args)) << op;
  kernel.run(args);
  device.get(out, to);
  if (note->op) throw memory::PositionError(note->op, note->given, note->n, note->most);
  return out;
}

inline Tensor on_cpu(const std::string& op, const Attrs& attrs, std::vector<Tensor> inputs) {
  const Kernel* reference = kernels().find(op, Backend::reference);
  const Kernel& kernel = reference ? *reference : *kernels().find(op);
  Tensor out = kernel.output_aliases_input0 ? inputs[0] : output_of(attrs, inputs);
  std::vector<TensorView> views;
  for (size_t i = 0; i < inputs.size(); ++i)
    views.push_back(inputs[i].view(i == 0 && kernel.output_aliases_input0 ? out.bytes.data() : inputs[i].bytes.data()));
  const TensorView out_view = out.view(out.bytes.data());
  kernel.run({.op = op, .inputs = views, .outputs = {&out_view, 1}, .attrs = attrs.view()});
  return out;
}

inline std::string describe(const std::string& op, const std::vector<Attr>& attrs, const std::vector<Tensor>& inputs) {
  std::string text = op;
  for (const Tensor& t : inputs) {
    text += " " + std::string(name_of(t.dtype)) + "(";
    for (int64_t d : t.shape) text += std::to_string(d) + ",";
    text += ")";
  }
  for (const Attr& a : attrs) text += " " + a.name + "=" + to_string(a.value);
  return text;
}

/// The largest |device - cpu| / (1 + |cpu|), NaN and infinities having to agree; 0: the same numbers.
inline double difference(const Tensor& device, const Tensor& cpu) {
  double worst = 0;
  dispatch(cpu.dtype, [&]<class T>() {
    const auto *d = reinterpret_cast<const T*>(device.bytes.data()), *c = reinterpret_cast<const T*>(cpu.bytes.data());
    const auto part = [&](double x, double y) {
      if (x == y || (std::isnan(x) && std::isnan(y))) return;
      const double far = std::abs(x - y) / (1 + std::abs(y));
      worst = std::isfinite(far) ? std::max(worst, far) : HUGE_VAL;
    };
    for (int64_t i = 0; i < cpu.stored(); ++i) {
      if (std::memcmp(d + i, c + i, sizeof(T)) == 0) continue;
      if constexpr (std::is_integral_v<T>) {
        worst = HUGE_VAL;
      } else {
        part(number(d[i]).real(), number(c[i]).real());
        part(number(d[i]).imag(), number(c[i]).imag());
      }
    }
  });
  return worst;
}

/// Expects the device's numbers to be the CPU's within `tolerance`; exactly, but for the sign of 0 and which NaN, at 0.
inline void expect_same(const std::string& op, const std::vector<Attr>& given, const std::vector<Tensor>& inputs,
                        double tolerance = 0) {
  const Attrs attrs(op, given);
  const double far = difference(on_device(op, attrs, inputs), on_cpu(op, attrs, inputs));
  EXPECT_LE(far, tolerance) << describe(op, given, inputs);
}

}  // namespace plait::cuda_test
