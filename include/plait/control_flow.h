#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "plait/transforms.h"

/// Loops and branches as single operations: their bodies are traced once, run as often as the values ask for, and every
/// transform passes through them. What a body captures from outside is an input like any other.
///
/// A body may not look at values (TransformError), and has no effects: it is run once, whatever the number of turns.
/// Errors, of all: what bodies raise while they are traced; while they run, what their operations raise, with the line
/// of the operation. ArgumentError for results that differ in number, ShapeError and DTypeError for ones that differ in
/// kind from what they take the place of.
namespace plait {

/// One step: the next carry, and what is kept of this step, from the carry and one slice of each sequence.
using ScanFunction = std::function<std::pair<Arrays, Arrays>(const Arrays& carry, const Arrays& x)>;

/// Runs `f` over the first axis of `xs`: the last carry, and what each step gave, stacked along a new first axis.
///
/// Shapes: xs (length, ...), slices (...); `init` as every carry after it. `length` is needed where xs is empty.
/// `reverse` goes from the last slice to the first; stacked results stay at the place of their slice. `unroll` steps are
/// run as one, so that they are fused with each other. Gradients: in both directions; the carries of all steps are kept
/// for the one backwards, and the step is computed again there.
PLAIT_API std::pair<Arrays, Arrays> scan(const ScanFunction& f, const Arrays& init, const Arrays& xs,
                                         std::optional<Dim> length = std::nullopt, bool reverse = false,
                                         int unroll = 1);

/// `f` for each slice along the first axis of `xs`, one after another; results are stacked.
PLAIT_API Arrays map(const Function& f, const Arrays& xs);

/// Runs `body` on its own results, beginning with `init`, as long as `condition` gives true: one 0-d bool.
///
/// Gradients: forwards only; backwards it is a TransformError, as the number of turns has no bound: scan has one. On a
/// device the condition is read by the host in each turn.
PLAIT_API Arrays while_loop(const Function& condition, const Function& body, const Arrays& init);

/// The results of `on_true` or of `on_false` for the operands; only one of them is run. `predicate` is a 0-d bool or
/// number. Under vmap with a batch of predicates both are run, and the results are selected.
PLAIT_API Arrays cond(const Array& predicate, const Function& on_true, const Function& on_false,
                      const Arrays& operands);

}  // namespace plait
