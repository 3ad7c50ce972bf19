#pragma once

#include <map>
#include <vector>

#include "plait/shape.h"

/// In which order einsum contracts its terms.
namespace plait {

// Letters name axes; axes under an ellipsis have labels of their own.
using Label = int;
using Labels = std::vector<Label>;
using Extents = std::map<Label, Dim>;

inline bool holds(const Labels& labels, Label l) {
  for (Label other : labels)
    if (other == l) return true;
  return false;
}
/// a's labels, then those that only b has; each once.
Labels joined(const Labels& a, const Labels& b);

/// How many multiplications (and additions) of numbers labels stand for.
double size_of_labels(const Labels& labels, const Extents& extents);

/// Two terms that become one, or the only one.
struct EinsumStep {
  std::vector<int> positions;  // among the terms that are left; a result goes last
  Labels before, after;

  /// A product for each element, and an addition where something is summed.
  double work(const Extents& extents) const {
    return size_of_labels(before, extents) *
           (before.size() == after.size() ? 1 : static_cast<double>(positions.size()));
  }
};

/// From four to eight terms the order with the least work; else, as recorded, next what frees most memory.
std::vector<EinsumStep> einsum_steps(const std::vector<Labels>& terms, const Labels& output, const Extents& extents);

}  // namespace plait
