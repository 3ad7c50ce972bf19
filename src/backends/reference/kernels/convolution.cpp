// Convolutions as their definition says, one element of the result at a time.
#include <complex>
#include <type_traits>

#include "backends/convolution.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

using Extents = ConvGeometry::Extents;

constexpr int64_t kGrain = 1 << 14;  // multiplications handed out at once

int64_t grain(int64_t multiplications) { return multiplications >= kGrain ? 1 : kGrain / (multiplications + 1) + 1; }

template <class T>
struct Number {
  using Sum = double;
  static double wide(T v) { return static_cast<double>(v); }
  static T narrow(double v) { return static_cast<T>(v); }
};
template <class T>
  requires(std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
struct Number<T> {
  using Sum = float;
  static float wide(T v) { return static_cast<float>(v); }
  static T narrow(float v) { return T::from(v); }
};

template <class F>
void for_each(const Extents& extents, F&& f) {
  for (int64_t a = 0; a < extents[0]; ++a)
    for (int64_t b = 0; b < extents[1]; ++b)
      for (int64_t c = 0; c < extents[2]; ++c) f(Extents{a, b, c});
}
int64_t flat(const Extents& at, const Extents& extents) { return (at[0] * extents[1] + at[1]) * extents[2] + at[2]; }
Extents unflat(int64_t at, const Extents& extents) {
  return {at / (extents[1] * extents[2]), at / extents[2] % extents[1], at % extents[2]};
}

/// The position in x that output p sees through element k of the kernel; false outside.
bool input_at(const ConvGeometry& g, const Extents& p, const Extents& k, int64_t& at) {
  Extents q;
  for (int i = 0; i < 3; ++i) {
    q[i] = p[i] * g.stride[i] + k[i] * g.dilation[i] - g.padding[i];
    if (q[i] < 0 || q[i] >= g.in[i]) return false;
  }
  at = flat(q, g.in);
  return true;
}

/// The output that sees position q of x through element k of the kernel; false where there is none.
bool output_at(const ConvGeometry& g, const Extents& q, const Extents& k, int64_t& at) {
  Extents p;
  for (int i = 0; i < 3; ++i) {
    const int64_t from = q[i] + g.padding[i] - k[i] * g.dilation[i];
    if (from < 0 || from % g.stride[i] != 0 || from / g.stride[i] >= g.out[i]) return false;
    p[i] = from / g.stride[i];
  }
  at = flat(p, g.out);
  return true;
}

template <class T>
void forward(const ConvGeometry& g, const T* x, const T* w, T* y) {
  using R = Number<T>;
  parallel_for(g.n * g.out_count(), grain(g.kernel_count() * g.c * g.y_channels()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* image = x + i / g.out_count() * g.in_count() * g.x_channels();
      const Extents p = unflat(i % g.out_count(), g.out);
      for (int64_t o = 0; o < g.y_channels(); ++o) {
        typename R::Sum sum = 0;
        for_each(g.kernel, [&](const Extents& k) {
          int64_t at;
          if (!input_at(g, p, k, at)) return;
          const T* a = image + at * g.x_channels() + o / g.o * g.c;
          const T* b = w + (o * g.kernel_count() + flat(k, g.kernel)) * g.c;
          for (int64_t c = 0; c < g.c; ++c) sum += R::wide(a[c]) * R::wide(b[c]);
        });
        y[i * g.y_channels() + o] = R::narrow(sum);
      }
    }
  });
}

template <class T>
void input(const ConvGeometry& g, const T* y, const T* w, T* x) {
  using R = Number<T>;
  parallel_for(g.n * g.in_count(), grain(g.kernel_count() * g.o * g.x_channels()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* image = y + i / g.in_count() * g.out_count() * g.y_channels();
      const Extents q = unflat(i % g.in_count(), g.in);
      for (int64_t c = 0; c < g.x_channels(); ++c) {
        const int64_t first = c / g.c * g.o;
        typename R::Sum sum = 0;
        for_each(g.kernel, [&](const Extents& k) {
          int64_t at;
          if (!output_at(g, q, k, at)) return;
          const T* a = image + at * g.y_channels() + first;
          const T* b = w + (first * g.kernel_count() + flat(k, g.kernel)) * g.c + c % g.c;
          for (int64_t o = 0; o < g.o; ++o) sum += R::wide(a[o]) * R::wide(b[o * g.kernel_count() * g.c]);
        });
        x[i * g.x_channels() + c] = R::narrow(sum);
      }
    }
  });
}

template <class T>
void weight(const ConvGeometry& g, const T* x, const T* y, T* w) {
  using R = Number<T>;
  parallel_for(g.y_channels() * g.kernel_count(), grain(g.n * g.out_count() * g.c), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / g.kernel_count();
      const Extents k = unflat(i % g.kernel_count(), g.kernel);
      for (int64_t c = 0; c < g.c; ++c) {
        typename R::Sum sum = 0;
        for (int64_t n = 0; n < g.n; ++n)
          for_each(g.out, [&](const Extents& p) {
            int64_t at;
            if (!input_at(g, p, k, at)) return;
            sum += R::wide(x[(n * g.in_count() + at) * g.x_channels() + o / g.o * g.c + c]) *
                   R::wide(y[(n * g.out_count() + flat(p, g.out)) * g.y_channels() + o]);
          });
        w[i * g.c + c] = R::narrow(sum);
      }
    }
  });
}

template <class F>
void for_floats(DType dtype, F&& f) {
  dispatch(dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T> && !std::is_same_v<T, std::complex<float>>) f.template operator()<T>();
  });
}

void run_forward(const KernelArgs& args) {
  const TensorView &x = args.inputs[0], &w = args.inputs[1], &y = args.outputs[0];
  for_floats(y.dtype, [&]<class T>() { forward(ConvGeometry::of(args, x, w, y), x.as<T>(), w.as<T>(), y.as<T>()); });
}
void run_input(const KernelArgs& args) {
  const TensorView &y = args.inputs[0], &w = args.inputs[1], &x = args.outputs[0];
  for_floats(x.dtype, [&]<class T>() { input(ConvGeometry::of(args, x, w, y), y.as<T>(), w.as<T>(), x.as<T>()); });
}
void run_weight(const KernelArgs& args) {
  const TensorView &x = args.inputs[0], &y = args.inputs[1], &w = args.outputs[0];
  for_floats(w.dtype, [&]<class T>() { weight(ConvGeometry::of(args, x, w, y), x.as<T>(), y.as<T>(), w.as<T>()); });
}

}  // namespace

void register_reference_kernels_convolution(KernelTable& table) {
  table.add("convolution", Backend::reference, {.run = run_forward});
  table.add("convolution_input", Backend::reference, {.run = run_input});
  table.add("convolution_weight", Backend::reference, {.run = run_weight});
}

}  // namespace plait
