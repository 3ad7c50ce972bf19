#include <complex>
#include <type_traits>

#include "backends/kernel.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

void run(const KernelArgs& args) {
  const auto start = args.attrs.get<Scalar>("start");
  const auto step = args.attrs.get<Scalar>("step");
  const TensorView& out = args.outputs[0];
  dispatch(out.dtype, [&]<class T>() {
    T* to = out.as<T>();
    parallel_for(out.count(), kElementGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if constexpr (std::is_integral_v<T>) {
          to[i] =
              static_cast<T>(static_cast<uint64_t>(start.i) + static_cast<uint64_t>(i) * static_cast<uint64_t>(step.i));
        } else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
          to[i] = T::from(static_cast<float>(start.re + static_cast<double>(i) * step.re));
        } else if constexpr (std::is_same_v<T, std::complex<float>>) {
          to[i] = {static_cast<float>(start.re + static_cast<double>(i) * step.re),
                   static_cast<float>(start.im + static_cast<double>(i) * step.im)};
        } else {
          to[i] = static_cast<T>(start.re + static_cast<double>(i) * step.re);
        }
      }
    });
  });
}

void run_extent(const KernelArgs& args) {
  const int64_t value = args.attrs.get<int64_t>("value");
  const TensorView& out = args.outputs[0];
  dispatch(out.dtype, [&]<class T>() {
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
      *out.as<T>() = T::from(static_cast<float>(value));
    } else {
      *out.as<T>() = static_cast<T>(value);
    }
  });
}

}  // namespace

void register_reference_kernels_arange(KernelTable& table) {
  table.add("arange", Backend::reference, {.run = run});
  table.add("extent", Backend::reference, {.run = run_extent});
}

}  // namespace plait
