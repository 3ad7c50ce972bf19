#include "backends/cpu/background.h"

#include <unistd.h>

#include <fstream>

namespace plait::cpu {

namespace {

/// Of one last-level cache. The system's own table, since C libraries derive a wrong figure inside virtual machines.
int64_t cache_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");  // as "32768K"
  int64_t size = 0;
  char unit = 0;
  if (file >> size >> unit && size > 0) return unit == 'K' ? size << 10 : unit == 'M' ? size << 20 : size;
  return sysconf(_SC_LEVEL3_CACHE_SIZE);
}

}  // namespace

int64_t streaming_bytes() {
  static const int64_t bytes = [] {
    const int64_t cache = cache_bytes();
    return cache > 0 ? cache : int64_t{32} << 20;
  }();
  return bytes;
}

Background::Background(Scratch& scratch, const CpuRegion& region, const Schedule& schedule, const View* views,
                       int64_t unit)
    : kernels_(region.kernels), results_view_(views + region.program.inputs.size()), unit_(unit) {
  if (!active()) return;
  result_bytes_ = (unit << schedule.log_width) + 192;  // tiles 4 KiB apart would confuse stores with loads
  results_ = scratch.take<char>(2 * static_cast<int64_t>(region.program.outputs.size()) * result_bytes_);
  int64_t cost = 0;
  for (const Phase& phase : schedule.phases) {
    for (const Step& s : phase.steps) cost += s.cost;
    cost += static_cast<int64_t>(phase.reduces.size());
  }
  unit_cost_ = std::max<int64_t>(cost, 1);
  for (const Phase& phase : schedule.phases) {
    for (const Phase::Load& load : phase.loads) {
      const View* const view = &views[load.input];
      if (view->linear && read_count_ < kMost &&
          std::find(inputs_, inputs_ + read_count_, view) == inputs_ + read_count_)
        inputs_[read_count_++] = view;
    }
  }
}

void Background::begin_unit(int64_t start, int64_t n) {
  write_rest();
  turn_ ^= 1;
  std::copy_n(coming_, coming_count_, writes_);
  write_count_ = coming_count_;
  coming_count_ = 0;
  n_ = n;
  worked_ = 0;
  for (int k = 0; k < read_count_; ++k)
    reads_[k] = {inputs_[k]->data + ((start + n) << inputs_[k]->log_width), inputs_[k]->log_width, 0};
}

void Background::write(char* to, const char* from, int64_t bytes) {
  for (int k = 0; k < coming_count_; ++k) {
    Write& w = coming_[k];
    if (w.to + w.bytes != to || w.from + w.bytes != from) continue;
    w.bytes += bytes;
    return;
  }
  if (coming_count_ == kMost)
    kernels_.stream(to, from, bytes);
  else
    coming_[coming_count_++] = {to, from, bytes, 0};
}

void Background::advance(int64_t element) {
  constexpr int64_t kLine = 64;
  for (int k = 0; k < write_count_; ++k) {
    Write& w = writes_[k];
    const int64_t until = element == n_ ? w.bytes : w.bytes * element / n_ & -kLine;
    if (until <= w.done) continue;
    kernels_.stream(w.to + w.done, w.from + w.done, until - w.done);
    w.done = until;
  }
  for (int k = 0; k < read_count_; ++k) {
    Read& r = reads_[k];
    for (const int64_t until = element << r.log_width; r.done < until; r.done += kLine)
      __builtin_prefetch(r.next + r.done);
  }
}

void Background::write_rest() {
  for (int k = 0; k < write_count_; ++k)
    kernels_.stream(writes_[k].to + writes_[k].done, writes_[k].from + writes_[k].done,
                    writes_[k].bytes - writes_[k].done);
  write_count_ = 0;
}

void Background::finish() {
  if (!active()) return;
  write_rest();
  for (int k = 0; k < coming_count_; ++k) kernels_.stream(coming_[k].to, coming_[k].from, coming_[k].bytes);
  coming_count_ = 0;
  kernels_.fence();
}

}  // namespace plait::cpu
