#include "engine/plan.h"

#include <algorithm>

#include "base/trace.h"
#include "engine/devices.h"
#include "engine/explain.h"
#include "engine/fuse.h"
#include "engine/order.h"
#include "engine/verify.h"
#include "graph/op.h"

namespace plait::engine {
namespace {

constexpr uint32_t kNone = ~0u;

// What runs as one: a region, or a node on its own.
struct Unit {
  std::vector<uint32_t> nodes;
  int32_t group = kNoGroup;
};

class Planner {
 public:
  Planner(const Graph& graph, bool fuse)
      : g_(graph), fuse_(fuse), r_(form_regions(graph, fuse ? Fuse::quickly : Fuse::nothing)) {}

  std::unique_ptr<Plan> run() {
    std::vector<Step> steps = arranged();
    if (in_circle()) {
      static trace::Counter again("plans cut again: regions in a circle");
      again.add();
      r_ = form_regions(g_, Fuse::exactly);
      steps = arranged();
    }
    weigh(steps);
    for (const uint32_t u : order_of(work_, sizes_)) plan_->steps.push_back(std::move(steps[u]));
    find_deaths();
    if (verifying()) verify_plan(g_, *plan_);
    if (dumping("planned")) dump("planned", debug::to_string(described(*plan_, g_)));
    return std::move(plan_);
  }

 private:
  // The steps of all units, and who waits for whom.
  std::vector<Step> arranged() {
    if (verifying()) verify_regions(g_, r_);
    make_units();
    plan_ = std::make_unique<Plan>();
    plan_->node_count = g_.nodes.size();
    plan_->structure = structure_of(g_, fuse_);
    std::vector<Step> steps;
    for (const Unit& unit : units_) steps.push_back(step_of(unit));
    connect(steps);
    return steps;
  }

  // Whether some units wait for each other.
  bool in_circle() const {
    std::vector<uint32_t> waits, ready;
    for (uint32_t u = 0; u < work_.size(); ++u) {
      waits.push_back(work_[u].waits);
      if (waits[u] == 0) ready.push_back(u);
    }
    size_t done = 0;
    for (; done < ready.size(); ++done)
      for (const uint32_t user : work_[ready[done]].users)
        if (--waits[user] == 0) ready.push_back(user);
    return done < work_.size();
  }

  void make_units() {
    units_.clear();
    unit_of_.assign(g_.nodes.size(), kNone);
    std::vector<uint32_t> unit_of_group(r_.groups.size(), kNone);
    for (uint32_t node = 0; node < g_.nodes.size(); ++node) {
      const int32_t group = r_.group_of[node];
      if (group != kNoGroup) {
        const auto& members = r_.groups[group].nodes;
        if (std::none_of(members.begin(), members.end(), [&](uint32_t n) { return is_demanded(n); })) continue;
        if (unit_of_group[group] == kNone) {
          unit_of_group[group] = static_cast<uint32_t>(units_.size());
          units_.push_back({r_.groups[group].nodes, group});
        }
        unit_of_[node] = unit_of_group[group];
      } else if (r_.roles[node] == Role::kernel || is_demanded(node)) {
        unit_of_[node] = static_cast<uint32_t>(units_.size());
        units_.push_back({{node}});
      }
    }
  }

  bool is_demanded(uint32_t node) const {
    const auto first = r_.demanded.begin() + g_.first_value[node];
    return std::any_of(first, first + static_cast<std::ptrdiff_t>(g_.nodes[node]->avals.size()),
                       [](uint8_t demanded) { return demanded != 0; });
  }

  std::vector<Step::Alias> aliases_of(uint32_t node) const {
    std::vector<Step::Alias> out;
    for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k) {
      const auto v = static_cast<ValueId>(g_.first_value[node] + k);
      if (r_.demanded[v]) out.push_back({aliased(g_, v), v});
    }
    return out;
  }

