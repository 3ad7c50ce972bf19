// Convolutions by oneDNN, one primitive per part of the images; threads are plait's, oneDNN's own stay unused.
#include "backends/cpu/onednn_conv.h"

#include <dlfcn.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <unordered_map>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/scratch.h"
#include "base/hash.h"
#include "base/parallel.h"

namespace plait::cpu {
namespace {

using dnnl::memory;
using Dims = memory::dims;

/// Keeps oneDNN's OpenMP on the calling thread, and leaves the thread's setting as it was.
class OneThread {
 public:
  OneThread() : before_(openmp().get()) { openmp().set(1); }
  ~OneThread() { openmp().set(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  struct OpenMp {
    int (*get)() = [] { return 1; };
    void (*set)(int) = [](int) {};
  };
  static const OpenMp& openmp() {
    static const OpenMp found = [] {
      OpenMp o;
      if (void* library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD)) {  // the one that oneDNN has loaded
        void* get = dlsym(library, "omp_get_max_threads");
        void* set = dlsym(library, "omp_set_num_threads");
        if (get && set) o = {reinterpret_cast<int (*)()>(get), reinterpret_cast<void (*)(int)>(set)};
      }
      return o;
    }();
    return found;
  }
  int before_;
};

const dnnl::engine& engine() {
  static auto* const cpu =
      new const dnnl::engine(dnnl::engine::kind::cpu, 0);  // leaked: threads may ask while the process ends
  return *cpu;
}
dnnl::stream& stream() {
  thread_local dnnl::stream s(engine());
  return s;
}

/// One compiled part: the primitive, and how the weight has to lie for it.
struct Primitive {
  dnnl::primitive run;
  dnnl::reorder reorder;  // of the weight, into or out of the primitive's layout
  memory::desc x, w, y, plain, scratchpad;
  bool usable = false;
  bool reorders = false;
};

struct Key {
  ConvKind kind;
  DType dtype;
  ConvGeometry g;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  size_t operator()(const Key& key) const {
    Hasher h;
    h.add(key.kind).add(key.dtype).add(key.g.n).add(key.g.groups).add(key.g.c).add(key.g.o);
    for (const auto& extents : {key.g.in, key.g.kernel, key.g.out, key.g.stride, key.g.dilation, key.g.padding})
      h.add(extents);
    return static_cast<size_t>(h.hash());
  }
};

/// Settings of a primitive in oneDNN's terms: channels before two or three spatial axes.
struct Terms {
  memory::desc x, w, w_any, y;
  Dims stride, dilation, low, high;
  bool fits = true;
};

Terms terms_of(const Key& key) {
  const ConvGeometry& g = key.g;
  const auto type = key.dtype == DType::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  // Partial sums over parts of the images stay in float32.
  const auto weight_type = key.kind == ConvKind::weight ? memory::data_type::f32 : type;
  const size_t first = g.in[0] == 1 && g.kernel[0] == 1 && g.out[0] == 1 && g.padding[0] == 0 ? 1 : 0;
  Terms t;
  Dims x{g.n, g.x_channels()}, y{g.n, g.y_channels()}, w{g.o, g.c};
  for (size_t i = first; i < 3; ++i) {
    x.push_back(g.in[i]);
    y.push_back(g.out[i]);
    w.push_back(g.kernel[i]);
    t.stride.push_back(g.stride[i]);
    t.dilation.push_back(g.dilation[i] - 1);
    t.low.push_back(g.padding[i]);
    t.high.push_back((g.out[i] - 1) * g.stride[i] + (g.kernel[i] - 1) * g.dilation[i] + 1 - g.in[i] - g.padding[i]);
    t.fits = t.fits && t.low.back() >= 0 && t.high.back() > -g.stride[i];
  }
  const auto channels_last = [](const Dims& dims) {
    Dims strides(dims.size());
    int64_t step = 1;
    strides[1] = step;
    step *= dims[1];
    for (size_t i = dims.size(); i-- > 2;) {
      strides[i] = step;
      step *= dims[i];
    }
    strides[0] = step;
    return strides;
  };
  t.x = memory::desc(x, type, channels_last(x));
  t.y = memory::desc(y, type, channels_last(y));
  Dims w_strides = channels_last(w);
  if (g.groups > 1) {
    w_strides.insert(w_strides.begin(), w_strides[0] * g.o);
    w.insert(w.begin(), g.groups);
  }
  t.w = memory::desc(w, weight_type, w_strides);
  t.w_any = memory::desc(w, weight_type, memory::format_tag::any);
  return t;
}

template <class Desc>
void take_desc(Primitive& p, const Desc& desc, const memory::desc& w) {
  const std::string_view name = desc.impl_info_str();
  p.usable = name.find("ref") == std::string_view::npos;  // plain loops of oneDNN are no faster than plait's
  p.w = w;
  p.scratchpad = desc.scratchpad_desc();
}

Primitive build(const Key& key) {
  const Terms t = terms_of(key);
  Primitive p;
  p.x = t.x;
  p.y = t.y;
  p.plain = t.w;
  if (!t.fits) return p;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto weight_any = memory::desc(t.w_any.get_dims(), t.x.get_data_type(), memory::format_tag::any);
  const OneThread alone;
  try {
    const auto prop =
        key.kind == ConvKind::forward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
    const dnnl::convolution_forward::primitive_desc forward(engine(), prop, direct, t.x, weight_any, t.y, t.stride,
                                                            t.dilation, t.low, t.high, attr);
    switch (key.kind) {
      case ConvKind::forward:
        take_desc(p, forward, forward.weights_desc());
        p.run = dnnl::convolution_forward(forward);
        break;
      case ConvKind::input: {
        const dnnl::convolution_backward_data::primitive_desc d(engine(), direct, t.x, t.w_any, t.y, t.stride,
                                                                t.dilation, t.low, t.high, forward, attr);
        take_desc(p, d, d.weights_desc());
        p.run = dnnl::convolution_backward_data(d);
        break;
      }
      case ConvKind::weight: {
        const dnnl::convolution_backward_weights::primitive_desc d(engine(), direct, t.x, t.w_any, t.y, t.stride,
                                                                   t.dilation, t.low, t.high, forward, attr);
        take_desc(p, d, d.diff_weights_desc());
        p.run = dnnl::convolution_backward_weights(d);
        break;
      }
    }
    p.reorders = p.w != p.plain;
    if (p.usable && p.reorders)
      p.reorder = key.kind == ConvKind::weight
                      ? dnnl::reorder(dnnl::reorder::primitive_desc(engine(), p.w, engine(), p.plain))
                      : dnnl::reorder(dnnl::reorder::primitive_desc(engine(), p.plain, engine(), p.w));
  } catch (const dnnl::error&) {
    p.usable = false;
  }
  return p;
}

std::shared_ptr<const Primitive> primitive(const Key& key) {
  static std::mutex mutex;
  static auto& made = *new std::unordered_map<Key, std::shared_ptr<const Primitive>, KeyHash>;  // leaked, as the engine
  constexpr size_t kMost = 512;
  {
    const std::lock_guard lock(mutex);
    if (const auto at = made.find(key); at != made.end()) return at->second;
  }
  auto fresh = std::make_shared<const Primitive>(build(key));
  const std::lock_guard lock(mutex);
  if (made.size() >= kMost) made.clear();  // extents that keep changing; building again costs under a millisecond
  return made.emplace(key, std::move(fresh)).first->second;
}

/// A part of the work: images, or rows of one image, with its own extents and padding.
struct Part {
  ConvGeometry g;
  int64_t x = 0, y = 0;  // first element of each
  size_t primitive = 0;
};

constexpr int64_t kPartWork = 3 << 20;  // multiplications that are worth a thread
constexpr int64_t kParts = 16;

/// Cuts the outermost axis longer than 1 of one image; `rows` counts those of the result (of y for a weight).
bool cut_rows(ConvKind kind, const ConvGeometry& g, int64_t parts, std::vector<Part>& out) {
  size_t axis = 0;
  while (axis < 2 && g.in[axis] == 1 && g.out[axis] == 1) ++axis;
  const bool backward = kind == ConvKind::input;
  const int64_t rows = backward ? g.in[axis] : g.out[axis], s = g.stride[axis], pad = g.padding[axis];
  const int64_t span = (g.kernel[axis] - 1) * g.dilation[axis];
  int64_t x_row = g.x_channels(), y_row = g.y_channels();
  for (size_t i = axis + 1; i < 3; ++i) x_row *= g.in[i], y_row *= g.out[i];
  const int64_t step = (rows + parts - 1) / parts;
  for (int64_t from = 0; from < rows; from += step) {
    const int64_t to = std::min(rows, from + step);
    int64_t other, end;  // the rows on the other side that these touch
    if (backward) {
      other = std::max<int64_t>(0, Dim::floor_div(from + pad - span + s - 1, s));
      end = std::min(g.out[axis], Dim::floor_div(to - 1 + pad, s) + 1);
    } else {
      other = std::max<int64_t>(0, from * s - pad);
      end = std::min(g.in[axis], (to - 1) * s - pad + span + 1);
    }
    if (end <= other) return false;
    Part part{.g = g};
    part.g.n = 1;
    part.g.in[axis] = backward ? to - from : end - other;
    part.g.out[axis] = backward ? end - other : to - from;
    part.g.padding[axis] = backward ? pad + from - other * s : pad - from * s + other;
    part.x = (backward ? from : other) * x_row;
    part.y = (backward ? other : from) * y_row;
    out.push_back(part);
  }
  return true;
}

std::vector<Part> cut(ConvKind kind, const ConvGeometry& g) {
  const int64_t image = g.multiplications() / g.n;
  const int64_t x_image = g.in_count() * g.x_channels(), y_image = g.out_count() * g.y_channels();
  const int64_t most = std::min(kParts, g.multiplications() / kPartWork + 1);
  std::vector<Part> parts;
  if (const int64_t rows = std::min(most / g.n, image / kPartWork); rows > 1) {
    std::vector<Part> of_one;
    if (cut_rows(kind, g, rows, of_one)) {
      for (int64_t n = 0; n < g.n; ++n)
        for (Part part : of_one) {
          part.x += n * x_image;
          part.y += n * y_image;
          parts.push_back(part);
        }
      return parts;
    }
  }
  const int64_t step = (g.n + most - 1) / most;
  for (int64_t n = 0; n < g.n; n += step) {
    Part part{.g = g, .x = n * x_image, .y = n * y_image};
    part.g.n = std::min(step, g.n - n);
    parts.push_back(part);
  }
  return parts;
}

memory at(const memory::desc& desc, const void* data) { return memory(desc, engine(), const_cast<void*>(data)); }

}  // namespace

bool onednn_convolution(ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to) {
  if (dtype != DType::float32 && !(dtype == DType::bfloat16 && has_avx512_bf16())) return false;
  if (g.multiplications() == 0) return false;
  std::vector<Part> parts = cut(kind, g);
  std::vector<Key> keys;
  std::vector<std::shared_ptr<const Primitive>> primitives;
  for (Part& part : parts) {
    const Key key{kind, dtype, part.g};
    part.primitive = static_cast<size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
    if (part.primitive < keys.size()) continue;
    keys.push_back(key);
    primitives.push_back(primitive(key));
    if (!primitives.back()->usable) return false;
  }

  const int64_t width = size_of(dtype);
  const auto element = [&](const void* base, int64_t i) { return static_cast<const char*>(base) + i * width; };
  Scratch scratch;
  const auto execute = [](const Primitive& p, std::unordered_map<int, memory> arguments) {
    Scratch own;
    arguments.emplace(DNNL_ARG_SCRATCHPAD,
                      at(p.scratchpad, own.take<char>(static_cast<int64_t>(p.scratchpad.get_size()))));
    p.run.execute(stream(), arguments);
  };

  if (kind != ConvKind::weight) {
    std::vector<const void*> weights;
    for (const auto& p : primitives) {
      weights.push_back(b);
      if (!p->reorders) continue;
      void* laid = scratch.take<char>(static_cast<int64_t>(p->w.get_size()));
      const OneThread alone;
      p->reorder.execute(stream(), {{DNNL_ARG_FROM, at(p->plain, b)}, {DNNL_ARG_TO, at(p->w, laid)}});
      weights.back() = laid;
    }
    parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
      const OneThread alone;
      for (int64_t i = begin; i < end; ++i) {
        const Part& part = parts[static_cast<size_t>(i)];
        const Primitive& p = *primitives[part.primitive];
        const memory w = at(p.w, weights[part.primitive]);
        if (kind == ConvKind::forward)
          execute(p, {{DNNL_ARG_SRC, at(p.x, element(a, part.x))},
                      {DNNL_ARG_WEIGHTS, w},
                      {DNNL_ARG_DST, at(p.y, element(to, part.y))}});
        else
          execute(p, {{DNNL_ARG_DIFF_SRC, at(p.x, element(to, part.x))},
                      {DNNL_ARG_WEIGHTS, w},
                      {DNNL_ARG_DIFF_DST, at(p.y, element(a, part.y))}});
      }
    });
    return true;
  }

