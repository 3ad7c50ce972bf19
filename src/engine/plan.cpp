#include "engine/plan.h"

#include <algorithm>
#include <queue>

#include "engine/devices.h"
#include "engine/fuse.h"
#include "engine/verify.h"
#include "graph/op.h"

namespace plait::engine {
namespace {

constexpr uint32_t kNone = ~0u;

// What runs as one: a region, or a node on its own.
struct Unit {
  std::vector<uint32_t> nodes;
  int32_t group = kNoGroup;
  uint32_t waits = 0;
  std::vector<uint32_t> users;
};

class Planner {
 public:
  Planner(const Graph& graph, bool fuse) : g_(graph), r_(form_regions(graph, fuse)) {}

  std::unique_ptr<Plan> run() {
    if (verifying()) verify_regions(g_, r_);
    make_units();
    connect();
    plan_ = std::make_unique<Plan>();
    plan_->node_count = g_.nodes.size();
    // The oldest unit that is ready goes first: the order the user wrote, which keeps lifetimes short. Before it go those
    // of devices: they are only enqueued, and run while the CPU works.
    const auto later = [&](uint32_t a, uint32_t b) {
      const bool on_cpu_a = place_of(a) == kCpu, on_cpu_b = place_of(b) == kCpu;
      return on_cpu_a != on_cpu_b ? on_cpu_a : a > b;
    };
    std::priority_queue<uint32_t, std::vector<uint32_t>, decltype(later)> ready(later);
    for (uint32_t u = 0; u < units_.size(); ++u)
      if (units_[u].waits == 0) ready.push(u);
    size_t done = 0;
    while (!ready.empty()) {
      const uint32_t u = ready.top();
      ready.pop();
      emit(units_[u]);
      ++done;
      for (uint32_t user : units_[u].users)
        if (--units_[user].waits == 0) ready.push(user);
    }
    check_internal(done == units_.size(), "the regions of a plan depend on each other in a circle");
    find_deaths();
    if (verifying()) verify_plan(g_, *plan_);
    if (dumping("planned")) dump("planned", to_string(*plan_, g_));
    return std::move(plan_);
  }

 private:
  Place place_of(uint32_t unit) const { return g_.places[units_[unit].nodes[0]]; }

  void make_units() {
    unit_of_.assign(g_.nodes.size(), kNone);
    std::vector<uint32_t> unit_of_group(r_.groups.size(), kNone);
    for (uint32_t node = 0; node < g_.nodes.size(); ++node) {
      const int32_t group = r_.group_of[node];
      if (group != kNoGroup) {
        if (unit_of_group[group] == kNone) {
          unit_of_group[group] = static_cast<uint32_t>(units_.size());
          units_.push_back({r_.groups[group].nodes, group, 0, {}});
        }
        unit_of_[node] = unit_of_group[group];
      } else if (r_.roles[node] == Role::kernel || is_demanded(node)) {
        unit_of_[node] = static_cast<uint32_t>(units_.size());
        units_.push_back({{node}, kNoGroup, 0, {}});
      }
    }
  }

  bool is_demanded(uint32_t node) const {
    const auto first = r_.demanded.begin() + g_.first_value[node];
    return std::any_of(first, first + static_cast<std::ptrdiff_t>(g_.nodes[node]->avals.size()),
                       [](uint8_t demanded) { return demanded != 0; });
  }

  // Values that have to be in memory before a unit that contains the node.
  void sources_of(uint32_t node, std::vector<ValueId>& into) const {
    const auto inputs = g_.inputs_of(node);
    const Role role = r_.roles[node];
    if (role == Role::constant) return;
    if (role == Role::grouped || role == Role::barrier)
      for (ValueId v : inputs) into.push_back(r_.base_of(g_, v).value);
    if (passes_on(g_.nodes[node]->op)) {
      for (const Step::Alias& alias : aliases_of(node)) into.push_back(alias.from);
    } else if (role != Role::grouped) {
      into.insert(into.end(), inputs.begin(), inputs.end());
    }
  }

  std::vector<Step::Alias> aliases_of(uint32_t node) const {
    std::vector<Step::Alias> out;
    for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k) {
      const auto v = static_cast<ValueId>(g_.first_value[node] + k);
      if (r_.demanded[v]) out.push_back({aliased(g_, v), v});
    }
    return out;
  }

  // The unit that puts v in memory for a reader outside of it.
  void connect() {
    for (uint32_t u = 0; u < units_.size(); ++u) {
      std::vector<uint32_t> before;
      std::vector<ValueId> sources;
      for (uint32_t node : units_[u].nodes) sources_of(node, sources);
      for (ValueId v : sources) {
        const int64_t p = producer(g_, v);
        if (p < 0 || unit_of_[static_cast<size_t>(p)] == kNone || unit_of_[static_cast<size_t>(p)] == u) continue;
        before.push_back(unit_of_[static_cast<size_t>(p)]);
      }
      std::sort(before.begin(), before.end());
      before.erase(std::unique(before.begin(), before.end()), before.end());
      for (uint32_t b : before) units_[b].users.push_back(u);
      units_[u].waits = static_cast<uint32_t>(before.size());
    }
  }

