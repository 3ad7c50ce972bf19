#include <deque>
#include <mutex>

#include "base/trace.h"
#include "plait/debug.h"
#include "plait/transforms.h"
#include "transforms/program.h"

namespace plait {
namespace {

constexpr size_t kMaxTraces = 64;  // per function and structure; the oldest goes

}  // namespace

struct CompiledFunction::State {
  Function f;
  std::string name;
  std::mutex mutex;
  struct Numbered {
    std::shared_ptr<const Program> program;
    int64_t serial;
  };
  std::deque<Numbered> traces;  // newest first
  int64_t traced = 0;
};

CompiledFunction::CompiledFunction(Function f, std::string name) : state_(std::make_unique<State>()) {
  state_->f = std::move(f);
  state_->name = std::move(name);
}
CompiledFunction::~CompiledFunction() = default;

int64_t CompiledFunction::trace_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->traced;
}

Arrays CompiledFunction::operator()(const Arrays& inputs, int64_t* number) {
  std::vector<int64_t> values;
  std::string why = "first call";
  {
    std::deque<State::Numbered> traces;
    {
      const std::lock_guard lock(state_->mutex);
      traces = state_->traces;
    }
    for (const auto& [program, serial] : traces) {
      if (!program->fits(inputs, values)) continue;
      if (number != nullptr) *number = serial;
      return program->replay(inputs, values);
    }
    if (!traces.empty()) why = traces.front().program->why_not(inputs);
  }
  trace::reason("traced", why);
  auto program = std::make_shared<const Program>(state_->f, inputs, state_->name);
  {
    const std::lock_guard lock(state_->mutex);
    if (number != nullptr) *number = state_->traced;
    state_->traces.push_front({program, state_->traced++});
    if (state_->traces.size() > kMaxTraces) state_->traces.pop_back();
  }
  check_internal(program->fits(inputs, values), "a fresh trace does not fit the arguments it was made from");
  return program->replay(inputs, values);
}

Function compile(Function f) {
  auto compiled = std::make_shared<CompiledFunction>(f);
  return
      [compiled, f = std::move(f)](const Arrays& inputs) { return debug::eager() ? f(inputs) : (*compiled)(inputs); };
}

}  // namespace plait
