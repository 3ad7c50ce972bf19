// A vector whose first N elements live inside the object: shapes, strides and operand lists seldom reach the heap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace plait {

/// Like std::vector, but without allocation up to N elements; it holds fewer than 2^32 of them.
///
/// Errors: std::bad_alloc only (besides what T's own operations throw). T must be nothrow movable.
/// Iterators and pointers are lost when the vector moves or grows.
template <class T, size_t N>
class SmallVector {
  static_assert(std::is_nothrow_move_constructible_v<T>);
  static constexpr bool kPlainBytes = std::is_trivially_copyable_v<T>;

 public:
  using value_type = T;
  using size_type = size_t;
  using difference_type = ptrdiff_t;
  using reference = T&;
  using const_reference = const T&;
  using iterator = T*;
  using const_iterator = const T*;
  using reverse_iterator = std::reverse_iterator<iterator>;
  using const_reverse_iterator = std::reverse_iterator<const_iterator>;

  // The others delegate to this one, so that the destructor cleans up when they throw.
  SmallVector() noexcept {}
  explicit SmallVector(size_t count) : SmallVector() { resize(count); }
  SmallVector(size_t count, const T& value) : SmallVector() { resize(count, value); }
  SmallVector(std::initializer_list<T> values) : SmallVector(values.begin(), values.end()) {}
  template <std::input_iterator It>
  SmallVector(It first, It last) : SmallVector() {
    append(first, last);
  }
  explicit SmallVector(std::span<const T> values) : SmallVector(values.begin(), values.end()) {}