  void emit(const Unit& unit) {
    Step step;
    const uint32_t node = unit.nodes[0];
    step.node = node;
    step.place = g_.places[node];
    if (unit.group != kNoGroup || r_.roles[node] == Role::constant) {
      step.kind = Step::Kind::region;
      step.region = static_cast<uint32_t>(plan_->regions.size());
      plan_->regions.push_back(unit.group != kNoGroup ? lower_group(g_, r_, r_.groups[unit.group])
                                                      : lower_constant(g_, node));
    } else if (r_.roles[node] == Role::kernel) {
      step.kind = Step::Kind::kernel;
      step.kernel = kernels().find(g_.nodes[node]->op->name);
      check_internal(step.kernel != nullptr, ("no kernel for " + g_.nodes[node]->op->name).c_str());
      if (step.place != kCpu) step.device_kernel = device_backend()->find_kernel(g_.nodes[node]->op->name);
    } else {
      step.kind = Step::Kind::view;
      if (passes_on(g_.nodes[node]->op)) step.aliases = aliases_of(node);
    }
    plan_->steps.push_back(std::move(step));
  }

  void find_deaths() {
    std::vector<uint32_t> last(g_.values.size(), kNone);
    for (uint32_t s = 0; s < plan_->steps.size(); ++s) {
      for (ValueId v : reads_of(*plan_, g_, plan_->steps[s])) last[v] = s;
      for (ValueId v : writes_of(*plan_, g_, plan_->steps[s])) last[v] = s;
    }
    for (ValueId v = 0; v < g_.values.size(); ++v) {
      const int64_t p = producer(g_, v);
      if (last[v] == kNone || (p >= 0 && g_.needed[static_cast<size_t>(p)])) continue;
      plan_->steps[last[v]].dies.push_back(v);
    }
  }

  const Graph& g_;
  Regions r_;
  std::vector<Unit> units_;
  std::vector<uint32_t> unit_of_;
  std::unique_ptr<Plan> plan_;
};

}  // namespace

std::unique_ptr<Plan> make_plan(const Graph& graph, bool fuse) { return Planner(graph, fuse).run(); }

std::vector<ValueId> reads_of(const Plan& plan, const Graph& graph, const Step& step) {
  std::vector<ValueId> out;
  if (step.kind == Step::Kind::region) {
    for (const auto& in : plan.regions[step.region].inputs) out.push_back(in.value);
  } else if (passes_on(graph.nodes[step.node]->op)) {
    for (const Step::Alias& alias : step.aliases) out.push_back(alias.from);
  } else {
    const auto inputs = graph.inputs_of(step.node);
    out.assign(inputs.begin(), inputs.end());
  }
  return out;
}

std::vector<ValueId> writes_of(const Plan& plan, const Graph& graph, const Step& step) {
  std::vector<ValueId> out;
  if (step.kind == Step::Kind::region) {
    for (const auto& written : plan.regions[step.region].outputs) out.push_back(written.value);
  } else if (passes_on(graph.nodes[step.node]->op)) {
    for (const Step::Alias& alias : step.aliases) out.push_back(alias.to);
  } else {
    for (size_t k = 0; k < graph.nodes[step.node]->avals.size(); ++k)
      out.push_back(static_cast<ValueId>(graph.first_value[step.node] + k));
  }
  return out;
}

std::string to_string(const Plan& plan, const Graph& graph) {
  std::string text;
  const auto names = [&](const std::vector<uint32_t>& nodes) {
    std::string joined;
    for (uint32_t n : nodes) joined += (joined.empty() ? "" : "+") + graph.nodes[n]->op->name;
    return joined;
  };
  for (const Step& step : plan.steps) {
    const char* kinds[] = {"region ", "view   ", "kernel "};
    text += kinds[static_cast<int>(step.kind)];
    text += step.kind == Step::Kind::region ? names(plan.regions[step.region].nodes) : graph.nodes[step.node]->op->name;
    const ValueId out = step.kind == Step::Kind::region ? plan.regions[step.region].extents.empty()
                                                              ? graph.first_value[step.node]
                                                              : plan.regions[step.region].extents[0].value
                                                        : graph.first_value[step.node];
    text += " " + std::string(name_of(graph.dtype(out))) + to_string(graph.aval(out).shape);
    if (step.place != kCpu) text += " on stream " + std::to_string(step.place);
    text += "\n";
  }
  return text;
}

}  // namespace plait::engine
