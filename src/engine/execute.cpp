#include <algorithm>
#include <memory>
#include <optional>

#include "backends/strided.h"
#include "base/interrupt.h"
#include "base/trace.h"
#include "engine/devices.h"
#include "engine/plan.h"
#include "graph/core_attrs.h"
#include "graph/op.h"
#include "memory/residency.h"
#include "plait/debug.h"

namespace plait::engine {
namespace {

class Run {
 public:
  Run(const Plan& plan, const Graph& graph, std::vector<Storage>& results, std::vector<Node*>& consumed,
      const RunOptions& options)
      : plan_(plan),
        g_(graph),
        results_(results),
        consumed_(consumed),
        watch_(options.watch),
        may_overwrite_(!watch_ || !watch_->keeps_operands()),
        stand_ins_(options.stand_ins),
        may_donate_leaves_(!stand_ins_ && (options.private_leaves || !any_trace_open())),
        destinations_(options.destinations) {}

  void run() {
    results_.resize(g_.values.size());
    for (const Step& step : plan_.steps) {
      poll_interrupt();
      try {
        if (watch_) watch_->before(step);
        run_step(step);
        if (watch_) watch_->after(step, [this](ValueId v) -> const Storage& { return storage(v); });
      } catch (Error& e) {
        e.add_where(describe_source(g_.nodes[step.node]->source));
        throw;
      }
      for (ValueId v : step.dies) results_[v] = Storage();
    }
    // The memory of a loop's results is written in each turn: the run around it marks it.
    if (!queues_.empty() && !stand_ins_ && !around_) mark_results();
  }

  /// Whether the calling thread is in a loop's step.
  static bool inside_another() { return innermost != nullptr; }

 private:
  void run_step(const Step& step) {
    const Node& node = *g_.nodes[step.node];
    node_ = step.node;
    on_device_ = step.place != kCpu;
    if (on_device_) {
      queue_ = queue_of(step.place);
      if (std::find(queues_.begin(), queues_.end(), queue_) == queues_.end()) queues_.push_back(queue_);
    }
    switch (step.kind) {
      case Step::Kind::region: {
        const RegionStep& region = plan_.regions[step.region];
        trace::Span span(
            "step", [&] { return region_name(region); }, "where", [&] { return line_of(region.nodes.back()); });
        run_region(region, step);
        break;
      }
      case Step::Kind::view:
        for (const Step::Alias& alias : step.aliases) results_[alias.to] = storage(alias.from);
        if (node.op->view) run_view(node, step.node);
        break;
      case Step::Kind::kernel: {
        trace::Span span("step", node.op->name, "where", [&] { return line_of(step.node); });
        run_kernel(node, step);
        break;
      }
      case Step::Kind::control: {
        trace::Span span("step", node.op->name, "where", [&] { return line_of(step.node); });
        run_control(node, step);
        break;
      }
    }
  }

  std::string line_of(uint32_t node) const { return describe_source(g_.nodes[node]->source); }

  std::string region_name(const RegionStep& region) const {
    constexpr size_t kNamed = 6;
    std::string name;
    for (size_t i = 0; i < region.nodes.size() && i < kNamed; ++i)
      name += (i ? "+" : "") + g_.nodes[region.nodes[i]]->op->name;
    if (region.nodes.size() > kNamed) name += "+" + std::to_string(region.nodes.size() - kNamed) + " more";
    return name;
  }

  Storage& storage(ValueId v) {
    const auto& value = g_.values[v];
    if (value.leaf && stand_ins_) return const_cast<Storage&>(stand_ins_->leaves[v]);  // none is taken over
    return value.leaf ? value.node->storages[value.output] : results_[v];
  }

  // What later evaluations and the host wait for is complete now, not when the queue has done what comes after.
  void mark_results() {
    SmallVector<memory::Mark, 2> marks;
    for (const memory::Queue queue : queues_) marks.push_back(memory::device_memory()->mark(queue));
    memory::HeldNotes with_own = notes_;
    std::vector<bool> noted;
    if (note_) {
      note_->set_marks(marks);
      with_own.push_back(note_);
      noted = made_of(g_, noting_);
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      if (!g_.needed[i]) continue;
      for (size_t k = 0; k < g_.nodes[i]->avals.size(); ++k) {
        Buffer& buffer = *results_[g_.first_value[i] + k].buffer;
        for (const memory::Mark& mark : marks)
          memory::Residency::complete_at(buffer, mark, note_ && noted[i] ? with_own : notes_);
      }
    }
  }

