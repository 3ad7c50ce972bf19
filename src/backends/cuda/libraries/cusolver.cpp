#include "backends/cuda/libraries/cusolver.h"

#include <map>
#include <memory>
#include <string>
#include <type_traits>

#include "backends/cuda/libraries/library.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/recording.h"

namespace plait::cuda {
namespace {

template <class Handle>
struct Handles {
  std::mutex mutex;  // held while one of them is used
  std::map<int, Handle> of_device;
};

template <class Handle>
Handles<Handle>& handles() {
  static auto* const all = new Handles<Handle>;  // leaked: threads may ask while the process ends
  return *all;
}

/// The one of a device, made where there is none. The lock is held.
template <class Handle, class Create>
Handle handle_of(int device, const LibraryName& name, const Create& create) {
  Handle& handle = handles<Handle>().of_device[device];
  if (!handle) {
    const NoCaptures none;  // no thread that records wants the lock
    const DeviceScope scope(device);
    if (const int status = static_cast<int>(create(&handle)); status != 0) {
      handle = nullptr;
      throw library_error(name, "it could not be initialised (status " + std::to_string(status) + ")");
    }
  }
  return handle;
}

}  // namespace

const CuSolver& CuSolver::get() {
  static const CuSolver* table = [] {
    const Library library(kCusolver);
    auto t = std::make_unique<CuSolver>();
#define PLAIT_MEMBER(name) t->name = library.function<std::remove_pointer_t<decltype(t->name)>>("cusolverDn" #name);
    PLAIT_CUSOLVER_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER
    // The library does not say for which CUDA it was made, but each major version has one of its own.
    int version = 0;
    check_solver(library.function<decltype(::cusolverGetVersion)>("cusolverGetVersion")(&version),
                 "cusolverGetVersion");
    if (version / 1000 != CUSOLVER_VERSION / 1000)
      throw library_error(kCusolver, library.path() + " is version " + std::to_string(version / 1000),
                          "version " + std::to_string(CUSOLVER_VERSION / 1000));
    return t.release();
  }();
  return *table;
}

const Cublas& Cublas::get() {
  static const Cublas* table = [] {
    const Library library(kCublas);
    auto t = std::make_unique<Cublas>();
#define PLAIT_MEMBER(name, symbol) t->name = library.function<std::remove_pointer_t<decltype(t->name)>>(#symbol);
    PLAIT_CUBLAS_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER
    check_made_for_cuda(kCublas, library.path(), library.function<size_t()>("cublasGetCudartVersion")());
    return t.release();
  }();
  return *table;
}

SolverHandle::SolverHandle(int device, cudaStream_t stream) {
  const CuSolver& solver = CuSolver::get();
  lock_ = std::unique_lock(handles<cusolverDnHandle_t>().mutex);
  handle_ = handle_of<cusolverDnHandle_t>(device, kCusolver, solver.Create);
  static cusolverDnParams_t settings = nullptr;  // guarded by the lock
  if (!settings) check_solver(solver.CreateParams(&settings), "cuSOLVER");
  settings_ = settings;
  check_solver(solver.SetStream(handle_, stream), "cuSOLVER");
}

CublasHandle::CublasHandle(int device, cudaStream_t stream) {
  const Cublas& cublas = Cublas::get();
  lock_ = std::unique_lock(handles<cublasHandle_t>().mutex);
  handle_ = handle_of<cublasHandle_t>(device, kCublas, cublas.Create);
  check_cublas(cublas.SetStream(handle_, stream), "cuBLAS");
}

void check_solver(cusolverStatus_t status, const char* what) {
  if (status != CUSOLVER_STATUS_SUCCESS)
    throw DeviceError({.op = what, .got = "status " + std::to_string(status) + " of cuSOLVER"});
}

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError({.op = what, .got = "status " + std::to_string(status) + " of cuBLAS"});
}

}  // namespace plait::cuda
