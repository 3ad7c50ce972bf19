#include "graph/node.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "graph/dims.h"
#include "graph/op.h"
#include "graph/stream.h"
#include "memory/poison.h"
#include "memory/residency.h"
#include "plait/debug.h"

namespace plait {
namespace {

// State of one thread as a creator of nodes. It begins as nothing: no exception leaves what sets a thread's state up.
struct Creator {
  std::shared_ptr<PendingCounter> pending;  // from the first node on
  uint64_t floor = 0;                       // LevelFloor
};
constinit thread_local Creator creator;

// Memory of nodes that a thread dropped, for those it makes next: each step of a loop makes and drops hundreds, more than malloc has
// at hand without joining and cutting them. Under AddressSanitizer there is none, so that it finds what uses a node that is gone.
class NodeMemory {
 public:
  ~NodeMemory();
  void* take() noexcept {
    Free* const taken = first_;
    if (!taken) return nullptr;
    first_ = taken->next;
    --count_;
    return taken;
  }
  bool keep(void* memory) noexcept {
    constexpr int kMost = memory::kPoisons ? 0 : 4096;
    if (count_ >= kMost) return false;
    first_ = ::new (memory) Free{first_};
    ++count_;
    return true;
  }

 private:
  struct Free {
    Free* next;
  };
  Free* first_ = nullptr;
  int count_ = 0;
};
constinit thread_local NodeMemory node_memory;
constinit thread_local bool thread_ends = false;  // and `node_memory` is gone
NodeMemory::~NodeMemory() {
  thread_ends = true;
  while (void* const memory = take()) ::operator delete(memory);
}

std::atomic<int64_t> budget_nodes{PendingBudget{}.nodes};
std::atomic<int64_t> budget_bytes{PendingBudget{}.bytes};
std::atomic<uint64_t> newest_level{0};
std::atomic<int64_t> open_traces{0};
std::atomic<Evaluator*> the_evaluator{nullptr};

std::string describe(const Aval& aval) {
  return "an array of shape " + to_string(aval.shape) + " and dtype " + std::string(name_of(aval.dtype));
}

[[noreturn, gnu::noinline]] void too_large(const Node& node, const Aval& aval) {
  throw ShapeError({.op = node.op->name,
                    .got = describe(aval),
                    .accepts = "less than 2**63 bytes in all",
                    .where = describe_source(node.source)});
}

// A result of this size is not held back to be evaluated early: no memory may have room for it, while an operation that
// reads it in the same pass needs none.
constexpr int64_t kNotHeld = int64_t{16} << 30;

// What counts towards the budget: nothing for elements that are read when they are needed, which no work of before holds
// up. Errors: ShapeError for a result whose bytes cannot be counted.
int64_t result_bytes(const Node& node) {
  int64_t bytes = 0;
  for (const Aval& a : node.avals) {
    int64_t own = 0;
    if (__builtin_mul_overflow(a.shape.count_value(), static_cast<int64_t>(size_of(a.dtype)), &own) ||
        __builtin_add_overflow(bytes, own, &bytes) || a.shape.count_value() == INT64_MAX) [[unlikely]]
      too_large(node, a);
  }
  const bool read_later = node.op->kind == OpKind::control && node.op->inputs.empty();
  return bytes < kNotHeld && !read_later ? bytes : 0;
}

// The eager switch. What a program records is to be computed from other inputs later: it stays in the graph, as do numbers.
void evaluate_now(const Ref<Node>& node) {
  if (node->abstract || node->op->kind == OpKind::constant || DimScope::current() != nullptr) return;
  const Array newest(node, 0);
  evaluator().eval(std::span(&newest, 1));
}

constinit thread_local bool eager_thread = false;

}  // namespace

bool debug::eager() {
  static const bool process = [] {
    const char* value = std::getenv("PLAIT_EAGER");
    return value != nullptr && *value != '\0' && *value != '0';
  }();
  return eager_thread || process;
}

bool debug::set_eager(bool on) { return std::exchange(eager_thread, on); }

std::mutex& graph_mutex() {
  static std::mutex* mutex = new std::mutex;  // outlives every static that may still drop arrays at exit
  return *mutex;
}

Strides row_major_strides(const Shape& shape) {
  Strides strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i].value(), 1);
  }
  return strides;
}

bool is_row_major(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const int64_t n = shape[i].value();
    if (n == 0) return true;
    if (n != 1 && strides[i] != step) return false;
    step *= n;
  }
  return true;
}

void Node::settle_pending() {
  if (!pending) return;
  pending->nodes.fetch_sub(1, std::memory_order_relaxed);
  pending->bytes.fetch_sub(result_bytes(*this), std::memory_order_relaxed);
  pending.reset();
}

void* Node::operator new(size_t bytes) {
  void* const kept = thread_ends ? nullptr : node_memory.take();
  return kept ? kept : ::operator new(bytes);
}
void Node::operator delete(void* memory) noexcept {
  if (thread_ends || !node_memory.keep(memory)) ::operator delete(memory);
}

void NodeBase::destroy(NodeBase* node) noexcept { Node::destroy(static_cast<Node*>(node)); }

