#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "graph/attrs.h"
#include "graph/source.h"
#include "memory/buffer.h"
#include "plait/array.h"
#include "plait/small_vector.h"

namespace plait {

struct OpDef;

/// Shape and dtype of one value: all that is known before evaluation.
struct Aval {
  Shape shape;
  DType dtype = DType::float32;
};
using Avals = SmallVector<Aval, 1>;

using Strides = SmallVector<int64_t, 4>;

/// Where the elements of an evaluated value lie. Strides count elements.
struct Storage {
  Ref<Buffer> buffer;
  int64_t offset = 0;  // bytes from the buffer's start
  Strides strides;
  bool row_major = false;  // contiguous in row-major order (always true for fewer than two elements)

  char* data() const { return static_cast<char*>(buffer->data()) + offset; }
};

Strides row_major_strides(const Shape& shape);
PLAIT_API bool is_row_major(const Shape& shape, const Strides& strides);

/// Counts what one thread has created and nobody has evaluated or dropped yet.
struct PendingCounter {
  std::atomic<int64_t> nodes{0};
  std::atomic<int64_t> bytes{0};
};

/// One application of an op. Immutable in what it means; what evaluation adds is `state` and `storages`.
///
/// Life: pending -> claimed (one evaluation owns it) -> done, or back to pending when that evaluation fails. When done
/// and not needed by an open gradient trace, inputs are dropped, so that evaluated graphs hold no memory.
/// Threads: `op`, `attrs`, `avals`, `source`, `level`, `abstract` never change. `inputs` change only under the graph lock
/// (`graph_mutex`); `storages` are written before `state` becomes done (release) and read after it is seen (acquire).
class Node final : public NodeBase {
 public:
  enum class State : uint8_t { pending, claimed, done };

  const OpDef* op = nullptr;
  Ref<AttrsBase> attrs;
  SmallVector<Array, 2> inputs;
  Avals avals;
  SmallVector<Storage, 1> storages;
  std::atomic<State> state{State::pending};
  bool abstract = false;  // depends on a placeholder that has no value
  std::exception_ptr lost;  // set when a failed evaluation consumed an input: evaluating again raises it
  std::shared_ptr<void> event;  // what a claimed node's waiters wait for; owned by the engine, under the graph lock
  uint64_t level = 0;  // newest trace any placeholder below belongs to; 0: none
  SourceId source = 0;
  uint32_t stream = 0;
  std::shared_ptr<PendingCounter> pending;

  // Scratch of one traversal, valid under the graph lock only.
  uint64_t visit = 0;
  uint32_t position = 0;

  bool done() const { return state.load(std::memory_order_acquire) == State::done; }
  template <class A>
  const A& attrs_as() const {
    return *static_cast<const A*>(attrs->data());
  }
  void settle_pending();
  /// Iterative: a chain of a million nodes is destroyed without recursion.
  static void destroy(Node* node) noexcept;
  static void* operator new(size_t bytes);
  static void operator delete(void* memory) noexcept;
};

inline Node* Array::node() const { return static_cast<Node*>(node_.get()); }

/// Guards traversal for evaluation and every change of `inputs`.
std::mutex& graph_mutex();

/// Creates a node: infers shapes, notes line, stream and trace level. Errors: whatever the op's inference raises; in eager
/// mode also what its evaluation raises.
Ref<Node> make_node(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs);
/// The same for an op with one output.
Array make(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs);
Arrays make_all(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs);
template <class A>
Array make(const OpDef& op, A attrs, SmallVector<Array, 2> inputs) {
  return make(op, Ref<AttrsBase>::adopt(new AttrsBox<A>(std::move(attrs))), std::move(inputs));
}

/// While it lives, nodes made on this thread have at least this level: what a function makes can be told from what was
/// there before, also where it depends on no argument.
class LevelFloor {
 public:
  explicit LevelFloor(uint64_t level);
  ~LevelFloor();
  LevelFloor(const LevelFloor&) = delete;
  LevelFloor& operator=(const LevelFloor&) = delete;
  static uint64_t current();

 private:
  uint64_t before_;
};

/// An evaluated value over existing memory.
PLAIT_API Array make_evaluated(Storage storage, Aval aval);
/// Row-major memory of an aval, uninitialised: the host's, or a device's for work of its queue. Errors: OutOfMemory naming the aval.
PLAIT_API Storage allocate_storage(const Aval& aval, std::optional<memory::Queue> queue = std::nullopt);

/// The op of nodes that never had to be computed.
const OpDef& evaluated_op();

/// Evaluated elements of an array, evaluating first. Errors: as evaluation.
PLAIT_API const Storage& evaluated_storage(const Array& a);

/// What evaluates: the engine fills this in.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual void eval(std::span<const Array> arrays) = 0;
  virtual void async_eval(std::span<const Array> arrays) = 0;
  /// The thread's pending work passed its budget when `newest` was made.
  virtual void eval_over_budget(const Array& newest) = 0;
};
PLAIT_API void set_evaluator(Evaluator* evaluator);
PLAIT_API Evaluator& evaluator();

/// Bounds of pending work per thread; past them the newest node is evaluated.
struct PendingBudget {
  int64_t nodes = 200'000;
  int64_t bytes = int64_t{64} << 30;  // of results not yet computed, those too large to hold apart
};
PendingBudget pending_budget();
void set_pending_budget(PendingBudget budget);

/// Open traces. While any gradient trace is open anywhere, evaluated traced nodes keep their inputs.
uint64_t open_trace();
void close_trace(uint64_t level);
bool any_trace_open();

}  // namespace plait
