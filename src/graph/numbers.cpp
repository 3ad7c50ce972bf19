#include "graph/numbers.h"

#include <atomic>

#include "graph/node.h"

namespace plait {
namespace {

thread_local NumberScope* scope = nullptr;
std::atomic<uint64_t> newest{0};

}  // namespace

NumberScope::NumberScope() : before_(scope), serial_(newest.fetch_add(1) + 1) { scope = this; }
NumberScope::~NumberScope() { scope = before_; }

NumberScope* NumberScope::current() { return scope; }

uint32_t NumberScope::id_of(const NodeBase* node) const {
  const auto it = ids_.find(node);
  return it == ids_.end() ? 0 : it->second;
}

Array constant(const Number& number, DType dtype) {
  Array made(number.value, dtype);
  if (number.id != 0 && scope != nullptr) {
    scope->ids_.emplace(made.node(), number.id);
    scope->made_.push_back(made);
  }
  return made;
}

}  // namespace plait
