#include "backends/cuda/kernels/convolution_plain.h"
#include "backends/cuda/kernels/kernel_case.h"
#include "backends/cuda/kernels/matmul_plain.h"

namespace plait::cuda_test {
namespace {

std::complex<double> at(const Tensor& t, int64_t i) {
  return dispatch(t.dtype, [&]<class T>() { return number(reinterpret_cast<const T*>(t.bytes.data())[t.offset + i]); });
}

double rounding(DType d) {
  switch (d) {
    case DType::float16: return 1e-3;
    case DType::bfloat16: return 8e-3;
    case DType::float64: return 1e-14;
    default: return 1e-6;
  }
}

// Each element against a sum in double: a float32 product that went through TF32 would be a thousand times further off.
void expect_product(const Tensor& a, const Tensor& b) {
  const Attrs attrs("matmul", {});
  const Tensor out = on_device("matmul", attrs, {a, b});
  const size_t rank = out.shape.size();
  const int64_t m = out.shape[rank - 2], n = out.shape[rank - 1], k = a.shape[rank - 1];
  const int64_t count = out.stored();
  double worst = 0;
  for (int64_t i = 0; i < count; i += count > 20000 ? 97 : 1) {
    int64_t rest = i / n / m, at_a = i / n % m * a.strides[rank - 2], at_b = i % n * b.strides[rank - 1];
    for (size_t r = rank - 2; r-- > 0;) {
      at_a += rest % out.shape[r] * a.strides[r];
      at_b += rest % out.shape[r] * b.strides[r];
      rest /= out.shape[r];
    }
    std::complex<double> sum = 0;
    for (int64_t s = 0; s < k; ++s) {
      const auto x = at(a, at_a + s * a.strides[rank - 1]), y = at(b, at_b + s * b.strides[rank - 2]);
      sum += x * y;
    }
    worst = std::max(worst, std::abs(at(out, i) - sum) / (std::abs(sum) + std::sqrt(static_cast<double>(k) + 1) * 0.3));
  }
  EXPECT_LE(worst, 8 * rounding(a.dtype))
      << describe("matmul", {}, {a, b}) << " a strides " << ::testing::PrintToString(a.strides) << " b strides "
      << ::testing::PrintToString(b.strides);
}

Tensor turned(Tensor t) {
  const size_t rank = t.shape.size();
  std::swap(t.shape[rank - 2], t.shape[rank - 1]);
  std::swap(t.strides[rank - 2], t.strides[rank - 1]);
  return t;
}

TEST(CudaKernels, Matmul) {
  PLAIT_NEEDS_GPU();
  struct Size {
    int64_t m, k, n;
  };
  for (DType d : kInexact)
    for (const Size s : {Size{1, 1, 1},
                         {3, 5, 7},
                         {1, 64, 33},
                         {40, 17, 1},
                         {1, 300, 1},
                         {128, 256, 64},
                         {65, 129, 33},
                         {4, 0, 5},
                         {0, 3, 2},
                         {2, 3, 0},
                         {7, 1, 9},
                         {1, 264, 64},  // rows and columns that have a kernel of their own
                         {1, 1032, 300},
                         {1, 48, 2000},
                         {700, 2056, 1},
                         {513, 700, 255}}) {
      const Tensor a = any(d, {s.m, s.k}), b = any(d, {s.k, s.n});
      expect_product(a, b);
      expect_product(turned(any(d, {s.k, s.m})), b);
      expect_product(a, turned(any(d, {s.n, s.k})));
      expect_product(turned(any(d, {s.k, s.m})), turned(any(d, {s.n, s.k})));
    }
}

TEST(CudaKernels, MatmulOfBatchesAndStrides) {
  PLAIT_NEEDS_GPU();
  for (DType d : kInexact) {
    expect_product(any(d, {6, 8, 16}), any(d, {6, 16, 4}));
    expect_product(any(d, {2, 3, 9, 5}), any(d, {2, 3, 5, 6}));
    Tensor one = any(d, {1, 16, 4});
    one.shape[0] = 6;
    one.strides[0] = 0;
    expect_product(any(d, {6, 8, 16}), one);
    Tensor some = any(d, {5, 1, 4, 8});  // (5, 3, 4, 8), repeated along the second axis
    some.shape[1] = 3;
    some.strides[1] = 0;
    expect_product(some, turned(any(d, {5, 3, 6, 8})));
    expect_product(any(d, {3, 1, 64}), turned(any(d, {3, 100, 64})));
    expect_product(any(d, {3, 100, 64}), turned(any(d, {3, 1, 64})));
    Tensor same = turned(any(d, {1, 100, 64}));
    same.shape[0] = 3;
    same.strides[0] = 0;
    expect_product(any(d, {3, 1, 64}), same);
    Tensor spaced = any(d, {200, 80});  // every other row, of which a part
    spaced.shape = {100, 64};
    spaced.strides = {160, 1};
    expect_product(any(d, {1, 64}), turned(spaced));
    expect_product(spaced, turned(any(d, {1, 64})));
    Tensor wide = any(d, {32, 48});  // every other column, and rows further apart than they are long
    wide.shape = {32, 16};
    expect_product(wide, any(d, {16, 8}));
    wide.strides = {48, 3};
    expect_product(wide, any(d, {16, 8}));
    Tensor back = any(d, {16, 8});
    back.strides = {-8, 1};
    back.offset = 15 * 8;
    expect_product(wide, back);
    Tensor row = any(d, {1, 16});  // the same row again and again
    row.shape[0] = 9;
    row.strides[0] = 0;
    expect_product(row, any(d, {16, 8}));
    Tensor odd = any(d, {33, 17});
    odd.offset = 1;
    odd.shape = {31, 17};
    expect_product(odd, any(d, {17, 8}));
    // Batches that no stride joins, more than are multiplied one by one.
    Tensor cut = any(d, {9, 10, 3, 4});
    cut.shape = {9, 9, 3, 4};
    Tensor swapped = any(d, {9, 9, 4, 2});
    std::swap(swapped.strides[0], swapped.strides[1]);
    expect_product(cut, swapped);
    expect_product(any(d, {40000, 2, 3}), any(d, {40000, 3, 2}));
  }
}

TEST(CudaKernels, Addmm) {
  PLAIT_NEEDS_GPU();
  struct Size {
    int64_t m, k, n;
  };
  for (DType d : kInexact)
    for (const Size s : {Size{1, 1, 1},
                         {3, 5, 7},
                         {1, 64, 32},
                         {128, 256, 64},
                         {65, 129, 33},
                         {40, 17, 1},
                         {1, 256, 80},
                         {90, 64, 1},
                         {4, 0, 5},
                         {0, 3, 2}}) {
      const Tensor a = any(d, {s.m, s.k}), b = any(d, {s.k, s.n});
      const double tolerance = 50 * rounding(d);
      const auto repeated = [&](Tensor c) {
        for (size_t i = 0; i < 2; ++i)
          if (c.shape[i] == 1) c.strides[i] = 0;
        c.shape = {s.m, s.n};
        return c;
      };
      const Tensor row = repeated(any(d, {1, s.n}));
      expect_same("addmm", {}, {row, a, b}, tolerance);
      expect_same("addmm", {}, {row, a, turned(any(d, {s.n, s.k}))}, tolerance);
      expect_same("addmm", {}, {any(d, {s.m, s.n}), a, b}, tolerance);
      expect_same("addmm", {}, {turned(any(d, {s.n, s.m})), a, b}, tolerance);
      expect_same("addmm", {}, {repeated(any(d, {s.m, 1})), a, b}, tolerance);
      Tensor shifted = any(d, {2, s.n + 1});  // a row that begins anywhere
      shifted.offset = s.n + 2;
      shifted.strides = {0, 1};
      shifted.shape = {s.m, s.n};
      expect_same("addmm", {}, {shifted, a, b}, tolerance);
      Tensor wide = any(d, {s.m, s.n + 3});  // rows further apart than they are long
      wide.shape = {s.m, s.n};
      expect_same("addmm", {}, {wide, a, b}, tolerance);
    }
}

TEST(CudaKernels, PlainMatmul) {
  PLAIT_NEEDS_GPU();
  for (DType d : kInexact) {
    const Tensor a = any(d, {3, 19, 40}), b = any(d, {3, 40, 21});
    Device device;
    Tensor out = Tensor::empty(d, {3, 19, 21});
    void* to = device.put(out);
    cuda::Product p{.dtype = d,
                    .m = 19,
                    .n = 21,
                    .k = 40,
                    .batch = 3,
                    .a = {static_cast<const char*>(device.put(a)), 40, 1, 760},
                    .b = {static_cast<const char*>(device.put(b)), 21, 1, 840},
                    .c = {},
                    .out = static_cast<char*>(to),
                    .out_batch = 399};
    cuda::matmul_plain(cuda::Work(device.queue()), p);
    device.get(out, to);
    const Tensor expected = on_cpu("matmul", Attrs("matmul", {}), {a, b});
    EXPECT_LE(difference(out, expected), 8 * rounding(d)) << name_of(d);
    Tensor zero = Tensor::empty(d, {1, 21});
    std::memset(zero.bytes.data(), 0, zero.bytes.size());
    Tensor plus = Tensor::empty(d, out.shape);
    p.out = static_cast<char*>(device.put(plus));
    p.c = {static_cast<const char*>(device.put(zero)), 0, 1, 0};
    cuda::matmul_plain(cuda::Work(device.queue()), p);
    device.get(plus, p.out);
    EXPECT_EQ(difference(plus, out), 0) << name_of(d);
  }
}

struct Conv {
  Extents in, kernel, out;
  std::vector<int64_t> stride, dilation, padding;
  int64_t n, groups, c, o;
};

std::vector<Attr> attrs_of(const Conv& g, const Extents& extents) {
  const auto shape = [](const Extents& e) { return Shape(std::span<const int64_t>(e)); };
  return {{"stride", g.stride},
          {"dilation", g.dilation},
          {"padding", shape(g.padding)},
          {"extents", shape(extents)},
          {"groups", Dim(g.groups)}};
}

Extents joined(int64_t first, Extents middle, int64_t last) {
  middle.insert(middle.begin(), first);
  middle.push_back(last);
  return middle;
}

std::vector<Conv> convolutions() {
  return {
      {{8, 9}, {3, 3}, {8, 9}, {1, 1}, {1, 1}, {1, 1}, 2, 1, 8, 16},  // one that keeps the extents
      {{8, 9}, {3, 2}, {3, 4}, {2, 2}, {1, 1}, {0, 0}, 2, 1, 5, 7},  // odd channels, strides
      {{12, 12}, {3, 3}, {8, 8}, {1, 1}, {2, 2}, {0, 0}, 1, 2, 4, 8},  // dilation, groups
      {{7, 7}, {3, 3}, {7, 7}, {1, 1}, {1, 1}, {1, 1}, 2, 6, 1, 1},  // a channel each
      {{7, 7}, {3, 3}, {7, 7}, {1, 1}, {1, 1}, {2, 0}, 2, 1, 3, 4},  // other zeros before than behind
      {{7, 7}, {2, 2}, {4, 5}, {1, 1}, {1, 1}, {-2, -1}, 2, 1, 3, 4},  // a cut input
      {{20}, {5}, {10}, {2}, {1}, {2}, 3, 1, 4, 6},
      {{4, 5, 6}, {2, 3, 2}, {4, 5, 6}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 2, 1, 3, 4},
      {{5, 5, 5}, {2, 2, 2}, {4, 4, 4}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, 1, 1, 8, 8},
      {{16, 16}, {1, 1}, {16, 16}, {1, 1}, {1, 1}, {0, 0}, 4, 1, 32, 64},
      {{3, 3}, {3, 3}, {0, 0}, {1, 1}, {1, 1}, {0, 0}, 2, 1, 3, 4},
      {{3, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, 0, 1, 3, 4},
      {{6, 6}, {3, 3}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 2, 1, 64, 64},
  };
}

const std::vector<DType> kFloats =
    types({DType::float16, DType::bfloat16, DType::float32, DType::float64}, {DType::bfloat16, DType::float32});

TEST(CudaKernels, Convolution) {
  PLAIT_NEEDS_GPU();
  for (const Conv& g : convolutions())
    for (DType d : kFloats) {
      const Tensor x = any(d, joined(g.n, g.in, g.groups * g.c)), y = any(d, joined(g.n, g.out, g.groups * g.o));
      const Tensor w = any(d, joined(g.groups * g.o, g.kernel, g.c));
      const double tolerance = 40 * rounding(d);
      expect_same("convolution", attrs_of(g, g.out), {x, w}, tolerance);
      expect_same("convolution_input", attrs_of(g, g.in), {y, w}, tolerance);
      expect_same("convolution_weight", attrs_of(g, g.kernel), {x, y}, tolerance);
    }
}

TEST(CudaKernels, PlainConvolution) {
  PLAIT_NEEDS_GPU();
  for (const Conv& c : convolutions())
    for (DType d : kFloats) {
      if (c.n == 0 || c.out[0] == 0) continue;
      const Tensor x = any(d, joined(c.n, c.in, c.groups * c.c)), y = any(d, joined(c.n, c.out, c.groups * c.o));
      const Tensor w = any(d, joined(c.groups * c.o, c.kernel, c.c));
      const auto check = [&](cuda::ConvKind kind, const char* op, const Extents& extents, const Tensor& a,
                             const Tensor& b, const Tensor& like) {
        const Attrs attrs(op, attrs_of(c, extents));
        Device device;
        Tensor out = Tensor::empty(d, like.shape);
        void* to = device.put(out);
        const TensorView views[] = {x.view(nullptr), w.view(nullptr), y.view(nullptr)};
        const ConvGeometry g = ConvGeometry::of({.op = op, .inputs = {}, .outputs = {}, .attrs = attrs.view()},
                                                views[0], views[1], views[2]);
        cuda::convolution_plain(cuda::Work(device.queue()), kind, g, d, device.put(a), device.put(b), to);
        device.get(out, to);
        EXPECT_LE(difference(out, on_cpu(op, attrs, {a, b})), 20 * rounding(d)) << op << " " << name_of(d);
      };
      check(cuda::ConvKind::forward, "convolution", c.out, x, w, y);
      check(cuda::ConvKind::input, "convolution_input", c.in, y, w, x);
      check(cuda::ConvKind::weight, "convolution_weight", c.kernel, x, y, w);
    }
}

}  // namespace
}  // namespace plait::cuda_test