void Node::destroy(Node* node) noexcept {
  // Inputs that die with a node wait in a list instead of being destroyed inside it: nesting depth stays one for a chain of
  // any length. The list needs no memory: its links are the scratch of traversals, which no longer come here.
  static_assert(sizeof(node->visit) >= sizeof(Node*));
  constinit thread_local static Node* doomed = nullptr;
  constinit thread_local static bool emptying = false;
  node->visit = reinterpret_cast<uintptr_t>(std::exchange(doomed, node));
  if (emptying) return;
  emptying = true;
  while (doomed != nullptr) {
    Node* const last = doomed;
    doomed = reinterpret_cast<Node*>(static_cast<uintptr_t>(last->visit));
    last->settle_pending();
    delete last;  // may add to the list
  }
  emptying = false;
}

Ref<Node> make_node(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs) {
  SmallVector<Aval, 3> in;
  in.reserve(inputs.size());
  uint64_t level = creator.floor;
  bool abstract = false;
  for (const Array& a : inputs) {
    check_internal(a.defined(), "an op was given an array without a value");
    in.push_back(a.node()->avals[a.index()]);
    level = std::max(level, a.node()->level);
    abstract |= a.node()->abstract;
  }
  if (level != 0 && !any_trace_open()) level = 0;  // no trace can reach it: what was traced once ends here
  Avals avals = op.infer(attrs.get(), in);
  Ref<Node> node = make_ref<Node>();
  node->op = &op;
  node->attrs = std::move(attrs);
  node->inputs = std::move(inputs);
  node->avals = std::move(avals);
  node->level = level;
  node->abstract = abstract;
  node->source = current_source();
  node->stream = current_stream().index;
  const int64_t bytes = result_bytes(*node);
  if (!creator.pending) [[unlikely]]
    creator.pending = std::make_shared<PendingCounter>();
  node->pending = creator.pending;
  const int64_t nodes = node->pending->nodes.fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t all_bytes = node->pending->bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (level == 0 && (nodes > budget_nodes.load(std::memory_order_relaxed) ||
                     all_bytes > budget_bytes.load(std::memory_order_relaxed))) [[unlikely]] {
    const Array newest(node, 0);
    evaluator().eval_over_budget(newest);
  }
  if (debug::eager()) [[unlikely]]
    evaluate_now(node);
  return node;
}

Array make(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs) {
  return Array(make_node(op, std::move(attrs), std::move(inputs)), 0);
}

Arrays make_all(const OpDef& op, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs) {
  const Ref<Node> node = make_node(op, std::move(attrs), std::move(inputs));
  Arrays out;
  for (uint32_t i = 0; i < node->avals.size(); ++i) out.emplace_back(node, i);
  return out;
}

Array make_evaluated(Storage storage, Aval aval) {
  Ref<Node> node = make_ref<Node>();
  node->op = &evaluated_op();
  node->avals.push_back(std::move(aval));
  node->storages.push_back(std::move(storage));
  node->state.store(Node::State::done, std::memory_order_release);
  return Array(std::move(node), 0);
}

Storage allocate_storage(const Aval& aval, std::optional<memory::Queue> queue) {
  Storage s;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(aval.shape.count_value(), static_cast<int64_t>(size_of(aval.dtype)), &bytes))
    throw OutOfMemory({.op = "allocate", .got = describe(aval) + ", larger than any memory"});
  try {
    s.buffer = queue ? memory::allocate_on(*queue, bytes) : allocate(bytes);
  } catch (const OutOfMemory& e) {
    ErrorInfo info = e.info();
    info.got += "; it was for " + describe(aval);
    throw OutOfMemory(std::move(info));
  }
  s.strides = row_major_strides(aval.shape);
  s.row_major = true;
  return s;
}

const OpDef& evaluated_op() {
  static const OpDef* op = [] {
    auto* def = new OpDef;
    def->name = "array";
    def->kind = OpKind::constant;
    def->summary = "Elements in memory.";
    return def;
  }();
  return *op;
}

const Storage& evaluated_storage(const Array& a) {
  if (!a.node()->done()) evaluator().eval(std::span(&a, 1));
  const Storage& storage = a.node()->storages[a.index()];
  memory::Residency::on_host(*storage.buffer, [] { return describe_source(current_source()); });
  return storage;
}

void set_evaluator(Evaluator* evaluator) { the_evaluator.store(evaluator, std::memory_order_release); }

Evaluator& evaluator() {
  Evaluator* e = the_evaluator.load(std::memory_order_acquire);
  check_internal(e != nullptr, "the engine was not started");
  return *e;
}

PendingBudget pending_budget() { return {budget_nodes.load(), budget_bytes.load()}; }
void set_pending_budget(PendingBudget budget) {
  budget_nodes.store(budget.nodes);
  budget_bytes.store(budget.bytes);
}

LevelFloor::LevelFloor(uint64_t level) : before_(creator.floor) { creator.floor = std::max(before_, level); }
LevelFloor::~LevelFloor() { creator.floor = before_; }
uint64_t LevelFloor::current() { return creator.floor; }

uint64_t open_trace() {
  open_traces.fetch_add(1);
  return newest_level.fetch_add(1) + 1;
}
void close_trace(uint64_t) { open_traces.fetch_sub(1); }
bool any_trace_open() { return open_traces.load() > 0; }

}  // namespace plait
