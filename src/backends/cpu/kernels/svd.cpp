#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;
using cpu::lapack::kIsComplex;
using cpu::lapack::Real;

/// How much the routine works with: what it asks for, and at least what its documentation says, as the answer is a rounded number.
template <class T>
int work_size(int m, int n, bool vectors) {
  const int64_t less = std::min(m, n), more = std::max(m, n);
  const int64_t least = vectors ? 4 * less * less + 7 * less : 3 * less + std::max(more, 7 * less);
  const char* const jobz = vectors ? "S" : "N";
  const int ask = -1;
  const int k = static_cast<int>(less);
  int info = 0, integer = 0;
  T size(0), none(0);
  Real<T> real(0);
  if constexpr (kIsComplex<T>) {
    functions<T>().gesdd_complex(jobz, &n, &m, &none, &n, &real, &none, &n, &none, &k, &size, &ask, &real, &integer,
                                 &info, 1);
  } else {
    functions<T>().gesdd(jobz, &n, &m, &none, &n, &real, &none, &n, &none, &k, &size, &ask, &integer, &info, 1);
  }
  return cpu::lapack_int("svd", std::max(least, static_cast<int64_t>(std::abs(size))));
}

/// a (m, n) = u (m, k) diag(s) vh (k, n). Seen column by column a is its transpose, and what is its left factor there is the right one
/// here.
template <class T>
int decompose(const T* a, T* u, Real<T>* s, T* vh, int m, int n, int size_of_work) {
  const int64_t less = std::min(m, n), more = std::max(m, n), size = int64_t{m} * n;
  if (!cpu::all_finite(a, size)) {
    cpu::fill_nan(s, less);
    if (u) cpu::fill_nan(u, m * less);
    if (u) cpu::fill_nan(vh, less * n);
    return 0;
  }
  cpu::Room room;
  T* const copy = room.take<T>(size);
  T* const work = room.take<T>(size_of_work);
  int* const integers = room.take<int>(8 * less);
  std::copy(a, a + size, copy);
  const char* const jobz = u ? "S" : "N";
  const int k = static_cast<int>(less);
  int info = 0;
  if constexpr (kIsComplex<T>) {
    Real<T>* const reals = room.take<Real<T>>(u ? 5 * less * less + 7 * less + 2 * more * less : 7 * less);
    functions<T>().gesdd_complex(jobz, &n, &m, copy, &n, s, vh, &n, u, &k, work, &size_of_work, reals, integers, &info,
                                 1);
  } else {
    functions<T>().gesdd(jobz, &n, &m, copy, &n, s, vh, &n, u, &k, work, &size_of_work, integers, &info, 1);
  }
  return info;
}

double cost(int64_t m, int64_t n) {
  return 8.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(std::min(m, n));
}

void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const auto [batch, m, n] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const int rows = cpu::lapack_int("svd", m), columns = cpu::lapack_int("svd", n);
  const int64_t k = std::min(m, n);
  const bool vectors = args.outputs.size() > 1;
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    const int work = work_size<T>(rows, columns, vectors);
    T* const u = vectors ? args.outputs[0].as<T>() : nullptr;
    T* const vh = vectors ? args.outputs[2].as<T>() : nullptr;
    auto* const s = args.outputs[vectors ? 1 : 0].as<Real<T>>();
    cpu::for_each_matrix(
        batch, cost(m, n),
        [&](int64_t i) {
          return decompose(in.as<T>() + i * m * n, vectors ? u + i * m * k : nullptr, s + i * k,
                           vectors ? vh + i * k * n : nullptr, rows, columns, work);
        },
        [&](int64_t i, int info) { throw cpu::matrix_error("svd", info, in, i); });
  });
}

/// p (n, m) = V S^+ U^T, where what is not above `cutoff` times the largest counts as 0.
template <class T>
int pseudo_inverse(const T* a, T* p, int m, int n, T cutoff, int work) {
  const int64_t less = std::min(m, n);
  cpu::Room room;
  T* const u = room.take<T>(m * less);
  T* const s = room.take<T>(less);
  T* const vh = room.take<T>(less * n);
  if (const int info = decompose(a, u, s, vh, m, n, work)) return info;
  const T smallest = cutoff * s[0];
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < less; ++j)
      u[i * less + j] = std::isnan(s[j]) ? s[j] : s[j] > smallest ? u[i * less + j] / s[j] : T(0);
  const int k = static_cast<int>(less);
  const T one(1), zero(0);
  functions<T>().gemm("T", "T", &m, &n, &k, &one, u, &k, vh, &n, &zero, p, &m, 1, 1);
  return 0;
}

void run_pinv(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  const auto [batch, m, n] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const int rows = cpu::lapack_int("pinv", m), columns = cpu::lapack_int("pinv", n);
  const double rtol = args.attrs.get<Scalar>("rtol").re;
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    if constexpr (!kIsComplex<T>) {
      const int work = work_size<T>(rows, columns, true);
      const T cutoff =
          rtol >= 0 ? static_cast<T>(rtol) : 10 * static_cast<T>(std::max(m, n)) * std::numeric_limits<T>::epsilon();
      cpu::for_each_matrix(
          batch, cost(m, n),
          [&](int64_t i) {
            return pseudo_inverse(in.as<T>() + i * m * n, out.as<T>() + i * m * n, rows, columns, cutoff, work);
          },
          [&](int64_t i, int info) { throw cpu::matrix_error("pinv", info, in, i); });
    }
  });
}

/// Columns that make those of q (m, k) an orthonormal basis: the last of the complete Q of q's factors.
template <class T>
void complement(const T* q, T* out, int m, int k) {
  const int64_t rest = m - k;
  if (!cpu::all_finite(q, int64_t{m} * k)) {
    cpu::fill_nan(out, m * rest);
    return;
  }
  cpu::Room room;
  const int64_t work_elements = int64_t{m} * 64;
  const int work_size = cpu::lapack_int("orthonormal_complement", work_elements);
  T* const whole = room.take<T>(int64_t{m} * m);
  T* const tau = room.take<T>(std::max(k, 1));
  T* const work = room.take<T>(work_elements);
  for (int64_t i = 0; i < m; ++i) std::copy(q + i * k, q + (i + 1) * k, whole + i * m);
  int info = 0;
  functions<T>().gelqf(&k, &m, whole, &m, tau, work, &work_size, &info);
  functions<T>().orglq(&m, &m, &k, whole, &m, tau, work, &work_size, &info);
  for (int64_t i = 0; i < m; ++i) std::copy(whole + i * m + k, whole + (i + 1) * m, out + i * rest);
}

void run_complement(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  const auto [batch, m, k] = cpu::matrices_of(in);
  if (out.count() == 0) return;
  const int rows = cpu::lapack_int("orthonormal_complement", m), columns = cpu::lapack_int("orthonormal_complement", k);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    cpu::for_each_matrix(
        batch, cost(m, m),
        [&](int64_t i) {
          complement(in.as<T>() + i * m * k, out.as<T>() + i * m * (m - k), rows, columns);
          return 0;
        },
        [](int64_t, int) {});
  });
}

}  // namespace

void register_cpu_kernels_svd(KernelTable& table) {
  table.add("svd", Backend::cpu, {.run = run, .checks_matrices = true});
  table.add("pinv", Backend::cpu, {.run = run_pinv, .checks_matrices = true});
  table.add("orthonormal_complement", Backend::cpu, {.run = run_complement});
}

}  // namespace plait
