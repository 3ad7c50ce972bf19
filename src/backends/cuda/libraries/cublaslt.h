// cuBLASLt: matrix products. Types come from its header, functions from the library once it is open.
#pragma once

#include <cublasLt.h>

namespace plait::cuda {

struct CublasLt {
// clang-format off: it would move the list at every run
#define PLAIT_CUBLASLT_FUNCTIONS(F) \
  F(GetCudartVersion) F(Create) F(Matmul) F(MatmulDescCreate) F(MatmulDescDestroy) F(MatmulDescSetAttribute) \
  F(MatrixLayoutCreate) F(MatrixLayoutDestroy) F(MatrixLayoutSetAttribute) F(MatmulPreferenceCreate) \
  F(MatmulPreferenceDestroy) F(MatmulPreferenceSetAttribute) F(MatmulAlgoGetHeuristic)
// clang-format on
#define PLAIT_MEMBER(name) decltype(&::cublasLt##name) name;
  PLAIT_CUBLASLT_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER

  /// Errors: DeviceError when the library cannot be had or was made for another CUDA.
  static const CublasLt& get();
};

/// The handle of the current device.
cublasLtHandle_t cublaslt_handle(int device);

/// Errors: DeviceError naming `what`.
void check_cublaslt(cublasStatus_t status, const char* what);

}  // namespace plait::cuda
