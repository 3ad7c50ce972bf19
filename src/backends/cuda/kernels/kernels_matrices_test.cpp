// Factorizations on the device by what they mean: products that give the matrix back, computed here in double.
#include "backends/cuda/kernels/kernel_case.h"

namespace plait::cuda_test {
namespace {

using Complex = std::complex<double>;

const std::vector<DType> kSolved{DType::float32, DType::float64, DType::complex64};

double rounding(DType d) { return d == DType::float64 ? 1e-12 : 3e-4; }

/// One matrix of a batch.
struct Dense {
  int64_t rows = 0, columns = 0;
  std::vector<Complex> x;

  Dense(int64_t rows, int64_t columns) : rows(rows), columns(columns), x(static_cast<size_t>(rows * columns)) {}
  Complex& operator()(int64_t i, int64_t j) { return x[static_cast<size_t>(i * columns + j)]; }
  Complex operator()(int64_t i, int64_t j) const { return x[static_cast<size_t>(i * columns + j)]; }
};

Dense matrix(const Tensor& t, int64_t i) {
  const size_t rank = t.shape.size();
  Dense m(t.shape[rank - 2], t.shape[rank - 1]);
  dispatch(t.dtype, [&]<class T>() {
    const auto* from = reinterpret_cast<const T*>(t.bytes.data()) + i * m.rows * m.columns;
    for (size_t k = 0; k < m.x.size(); ++k) m.x[k] = number(from[k]);
  });
  return m;
}

/// Row i of the last axis as a diagonal matrix.
Dense diagonal(const Tensor& t, int64_t i) {
  const int64_t n = t.shape.back();
  Dense m(n, n);
  dispatch(t.dtype, [&]<class T>() {
    for (int64_t k = 0; k < n; ++k) m(k, k) = number(reinterpret_cast<const T*>(t.bytes.data())[i * n + k]);
  });
  return m;
}

Dense operator*(const Dense& a, const Dense& b) {
  Dense out(a.rows, b.columns);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t k = 0; k < a.columns; ++k)
      for (int64_t j = 0; j < b.columns; ++j) out(i, j) += a(i, k) * b(k, j);
  return out;
}

Dense adjoint(const Dense& a) {
  Dense out(a.columns, a.rows);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < a.columns; ++j) out(j, i) = std::conj(a(i, j));
  return out;
}

Dense identity(int64_t n) {
  Dense out(n, n);
  for (int64_t i = 0; i < n; ++i) out(i, i) = 1;
  return out;
}

void expect_near(const Dense& a, const Dense& b, DType dtype, const std::string& about) {
  ASSERT_EQ(a.rows, b.rows) << about;
  ASSERT_EQ(a.columns, b.columns) << about;
  double far = 0, size = 1;
  for (size_t i = 0; i < a.x.size(); ++i) {
    far = std::isnan(std::abs(a.x[i] - b.x[i])) ? HUGE_VAL : std::max(far, std::abs(a.x[i] - b.x[i]));
    size = std::max(size, std::abs(b.x[i]));
  }
  EXPECT_LE(far, rounding(dtype) * size) << about;
}

void expect_orthonormal(const Dense& q, DType dtype, const std::string& about) {
  expect_near(adjoint(q) * q, identity(q.columns), dtype, about);
}

bool has_nan(const Tensor& t, int64_t begin, int64_t end) {
  bool found = false;
  dispatch(t.dtype, [&]<class T>() {
    for (int64_t i = begin; i < end; ++i)
      found = found || std::isnan(std::abs(number(reinterpret_cast<const T*>(t.bytes.data())[i])));
  });
  return found;
}

