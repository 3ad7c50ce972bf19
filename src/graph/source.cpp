#include "graph/source.h"

#include <atomic>

namespace plait {
namespace {

// Written once by a language binding at import, read from any thread.
std::atomic<SourceId (*)()> current_hook{nullptr};
std::atomic<std::string (*)(SourceId)> describe_hook{nullptr};
thread_local SourceId forced = 0;
thread_local bool is_forced = false;

}  // namespace

void set_source_hooks(SourceHooks hooks) {
  current_hook.store(hooks.current, std::memory_order_release);
  describe_hook.store(hooks.describe, std::memory_order_release);
}

SourceId current_source() {
  if (is_forced) return forced;
  auto* hook = current_hook.load(std::memory_order_acquire);
  return hook ? hook() : 0;
}

std::string describe_source(SourceId id) {
  auto* hook = describe_hook.load(std::memory_order_acquire);
  return hook && id ? hook(id) : "";
}

SourceScope::SourceScope(SourceId id) : before_(forced), had_(is_forced) {
  forced = id;
  is_forced = true;
}

SourceScope::~SourceScope() {
  forced = before_;
  is_forced = had_;
}

}  // namespace plait
