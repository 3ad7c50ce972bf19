#include <cctype>
#include <map>
#include <string>

#include "ops/einsum_path.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

// Labels of axes under an ellipsis are counted from the last; these broadcast.
constexpr Label kEllipsis = 1000;

struct Term {
  Array array;
  Labels labels;
};

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
  std::string text;  // without spaces, with its output
};

[[noreturn]] void reject(std::string got, std::string accepts) {
  throw ShapeError({.op = "einsum", .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}

// The labels of one term; an ellipsis stands for `covered` axes.
Labels labels_of(const std::string& term, int covered) {
  Labels out;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term.compare(i, 3, "...") == 0) {
      for (int k = covered; k > 0; --k) out.push_back(kEllipsis + k);
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(term[i]))) {
      out.push_back(term[i]);
    } else {
      reject("the character '" + std::string(1, term[i]) + "'", "letters, commas, one ellipsis a term, and ->");
    }
  }
  return out;
}

Equation parse(std::string_view subscripts, const Arrays& operands) {
  Equation e;
  std::string text;
  for (char c : subscripts)
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  std::vector<std::string> terms(1);
  for (char c : text.substr(0, arrow)) {
    if (c == ',') {
      terms.emplace_back();
    } else {
      terms.back() += c;
    }
  }
  if (terms.size() != operands.size())
    reject(std::to_string(terms.size()) + " terms and " + std::to_string(operands.size()) + " arrays",
           "a term for each array");
  int widest = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const bool open = terms[i].find("...") != std::string::npos;
    const int covered = operands[i].rank() - static_cast<int>(labels_of(terms[i], 0).size());
    if (covered < 0 || (covered > 0 && !open))
      reject("the term '" + terms[i] + "' for an array of shape " + to_string(operands[i].shape()),
             "a letter for each axis");
    e.inputs.push_back(labels_of(terms[i], covered));
    widest = std::max(widest, open ? covered : 0);
  }
  if (arrow != std::string::npos) {
    e.output = labels_of(text.substr(arrow + 2), widest);
    e.text = text;
  } else {  // axes under ellipses, then letters that occur once, sorted
    for (int k = widest; k > 0; --k) e.output.push_back(kEllipsis + k);
    std::map<Label, int> seen;
    for (const Labels& labels : e.inputs)
      for (Label l : labels) ++seen[l];
    e.text = text + "->" + (widest > 0 ? "..." : "");
    for (const auto& [l, count] : seen)
      if (l < kEllipsis && count == 1) {
        e.output.push_back(l);
        e.text += static_cast<char>(l);
      }
  }
  for (size_t i = 0; i < e.output.size(); ++i) {
    const Label l = e.output[i];
    const bool known =
        std::any_of(e.inputs.begin(), e.inputs.end(), [&](const Labels& labels) { return holds(labels, l); });
    if (!known || std::count(e.output.begin(), e.output.end(), l) > 1)
      reject("the output of '" + e.text + "'", "labels of the terms, each once");
  }
  return e;
}

Extents extents_of(const Equation& e, const Arrays& operands) {
  Extents out;
  for (size_t i = 0; i < operands.size(); ++i)
    for (size_t k = 0; k < e.inputs[i].size(); ++k) {
      const Label l = e.inputs[i][k];
      const Dim d = operands[i].shape()[k];
      const auto [at, fresh] = out.try_emplace(l, d);
      if (fresh || at->second == d) continue;
      if (l > kEllipsis && at->second == 1) {
        at->second = d;
      } else if (!(l > kEllipsis && d == 1)) {
        reject("one label for extents " + std::to_string(at->second.value()) + " and " + std::to_string(d.value()),
               "equal extents");
      }
    }
  return out;
}

int place(const Labels& labels, Label l) {
  return static_cast<int>(std::find(labels.begin(), labels.end(), l) - labels.begin());
}

// Repeated labels become one axis, and axes that nobody else names are summed.
Term simplified(Term t, const Labels& needed) {
  for (size_t i = 0; i < t.labels.size(); ++i) {
    const Label l = t.labels[i];
    const auto again = std::find(t.labels.begin() + static_cast<int64_t>(i) + 1, t.labels.end(), l);
    if (again == t.labels.end()) continue;
    t.array = diagonal(t.array, 0, static_cast<int>(i), static_cast<int>(again - t.labels.begin()));
    t.labels.erase(again);
    t.labels.erase(t.labels.begin() + static_cast<int64_t>(i));
    t.labels.push_back(l);
    return simplified(std::move(t), needed);
  }
  std::vector<int> gone;
  Labels kept;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (holds(needed, t.labels[i])) {
      kept.push_back(t.labels[i]);
    } else {
      gone.push_back(static_cast<int>(i));
    }
  }
  if (!gone.empty()) t = {sum(t.array, gone, false), kept};
  return t;
}

// The axes of t in the order of `labels`, with extent 1 where it has none.
Array aligned(const Term& t, const Labels& labels) {
  std::vector<int> order, missing;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (holds(t.labels, labels[i])) {
      order.push_back(place(t.labels, labels[i]));
    } else {
      missing.push_back(static_cast<int>(i));
    }
  }
  return expand_dims(transpose(t.array, order), missing);
}

