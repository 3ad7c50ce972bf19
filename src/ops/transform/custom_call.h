#pragma once

#include <memory>
#include <utility>

#include "ops/prelude.h"

namespace plait {

/// The rules of one custom call. Inputs of its node are arguments, then what ordinary operations made of them: the
/// outputs. Where a rule is not overridden, derivatives and batches take the way through those operations.
class CallRules {
 public:
  virtual ~CallRules() = default;
  virtual Grads vjp(const VjpArgs& at) const;
  virtual Arrays jvp(const JvpArgs& at) const;
  /// `arguments`: how many inputs come before the outputs.
  virtual VmapResult vmap(const VmapArgs& at, size_t arguments) const;
  /// Which derivatives are others than those of the operations between arguments and outputs: what a file cannot hold.
  struct Own {
    bool vjp = false, jvp = false;
  };
  virtual Own own() const { return {}; }
  /// Whether `vmap` does without the outputs of a batch: what makes them need not have batches then.
  virtual bool batches() const { return false; }
};

/// The rules of a custom call, null for another node.
const CallRules* rules_of_call(const Node& node);

/// What stands in a file for a custom call with such rules: op and attributes of a node with the same inputs.
std::pair<const OpDef*, Ref<AttrsBase>> call_without_rules(size_t outputs, CallRules::Own rules);

/// `outputs`, computed from `arguments` by ordinary operations, under rules of their own.
Arrays custom_call(std::shared_ptr<const CallRules> rules, const Arrays& arguments, const Arrays& outputs);

}  // namespace plait
