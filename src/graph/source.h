#pragma once

#include <cstdint>
#include <string>

#include "plait/export.h"

namespace plait {

/// An interned place in the user's program; 0 is unknown. Language bindings hand them out and resolve them.
using SourceId = uint32_t;

struct SourceHooks {
  SourceId (*current)() = nullptr;                   // the line now running; called for each new node
  std::string (*describe)(SourceId id) = nullptr;    // "model.py:41 in attend"; may take the language's lock
};

PLAIT_API void set_source_hooks(SourceHooks hooks);
PLAIT_API SourceId current_source();
/// "" when unknown.
PLAIT_API std::string describe_source(SourceId id);

/// Makes every node created in its scope on this thread carry `id`: used when a transform or the engine makes nodes on
/// behalf of another line.
class SourceScope {
 public:
  explicit SourceScope(SourceId id);
  ~SourceScope();
  SourceScope(const SourceScope&) = delete;
  SourceScope& operator=(const SourceScope&) = delete;

 private:
  SourceId before_;
  bool had_;
};

}  // namespace plait
