#include "engine/explain.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "engine/devices.h"
#include "engine/job.h"
#include "engine/plan_cache.h"
#include "graph/op.h"
#include "graph/stream.h"
#include "memory/ledger.h"
#include "memory/residency.h"

namespace plait::engine {
namespace {

// Goes through a plan as execution does, with sizes in place of memory.
class Description {
 public:
  Description(const Plan& plan, const Graph& graph, std::span<const Array> kept)
      : plan_(plan), g_(graph), memory_of_(graph.values.size(), -1), layouts_(graph.values.size()) {
    for (const Array& a : kept) ++kept_[a.node()];
    for (ValueId v = 0; v < graph.values.size(); ++v)
      if (graph.values[v].leaf) add_leaf(v);
  }

  debug::Explanation run() {
    out_.operations = static_cast<int64_t>(g_.nodes.size());
    for (const Step& step : plan_.steps) {
      row_ = {};
      step_ = &step;
      scratch_ = 0;
      switch (step.kind) {
        case Step::Kind::region: region(plan_.regions[step.region]); break;
        case Step::Kind::view: view(); break;
        case Step::Kind::kernel: kernel(); break;
        case Step::Kind::control: control(); break;
      }
      row_.bytes_held = held_ + scratch_;
      out_.peak_bytes = std::max(out_.peak_bytes, row_.bytes_held);
      for (ValueId v : step.dies) drop(v);
      out_.steps.push_back(std::move(row_));
    }
    out_.result_bytes = held_;
    return std::move(out_);
  }

 private:
  struct Memory {
    int64_t bytes = 0;
    int users = 0;
    const Buffer* buffer = nullptr;  // of values that were there before
    std::vector<int> current;        // memories; of those that were there before, that are known to be now
  };
  struct Layout {
    Strides strides;
    bool row_major = true;
    bool from_start = true;
  };

  int64_t bytes_of(ValueId v) const {
    const Aval& aval = g_.aval(v);
    return aval.shape.count_value() * size_of(aval.dtype);
  }

  void add_leaf(ValueId v) {
    const Graph::Value& value = g_.values[v];
    Layout& layout = layouts_[v];
    if (!value.node->done() || value.output >= value.node->storages.size()) {  // another evaluation is at it
      layout.strides = row_major_strides(g_.aval(v).shape);
      memory_of_[v] = add_memory({bytes_of(v), 1, nullptr, {kHost}});
      return;
    }
    const Storage& s = value.node->storages[value.output];
    layout = {s.strides, s.row_major, s.offset == 0};
    const auto [known, is_new] = by_buffer_.try_emplace(s.buffer.get(), static_cast<int>(memories_.size()));
    if (is_new) add_memory({s.buffer->bytes(), 0, s.buffer.get(), {}});
    memory_of_[v] = known->second;
    ++memories_[static_cast<size_t>(known->second)].users;
  }

  int add_memory(Memory memory) {
    memories_.push_back(std::move(memory));
    return static_cast<int>(memories_.size() - 1);
  }

  void drop(ValueId v) {
    if (memory_of_[v] < 0) return;
    Memory& memory = memories_[static_cast<size_t>(std::exchange(memory_of_[v], -1))];
    if (--memory.users == 0 && !memory.buffer) held_ -= memory.bytes;
  }

  int here() const { return on_device_ ? device_of_stream(step_->place).index : kHost; }

  void begin(std::span<const uint32_t> nodes, std::string kind, ValueId result) {
    on_device_ = step_->place != kCpu;
    row_.kind = std::move(kind);
    for (const uint32_t node : nodes) {
      row_.operations.push_back(g_.nodes[node]->op->name);
      std::string line = describe_source(g_.nodes[node]->source);
      if (!line.empty() && std::find(row_.lines.begin(), row_.lines.end(), line) == row_.lines.end())
        row_.lines.push_back(std::move(line));
    }
    row_.shape = g_.aval(result).shape;
    row_.dtype = g_.dtype(result);
    place();
  }
  void place() {
    row_.device = on_device_ ? "gpu:" + std::to_string(here()) : "cpu";
    row_.stream = on_device_ ? step_->place : 0;
  }

  void read(ValueId v) {
    row_.bytes_read += bytes_of(v);
    Memory& memory = memories_[static_cast<size_t>(memory_of_[v])];
    auto& current = memory.current;
    const bool is_here = std::find(current.begin(), current.end(), here()) != current.end() ||
                         (memory.buffer && memory::Residency::current_in(*const_cast<Buffer*>(memory.buffer), here()));
    if (is_here) return;
    int from = current.empty() ? kHost : current.front();
    if (memory.buffer && current.empty() && !memory.buffer->host_current()) {
      for (int device = 0; device < device_count(DeviceType::gpu); ++device)
        if (memory::Residency::current_in(*const_cast<Buffer*>(memory.buffer), device)) from = device;
    }
    const auto name = [](int m) { return m == kHost ? std::string("cpu") : "gpu:" + std::to_string(m); };
    row_.transfers.push_back({name(from), name(here()), memory.bytes});
    current.push_back(here());
  }

