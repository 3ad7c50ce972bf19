#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/parallel.h"

/// Stable sorting of items by the digits of an unsigned key, least significant first.
namespace plait::cpu {

/// A key and where it stood. As an integer it sorts by key, then by position.
template <class Key>
struct Keyed {
  Key key;
  uint32_t at;
  friend bool operator<(const Keyed& a, const Keyed& b) { return a.key < b.key || (a.key == b.key && a.at < b.at); }
};
template <class Key>
Key key_of(Key item) {
  return item;
}
template <class Key>
Key key_of(const Keyed<Key>& item) {
  return item.key;
}

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int64_t kRadixChunk = int64_t{1} << 17;  // items that one thread counts and moves
constexpr int64_t kFewItems = 300;                 // below, comparing is cheaper than counting

/// Sorts `n` items, with `spare` of the same size as scratch. Runs on several threads when n is large.
template <class Item>
void radix_sort(Item* items, Item* spare, int64_t n) {
  using Key = decltype(key_of(*items));
  constexpr int kPasses = static_cast<int>(sizeof(Key));
  if (n <= kFewItems) {
    std::sort(items, items + n);  // items with positions never compare equal
    return;
  }
  using Counts = std::array<std::array<int64_t, kDigits>, kPasses>;
  const int64_t chunks = (n + kRadixChunk - 1) / kRadixChunk;
  const auto each_chunk = [&](auto body) {
    parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) body(c, c * kRadixChunk, std::min(n, (c + 1) * kRadixChunk));
    });
  };
  // How often each digit occurs at all: passes in which one digit is all there is are left out.
  std::vector<Counts> all(static_cast<size_t>(chunks));
  each_chunk([&](int64_t c, int64_t begin, int64_t end) {
    Counts& counts = all[static_cast<size_t>(c)];
    for (auto& pass : counts) pass.fill(0);
    for (int64_t i = begin; i < end; ++i) {
      const Key key = key_of(items[i]);
      for (int p = 0; p < kPasses; ++p)
        ++counts[static_cast<size_t>(p)][static_cast<size_t>(key >> (p * kDigitBits)) & (kDigits - 1)];
    }
  });
  std::vector<std::array<int64_t, kDigits>> places(static_cast<size_t>(chunks));
  Item* from = items;
  Item* to = spare;
  bool moved = false;
  for (int p = 0; p < kPasses; ++p) {
    const auto pass = static_cast<size_t>(p);
    const auto digit = [p](const Item& item) {
      return static_cast<size_t>(key_of(item) >> (p * kDigitBits)) & (kDigits - 1);
    };
    std::array<int64_t, kDigits> total{};
    for (const Counts& counts : all)
      for (size_t d = 0; d < kDigits; ++d) total[d] += counts[pass][d];
    if (std::find(total.begin(), total.end(), n) != total.end()) continue;
    if (chunks == 1 || !moved) {
      for (size_t c = 0; c < places.size(); ++c) places[c] = all[c][pass];
    } else {  // chunks hold other items by now
      each_chunk([&](int64_t c, int64_t begin, int64_t end) {
        auto& counts = places[static_cast<size_t>(c)];
        counts.fill(0);
        for (int64_t i = begin; i < end; ++i) ++counts[digit(from[i])];
      });
    }
    int64_t at = 0;
    for (size_t d = 0; d < kDigits; ++d)
      for (auto& counts : places) at += std::exchange(counts[d], at);
    each_chunk([&](int64_t c, int64_t begin, int64_t end) {
      auto place = places[static_cast<size_t>(c)];
      for (int64_t i = begin; i < end; ++i) to[place[digit(from[i])]++] = from[i];
    });
    std::swap(from, to);
    moved = true;
  }
  if (from != items) std::copy(from, from + n, items);
}

}  // namespace plait::cpu
