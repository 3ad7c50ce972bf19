#include "engine/repeated.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "backends/strided.h"
#include "engine/devices.h"
#include "engine/nan_check.h"
#include "engine/plan_cache.h"
#include "graph/op.h"
#include "memory/residency.h"

namespace plait::engine {
namespace {

bool same_place(const Storage& a, const Storage& b) { return a.buffer.get() == b.buffer.get() && a.offset == b.offset; }

}  // namespace

Array Repeated::slot(Aval aval) { return make_evaluated(Storage(), std::move(aval)); }

Repeated::Repeated(Arrays slots, size_t held, Arrays outputs) : held_(held) {
  for (const Array& s : slots) slots_.push_back(s.node());
  for (const Array& out : outputs)
    if (!out.node()->done()) roots_.push_back(out);
  std::vector<bool> keep(slots.size());
  {
    const std::lock_guard lock(graph_mutex());
    SourceId culprit = 0;
    graph_ = collect(roots_, nullptr, culprit);
    check_internal(graph_.waits.empty(), "a program that a step runs refers to work of others");
    for (const Array& out : outputs) {
      const auto at = std::find(slots_.begin(), slots_.end(), out.node());
      if (at != slots_.end()) {
        outputs_.push_back({true, static_cast<uint32_t>(at - slots_.begin())});
        keep[outputs_.back().at] = true;
      } else {
        outputs_.push_back({false, graph_.first_value[out.node()->position] + out.index()});
      }
    }
  }
  outputs.clear();
  check_ = debug::nan_check();
  if (check_.deep) graph_.key = without_fusion(graph_.key);
  if (!roots_.empty()) plan_ = plan_for(graph_, !check_.deep);
  std::vector<const Node*> used;
  for (const Graph::Value& value : graph_.values)
    if (value.leaf && value.uses > 0) used.push_back(value.node);
  std::sort(used.begin(), used.end());
  // A slot that only the graph refers to is one whose memory a step may take over.
  for (size_t i = 0; i < slots.size(); ++i)
    if (i < held || keep[i] || !std::binary_search(used.begin(), used.end(), slots_[i])) kept_.push_back(slots[i]);
}

void Repeated::give(size_t slot, Storage memory) {
  slots_[slot]->storages.resize(1);
  slots_[slot]->storages[0] = std::move(memory);
}

void Repeated::run(std::span<Storage> outputs, Place place) {
  SmallVector<Destination, 4> destinations;
  for (size_t o = 0; o < outputs_.size(); ++o)
    if (outputs[o].buffer && !outputs_[o].leaf) destinations.push_back({outputs_[o].at, outputs[o], place});
  if (plan_) {
    std::vector<Node*> consumed;  // slots, which get other memory next
    std::optional<NanWatch> nan;
    if (check_.on()) nan.emplace(graph_, *plan_, check_);
    run_plan(*plan_, graph_, results_, consumed,
             {.private_leaves = true, .destinations = destinations, .watch = nan ? &*nan : nullptr});
  }
  for (size_t o = 0; o < outputs_.size(); ++o) {
    const Output& from = outputs_[o];
    const Storage& made = from.leaf ? slots_[from.at]->storages[0] : results_[from.at];
    if (!outputs[o].buffer)
      outputs[o] = made;
    else if (!same_place(outputs[o], made))
      copy_to(place, outputs[o], made, from.leaf ? slots_[from.at]->avals[0] : graph_.aval(from.at));
  }
  for (Storage& s : results_) s = Storage();
  for (size_t i = held_; i < slots_.size(); ++i)
    for (Storage& s : slots_[i]->storages) s = Storage();
}

Storage allocate_at(Place place, const Aval& aval) {
  return allocate_storage(aval, place == kCpu ? std::nullopt : std::optional(queue_of(place)));
}

void copy_to(Place place, Storage& to, const Storage& from, const Aval& aval) {
  if (aval.shape.count_value() == 0) return;
  const std::vector<int64_t> extents = aval.shape.values();
  const int width = size_of(aval.dtype);
  const auto where = [] { return std::string(); };
  if (place == kCpu) {
    const char* source = static_cast<const char*>(memory::Residency::on_host(*from.buffer, where));
    char* target = static_cast<char*>(memory::Residency::on_host(*to.buffer, where));
    copy_strided(target + to.offset, to.strides, source + from.offset, from.strides, extents, width);
    return;
  }
  const memory::Queue queue = queue_of(place);
  const char* source = static_cast<const char*>(memory::Residency::on_queue(*from.buffer, queue, where));
  char* target = static_cast<char*>(memory::Residency::on_queue(*to.buffer, queue, where));
  copy_strided_on(queue, target + to.offset, source + from.offset, from.strides, extents, width);
}

bool read_bool(const Storage& storage, SourceId source) {
  const auto where = [&] { return describe_source(source); };
  return static_cast<const char*>(memory::Residency::on_host(*storage.buffer, where))[storage.offset] != 0;
}

}  // namespace plait::engine
