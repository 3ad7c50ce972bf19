#include <unistd.h>

#include <array>
#include <chrono>
#include <mutex>
#include <utility>

#include "backends/threefry.h"
#include "base/fork.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/random.h"

namespace plait {
namespace random {
namespace {

Array make_key(std::array<uint32_t, 2> words) { return Array::from<uint32_t>(words, {2}); }

struct State {
  std::mutex mutex;
  // A process that was not told a seed takes the time, so that two runs differ.
  Array key = random::key(static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) ^
                          static_cast<uint64_t>(getpid()) << 40);
};

State& global() {
  static auto* state = new State;  // outlives threads that still draw while the process ends
  return *state;
}

[[maybe_unused]] const bool fork_handlers = [] {
  const auto unlock = [] { global().mutex.unlock(); };
  at_fork(ForkOrder::ops, [] { global().mutex.lock(); }, unlock, unlock);
  return true;
}();

/// Puts `key` in place of what is there; false where that has to be `expected` and is not.
bool exchange(Array key, const Array* expected = nullptr) {
  const std::lock_guard lock(global().mutex);
  if (expected && !global().key.same(*expected)) return false;
  std::swap(global().key, key);  // the old one is dropped by the caller, without the lock
  return true;
}

Array row(const Array& keys, int64_t i) { return reshape(slice_static(keys, {{i, 0}, {1, 2}, {1, 1}}), {2}); }

std::pair<Array, Array> halves(const Array& key) {
  if (!key.is_evaluated()) {
    const Array both = split(key, 2);
    return {row(both, 0), row(both, 1)};
  }
  // At once: a split is dearer to plan than to compute.
  const std::vector<uint32_t> now = key.to_vector<uint32_t>();
  std::array<uint32_t, 4> words;
  for (int64_t i = 0; i < 4; ++i) words[static_cast<size_t>(i)] = random_word({now[0], now[1]}, i, 4);
  return {make_key({words[0], words[1]}), make_key({words[2], words[3]})};
}

}  // namespace

Array key(uint64_t seed) { return make_key({static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(seed)}); }

Array state() {
  const std::lock_guard lock(global().mutex);
  return global().key;
}

void set_state(const Array& key) {
  if (key.dtype() != DType::uint32 || key.rank() != 1 || !(key.shape()[0] == 2))
    throw ArgumentError({.op = "random.state",
                         .got = "dtype " + std::string(name_of(key.dtype())) + " and shape " + to_string(key.shape()),
                         .accepts = "uint32 of shape (2,)",
                         .where = here()});
  exchange(key);
}

void seed(uint64_t seed) { set_state(key(seed)); }

// Without the lock: what is evaluated meanwhile may wait for Python, or for a signal handler that draws numbers.
Array next_key() {
  for (;;) {
    const Array now = state();
    const auto [next, drawn] = halves(now);
    if (exchange(next, &now)) return drawn;  // else another thread was faster
  }
}

}  // namespace random

void register_state(OpRegistry& ops) {
  ops.function("key")
      .module("core.random")
      .signature("(seed: int) -> array")
      .summary("A key from a number: uint32 (2,).")
      .details("seed: from 0 to 2**64 - 1. Errors: TypeError for anything else.")
      .not_differentiable("keys are integers")
      .sample("", "seed=3");
  ops.function("seed")
      .module("core.random")
      .signature("(seed: int) -> None")
      .summary("Restarts the numbers that are drawn without a key.")
      .details("seed: from 0 to 2**64 - 1. Errors: TypeError for anything else.")
      .not_differentiable("it returns nothing");
}

}  // namespace plait
