#include "graph/source.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fork.h"
#include "plait/transforms.h"

namespace plait {
namespace {

// Written once by a language binding at import, read from any thread.
std::atomic<SourceId (*)()> current_hook{nullptr};
std::atomic<std::string (*)(SourceId)> describe_hook{nullptr};
thread_local SourceId forced = 0;
thread_local bool is_forced = false;
thread_local TransformsId transforms = 0;

// Ids from here on are pairs of a line and the transforms around it; below it they are the binding's.
constexpr SourceId kFirstPair = SourceId{1} << 31;
constexpr size_t kMaxPairs = size_t{1} << 20;  // past it lines are named without their transforms

struct Interned {
  struct Transform {
    TransformsId outer;
    std::string name;
  };
  using Pair = std::pair<SourceId, TransformsId>;
  struct Hash {
    size_t operator()(const Pair& p) const { return (uint64_t{p.first} << 32 | p.second) * 0x9e3779b97f4a7c15u; }
  };

  std::mutex mutex;  // nothing else is locked under it, nor Python's lock taken
  std::vector<Transform> transforms{{0, ""}};  // position 0 is none
  std::unordered_map<std::string, TransformsId> transform_ids;  // by outer and name
  std::vector<Pair> pairs;
  std::unordered_map<Pair, SourceId, Hash> pair_ids;

  TransformsId inside(TransformsId outer, std::string_view name) {
    const auto [at, is_new] = transform_ids.try_emplace(std::to_string(outer) + ' ' + std::string(name),
                                                        static_cast<TransformsId>(transforms.size()));
    if (is_new) transforms.push_back({outer, std::string(name)});
    return at->second;
  }
  SourceId id_of(Pair pair) {
    if (pair.second == 0) return pair.first;
    const auto known = pair_ids.find(pair);
    if (known != pair_ids.end()) return known->second;
    if (pairs.size() >= kMaxPairs) return pair.first;
    pairs.push_back(pair);
    return pair_ids[pair] = kFirstPair + static_cast<SourceId>(pairs.size() - 1);
  }
  Pair pair_of(SourceId id) const { return id < kFirstPair ? Pair{id, 0} : pairs[id - kFirstPair]; }

  std::string describe(TransformsId id) const {
    std::string text;
    for (; id != 0; id = transforms[id].outer) text = transforms[id].name + (text.empty() ? "" : " > ") + text;
    return text;
  }
};

Interned& interned() {
  static auto* instance = new Interned;
  return *instance;
}

[[maybe_unused]] const bool fork_handlers = [] {
  const auto unlock = [] { interned().mutex.unlock(); };
  at_fork(ForkOrder::base, [] { interned().mutex.lock(); }, unlock, unlock);
  return true;
}();

// Traces make many nodes for few lines: what was asked last is found without the lock.
SourceId paired(SourceId line, TransformsId under) {
  struct Entry {
    Interned::Pair pair{0, 0};
    SourceId id = 0;
  };
  // Apart, as a thread's own memory is scarce (tests/static_tls.py).
  thread_local std::unique_ptr<std::array<Entry, 64>> recent;
  if (!recent) recent = std::make_unique<std::array<Entry, 64>>();
  Entry& entry = (*recent)[(line ^ under * 31) % recent->size()];
  if (entry.pair != Interned::Pair{line, under}) {
    Interned& all = interned();
    const std::lock_guard lock(all.mutex);
    entry = {{line, under}, all.id_of({line, under})};
  }
  return entry.id;
}

}  // namespace

void set_source_hooks(SourceHooks hooks) {
  current_hook.store(hooks.current, std::memory_order_release);
  describe_hook.store(hooks.describe, std::memory_order_release);
}

SourceId current_source() {
  if (is_forced) return forced;
  auto* hook = current_hook.load(std::memory_order_acquire);
  const SourceId line = hook ? hook() : 0;
  return transforms == 0 ? line : paired(line, transforms);
}

std::string describe_source(SourceId id) {
  std::string under;
  if (id >= kFirstPair) {
    const std::lock_guard lock(interned().mutex);
    const auto [line, around] = interned().pair_of(id);
    under = "under " + interned().describe(around);
    id = line;
  }
  auto* hook = describe_hook.load(std::memory_order_acquire);
  const std::string line = hook && id ? hook(id) : "";
  return line.empty() || under.empty() ? line + under : line + ", " + under;
}

TransformsId current_transforms() { return transforms; }

SourceId source_under(SourceId id, TransformsId traced, TransformsId now) {
  if (traced == now) return id;
  Interned& all = interned();
  const std::lock_guard lock(all.mutex);
  const auto [line, around] = all.pair_of(id);
  std::vector<TransformsId> opened;  // innermost first
  TransformsId at = around;
  for (; at != traced && at != 0; at = all.transforms[at].outer) opened.push_back(at);
  if (at != traced) return id;
  for (size_t i = opened.size(); i-- > 0;) now = all.inside(now, std::string(all.transforms[opened[i]].name));
  return all.id_of({line, now});
}

TransformScope::TransformScope(std::string_view name) : before_(transforms) {
  Interned& all = interned();
  const std::lock_guard lock(all.mutex);
  transforms = all.inside(before_, name);
}

TransformScope::~TransformScope() { transforms = before_; }

OwnSourceScope::OwnSourceScope() : had_(is_forced) { is_forced = false; }

OwnSourceScope::~OwnSourceScope() { is_forced = had_; }

SourceScope::SourceScope(SourceId id) : before_(forced), had_(is_forced) {
  forced = id;
  is_forced = true;
}

SourceScope::~SourceScope() {
  forced = before_;
  is_forced = had_;
}

}  // namespace plait
