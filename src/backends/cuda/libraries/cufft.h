// cuFFT: Fourier transforms. Types come from its header, functions from the library once it is open.
#pragma once

#include <cufft.h>

namespace plait::cuda {

struct Cufft {
// clang-format off: it would move the list at every run
#define PLAIT_CUFFT_FUNCTIONS(F) \
  F(GetVersion) F(Create) F(Destroy) F(SetAutoAllocation) F(MakePlanMany64) F(SetStream) F(SetWorkArea) F(ExecC2C) \
  F(ExecR2C) F(ExecC2R)
// clang-format on
#define PLAIT_MEMBER(name) decltype(&::cufft##name) name;
  PLAIT_CUFFT_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER

  /// Errors: DeviceError when the library cannot be had or is another major version than plait was built for.
  static const Cufft& get();
};

/// Errors: DeviceError naming `what`.
void check_cufft(cufftResult status, const char* what);

}  // namespace plait::cuda