Array as_matrices(const Term& t, const Labels& batch, const Labels& rows, const Labels& columns,
                  const Extents& extents) {
  Labels order = batch;
  Shape wide, shape;
  Dim n = 1, m = 1;
  for (Label l : batch) shape.push_back(extents.at(l));
  for (Label l : rows) {
    order.push_back(l);
    n *= extents.at(l);
  }
  for (Label l : columns) {
    order.push_back(l);
    m *= extents.at(l);
  }
  for (Label l : order) wide.push_back(extents.at(l));
  shape.push_back(n);
  shape.push_back(m);
  return reshape(broadcast_to(aligned(t, order), wide), shape);
}

Term contracted(const Term& a, const Term& b, const Labels& needed, const Extents& extents) {
  Labels batch, summed, left, right;
  for (Label l : a.labels) (holds(b.labels, l) ? holds(needed, l) ? batch : summed : left).push_back(l);
  for (Label l : b.labels)
    if (!holds(a.labels, l)) right.push_back(l);
  Labels labels = batch;
  labels.insert(labels.end(), left.begin(), left.end());
  labels.insert(labels.end(), right.begin(), right.end());
  if (summed.empty() || !is_inexact(promote(a.array.dtype(), b.array.dtype()))) {
    Labels all = labels;
    all.insert(all.end(), summed.begin(), summed.end());
    // Narrow integers are widened as sum widens them, before their products wrap around.
    const auto wide = [&](const Array& x) { return summed.empty() ? x : sum(x, std::vector<int>{}); };
    return simplified({multiply(wide(aligned(a, all)), wide(aligned(b, all))), all}, needed);
  }
  const Array product =
      matmul(as_matrices(a, batch, left, summed, extents), as_matrices(b, batch, summed, right, extents));
  Shape shape;
  for (Label l : labels) shape.push_back(extents.at(l));
  return {reshape(product, shape), labels};
}

Labels needed_beside(const std::vector<Term>& terms, const Labels& output, size_t i, size_t j) {
  Labels needed = output;
  for (size_t k = 0; k < terms.size(); ++k)
    if (k != i && k != j) needed = joined(needed, terms[k].labels);
  return needed;
}

}  // namespace

Array einsum(std::string_view subscripts, const Arrays& operands) {
  const Equation e = parse(subscripts, operands);
  const Extents extents = extents_of(e, operands);
  std::vector<Term> terms;
  for (size_t i = 0; i < operands.size(); ++i) terms.push_back({operands[i], e.inputs[i]});
  for (size_t i = 0; i < terms.size(); ++i) terms[i] = simplified(terms[i], needed_beside(terms, e.output, i, i));
  for (const EinsumStep& step : einsum_steps(e.inputs, e.output, extents)) {
    if (step.positions.size() < 2) break;
    const auto i = static_cast<size_t>(step.positions[0]), j = static_cast<size_t>(step.positions[1]);
    Term result = contracted(terms[i], terms[j], needed_beside(terms, e.output, i, j), extents);
    terms.erase(terms.begin() + static_cast<int64_t>(j));
    terms.erase(terms.begin() + static_cast<int64_t>(i));
    terms.push_back(std::move(result));
  }
  return aligned(simplified(terms[0], e.output), e.output);
}

std::pair<std::vector<std::vector<int>>, std::string> einsum_path(std::string_view subscripts, const Arrays& operands) {
  const Equation e = parse(subscripts, operands);
  const Extents extents = extents_of(e, operands);
  Labels all;
  for (const Labels& labels : e.inputs) all = joined(all, labels);
  const double naive = size_of_labels(all, extents) * static_cast<double>(std::max<size_t>(operands.size(), 1));
  std::vector<std::vector<int>> path;
  size_t scaling = 0;
  double work = 0;
  for (const EinsumStep& step : einsum_steps(e.inputs, e.output, extents)) {
    path.push_back(step.positions);
    scaling = std::max(scaling, step.before.size());
    work += step.work(extents);
  }
  const auto whole = [](double x) {  // more than 64 bits may count
    const std::string text = std::to_string(x);
    return text.substr(0, text.find('.'));
  };
  return {path, "  Complete contraction:  " + e.text + "\n         Naive scaling:  " + std::to_string(all.size()) +
                    "\n     Optimized scaling:  " + std::to_string(scaling) +
                    "\n      Naive FLOP count:  " + whole(naive) + "\n  Optimized FLOP count:  " + whole(work) + "\n"};
}

void register_einsum(OpRegistry& ops) {
  ops.function("einsum")
      .signature("(subscripts: str, *operands: array, stream: StreamOrDevice = None) -> array")
      .summary("Sums of products over axes that share a letter.")
      .details(
          "subscripts: a letter for each axis of each array, as 'ij,jk->ik'; an ellipsis stands for axes that broadcast. Without -> letters that occur once are kept, sorted. From four to eight arrays are contracted in the order with the least work, others by what frees most memory next; einsum_path says which. Errors: ValueError.")
      .oracle("np.einsum(subscripts, *[x if x.dtype.kind in 'fc' else x.astype(int) for x in operands])")
      .sample("(2, 3), (3, 4)", "subscripts='ij,jk->ik'")
      .sample("(3, 3)", "subscripts='ii->i'")
      .sample("(2, 3), (3, 4), (4, 5)", "subscripts='ij,jk,kl->il'")
      .sample("(5, 2, 3), (3, 4)", "subscripts='...ij,...jk->...ik'")
      .sample("(2, 3)", "subscripts='ij'")
      .sample("[[100, 100], [3, 2]], [[100, 3], [100, 2]]", "subscripts='ij,jk->ik'")
      .rejects("(2,), (3,)", "subscripts='i,i->'", "ValueError")
      .rejects("(2,)", "subscripts='i->j'", "ValueError");
}

}  // namespace plait
