#include "engine/structure.h"

#include "graph/op.h"

namespace plait::engine {

Structure structure_of(const Graph& graph, bool fused) {
  Structure s;
  s.fused = fused;
  Hasher operations, attributes, dtypes, ranks, leaves;
  for (const Node* node : graph.nodes) {
    operations.add(uint64_t{node->op->id});
    if (!node->attrs) continue;
    for (const auto& field : node->op->attrs)
      if (!field->bound) field->hash(node->attrs->data(), attributes);
  }
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    dtypes.add(graph.dtype(v));
    ranks.add(graph.rank(v));
    leaves.add(graph.values[v].leaf);
  }
  s.operations = operations.key();
  s.connections = Hasher().add(graph.inputs).hash();
  s.attributes = attributes.hash();
  s.dtypes = dtypes.hash();
  s.ranks = ranks.hash();
  s.extents = Hasher().add(graph.symbols).hash();
  s.leaves = leaves.hash();
  s.held = Hasher().add(graph.needed).hash();
  s.places = Hasher().add(graph.places).hash();
  return s;
}

const char* difference(const Structure& graph, const Structure& known) {
  if (graph.fused != known.fused) return "fusion was switched";
  if (graph.leaves != known.leaves) return "other values were computed before";
  if (graph.connections != known.connections) return "the same operations, connected otherwise";
  if (graph.attributes != known.attributes) return "another attribute, such as an axis";
  if (graph.dtypes != known.dtypes) return "other dtypes";
  if (graph.ranks != known.ranks) return "other ranks";
  if (graph.extents != known.extents) return "an extent became 1, or equal to another, or ceased to be";
  if (graph.held != known.held) return "the program holds other results";
  if (graph.places != known.places) return "another device or stream";
  return "";
}

}  // namespace plait::engine
