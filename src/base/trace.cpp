// Each thread appends to a list of chunks that it alone writes; `stop` reads up to the published sizes. The lock is for
// the list of threads and for readers, never for those who record.
#include "base/trace.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fork.h"

namespace plait::trace {

constinit std::atomic<bool> detail::on{false};

namespace {

using detail::Event;

constexpr uint32_t kChunkEvents = 512;
constexpr int64_t kMaxEvents = 2'000'000;  // per recording; a few hundred MB

struct Chunk {
  Event* events[kChunkEvents];
  std::atomic<uint32_t> size{0};
  std::atomic<Chunk*> next{nullptr};
};

struct ThreadEvents {
  int64_t thread_id = 0;
  std::string thread_name;
  Chunk* tail = nullptr;  // the owner's
  Chunk* head = nullptr;  // the reader's, as is `read`
  uint32_t read = 0;  // events of `head` that were fetched
  std::atomic<bool> owner_is_gone{false};
};

struct Registry {
  std::mutex mutex;
  std::vector<ThreadEvents*> threads;
  std::map<std::string, std::atomic<int64_t>, std::less<>> counters;
  std::map<std::string, int64_t> counters_at_start;
  int64_t start_ns = 0;
};
Registry& registry() {
  static auto* instance = new Registry;  // threads may record after static destructors ran
  return *instance;
}

constinit std::atomic<uint32_t> session{0};
constinit std::atomic<int64_t> recorded{0};
constinit std::atomic<int64_t> dropped{0};
constinit thread_local ThreadEvents* own_events = nullptr;

[[maybe_unused]] const bool fork_handlers = [] {
  const auto unlock = [] { registry().mutex.unlock(); };
  at_fork(ForkOrder::base, [] { registry().mutex.lock(); }, unlock, unlock);
  return true;
}();

int64_t now_ns() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

struct LeaveAtThreadExit {
  ~LeaveAtThreadExit() {
    own_events->owner_is_gone.store(true, std::memory_order_release);
    own_events = nullptr;
  }
};

ThreadEvents& events_of_this_thread() {
  if (!own_events) {
    auto events = std::make_unique<ThreadEvents>();
    events->thread_id = ::syscall(SYS_gettid);
    char name[16] = "";
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    events->thread_name = name;
    events->head = events->tail = new Chunk;
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    all.threads.push_back(events.get());
    own_events = events.release();
    thread_local LeaveAtThreadExit leave;
  }
  return *own_events;
}

// Calls `take` for each event published since the last call, and gives it away. Needs the lock.
template <class Take>
void drain(ThreadEvents& thread, Take take) {
  while (true) {
    const uint32_t size = thread.head->size.load(std::memory_order_acquire);
    for (; thread.read < size; ++thread.read) take(std::unique_ptr<Event>(thread.head->events[thread.read]));
    Chunk* next = thread.head->next.load(std::memory_order_acquire);
    if (size < kChunkEvents || !next) return;
    delete std::exchange(thread.head, next);
    thread.read = 0;
  }
}

template <class Take>
void drain_all(Registry& all, Take take) {
  std::erase_if(all.threads, [&](ThreadEvents* thread) {
    const bool gone = thread->owner_is_gone.load(std::memory_order_acquire);
    drain(*thread, [&](std::unique_ptr<Event> event) { take(*thread, *event); });
    if (!gone) return false;
    delete thread->head;
    delete thread;
    return true;
  });
}

void append_quoted(std::string& text, std::string_view value) {
  text += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      text += escaped;
    } else {
      text += c;
    }
  }
  text += '"';
}

void append_time(std::string& text, const char* key, int64_t ns) {
  char number[48];
  std::snprintf(number, sizeof number, ",\"%s\":%.3f", key, static_cast<double>(ns) * 1e-3);
  text += number;
}

void append_event(std::string& text, const Event& event, int64_t thread_id, int64_t start_ns) {
  text += "{\"ph\":\"";
  text += event.phase;
  text += "\",\"cat\":";
  append_quoted(text, event.category);
  text += ",\"name\":";
  append_quoted(text, event.name);
  append_time(text, "ts", event.start_ns - start_ns);
  if (event.phase == 'X') append_time(text, "dur", event.duration_ns);
  if (event.phase == 'i') text += ",\"s\":\"t\"";
  text += ",\"pid\":" + std::to_string(::getpid()) + ",\"tid\":" + std::to_string(thread_id);
  if (!event.args.empty()) text += ",\"args\":{" + event.args + "}";
  text += "},\n";
}

