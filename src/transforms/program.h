#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "graph/dims.h"
#include "graph/node.h"
#include "graph/numbers.h"
#include "graph/source.h"
#include "plait/transforms.h"

namespace plait {

/// A traced function: what it computes from its inputs, ready to be rebuilt for others. Immutable once made, so any
/// thread may read it. Extents of the inputs are variables of the program; those that the function looked at are
/// guards. Numbers that it was given are other ones in each call (`graph/numbers.h`); their guards are the caller's.
class PLAIT_API Program {
 public:
  /// Where a value comes from: an input, an output of a step, or a constant of the program, each by number.
  struct Link {
    enum class From : uint8_t { input, step, constant } from;
    uint32_t at;
    uint32_t output = 0;
  };
  /// One node that depends on an input or on an extent of one.
  struct Step {
    Ref<Node> node;  // held here: those above it let go of their inputs when somebody evaluates them
    std::vector<Link> inputs;
    bool symbolic_attrs = false;  // an attribute is an expression over the extents
    uint32_t number = 0;          // the id of the number that this constant was made from
  };

  /// Runs `f` once on placeholders like `examples`; what it raises goes through. name: of the transform, for errors of
  /// the operations, however often they are replayed.
  Program(const Function& f, const Arrays& examples, std::string_view name = "compile");
  /// What `outputs` are, traced already, from `placeholders`. Extents stay those of the trace that was open.
  Program(Arrays placeholders, const Arrays& outputs);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Whether the inputs' dtypes, ranks and extents are ones that the program is right for; `values` are then what
  /// replay wants: the values of the program's expressions.
  bool fits(const Arrays& inputs, std::vector<int64_t>& values) const;
  std::string why_not(const Arrays& inputs) const;
  /// The results for other inputs: new nodes, without running f.
  Arrays replay(const Arrays& inputs, const std::vector<int64_t>& values, std::span<const Number> numbers = {}) const;

  const Arrays& placeholders() const { return placeholders_; }
  const Arrays& constants() const { return constants_; }
  const std::vector<Step>& steps() const { return steps_; }  // inputs of a step come before it
  const std::vector<Link>& results() const { return results_; }
  const DimScope::Record& record() const { return record_; }

 private:
  bool same_kinds(const Arrays& inputs) const;
  void order(const Arrays& outputs, const NumberScope& numbers, uint64_t level);

  Arrays placeholders_;
  Arrays constants_;
  std::vector<Step> steps_;
  std::vector<Link> results_;
  DimScope::Record record_;
  TransformsId traced_under_;  // around the whole trace
};

/// Programs of one function, the last used first; past a bound the one not used longest goes.
///
/// Threads: any.
class PLAIT_API Programs {
 public:
  struct Kept {
    std::shared_ptr<const Program> program;
    std::shared_ptr<void> note;  // the caller's
    std::string why;  // it was made
    std::atomic<int64_t> calls = 0;
  };
  using Fits = FunctionRef<bool(const Kept&)>;

  /// The first that fits, or null.
  std::shared_ptr<Kept> find(Fits fits);
  /// Counts the reason (`trace_counters`).
  void add(std::shared_ptr<Kept> kept);
  /// As they are now, the last used first.
  std::vector<std::shared_ptr<Kept>> all() const;
  /// How many were ever added.
  int64_t made() const;

 private:
  static constexpr size_t kMost = 64;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Kept>> kept_;
  int64_t made_ = 0;
};

/// The extents in a node's attributes that are expressions of a trace.
std::vector<Dim> symbols_of(const Node& node);

}  // namespace plait
