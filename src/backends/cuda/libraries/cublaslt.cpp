#include "backends/cuda/libraries/cublaslt.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backends/cuda/libraries/library.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/recording.h"

namespace plait::cuda {

const CublasLt& CublasLt::get() {
  static const CublasLt* table = [] {
    const Library library(kCublasLt);
    auto t = std::make_unique<CublasLt>();
#define PLAIT_MEMBER(name) t->name = library.function<std::remove_pointer_t<decltype(t->name)>>("cublasLt" #name);
    PLAIT_CUBLASLT_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER
    check_made_for_cuda(kCublasLt, library.path(), t->GetCudartVersion());
    return t.release();
  }();
  return *table;
}

cublasLtHandle_t cublaslt_handle(int device) {
  static std::mutex mutex;
  static auto& handles = *new std::map<int, cublasLtHandle_t>;  // leaked: threads may ask while the process ends
  {
    const std::lock_guard lock(mutex);
    if (const auto found = handles.find(device); found != handles.end() && found->second) return found->second;
  }
  const NoCaptures none;
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& handle = handles[device];
  if (!handle) {
    const DeviceScope scope(device);
    const cublasStatus_t status = CublasLt::get().Create(&handle);
    if (status != CUBLAS_STATUS_SUCCESS) {
      handle = nullptr;
      throw library_error(kCublasLt, "it could not be initialised (status " + std::to_string(status) + ")");
    }
  }
  return handle;
}

void check_cublaslt(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError({.op = what, .got = "status " + std::to_string(status) + " of cuBLASLt"});
}

}  // namespace plait::cuda
