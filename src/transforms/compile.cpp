#include <atomic>
#include <cstdlib>

#include "plait/compile_switch.h"
#include "plait/debug.h"
#include "plait/transforms.h"
#include "transforms/program.h"

namespace plait {
namespace {

std::atomic<bool>& enabled() {
  static std::atomic<bool> on([] {
    const char* off = std::getenv("PLAIT_DISABLE_COMPILE");
    return off == nullptr || *off == '\0' || *off == '0';
  }());
  return on;
}

}  // namespace

void disable_compile() { enabled() = false; }
void enable_compile() { enabled() = true; }
bool compile_enabled() { return enabled(); }

struct CompiledFunction::State {
  Function f;
  std::string name;
  Programs programs;
};

CompiledFunction::CompiledFunction(Function f, std::string name) : state_(std::make_unique<State>()) {
  state_->f = std::move(f);
  state_->name = std::move(name);
}
CompiledFunction::~CompiledFunction() = default;

int64_t CompiledFunction::trace_count() const { return state_->programs.made(); }

Arrays CompiledFunction::operator()(const Arrays& inputs) {
  if (DimScope::current() != nullptr) {  // part of the trace around it, whose extents it may have captured
    const TransformScope scope(state_->name);
    return state_->f(inputs);
  }
  std::vector<int64_t> values;
  std::string why;  // the program used last does not fit
  const auto known = state_->programs.find([&](const Programs::Kept& kept) {
    if (kept.program->fits(inputs, values)) return true;
    if (why.empty()) why = kept.program->why_not(inputs);
    return false;
  });
  if (known) return known->program->replay(inputs, values);
  if (why.empty()) why = "first call";
  auto kept = std::make_shared<Programs::Kept>();
  kept->program = std::make_shared<const Program>(state_->f, inputs, state_->name);
  kept->why = std::move(why);
  check_internal(kept->program->fits(inputs, values), "a fresh trace does not fit the arguments it was made from");
  state_->programs.add(kept);
  return kept->program->replay(inputs, values);
}

Function compile(Function f) {
  auto compiled = std::make_shared<CompiledFunction>(f);
  return [compiled, f = std::move(f)](const Arrays& inputs) {
    return debug::eager() || !compile_enabled() ? f(inputs) : (*compiled)(inputs);
  };
}

}  // namespace plait
