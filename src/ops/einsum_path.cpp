#include "ops/einsum_path.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace plait {
namespace {

using Set = uint64_t;  // of labels, by their places among all
using Terms = uint32_t;  // a set of terms

// The cheapest order of few terms: for each set of terms the best way to split it in two.
class Cheapest {
 public:
  Cheapest(const std::vector<Labels>& terms, const Labels& output, const Labels& all, const Extents& extents)
      : all_(all), extents_(extents), best_(size_t{1} << terms.size()) {
    const Terms whole = (Terms{1} << terms.size()) - 1;
    for (size_t i = 0; i < terms.size(); ++i) best_[Terms{1} << i].kept = set_of(terms[i]);
    for (Terms some = 1; some <= whole; ++some) {
      if (std::has_single_bit(some)) {
        best_[some].cost = 0;
        continue;
      }
      Set within = 0, needed = set_of(output);
      for (size_t i = 0; i < terms.size(); ++i) (some >> i & 1 ? within : needed) |= set_of(terms[i]);
      Part& part = best_[some];
      part.kept = within & needed;
      const Terms first = some & -some;
      for (Terms a = (some - 1) & some; a != 0; a = (a - 1) & some)
        if (a & first) consider(part, a, some ^ a);
    }
    for (size_t i = 0; i < terms.size(); ++i) left_.push_back(Terms{1} << i);
    emit(whole);
  }

  std::vector<EinsumStep> steps;

 private:
  struct Part {
    Set kept = 0;
    double cost = std::numeric_limits<double>::infinity();
    Terms half = 0;
  };

  Set set_of(const Labels& labels) const {
    Set out = 0;
    for (size_t i = 0; i < all_.size(); ++i)
      if (holds(labels, all_[i])) out |= Set{1} << i;
    return out;
  }
  Labels labels_of(Set set) const {
    Labels out;
    for (size_t i = 0; i < all_.size(); ++i)
      if (set >> i & 1) out.push_back(all_[i]);
    return out;
  }

  void consider(Part& part, Terms a, Terms b) {
    const Set both = best_[a].kept | best_[b].kept;
    double work = both == part.kept ? 1 : 2;
    for (size_t i = 0; i < all_.size(); ++i)
      if (both >> i & 1) work *= static_cast<double>(extents_.at(all_[i]).value());
    const double cost = best_[a].cost + best_[b].cost + work;
    if (cost < part.cost) part.cost = cost, part.half = a;
  }

  void emit(Terms some) {
    if (std::has_single_bit(some)) return;
    const Terms a = best_[some].half, b = some ^ a;
    emit(a);
    emit(b);
    int i = place(a), j = place(b);
    if (j < i) std::swap(i, j);
    steps.push_back({{i, j}, labels_of(best_[a].kept | best_[b].kept), labels_of(best_[some].kept)});
    left_.erase(left_.begin() + j);
    left_.erase(left_.begin() + i);
    left_.push_back(some);
  }
  int place(Terms some) const { return static_cast<int>(std::find(left_.begin(), left_.end(), some) - left_.begin()); }

  const Labels& all_;
  const Extents& extents_;
  std::vector<Part> best_;
  std::vector<Terms> left_;
};

// By how much memory goes away, then by work; terms that share no label only when no others are left.
std::vector<EinsumStep> greedy(std::vector<Labels> left, const Labels& output, const Extents& extents) {
  std::vector<EinsumStep> steps;
  while (left.size() > 1) {
    EinsumStep best;
    double best_removed = 0, best_work = 0;
    bool best_shares = false;
    for (size_t i = 0; i < left.size(); ++i)
      for (size_t j = i + 1; j < left.size(); ++j) {
        Labels needed = output;
        for (size_t k = 0; k < left.size(); ++k)
          if (k != i && k != j) needed = joined(needed, left[k]);
        const Labels both = joined(left[i], left[j]);
        const bool shares = both.size() < left[i].size() + left[j].size();
        if (best_shares && !shares) continue;
        Labels after;
        for (Label l : both)
          if (holds(needed, l)) after.push_back(l);
        const double work = size_of_labels(both, extents);
        const double removed =
            size_of_labels(left[i], extents) + size_of_labels(left[j], extents) - size_of_labels(after, extents);
        const bool better = removed > best_removed || (removed == best_removed && work < best_work);
        if (best.positions.empty() || (shares && !best_shares) || better) {
          best = {{static_cast<int>(i), static_cast<int>(j)}, both, after};
          best_removed = removed;
          best_work = work;
          best_shares = shares;
        }
      }
    left.erase(left.begin() + best.positions[1]);
    left.erase(left.begin() + best.positions[0]);
    left.push_back(best.after);
    steps.push_back(std::move(best));
  }
  return steps;
}

}  // namespace

Labels joined(const Labels& a, const Labels& b) {
  Labels out;
  for (const Labels* labels : {&a, &b})
    for (Label l : *labels)
      if (!holds(out, l)) out.push_back(l);
  return out;
}

double size_of_labels(const Labels& labels, const Extents& extents) {
  double n = 1;
  for (Label l : labels) n *= static_cast<double>(extents.at(l).value());
  return n;
}

std::vector<EinsumStep> einsum_steps(const std::vector<Labels>& terms, const Labels& output, const Extents& extents) {
  std::vector<Labels> once;
  Labels all;
  for (const Labels& labels : terms) {
    once.push_back(joined(labels, {}));
    all = joined(all, labels);
  }
  if (once.size() == 1) return {{{0}, once[0], output}};
  if (once.size() >= 4 && once.size() <= 8 && all.size() <= 64) return Cheapest(once, output, all, extents).steps;
  return greedy(std::move(once), output, extents);
}

}  // namespace plait
