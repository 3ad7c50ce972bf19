#include "backends/cuda/runtime/blocks.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace plait {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGrain = 512;
constexpr int64_t kMost = int64_t{1} << 60;  // no device has it, and sums of it fit

// Requests of like size share segments, so that a small long-lived block does not hold a large segment.
struct Pool {
  int64_t largest;        // request
  int64_t segment;        // 0: as large as the request
  int64_t least_to_cut;   // what is left over below this stays with the block
};
constexpr Pool kPool[] = {{kMiB, 2 * kMiB, kGrain}, {16 * kMiB, 32 * kMiB, kMiB / 4}, {kMost, 0, 2 * kMiB}};

constexpr int kWhole = 2;  // the pool whose segments are as large as the request

int64_t rounded(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

int pool_of(int64_t bytes) {
  int pool = 0;
  while (bytes > kPool[pool].largest) ++pool;
  return pool;
}

}  // namespace

Blocks::~Blocks() {
  clear();
  for (auto& [data, block] : used_) delete block;  // what is still in use stays mapped
}

void* Blocks::allocate(memory::Queue queue, int64_t bytes, uint64_t uses) {
  if (bytes < 0 || bytes > kMost) return nullptr;
  bytes = rounded(std::max<int64_t>(bytes, 1), cut_ == Cut::none ? 1 : kGrain);
  const int pool = cut_ == Cut::none ? kWhole : pool_of(bytes);
  const std::lock_guard lock(mutex_);
  if (limit_ > 0 && active_ + bytes > limit_) return nullptr;
  Block* block = find_free(free_[queue][pool], bytes);
  if (!block) block = new_segment(queue, pool, bytes);
  if (!block) return nullptr;
  if (cut_ != Cut::none && block->bytes - bytes >= kPool[pool].least_to_cut) cut(block, bytes);
  block->used = true;
  block->uses = uses;
  used_.emplace(block->data, block);
  active_ += block->bytes;
  peak_ = std::max(peak_, active_);
  return block->data;
}

Blocks::Block* Blocks::find_free(FreeBlocks& blocks, int64_t bytes) {
  const auto found = blocks.lower_bound(bytes);
  if (found == blocks.end()) return nullptr;
  Block* const block = *found;
  blocks.erase(found);
  return block;
}

Blocks::Block* Blocks::new_segment(memory::Queue queue, int pool, int64_t bytes) {
  const int64_t exact = cut_ == Cut::none ? bytes : rounded(bytes, pool == 0 ? kGrain : 2 * kMiB);
  int64_t segment = std::max(exact, kPool[pool].segment);
  if (limit_ > 0 && reserved_ + segment > limit_) give_back_until(std::max<int64_t>(0, limit_ - segment - active_));
  void* data = source_.map(segment);
  if (!data && segment > exact) data = source_.map(segment = exact);
  if (!data) return nullptr;
  reserved_ += segment;
  return new Block{.data = static_cast<char*>(data), .bytes = segment, .queue = queue, .pool = pool};
}

void Blocks::cut(Block* block, int64_t bytes) {
  auto* rest = new Block(*block);
  rest->data += bytes;
  rest->bytes -= bytes;
  rest->used = false;
  rest->before = block;
  if (rest->after) rest->after->before = rest;
  block->bytes = bytes;
  block->after = rest;
  free_blocks(*rest).insert(rest);
}

void Blocks::release(void* data, uint64_t free_after) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(data);
  if (found == used_.end()) return;
  Block* block = found->second;
  used_.erase(found);
  active_ -= block->bytes;
  block->used = false;
  block->free_after = free_after;
  if (block->after && !block->after->used) {
    free_blocks(*block->after).erase(block->after);
    absorb_next(block);
  }
  if (block->before && !block->before->used) {
    block = block->before;
    free_blocks(*block).erase(block);
    absorb_next(block);
  }
  free_blocks(*block).insert(block);
  if (reserved_ - active_ > cache_limit_) give_back_until(cache_limit_);
}

void Blocks::absorb_next(Block* block) {
  Block* const next = block->after;
  block->bytes += next->bytes;
  block->free_after = std::max(block->free_after, next->free_after);
  block->after = next->after;
  if (block->after) block->after->before = block;
  delete next;
}

void Blocks::give_back_until(int64_t cached) {
  for (auto& [queue, pools] : free_) {
    if (queue >= kFirstOfRecordings) continue;
    for (FreeBlocks& blocks : pools)
      for (auto at = blocks.end(); at != blocks.begin() && reserved_ - active_ > cached;) {  // the largest first
        --at;
        Block* const block = *at;
        if (block->before || block->after) continue;
        at = blocks.erase(at);
        reserved_ -= block->bytes;
        source_.unmap(block->data);
        delete block;
      }
  }
}

std::optional<Blocks::Origin> Blocks::origin(const void* data) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(data);
  if (found == used_.end()) return std::nullopt;
  return Origin{found->second->free_after, found->second->uses};
}

int64_t Blocks::hold(memory::Queue number) {
  const std::lock_guard lock(mutex_);
  for (FreeBlocks& blocks : free_[number]) {
    for (Block* const block : blocks) {
      block->used = true;
      used_.emplace(block->data, block);
      active_ += block->bytes;
    }
    blocks.clear();
  }
  free_.erase(number);
  peak_ = std::max(peak_, active_);
  int64_t bytes = 0;
  for (const auto& [data, block] : used_)
    if (block->queue == number) bytes += block->bytes;
  return bytes;
}

void Blocks::adopt(memory::Queue number, memory::Queue queue) {
  const std::lock_guard lock(mutex_);
  for (const auto& [data, block] : used_)
    if (block->queue == number) block->queue = queue;
  for (size_t pool = 0; pool < kPools; ++pool)
    for (Block* const block : free_[number][pool]) {
      block->queue = queue;
      free_[queue][pool].insert(block);
    }
  free_.erase(number);
}

void Blocks::drop(memory::Queue number) noexcept {
  std::vector<void*> held;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [data, block] : used_)
      if (block->queue == number) held.push_back(block->data);
  }
  for (void* const data : held) release(data, 0);
  const std::lock_guard lock(mutex_);
  for (FreeBlocks& blocks : free_[number])
    for (Block* const block : blocks) {
      reserved_ -= block->bytes;
      source_.unmap(block->data);
      delete block;
    }
  free_.erase(number);
}

memory::DeviceMemory::Stats Blocks::stats() {
  const std::lock_guard lock(mutex_);
  return {.active = active_,
          .peak = peak_,
          .cached = reserved_ - active_,
          .total = total_,
          .limit = limit_ > 0 ? limit_ : total_,
          .cache_limit = std::min(cache_limit_, total_)};
}

void Blocks::reset_peak() {
  const std::lock_guard lock(mutex_);
  peak_ = 0;
}

void Blocks::set_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = std::max<int64_t>(bytes, 0);
}

int64_t Blocks::limit() {
  const std::lock_guard lock(mutex_);
  return limit_;
}

void Blocks::set_cache_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  cache_limit_ = cut_ == Cut::none ? 0 : std::max<int64_t>(bytes, 0);
  give_back_until(cache_limit_);
}

void Blocks::clear() {
  const std::lock_guard lock(mutex_);
  give_back_until(0);
}

}  // namespace plait
