#include "backends/simulated/simulated.h"

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/interrupt.h"
#include "base/matrix_error.h"
#include "memory/allocator.h"
#include "plait/error.h"

namespace plait {
namespace {

using memory::Mark;
using memory::Queue;

/// Runs tasks one after the other on a thread of its own.
class TaskQueue {
 public:
  explicit TaskQueue(int device) : device(device), thread_([this] { loop(); }) { thread_.detach(); }

  const int device;

  uint64_t add(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_all();
    return ++added_;
  }
  uint64_t added() {
    const std::lock_guard lock(mutex_);
    return added_;
  }
  bool reached(uint64_t at) {
    const std::lock_guard lock(mutex_);
    return done_ >= at;
  }
  void wait(uint64_t at, bool answer_interrupts) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(20), [&] { return done_ >= at; })) {
      if (!answer_interrupts) continue;
      lock.unlock();
      poll_interrupt();
      lock.lock();
    }
    if (fault_) std::rethrow_exception(fault_);
  }

 private:
  [[noreturn]] void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return !tasks_.empty(); });
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      std::exception_ptr fault;
      try {
        task();
      } catch (...) {
        fault = std::current_exception();
      }
      task = nullptr;
      lock.lock();
      if (fault && !fault_) fault_ = fault;
      ++done_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  uint64_t added_ = 0;
  uint64_t done_ = 0;
  std::exception_ptr fault_;
  std::thread thread_;
};

/// What the calling thread records.
struct Recorder {
  Queue queue;
  std::vector<std::function<void()>> tasks;
  std::vector<std::pair<void*, int64_t>> memory;
  int64_t bytes = 0;
};
constinit thread_local std::unique_ptr<Recorder> recorder;

class Simulated final : public DeviceBackend {
 public:
  Simulated(int devices, std::string_view without, int lost_recordings)
      : devices_(devices), stats_(static_cast<size_t>(devices)), lost_recordings_(lost_recordings) {
    for (size_t at = 0; at < without.size();) {
      const size_t end = std::min(without.find(',', at), without.size());
      kernels_.emplace(without.substr(at, end - at), Kernel{});
      at = end + 1;
    }
  }

  std::string_view name() const override { return "simulated"; }
  int device_count() const override { return devices_; }
  DeviceInfo info(int) const override { return {"simulated GPU", "host", kTotal}; }

  Queue open_queue(int device) override {
    const std::lock_guard lock(mutex_);
    queues_.push_back(std::make_unique<TaskQueue>(device));
    return static_cast<Queue>(queues_.size() - 1);
  }
  int device_of(Queue queue) const override { return at(queue).device; }
  Mark mark(Queue queue) override {
    refuse_recording(queue);
    return {queue, at(queue).added()};
  }
  void wait(Queue queue, Mark mark) override {
    if (queue == mark.queue) return;
    refuse_recording(queue);
    at(queue).add([this, mark] { at(mark.queue).wait(mark.at, false); });
  }
  bool reached(Mark mark) override { return at(mark.queue).reached(mark.at); }
  void finish(Mark mark) override { at(mark.queue).wait(mark.at, true); }