  // Each part has its own sum; they are added in the order of the parts.
  const int64_t size = g.y_channels() * g.kernel_count() * g.c, count = static_cast<int64_t>(parts.size());
  const bool direct = count == 1 && dtype == DType::float32;
  float* sums = direct ? static_cast<float*>(to) : scratch.take<float>(size * count);
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    const OneThread alone;
    for (int64_t i = begin; i < end; ++i) {
      const Part& part = parts[static_cast<size_t>(i)];
      const Primitive& p = *primitives[part.primitive];
      Scratch own;
      float* sum = sums + i * size;
      void* laid = p.reorders ? own.take<char>(static_cast<int64_t>(p.w.get_size())) : static_cast<void*>(sum);
      execute(p, {{DNNL_ARG_SRC, at(p.x, element(a, part.x))},
                  {DNNL_ARG_DIFF_WEIGHTS, at(p.w, laid)},
                  {DNNL_ARG_DIFF_DST, at(p.y, element(b, part.y))}});
      if (p.reorders) p.reorder.execute(stream(), {{DNNL_ARG_FROM, at(p.w, laid)}, {DNNL_ARG_TO, at(p.plain, sum)}});
    }
  });
  if (direct) return true;
  parallel_for(size, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t part = 1; part < count; ++part)
      for (int64_t i = begin; i < end; ++i) sums[i] += sums[part * size + i];
    if (dtype == DType::float32)
      std::copy(sums + begin, sums + end, static_cast<float*>(to) + begin);
    else
      for (int64_t i = begin; i < end; ++i) static_cast<bfloat16_t*>(to)[i] = bfloat16_t::from(sums[i]);
  });
  return true;
}

}  // namespace plait::cpu
