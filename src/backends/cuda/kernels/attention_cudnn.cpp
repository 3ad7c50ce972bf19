// A plan takes 40 ms to 1.3 s to make, so it is made in the background, and until then the other way is taken, with other last bits.
// PLAIT_CUDNN_ATTENTION=always waits for it, and so does a recording, which would keep the other way for good.
#include "backends/cuda/kernels/attention_cudnn.h"

#include <atomic>
#include <cfloat>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <future>
#include <mutex>
#include <string_view>

#include "backends/cuda/kernels/attention_rows.h"
#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/create.h"
#include "backends/cuda/kernels/plan_cache.h"
#include "backends/cuda/libraries/background.h"
#include "backends/cuda/libraries/cudnn.h"
#include "backends/cuda/libraries/cudnn_attention.h"
#include "backends/cuda/runtime/recording.h"
#include "base/interrupt.h"

namespace plait::cuda {
namespace {

constexpr int64_t kMostScores = int64_t{1} << 27;  // that cuDNN keeps, of 16 bits, to be deterministic

std::atomic<CudnnAttention>& wanted() {
  static std::atomic<CudnnAttention> setting = [] {
    const char* const set = std::getenv("PLAIT_CUDNN_ATTENTION");
    const std::string_view value = set ? set : "";
    return value == "never"           ? CudnnAttention::never
           : value == "always"        ? CudnnAttention::always
           : value == "deterministic" ? CudnnAttention::deterministic
                                      : CudnnAttention::when_ready;
  }();
  return setting;
}

using PlanPtr = std::shared_ptr<const AttentionPlan>;  // null: there is none

// Calls of a form before its plan is made: what comes twice comes again, but for one query keys may be one more in each step.
constexpr int kCallsBefore = 1, kCallsBeforeDecoding = 64;

/// A form that came, and its plan once that was asked for.
class Later {
 public:
  /// Null where there is none, or, unless it `waits`, none yet. Errors: DeviceError for a plan that is not made yet where it is recorded:
  /// a recording would keep the slower way, and nobody waits in it for what may wait for its end.
  PlanPtr get(const AttentionForm& form, bool waits, bool recorded) const {
    std::shared_future<PlanPtr> made;
    {
      const std::lock_guard lock(mutex_);
      if (!made_.valid()) {
        const int before = form.q.extents[2] == 1 ? kCallsBeforeDecoding : kCallsBefore;
        if (!waits && !recorded && ++calls_ <= before) return nullptr;
        made_ = begin(form, waits);
        if (!made_.valid()) return nullptr;
      }
      made = made_;
    }
    const auto ready_in = [&](int ms) {
      return made.wait_for(std::chrono::milliseconds(ms)) == std::future_status::ready;
    };
    if (recorded && !ready_in(0))
      throw DeviceError({.op = "attention", .got = "a plan of cuDNN that is still being made"});
    if (!waits && !ready_in(0)) return nullptr;
    while (!ready_in(20)) poll_interrupt();  // others may be made before it
    try {
      return made.get();
    } catch (const std::future_error&) {
      return nullptr;  // the process ends, and it will not be made
    }
  }

 private:
  /// Not valid where too much else waits to be made.
  static std::shared_future<PlanPtr> begin(const AttentionForm& form, bool waits);

  mutable std::mutex mutex_;
  mutable std::shared_future<PlanPtr> made_;
  mutable int calls_ = 0;
};

std::shared_future<PlanPtr> Later::begin(const AttentionForm& form, bool waits) {
  const auto promise = std::make_shared<std::promise<PlanPtr>>();
  const auto make = [promise, form] {
    PlanPtr plan;
    try {
      plan = make_attention_plan(form);
      end_background_before_others();
    } catch (const std::exception&) {
      // Without the library the other way is taken; that it is missing was said when the backend was loaded.
    }
    promise->set_value(std::move(plan));
  };
  auto made = promise->get_future().share();
  static const std::atomic<int> asked{1}, awaited{INT_MAX};
  if (run_in_background(make, waits ? awaited : asked)) return made;
  if (!waits) return {};
  make();
  return made;
}

/// Null where there is none, or none yet.
PlanPtr plan_of(const Work& work, const AttentionForm& form) {
  using Plans = PlanCache<AttentionForm, Later>;
  static auto* const plans = new Plans[2];  // leaked: threads may ask while the process ends
  Plans& some = plans[form.q.extents[2] == 1];  // what decodes does not push out the others
  const std::shared_ptr<const Later> later = some.get(form, [] { return std::make_shared<const Later>(); });
  return later->get(form, wanted() >= CudnnAttention::always, recorder_of(work.queue()));
}

/// As it lies where rows are whole pieces of 16 bytes, else as a row-major copy.
class Operand {
 public:
  explicit Operand(const TensorView& t) : view_(t) {
    int64_t last = 0;
    for (size_t i = 4, step = 1; i-- > 0; step *= static_cast<size_t>(t.shape[i])) {
      const int64_t stride = t.shape[i] == 1 ? static_cast<int64_t>(step) : t.strides[i];
      lies_well_ = lies_well_ && (i == 3 ? stride == 1 : stride > 0 && stride % 8 == 0);
      last += (t.shape[i] - 1) * stride;
      tensor_.extents[i] = t.shape[i];
      tensor_.strides[i] = stride;
    }
    lies_well_ = lies_well_ && last <= INT32_MAX && reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
    if (lies_well_) return;
    for (size_t i = 4, step = 1; i-- > 0; step *= static_cast<size_t>(t.shape[i]))
      tensor_.strides[i] = static_cast<int64_t>(step);
  }
  const AttentionTensor& tensor() const { return tensor_; }
  void* data(Work& work) const {
    if (lies_well_) return view_.data;
    const int width = static_cast<int>(size_of(view_.dtype));
    void* const copy = work.scratch<char>(view_.count() * width);
    copy_strided(work, copy, tensor_.strides, view_.data, view_.strides, view_.shape, width);
    return copy;
  }

