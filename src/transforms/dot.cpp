#include <unordered_map>
#include <unordered_set>

#include "graph/op.h"
#include "plait/export_function.h"

namespace plait {
namespace {

/// Text between quotes, whatever it is made of.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out + "\"";
}

std::string label_of(const Node& node) {
  std::string out = node.op->name;
  if (node.attrs)
    for (const auto& field : node.op->attrs)
      out += "\n" + field->name + " " + to_string(field->get(node.attrs->data()));
  return out;
}

struct Found {
  Ref<Node> node;
  bool computed;  // these two as they were when it was found
  std::vector<Array> inputs;
};

/// Everything below the arrays that is not computed, inputs first.
std::vector<Found> pending_below(const Arrays& arrays) {
  std::vector<Found> out;
  std::unordered_set<const Node*> listed;
  struct Frame {
    Found found;
    uint32_t next = 0;
  };
  std::vector<Frame> stack;
  const auto enter = [&](Node* node) {
    if (!listed.insert(node).second) return;
    Found found{Ref<Node>::share(node), node->done(), {}};
    if (!found.computed) found.inputs.assign(node->inputs.begin(), node->inputs.end());
    stack.push_back({std::move(found)});
  };
  const std::lock_guard lock(graph_mutex());  // nobody takes inputs away meanwhile
  for (const Array& root : arrays) {
    enter(root.node());
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.next < top.found.inputs.size()) {
        enter(top.found.inputs[top.next++].node());
        continue;
      }
      out.push_back(std::move(top.found));
      stack.pop_back();
    }
  }
  return out;
}

}  // namespace

std::string graph_to_dot(const Arrays& arrays, const std::vector<std::pair<std::string, Array>>& names) {
  Arrays roots = arrays;
  for (const auto& [name, a] : names) roots.push_back(a);
  const std::vector<Found> nodes = pending_below(roots);
  std::unordered_map<const Node*, size_t> numbers;
  for (size_t i = 0; i < nodes.size(); ++i) numbers[&*nodes[i].node] = i;
  const auto value = [&](const Node* node, uint32_t output) {
    return "\"v" + std::to_string(numbers.at(node)) + (output > 0 ? "." + std::to_string(output) : "") + "\"";
  };
  const auto label = [&](const Node& node, uint32_t output) {
    const Aval& aval = node.avals[output];
    std::string out = std::string(name_of(aval.dtype)) + " " + to_string(aval.shape);
    for (const auto& [name, a] : names)
      if (a.node() == &node && a.index() == output) out = name + "\n" + out;
    return quoted(out);
  };
  std::string out = "digraph {\n";
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = *nodes[i].node;
    const std::string box = "\"op" + std::to_string(i) + "\"";
    if (!nodes[i].computed) {
      out += box + " [label=" + quoted(label_of(node)) + ", shape=rectangle];\n";
      for (const Array& in : nodes[i].inputs) out += value(in.node(), in.index()) + " -> " + box + ";\n";
    }
    for (uint32_t k = 0; k < node.avals.size(); ++k) {
      const std::string name = value(&node, k);
      out += name + " [label=" + label(node, k) + "];\n";
      out += !nodes[i].computed ? box + " -> " + name + ";\n" : "{ rank=source; " + name + "; }\n";
    }
  }
  for (const Array& root : roots) out += "{ rank=sink; " + value(root.node(), root.index()) + "; }\n";
  return out + "}\n";
}

}  // namespace plait
