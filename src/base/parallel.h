// The one CPU thread pool.
#pragma once

#include <cstdint>

#include "base/function_ref.h"
#include "plait/export.h"

namespace plait {

/// Threads a parallel region may use, the caller included. At first PLAIT_NUM_THREADS, else the affinity mask cut by
/// the cgroup's CPU quota.
int thread_count();

/// Changes it, from the next region on; n below 1 restores the default.
void set_thread_count(int n);

/// Calls `body(begin, end)` for [0, grain), [grain, 2 grain), ... up to `count`, in any order and on several threads.
///
/// The cut depends on `count` and `grain` only, so that partial results do not depend on the number of threads. The
/// caller takes part, and waits only for chunks that another thread has begun. Chunks run one after another on the
/// calling thread when there is one chunk or one thread, and inside another region. Threads: any number may call at
/// once; their regions share the workers. A fork while other threads are inside is safe; a child that forked inside its
/// own region gets an exception from that region if a worker had part of it. Errors: the first exception of a chunk
/// stops the handing out of chunks and is rethrown here, as is that of `poll_interrupt`, which the caller's thread
/// polls between its chunks and while it waits.
PLAIT_API void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body);

/// 0 on threads of the user, 1, 2, ... on workers. Inside a region it is below the `thread_count()` the region started
/// with and differs between the threads of the region, so it can index scratch space made for that region.
PLAIT_API int worker_index() noexcept;

}  // namespace plait