 private:
  const TensorView& view_;
  AttentionTensor tensor_;
  bool lies_well_ = true;
};

AttentionForm form_of(const Work& work, const AttentionCall& at, const Operand& q, const Operand& k, const Operand& v) {
  AttentionForm form;
  form.device = device_of(work.queue());
  form.dtype = at.q.dtype;
  form.causal = at.kind == AttentionCall::Mask::causal && at.queries > 1;  // the last query sees all
  form.q = q.tensor();
  form.k = k.tensor();
  form.v = v.tensor();
  return form;
}

AttentionMemory memory_of(Work& work, const AttentionCall& at, const Operand& q, const Operand& k, const Operand& v) {
  AttentionMemory memory;
  memory.q = q.data(work);
  memory.k = k.data(work);
  memory.v = v.data(work);
  memory.scale = static_cast<float>(at.scale);
  return memory;
}

void run(Work& work, const AttentionForm& form, const PlanPtr& plan, const AttentionMemory& memory) {
  void* const room = plan->workspace() > 0 ? work.scratch<char>(plan->workspace()) : nullptr;
  if (const Recorder* const recorder = recorder_of(work.queue())) keep_while_recorded(*recorder, plan);
  CudnnHandle& handle = CudnnHandle::of(form.device);
  const std::lock_guard lock(handle.mutex);
  handle.use(work.stream());
  plan->run(handle.handle, memory, room);
}

}  // namespace

void set_cudnn_attention(CudnnAttention value) { wanted() = value; }

bool is_for_cudnn(const AttentionCall& at, bool sinks) {
  const auto fits = [](int64_t width) { return width > 0 && width <= 256 && width % 8 == 0; };
  const auto small = [&](int64_t count) { return count > 0 && count <= INT32_MAX; };
  // Nothing says that cuDNN looks for the largest score, and masks, behind the scaling: else 0 makes NaNs, and less finds the smallest.
  const bool scale = at.scale >= FLT_MIN && at.scale <= FLT_MAX;
  const bool mask =
      at.kind == AttentionCall::Mask::none || (at.kind == AttentionCall::Mask::causal && at.queries <= at.keys);
  return is_half(at.q.dtype) && fits(at.features) && fits(at.values) && scale && mask && !sinks &&
         small(at.q.count()) && small(at.k.count()) && small(at.v.count()) &&
         small(at.q.count() / at.features * at.values);
}

bool attend_by_cudnn(Work& work, const AttentionCall& at, const KernelArgs& args) {
  if (wanted() == CudnnAttention::never || !is_for_cudnn(at, args.attrs.get<bool>("sinks"))) return false;
  const Operand q(at.q), k(at.k), v(at.v);
  const AttentionForm form = form_of(work, at, q, k, v);
  const PlanPtr plan = plan_of(work, form);
  if (!plan) return false;
  AttentionMemory memory = memory_of(work, at, q, k, v);
  memory.result = args.outputs[0].data;
  memory.stats = args.outputs[1].data;
  run(work, form, plan, memory);
  fill(work, args.outputs[2], Scalar(1.0));
  return true;
}

bool attend_back_by_cudnn(Work& work, const AttentionCall& at, const KernelArgs& args) {
  // What sinks take is in `total` already.
  if (wanted() == CudnnAttention::never || !args.attrs.get<bool>("delta_of_result") || !is_for_cudnn(at, false))
    return false;
  if (at.queries == 1) return false;  // it is slower
  const Operand q(at.q), k(at.k), v(at.v), cotangent(args.inputs[7]), result(args.inputs[8]);
  AttentionForm form = form_of(work, at, q, k, v);
  form.backward = true;
  if (wanted() == CudnnAttention::deterministic) {
    if (at.batch * at.heads * at.queries * at.keys > kMostScores) return false;
    form.deterministic = true;
  }
  form.cotangent = cotangent.tensor();
  form.result = result.tensor();
  const PlanPtr plan = plan_of(work, form);
  if (!plan) return false;
  AttentionMemory memory = memory_of(work, at, q, k, v);
  memory.result = result.data(work);
  memory.cotangent = cotangent.data(work);
  memory.stats = work.scratch<float>(at.batch * at.heads * at.queries);
  memory.of_q = args.outputs[0].data;
  memory.of_k = args.outputs[1].data;
  memory.of_v = args.outputs[2].data;
  join_sums(work, at, args.inputs[4], args.inputs[5], static_cast<float*>(memory.stats));
  run(work, form, plan, memory);
  return true;
}

}  // namespace plait::cuda