  void write(ValueId v, int memory) {
    row_.bytes_written += bytes_of(v);
    memory_of_[v] = memory;
    Memory& to = memories_[static_cast<size_t>(memory)];
    ++to.users;
    to.current = {here()};
    layouts_[v] = {row_major_strides(g_.aval(v).shape), true, true};
  }
  void write_new(ValueId v) {
    row_.bytes_allocated += bytes_of(v);
    held_ += bytes_of(v);
    write(v, add_memory({bytes_of(v), 0, nullptr, {}}));
  }

  // As Run::may_take_over.
  bool may_take_over(ValueId v) const {
    if (std::find(step_->dies.begin(), step_->dies.end(), v) == step_->dies.end()) return false;
    const Layout& layout = layouts_[v];
    if (!layout.row_major || !layout.from_start) return false;
    const Memory& memory = memories_[static_cast<size_t>(memory_of_[v])];
    if (!memory.buffer) return memory.users == 1;
    const Graph::Value& value = g_.values[v];
    const auto kept = kept_.find(value.node);
    const uint32_t uses = value.uses + (kept == kept_.end() ? 0 : kept->second);
    if (!value.leaf || any_trace_open() || value.node->avals.size() != 1 || value.node->use_count() != uses)
      return false;
    return memory.buffer->use_count() == 1 && !memory.buffer->foreign() && !memory.buffer->user_visible();
  }
  void take_over(ValueId from, ValueId to) {
    const bool leaf = g_.values[from].leaf;
    row_.notes.push_back(leaf ? "overwrites an array that nobody else holds" : "overwrites an operand");
    const int memory = memory_of_[from];
    if (leaf) {  // from now on it is the plan's
      memories_[static_cast<size_t>(memory)].buffer = nullptr;
      held_ += memories_[static_cast<size_t>(memory)].bytes;
    }
    write(to, memory);
  }

  void copy(ValueId v, const char* why) {
    scratch_ += bytes_of(v);
    row_.bytes_allocated += bytes_of(v);
    row_.notes.push_back(std::string("copies an operand: ") + why);
  }

  void region(const RegionStep& step) {
    begin(step.nodes, "region", step.outputs.front().value);
    row_.how = step.code->how();
    row_.results = static_cast<int>(step.outputs.size());
    std::vector<ValueId> inputs;
    for (const auto& in : step.inputs)
      if (std::find(inputs.begin(), inputs.end(), in.value) == inputs.end()) inputs.push_back(in.value);
    for (const ValueId v : inputs) read(v);
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const auto& donors = step.donors[o];
      const auto value_of = [&](int i) { return step.inputs[static_cast<size_t>(i)].value; };
      const auto donor = std::find_if(donors.begin(), donors.end(), [&](int i) { return may_take_over(value_of(i)); });
      if (donor != donors.end())
        take_over(value_of(*donor), step.outputs[o].value);
      else
        write_new(step.outputs[o].value);
    }
  }

  void share(ValueId to, int memory, Layout layout) {
    layouts_[to] = std::move(layout);
    memory_of_[to] = memory;
    ++memories_[static_cast<size_t>(memory)].users;
  }

  void view() {
    const Node& node = *g_.nodes[step_->node];
    const ValueId out = g_.first_value[step_->node];
    begin(std::span(&step_->node, 1), "view", step_->aliases.empty() ? out : step_->aliases.front().to);
    row_.results = std::max<int>(1, static_cast<int>(step_->aliases.size()));
    for (const Step::Alias& alias : step_->aliases) share(alias.to, memory_of_[alias.from], layouts_[alias.from]);
    if (!node.op->view) return;
    const ValueId in = g_.inputs_of(step_->node)[0];
    Layout layout = layouts_[in];
    int memory = memory_of_[in];
    ViewLayout seen;
    if (!node.op->view(node.attrs.get(), g_.aval(in), layout.strides, g_.aval(out), seen)) {
      read(in);
      row_.bytes_allocated += bytes_of(in);
      row_.bytes_written += bytes_of(in);
      held_ += bytes_of(in);
      memory = add_memory({bytes_of(in), 0, nullptr, {here()}});
      row_.notes.push_back("copies its operand: strides cannot express the result");
      layout = {row_major_strides(g_.aval(in).shape), true, true};
      node.op->view(node.attrs.get(), g_.aval(in), layout.strides, g_.aval(out), seen);
    }
    layout.row_major = is_row_major(g_.aval(out).shape, seen.strides);
    layout.from_start = layout.from_start && seen.offset == 0;
    layout.strides = std::move(seen.strides);
    share(out, memory, std::move(layout));
  }

