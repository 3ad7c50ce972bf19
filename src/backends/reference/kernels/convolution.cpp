// Convolutions as their definition says, one element of the result at a time.
#include "backends/convolution.h"

#include <complex>
#include <type_traits>

#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

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

template <class T>
void forward(const ConvGeometry& g, const T* x, const T* w, T* y) {
  using R = Number<T>;
  parallel_for(g.n * g.out_count(), grain(g.kernel_count() * g.c * g.y_channels()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* image = x + i / g.out_count() * g.in_count() * g.x_channels();
      const int64_t p = i % g.out_count();
      for (int64_t o = 0; o < g.y_channels(); ++o) {
        typename R::Sum sum = 0;
        for (int64_t k = 0; k < g.kernel_count(); ++k) {
          const int64_t at = g.input_at(p, k);
          if (at < 0) continue;
          const T* a = image + at * g.x_channels() + o / g.o * g.c;
          const T* b = w + (o * g.kernel_count() + k) * g.c;
          for (int64_t c = 0; c < g.c; ++c) sum += R::wide(a[c]) * R::wide(b[c]);
        }
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
      const int64_t q = i % g.in_count();
      for (int64_t c = 0; c < g.x_channels(); ++c) {
        const int64_t first = c / g.c * g.o;
        typename R::Sum sum = 0;
        for (int64_t k = 0; k < g.kernel_count(); ++k) {
          const int64_t at = g.output_at(q, k);
          if (at < 0) continue;
          const T* a = image + at * g.y_channels() + first;
          const T* b = w + (first * g.kernel_count() + k) * g.c + c % g.c;
          for (int64_t o = 0; o < g.o; ++o) sum += R::wide(a[o]) * R::wide(b[o * g.kernel_count() * g.c]);
        }
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
      const int64_t k = i % g.kernel_count();
      for (int64_t c = 0; c < g.c; ++c) {
        typename R::Sum sum = 0;
        for (int64_t n = 0; n < g.n; ++n)
          for (int64_t p = 0; p < g.out_count(); ++p) {
            const int64_t at = g.input_at(p, k);
            if (at < 0) continue;
            sum += R::wide(x[(n * g.in_count() + at) * g.x_channels() + o / g.o * g.c + c]) *
                   R::wide(y[(n * g.out_count() + p) * g.y_channels() + o]);
          }
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
