// What regions see through: views that only rename axes, placeholders and aliases.
#include <algorithm>

#include "engine/fuse.h"
#include "graph/core_attrs.h"
#include "graph/registry.h"

namespace plait::engine {
namespace {

enum class IndexMap : uint8_t { none, broadcast, expand, squeeze, reshape };

IndexMap index_map_kind(const OpDef* op) {
  static const OpDef* broadcast = registry().find("broadcast_to");
  static const OpDef* expand = registry().find("expand_dims");
  static const OpDef* squeeze = registry().find("squeeze");
  static const OpDef* reshape = registry().find("reshape");
  if (op == broadcast) return IndexMap::broadcast;
  if (op == expand) return IndexMap::expand;
  if (op == squeeze) return IndexMap::squeeze;
  if (op == reshape) return IndexMap::reshape;
  return IndexMap::none;
}

// Whether two shapes differ only by extents of 1.
bool same_but_ones(std::span<const SymbolId> a, std::span<const SymbolId> b) {
  size_t i = 0, j = 0;
  for (;;) {
    while (i < a.size() && a[i] == 1) ++i;
    while (j < b.size() && b[j] == 1) ++j;
    if (i == a.size() || j == b.size()) return i == a.size() && j == b.size();
    if (a[i++] != b[j++]) return false;
  }
}

// Axes of the input of an index map in terms of its output's axes.
AxisMap through(const Graph& g, ValueId out, IndexMap kind) {
  const uint32_t node = g.values[out].producer;
  const ValueId in = g.inputs_of(node)[0];
  const auto from = g.shape(in);
  const auto to = g.shape(out);
  AxisMap axes(from.size(), kNoAxis);
  switch (kind) {
    case IndexMap::broadcast: return aligned(g, in, out);
    case IndexMap::expand: {
      const auto& added = g.nodes[node]->attrs_as<ExpandDimsAttrs>().axes;
      size_t i = 0;
      for (size_t o = 0; o < to.size(); ++o)
        if (!std::binary_search(added.begin(), added.end(), static_cast<int>(o))) axes[i++] = static_cast<int8_t>(o);
      break;
    }
    case IndexMap::squeeze: {
      const auto& removed = g.nodes[node]->attrs_as<SqueezeAttrs>().axes;
      int8_t o = 0;
      for (size_t i = 0; i < from.size(); ++i)
        if (!std::binary_search(removed.begin(), removed.end(), static_cast<int>(i))) axes[i] = o++;
      break;
    }
    case IndexMap::reshape: {
      size_t o = 0;
      for (size_t i = 0; i < from.size(); ++i) {
        if (from[i] == 1) continue;
        while (to[o] == 1) ++o;
        axes[i] = static_cast<int8_t>(o++);
      }
      break;
    }
    case IndexMap::none: return identity(to.size());  // a placeholder or an alias
  }
  return axes;
}

}  // namespace

AxisMap identity(size_t rank) {
  AxisMap axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = static_cast<int8_t>(i);
  return axes;
}

AxisMap composed(const AxisMap& inner, const AxisMap& outer) {
  AxisMap axes(inner.size(), kNoAxis);
  for (size_t i = 0; i < inner.size(); ++i)
    if (inner[i] != kNoAxis) axes[i] = outer[static_cast<size_t>(inner[i])];
  return axes;
}

double relative_size(const Graph& graph, ValueId v) {
  constexpr double kExtent = 64;
  double size = size_of(graph.dtype(v));
  for (const SymbolId s : graph.shape(v)) size *= s == 1 ? 1 : kExtent;
  return size;
}

AxisMap aligned(const Graph& graph, ValueId v, ValueId output) {
  const auto from = graph.shape(v);
  const auto to = graph.shape(output);
  AxisMap axes(from.size(), kNoAxis);
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t o = i + to.size() - from.size();
    if (from[i] == to[o]) axes[i] = static_cast<int8_t>(o);
  }
  return axes;
}

AxisMap operand_axes(const Graph& graph, ValueId v, ValueId output, const AxisMap& axes) {
  return composed(aligned(graph, v, output), axes);
}

int64_t producer(const Graph& graph, ValueId v) {
  return graph.values[v].leaf ? int64_t{-1} : int64_t{graph.values[v].producer};
}

bool passes_on(const OpDef* op) { return op->kind == OpKind::placeholder || op->kind == OpKind::alias; }

ValueId aliased(const Graph& graph, ValueId v) {
  const uint32_t node = graph.values[v].producer;
  const auto inputs = graph.inputs_of(node);
  return inputs[inputs.size() - graph.nodes[node]->avals.size() + graph.values[v].output];
}

Base Regions::base_of(const Graph& graph, ValueId v) const {
  Base base{v, identity(graph.shape(v).size())};
  for (;;) {
    const int64_t node = producer(graph, base.value);
    if (node < 0 || roles[static_cast<size_t>(node)] != Role::index_map) return base;
    const auto n = static_cast<uint32_t>(node);
    base.axes = composed(through(graph, base.value, index_map_kind(graph.nodes[n]->op)), base.axes);
    base.value = passes_on(graph.nodes[n]->op) ? aliased(graph, base.value) : graph.inputs_of(n)[0];
  }
}

bool sees_through(const Graph& graph, uint32_t node) {
  const IndexMap kind = index_map_kind(graph.nodes[node]->op);
  if (kind != IndexMap::reshape) return kind != IndexMap::none;
  return same_but_ones(graph.shape(graph.inputs_of(node)[0]), graph.shape(graph.first_value[node]));
}

}  // namespace plait::engine
