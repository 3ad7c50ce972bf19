// cuSOLVER's factorizations and cuBLAS's triangular solves. Types come from their headers, functions from the libraries once they are
// open.
#pragma once

#include <cublas_v2.h>
#include <cusolverDn.h>

#include <mutex>

namespace plait::cuda {

struct CuSolver {
  // clang-format off: it would move the lists at every run
#define PLAIT_CUSOLVER_FUNCTIONS(F) \
  F(Create) F(CreateParams) F(SetStream) F(Xpotrf_bufferSize) F(Xpotrf) F(Xgetrf_bufferSize) F(Xgetrf) F(Xgeqrf_bufferSize) F(Xgeqrf) \
  F(Sorgqr_bufferSize) F(Dorgqr_bufferSize) F(Cungqr_bufferSize) F(Sorgqr) F(Dorgqr) F(Cungqr) \
  F(SpotrfBatched) F(DpotrfBatched) F(CpotrfBatched) F(XsyevBatched_bufferSize) F(XsyevBatched) \
  F(Xsyevd_bufferSize) F(Xsyevd) F(Xgesvd_bufferSize) F(Xgesvd)
// clang-format on
#define PLAIT_MEMBER(name) decltype(&::cusolverDn##name) name;
  PLAIT_CUSOLVER_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER

  /// Errors: DeviceError when the library cannot be had or is another major version than plait was built for.
  static const CuSolver& get();
};

struct Cublas {
  // clang-format off: it would move the lists at every run
#define PLAIT_CUBLAS_FUNCTIONS(F) \
  F(Create, cublasCreate_v2) F(SetStream, cublasSetStream_v2) \
  F(Strsm, cublasStrsm_v2) F(Dtrsm, cublasDtrsm_v2) F(Ctrsm, cublasCtrsm_v2) \
  F(StrsmBatched, cublasStrsmBatched) F(DtrsmBatched, cublasDtrsmBatched) F(CtrsmBatched, cublasCtrsmBatched) \
  F(SgetrfBatched, cublasSgetrfBatched) F(DgetrfBatched, cublasDgetrfBatched) F(CgetrfBatched, cublasCgetrfBatched)
// clang-format on
#define PLAIT_MEMBER(name, symbol) decltype(&::symbol) name;
  PLAIT_CUBLAS_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER

  /// Errors: DeviceError when the library cannot be had or was made for another CUDA.
  static const Cublas& get();
};

/// A handle of the current device for work on a stream. One thread at a time has it: it belongs to the object, until whose end
/// others wait.
///
/// Errors: DeviceError.
class SolverHandle {
 public:
  SolverHandle(int device, cudaStream_t stream);
  cusolverDnHandle_t get() const { return handle_; }
  /// How the library computes: in no special way.
  cusolverDnParams_t settings() const { return settings_; }

 private:
  std::unique_lock<std::mutex> lock_;
  cusolverDnHandle_t handle_ = nullptr;
  cusolverDnParams_t settings_ = nullptr;
};
class CublasHandle {
 public:
  CublasHandle(int device, cudaStream_t stream);
  cublasHandle_t get() const { return handle_; }

 private:
  std::unique_lock<std::mutex> lock_;
  cublasHandle_t handle_ = nullptr;
};

/// Errors: DeviceError naming `what`.
void check_solver(cusolverStatus_t status, const char* what);
void check_cublas(cublasStatus_t status, const char* what);

}  // namespace plait::cuda
