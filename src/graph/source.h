#pragma once

#include <cstdint>
#include <string>

#include "plait/error.h"
#include "plait/export.h"

namespace plait {

/// An interned place in the user's program; 0 is unknown. Language bindings hand them out and resolve them.
using SourceId = uint32_t;

struct SourceHooks {
  SourceId (*current)() = nullptr;                   // the line now running; called for each new node
  std::string (*describe)(SourceId id) = nullptr;    // "model.py:41 in attend"; may take the language's lock
};

PLAIT_API void set_source_hooks(SourceHooks hooks);
/// The line now running on this thread, and the transforms it runs under.
PLAIT_API SourceId current_source();
/// "model.py:41 in attend, under compile of step > vmap > grad of loss"; "" when unknown.
PLAIT_API std::string describe_source(SourceId id);

/// An interned list of transforms, one inside the other (TransformScope, plait/transforms.h); 0 is none.
using TransformsId = uint32_t;

PLAIT_API TransformsId current_transforms();
/// The same line for a node that was traced with `traced` around it and is made again with `now` around it: what opened
/// since stays. The id itself when it is not from that trace.
SourceId source_under(SourceId id, TransformsId traced, TransformsId now);

/// Lets nodes created in its scope on this thread carry the line now running again, inside a SourceScope.
class OwnSourceScope {
 public:
  OwnSourceScope();
  ~OwnSourceScope();
  OwnSourceScope(const OwnSourceScope&) = delete;
  OwnSourceScope& operator=(const OwnSourceScope&) = delete;

 private:
  bool had_;
};

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

/// f() in such a scope; an error without a place gets this one.
template <class F>
auto on_behalf_of(SourceId id, F&& f) {
  const SourceScope scope(id);
  try {
    return f();
  } catch (Error& e) {
    e.add_where(describe_source(id));
    throw;
  }
}

}  // namespace plait