void append_metadata(std::string& text, const ThreadEvents& thread) {
  text += "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":" + std::to_string(::getpid()) +
          ",\"tid\":" + std::to_string(thread.thread_id) + ",\"args\":{\"name\":";
  append_quoted(text, thread.thread_name);
  text += "}},\n";
}

std::map<std::string, int64_t> read_counters(const Registry& all) {
  std::map<std::string, int64_t> values;
  for (const auto& [name, value] : all.counters) values.emplace(name, value.load(std::memory_order_relaxed));
  return values;
}

std::atomic<int64_t>& counter(std::string_view name) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.counters.find(name);
  return found != all.counters.end() ? found->second : all.counters.try_emplace(std::string(name), 0).first->second;
}

}  // namespace

namespace detail {

Event* begin(const char* category, char phase) {
  auto* event = new Event;
  event->phase = phase;
  event->category = category;
  event->session = session.load(std::memory_order_relaxed);
  event->start_ns = now_ns();
  return event;
}

void end(Event* raw) noexcept {
  std::unique_ptr<Event> event(raw);
  event->duration_ns = now_ns() - event->start_ns;
  if (!enabled() || event->session != session.load(std::memory_order_relaxed)) return;
  if (recorded.fetch_add(1, std::memory_order_relaxed) >= kMaxEvents) {
    dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  try {
    ThreadEvents& events = events_of_this_thread();
    uint32_t size = events.tail->size.load(std::memory_order_relaxed);
    if (size == kChunkEvents) {
      auto* chunk = new Chunk;
      Chunk* full = std::exchange(events.tail, chunk);
      full->next.store(chunk, std::memory_order_release);  // from here on the reader may delete it
      size = 0;
    }
    events.tail->events[size] = event.release();
    events.tail->size.store(size + 1, std::memory_order_release);
  } catch (const std::bad_alloc&) {
    dropped.fetch_add(1, std::memory_order_relaxed);
  }
}

void append_arg(std::string& args, std::string_view key, std::string_view value) {
  if (!args.empty()) args += ',';
  append_quoted(args, key);
  args += ':';
  append_quoted(args, value);
}

void append_arg(std::string& args, std::string_view key, double value) {
  char number[32];
  std::snprintf(number, sizeof number, "%.17g", value);
  if (!std::isfinite(value)) return append_arg(args, key, std::string_view(number));  // JSON has no such numbers
  if (!args.empty()) args += ',';
  append_quoted(args, key);
  args += ':';
  args += number;
}

void append_arg(std::string& args, std::string_view key, int64_t value) {
  if (!args.empty()) args += ',';
  append_quoted(args, key);
  args += ':' + std::to_string(value);
}

}  // namespace detail

Counter::Counter(std::string_view name) : value_(&counter(name)) {}

void count(std::string_view name, int64_t n) { counter(name).fetch_add(n, std::memory_order_relaxed); }

}  // namespace plait::trace

namespace plait {

using namespace trace;  // NOLINT: this file implements both

void trace_start() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  drain_all(all, [](const ThreadEvents&, const Event&) {});
  recorded.store(0, std::memory_order_relaxed);
  dropped.store(0, std::memory_order_relaxed);
  all.counters_at_start = read_counters(all);
  all.start_ns = now_ns();
  session.fetch_add(1, std::memory_order_relaxed);
  detail::on.store(true, std::memory_order_relaxed);
}

std::string trace_stop() {
  detail::on.store(false, std::memory_order_relaxed);
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const uint32_t current = session.load(std::memory_order_relaxed);
  std::string text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  for (const ThreadEvents* thread : all.threads) append_metadata(text, *thread);
  drain_all(all, [&](const ThreadEvents& thread, const Event& event) {
    if (event.session == current) append_event(text, event, thread.thread_id, all.start_ns);
  });
  if (text.ends_with(",\n")) text.resize(text.size() - 2);
  text += "\n],\"otherData\":{\"dropped_events\":" + std::to_string(dropped.load(std::memory_order_relaxed)) +
          ",\"counters\":{";
  std::string changed;
  for (const auto& [name, value] : read_counters(all)) {
    const auto before = all.counters_at_start.find(name);
    const int64_t since = value - (before == all.counters_at_start.end() ? 0 : before->second);
    if (since != 0) detail::append_arg(changed, name, since);
  }
  return text + changed + "}}}\n";
}

std::map<std::string, int64_t> trace_counters() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  return read_counters(all);
}

}  // namespace plait
