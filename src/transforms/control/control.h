#pragma once

#include <string>
#include <vector>

#include "engine/repeated.h"
#include "graph/elementwise.h"
#include "graph/registry.h"
#include "plait/control_flow.h"
#include "plait/ops.h"
#include "transforms/body.h"

/// What the primitives of control flow share.
namespace plait::control {

using Marks = std::vector<bool>;

/// Consecutive pieces of a list.
template <class T>
class Pieces {
 public:
  explicit Pieces(const std::vector<T>& all) : all_(all) {}
  std::vector<T> next(size_t count) {
    const auto from = all_.begin() + static_cast<std::ptrdiff_t>(at_);
    at_ += count;
    return std::vector<T>(from, from + static_cast<std::ptrdiff_t>(count));
  }
  std::vector<T> rest() { return next(all_.size() - at_); }

 private:
  const std::vector<T>& all_;
  size_t at_ = 0;
};

template <class T>
std::vector<T> joined(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The arrays that are marked.
Arrays picked(const Arrays& arrays, const Marks& marks);
/// The other way round: `arrays` at the marked places, undefined ones elsewhere; at `into`'s other elements when given.
Arrays spread(const Arrays& arrays, const Marks& marks, Arrays into = {});
size_t count(const Marks& marks);

Avals avals_of(const Arrays& arrays);
/// Whether the eager switch is on, and these are values: the user's functions are called on them then.
bool by_hand(const Arrays& arrays);
/// A node of the op with these inputs.
template <class A>
Arrays make_control(const OpHandle& op, A attrs, const Arrays& inputs) {
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<A>(std::move(attrs))),
                  SmallVector<Array, 2>(inputs.begin(), inputs.end()));
}

/// Errors: as control_flow.h says, when results do not fit what they take the place of.
void check_results(const char* op, const char* what, const Arrays& got, const Arrays& wanted);
/// A 0-d bool of a predicate. Errors: ShapeError.
Array checked_predicate(const char* op, const Array& predicate);

/// What a body gives for a batch; 0 is the batch axis of all that is marked. A marked result is repeated where it is the
/// same for all.
Arrays batched_call(const Function& f, const Arrays& inputs, const Marks& in, const Marks& out, Dim size);
Marks batched_inputs(const VmapArgs& at);
std::vector<int> axes_where(const Marks& batched, int axis);

/// For each example of a batch, the one array or the other; all have the batch axis in front.
Array selected(const Array& conditions, const Array& yes, const Array& no);

/// Whether shapes and dtypes agree, compared as the check of an op compares them.
bool agree(std::span<const Aval> a, std::span<const Aval> b);

/// A program of the step at hand, ready to run: `inputs` are the node's, of which the first `held` are read only.
engine::Repeated bound(const Function& f, const Avals& inputs, size_t held);
/// The shapes and dtypes of a node's inputs as numbers.
Avals input_avals(const Node& node);

}  // namespace plait::control
