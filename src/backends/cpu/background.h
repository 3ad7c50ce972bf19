// Memory traffic beside the work on tiles.
#pragma once

#include "backends/cpu/operands.h"
#include "backends/cpu/scratch.h"

namespace plait::cpu {

/// Bytes of results from which on they go to memory past the caches: what the last-level cache cannot hold.
int64_t streaming_bytes();

/// For regions with large results. Work comes in units (tiles, or rows). Between the steps of one unit, the results of the one
/// before go to memory past the caches and what the next one reads comes in, as the work progresses: processor and memory are
/// busy together. (The machine's own prefetch stops at each page, and a burst of stores at the end of a tile stalls it.)
class Background {
 public:
  static constexpr int kMost = 8;  // results, and inputs, that are cared for

  /// Inactive, everything below is then left alone, unless `unit` elements > 0.
  Background(Scratch& scratch, const CpuRegion& region, const Schedule& schedule, const View* views, int64_t unit);
  bool active() const { return unit_ > 0; }

  /// Elements [start, start + n) of the space are next.
  void begin_unit(int64_t start, int64_t n);
  /// Where element `at` of the unit's part of result `k` goes for now.
  char* tile_of(int k, int64_t at) const {
    return results_ + (2 * k + turn_) * result_bytes_ + (at << results_view_[k].log_width);
  }
  void write(char* to, const char* from, int64_t bytes);
  void run(const std::vector<Step>& steps, char* const* slots, int64_t n) {
    for (const Step& s : steps) {
      work(n * s.cost);
      run_step(s, slots, n);
    }
  }
  /// Elements times cost that are about to be worked on.
  void work(int64_t elements) {
    worked_ += elements;
    advance(std::min(worked_ / unit_cost_, n_));
  }
  void finish();

 private:
  struct Write {
    char* to;
    const char* from;
    int64_t bytes, done;
  };
  struct Read {
    const char* next;
    int log_width;
    int64_t done;
  };
  void advance(int64_t element);
  void write_rest();

  const TileKernels& kernels_;
  const View* results_view_;
  int64_t unit_;
  int64_t unit_cost_ = 1;
  int64_t result_bytes_ = 0;
  char* results_ = nullptr;
  int turn_ = 0;
  int64_t n_ = 0, worked_ = 0;
  int write_count_ = 0, coming_count_ = 0, read_count_ = 0;
  Write writes_[kMost], coming_[kMost];
  Read reads_[kMost];
  const View* inputs_[kMost];
};

}  // namespace plait::cpu