  // --- memory, where the step at hand runs ---

  void* address(const Storage& s) {
    const auto where = [&] { return line_of(node_); };
    if (on_device_) {
      memory::Residency::add_notes_of(*s.buffer, notes_);
      return static_cast<char*>(memory::Residency::on_queue(*s.buffer, queue_, where)) + s.offset;
    }
    if (stand_ins_) throw DeviceError({.op = "recording", .got = "a copy that the CPU makes"});
    const bool moves = !s.buffer->host_current();
    char* const data = static_cast<char*>(memory::Residency::on_host(*s.buffer, where));
    if (moves && note_) note_->check();  // it may be this run's own, not noted with its results yet
    return data + s.offset;
  }

  const Storage* destination(ValueId v) const {
    for (const Destination& d : destinations_)
      if (d.value == v && d.place == (on_device_ ? g_.places[node_] : kCpu)) return &d.storage;
    return nullptr;
  }

  Storage memory_for(ValueId v) {
    const Storage* given = destination(v);
    return given ? *given : allocated(g_.aval(v));
  }

  Storage allocated(const Aval& aval) {
    return allocate_storage(aval, on_device_ ? std::optional(queue_) : std::nullopt);
  }

  void overwrite(Buffer& buffer) {
    if (on_device_)
      memory::Residency::overwrite_on(buffer, queue_);
    else
      memory::Residency::host_may_have_changed(buffer);
  }

  // Whether nobody but this run will look at the memory of v again (v dies at `step`).
  bool may_take_over(ValueId v, const Step& step) {
    bool dies = false;
    if (!may_overwrite_) return false;
    for (ValueId d : step.dies) dies |= d == v;
    if (!dies) return false;
    const auto& value = g_.values[v];
    Storage& s = storage(v);
    if (!s.row_major || s.offset != 0 || s.buffer.use_count() != 1) return false;
    if (value.leaf && (!may_donate_leaves_ || value.node->avals.size() != 1 || value.node->use_count() != value.uses))
      return false;
    if (!s.buffer->try_claim_donation()) return false;
    s.buffer->end_donation();  // this run holds the only reference; nobody else can make a view of it now
    return true;
  }

  void run_region(const RegionStep& step, const Step& at) {
    thread_local std::unique_ptr<RegionBinding> kept;  // its vectors
    if (!kept) kept = std::make_unique<RegionBinding>();
    RegionBinding& binding = *kept;
    const size_t rank = step.extents.size();
    binding.extents.resize(rank);
    for (size_t i = 0; i < rank; ++i)
      binding.extents[i] = g_.aval(step.extents[i].value).shape[static_cast<size_t>(step.extents[i].axis)].value();
    binding.scalars.clear();
    for (uint32_t node : step.constants) {
      const auto& attrs = g_.nodes[node]->attrs_as<ConstantAttrs>();
      binding.scalars.push_back(ScalarBits::of(attrs.value, attrs.dtype));
    }
    binding.inputs.resize(step.inputs.size());
    for (size_t i = 0; i < step.inputs.size(); ++i)
      bind(binding.inputs[i], step.inputs[i], storage(step.inputs[i].value), rank);

    binding.outputs.resize(step.outputs.size());
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const ValueId out = step.outputs[o].value;
      const auto& donors = step.donors[o];
      const auto donor = std::find_if(donors.begin(), donors.end(), [&](int i) {
        return may_take_over(step.inputs[static_cast<size_t>(i)].value, at);
      });
      if (donor != donors.end() && !destination(out)) {
        const ValueId from = step.inputs[static_cast<size_t>(*donor)].value;
        if (g_.values[from].leaf) consumed_.push_back(g_.values[from].node);
        results_[out] = storage(from);
        overwrite(*results_[out].buffer);
      } else {
        results_[out] = memory_for(out);
      }
      bind(binding.outputs[o], step.outputs[o], results_[out], rank);
    }
    binding.queue = queue_;
    step.code->run(binding);
  }

