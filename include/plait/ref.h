// Intrusive reference counting: one pointer per handle, one 32-bit count in the object.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace plait {

/// Base of every object that a Ref holds. A new object has a count of one, which Ref::adopt takes over.
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  /// The number of holders at some moment; exact only where the caller knows that no other thread holds one.
  [[nodiscard]] uint32_t use_count() const noexcept { return count_.load(std::memory_order_acquire); }

 protected:
  RefCounted() noexcept = default;
  ~RefCounted() = default;

 private:
  template <class T>
  friend class Ref;

  void retain() const noexcept { count_.fetch_add(1, std::memory_order_relaxed); }

  // True when this was the last holder. A sole holder needs no read-modify-write: a count only ever rises through
  // an existing holder, so nobody can raise it meanwhile.
  [[nodiscard]] bool drop() const noexcept {
    if (count_.load(std::memory_order_acquire) == 1) return true;
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

  mutable std::atomic<uint32_t> count_{1};
};

namespace detail {
template <class T>
concept HasDestroy = requires(T* object) { T::destroy(object); };
}  // namespace detail

/// A shared handle on a T derived from RefCounted. The last handle calls `T::destroy(T*)` where T has one, else
/// deletes.
///
/// Threads: distinct handles on one object may be used from any threads; one handle is like any plain variable.
template <class T>
class Ref {
 public:
  using element_type = T;

  constexpr Ref() noexcept = default;
  constexpr Ref(std::nullptr_t) noexcept {}

  /// Takes over a count the caller owns (a fresh object's first, or one from `release`).
  [[nodiscard]] static Ref adopt(T* object) noexcept {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  /// Adds a holder to an object that someone else keeps alive during the call.
  [[nodiscard]] static Ref share(T* object) noexcept {
    if (object) object->retain();
    return adopt(object);
  }

  Ref(const Ref& other) noexcept : object_(other.object_) {
    if (object_) object_->retain();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}

  template <class U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>)
  Ref(const Ref<U>& other) noexcept : Ref(share(other.get())) {
    static_assert(kDestroysDerived<U>, "T needs a virtual destructor or T::destroy");
  }
  template <class U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>)
  Ref(Ref<U>&& other) noexcept : object_(other.release()) {
    static_assert(kDestroysDerived<U>, "T needs a virtual destructor or T::destroy");
  }

  Ref& operator=(const Ref& other) noexcept {
    Ref(other).swap(*this);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    Ref(std::move(other)).swap(*this);
    return *this;
  }
  ~Ref() { drop(object_); }

  [[nodiscard]] T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] uint32_t use_count() const noexcept { return object_ ? object_->use_count() : 0; }

  void reset() noexcept { drop(std::exchange(object_, nullptr)); }
  /// Hands the count to the caller, who gives it back with `adopt`.
  [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }
  void swap(Ref& other) noexcept { std::swap(object_, other.object_); }

  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }
  friend bool operator==(const Ref& a, const T* b) noexcept { return a.object_ == b; }
  friend bool operator==(const Ref& a, std::nullptr_t) noexcept { return a.object_ == nullptr; }

 private:
  template <class U>
  static constexpr bool kDestroysDerived =
      std::is_same_v<std::remove_const_t<U>, std::remove_const_t<T>> || std::has_virtual_destructor_v<T> ||
      detail::HasDestroy<std::remove_const_t<T>>;

  static void drop(T* object) noexcept {
    if (!object || !object->drop()) return;
    using Plain = std::remove_const_t<T>;
    if constexpr (detail::HasDestroy<Plain>) {
      Plain::destroy(const_cast<Plain*>(object));
    } else {
      delete object;
    }
  }

  T* object_ = nullptr;
};

template <class T, class... Args>
[[nodiscard]] Ref<T> make_ref(Args&&... args) {
  return Ref<T>::adopt(new T(std::forward<Args>(args)...));
}

}  // namespace plait

template <class T>
struct std::hash<plait::Ref<T>> {
  size_t operator()(const plait::Ref<T>& ref) const noexcept { return std::hash<T*>()(ref.get()); }
};
