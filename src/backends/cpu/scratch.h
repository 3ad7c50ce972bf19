// Temporary memory of one thread, used as a stack: no allocation once it has grown to what the work needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace plait::cpu {

/// Memory that lives until this object does; objects nest, also through parallel_for.
///
/// Threads: belongs to the thread that made it. Errors: std::bad_alloc.
class Scratch {
 public:
  Scratch() : pool_(pool()), block_(pool_.block), used_(pool_.used) { ++pool_.depth; }
  ~Scratch() {
    if (--pool_.depth == 0 && pool_.blocks.size() > 1)
      pool_.merge();
    else
      pool_.block = block_, pool_.used = used_;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// Uninitialised, aligned to a cache line, and readable and writable for a cache line beyond.
  template <class T>
  T* take(int64_t count) {
    return reinterpret_cast<T*>(pool_.take(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  struct Block {
    std::unique_ptr<std::byte, Free> data;
    size_t bytes = 0;
  };
  struct Pool {
    std::vector<Block> blocks;
    size_t block = 0, used = 0;
    int depth = 0;

    std::byte* take(size_t bytes) {
      bytes = (bytes + 127) & ~size_t{63};
      while (block >= blocks.size() || used + bytes > blocks[block].bytes) {
        if (block + 1 >= blocks.size())
          add(bytes);
        else
          ++block;
        used = 0;
      }
      std::byte* at = blocks[block].data.get() + used;
      used += bytes;
      return at;
    }
    void add(size_t bytes) {
      size_t size = blocks.empty() ? size_t{256} << 10 : 2 * blocks.back().bytes;
      while (size < bytes) size *= 2;
      blocks.push_back(
          {std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(::operator new(size, std::align_val_t{64}))),
           size});
      block = blocks.size() - 1;
    }
    // Large scratch is given back: rows buffers of a rare huge region should not stay.
    void merge() {
      Block last = std::move(blocks.back());
      blocks.clear();
      if (last.bytes <= size_t{8} << 20) blocks.push_back(std::move(last));
      block = used = 0;
    }
  };
  static Pool& pool() {
    thread_local Pool pool;
    return pool;
  }

  Pool& pool_;
  size_t block_, used_;
};

}  // namespace plait::cpu
