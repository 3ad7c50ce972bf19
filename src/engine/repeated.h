#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/graph.h"
#include "engine/plan.h"
#include "plait/array.h"
#include "plait/debug.h"

/// What steps that run programs (OpKind::control) are made of.
namespace plait::engine {

/// A graph collected and planned once, to be run again and again on other memory: an iteration of a loop makes no node
/// and looks nothing up.
///
/// Its nodes belong to nobody else, so nothing is claimed and no lock is held while it runs; it may run inside a step of
/// another plan. Memory that is given and not held may be overwritten when no other reference to it exists.
/// Threads: one at a time.
class Repeated {
 public:
  /// What stands for an input: an evaluated array whose memory comes later.
  static Array slot(Aval aval);

  /// `outputs` are computed from `slots` alone, and by nodes that nobody else refers to. The first `held` slots keep
  /// their memory from run to run.
  Repeated(Arrays slots, size_t held, Arrays outputs);

  void give(size_t slot, Storage memory);
  /// Results are left in `outputs`. One that has memory already is filled: row-major, on `place`.
  /// Errors: what the operations raise, with the user's line; memory that was given may be lost then.
  void run(std::span<Storage> outputs, Place place);

 private:
  struct Output {
    bool leaf = false;
    uint32_t at = 0;  // the slot, or the value
  };

  Arrays kept_;  // slots that may not be overwritten, or that no node refers to
  std::vector<Node*> slots_;
  size_t held_;
  Arrays roots_;
  std::vector<Output> outputs_;
  Graph graph_;
  std::shared_ptr<const Plan> plan_;
  debug::NanCheck check_;  // as the thread wants that runs it
  std::vector<Storage> results_;
};

/// Uninitialised, row-major, at the place.
Storage allocate_at(Place place, const Aval& aval);
/// Copies all elements to row-major memory, as work of the place.
void copy_to(Place place, Storage& to, const Storage& from, const Aval& aval);
/// The one element of an array of bool, on the host: waits for it, and counts as a transfer when a device has it.
bool read_bool(const Storage& storage, SourceId source);

}  // namespace plait::engine