  // A unit waits for those that put in memory what it reads, a barrier for those of all its inputs.
  void connect(const std::vector<Step>& steps) {
    work_.assign(units_.size(), {});
    for (uint32_t u = 0; u < units_.size(); ++u) {
      std::vector<ValueId> sources = reads_of(*plan_, g_, steps[u]);
      if (r_.roles[units_[u].nodes[0]] == Role::barrier)
        for (ValueId v : g_.inputs_of(units_[u].nodes[0])) sources.push_back(r_.base_of(g_, v).value);
      std::vector<uint32_t> before;
      for (ValueId v : sources) {
        const int64_t p = producer(g_, v);
        if (p >= 0 && unit_of_[static_cast<size_t>(p)] != kNone) before.push_back(unit_of_[static_cast<size_t>(p)]);
      }
      std::sort(before.begin(), before.end());
      before.erase(std::unique(before.begin(), before.end()), before.end());
      for (uint32_t b : before) work_[b].users.push_back(u);
      work_[u].waits = static_cast<uint32_t>(before.size());
      work_[u].on_cpu = g_.places[units_[u].nodes[0]] == kCpu;
    }
  }

  Step step_of(const Unit& unit) {
    Step step;
    const uint32_t node = unit.nodes[0];
    step.node = node;
    step.place = g_.places[node];
    if (unit.group != kNoGroup || r_.roles[node] == Role::constant) {
      step.kind = Step::Kind::region;
      step.region = static_cast<uint32_t>(plan_->regions.size());
      plan_->regions.push_back(unit.group != kNoGroup ? lower_group(g_, r_, r_.groups[unit.group])
                                                      : lower_constant(g_, node));
    } else if (g_.nodes[node]->op->kind == OpKind::control) {
      step.kind = Step::Kind::control;
    } else if (r_.roles[node] == Role::kernel) {
      step.kind = Step::Kind::kernel;
      step.kernel = kernels().find(g_.nodes[node]->op->name);
      check_internal(step.kernel != nullptr, ("no kernel for " + g_.nodes[node]->op->name).c_str());
      if (step.place != kCpu) step.device_kernel = device_backend()->find_kernel(g_.nodes[node]->op->name);
    } else {
      step.kind = Step::Kind::view;
      if (passes_on(g_.nodes[node]->op)) step.aliases = aliases_of(node);
    }
    return step;
  }

  // Which memory each step needs and may free. What may take over the memory of an input needs none; views share that of
  // what they show.
  void weigh(const std::vector<Step>& steps) {
    sizes_.assign(g_.values.size(), 0);  // blocks are named by the value that was there first
    std::vector<ValueId> block(g_.values.size());
    std::vector<uint8_t> stays(g_.values.size());
    for (ValueId v = 0; v < g_.values.size(); ++v) {
      block[v] = v;
      sizes_[v] = relative_size(g_, v);
    }
    for (const Step& step : steps) {
      if (step.kind != Step::Kind::view) continue;
      for (const Step::Alias& alias : step.aliases) block[alias.to] = block[alias.from];
      if (step.aliases.empty()) block[g_.first_value[step.node]] = block[g_.inputs_of(step.node)[0]];
    }
    for (ValueId v = 0; v < g_.values.size(); ++v)
      if (g_.values[v].leaf || g_.needed[g_.values[v].producer]) stays[block[v]] = 1;
    for (uint32_t u = 0; u < steps.size(); ++u) {
      std::vector<uint32_t> read;
      for (const ValueId v : reads_of(*plan_, g_, steps[u])) read.push_back(block[v]);
      for (const ValueId v : writes_of(*plan_, g_, steps[u])) {
        if (steps[u].kind == Step::Kind::view) continue;
        const ValueId donor = donor_of(steps[u], v);
        if (donor == v)
          work_[u].takes += sizes_[v];
        else
          std::erase(read, block[donor]);
      }
      std::sort(read.begin(), read.end());
      read.erase(std::unique(read.begin(), read.end()), read.end());
      for (const uint32_t b : read)
        if (!stays[b]) work_[u].frees.push_back(b);
    }
  }

  // The first choice of whose memory output v takes over, or v itself.
  ValueId donor_of(const Step& step, ValueId v) const {
    if (step.kind == Step::Kind::control) return v;
    if (step.kind == Step::Kind::kernel)
      return step.kernel->output_aliases_input0 && g_.values[v].output == 0 ? g_.inputs_of(step.node)[0] : v;
    const RegionStep& region = plan_->regions[step.region];
    for (size_t o = 0; o < region.outputs.size(); ++o)
      if (region.outputs[o].value == v && !region.donors[o].empty())
        return region.inputs[static_cast<size_t>(region.donors[o][0])].value;
    return v;
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
  const bool fuse_;
  Regions r_;
  std::vector<Unit> units_;
  std::vector<uint32_t> unit_of_;
  std::vector<Work> work_;  // per unit
  std::vector<double> sizes_;  // per block of memory
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

}  // namespace plait::engine
