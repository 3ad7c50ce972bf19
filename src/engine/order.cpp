#include "engine/order.h"

#include <queue>
#include <tuple>

#include "plait/error.h"

namespace plait::engine {
namespace {

// A block with more readers to come than this goes too late to count for any of them.
constexpr uint32_t kSharers = 4;

class Scheduler {
 public:
  Scheduler(const std::vector<Work>& work, const std::vector<double>& sizes)
      : work_(work),
        sizes_(sizes),
        readers_(sizes.size()),
        left_(sizes.size()),
        waits_(work.size()),
        done_(work.size()) {
    for (uint32_t u = 0; u < work.size(); ++u) {
      waits_[u] = work[u].waits;
      for (const uint32_t block : work[u].frees) readers_[block].push_back(u);
    }
    for (size_t block = 0; block < sizes.size(); ++block) left_[block] = static_cast<uint32_t>(readers_[block].size());
  }

  std::vector<uint32_t> run() {
    std::vector<uint32_t> order;
    for (uint32_t u = 0; u < work_.size(); ++u) push_if_ready(u);
    while (!ready_.empty()) {
      const uint32_t u = std::get<2>(ready_.top());
      ready_.pop();
      if (done_[u]) continue;  // listed again when it became more urgent
      done_[u] = 1;
      order.push_back(u);
      for (const uint32_t block : work_[u].frees)
        if (--left_[block] <= kSharers)
          for (const uint32_t reader : readers_[block]) push_if_ready(reader);
      for (const uint32_t user : work_[u].users)
        if (--waits_[user] == 0) push_if_ready(user);
    }
    check_internal(order.size() == work_.size(), "the regions of a plan depend on each other in a circle");
    return order;
  }

 private:
  // Readers that are still to come share what a block gives back: the first of them brings that nearer.
  bool shrinks(uint32_t u) const {
    double gives = 0;
    for (const uint32_t block : work_[u].frees)
      if (left_[block] <= kSharers) gives += sizes_[block] / left_[block];
    return gives > work_[u].takes;
  }

  void push_if_ready(uint32_t u) {
    if (waits_[u] == 0 && !done_[u]) ready_.push({work_[u].on_cpu, !shrinks(u), u});
  }

  const std::vector<Work>& work_;
  const std::vector<double>& sizes_;
  std::vector<std::vector<uint32_t>> readers_;  // per block
  std::vector<uint32_t> left_;                  // per block: readers that have not run
  std::vector<uint32_t> waits_;
  std::vector<uint8_t> done_;
  using Entry = std::tuple<bool, bool, uint32_t>;  // the smallest goes first
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready_;
};

}  // namespace

std::vector<uint32_t> order_of(const std::vector<Work>& work, const std::vector<double>& sizes) {
  return Scheduler(work, sizes).run();
}

}  // namespace plait::engine
