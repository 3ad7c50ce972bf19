#include "backends/positions.h"

#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

template <class T>
[[noreturn]] void reject(std::string_view op, T position, int64_t n) {
  constexpr uint64_t kMost = INT64_MAX;
  const bool far = std::is_unsigned_v<T> && static_cast<uint64_t>(position) > kMost;
  throw memory::PositionError(op, far ? INT64_MAX : static_cast<int64_t>(position), n, n - 1);
}

// Calls put(i, position) for each element.
template <class Put>
void each_position(std::string_view op, const TensorView& at, int64_t n, Put put) {
  dispatch(at.dtype, [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      const T* from = at.as<T>();
      parallel_for(at.count(), kElementGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T given = from[i];
          int64_t position;
          if constexpr (std::is_signed_v<T>) {
            position = given < 0 ? static_cast<int64_t>(given) + n : static_cast<int64_t>(given);
            if (position < 0 || position >= n) reject(op, given, n);
          } else {
            if (static_cast<uint64_t>(given) >= static_cast<uint64_t>(n)) reject(op, given, n);
            position = static_cast<int64_t>(given);
          }
          put(i, position);
        }
      });
    } else {
      throw InternalError("positions are not integers");
    }
  });
}

}  // namespace

std::vector<int64_t> checked_positions(std::string_view op, const TensorView& at, int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(at.count()));
  each_position(op, at, n, [&](int64_t i, int64_t position) { out[static_cast<size_t>(i)] = position; });
  return out;
}

void check_positions(std::string_view op, const TensorView& at, int64_t n) {
  each_position(op, at, n, [](int64_t, int64_t) {});
}

}  // namespace plait
