#include "backends/cuda/kernels/convolution_plain.h"
#include "backends/cuda/kernels/element.cuh"

namespace plait::cuda {
namespace {

struct Point {
  int64_t at[3];
};
__host__ __device__ int64_t count(const Point& e) { return e.at[0] * e.at[1] * e.at[2]; }
__device__ Point split(int64_t i, const Point& e) {
  return {{i / (e.at[1] * e.at[2]), i / e.at[2] % e.at[1], i % e.at[2]}};
}
Point point(const ConvGeometry::Extents& e) { return {{e[0], e[1], e[2]}}; }

/// ConvGeometry for device code.
struct Geometry {
  int64_t n, groups, c, o;
  Point in, kernel, out, stride, dilation, padding;

  explicit Geometry(const ConvGeometry& g)
      : n(g.n),
        groups(g.groups),
        c(g.c),
        o(g.o),
        in(point(g.in)),
        kernel(point(g.kernel)),
        out(point(g.out)),
        stride(point(g.stride)),
        dilation(point(g.dilation)),
        padding(point(g.padding)) {}

  __device__ int64_t input_at(const Point& p, const Point& k) const {
    int64_t at = 0;
    for (int i = 0; i < 3; ++i) {
      const int64_t q = p.at[i] * stride.at[i] + k.at[i] * dilation.at[i] - padding.at[i];
      if (q < 0 || q >= in.at[i]) return -1;
      at = at * in.at[i] + q;
    }
    return at;
  }
  __device__ int64_t output_at(const Point& q, const Point& k) const {
    int64_t at = 0;
    for (int i = 0; i < 3; ++i) {
      const int64_t from = q.at[i] + padding.at[i] - k.at[i] * dilation.at[i];
      if (from < 0 || from % stride.at[i] != 0 || from / stride.at[i] >= out.at[i]) return -1;
      at = at * out.at[i] + from / stride.at[i];
    }
    return at;
  }
};

/// What products are summed in, as the reference does.
template <class T>
using Sum = std::conditional_t<kIsHalf<T>, float, double>;

template <class T>
__device__ Sum<T> product(T a, T b) {
  return static_cast<Sum<T>>(widened(a)) * static_cast<Sum<T>>(widened(b));
}

template <class T>
__device__ Sum<T> forward(const Geometry& g, const T* x, const T* w, int64_t i) {
  const int64_t channels = g.groups * g.o, o = i % channels, p = i / channels % count(g.out),
                image = i / channels / count(g.out);
  const Point at_p = split(p, g.out);
  Sum<T> sum = 0;
  for (int64_t k = 0; k < count(g.kernel); ++k) {
    const int64_t at = g.input_at(at_p, split(k, g.kernel));
    if (at < 0) continue;
    const T* a = x + (image * count(g.in) + at) * g.groups * g.c + o / g.o * g.c;
    const T* b = w + (o * count(g.kernel) + k) * g.c;
    for (int64_t c = 0; c < g.c; ++c) sum += product(a[c], b[c]);
  }
  return sum;
}

template <class T>
__device__ Sum<T> input(const Geometry& g, const T* y, const T* w, int64_t i) {
  const int64_t channels = g.groups * g.c, c = i % channels, q = i / channels % count(g.in),
                image = i / channels / count(g.in);
  const int64_t first = c / g.c * g.o;
  const Point at_q = split(q, g.in);
  Sum<T> sum = 0;
  for (int64_t k = 0; k < count(g.kernel); ++k) {
    const int64_t at = g.output_at(at_q, split(k, g.kernel));
    if (at < 0) continue;
    const T* a = y + (image * count(g.out) + at) * g.groups * g.o + first;
    const T* b = w + (first * count(g.kernel) + k) * g.c + c % g.c;
    for (int64_t o = 0; o < g.o; ++o) sum += product(a[o], b[o * count(g.kernel) * g.c]);
  }
  return sum;
}

template <class T>
__device__ Sum<T> weight(const Geometry& g, const T* x, const T* y, int64_t i) {
  const int64_t c = i % g.c, k = i / g.c % count(g.kernel), o = i / g.c / count(g.kernel);
  const Point at_k = split(k, g.kernel);
  Sum<T> sum = 0;
  for (int64_t image = 0; image < g.n; ++image)
    for (int64_t p = 0; p < count(g.out); ++p) {
      const int64_t at = g.input_at(split(p, g.out), at_k);
      if (at < 0) continue;
      sum += product(x[(image * count(g.in) + at) * g.groups * g.c + o / g.o * g.c + c],
                     y[(image * count(g.out) + p) * g.groups * g.o + o]);
    }
  return sum;
}

template <class T, ConvKind kKind>
__global__ void __launch_bounds__(kThreads) convolve(Geometry g, const T* a, const T* b, T* to, int64_t elements) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < elements; i += gridDim.x * int64_t{kThreads}) {
    Sum<T> sum;
    if constexpr (kKind == ConvKind::forward)
      sum = forward(g, a, b, i);
    else if constexpr (kKind == ConvKind::input)
      sum = input(g, a, b, i);
    else
      sum = weight(g, a, b, i);
    to[i] = narrowed<T>(static_cast<Wide<T>>(sum));
  }
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    window(Word* to, const Word* from, int64_t n, int64_t words, Point extents, Point from_extents, Point offset) {
  const int64_t all = n * count(extents) * words;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < all; i += gridDim.x * int64_t{kThreads}) {
    const int64_t pixel = i / words, image = pixel / count(extents);
    const Point p = split(pixel - image * count(extents), extents);
    int64_t at = image;
    bool inside = true;
    for (int k = 0; k < 3; ++k) {
      const int64_t q = p.at[k] + offset.at[k];
      inside = inside && q >= 0 && q < from_extents.at[k];
      at = at * from_extents.at[k] + q;
    }
    to[i] = inside ? from[at * words + i % words] : Word{};
  }
}

