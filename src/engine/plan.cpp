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
      } else if (r_.roles[node] == Role::kernel || r_.demanded[g_.first_value[node]]) {
        unit_of_[node] = static_cast<uint32_t>(units_.size());
        units_.push_back({{node}, kNoGroup, 0, {}});
      }
    }
  }

  // The unit that puts v in memory for a reader outside of it.
  void connect() {
    for (uint32_t u = 0; u < units_.size(); ++u) {
      std::vector<uint32_t> before;
      for (uint32_t node : units_[u].nodes) {
        if (r_.roles[node] == Role::constant) continue;
        for (ValueId v : g_.inputs_of(node)) {
          const ValueId source = r_.roles[node] == Role::grouped ? r_.base_of(g_, v).value : v;
          const int64_t p = producer(g_, source);
          if (p < 0 || unit_of_[static_cast<size_t>(p)] == kNone || unit_of_[static_cast<size_t>(p)] == u) continue;
          before.push_back(unit_of_[static_cast<size_t>(p)]);
        }
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
    }
    plan_->steps.push_back(std::move(step));
  }

  void find_deaths() {
    std::vector<uint32_t> last(g_.values.size(), kNone);
    for (uint32_t s = 0; s < plan_->steps.size(); ++s) {
      const Step& step = plan_->steps[s];
      if (step.kind == Step::Kind::region) {
        for (const auto& in : plan_->regions[step.region].inputs) last[in.value] = s;
        for (const auto& out : plan_->regions[step.region].outputs) last[out.value] = s;
      } else {
        for (ValueId v : g_.inputs_of(step.node)) last[v] = s;
        for (size_t k = 0; k < g_.nodes[step.node]->avals.size(); ++k) last[g_.first_value[step.node] + k] = s;
      }
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
