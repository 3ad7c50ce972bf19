#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>
#include <vector>

namespace plait {
namespace {

TEST(Hash, ShortSequencesOfSmallNumbersDiffer) {
  std::unordered_set<Key128> keys;
  std::unordered_set<uint64_t> low, high, hashes;
  size_t count = 0;
  for (int64_t a = -20; a < 20; ++a) {
    for (int64_t b = -20; b < 20; ++b) {
      for (int64_t c = -20; c < 20; ++c) {
        Hasher hasher;
        hasher.add(a).add(b).add(c);
        keys.insert(hasher.key());
        low.insert(hasher.key().low);
        high.insert(hasher.key().high);
        hashes.insert(hasher.hash());
        ++count;
      }
    }
  }
  EXPECT_EQ(keys.size(), count);
  EXPECT_EQ(low.size(), count);
  EXPECT_EQ(high.size(), count);
  EXPECT_EQ(hashes.size(), count);
}

TEST(Hash, OneBitFlipsHalfOfTheKey) {
  for (int bit = 0; bit < 64; ++bit) {
    const Key128 a = Hasher().add(uint64_t{0}).key();
    const Key128 b = Hasher().add(uint64_t{1} << bit).key();
    EXPECT_GT(std::popcount(a.low ^ b.low), 12) << bit;
    EXPECT_GT(std::popcount(a.high ^ b.high), 12) << bit;
  }
}

TEST(Hash, BoundariesOfStringsCount) {
  EXPECT_NE(hash_of(std::string("ab"), std::string("c")), hash_of(std::string("a"), std::string("bc")));
  EXPECT_NE(hash_of("a"), hash_of(std::string_view("a\0", 2)));
  EXPECT_EQ(hash_of("abc"), hash_of(std::string("abc")));
  EXPECT_NE(hash_of(std::vector<int>{1}, std::vector<int>{}), hash_of(std::vector<int>{}, std::vector<int>{1}));
}

TEST(Hash, NumbersCountByBits) {
  EXPECT_NE(hash_of(0.0), hash_of(-0.0));
  EXPECT_EQ(hash_of(0.0 / 1.0), hash_of(0.0));
  EXPECT_NE(hash_of(1.0), hash_of(1));
}

}  // namespace
}  // namespace plait
