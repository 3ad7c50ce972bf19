#include "plait/distributed.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "plait/error.h"

namespace plait::distributed {
namespace {

constexpr std::array<std::string_view, 5> kBackends = {"any", "mpi", "nccl", "ring", "jaccl"};

/// What says that there are several processes; empty if nothing does.
std::string said_by_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MLX_WORLD_SIZE"})
    if (const char* size = std::getenv(name); size && std::atoi(size) > 1) return std::string(name) + "=" + size;
  if (const char* hosts = std::getenv("MLX_HOSTFILE"); hosts && *hosts) return std::string("MLX_HOSTFILE=") + hosts;
  return "";
}

[[noreturn]] void nobody(const char* op, const char* what, int rank) {
  throw ArgumentError({.op = op,
                       .got = std::string(what) + std::to_string(rank) + " in a group of one process",
                       .accepts = "a rank of another process in the group",
                       .hint = "ask group.size() first"});
}

}  // namespace

Group Group::split(int /*color*/, int /*key*/) const {
  throw DeviceError({.op = "Group.split", .got = "a group of one process", .accepts = "a group of several processes"});
}

bool is_available(std::string_view /*backend*/) { return false; }

Group init(bool strict, std::string_view backend) {
  if (std::find(kBackends.begin(), kBackends.end(), backend) == kBackends.end())
    throw ArgumentError({.op = "distributed.init",
                         .got = "the backend '" + std::string(backend) + "'",
                         .accepts = "'any', 'mpi', 'nccl', 'ring' or 'jaccl'"});
  const std::string said = said_by_launcher();
  if (strict || !said.empty())
    throw DeviceError({.op = "distributed.init",
                       .got = said.empty() ? "strict: a group of connected processes"
                                           : "one of several processes, by its environment (" + said + ")",
                       .accepts = "one process: this version connects none",
                       .hint = said.empty() ? "without strict there is a group of one process"
                                            : "unset the variable for a process that is to work alone"});
  return {};
}

Array all_sum(const Array& x, const Group& /*group*/) { return x; }
Array all_max(const Array& x, const Group& /*group*/) { return x; }
Array all_min(const Array& x, const Group& /*group*/) { return x; }
Array all_gather(const Array& x, const Group& /*group*/) { return x; }
Array sum_scatter(const Array& x, const Group& /*group*/) { return x; }

Array send(const Array& /*x*/, int dst, const Group& /*group*/) { nobody("send", "dst=", dst); }
Array recv(const Shape& /*shape*/, DType /*dtype*/, int src, const Group& /*group*/) { nobody("recv", "src=", src); }
Array recv_like(const Array& /*x*/, int src, const Group& /*group*/) { nobody("recv_like", "src=", src); }

}  // namespace plait::distributed
