#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plait/array.h"

/// Function transforms: each traces a function and rewrites its graph, so they nest in any order.
namespace plait {

using Function = std::function<Arrays(const Arrays&)>;

/// Outputs of `f` and the product of `cotangents` (one per output, of its shape) with f's Jacobian, one per primal.
///
/// Integer and bool primals have no gradient: theirs is zero. Errors: ArgumentError for counts and shapes that do not
/// fit, TransformError for an op without a rule; what `f` raises.
PLAIT_API std::pair<Arrays, Arrays> vjp(const Function& f, const Arrays& primals, const Arrays& cotangents);

/// Outputs of `f` and the product of its Jacobian with `tangents` (one per primal, of its shape), one per output.
PLAIT_API std::pair<Arrays, Arrays> jvp(const Function& f, const Arrays& primals, const Arrays& tangents);

/// A function that returns f's first output, a scalar, and its gradients with respect to the arguments at `argnums`.
/// Other outputs are passed through behind the first.
PLAIT_API std::function<std::pair<Arrays, Arrays>(const Arrays&)> value_and_grad(Function f,
                                                                                 std::vector<int> argnums = {0});

/// The gradients alone.
PLAIT_API Function grad(Function f, std::vector<int> argnums = {0});

inline constexpr int kNotMapped = -1;

/// `f` over a batch: `in_axes` names the batch axis of each argument (kNotMapped: the same for all), `out_axes` where
/// it goes in each output; one entry serves all.
PLAIT_API Function vmap(Function f, std::vector<int> in_axes = {0}, std::vector<int> out_axes = {0});

/// `f` traced once for each structure of its arguments (dtypes, ranks, and what was decided by looking at extents), so
/// that later calls spend no time in f. Threads: calls from any thread.
PLAIT_API Function compile(Function f);

/// While it lives, what this thread does is under a transform: errors of operations made in the scope name it, also when
/// they come later. Scopes nest. GradTrace and VmapTrace open one, as do compile while it traces, and checkpoint.
class PLAIT_API TransformScope {
 public:
  /// name: as errors call it, "grad of loss". Names are kept for the life of the process.
  explicit TransformScope(std::string_view name);
  ~TransformScope();
  TransformScope(const TransformScope&) = delete;
  TransformScope& operator=(const TransformScope&) = delete;

 private:
  uint32_t before_;
};

/// Rules that stand in for those of the operations inside a function. An empty one does not: derivatives and batches go
/// through the operations. An undefined array is a zero, as a gradient, as a tangent, and for a tangent that is given.
struct CustomRules {
  /// Gradients, one for each argument and of its shape.
  std::function<Arrays(const Arrays& primals, const Arrays& cotangents, const Arrays& outputs)> vjp;
  /// Tangents, one for each output and of its shape.
  std::function<Arrays(const Arrays& primals, const Arrays& tangents)> jvp;
  /// Outputs and where their batch axis is, from inputs and where theirs is (kNotMapped: there is none).
  std::function<std::pair<Arrays, std::vector<int>>(const Arrays& inputs, const std::vector<int>& axes)> vmap;
};

/// `f` with rules of its own. Derivatives of a batch are those of the examples, by the same rules.
///
/// Errors, where a rule is asked for: TransformError when it gives other numbers or shapes of arrays, and when `f`
/// depends on a differentiated array that is not among its arguments.
PLAIT_API Function custom_function(Function f, CustomRules rules);

/// `f` that keeps only its arguments for the gradient, and the arrays from outside that it uses: what is between them and
/// its results is computed again, once the gradient of the results is known. Random numbers are the same again.
/// name: as errors call it.
PLAIT_API Function checkpoint(Function f, std::string name = "checkpoint");

/// A gradient being traced: `inputs` stand for the primals; what is computed from them can be pulled back.
/// For language bindings; the scope belongs to one thread.
class PLAIT_API GradTrace {
 public:
  explicit GradTrace(const Arrays& primals, std::string_view name = "grad");
  ~GradTrace();
  GradTrace(const GradTrace&) = delete;
  GradTrace& operator=(const GradTrace&) = delete;

  const Arrays& inputs() const { return inputs_; }
  /// Gradients of the primals for the cotangents of `outputs`.
  Arrays pull_back(const Arrays& outputs, const Arrays& cotangents) const;
  /// Tangents of `outputs` for the tangents of the primals. An undefined tangent means zero.
  Arrays push_forward(const Arrays& outputs, const Arrays& tangents) const;

 private:
  TransformScope scope_;
  Arrays primals_;
  Arrays inputs_;
  uint64_t level_;
};

/// A batch being traced: `inputs` stand for one example each.
class PLAIT_API VmapTrace {
 public:
  /// axes: per array, kNotMapped or the batch axis. Errors: ArgumentError when batch extents differ or there is none.
  VmapTrace(const Arrays& arrays, const std::vector<int>& axes, std::string_view name = "vmap");
  ~VmapTrace();
  VmapTrace(const VmapTrace&) = delete;
  VmapTrace& operator=(const VmapTrace&) = delete;

  const Arrays& inputs() const { return inputs_; }
  /// The outputs for the whole batch; axes: per output, where the batch axis goes (kNotMapped: the output must not
  /// depend on the batch).
  Arrays batched(const Arrays& outputs, const std::vector<int>& axes) const;

 private:
  TransformScope scope_;
  Arrays arrays_;
  std::vector<int> axes_;
  Arrays inputs_;
  Dim size_;
  uint64_t level_;
};

/// What `compile` keeps of one function.
class PLAIT_API CompiledFunction {
 public:
  /// name: as errors call it, "compile of step".
  explicit CompiledFunction(Function f, std::string name = "compile");
  ~CompiledFunction();
  Arrays operator()(const Arrays& inputs);
  /// Times that f itself was run.
  int64_t trace_count() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plait
