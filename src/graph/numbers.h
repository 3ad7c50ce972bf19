#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "plait/array.h"
#include "plait/scalar.h"

namespace plait {

/// A number of the host language beside arrays. `id` is not 0 when the trace that is open was given it: such a number
/// is another one in each call, as an extent is (`graph/dims.h`).
struct Number {
  Scalar value;
  uint32_t id = 0;
};

/// The constants of one trace that were made from numbers it was given, so that replaying makes them from others.
/// One scope is current per thread: that of the innermost trace which becomes a program.
class PLAIT_API NumberScope {
 public:
  NumberScope();
  ~NumberScope();
  NumberScope(const NumberScope&) = delete;
  NumberScope& operator=(const NumberScope&) = delete;

  static NumberScope* current();
  /// Tells scopes apart for ever.
  uint64_t serial() const { return serial_; }
  /// The id of the number that this node was made from, or 0.
  uint32_t id_of(const NodeBase* node) const;

 private:
  friend PLAIT_API Array constant(const Number& number, DType dtype);
  std::unordered_map<const NodeBase*, uint32_t> ids_;
  Arrays made_;  // kept, so that no other node gets an address that is listed
  NumberScope* before_;
  uint64_t serial_;
};

/// A 0-d array of the number.
PLAIT_API Array constant(const Number& number, DType dtype);

}  // namespace plait
