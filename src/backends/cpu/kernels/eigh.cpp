#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;
using cpu::lapack::kIsComplex;
using cpu::lapack::Real;

/// How many elements the routine works with, by its documentation; with some to spare for blocks where there are no vectors.
struct Sizes {
  int work, real, integer;
};
template <class T>
Sizes sizes_for(int64_t n, bool vectors) {
  constexpr int64_t kBlock = 64;
  const int64_t square = vectors ? n * n : 0;
  const int64_t work = kIsComplex<T> ? square + (2 + kBlock) * n + 1 : 2 * square + (6 + kBlock) * n + 1;
  return {cpu::lapack_int("eigh", work), cpu::lapack_int("eigh", 2 * square + 5 * n + 1), static_cast<int>(5 * n + 3)};
}

/// Eigenvalues of a (n, n) into w, and eigenvectors, if wanted, into the columns of v.
template <class T>
int decompose(const T* a, Real<T>* w, T* v, int n, const Sizes& sizes) {
  const int64_t size = int64_t{n} * n;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) finite = finite && cpu::all_finite(a + i * n, i + 1);
  if (!finite) {
    cpu::fill_nan(w, n);
    if (v) cpu::fill_nan(v, size);
    return 0;
  }
  cpu::Room room;
  T* const columns = room.take<T>(size);
  T* const work = room.take<T>(sizes.work);
  int* const integers = room.take<int>(sizes.integer);
  std::copy(a, a + size, columns);
  const char* const jobz = v ? "V" : "N";
  int info = 0;
  // The lower triangle, seen column by column, is an upper one, of the conjugate where it is complex.
  if constexpr (kIsComplex<T>) {
    Real<T>* const reals = room.take<Real<T>>(sizes.real);
    functions<T>().heevd(jobz, "U", &n, columns, &n, w, work, &sizes.work, reals, &sizes.real, integers, &sizes.integer,
                         &info, 1, 1);
    if (v)
      for (int64_t i = 0; i < size; ++i) columns[i] = std::conj(columns[i]);
  } else {
    functions<T>().syevd(jobz, "U", &n, columns, &n, w, work, &sizes.work, integers, &sizes.integer, &info, 1, 1);
  }
  if (v) cpu::turn_over(columns, v, n, n);
  return info;
}

void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const auto [batch, n, columns] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const bool vectors = args.outputs.size() > 1;
  const int extent = cpu::lapack_int("eigh", n);
  const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    const Sizes sizes = sizes_for<T>(n, vectors);
    cpu::for_each_matrix(
        batch, (vectors ? 6 : 2) * cube,
        [&](int64_t i) {
          return decompose(in.as<T>() + i * n * n, args.outputs[0].as<Real<T>>() + i * n,
                           vectors ? args.outputs[1].as<T>() + i * n * n : nullptr, extent, sizes);
        },
        [&](int64_t i, int info) { throw cpu::matrix_error("eigh", info, in, i); });
  });
}

}  // namespace

void register_cpu_kernels_eigh(KernelTable& table) {
  table.add("eigh", Backend::cpu, {.run = run, .checks_matrices = true});
}

}  // namespace plait