  void bind(RegionBinding::Operand& to, const RegionStep::Operand& operand, const Storage& s, size_t rank) {
    to.data = address(s);
    to.strides.assign(rank, 0);
    for (size_t i = 0; i < operand.axes.size(); ++i)
      if (operand.axes[i] != kNoAxis) to.strides[static_cast<size_t>(operand.axes[i])] = s.strides[i];
  }

  Storage row_major(ValueId v) {
    const Storage& s = storage(v);
    return s.row_major ? s : copied(s, g_.aval(v));
  }

  Storage copied(const Storage& s, const Aval& aval) {
    const void* from = address(s);
    Storage to = allocated(aval);
    const std::vector<int64_t> extents = aval.shape.values();
    if (on_device_)
      copy_strided_on(queue_, address(to), from, s.strides, extents, size_of(aval.dtype));
    else
      copy_strided(to.data(), to.strides, from, s.strides, extents, size_of(aval.dtype));
    return to;
  }

  void run_view(const Node& node, uint32_t at) {
    const ValueId in = g_.inputs_of(at)[0];
    const ValueId out = g_.first_value[at];
    const Aval& from = g_.aval(in);
    const Aval& to = g_.aval(out);
    Storage s = storage(in);
    ViewLayout layout;
    if (!node.op->view(node.attrs.get(), from, s.strides, to, layout)) {
      s = copied(s, from);
      const bool works = node.op->view(node.attrs.get(), from, s.strides, to, layout);
      check_internal(works, "a view of row-major memory was not expressed by strides");
    }
    Storage& result = results_[out];
    result.buffer = s.buffer;
    result.offset = s.offset + layout.offset * size_of(to.dtype);
    result.strides = std::move(layout.strides);
    result.row_major = is_row_major(to.shape, result.strides);
  }

  // Without memory: `data` comes when it is known where the kernel runs.
  static TensorView described(const Aval& aval, const Strides& strides) {
    TensorView t;
    t.dtype = aval.dtype;
    for (const Dim& d : aval.shape) t.shape.push_back(d.value());
    t.strides.assign(strides.begin(), strides.end());
    return t;
  }

  KernelArgs arguments(const Node& node, std::span<const TensorView> in, std::span<const TensorView> out) const {
    return {.op = node.op->name,
            .inputs = in,
            .outputs = out,
            .attrs = AttrsView(&node.op->attrs, node.attrs ? node.attrs->data() : nullptr),
            .queue = queue_,
            .source = node.source};
  }

  // What this run's kernels note. The runs inside a loop share that of the run around it, however often they come.
  const std::shared_ptr<memory::HeldNote>& note() {
    if (around_) note_ = around_->note();
    if (!note_) note_ = std::make_shared<memory::HeldNote>(describe_source);
    noting_.resize(g_.nodes.size());
    noting_[node_] = true;
    return note_;
  }

  // The kernel for where the node was put, or the CPU's where that device has none for these operands.
  const Kernel& chosen_kernel(const Node& node, const Step& step) {
    if (!on_device_) return *step.kernel;
    if (const Kernel* kernel = step.device_kernel) {
      if (!kernel->takes) return *kernel;
      SmallVector<TensorView, 4> in;
      SmallVector<TensorView, 2> to;
      for (ValueId v : g_.inputs_of(step.node)) {
        const Aval& aval = g_.aval(v);
        in.push_back(described(aval, kernel->contiguous_inputs ? row_major_strides(aval.shape) : storage(v).strides));
      }
      for (const Aval& aval : node.avals) to.push_back(described(aval, row_major_strides(aval.shape)));
      if (kernel->takes(arguments(node, in, to))) return *kernel;
    }
    if (stand_ins_) throw DeviceError({.op = node.op->name, .got = "a recording of work that runs on the CPU"});
    note_fallback(node.op->name, line_of(step.node));
    on_device_ = false;
    return *step.kernel;
  }