  SmallVector(const SmallVector& other) : SmallVector(other.begin(), other.end()) {}
  SmallVector(SmallVector&& other) noexcept { steal(other); }
  ~SmallVector() { free_all(); }

  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) assign(other.begin(), other.end());
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      free_all();
      steal(other);
    }
    return *this;
  }
  SmallVector& operator=(std::initializer_list<T> values) {
    assign(values.begin(), values.end());
    return *this;
  }

  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }

  iterator begin() noexcept { return data_; }
  iterator end() noexcept { return data_ + size_; }
  const_iterator begin() const noexcept { return data_; }
  const_iterator end() const noexcept { return data_ + size_; }
  const_iterator cbegin() const noexcept { return begin(); }
  const_iterator cend() const noexcept { return end(); }
  reverse_iterator rbegin() noexcept { return reverse_iterator(end()); }
  reverse_iterator rend() noexcept { return reverse_iterator(begin()); }
  const_reverse_iterator rbegin() const noexcept { return const_reverse_iterator(end()); }
  const_reverse_iterator rend() const noexcept { return const_reverse_iterator(begin()); }

  T& operator[](size_t i) noexcept { return data_[i]; }
  const T& operator[](size_t i) const noexcept { return data_[i]; }
  T& front() noexcept { return data_[0]; }
  const T& front() const noexcept { return data_[0]; }
  T& back() noexcept { return data_[size_ - 1]; }
  const T& back() const noexcept { return data_[size_ - 1]; }

  operator std::span<const T>() const noexcept { return {data_, size_}; }

  void reserve(size_t count) {
    if (count > capacity_) grow(count);
  }
  void clear() noexcept {
    std::destroy_n(data_, size_);
    size_ = 0;
  }
  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) return grow_and_emplace(std::forward<Args>(args)...);
    T* slot = ::new (static_cast<void*>(data_ + size_)) T(std::forward<Args>(args)...);
    ++size_;
    return *slot;
  }
  void pop_back() noexcept { std::destroy_at(data_ + --size_); }

  void resize(size_t count) {
    resize_with(count, [](T* first, size_t n) { std::uninitialized_value_construct_n(first, n); });
  }
  void resize(size_t count, const T& value) {
    const T copy(value);  // `value` may live in this vector
    resize_with(count, [&](T* first, size_t n) { std::uninitialized_fill_n(first, n, copy); });
  }

  /// The range may not lie in this vector (nor may `append`'s).
  template <std::input_iterator It>
  void assign(It first, It last) {
    clear();
    append(first, last);
  }
  void assign(size_t count, const T& value) {
    const T copy(value);
    clear();
    resize(count, copy);
  }
  template <std::input_iterator It>
  void append(It first, It last) {
    if constexpr (std::forward_iterator<It>) {
      const size_t count = static_cast<size_t>(std::distance(first, last));
      reserve(size_ + count);
      std::uninitialized_copy(first, last, data_ + size_);
      size_ += static_cast<uint32_t>(count);
    } else {
      for (; first != last; ++first) emplace_back(*first);
    }
  }

  iterator insert(const_iterator at, T value) {
    const size_t i = static_cast<size_t>(at - data_);
    emplace_back(std::move(value));
    std::rotate(data_ + i, data_ + size_ - 1, data_ + size_);
    return data_ + i;
  }
  template <std::input_iterator It>
  iterator insert(const_iterator at, It first, It last) {
    const size_t i = static_cast<size_t>(at - data_);
    const size_t old_size = size_;
    append(first, last);
    std::rotate(data_ + i, data_ + old_size, data_ + size_);
    return data_ + i;
  }
  iterator erase(const_iterator at) noexcept { return erase(at, at + 1); }
  iterator erase(const_iterator first, const_iterator last) noexcept {
    const size_t i = static_cast<size_t>(first - data_);
    const size_t count = static_cast<size_t>(last - first);
    if (count == 0) return data_ + i;  // else std::move would move every element onto itself
    std::move(data_ + i + count, data_ + size_, data_ + i);
    std::destroy_n(data_ + size_ - count, count);
    size_ -= static_cast<uint32_t>(count);
    return data_ + i;
  }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  T* inline_data() noexcept { return reinterpret_cast<T*>(inline_); }
  [[nodiscard]] bool on_heap() const noexcept { return data_ != reinterpret_cast<const T*>(inline_); }

  static T* allocate(size_t count) {
    if (count > UINT32_MAX || count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    return std::allocator<T>().allocate(count);
  }
  [[nodiscard]] size_t grown(size_t least) const noexcept {
    return std::max<size_t>(least, std::min<size_t>(2 * size_t{capacity_}, UINT32_MAX));
  }
  static void relocate(T* from, size_t count, T* to) noexcept {
    if constexpr (kPlainBytes) {
      if (count) std::memcpy(static_cast<void*>(to), from, count * sizeof(T));
    } else {
      std::uninitialized_move_n(from, count, to);
      std::destroy_n(from, count);
    }
  }
  void adopt(T* block, size_t block_capacity) noexcept {
    if (on_heap()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = block;
    capacity_ = static_cast<uint32_t>(block_capacity);
  }
  void grow(size_t least) {
    const size_t new_capacity = grown(least);
    T* block = allocate(new_capacity);
    relocate(data_, size_, block);
    adopt(block, new_capacity);
  }
  // The new element is built before the old ones move: its arguments may refer to them.
  template <class... Args>
  [[gnu::noinline]] T& grow_and_emplace(Args&&... args) {
    const size_t new_capacity = grown(size_t{size_} + 1);
    T* block = allocate(new_capacity);
    try {
      ::new (static_cast<void*>(block + size_)) T(std::forward<Args>(args)...);
    } catch (...) {
      std::allocator<T>().deallocate(block, new_capacity);
      throw;
    }
    relocate(data_, size_, block);
    adopt(block, new_capacity);
    return data_[size_++];
  }
  template <class Construct>
  void resize_with(size_t count, Construct construct) {
    if (count <= size_) {
      std::destroy_n(data_ + count, size_ - count);
    } else {
      reserve(count);
      construct(data_ + size_, count - size_);
    }
    size_ = static_cast<uint32_t>(count);
  }
  void free_all() noexcept {
    std::destroy_n(data_, size_);
    if (on_heap()) std::allocator<T>().deallocate(data_, capacity_);
  }
  void steal(SmallVector& other) noexcept {
    if (other.on_heap()) {
      data_ = std::exchange(other.data_, other.inline_data());
      capacity_ = std::exchange(other.capacity_, static_cast<uint32_t>(N));
    } else {
      data_ = inline_data();
      capacity_ = N;
      relocate(other.data_, other.size_, data_);
    }
    size_ = std::exchange(other.size_, 0);
  }

  T* data_ = inline_data();
  uint32_t size_ = 0;
  uint32_t capacity_ = N;
  alignas(T) std::byte inline_[(N ? N : 1) * sizeof(T)];
};

}  // namespace plait
