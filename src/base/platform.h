// What the machine and the process's limits allow: CPUs, memory, pages.
#pragma once

#include <cstdint>
#include <limits>

namespace plait::platform {

inline constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// CPUs in the process's affinity mask, at least 1.
int affinity_cpus();

/// CPUs' worth of time the tightest cgroup (v1 or v2) grants; infinity without a quota.
double cgroup_cpu_quota();

/// Threads that can run at once: the affinity mask, cut by the quota rounded up; at least 1.
int usable_cpus();

int64_t page_bytes();

/// Whether madvise(MADV_HUGEPAGE) has an effect, that is, transparent huge pages are "always" or "madvise".
bool huge_pages_available();

/// RAM of the machine in bytes.
int64_t total_memory();

/// Bytes a new workload can use without swapping (MemAvailable); kUnlimited where the kernel does not say.
int64_t free_memory();

/// The tightest cgroup memory limit in bytes; kUnlimited without one.
int64_t cgroup_memory_limit();

/// Bytes until the tightest cgroup limit, page cache that can be dropped not counted; kUnlimited without a limit.
int64_t cgroup_memory_headroom();

/// Bytes of anonymous memory of this process that are in RAM.
int64_t resident_anonymous_memory();

namespace detail {
// For tests: the same readings from a copy of the files, `root` standing for "/".
double cgroup_cpu_quota_at(const char* root);
int64_t cgroup_memory_limit_at(const char* root);
int64_t cgroup_memory_headroom_at(const char* root);
}  // namespace detail

}  // namespace plait::platform
