#include "backends/cuda/libraries/cufft.h"

#include <memory>
#include <string>

#include "backends/cuda/libraries/library.h"

namespace plait::cuda {

const Cufft& Cufft::get() {
  static const Cufft* table = [] {
    const Library library(kCufft);
    auto t = std::make_unique<Cufft>();
#define PLAIT_MEMBER(name) t->name = library.function<std::remove_pointer_t<decltype(t->name)>>("cufft" #name);
    PLAIT_CUFFT_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER
    // The library does not say for which CUDA it was made, but each major version has one of its own.
    int version = 0;
    check_cufft(t->GetVersion(&version), "cufftGetVersion");
    if (version / 1000 != CUFFT_VERSION / 1000)
      throw library_error(kCufft, library.path() + " is version " + std::to_string(version / 1000),
                          "version " + std::to_string(CUFFT_VERSION / 1000));
    return t.release();
  }();
  return *table;
}

void check_cufft(cufftResult status, const char* what) {
  if (status != CUFFT_SUCCESS) throw DeviceError({.op = what, .got = "status " + std::to_string(status) + " of cuFFT"});
}

}  // namespace plait::cuda
