#include "base/fork.h"

#include <pthread.h>

#include "base/statics.h"
#include "plait/error.h"

namespace plait {
namespace {

constexpr int kOrders = 4;
constexpr int kMostOfOne = 8;

struct Handlers {
  void (*before)();
  void (*in_parent)();
  void (*in_child)();
};

// Zero-initialised, so that static initialisers of other files may register before this one's have run.
constinit Handlers handlers[kOrders][kMostOfOne] = {};
constinit bool registered = false;

void take_locks() {
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

// A thread that initialises a static may want a lock, and one that holds a lock may come to a static: neither can be waited
// for while the other is kept out. So locks are given back as long as some static is not done.
void before_fork() {
  for (;;) {
    statics::wait();
    take_locks();
    if (statics::hold()) return;
    after_fork<&Handlers::in_parent>();
  }
}
void after_in_parent() {
  statics::let_go();
  after_fork<&Handlers::in_parent>();
}
void after_in_child() {
  statics::start_anew();
  after_fork<&Handlers::in_child>();
}

}  // namespace

void at_fork(ForkOrder order, void (*before)(), void (*in_parent)(), void (*in_child)()) {
  if (!registered) {
    registered = true;
    ::pthread_atfork(before_fork, after_in_parent, after_in_child);
  }
  for (Handlers& h : handlers[static_cast<int>(order)])
    if (!h.before) {
      h = {before, in_parent, in_child};
      return;
    }
  throw InternalError("more fork handlers of one order than there is room for");
}

}  // namespace plait