/// ConvGeometry of one group, in integers as short as the extents allow; `words` of each pixel, of which a thread copies `each`.
template <class Index>
struct PatchGeometry {
  Index words, each, in[3], kernel[3], out[3], stride[3], dilation[3], padding[3];

  PatchGeometry(const ConvGeometry& g, int64_t words_of_pixel)
      : words(static_cast<Index>(words_of_pixel)), each(words <= 4 ? words : 1) {
    const auto copy = [](Index(&to)[3], const ConvGeometry::Extents& e) {
      for (size_t i = 0; i < 3; ++i) to[i] = static_cast<Index>(e[i]);
    };
    copy(in, g.in), copy(kernel, g.kernel), copy(out, g.out);
    copy(stride, g.stride), copy(dilation, g.dilation), copy(padding, g.padding);
  }
};
template <class Word, class Index>
__global__ void __launch_bounds__(kThreads) patches(PatchGeometry<Index> g, Word* to, const Word* from, Index threads) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < threads; i += gridDim.x * int64_t{kThreads}) {
    Index rest = static_cast<Index>(i), at[3];
    const auto take = [&](Index extent) {
      const Index whole = rest / extent, index = rest - whole * extent;
      rest = whole;
      return index;
    };
    const Index word = g.each == g.words ? 0 : take(g.words);  // the first
    for (int k = 2; k >= 0; --k) at[k] = take(g.kernel[k]) * g.dilation[k] - g.padding[k];
    for (int k = 2; k >= 0; --k) at[k] += take(g.out[k]) * g.stride[k];
    bool inside = true;
    for (int k = 0; k < 3; ++k) {
      inside = inside && at[k] >= 0 && at[k] < g.in[k];
      rest = rest * g.in[k] + at[k];
    }
    for (Index k = 0; k < g.each; ++k) to[i * g.each + k] = inside ? from[rest * g.words + word + k] : Word{};
  }
}

/// Calls f.template operator()<Word>() with the widest word that divides `bytes` and is aligned in both places.
template <class F>
void dispatch_word(int64_t bytes, const void* to, const void* from, F&& f) {
  const auto addresses = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
  int word = 16;
  while (bytes % word != 0 || addresses % static_cast<uintptr_t>(word) != 0) word /= 2;
  if (word == 16)
    f.template operator()<uint4>();
  else
    dispatch_width(word, f);
}

template <class F>
void dispatch_floats(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float16: return f.template operator()<Half>();
    case DType::bfloat16: return f.template operator()<BHalf>();
    case DType::float64: return f.template operator()<double>();
    default: return f.template operator()<float>();
  }
}

}  // namespace

void convolution_plain(const Work& work, ConvKind kind, const ConvGeometry& g, DType dtype, const void* a,
                       const void* b, void* to) {
  dispatch_floats(dtype, [&]<class T>() {
    const auto launch = [&]<ConvKind kKind>(int64_t elements) {
      convolve<T, kKind><<<blocks_for(elements), kThreads, 0, work.stream()>>>(
          Geometry(g), static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(to), elements);
    };
    switch (kind) {
      case ConvKind::forward:
        return launch.template operator()<ConvKind::forward>(g.n * g.out_count() * g.y_channels());
      case ConvKind::input: return launch.template operator()<ConvKind::input>(g.n * g.in_count() * g.x_channels());
      case ConvKind::weight:
        return launch.template operator()<ConvKind::weight>(g.y_channels() * g.kernel_count() * g.c);
    }
  });
  work.launched("convolution");
}

void copy_window(const Work& work, int64_t n, int64_t bytes, void* to, const ConvGeometry::Extents& extents,
                 const void* from, const ConvGeometry::Extents& from_extents, const ConvGeometry::Extents& offset) {
  dispatch_word(bytes, to, from, [&]<class Word>() {
    const int64_t words = bytes / static_cast<int64_t>(sizeof(Word)), all = n * count(point(extents)) * words;
    window<<<blocks_for(all), kThreads, 0, work.stream()>>>(static_cast<Word*>(to), static_cast<const Word*>(from), n,
                                                            words, point(extents), point(from_extents), point(offset));
  });
  work.launched("padding of a convolution");
}

void copy_patches(const Work& work, const ConvGeometry& g, int64_t bytes, void* to, const void* x) {
  dispatch_word(g.c * bytes, to, x, [&]<class Word>() {
    const int64_t words = g.c * bytes / static_cast<int64_t>(sizeof(Word));
    const int64_t all = g.n * g.out_count() * g.kernel_count() * words;
    const auto launch = [&]<class Index>(Index) {
      const PatchGeometry<Index> geometry(g, words);
      const int64_t threads = all / geometry.each;
      patches<<<blocks_for(threads), kThreads, 0, work.stream()>>>(
          geometry, static_cast<Word*>(to), static_cast<const Word*>(x), static_cast<Index>(threads));
    };
    const auto reach = [&](size_t i) {
      return std::max(g.in[i], g.out[i] * g.stride[i]) + g.kernel[i] * g.dilation[i] + g.padding[i];
    };
    const int64_t most = std::max({all, g.n * g.in_count() * words, reach(0), reach(1), reach(2)});
    most <= INT32_MAX ? launch(int32_t{}) : launch(int64_t{});
  });
  work.launched("patches of a convolution");
}

}  // namespace plait::cuda
