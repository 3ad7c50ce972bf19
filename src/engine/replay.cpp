#include "engine/replay.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/interrupt.h"
#include "base/trace.h"
#include "engine/devices.h"
#include "engine/plan.h"
#include "graph/op.h"
#include "memory/residency.h"
#include "plait/debug.h"

namespace plait::engine {
namespace {

constexpr size_t kMostEntries = 4;  // of a plan
constexpr int kRunsBefore = 2;      // step by step: what comes twice comes again
constexpr int kMostFailures =
    5;    // of recordings of one entry, four times as many runs apart each time: others may be the cause
constexpr int64_t kLeastSteps = 4;   // below, copying in and out launches as much
// Operands and results of one plan, which are copied: always so many, or so many for each launch that a replay saves, as copying 1 MiB takes
// no longer. What all recordings hold.
constexpr int64_t kMostCopied = int64_t{64} << 20, kCopiedPerLaunch = int64_t{1} << 20, kMostHeld = int64_t{1} << 30;
constexpr int64_t kLeastBound = int64_t{256} << 10;  // smaller operands are copied, many in one launch
constexpr int kMostRehearsals = 40;
constexpr int kMostBindings = 3;  // of one entry: operands that do not stay are copied

constinit std::atomic<int64_t> held{0};

bool wanted() {
  static const bool on = [] {
    const char* const set = std::getenv("PLAIT_REPLAY");
    return !set || std::string_view(set) != "0";
  }();
  return on;
}

/// Where its steps run; nothing where that is the CPU or several places. Views run nowhere.
std::optional<Place> only_place(const Plan& plan) {
  std::optional<Place> only;
  for (const Step& step : plan.steps) {
    if (step.kind == Step::Kind::view) continue;
    if (step.place == kCpu || (only && *only != step.place)) return std::nullopt;
    only = step.place;
  }
  return only;
}

int64_t launches_of(const Plan& plan) {
  return std::count_if(plan.steps.begin(), plan.steps.end(),
                       [](const Step& step) { return step.kind != Step::Kind::view; });
}

/// Many steps of one stream of a device, no loops.
bool fits(const Plan& plan) {
  const auto can = [](const Step& step) {
    return step.kind != Step::Kind::control && (step.kind != Step::Kind::kernel || step.device_kernel);
  };
  return only_place(plan) && std::all_of(plan.steps.begin(), plan.steps.end(), can) && launches_of(plan) >= kLeastSteps;
}

bool settled(const Plan& plan) {
  bool all = true;
  for (const RegionStep& region : plan.regions) all = region.code->settled() && all;  // each is asked: steps share code
  return all;
}

bool checks(const Step& step) {
  return step.kind == Step::Kind::kernel &&
         (step.device_kernel->checks_matrices || step.device_kernel->checks_positions);
}

/// What a plan's key leaves open of an attribute.
void add_bound(Hasher& hasher, const AttrValue& value) {
  if (const auto* d = std::get_if<Dim>(&value)) {
    hasher.add(d->value());
  } else if (const auto* shape = std::get_if<Shape>(&value)) {
    for (const Dim& each : *shape) hasher.add(each.value());
  } else if (const auto* s = std::get_if<Scalar>(&value)) {
    hasher.add(s->kind).add(s->i).add(s->re).add(s->im).add(s->is_unsigned);
  }
}

/// Everything that a run has in common with another of the same plan but for the contents of its operands.
Key128 key_of(const Plan& plan, const Graph& g) {
  Hasher hasher;
  hasher.add(uint64_t{debug::position_check()});
  for (const Step& step : plan.steps)
    if (checks(step)) hasher.add(uint64_t{g.nodes[step.node]->source});  // the kernel notes it
  for (const Graph::Value& value : g.values) {
    if (!value.leaf) continue;
    for (const Dim& d : value.node->avals[value.output].shape) hasher.add(static_cast<uint64_t>(d.value()));
    const Storage& s = value.node->storages[value.output];
    for (const int64_t stride : s.strides) hasher.add(static_cast<uint64_t>(stride));
    hasher.add(uint64_t{s.row_major});
  }
  for (const Node* node : g.nodes)
    if (node->attrs)
      for (const auto& field : node->op->attrs)
        if (field->bound) add_bound(hasher, field->get(node->attrs->data()));
  return hasher.key();
}

/// Bytes from the first to the last element, counted from the storage's own.
struct Span {
  int64_t begin = 0, bytes = 0;
};
Span span_of(const Storage& s, const Aval& aval) {
  if (aval.shape.count_value() == 0) return {};
  int64_t first = 0, last = 0;
  for (size_t i = 0; i < s.strides.size(); ++i) {
    const int64_t reach = (aval.shape[i].value() - 1) * s.strides[i];
    (reach < 0 ? first : last) += reach;
  }
  const int64_t width = size_of(aval.dtype);
  return {first * width, (last - first + 1) * width};
}

std::string line_of_user(const Graph& g, ValueId v) {
  for (size_t i = 0; i < g.nodes.size(); ++i)
    for (const ValueId in : g.inputs_of(i))
      if (in == v) return describe_source(g.nodes[i]->source);
  return "";
}

}  // namespace

class Replays::Entry {
 public:
  explicit Entry(const Key128& key) : key(key) {}
  ~Entry() { drop(); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  bool run(const Plan& plan, const Graph& graph, std::vector<Storage>& results) {
    const std::lock_guard lock(mutex_);
    if (refused_) return false;
    if (!recording_) look_at_operands(graph);
    if (++seen_ <= runs_before_) return false;
    if (!recording_) {
      if (!settled(plan)) return false;
      try {
        if (!record(plan, graph)) return false;
      } catch (const Interrupted&) {
        drop();
        throw;
      } catch (const Error& error) {  // if it stays, the run step by step says what it is
        trace::reason("not recorded", error.info().op, "why", [&] { return std::string(error.what()); });
      } catch (const std::exception&) {  // as above
      }
      if (!recording_) {
        wait_after_failure();
        return false;
      }
    }
    if (replay(graph, results)) return true;
    drop();
    seen_ = 0;
    runs_before_ = kRunsBefore;
    return false;
  }

  const Key128 key;

 private:
  struct Operand {
    ValueId value;
    Span span;
    // The recording's own, which the operand is copied into; of one that stays, a window to where it lies.
    Ref<Buffer> memory;
    const char* bound;  // there; null if it is copied
  };
  /// A large operand of the last run that others held too, by its node and memory: only to be compared.
  struct Large {
    ValueId value;
    const Node* node;
    const Buffer* memory;
    bool stays;  // it was so in the run before
  };
  struct Result {
    ValueId value;
    size_t from;  // into `made_`, or, of a view of an operand, into `operands_`
    bool of_operand;
    int64_t offset;  // of an operand: from where that begins
    Strides strides;
    bool row_major;
    bool noted;  // whether what kernels note is about it
  };

  void wait_after_failure() {
    drop();
    seen_ = 0;
    runs_before_ *= 4;
    if (++failures_ < kMostFailures) return;
    static trace::Counter refused("plans that could not be recorded");
    refused.add();
    refused_ = true;
  }

  void look_at_operands(const Graph& g) {
    std::vector<Large> now;
    for (size_t i = 0; i < g.values.size(); ++i) {
      const Graph::Value& value = g.values[i];
      const auto v = static_cast<ValueId>(i);
      if (!value.leaf) continue;
      const Storage& s = value.node->storages[value.output];
      if (span_of(s, g.aval(v)).bytes < kLeastBound || value.node->use_count() == value.uses) continue;
      const auto same = [&](const Large& l) {
        return l.value == v && l.node == value.node && l.memory == s.buffer.get();
      };
      now.push_back({v, value.node, s.buffer.get(), std::any_of(large_.begin(), large_.end(), same)});
    }
    large_ = std::move(now);
  }

  bool stays(ValueId v) const {
    return bindings_ < kMostBindings &&
           std::any_of(large_.begin(), large_.end(), [&](const Large& l) { return l.value == v && l.stays; });
  }

  /// False if it is to be tried again soon: code that suits how the recording's own memory lies is still being made, or nothing can be
  /// recorded at this moment. No `recording_` after true: what it has cannot be recorded.
  bool record(const Plan& plan, const Graph& g) {
    const trace::Span span("record", "plan", "steps", static_cast<int64_t>(plan.steps.size()));
    queue_ = queue_of(*only_place(plan));
    DeviceBackend& backend = *device_backend();
    if (held.load() > kMostHeld || !few_bytes(g, launches_of(plan))) {
      trace::reason("not recorded", "too many bytes");
      return true;
    }
    rehearse(plan, g);
    if (!settled(plan)) {
      seen_ = 0;
      if (++rehearsals_ < kMostRehearsals) return false;
      rehearsals_ = 0;
      trace::reason("not recorded", "its code is not made yet");
      return true;
    }
    const bool notes = std::any_of(plan.steps.begin(), plan.steps.end(), checks);
    if (notes) {
      constexpr memory::PositionNote kNothing;
      zeros_ = memory::allocate_on(queue_, sizeof kNothing);
      backend.upload(queue_, inside(*zeros_), &kNothing, sizeof kNothing);
    }
    StandIns stand_ins{windows_of(g), nullptr};
    if (!backend.begin_recording(queue_)) {
      trace::reason("not recorded", "a library is being opened");
      drop();
      seen_ = 0;
      return false;
    }
    if (!operands_.empty()) ++bindings_;
    std::vector<Storage> results;
    std::exception_ptr error;
    try {
      add_copied(g, stand_ins.leaves);
      if (notes) {
        note_ = memory::allocate_on(queue_, sizeof(memory::PositionNote));
        stand_ins.note = static_cast<memory::PositionNote*>(inside(*note_));
      }
      std::vector<Node*> consumed;
      run_plan(plan, g, results, consumed, {.stand_ins = &stand_ins});
      std::vector<bool> noting(g.nodes.size());
      for (const Step& step : plan.steps) noting[step.node] = noting[step.node] || checks(step);
      keep_results(g, stand_ins.leaves, results, made_of(g, std::move(noting)));
    } catch (...) {
      error = std::current_exception();
    }
    results.clear();
    std::string why_not;
    recording_ = backend.end_recording(queue_, why_not);
    if (recording_) held += recording_->bytes();
    if (error) {
      drop();  // not all is in it
      std::rethrow_exception(error);
    }
    if (!recording_) {
      trace::reason("not recorded", why_not);
      return true;
    }
    for (const Step& step : plan.steps)
      if (step.kind == Step::Kind::kernel) attrs_.push_back(g.nodes[step.node]->attrs);
    return true;
  }

  bool few_bytes(const Graph& g, int64_t launches) const {
    const int64_t most = std::max(kMostCopied, launches * kCopiedPerLaunch);
    int64_t bytes = 0;
    for (size_t v = 0; v < g.values.size(); ++v) {
      const Graph::Value& value = g.values[v];
      const Aval& aval = g.aval(static_cast<ValueId>(v));
      if (value.leaf)
        bytes += stays(static_cast<ValueId>(v)) ? 0 : span_of(value.node->storages[value.output], aval).bytes;
      else if (g.needed[value.producer])
        bytes += aval.shape.count_value() * size_of(aval.dtype);
      if (bytes > most) return false;
    }
    return true;
  }

  /// Runs it as it will be recorded: what is loaded or chosen when work of its kind first comes may be nothing that can be captured.
  void rehearse(const Plan& plan, const Graph& g) {
    StandIns stand_ins{windows_of(g), nullptr};
    add_copied(g, stand_ins.leaves);
    std::vector<DeviceBackend::Piece> in;
    for (const Operand& operand : operands_)
      if (!operand.bound)
        in.push_back({inside(*operand.memory), address_of(g, operand.value, operand.span), operand.span.bytes});
    device_backend()->copy_all(queue_, in);
    const auto note = std::make_shared<memory::HeldNote>(describe_source);
    stand_ins.note = note->note();
    std::vector<Storage> results;
    std::vector<Node*> consumed;
    run_plan(plan, g, results, consumed, {.stand_ins = &stand_ins});
    note->set_marks({memory::device_memory()->mark(queue_)});
    operands_.clear();
  }

  /// Of operands that stay where they are. Before the recording: they may have to be brought to the device.
  std::vector<Storage> windows_of(const Graph& g) {
    std::vector<Storage> leaves(g.values.size());
    for (size_t i = 0; i < g.values.size(); ++i) {
      const Graph::Value& value = g.values[i];
      const auto v = static_cast<ValueId>(i);
      if (!value.leaf || !stays(v)) continue;
      Storage& mine = leaves[i];
      mine = value.node->storages[value.output];
      const Span span = span_of(mine, g.aval(v));
      char* const there = address_of(g, v, span);
      mine.buffer = memory::Residency::adopt(queue_, there, span.bytes, [](void*) {}, nullptr);
      mine.offset = -span.begin;
      operands_.push_back({v, span, mine.buffer, there});
    }
    return leaves;
  }

  void add_copied(const Graph& g, std::vector<Storage>& leaves) {
    for (size_t i = 0; i < g.values.size(); ++i) {
      const Graph::Value& value = g.values[i];
      if (!value.leaf || leaves[i].buffer) continue;
      const auto v = static_cast<ValueId>(i);
      Storage& mine = leaves[i];
      mine = value.node->storages[value.output];
      const Span span = span_of(mine, g.aval(v));
      mine.buffer = memory::allocate_on(queue_, span.bytes);
      mine.offset = -span.begin;
      operands_.push_back({v, span, mine.buffer, nullptr});
    }
  }

  /// Where an operand of this run begins on the device, for work of the queue from now on.
  char* address_of(const Graph& g, ValueId v, const Span& span) const {
    const Storage& s = g.values[v].node->storages[g.values[v].output];
    const auto where = [&] { return line_of_user(g, v); };
    return static_cast<char*>(memory::Residency::on_queue(*s.buffer, queue_, where)) + s.offset + span.begin;
  }

  void keep_results(const Graph& g, const std::vector<Storage>& leaves, const std::vector<Storage>& results,
                    const std::vector<bool>& noted) {
    for (size_t i = 0; i < g.nodes.size(); ++i) {
      if (!g.needed[i]) continue;
      for (size_t k = 0; k < g.nodes[i]->avals.size(); ++k) {
        const auto v = static_cast<ValueId>(g.first_value[i] + k);
        const Storage& s = results[v];
        Result result{v, 0, false, s.offset, s.strides, s.row_major, noted[i]};
        const auto operand = std::find_if(operands_.begin(), operands_.end(),
                                          [&](const Operand& o) { return o.memory.get() == s.buffer.get(); });
        if (operand != operands_.end()) {
          result.of_operand = true;
          result.from = static_cast<size_t>(operand - operands_.begin());
          result.offset -= leaves[operand->value].offset;
        } else {
          const auto made =
              std::find_if(made_.begin(), made_.end(), [&](const Ref<Buffer>& b) { return b.get() == s.buffer.get(); });
          result.from = static_cast<size_t>(made - made_.begin());
          if (made == made_.end()) made_.push_back(s.buffer);
        }
        results_.push_back(std::move(result));
      }
    }
  }

  void* inside(Buffer& buffer) {
    return memory::Residency::on_queue(buffer, queue_, [] { return std::string(); });
  }

  /// False, and nothing has happened, where an operand is not where it was when this was recorded.
  bool replay(const Graph& g, std::vector<Storage>& results) {
    DeviceBackend& backend = *device_backend();
    memory::HeldNotes notes;
    std::vector<DeviceBackend::Piece> in, out;
    for (const Operand& operand : operands_) {
      const Graph::Value& value = g.values[operand.value];
      const Storage& s = value.node->storages[value.output];
      memory::Residency::add_notes_of(*s.buffer, notes);
      const char* const from = address_of(g, operand.value, operand.span);
      if (!operand.bound)
        in.push_back({inside(*operand.memory), from, operand.span.bytes});
      else if (from != operand.bound)
        return false;
    }
    memory::HeldNotes with_own = notes;
    std::shared_ptr<memory::HeldNote> note;
    if (note_) {
      note = std::make_shared<memory::HeldNote>(describe_source);
      with_own.push_back(note);
      in.push_back({inside(*note_), inside(*zeros_), note_->bytes()});
      out.push_back({note->note(), inside(*note_), note_->bytes()});
    }
    std::vector<Ref<Buffer>> fresh;
    for (const Ref<Buffer>& made : made_) {
      fresh.push_back(memory::allocate_on(queue_, made->bytes()));
      out.push_back({inside(*fresh.back()), inside(*made), made->bytes()});
    }
    backend.copy_all(queue_, in);
    recording_->replay();
    backend.copy_all(queue_, out);
    static trace::Counter replayed("plans replayed");
    replayed.add();

    const memory::Mark mark = memory::device_memory()->mark(queue_);
    if (note) note->set_marks({mark});
    results.resize(g.values.size());
    for (const Result& result : results_) {
      Storage& s = results[result.value];
      if (result.of_operand) {
        const Graph::Value& value = g.values[operands_[result.from].value];
        s = value.node->storages[value.output];
        s.offset += result.offset;
      } else {
        s.buffer = fresh[result.from];
        s.offset = result.offset;
      }
      s.strides = result.strides;
      s.row_major = result.row_major;
      memory::Residency::complete_at(*s.buffer, mark, result.noted ? with_own : notes);
    }
    return true;
  }

  void drop() {
    if (recording_) held -= recording_->bytes();
    operands_.clear();
    results_.clear();
    made_.clear();
    note_ = {};
    zeros_ = {};
    recording_.reset();
    attrs_.clear();
  }

  std::mutex mutex_;
  int seen_ = 0, runs_before_ = kRunsBefore, failures_ = 0;
  int bindings_ = 0;  // recordings that had operands in place
  int rehearsals_ = 0;
  bool refused_ = false;
  std::vector<Large> large_;
  memory::Queue queue_ = 0;
  std::unique_ptr<Recording> recording_;
  std::vector<Operand> operands_;
  std::vector<Result> results_;
  std::vector<Ref<Buffer>> made_;  // memory of the recording that has results
  Ref<Buffer> note_,
      zeros_;  // where its kernels note something, and what says that nothing was; null without such kernels
  std::vector<Ref<AttrsBase>> attrs_;  // kernels may have kept views of them
};

Replays::Replays() = default;
Replays::~Replays() = default;

bool Replays::run(const Plan& plan, const Graph& graph, std::vector<Storage>& results) {
  if (!wanted()) return false;
  {
    const std::lock_guard lock(mutex_);
    if (!judged_) fits_ = fits(plan);
    judged_ = true;
    if (!fits_) return false;
  }
  return entry_of(key_of(plan, graph))->run(plan, graph, results);
}

std::shared_ptr<Replays::Entry> Replays::entry_of(const Key128& key) {
  std::shared_ptr<Entry> gone;  // its end may wait for the device
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e->key == key; });
  if (found == entries_.end()) {
    if (entries_.size() == kMostEntries) {
      gone = std::move(entries_.back());
      entries_.pop_back();
    }
    entries_.insert(entries_.begin(), std::make_shared<Entry>(key));
  } else {
    std::rotate(entries_.begin(), found, found + 1);
  }
  return entries_.front();
}

}  // namespace plait::engine
