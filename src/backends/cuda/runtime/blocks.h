// Blocks of one device's memory: cut from larger segments, kept for reuse in the order of their queue's work. It counts
// and sorts only; memory comes from a source, so that it is tested without a device.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "memory/device.h"

namespace plait {

class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Null when there is not so much.
  virtual void* map(int64_t bytes) = 0;
  /// When nothing that is enqueued uses it any more.
  virtual void unmap(void* data) noexcept = 0;
};

/// Up to 1 MiB blocks are cut from segments of 2 MiB, up to 16 MiB from those of 32 MiB; a larger block has a segment of
/// its own, which may be cut when it comes back. Neighbours that are free grow together. A segment belongs to one queue,
/// so a block goes from hand to hand in the order of that queue's work.
///
/// Units: bytes; sizes are multiples of 512. Threads: any.
///
/// With `Cut::none` each block is a segment of exactly its bytes and is given back at once: slow, but then tools see each access past an
/// end, and each after it.
class Blocks {
 public:
  /// Numbers from here on are no queues' but recordings', whose memory goes back by `drop` alone.
  static constexpr memory::Queue kFirstOfRecordings = memory::Queue{1} << 31;

  enum class Cut : uint8_t { segments, none };
  Blocks(MemorySource& source, int64_t total, Cut cut = Cut::segments)
      : source_(source), total_(total), cut_(cut), cache_limit_(cut == Cut::none ? 0 : INT64_MAX) {}
  ~Blocks();

  /// What an allocation is told of: `uses` is the queue's count (StreamQueue::uses).
  /// Null when the limit or the source allow no more; `clear` may help then.
  void* allocate(memory::Queue queue, int64_t bytes, uint64_t uses);
  /// `free_after` is the mark of the queue after which nothing uses the memory any more.
  void release(void* data, uint64_t free_after) noexcept;

  /// Of a block in use: the mark after which its memory was free, and the queue's uses when it was allocated.
  struct Origin {
    uint64_t free_after = 0;
    uint64_t uses = 0;
  };
  std::optional<Origin> origin(const void* data);

  memory::DeviceMemory::Stats stats();
  void reset_peak();
  void set_limit(int64_t bytes);
  int64_t limit();
  void set_cache_limit(int64_t bytes);
  /// Of a recording's number: what is free of it counts as used from now on, so that it stays where it is. All bytes it holds.
  int64_t hold(memory::Queue number);
  /// What a recording's number holds is a queue's from now on.
  void adopt(memory::Queue number, memory::Queue queue);
  /// Gives back whatever a recording's number holds. The caller knows that nothing uses it any more.
  void drop(memory::Queue number) noexcept;
  /// Gives segments back that hold nothing in use. The caller has finished the queues, or knows that the source waits.
  void clear();

 private:
  struct Block {
    char* data = nullptr;
    int64_t bytes = 0;
    memory::Queue queue = 0;
    int pool = 0;
    bool used = false;
    uint64_t free_after = 0;
    uint64_t uses = 0;
    Block* before = nullptr;  // neighbours in the segment
    Block* after = nullptr;
  };
  struct BySize {
    using is_transparent = void;
    bool operator()(const Block* a, const Block* b) const {
      return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
    }
    bool operator()(const Block* a, int64_t bytes) const { return a->bytes < bytes; }
    bool operator()(int64_t bytes, const Block* b) const { return bytes < b->bytes; }
  };
  using FreeBlocks = std::set<Block*, BySize>;
  static constexpr int kPools = 3;

  Block* find_free(FreeBlocks& blocks, int64_t bytes);
  Block* new_segment(memory::Queue queue, int pool, int64_t bytes);
  void cut(Block* block, int64_t bytes);
  void absorb_next(Block* block);
  FreeBlocks& free_blocks(const Block& block) { return free_[block.queue][block.pool]; }
  void give_back_until(int64_t cached);

  MemorySource& source_;
  const int64_t total_;
  const Cut cut_;
  std::mutex mutex_;
  std::map<memory::Queue, std::array<FreeBlocks, kPools>> free_;
  std::unordered_map<const void*, Block*> used_;
  int64_t active_ = 0;
  int64_t peak_ = 0;
  int64_t reserved_ = 0;  // of all segments
  int64_t limit_ = 0;  // 0: none
  int64_t cache_limit_;
};

}  // namespace plait
