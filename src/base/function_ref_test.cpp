#include "base/function_ref.h"

#include <gtest/gtest.h>

namespace plait {
namespace {

int twice(int x) { return 2 * x; }
int apply(FunctionRef<int(int)> f, int x) { return f(x); }

TEST(FunctionRef, CallsLambdasFunctionsAndConstCallables) {
  int offset = 5;
  EXPECT_EQ(apply([&](int x) { return x + offset; }, 1), 6);
  EXPECT_EQ(apply(twice, 4), 8);
  EXPECT_EQ(apply(&twice, 4), 8);
  const auto constant = [](int x) { return x - 1; };
  EXPECT_EQ(apply(constant, 4), 3);
  int calls = 0;
  const auto count = [&] { return ++calls; };
  FunctionRef<void()> discard = count;
  discard();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace plait
