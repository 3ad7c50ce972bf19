#include "backends/cuda/libraries/cudnn.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <type_traits>
#include <utility>

#include "backends/cuda/libraries/library.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/recording.h"

namespace plait::cuda {

const Cudnn& Cudnn::get() {
  static const Cudnn* table = [] {
    const Library library(kCudnn);
    auto t = std::make_unique<Cudnn>();
#define PLAIT_MEMBER(name) t->name = library.function<std::remove_pointer_t<decltype(t->name)>>("cudnn" #name);
    PLAIT_CUDNN_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER
    check_made_for_cuda(kCudnn, library.path(), t->GetCudartVersion());
    t->library = library.handle();
    return t.release();
  }();
  return *table;
}

void* Cudnn::find(const char* symbol) const { return ::dlsym(library, symbol); }

CudnnHandle& CudnnHandle::of(int device, For purpose) {
  static std::mutex mutex;
  static auto& handles =
      *new std::map<std::pair<int, For>, CudnnHandle>;  // leaked: threads may ask while the process ends
  {
    const std::lock_guard lock(mutex);
    if (CudnnHandle& found = handles[{device, purpose}]; found.handle) return found;
  }
  const NoCaptures none;
  const std::lock_guard lock(mutex);
  CudnnHandle& found = handles[{device, purpose}];
  if (!found.handle) {
    const DeviceScope scope(device);
    const cudnnStatus_t status = Cudnn::get().Create(&found.handle);
    if (status != CUDNN_STATUS_SUCCESS) {
      found.handle = nullptr;
      throw library_error(kCudnn, std::string("it could not be initialised: ") + Cudnn::get().GetErrorString(status));
    }
  }
  return found;
}

void CudnnHandle::use(cudaStream_t stream) {
  if (has_stream_ && stream == stream_) return;
  check_cudnn(Cudnn::get().SetStream(handle, stream), "cuDNN");
  stream_ = stream;
  has_stream_ = true;
}

void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw DeviceError({.op = what, .got = Cudnn::get().GetErrorString(status)});
}

}  // namespace plait::cuda
