#include "base/fork.h"

#include <pthread.h>

#include "plait/error.h"

namespace plait {
namespace {

constexpr int kOrders = 4;
constexpr int kMostOfOne = 4;

struct Handlers {
  void (*before)();
  void (*in_parent)();
  void (*in_child)();
};

// Zero-initialised, so that static initialisers of other files may register before this one's have run.
constinit Handlers handlers[kOrders][kMostOfOne] = {};
constinit bool registered = false;

void before_fork() {
  for (auto& order : handlers)
    for (const Handlers& h : order)
      if (h.before) h.before();
}

// Locks are let go in the reverse order, so that a handler may use the rooms below it.
template <auto Which>
void after_fork() {
  for (int order = kOrders; order-- > 0;)
    for (int i = kMostOfOne; i-- > 0;)
      if (auto* handler = handlers[order][i].*Which) handler();
}

}  // namespace

void at_fork(ForkOrder order, void (*before)(), void (*in_parent)(), void (*in_child)()) {
  if (!registered) {
    registered = true;
    ::pthread_atfork(before_fork, after_fork<&Handlers::in_parent>, after_fork<&Handlers::in_child>);
  }
  for (Handlers& h : handlers[static_cast<int>(order)])
    if (!h.before) {
      h = {before, in_parent, in_child};
      return;
    }
  throw InternalError("more fork handlers of one order than there is room for");
}

}  // namespace plait
