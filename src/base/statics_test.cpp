#include "base/statics.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace plait {
namespace {

std::atomic<bool> begun = false;

int slowly() {
  begun = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  return 7;
}

int seven() {
  static const int value = slowly();
  return value;
}

TEST(Statics, AForkWaitsForThoseThatAreBegun) {
  parallel_for(2, 1, [](int64_t, int64_t) {});  // whose fork handlers are those of the library
  std::thread first([] { EXPECT_EQ(seven(), 7); });
  while (!begun) std::this_thread::yield();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);
    ::_exit(seven() == 7 ? 0 : 1);
  }
  first.join();
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

int failing(bool fails) {
  static const int value = fails ? throw std::runtime_error("not yet") : 3;
  return value;
}

TEST(Statics, OneWhoseInitialiserThrowsIsBegunAgain) {
  EXPECT_THROW(failing(true), std::runtime_error);
  EXPECT_EQ(failing(false), 3);
  EXPECT_EQ(failing(true), 3);
}

int shared_count = 0;
int counted() {
  static const int value = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return ++shared_count;
  }();
  return value;
}

TEST(Statics, ManyThreadsInitialiseOneOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([] { EXPECT_EQ(counted(), 1); });
  for (std::thread& t : threads) t.join();
}

TEST(Statics, AForkWithinAnInitialiserIsNoDeadlock) {
  static const int status = [] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    int status = -1;
    ::waitpid(child, &status, 0);
    return status;
  }();
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace plait
