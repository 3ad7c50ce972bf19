// Hashing of structure: 64-bit hashes for tables, 128-bit keys where equality of keys stands for equality of what they
// describe.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <ranges>
#include <string_view>
#include <type_traits>

namespace plait {

/// A key that is compared instead of what was hashed; two streams make an accidental collision a 2^-128 matter.
struct Key128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Key128&) const = default;
  auto operator<=>(const Key128&) const = default;
};

/// Accumulates words in order. Values are the same in every run and on every machine of one byte order.
///
/// Doubles and floats count by their bits: 0.0 and -0.0 differ, equal NaNs agree. Strings count their length too,
/// so that ("ab", "c") and ("a", "bc") differ; ranges likewise.
class Hasher {
 public:
  constexpr Hasher() noexcept = default;
  explicit constexpr Hasher(uint64_t seed) noexcept { word(seed); }

  constexpr Hasher& add(uint64_t value) noexcept { return word(value); }
  template <class T>
    requires((std::integral<T> || std::is_enum_v<T>) && !std::same_as<T, uint64_t>)
  constexpr Hasher& add(T value) noexcept {
    return word(static_cast<uint64_t>(value));
  }
  constexpr Hasher& add(double value) noexcept { return word(std::bit_cast<uint64_t>(value)); }
  constexpr Hasher& add(float value) noexcept { return word(std::bit_cast<uint32_t>(value)); }
  constexpr Hasher& add(const Key128& key) noexcept { return word(key.low).word(key.high); }
  Hasher& add(const void* address) noexcept { return word(reinterpret_cast<uintptr_t>(address)); }
  Hasher& add(std::string_view text) noexcept { return add_bytes(text.data(), text.size()); }
  Hasher& add(const char* text) noexcept { return add(std::string_view(text)); }
  template <std::ranges::sized_range R>
    requires(!std::convertible_to<const R&, std::string_view>)
  constexpr Hasher& add(const R& range) noexcept {
    word(std::ranges::size(range));
    for (const auto& item : range) add(item);
    return *this;
  }

  Hasher& add_bytes(const void* data, size_t size) noexcept {
    const char* bytes = static_cast<const char*>(data);
    word(size);
    for (; size >= 8; bytes += 8, size -= 8) {
      uint64_t value;
      std::memcpy(&value, bytes, 8);
      word(value);
    }
    if (size) {
      uint64_t value = 0;
      std::memcpy(&value, bytes, size);
      word(value);
    }
    return *this;
  }

  [[nodiscard]] constexpr uint64_t hash() const noexcept { return finish(first_ ^ std::rotl(second_, 32)); }
  [[nodiscard]] constexpr Key128 key() const noexcept { return {finish(first_), finish(second_ ^ kMul1)}; }

 private:
  // Odd 64-bit constants without structure: fractional parts of the golden ratio, sqrt(3) and sqrt(5).
  static constexpr uint64_t kMul0 = 0x9e3779b97f4a7c15u;
  static constexpr uint64_t kMul1 = 0xbb67ae8584caa73bu;
  static constexpr uint64_t kMul2 = 0x3c6ef372fe94f82bu;

  // The streams differ in kind, so that what collides in one does not in the other: `first_` is a bijection of the
  // state for each word (multiply, xor-shift), `second_` folds the halves of a 128-bit product.
  constexpr Hasher& word(uint64_t value) noexcept {
    first_ = (first_ ^ value) * kMul0;
    first_ ^= first_ >> 32;
    const unsigned __int128 product = static_cast<unsigned __int128>(second_ + value) * kMul1;
    second_ = std::rotl(second_, 23) ^ static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    return *this;
  }
  static constexpr uint64_t finish(uint64_t value) noexcept {
    value = (value ^ (value >> 32)) * kMul2;
    value = (value ^ (value >> 29)) * kMul0;
    return value ^ (value >> 32);
  }

  uint64_t first_ = kMul1;
  uint64_t second_ = kMul2;
};

/// The hash of a few values, in order.
template <class... Ts>
[[nodiscard]] constexpr uint64_t hash_of(const Ts&... values) noexcept {
  Hasher hasher;
  (hasher.add(values), ...);
  return hasher.hash();
}

}  // namespace plait

template <>
struct std::hash<plait::Key128> {
  size_t operator()(const plait::Key128& key) const noexcept { return key.low; }  // already mixed
};
