// Spans, instants and counters. While nothing is recorded, a span costs one relaxed load and its arguments are not
// looked at.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "plait/trace.h"

namespace plait::trace {

namespace detail {

extern std::atomic<bool> on;

struct Event {
  char phase = 'X';  // of the trace-event format: X a span, i an instant
  const char* category = "";
  int64_t start_ns = 0;
  int64_t duration_ns = 0;
  uint32_t session = 0;
  std::string name;
  std::string args;  // members of a JSON object
};

Event* begin(const char* category, char phase);
void end(Event* event) noexcept;  // takes the event
void append_arg(std::string& args, std::string_view key, std::string_view value);
void append_arg(std::string& args, std::string_view key, double value);
void append_arg(std::string& args, std::string_view key, int64_t value);

/// Values are numbers, text, or functions that make one: the functions are called only while recording.
template <class Value>
decltype(auto) made(const Value& value) {
  if constexpr (std::is_invocable_v<const Value&>) {
    return value();
  } else {
    return (value);
  }
}

inline void append_args(std::string&) {}
template <class Value, class... Rest>
void append_args(std::string& args, std::string_view key, const Value& value, const Rest&... rest) {
  decltype(auto) plain = made(value);
  using Plain = std::remove_cvref_t<decltype(plain)>;
  if constexpr (std::floating_point<Plain>) {
    append_arg(args, key, static_cast<double>(plain));
  } else if constexpr (std::integral<Plain>) {
    append_arg(args, key, static_cast<int64_t>(plain));
  } else {
    append_arg(args, key, std::string_view(plain));
  }
  append_args(args, rest...);
}

}  // namespace detail

[[nodiscard]] inline bool enabled() noexcept { return detail::on.load(std::memory_order_relaxed); }

/// Records the time from its construction to its end.
///
///     trace::Span span("step", [&] { return region.name(); }, "where", [&] { return region.where(); }, "bytes",
///     bytes);
///
/// Category and keys are literals, name and values what `detail::made` takes.
class Span {
 public:
  template <class Name, class... Args>
  Span(const char* category, const Name& name, const Args&... args) {
    if (enabled()) [[unlikely]] {
      event_ = detail::begin(category, 'X');
      event_->name = std::string_view(detail::made(name));
      detail::append_args(event_->args, args...);
    }
  }
  ~Span() {
    if (event_) [[unlikely]]
      detail::end(event_);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  /// Adds keys and values that are known only later.
  template <class... Args>
  void add(const Args&... args) {
    if (event_) [[unlikely]]
      detail::append_args(event_->args, args...);
  }

 private:
  detail::Event* event_ = nullptr;
};

/// Records that something happened.
template <class Name, class... Args>
void instant(const char* category, const Name& name, const Args&... args) {
  if (enabled()) [[unlikely]] {
    detail::Event* event = detail::begin(category, 'i');
    event->name = std::string_view(detail::made(name));
    detail::append_args(event->args, args...);
    detail::end(event);
  }
}

/// A named sum that only grows; counters of one name are one. Make it once (`static`), add to it anywhere.
class Counter {
 public:
  explicit Counter(std::string_view name);
  void add(int64_t n = 1) noexcept { value_->fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] int64_t value() const noexcept { return value_->load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t>* value_;
};

/// Adds to a counter looked up by name; for what is rare.
void count(std::string_view name, int64_t n = 1);

/// Why something happened, e.g. reason("planned", "new structure"): counts "planned: new structure", and is an instant.
template <class... Args>
void reason(std::string_view what, std::string_view why, const Args&... args) {
  const std::string name = std::string(what) + ": " + std::string(why);
  count(name);
  instant("reason", name, args...);
}

}  // namespace plait::trace
