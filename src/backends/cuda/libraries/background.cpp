#include "backends/cuda/libraries/background.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace plait::cuda {
namespace {

constinit std::atomic<bool> ending{false};

/// Leaked, so that no thread outlives it. `stop` has to run before the ends of what a job uses: libraries set up parts of themselves
/// during their first calls, later than any exit handler of ours, so theirs would run before it. Objects of the main thread end before
/// all of them.
class Background {
 public:
  static void end_with_main_thread() {
    struct End {
      bool of_main = ::gettid() == ::getpid();
      ~End() {
        if (Background* const begun = begun_.load(); of_main && begun) begun->stop();
      }
    };
    static thread_local const End end;
    (void)end.of_main;
  }
  static Background& instance() {
    static Background* const background = new Background;
    return *background;
  }
  bool add(std::function<void()> job, const std::atomic<int>& asked) {
    const std::lock_guard lock(mutex_);
    if (stopped_ || jobs_.size() >= kMostWaiting) return false;
    jobs_.push_back({std::move(job), &asked});
    const size_t most = std::clamp(std::thread::hardware_concurrency() / 4, 1u, 4u);
    if (threads_.size() < most && idle_ < static_cast<int>(jobs_.size())) threads_.emplace_back([this] { work(); });
    changed_.notify_one();
    return true;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      ending = true;
      jobs_.clear();
    }
    changed_.notify_all();
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }

 private:
  struct Job {
    std::function<void()> work;
    const std::atomic<int>* asked;
  };
  static constexpr size_t kMostWaiting = 256;

  Background() { begun_ = this; }
  void work() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      if (jobs_.empty()) {
        ++idle_;
        changed_.wait(lock);
        --idle_;
        continue;
      }
      const auto next =
          std::max_element(jobs_.begin(), jobs_.end(), [](const Job& a, const Job& b) { return *a.asked < *b.asked; });
      auto job = std::move(next->work);
      jobs_.erase(next);
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
  }

  static constinit inline std::atomic<Background*> begun_{nullptr};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job> jobs_;  // in the order of their coming
  std::vector<std::thread> threads_;
  int idle_ = 0;
  bool stopped_ = false;
};

}  // namespace

void end_background_with_process() { Background::end_with_main_thread(); }
void end_background_before_others() {
  std::atexit([] { Background::instance().stop(); });
}
bool process_ends() { return ending; }

bool run_in_background(std::function<void()> job, const std::atomic<int>& asked) {
  end_background_with_process();
  return Background::instance().add(std::move(job), asked);
}

}  // namespace plait::cuda
