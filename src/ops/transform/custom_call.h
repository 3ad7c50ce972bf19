#pragma once

#include <memory>

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
  /// Whether derivatives and batches are those of the operations between arguments and outputs, found another way.
  virtual bool as_without() const { return false; }
};

/// The rules of a custom call, null for another node.
const CallRules* rules_of_call(const Node& node);

/// `outputs`, computed from `arguments` by ordinary operations, under rules of their own.
Arrays custom_call(std::shared_ptr<const CallRules> rules, const Arrays& arguments, const Arrays& outputs);

}  // namespace plait
