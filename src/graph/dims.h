#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plait/shape.h"

namespace plait {

/// The extents of one trace as expressions over its inputs' extents, and what was decided by looking at them.
/// One scope is current per thread (the outermost compile owns it; nested traces share it).
class DimScope {
 public:
  DimScope();
  ~DimScope();
  DimScope(const DimScope&) = delete;
  DimScope& operator=(const DimScope&) = delete;

  /// A new input extent with this example value.
  Dim variable(int64_t value);
  int variable_count() const { return variables_; }

  /// The trace as a value of its own, for use after the scope has closed.
  struct Record {
    struct Expr {
      char op;  // 'v' variable, 'c' constant, '+', '-', '*', '/'
      int64_t constant = 0;
      uint32_t a = 0, b = 0;
    };
    struct Guard {
      char op;  // '=', '<', or 'f': expression a has exactly the value `constant`
      uint32_t a = 0, b = 0;
      int64_t constant = 0;
      bool result = true;
    };
    std::vector<Expr> exprs;  // position 0 is unused: 0 means a plain number
    std::vector<Guard> guards;

    /// Values of all expressions for the given input extents.
    std::vector<int64_t> values(const std::vector<int64_t>& variables) const;
    /// Whether everything decided while tracing is decided the same way for these values.
    bool holds(const std::vector<int64_t>& values) const;
    /// The first guard that does not hold, for people; "" when all hold.
    std::string why_not(const std::vector<int64_t>& values) const;

    /// For people: extents of the inputs are a, b, c, ... in their order; "a", "2 * b".
    PLAIT_API std::string in_words(uint32_t expr) const;
    /// "a was read as a number and is 3", "a = b", "a * b >= c".
    PLAIT_API std::string in_words(const Guard& guard) const;
  };
  const Record& record() const { return record_; }

  static DimScope* current();

 private:
  friend class Dim;
  uint32_t intern(Record::Expr expr, int64_t value);
  uint32_t of(Dim d);

  Record record_;
  int variables_ = 0;
  DimScope* before_;
};

}  // namespace plait
