#pragma once

#include <atomic>
#include <memory>

#include "transforms/control/control.h"

/// The primitive scan: what its rules (transforms/scan_rules.cpp) know of it.
namespace plait::control {

/// Inputs are what the step captured, the carries, and the sequences. Results are the last carries, the stacked results,
/// and behind them, stacked, the carries that each step began with. The latter are for gradients only: nobody else gets
/// hold of them, and they are computed once `keeps_carries` is set.
struct ScanLoopAttrs {
  Body step;
  int captured = 0;
  int carries = 0;
  Dim length;
  bool reverse = false;
  int unroll = 1;
  std::shared_ptr<std::atomic<bool>> keeps_carries = std::make_shared<std::atomic<bool>>(false);
};

/// The node's results: those of `scan`, and the carries of each step.
Arrays scan_node(const ScanFunction& f, const Arrays& init, const Arrays& xs, Dim length, bool reverse, int unroll);

/// Whether a result of any node can be asked for: the carries of each step of a scan have to be kept.
bool gives(const Node& node, uint32_t output);

/// Whether the node has the carries of each step, or will have: it is told to keep them when it still can be.
bool keep_carries(const Node& node);

Grads vjp_scan(const ScanLoopAttrs& attrs, const VjpArgs& at);
Arrays jvp_scan(const ScanLoopAttrs& attrs, const JvpArgs& at);
VmapResult vmap_scan(const ScanLoopAttrs& attrs, const VmapArgs& at);

}  // namespace plait::control
