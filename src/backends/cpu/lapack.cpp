#include "backends/cpu/lapack.h"

#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <string>

#include "base/fork.h"
#include "plait/error.h"

namespace plait::cpu::lapack {
namespace {

constexpr const char* kFile = "libscipy_openblas.so";
constexpr int kCallers = 64;  // of 128 pieces of working memory that OpenBLAS has when built for 64 threads

DeviceError unavailable(std::string got) {
  return DeviceError({.op = "linalg",
                      .got = std::move(got),
                      .accepts = std::string("OpenBLAS as ") + kFile + " beside libplait.so",
                      .hint = "build plait with -DPLAIT_LAPACK=ON, after pip install scipy-openblas32"});
}

void* open() {
  void* const handle = ::dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* const why = ::dlerror();
    throw unavailable(std::string("LAPACK cannot be opened: ") + (why ? why : "no reason is given"));
  }
  // Its threads would fight with the pool's over the cores; batches are spread over the pool instead.
  if (void* const set = ::dlsym(handle, "scipy_openblas_set_num_threads")) reinterpret_cast<void (*)(int)>(set)(1);
  return handle;
}

/// A failure is no state: the next call looks again.
void* library() {
  static void* const handle = open();
  return handle;
}

template <class Fn>
void look_up(Fn*& to, const std::string& name) {
  const std::string symbol = "scipy_" + name + "_";
  to = reinterpret_cast<Fn*>(::dlsym(library(), symbol.c_str()));
  if (!to) throw unavailable(std::string(kFile) + " has no function " + symbol);
}

template <class T>
Functions<T> looked_up(const std::string& letter) {
  Functions<T> f{};
  look_up(f.gemm, letter + "gemm");
  look_up(f.trsm, letter + "trsm");
  look_up(f.potrf, letter + "potrf");
  look_up(f.getrf, letter + "getrf");
  look_up(f.gelqf, letter + "gelqf");
  look_up(f.orglq, letter + (kIsComplex<T> ? "unglq" : "orglq"));
  if constexpr (kIsComplex<T>) {
    look_up(f.heevd, letter + "heevd");
    look_up(f.gesdd_complex, letter + "gesdd");
    look_up(f.geev_complex, letter + "geev");
  } else {
    look_up(f.syevd, letter + "syevd");
    look_up(f.gesdd, letter + "gesdd");
    look_up(f.geev, letter + "geev");
  }
  return f;
}

std::atomic<int> free_places{kCallers};

// Whoever was inside when the process forked is not in the child.
[[maybe_unused]] const bool fork_handlers = [] {
  at_fork(ForkOrder::base, [] {}, [] {}, [] { free_places.store(kCallers); });
  return true;
}();

}  // namespace

template <class T>
const Functions<T>& functions() {
  static const Functions<T> found = looked_up<T>(std::is_same_v<T, float>    ? "s"
                                                 : std::is_same_v<T, double> ? "d"
                                                                             : "c");
  return found;
}
template const Functions<float>& functions<float>();
template const Functions<double>& functions<double>();
template const Functions<std::complex<float>>& functions<std::complex<float>>();

Caller::Caller() {
  int n = free_places.load();
  while (n <= 0 || !free_places.compare_exchange_weak(n, n - 1)) {
    if (n <= 0) free_places.wait(n);
    n = free_places.load();
  }
}

Caller::~Caller() {
  free_places.fetch_add(1);
  free_places.notify_one();
}

}  // namespace plait::cpu::lapack
