// A callable passed by reference: two words, no allocation.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace plait {

template <class Signature>
class FunctionRef;

/// Calls the callable it was made from, which has to outlive it: a parameter type, not a member.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& callable) noexcept {  // NOLINT: implicit by intent
    using Plain = std::remove_reference_t<F>;
    if constexpr (std::is_function_v<Plain>) {
      target_.function = reinterpret_cast<void (*)()>(&callable);
      call_ = [](Target target, Args... args) -> R {
        return std::invoke(reinterpret_cast<Plain*>(target.function), std::forward<Args>(args)...);
      };
    } else {
      target_.object = const_cast<void*>(static_cast<const void*>(std::addressof(callable)));
      call_ = [](Target target, Args... args) -> R {
        return static_cast<R>(std::invoke(*static_cast<Plain*>(target.object), std::forward<Args>(args)...));
      };
    }
  }

  R operator()(Args... args) const { return call_(target_, std::forward<Args>(args)...); }

 private:
  union Target {
    void* object;
    void (*function)();
  };
  Target target_{};
  R (*call_)(Target, Args...);
};

}  // namespace plait
