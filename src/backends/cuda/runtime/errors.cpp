#include "backends/cuda/runtime/errors.h"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <string>

#include "backends/cuda/runtime/cuda.h"
#include "plait/error.h"

namespace plait {
namespace {

constinit std::atomic<const std::string*> fault{nullptr};  // set once, never freed
constinit std::atomic<bool> unusable{false};               // either of both

// Errors after which CUDA refuses everything else that touches the device, until the process ends.
bool is_fault(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorExternalDevice:
    case cudaErrorContained: return true;
    default: return false;
  }
}

std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
}

[[noreturn]] void throw_fault(const std::string& text) {
  throw DeviceError({.op = "device fault",
                     .got = text,
                     .hint =
                         "what was on the device is lost, and CUDA starts anew only in a new process; arrays that are "
                         "on the host stay as they were"});
}

}  // namespace

void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // or the next one to ask would take it for its own
  check_usable();
  if (is_fault(error)) {
    const auto* text =
        new std::string(describe(error) + ", found in: " + what + "; work enqueued before may have caused it");
    const std::string* none = nullptr;
    if (fault.compare_exchange_strong(none, text)) {
      unusable.store(true, std::memory_order_release);
    } else {
      delete text;
    }
    throw_fault(*fault.load());
  }
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory({.op = what, .got = describe(error)});
  throw DeviceError({.op = what, .got = describe(error)});
}

void check_usable() {
  if (!unusable.load(std::memory_order_acquire)) [[likely]]
    return;
  if (const std::string* text = fault.load()) throw_fault(*text);
  throw DeviceError(
      {.op = "device",
       .got = "this process was forked from one that used the device, which CUDA does not allow",
       .hint = "start processes by \"spawn\" instead of \"fork\", or use the device only in the children"});
}

bool usable() noexcept { return !unusable.load(std::memory_order_acquire); }

void watch_forks() {
  static std::once_flag once;
  // Of the locks nothing is kept in order: a child never takes one.
  std::call_once(once, [] { ::pthread_atfork(nullptr, nullptr, [] { unusable.store(true); }); });
}

DeviceScope::DeviceScope(int device) {
  check_cuda(cudaGetDevice(&before_), "the current device");
  if (before_ != device) {
    check_cuda(cudaSetDevice(device), "choosing a device");
  } else {
    before_ = -1;
  }
}

DeviceScope::~DeviceScope() {
  if (before_ >= 0 && cudaSetDevice(before_) != cudaSuccess) cudaGetLastError();
}

}  // namespace plait