  void* allocate(Queue queue, int64_t bytes) override {
    memory::count_device_allocation(bytes);
    const auto device = static_cast<size_t>(device_of(queue));
    const int64_t size = (std::max<int64_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign;
    const std::lock_guard lock(mutex_);
    Stats& stats = stats_[device];
    const auto refuse = [&](int64_t unused) {
      Stats now = stats;
      now.limit = limits_[device];
      throw memory::out_of_device_memory(bytes, now, unused);
    };
    if (size > limits_[device] - stats.active) refuse(limits_[device] - stats.active);
    void* data = std::aligned_alloc(kAlign, static_cast<size_t>(size));
    if (!data) refuse(0);
    stats.active += size;
    stats.peak = std::max(stats.peak, stats.active);
    if (recorder && recorder->queue == queue) {
      recorder->memory.emplace_back(data, size);
      recorder->bytes += size;
      sizes_[data] = kRecorded;
    } else {
      sizes_[data] = size;
    }
    return data;
  }
  void release(Queue queue, void* data) noexcept override {
    TaskQueue& tasks = at(queue);
    {
      const std::lock_guard lock(mutex_);
      const auto found = sizes_.find(data);
      if (found->second < 0) {  // goes with its recording
        found->second = kReleased;
        return;
      }
      stats_[static_cast<size_t>(tasks.device)].active -= found->second;
      sizes_.erase(found);
    }
    tasks.add([data] { std::free(data); });
  }

  void upload(Queue queue, void* to, const void* from, int64_t bytes) override {
    const auto* begin = static_cast<const char*>(from);
    enqueue(queue, [to, staged = std::vector<char>(begin, begin + bytes)] {
      if (!staged.empty()) std::memcpy(to, staged.data(), staged.size());
    });
  }
  void download(Mark after, void* to, const void* from, int64_t bytes) override {
    at(after.queue).wait(after.at, false);
    if (bytes) std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void* allocate_shared(int64_t bytes) override { return new char[static_cast<size_t>(bytes)](); }  // never given back
  void copy(Queue queue, void* to, const void* from, int64_t bytes) override {
    enqueue(queue, [=] {
      if (bytes) std::memcpy(to, from, static_cast<size_t>(bytes));
    });
  }
  void copy_all(Queue queue, std::span<const Piece> pieces) override {
    for (const Piece& p : pieces) copy(queue, p.to, p.from, p.bytes);
  }

  bool begin_recording(Queue queue) override {
    if (is_lost(false)) return false;
    recorder = std::make_unique<Recorder>(Recorder{queue, {}, {}, 0});
    return true;
  }
  std::unique_ptr<Recording> end_recording(Queue, std::string& why_not) override {
    Recorder made = std::move(*std::exchange(recorder, nullptr));
    if (!is_lost(true)) return std::make_unique<Recorded>(*this, std::move(made));
    const auto device = static_cast<size_t>(device_of(made.queue));
    const std::lock_guard lock(mutex_);
    for (const auto& [data, size] : made.memory) {
      if (std::exchange(sizes_[data], size) == kRecorded) continue;  // it will be released
      stats_[device].active -= size;
      sizes_.erase(data);
      std::free(data);
    }
    why_not = "it was to be lost";
    return nullptr;
  }

  Stats stats(int device) override {
    const std::lock_guard lock(mutex_);
    Stats stats = stats_[static_cast<size_t>(device)];
    stats.total = kTotal;
    stats.limit = limits_[static_cast<size_t>(device)];
    return stats;
  }
  void reset_peak(int device) override {
    const std::lock_guard lock(mutex_);
    stats_[static_cast<size_t>(device)].peak = 0;
  }
  void set_limit(int device, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    limits_[device] = bytes ? bytes : kTotal;
  }
  void set_cache_limit(int device, int64_t bytes) override {  // only remembered: nothing is kept here
    const std::lock_guard lock(mutex_);
    stats_[static_cast<size_t>(device)].cache_limit = bytes;
  }
  void clear_cache(int) override {}

  std::unique_ptr<CompiledRegion> compile_region(RegionProgram region) override {
    return std::make_unique<Region>(*this, std::move(region));
  }
  const Kernel* find_kernel(std::string_view op) const override {
    const std::lock_guard lock(mutex_);
    const auto [found, is_new] = kernels_.try_emplace(std::string(op));
    if (is_new && kernels().find(op)) {
      found->second = *kernels().find(op);
      found->second.run = run_kernel;
    }
    return found->second.run ? &found->second : nullptr;
  }

 private:
  static constexpr int64_t kTotal = int64_t{1} << 40;
  static constexpr int64_t kAlign = 256;
  static constexpr int64_t kRecorded = -1, kReleased = -2;  // instead of a size

  /// As often as PLAIT_SIMULATE_LOST_RECORDINGS asks for, by turns when a recording begins and when it ends.
  bool is_lost(bool at_end) {
    const std::lock_guard lock(mutex_);
    if (lost_recordings_ <= 0 || (lost_recordings_ % 2 == 1) != at_end) return false;
    --lost_recordings_;
    return true;
  }

  class Recorded final : public Recording {
   public:
    Recorded(Simulated& owner, Recorder made) : owner_(owner), made_(std::move(made)) {}
    ~Recorded() override {
      TaskQueue& queue = owner_.at(made_.queue);
      queue.wait(queue.added(), false);
      const std::lock_guard lock(owner_.mutex_);
      owner_.stats_[static_cast<size_t>(queue.device)].active -= made_.bytes;
      for (const auto& [data, size] : made_.memory) {
        owner_.sizes_.erase(data);
        std::free(data);
      }
    }
    void replay() override {
      for (const auto& task : made_.tasks) owner_.enqueue(made_.queue, task);
    }
    int64_t bytes() const override { return made_.bytes; }

   private:
    Simulated& owner_;
    Recorder made_;
  };

  void enqueue(Queue queue, std::function<void()> task) {
    if (recorder && recorder->queue == queue)
      recorder->tasks.push_back(std::move(task));
    else
      at(queue).add(std::move(task));
  }
  static void refuse_recording(Queue queue) {
    if (recorder && recorder->queue == queue)
      throw DeviceError({.op = "recording", .got = "work that waits", .accepts = "launches and copies on the device"});
  }

  class Region final : public CompiledRegion {
   public:
    Region(Simulated& owner, RegionProgram program) : owner_(owner), code_(compile_region_cpu(std::move(program))) {}
    void run(const RegionBinding& binding) const override {
      owner_.enqueue(binding.queue, [code = code_, binding] { code->run(binding); });
    }
    const char* how() const override { return code_->how(); }

   private:
    Simulated& owner_;
    std::shared_ptr<CompiledRegion> code_;
  };

  static void run_kernel(const KernelArgs& args);

  TaskQueue& at(Queue queue) const {
    const std::lock_guard lock(mutex_);
    return *queues_[queue];
  }

  const int devices_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<TaskQueue>> queues_;
  std::unordered_map<void*, int64_t> sizes_;
  std::vector<Stats> stats_;
  int lost_recordings_;
  std::vector<int64_t> limits_ = std::vector<int64_t>(static_cast<size_t>(devices_), kTotal);
  mutable std::unordered_map<std::string, Kernel> kernels_;
};

Simulated* the_backend = nullptr;

/// What is found late on a device is noted; the rest is thrown.
void run_as_on_device(const KernelArgs& args) {
  try {
    kernels().find(args.op)->run(args);
  } catch (const memory::PositionError& e) {
    if (args.note && !args.note->op) *args.note = {args.op.data(), e.given, e.n, e.most, args.source};
  } catch (const MatrixError& e) {
    check_internal(args.note != nullptr, "a kernel that checks matrices does not say so");
    if (!args.note->op) *args.note = {args.op.data(), e.what_failed, e.matrix, 0, args.source, e.matrices};
  }
}

// Attributes are borrowed from the graph, so the kernel runs before this returns; what it throws is no fault of the device. Of what is
// recorded the graph's attributes are kept.
void Simulated::run_kernel(const KernelArgs& args) {
  if (recorder && recorder->queue == args.queue)
    return the_backend->enqueue(args.queue, [args, inputs = std::vector(args.inputs.begin(), args.inputs.end()),
                                             outputs = std::vector(args.outputs.begin(), args.outputs.end())] {
      KernelArgs mine = args;
      mine.inputs = inputs;
      mine.outputs = outputs;
      run_as_on_device(mine);
    });
  TaskQueue& queue = the_backend->at(args.queue);
  std::exception_ptr error;
  const uint64_t done = queue.add([&] {
    try {
      run_as_on_device(args);
    } catch (...) {
      error = std::current_exception();
    }
  });
  queue.wait(done, false);
  if (error) std::rethrow_exception(error);
}

}  // namespace

DeviceBackend* simulated_backend() {
  const char* asked = std::getenv("PLAIT_SIMULATE_GPU");
  if (!asked) return nullptr;
  char* end = nullptr;
  const long devices = std::strtol(asked, &end, 10);
  if (end == asked || *end || devices < 0 || devices > 16)
    throw DeviceError({.op = "PLAIT_SIMULATE_GPU", .got = asked, .accepts = "a number of devices from 0 to 16"});
  const char* without = std::getenv("PLAIT_SIMULATE_WITHOUT");
  const char* lost = std::getenv("PLAIT_SIMULATE_LOST_RECORDINGS");
  if (devices == 0) return nullptr;
  the_backend = new Simulated(static_cast<int>(devices), without ? without : "", lost ? std::atoi(lost) : 0);
  return the_backend;
}

}  // namespace plait
