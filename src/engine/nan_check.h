#pragma once

#include <memory>
#include <vector>

#include "engine/plan.h"
#include "plait/debug.h"

/// The check of plait/debug.h. While a plan runs, what steps put in memory is reduced to one bool where it lies. Only once
/// there is something to find, and the evaluation has given its nodes back, are the operations of that step run one by one.
namespace plait::engine {

/// Thrown by a run: the operations that lead to a result with a NaN, back to values in memory, and those values.
class NanFound {
 public:
  /// Runs them and looks at each result. Errors: NanError, always.
  [[noreturn]] void raise() const;

 private:
  friend class NanWatch;
  struct Operand {
    int64_t op = -1;  // its result, or else
    Array value;
    uint32_t output = 0;
    Ref<Node> origin;  // where its elements come from when that was there before: an evaluated node, or a number
  };
  struct Applied {
    Ref<Node> like;  // op, attributes, line and stream; its inputs may be gone
    SmallVector<Operand, 2> operands;
    Arrays results;  // of a kernel, which is not run again
  };
  struct Finding;
  struct Attempt;
  Attempt attempt(const std::vector<bool>& repaired) const;
  Finding culprit() const;
  [[noreturn]] void raise(const Finding& finding) const;
  [[noreturn]] void raise_unexplained() const;

  std::vector<Applied> ops_;  // operands before users; the last has the NaN
  uint32_t output_ = 0;  // of the last
  debug::NanCheck check_;
};

class NanWatch final : public Watch {
 public:
  NanWatch(const Graph& graph, const Plan& plan, debug::NanCheck check) : g_(graph), plan_(plan), check_(check) {}
  bool keeps_operands() const override { return true; }
  void after(const Step& step, Values values) override;

 private:
  Ref<Node> origin_of(ValueId v) const;
  NanFound found(const Step& step, ValueId bad, Values values) const;

  const Graph& g_;
  const Plan& plan_;
  const debug::NanCheck check_;
};

}  // namespace plait::engine