  void run_kernel(const Node& node, const Step& step) {
    const Kernel& kernel = chosen_kernel(node, step);
    const auto inputs = g_.inputs_of(step.node);
    const ValueId out = g_.first_value[step.node];
    SmallVector<TensorView, 4> in;
    SmallVector<Storage, 4> held;
    SmallVector<TensorView, 2> to;
    if (kernel.output_aliases_input0) {
      const ValueId v = inputs[0];
      if (may_take_over(v, step)) {
        if (g_.values[v].leaf) consumed_.push_back(g_.values[v].node);
        results_[out] = storage(v);
        address(results_[out]);
        overwrite(*results_[out].buffer);
      } else {
        results_[out] = copied(storage(v), g_.aval(v));
      }
    } else {
      results_[out] = memory_for(out);
    }
    for (size_t k = 1; k < node.avals.size(); ++k) results_[out + k] = memory_for(static_cast<ValueId>(out + k));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool aliased = i == 0 && kernel.output_aliases_input0;
      held.push_back(aliased ? results_[out] : kernel.contiguous_inputs ? row_major(inputs[i]) : storage(inputs[i]));
      in.push_back(described(g_.aval(inputs[i]), held.back().strides));
      in.back().data = address(held.back());
    }
    for (size_t k = 0; k < node.avals.size(); ++k) {
      to.push_back(described(g_.aval(out + k), results_[out + k].strides));
      to.back().data = address(results_[out + k]);
    }
    KernelArgs args = arguments(node, in, to);
    const bool checks = kernel.checks_matrices || (kernel.checks_positions && debug::position_check());
    if (on_device_ && checks) args.note = stand_ins_ ? stand_ins_->note : note()->note();
    kernel.run(args);
  }

  // What the node alone needs is handed over to its programs, to be overwritten by them.
  void run_control(const Node& node, const Step& step) {
    const auto inputs = g_.inputs_of(step.node);
    const ValueId out = g_.first_value[step.node];
    std::vector<Storage> in, to(node.avals.size());
    for (const ValueId v : inputs) {
      const bool once = std::count(inputs.begin(), inputs.end(), v) == 1;
      if (once && may_take_over(v, step)) {
        if (g_.values[v].leaf) consumed_.push_back(g_.values[v].node);
        in.push_back(std::move(storage(v)));
        storage(v) = Storage();
      } else {
        in.push_back(storage(v));
      }
    }
    for (const Storage& s : in) memory::Residency::add_notes_of(*s.buffer, notes_);
    const Around around(this);
    node.op->run(node, {.inputs = in, .outputs = to, .place = step.place});
    for (size_t k = 0; k < to.size(); ++k) results_[out + k] = std::move(to[k]);
  }

  /// While a loop runs its programs.
  class Around {
   public:
    explicit Around(Run* run) : before_(std::exchange(innermost, run)) {}
    ~Around() { innermost = before_; }
    Around(const Around&) = delete;
    Around& operator=(const Around&) = delete;

   private:
    Run* before_;
  };
  static thread_local inline constinit Run* innermost = nullptr;

  Run* const around_ = innermost;
  const Plan& plan_;
  const Graph& g_;
  std::vector<Storage>& results_;
  std::vector<Node*>& consumed_;
  Watch* const watch_;
  const bool may_overwrite_;
  const StandIns* const stand_ins_;
  const bool may_donate_leaves_;
  const std::span<const Destination> destinations_;

  // Of the step at hand.
  uint32_t node_ = 0;
  bool on_device_ = false;
  memory::Queue queue_ = 0;

  SmallVector<memory::Queue, 2> queues_;  // that were used
  std::shared_ptr<memory::HeldNote> note_;  // of this run's own, where it has kernels that check positions
  std::vector<bool> noting_;  // per node: whether it may write to that one
  memory::HeldNotes notes_;  // those of what it read
};

}  // namespace

void run_plan(const Plan& plan, const Graph& graph, std::vector<Storage>& results, std::vector<Node*>& consumed,
              const RunOptions& options) {
  const bool plain = !options.watch && options.destinations.empty() && !options.stand_ins && !Run::inside_another();
  if (plain && plan.replays.run(plan, graph, results)) return;
  Run(plan, graph, results, consumed, options).run();
}

}  // namespace plait::engine
