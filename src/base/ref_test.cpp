#include "plait/ref.h"

#include <gtest/gtest.h>

#include <thread>
#include <unordered_set>
#include <vector>

namespace plait {
namespace {

struct Counted : RefCounted {
  explicit Counted(int* alive) : alive(alive) { ++*alive; }
  virtual ~Counted() { --*alive; }
  int* alive;
};
struct Derived final : Counted {
  using Counted::Counted;
};
struct Custom : RefCounted {
  static void destroy(Custom* object) {
    ++destroyed;
    delete object;
  }
  static inline int destroyed = 0;
};

TEST(Ref, CountsHolders) {
  int alive = 0;
  Ref<Counted> a = make_ref<Counted>(&alive);
  EXPECT_EQ(a.use_count(), 1u);
  Ref<Counted> b = a;
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.use_count(), 2u);
  Ref<Counted> c = std::move(b);
  EXPECT_EQ(b, nullptr);
  EXPECT_EQ(a.use_count(), 2u);
  const Ref<Counted>& self = c;
  c = self;
  c.reset();
  EXPECT_EQ(a.use_count(), 1u);
  EXPECT_EQ(alive, 1);
  Counted* raw = a.release();
  EXPECT_FALSE(a);
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(Ref<Counted>::share(raw).use_count(), 2u);
  a = Ref<Counted>::adopt(raw);
  EXPECT_EQ(std::unordered_set<Ref<Counted>>({a, a}).size(), 1u);
  a = nullptr;
  EXPECT_EQ(alive, 0);
}

TEST(Ref, ConvertsToBaseAndConst) {
  int alive = 0;
  {
    Ref<Derived> derived = make_ref<Derived>(&alive);
    Ref<Counted> base = derived;
    Ref<const Counted> constant = base;
    EXPECT_EQ(constant.use_count(), 3u);
    Ref<Counted> moved = std::move(derived);
    EXPECT_EQ(constant.use_count(), 3u);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Ref, CallsDestroy) {
  { Ref<Custom> custom = make_ref<Custom>(); }
  EXPECT_EQ(Custom::destroyed, 1);
}

TEST(Ref, SharedByThreads) {
  int alive = 0;
  {
    Ref<Counted> object = make_ref<Counted>(&alive);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([copy = object] {
        for (int i = 0; i < 10000; ++i) Ref<Counted> again = copy;
      });
    }
    object.reset();
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace plait