/// All outputs of one call.
std::vector<Tensor> factors(const std::string& op, const std::vector<Attr>& given, const std::vector<Tensor>& inputs,
                            memory::PositionNote* noted = nullptr) {
  const Attrs attrs(op, given);
  const Kernel& kernel = *cuda_kernel(op);
  Device device;
  std::vector<Aval> in;
  for (const Tensor& t : inputs) in.push_back({Shape(std::span<const int64_t>(t.shape)), t.dtype});
  std::vector<Tensor> out;
  std::vector<TensorView> in_views, out_views;
  for (const Aval& aval : attrs.def().infer(attrs.base(), in)) {
    out.push_back(Tensor::empty(aval.dtype, aval.shape.values()));
    std::memset(out.back().bytes.data(), 0x5A, out.back().bytes.size());
    out_views.push_back(out.back().view(device.put(out.back())));
  }
  for (const Tensor& t : inputs) in_views.push_back(t.view(device.put(t)));
  static auto* const note =
      static_cast<memory::PositionNote*>(cuda_memory().allocate_shared(sizeof(memory::PositionNote)));
  *note = {};
  const KernelArgs args{.op = op,
                        .inputs = in_views,
                        .outputs = out_views,
                        .attrs = attrs.view(),
                        .queue = device.queue(),
                        .note = kernel.checks_matrices ? note : nullptr};
  EXPECT_TRUE(!kernel.takes || kernel.takes(args)) << op;
  kernel.run(args);
  for (size_t i = 0; i < out.size(); ++i) device.get(out[i], out_views[i].data);
  if (noted)
    *noted = *note;
  else
    EXPECT_EQ(note->op, nullptr) << op;
  return out;
}

/// Makes each (n, n) matrix of the batch Hermitian and adds `more` to the diagonal.
Tensor hermitian(DType dtype, Extents shape, double more) {
  Tensor t = any(dtype, std::move(shape));
  const int64_t n = t.shape.back();
  dispatch(dtype, [&]<class T>() {
    auto* x = reinterpret_cast<T*>(t.bytes.data());
    for (int64_t b = 0; b < t.stored() / (n * n); ++b, x += n * n)
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = i + 1; j < n; ++j) {
          const Complex upper = std::conj(number(x[j * n + i]));
          x[i * n + j] = element<T>(upper.real(), upper.imag());
        }
        x[i * n + i] = element<T>(number(x[i * n + i]).real() + more, 0);
      }
  });
  return t;
}

void set(Tensor& t, int64_t i, double value) {
  dispatch(t.dtype, [&]<class T>() { reinterpret_cast<T*>(t.bytes.data())[i] = element<T>(value, 0); });
}

int64_t batch_of(const Tensor& t) {
  return t.stored() / std::max<int64_t>(1, t.shape[t.shape.size() - 1] * t.shape[t.shape.size() - 2]);
}

