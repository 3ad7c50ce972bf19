// A chunk is 2 MiB. Classes up to 16 KiB share chunks in pieces of 256 KiB, larger ones take a whole chunk; such a
// piece or chunk is a slab of one class. Threads move blocks to and from the slabs in batches, under one lock; a slab
// all of whose blocks are back gives its piece back, and a chunk all of whose pieces are back can be unmapped.
#include "memory/slabs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <new>

#include "memory/pages.h"
#include "memory/poison.h"
#include "memory/size_class.h"

namespace plait::memory {
namespace {

constexpr int64_t kChunk = kHugePage;
constexpr int64_t kPiece = kChunk / 8;
constexpr int64_t kMaxShared = 16 * 1024;
constexpr int64_t kSmallProgram =
    8 * kChunk;  // up to here small pages: a huge one takes long to clear for a few scalars
constexpr int64_t kCachedBytes = 64 * 1024;  // per thread and class

struct Node {
  Node* next;
};

// What a returned block keeps readable under AddressSanitizer.
constexpr int64_t kLink = sizeof(Node);

template <class T>
struct List {  // intrusive, doubly linked through prev and next
  T* first = nullptr;
  void push(T* item) {
    item->prev = nullptr;
    item->next = first;
    if (first) first->prev = item;
    first = item;
  }
  void remove(T* item) {
    (item->prev ? item->prev->next : first) = item->next;
    if (item->next) item->next->prev = item->prev;
  }
};

struct Chunk {  // at the start of each chunk
  Chunk* prev;
  Chunk* next;
  uint32_t free_pieces;  // bit set; a chunk for one slab has all or none
};

struct Slab {  // at the start of each piece or whole chunk, behind the room for a Chunk
  Slab* prev;
  Slab* next;
  Node* returned;
  uint32_t out;  // blocks that are not here
  uint32_t carved;  // blocks ever cut
  uint32_t total;
};

constexpr int64_t kSlabOffset = 64;
constexpr int64_t kFirstBlock = 128;
constexpr uint32_t kAllPieces = 0xff;
static_assert(sizeof(Chunk) <= kSlabOffset && sizeof(Slab) <= kFirstBlock - kSlabOffset);

constexpr int64_t slab_bytes(int size_class) { return class_bytes(size_class) <= kMaxShared ? kPiece : kChunk; }

// Blocks a thread keeps of each class.
constexpr auto kCacheLimits = [] {
  std::array<uint8_t, kSmallClasses> limits{};
  for (int c = 0; c < kSmallClasses; ++c) {
    limits[static_cast<size_t>(c)] = static_cast<uint8_t>(std::clamp<int64_t>(kCachedBytes / class_bytes(c), 1, 64));
  }
  return limits;
}();
constexpr uint32_t cache_limit(int size_class) { return kCacheLimits[static_cast<size_t>(size_class)]; }

template <class T>
T* at(void* base, int64_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(base) + offset);
}
char* floor_to(void* address, int64_t size) {
  return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(address) & ~(static_cast<uintptr_t>(size) - 1));
}

struct Slabs {
  std::mutex mutex;
  List<Slab> with_blocks[kSmallClasses];
  List<Chunk> with_pieces;
  std::atomic<uint32_t> releases{0};  // how often caches were asked to empty themselves
};
union Immortal {  // blocks may come back after static destructors ran
  constexpr Immortal() : slabs() {}
  ~Immortal() {}
  Slabs slabs;
};
constinit Immortal immortal;
Slabs& slabs = immortal.slabs;

// --- under the lock -------------------------------------------------------------------------------------------------

void add_chunk(void* memory) {
  Chunk* chunk = ::new (memory) Chunk{};
  chunk->free_pieces = kAllPieces;
  slabs.with_pieces.push(chunk);
}

// False when there is no chunk to cut it from.
bool add_slab(int size_class) {
  const bool whole = slab_bytes(size_class) == kChunk;
  Chunk* chunk = slabs.with_pieces.first;
  while (chunk && whole && chunk->free_pieces != kAllPieces) chunk = chunk->next;
  if (!chunk) return false;
  const int piece = whole ? 0 : __builtin_ctz(chunk->free_pieces);
  chunk->free_pieces = whole ? 0 : chunk->free_pieces & (chunk->free_pieces - 1);
  if (chunk->free_pieces == 0) slabs.with_pieces.remove(chunk);
  Slab* slab = ::new (at<void>(chunk, piece * kPiece + kSlabOffset)) Slab{};
  slab->total = static_cast<uint32_t>((slab_bytes(size_class) - kFirstBlock) / class_bytes(size_class));
  slabs.with_blocks[size_class].push(slab);
  return true;
}

void remove_slab(Slab* slab, int size_class) {
  unpoison(slab, slab_bytes(size_class) - kSlabOffset);
  slabs.with_blocks[size_class].remove(slab);
  Chunk* chunk = at<Chunk>(floor_to(slab, kChunk), 0);
  if (chunk->free_pieces == 0) slabs.with_pieces.push(chunk);
  const int64_t piece = (at<char>(slab, 0) - at<char>(chunk, 0)) / kPiece;
  chunk->free_pieces = slab_bytes(size_class) == kChunk ? kAllPieces : chunk->free_pieces | 1u << piece;
}

