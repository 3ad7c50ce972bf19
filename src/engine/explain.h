#pragma once

#include "engine/plan.h"
#include "plait/debug.h"

namespace plait::engine {

/// A plan in words, for the graph at hand: what its steps are, and what they will do with memory as things stand, were it
/// not for the handles in `kept`.
debug::Explanation described(const Plan& plan, const Graph& graph, std::span<const Array> kept = {});

}  // namespace plait::engine