  void kernel() {
    const auto inputs = g_.inputs_of(step_->node);
    const ValueId out = g_.first_value[step_->node];
    begin(std::span(&step_->node, 1), "kernel", out);
    const Kernel* kernel = on_device_ && step_->device_kernel ? step_->device_kernel : step_->kernel;
    if (on_device_ && !step_->device_kernel) {
      on_device_ = false;
      row_.notes.push_back(row_.device + " has no kernel for it");
      place();
    }
    const auto count = static_cast<ValueId>(g_.nodes[step_->node]->avals.size());
    row_.results = static_cast<int>(count);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (std::find(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(i), inputs[i]) ==
          inputs.begin() + static_cast<std::ptrdiff_t>(i))
        read(inputs[i]);
      if (kernel->contiguous_inputs && !layouts_[inputs[i]].row_major && !(i == 0 && kernel->output_aliases_input0))
        copy(inputs[i], "the kernel wants it row by row");
    }
    if (kernel->output_aliases_input0 && may_take_over(inputs[0])) {
      take_over(inputs[0], out);
    } else {
      write_new(out);
      if (kernel->output_aliases_input0) row_.notes.push_back("begins with a copy of its operand");
    }
    for (ValueId k = 1; k < count; ++k) write_new(out + k);
  }

  // Its programs have plans of their own.
  void control() {
    begin(std::span(&step_->node, 1), "control", g_.first_value[step_->node]);
    for (const ValueId v : reads_of(plan_, g_, *step_)) read(v);
    const std::vector<ValueId> results = writes_of(plan_, g_, *step_);
    row_.results = static_cast<int>(results.size());
    for (const ValueId v : results) write_new(v);
  }

  const Plan& plan_;
  const Graph& g_;
  debug::Explanation out_;
  std::vector<Memory> memories_;
  std::vector<int> memory_of_;  // per value; -1 while it has none
  std::vector<Layout> layouts_;
  std::unordered_map<const Buffer*, int> by_buffer_;
  std::unordered_map<const Node*, uint32_t> kept_;
  int64_t held_ = 0;

  // Of the step at hand.
  debug::PlannedStep row_;
  const Step* step_ = nullptr;
  bool on_device_ = false;
  int64_t scratch_ = 0;
};

class Stopwatch final : public Watch {
 public:
  void before(const Step& step) override {
    wait_for(step);
    start_ = std::chrono::steady_clock::now();
  }
  void after(const Step& step, Values) override {
    wait_for(step);
    durations_ns.push_back(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start_).count());
  }

  std::vector<int64_t> durations_ns;

 private:
  static void wait_for(const Step& step) {
    if (step.place != kCpu) finish({step.place, device_of_stream(step.place)});
  }
  std::chrono::steady_clock::time_point start_;
};

debug::Explanation measured(Job& job) {
  const bool known = plan_cache().peek(job.graph.key) != nullptr;
  Stopwatch watch;
  job.watch = &watch;
  debug::Explanation out;
  try {
    const std::string why = known ? "" : plan_cache().why_new(structure_of(job.graph, !job.check.deep));
    job.plan = plan_for(job.graph, !job.check.deep);
    out = described(*job.plan, job.graph);
    out.plan = known ? "in the cache" : "new: " + why;
  } catch (...) {
    give_back(job);
    throw;
  }
  const Arrays results(job.roots.begin(), job.roots.end());
  if (!run(job)) return {};
  for (const Array& a : results)
    for (const Storage& s : a.node()->storages) memory::Residency::finish(*s.buffer);  // raises what a device found
  out.analyzed = true;
  for (size_t i = 0; i < out.steps.size(); ++i) out.steps[i].duration_ns = watch.durations_ns[i];
  return out;
}

debug::Explanation foreseen(Job& job, std::span<const Array> kept) {
  debug::Explanation out;
  try {
    std::shared_ptr<const Plan> plan = plan_cache().peek(job.graph.key);
    const bool known = plan != nullptr;
    if (!known) plan = make_plan(job.graph, !job.check.deep);
    out = described(*plan, job.graph, kept);
    out.plan = known ? "in the cache" : "new: " + plan_cache().why_new(plan->structure);
  } catch (...) {
    give_back(job);
    throw;
  }
  give_back(job);
  return out;
}

}  // namespace

debug::Explanation described(const Plan& plan, const Graph& graph, std::span<const Array> kept) {
  return Description(plan, graph, kept).run();
}

}  // namespace plait::engine

namespace plait::debug {

Explanation explain(std::span<const Array> arrays, bool analyze, std::span<const Array> kept) {
  for (;;) {
    const std::shared_ptr<engine::Job> job = engine::claim(arrays);
    if (!job) {
      Explanation out;
      out.plan = "not needed: everything is evaluated";
      out.analyzed = analyze;
      return out;
    }
    if (!analyze) return engine::foreseen(*job, kept);
    Explanation out = engine::measured(*job);
    if (out.analyzed) return out;  // else an evaluation that it waited for failed: its work is this one's now
  }
}

}  // namespace plait::debug