Node* take_block(int size_class) {
  Slab* slab = slabs.with_blocks[size_class].first;
  if (!slab) {
    if (!add_slab(size_class)) return nullptr;
    slab = slabs.with_blocks[size_class].first;
  }
  Node* block = slab->returned;
  if (block) {
    slab->returned = block->next;
  } else {
    block = at<Node>(slab, kFirstBlock - kSlabOffset + slab->carved++ * class_bytes(size_class));
    unpoison(block, kLink);
  }
  if (++slab->out == slab->total) slabs.with_blocks[size_class].remove(slab);
  return block;
}

void put_block(Node* block, int size_class) {
  Slab* slab = at<Slab>(floor_to(block, slab_bytes(size_class)), kSlabOffset);
  block->next = slab->returned;
  slab->returned = block;
  if (slab->out-- == slab->total) slabs.with_blocks[size_class].push(slab);
  if (slab->out == 0) remove_slab(slab, size_class);
}

// --- caches of threads ----------------------------------------------------------------------------------------------

struct Cache {
  struct Blocks {
    Node* first = nullptr;
    uint32_t count = 0;
  };
  Blocks blocks[kSmallClasses];
  uint32_t releases = 0;
};

[[gnu::tls_model("initial-exec")]] constinit thread_local Cache* cache = nullptr;
[[gnu::tls_model("initial-exec")]] constinit thread_local bool cache_is_gone = false;

// Both need the lock.
void give_back(Cache::Blocks& blocks, int size_class, uint32_t count) {
  for (; count > 0; --count, --blocks.count) {
    Node* block = blocks.first;
    blocks.first = block->next;
    put_block(block, size_class);
  }
}
void empty_if_asked(Cache& mine, bool asked) {
  const uint32_t releases = slabs.releases.load(std::memory_order_relaxed);
  if (!asked && mine.releases == releases) return;
  mine.releases = releases;
  for (int c = 0; c < kSmallClasses; ++c) give_back(mine.blocks[c], c, mine.blocks[c].count);
}

struct EmptyCacheAtThreadExit {
  ~EmptyCacheAtThreadExit() {
    {
      const std::lock_guard lock(slabs.mutex);
      empty_if_asked(*cache, true);
    }
    delete cache;
    cache = nullptr;
    cache_is_gone = true;
  }
};

void make_cache() noexcept {
  if (cache_is_gone) return;
  cache = new (std::nothrow) Cache;
  if (cache) thread_local EmptyCacheAtThreadExit at_exit;
}

// One block to return and half a cache more to keep.
[[gnu::noinline]] Node* refill(int size_class) noexcept {
  if (!cache) make_cache();
  const uint32_t wanted = cache ? cache_limit(size_class) / 2 : 0;
  std::unique_lock lock(slabs.mutex);
  if (cache) empty_if_asked(*cache, false);
  Node* block = take_block(size_class);
  if (!block) {
    lock.unlock();  // reading the machine's state and mapping take their time
    void* memory = map_pages(kChunk, mapped_bytes() >= kSmallProgram);
    if (!memory) return nullptr;
    lock.lock();
    add_chunk(memory);
    block = take_block(size_class);
  }
  if (cache) {
    Cache::Blocks& mine = cache->blocks[size_class];
    for (uint32_t i = 0; i < wanted && slabs.with_blocks[size_class].first; ++i) {
      Node* extra = take_block(size_class);
      extra->next = mine.first;
      mine.first = extra;
      ++mine.count;
    }
  }
  return block;
}

[[gnu::noinline]] void overflow(Node* block, int size_class) noexcept {
  if (!cache) make_cache();
  const std::lock_guard lock(slabs.mutex);
  if (!cache) return put_block(block, size_class);
  Cache::Blocks& mine = cache->blocks[size_class];
  block->next = mine.first;
  mine.first = block;
  ++mine.count;
  empty_if_asked(*cache, false);
  if (mine.count > cache_limit(size_class)) give_back(mine, size_class, (mine.count + 1) / 2);
}

}  // namespace

void* take_small(int size_class) noexcept {
  Node* block;
  if (cache && cache->blocks[size_class].first) [[likely]] {
    Cache::Blocks& mine = cache->blocks[size_class];
    block = mine.first;
    mine.first = block->next;
    --mine.count;
  } else {
    block = refill(size_class);
    if (!block) return nullptr;
  }
  unpoison(block, class_bytes(size_class));
  return block;
}

void return_small(void* memory, int size_class) noexcept {
  poison(memory, class_bytes(size_class));
  unpoison(memory, kLink);
  Node* block = static_cast<Node*>(memory);
  if (cache && cache->blocks[size_class].count < cache_limit(size_class)) [[likely]] {
    Cache::Blocks& mine = cache->blocks[size_class];
    block->next = mine.first;
    mine.first = block;
    ++mine.count;
  } else {
    overflow(block, size_class);
  }
}

void release_small() noexcept {
  List<Chunk> unused;
  {
    const std::lock_guard lock(slabs.mutex);
    slabs.releases.fetch_add(1, std::memory_order_relaxed);
    if (cache) empty_if_asked(*cache, true);
    for (Chunk* chunk = slabs.with_pieces.first; chunk;) {
      Chunk* next = chunk->next;
      if (chunk->free_pieces == kAllPieces) {
        slabs.with_pieces.remove(chunk);
        unused.push(chunk);
      }
      chunk = next;
    }
  }
  while (Chunk* chunk = unused.first) {
    unused.remove(chunk);
    unpoison(chunk, kChunk);
    unmap_pages(chunk, kChunk);
  }
}

void lock_small() noexcept { slabs.mutex.lock(); }
void unlock_small() noexcept { slabs.mutex.unlock(); }

}  // namespace plait::memory
