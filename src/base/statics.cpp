#include "base/statics.h"

#include <pthread.h>

#include <cstdint>

// What compiled code calls around the initialiser of a static (Itanium C++ ABI, 3.3.3): the first byte of a guard says that it is
// done, which code looks at by itself; the second is ours.
#define PLAIT_GUARD_FUNCTION extern "C" __attribute__((visibility("hidden")))

namespace plait::statics {
namespace {

struct Guard {
  uint8_t done, begun;
};

constinit pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
constinit pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
constinit int begun = 0;  // statics that are being initialised
constinit thread_local int begun_here = 0;

void end(Guard* guard, bool done) {
  ::pthread_mutex_lock(&mutex);
  guard->begun = 0;
  if (done) __atomic_store_n(&guard->done, uint8_t{1}, __ATOMIC_RELEASE);
  --begun;
  --begun_here;
  ::pthread_cond_broadcast(&changed);
  ::pthread_mutex_unlock(&mutex);
}

}  // namespace

void wait() {
  ::pthread_mutex_lock(&mutex);
  while (begun > begun_here) ::pthread_cond_wait(&changed, &mutex);
  ::pthread_mutex_unlock(&mutex);
}

bool hold() {
  ::pthread_mutex_lock(&mutex);
  if (begun == begun_here) return true;
  ::pthread_mutex_unlock(&mutex);
  return false;
}

void let_go() { ::pthread_mutex_unlock(&mutex); }

void start_anew() {
  changed = PTHREAD_COND_INITIALIZER;  // nobody waits here
  ::pthread_mutex_unlock(&mutex);
}

}  // namespace plait::statics

using plait::statics::Guard;

/// 1: the caller has to initialise the static, and then to call release or abort; 0: it is done.
PLAIT_GUARD_FUNCTION int __cxa_guard_acquire(Guard* guard) {
  using namespace plait::statics;
  ::pthread_mutex_lock(&mutex);
  while (guard->begun) ::pthread_cond_wait(&changed, &mutex);
  const int mine = !guard->done;
  if (mine) {
    guard->begun = 1;
    ++begun;
    ++begun_here;
  }
  ::pthread_mutex_unlock(&mutex);
  return mine;
}
PLAIT_GUARD_FUNCTION void __cxa_guard_release(Guard* guard) { plait::statics::end(guard, true); }
PLAIT_GUARD_FUNCTION void __cxa_guard_abort(Guard* guard) { plait::statics::end(guard, false); }
