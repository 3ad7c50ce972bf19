#include "base/once.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace plait {
namespace {

TEST(Once, IsDoneByOneOfManyThreads) {
  Once once;
  int done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      once.run([&] { ++done; });
      EXPECT_EQ(done, 1);
    });
  for (std::thread& t : threads) t.join();
}

TEST(Once, IsDoneAgainAfterAFailure) {
  Once once;
  int tried = 0;
  const auto work = [&] {
    if (++tried < 3) throw std::runtime_error("not yet");
  };
  EXPECT_THROW(once.run(work), std::runtime_error);
  EXPECT_THROW(once.run(work), std::runtime_error);
  once.run(work);
  once.run(work);
  EXPECT_EQ(tried, 3);
}

}  // namespace
}  // namespace plait
