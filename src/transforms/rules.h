#pragma once

#include <optional>
#include <string>

#include "graph/node.h"
#include "graph/op.h"
#include "graph/stream.h"

namespace plait {

/// Whether PLAIT_COUNT_RULES is set: tests read from the counters which rules their cases reached.
bool counting_rules();
void count_call(const std::string& name);

/// Counts "rule: multiply vjp 10". The digits say which inputs the rule was called for: those whose gradient is needed (vjp), that
/// have a tangent (jvp), that are batched (vmap).
template <class Concerned>
void count_rule(const Node& node, const char* rule, const Concerned& concerned) {
  if (!counting_rules()) [[likely]]
    return;
  std::string name = "rule: " + node.op->name + ' ' + rule + ' ';
  for (size_t i = 0; i < node.inputs.size(); ++i) name += concerned(i) ? '1' : '0';
  count_call(name);
}

/// Within its scope new nodes run where `node` does: derivatives and batches of an operation on its stream.
class OnStreamOf {
 public:
  explicit OnStreamOf(const Node& node) {
    if (node.stream != current_stream().index) scope_.emplace(Stream{node.stream, device_of_stream(node.stream)});
  }

 private:
  std::optional<StreamScope> scope_;
};

}  // namespace plait