TEST(CudaKernels, Cholesky) {
  PLAIT_NEEDS_GPU();
  for (DType d : {DType::float32, DType::float64})
    for (const Extents& shape :
         {Extents{1, 1}, {5, 5}, {3, 17, 17}, {2, 2, 100, 100}, {2, 300, 300}, {70'000, 2, 2}, {0, 4, 4}}) {
      const Tensor a = hermitian(d, shape, 3.0 * static_cast<double>(shape.back()));
      const Tensor l = factors("cholesky", {}, {a})[0];
      for (int64_t i = 0; i < batch_of(a); ++i) {
        const Dense one = matrix(l, i);
        expect_near(one * adjoint(one), matrix(a, i), d, describe("cholesky", {}, {a}));
        for (int64_t r = 0; r < one.rows; ++r)
          for (int64_t c = r + 1; c < one.columns; ++c) EXPECT_EQ(one(r, c), 0.0);
      }
    }
}

TEST(CudaKernels, CholeskyOfWhatIsNotDefinite) {
  PLAIT_NEEDS_GPU();
  Tensor a = hermitian(DType::float32, {4, 3, 3}, 10);
  set(a, 2 * 9 + 4, -1);
  memory::PositionNote noted;
  factors("cholesky", {}, {a}, &noted);
  ASSERT_NE(noted.op, nullptr);
  EXPECT_EQ(std::string(noted.op), "cholesky");
  EXPECT_EQ(noted.given, 2);  // the leading minor's order
  EXPECT_EQ(noted.n, 2);
  EXPECT_EQ(noted.matrices, 4);
}

TEST(CudaKernels, MatricesThatAreNotFinite) {
  PLAIT_NEEDS_GPU();
  for (const char* op : {"cholesky", "lu_factor", "qr", "eigh", "svd", "orthonormal_complement"}) {
    const bool part = std::string_view(op) == "orthonormal_complement";
    for (const double special : {std::nan(""), HUGE_VAL}) {
      Tensor a = part ? any(DType::float32, {3, 4, 2}) : hermitian(DType::float32, {3, 4, 4}, 12);
      const int64_t size = a.stored() / 3;
      set(a, size + 2, 0.5);
      set(a, size + (part ? 2 : 8), special);
      for (const Tensor& out : factors(op, {}, {a})) {
        if (!is_inexact(out.dtype)) continue;
        const int64_t step = out.stored() / 3;
        EXPECT_FALSE(has_nan(out, 0, step)) << op;
        EXPECT_TRUE(has_nan(out, step, 2 * step)) << op;
        EXPECT_FALSE(has_nan(out, 2 * step, 3 * step)) << op;
      }
    }
  }
}

// Beyond 256 rows each matrix is factored by a call of its own.
const std::vector<Extents> kShapes{{1, 1},   {5, 5},        {3, 17, 17}, {2, 9, 4}, {2, 4, 9},
                                   {80, 33}, {2, 300, 300}, {0, 4, 4},   {3, 0}};

TEST(CudaKernels, Lu) {
  PLAIT_NEEDS_GPU();
  for (DType d : kSolved)
    for (const Extents& shape : kShapes) {
      const Tensor a = any(d, shape);
      const std::vector<Tensor> out = factors("lu_factor", {}, {a});
      const int64_t m = shape[shape.size() - 2], n = shape.back(), k = std::min(m, n);
      const auto* order = reinterpret_cast<const uint32_t*>(out[2].bytes.data());
      const auto* pivots = reinterpret_cast<const uint32_t*>(out[1].bytes.data());
      for (int64_t i = 0; i < m && k == 0; ++i) EXPECT_EQ(order[i], i);
      for (int64_t b = 0; b < batch_of(a) && k > 0; ++b) {
        const Dense packed = matrix(out[0], b), whole = matrix(a, b);
        Dense l(m, k), u(k, n), moved(m, n);
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            if (j < k) l(i, j) = j < i ? packed(i, j) : Complex(i == j);
            if (i < k && j >= i) u(i, j) = packed(i, j);
            moved(i, j) = whole(order[b * m + i], j);
          }
        expect_near(l * u, moved, d, describe("lu_factor", {}, {a}));
        for (int64_t i = 0; i < k; ++i) EXPECT_TRUE(pivots[b * k + i] >= i && pivots[b * k + i] < m);
      }
    }
}

TEST(CudaKernels, Qr) {
  PLAIT_NEEDS_GPU();
  for (DType d : {DType::float32, DType::float64})
    for (const Extents& shape : kShapes) {
      if (shape[shape.size() - 2] < shape.back()) continue;
      const Tensor a = any(d, shape);
      const std::vector<Tensor> out = factors("qr", {}, {a});
      for (int64_t b = 0; b < batch_of(a) && a.stored() > 0; ++b) {
        const Dense q = matrix(out[0], b), r = matrix(out[1], b);
        expect_near(q * r, matrix(a, b), d, describe("qr", {}, {a}));
        expect_orthonormal(q, d, describe("qr", {}, {a}));
        for (int64_t i = 0; i < r.rows; ++i)
          for (int64_t j = 0; j < i; ++j) EXPECT_EQ(r(i, j), 0.0);
      }
    }
}

TEST(CudaKernels, OrthonormalComplement) {
  PLAIT_NEEDS_GPU();
  for (DType d : kSolved)
    for (const Extents& shape : {Extents{5, 2}, {3, 17, 16}, {2, 40, 1}}) {
      Tensor a = any(d, shape);
      // Any columns that span the same will do for the test; the op is given orthonormal ones.
      const std::vector<Tensor> svd = factors("svd", {}, {a});
      const Tensor rest = factors("orthonormal_complement", {}, {svd[0]})[0];
      for (int64_t b = 0; b < batch_of(a); ++b) {
        const Dense q = matrix(svd[0], b), p = matrix(rest, b);
        expect_orthonormal(p, d, describe("orthonormal_complement", {}, {a}));
        expect_near(adjoint(q) * p, Dense(q.columns, p.columns), d, describe("orthonormal_complement", {}, {a}));
      }
    }
  const Tensor all = factors("orthonormal_complement", {}, {any(DType::float32, {2, 3, 0})})[0];
  for (int64_t b = 0; b < 2; ++b) expect_near(matrix(all, b), identity(3), DType::float64, "all of a basis");
}

TEST(CudaKernels, Eigh) {
  PLAIT_NEEDS_GPU();
  for (DType d : kSolved)
    for (const Extents& shape : {Extents{1, 1}, {5, 5}, {3, 17, 17}, {2, 2, 60, 60}, {300, 6, 6}, {0, 4, 4}}) {
      const Tensor a = hermitian(d, shape, 0);
      const std::vector<Tensor> out = factors("eigh", {}, {a});
      const Tensor alone = factors("eigh", {{"vectors", false}}, {a})[0];
      for (int64_t b = 0; b < batch_of(a); ++b) {
        const Dense w = diagonal(out[0], b), v = matrix(out[1], b);
        expect_near(v * w * adjoint(v), matrix(a, b), d, describe("eigh", {}, {a}));
        expect_orthonormal(v, d, describe("eigh", {}, {a}));
        expect_near(diagonal(alone, b), w, d, "eigenvalues alone");
        for (int64_t i = 1; i < w.rows; ++i) EXPECT_LE(w(i - 1, i - 1).real(), w(i, i).real());
      }
    }
}

TEST(CudaKernels, Svd) {
  PLAIT_NEEDS_GPU();
  for (DType d : kSolved)
    for (const Extents& shape : kShapes) {
      const Tensor a = any(d, shape);
      const std::vector<Tensor> out = factors("svd", {}, {a});
      const Tensor alone = factors("svd", {{"vectors", false}}, {a})[0];
      for (int64_t b = 0; b < batch_of(a) && a.stored() > 0; ++b) {
        const Dense u = matrix(out[0], b), s = diagonal(out[1], b), vh = matrix(out[2], b);
        expect_near(u * s * vh, matrix(a, b), d, describe("svd", {}, {a}));
        expect_orthonormal(u, d, describe("svd", {}, {a}));
        expect_orthonormal(adjoint(vh), d, describe("svd", {}, {a}));
        expect_near(diagonal(alone, b), s, d, "singular values alone");
        for (int64_t i = 1; i < s.rows; ++i) EXPECT_GE(s(i - 1, i - 1).real(), s(i, i).real());
      }
    }
}

TEST(CudaKernels, TriangularSolve) {
  PLAIT_NEEDS_GPU();
  for (DType d : kSolved)
    for (const Extents& batch : {Extents{}, {3}, {2, 2}, {0}})
      for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {40, 1}, {33, 70}, {270, 2}})
        for (int settings = 0; settings < 8; ++settings) {
          const bool upper = settings & 1, transpose = settings & 2, unit = settings & 4;
          Extents of_a = batch, of_b = batch;
          for (const int64_t e : {n, n}) of_a.push_back(e);
          for (const int64_t e : {n, k}) of_b.push_back(e);
          const Tensor a = hermitian(d, of_a, 4.0 * static_cast<double>(n)), b = any(d, of_b);
          const std::vector<Attr> attrs{{"upper", upper}, {"transpose", transpose}, {"unit", unit}};
          Tensor scaled = a;
          if (unit)  // small enough beside ones on the diagonal
            dispatch(d, [&]<class T>() {
              auto* x = reinterpret_cast<T*>(scaled.bytes.data());
              for (int64_t i = 0; i < scaled.stored(); ++i) {
                const Complex small = number(x[i]) / (8.0 * static_cast<double>(n));
                x[i] = element<T>(small.real(), small.imag());
              }
            });
          const Tensor x = factors("triangular_solve", attrs, {scaled, b})[0];
          for (int64_t i = 0; i < batch_of(b); ++i) {
            const Dense whole = matrix(scaled, i);
            Dense part(n, n);
            for (int64_t r = 0; r < n; ++r)
              for (int64_t c = 0; c < n; ++c) {
                const Complex value = r == c && unit ? 1.0 : (upper ? c >= r : c <= r) ? whole(r, c) : 0.0;
                (transpose ? part(c, r) : part(r, c)) = value;
              }
            expect_near(part * matrix(x, i), matrix(b, i), d, describe("triangular_solve", attrs, {scaled, b}));
          }
        }
}

TEST(CudaKernels, TriangularSolveOfSingularMatrices) {
  PLAIT_NEEDS_GPU();
  Tensor a = hermitian(DType::float64, {3, 4, 4}, 10);
  set(a, 16 + 15, 0);
  memory::PositionNote noted;
  factors("triangular_solve", {}, {a, any(DType::float64, {3, 4, 2})}, &noted);
  ASSERT_NE(noted.op, nullptr);
  EXPECT_EQ(noted.given, 4);  // the last element of the diagonal
  EXPECT_EQ(noted.n, 1);
  EXPECT_EQ(noted.matrices, 3);
  factors("triangular_solve", {{"unit", true}}, {a, any(DType::float64, {3, 4, 2})});  // nothing is noted
}

}  // namespace
}  // namespace plait::cuda_test
