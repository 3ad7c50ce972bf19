#include "backends/cuda/regions/region.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "backends/cuda/regions/machine_run.h"
#include "backends/cuda/regions/regions.h"
#include "backends/cuda/regions/scratch.h"
#include "backends/cuda/regions/source.h"
#include "backends/cuda/runtime/cuda.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

Tier tier_of_environment() {
  const char* const set = std::getenv("PLAIT_CUDA_TIER");
  if (!set || !*set) return Tier::automatic;
  if (std::string_view(set) == "0") return Tier::zero;
  if (std::string_view(set) == "1") return Tier::one;
  throw DeviceError({.op = "PLAIT_CUDA_TIER", .got = set, .accepts = "0 or 1"});
}

constexpr long long kMostBlocks = 1 << 20;
unsigned blocks_for(long long units, long long units_of_block) {
  return static_cast<unsigned>(std::clamp((units + units_of_block - 1) / units_of_block, 1ll, kMostBlocks));
}
constexpr int64_t kBatchBytes = int64_t{64} << 20;  // of results and partial results, about
constexpr long long kLongestRow = 32 * kChunk;      // of one launch

// Of rows that a thread takes: operands, as where their elements lie takes shared memory.
constexpr int kMostOfShortRows = 128;
// Of rows that a block takes: how many are enough for all multiprocessors; reductions of a pass, as the results of chunks take shared
// memory; bytes of a row, as later passes should find it in the caches. On an H200 softmax of rows of 128,256 bfloat16 took
// 1.28 ms so and 1.93 by launches for each pass, of as many float32 3.08 and 2.52.
constexpr long long kManyRows = 96;
constexpr int kMostOfLongRows = 4;
constexpr long long kMostBytesOfLongRow = 300 << 10;
// Of columns: blocks enough for all multiprocessors; threads that then share a chunk of a column; elements of it that they write at
// once.
constexpr unsigned kEnoughBlocks = 512;
constexpr int kColumnThreads = 8;
constexpr int kRound = 4 * kColumnThreads;

/// Bytes of one element of all that is read along rows.
long long bytes_along_rows(const Staged& staged) {
  long long bytes = 0;
  for (const auto& input : staged.program.inputs) bytes += input.level == ir::Level::row ? size_of(input.dtype) : 0;
  return bytes;
}

unsigned blocks_of_columns(const Batch& batch, int threads) {
  const int columns = kThreads / threads;
  return blocks_for((batch.count + columns - 1) / columns * batch.chunks, 1);
}
/// How many threads share a chunk of a column: more where there are few blocks, as long as neighbouring columns fill 32 bytes.
int threads_of_column(const Staged& staged, const Batch& batch, long long length) {
  int width = 8;
  for (const auto& input : staged.program.inputs)
    if (input.level == ir::Level::row) width = std::min(width, static_cast<int>(size_of(input.dtype)));
  const auto more = [&](int threads) {
    return threads < 32 && blocks_of_columns(batch, threads) < kEnoughBlocks && kThreads / (2 * threads) * width >= 32;
  };
  int threads = 1;
  while (threads < length && (threads < kColumnThreads || more(threads))) threads *= 2;
  return threads;
}

int power_of_two_from(long long n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

}  // namespace

/// One run: the space, the arguments of generated kernels, where it is enqueued.
struct CudaRegion::Run {
  Bound bound;
  const RegionBinding& binding;
  cudaStream_t stream;
  std::vector<char> arguments;  // Arguments<N, S> of tier1.cuh

  Run(const Staged& staged, const RegionBinding& at)
      : bound(bind(staged, at)), binding(at), stream(stream_of(at.queue)) {}

  void write_arguments() {
    const size_t operands = std::max<size_t>(bound.operands.size(), 1),
                 scalars = std::max<size_t>(binding.scalars.size(), 1);
    arguments.assign(sizeof(Space) + operands * sizeof(Operand) + scalars * 8, 0);
    char* to = arguments.data();
    std::memcpy(to, &bound.space, sizeof(Space));
    to += sizeof(Space);
    std::memcpy(to, bound.operands.data(), bound.operands.size() * sizeof(Operand));
    to += operands * sizeof(Operand);
    for (size_t k = 0; k < binding.scalars.size(); ++k) std::memcpy(to + 8 * k, &binding.scalars[k].bits, 8);
  }
  void launch(cudaKernel_t kernel, dim3 blocks, dim3 threads, void* extra = nullptr) const {
    void* parameters[] = {const_cast<char*>(arguments.data()), extra};
    check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), blocks, threads, parameters, 0, stream),
               "launch of a region");
  }
};

CudaRegion::CudaRegion(RegionProgram program) : tier(tier_of_environment()), staged_(std::move(program)) {}

Source CudaRegion::source_of(Form form) const {
  if (form < kRows) return elementwise_source(staged_, static_cast<ElementForm>(form));
  if (form < kShort)
    return rows_source(staged_, static_cast<RowForm>((form - kRows) / 3), static_cast<RowFit>((form - kRows) % 3));
  if (form == kShort) return short_source(staged_);
  if (form == kLong) return split_source(staged_, SplitForm::block);
  return split_source(staged_, static_cast<SplitForm>(form - kSplitRows));
}

/// The code of a way, which is begun where it is not there.
const Module* CudaRegion::ask(int form, int device) const {
  Built& built = built_[form];
  const std::lock_guard lock(built.mutex);
  if (built.source.text.empty()) built.source = source_of(static_cast<Form>(form));
  const Module* const made = module_of(built.source, capability_of(device), tier == Tier::one ? Wait::yes : Wait::no);
  if (made) built.module[device].store(made, std::memory_order_release);
  return made;
}

/// The first of `forms` is wanted; while it is not there, the first that is. The last is the general one.
CudaRegion::Chosen CudaRegion::choose(std::initializer_list<int> forms, int device) const {
  const Chosen chosen = choose_now(forms, device);
  if (!chosen.module || chosen.form != *forms.begin()) settled_.store(false, std::memory_order_relaxed);
  return chosen;
}

CudaRegion::Chosen CudaRegion::choose_now(std::initializer_list<int> forms, int device) const {
  // Parameters of a kernel have 32,764 bytes.
  const size_t bytes = sizeof(Space) + static_cast<size_t>(staged_.operand_count()) * sizeof(Operand) +
                       staged_.program.scalars.size() * 8 + sizeof(Batch) + 16;
  const Form wanted = static_cast<Form>(*forms.begin());
  const int general = *(forms.end() - 1);
  if (tier == Tier::zero || device >= kDevices || bytes > 32000) return {wanted, nullptr};
  const auto ready = [&](int form) { return built_[form].module[device].load(std::memory_order_acquire); };
  if (const Module* module = ready(wanted)) return {wanted, module};
  constexpr int kOften = 32;  // runs; a function over many shapes should not build for each kind of them
  if (!begun_.exchange(true)) built_[wanted].wanted = built_[general].wanted = kOften;
  if (tier == Tier::one || built_[wanted].wanted >= kOften || ++built_[wanted].wanted >= kOften)
    if (const Module* made = ask(wanted, device)) return {wanted, made};
  if (!ready(general)) ask(general, device);
  for (int form : forms)
    if (const Module* module = ready(form)) return {static_cast<Form>(form), module};
  return {wanted, nullptr};
}

CudaRegion::Chosen CudaRegion::choose_elementwise(const Run& run, int device) const {
  const int lanes = elementwise_lanes(staged_);
  if (is_linear(staged_, run.bound, lanes)) return choose({kLinear, kStridedWide}, device);
  const Space& space = run.bound.space;
  const long long vectors = space.rows * ((space.length + lanes - 1) / lanes);
  const long long tile = static_cast<long long>(kThreads) * elementwise_steps(staged_);
  if (vectors >= (1ll << 32) - 2 * kMostBlocks * tile) return choose({kStridedWide}, device);  // a step must not wrap
  if (is_across(staged_, run.bound)) return choose({kTiled, kStrided, kStridedWide}, device);
  return choose({kStrided, kTiled, kStridedWide}, device);
}

CudaRegion::Chosen CudaRegion::choose_rows(const Run& run, int device) const {
  const Space& space = run.bound.space;
  const bool columns = is_columns(staged_, run.bound), axes = space.rank - space.split > 1;
  const bool is_short = space.length >= 1 && space.length <= kShortRow && space.rows <= INT32_MAX &&
                        staged_.operand_count() <= kMostOfShortRows;
  if (rows_as == RowsAs::they_are && is_short && (columns || axes)) return choose({kShort, kSplitRows}, device);
  if (columns) return choose({axes ? kSplitColumnsOfAxes : kSplitColumns, kSplitRows}, device);
  const int lanes = row_lanes(staged_);
  const bool aligned = is_even(staged_, run.bound, lanes);
  const bool fits_block =
      aligned && space.length <= kLongChunks * kChunk && staged_.most_reductions() <= kMostOfLongRows;
  const bool long_and_many = space.length > kLongestRow && space.rows >= kManyRows &&
                             bytes_along_rows(staged_) * space.length <= kMostBytesOfLongRow;
  if (fits_block && (rows_as == RowsAs::they_are ? long_and_many : rows_as == RowsAs::long_and_many))
    return choose({kLong, kSplitRows}, device);
  if (rows_as == RowsAs::longest || space.length > kLongestRow || axes) return choose({kSplitRows}, device);
  const long long vectors = (space.length + lanes - 1) / lanes;
  const RowForm size = vectors <= 32                              ? RowForm::few
                       : space.length <= kChunk                   ? RowForm::warp
                       : space.length <= kChunk * (kThreads / 32) ? RowForm::block
                                                                  : RowForm::large;
  const bool whole =
      space.length > 0 && (size == RowForm::few ? (vectors & (vectors - 1)) == 0 : space.length % kChunk == 0);
  const int full = kRows + 3 * static_cast<int>(size), even = full + 1, any = full + 2;
  const int large = kRows + 3 * static_cast<int>(size == RowForm::block ? RowForm::large : size);
  if (!aligned) return choose({any, large + 2, kSplitRows}, device);
  if (!whole) return choose({even, any, large + 1, large + 2, kSplitRows}, device);
  return choose({full, even, any, large, large + 1, large + 2, kSplitRows}, device);
}

int CudaRegion::built(int device) const {
  return static_cast<int>(std::count_if(std::begin(built_), std::end(built_),
                                        [&](const Built& b) { return b.module[device].load() != nullptr; }));
}

const char* CudaRegion::how() const {
  for (int device = 0; device < kDevices; ++device)
    if (built(device) > 0) return "generated code";
  return "register machine";
}

void CudaRegion::run(const RegionBinding& binding) const {
  const int device = device_of(binding.queue);
  const DeviceScope scope(device);
  Run run(staged_, binding);
  const Space& space = run.bound.space;
  if (space.rows == 0 || (!staged_.has_row() && space.length == 0)) return;
  const Chosen chosen = staged_.has_row() ? choose_rows(run, device) : choose_elementwise(run, device);
  if (chosen.module) run.write_arguments();
  if (staged_.has_row())
    chosen.module&& chosen.form < kSplitRows ? run_rows(run, chosen) : run_split(run, chosen);
  else
    chosen.module ? run_elementwise(run, chosen) : run_machine_vectors(run);
}

void CudaRegion::run_elementwise(const Run& run, const Chosen& chosen) const {
  const Space& space = run.bound.space;
  const int lanes = elementwise_lanes(staged_);
  const long long tile = static_cast<long long>(kThreads) * elementwise_steps(staged_);
  const long long vectors =
      chosen.form == kLinear ? (space.length + lanes - 1) / lanes : space.rows * ((space.length + lanes - 1) / lanes);
  run.launch(chosen.module->kernels[0], blocks_for(vectors, tile), dim3(kThreads));
}

void CudaRegion::run_rows(const Run& run, const Chosen& chosen) const {
  const Space& space = run.bound.space;
  const auto size = static_cast<RowForm>((chosen.form - kRows) / 3);
  if (chosen.form == kShort) {
    run.launch(chosen.module->kernels[0], blocks_for(space.rows, kThreads), dim3(kThreads));
  } else if (chosen.form == kLong) {
    run.launch(chosen.module->kernels[0], blocks_for(space.rows, 1), dim3(kLongThreads));
  } else if (size == RowForm::few) {
    const int lanes = row_lanes(staged_);
    int group = power_of_two_from((space.length + lanes - 1) / lanes);
    run.launch(chosen.module->kernels[0], blocks_for(space.rows, kThreads / group), dim3(kThreads), &group);
  } else if (size == RowForm::warp) {
    run.launch(chosen.module->kernels[0], blocks_for(space.rows, kThreads / 32), dim3(kThreads));
  } else {
    const auto warps = static_cast<unsigned>((space.length + kChunk - 1) / kChunk);
    run.launch(chosen.module->kernels[0], blocks_for(space.rows, 1), dim3(32 * warps));
  }
}

/// A launch for each pass and round of it, on generated kernels or on the machine.
void CudaRegion::run_split(const Run& run, const Chosen& chosen) const {
  const Module* const module = chosen.module;
  const Space& space = run.bound.space;
  const auto queue = run.binding.queue;
  const auto reductions = static_cast<long long>(staged_.reductions.size());
  const long long most = staged_.most_reductions();
  Batch batch{};
  batch.chunks = std::max(1ll, (space.length + kChunk - 1) / kChunk);
  const long long next_chunks = (batch.chunks + kChunk - 1) / kChunk;
  const long long row_bytes = 8 * (reductions + (batch.chunks > 1 ? most * batch.chunks + 2 * next_chunks : 0));
  const long long batch_rows = std::clamp(kBatchBytes / std::max(row_bytes, 1ll), 1ll, space.rows);
  const bool columns = module && chosen.form != kSplitRows;
  const auto rounds_of_chunk = static_cast<unsigned>((std::min<long long>(space.length, kChunk) + kRound - 1) / kRound);

  const Scratch results(queue, 8 * reductions * batch_rows);
  const Scratch partials(queue, batch.chunks > 1 ? 8 * most * batch_rows * batch.chunks : 0);
  const Scratch rounds(queue, next_chunks > 1 ? 16 * batch_rows * next_chunks : 0);

  std::unique_ptr<MachineRun> machine;  // its programs: passes, row outputs, outer outputs
  if (!module) {
    const Tier0Programs& made = machine_programs();
    std::vector<const StepProgram*> programs;
    for (const StepProgram& p : made.passes) programs.push_back(&p);
    programs.push_back(&made.row_outputs);
    programs.push_back(&made.outer_outputs);
    machine = std::make_unique<MachineRun>(programs, made.constants, run.bound, run.binding);
  }

  for (batch.first = 0; batch.first < space.rows; batch.first += batch_rows) {
    batch.count = std::min(batch_rows, space.rows - batch.first);
    batch.results = results.words();
    const long long units = batch.count * batch.chunks;
    const auto enqueue = [&](size_t stage) {
      if (!module) {
        machine->launch(stage, MachineForm::rows, batch, run.stream);
      } else if (columns) {
        const bool writes = stage == static_cast<size_t>(staged_.passes);
        const int y = writes ? kColumnThreads : threads_of_column(staged_, batch, space.length);
        const unsigned blocks = blocks_of_columns(batch, y);
        const unsigned parts = writes ? std::clamp(kEnoughBlocks / blocks, 1u, rounds_of_chunk) : 1;
        run.launch(module->kernels[stage], dim3(blocks, parts), dim3(kThreads / y, y), &batch);
      } else {
        run.launch(module->kernels[stage], blocks_for(units, kThreads / 32), dim3(kThreads), &batch);
      }
    };
    for (size_t p = 0; p < static_cast<size_t>(staged_.passes); ++p) {
      const int first = staged_.first_slot[p], last = staged_.first_slot[p + 1];
      batch.partials = batch.chunks > 1 ? partials.words() : results.words() + first * batch.count;
      enqueue(p);
      for (int slot = first; batch.chunks > 1 && slot < last; ++slot) {
        const ir::Inst& inst = staged_.program.code[staged_.reductions[static_cast<size_t>(slot)]];
        const unsigned long long* from = partials.words() + (slot - first) * units;
        long long left = batch.chunks;
        for (int round = 0; left > 1; ++round) {
          const long long next = (left + kChunk - 1) / kChunk;
          unsigned long long* const to = next == 1 ? results.words() + slot * batch.count
                                                   : rounds.words() + (round % 2) * batch.count * next_chunks;
          check_cuda(launch_combine(inst.op, inst.type, from, to, batch.count, left, run.stream),
                     "launch of a reduction");
          from = to;
          left = next;
        }
      }
    }
    const auto passes = static_cast<size_t>(staged_.passes);
    if (!staged_.row_outputs.empty() && space.length > 0) enqueue(passes);
    if (staged_.outer_outputs.empty()) continue;
    if (module)
      run.launch(module->kernels.back(), blocks_for(batch.count, kThreads), dim3(kThreads), &batch);
    else
      machine->launch(passes + 1, MachineForm::outer, batch, run.stream);
  }
}

const Tier0Programs& CudaRegion::machine_programs() const {
  machine_once_.run([&] { machine_ = std::make_unique<Tier0Programs>(staged_); });
  return *machine_;
}

void CudaRegion::run_machine_vectors(const Run& run) const {
  const Tier0Programs& made = machine_programs();
  MachineRun machine({&made.row_outputs}, made.constants, run.bound, run.binding);
  machine.launch(0, MachineForm::vectors, {}, run.stream);
}

}  // namespace plait::cuda

namespace plait {

std::unique_ptr<CompiledRegion> compile_region_cuda(RegionProgram program) {
  return std::make_unique<cuda::CudaRegion>(std::move(program));
}

void prepare_regions_cuda() { check_cuda(cuda::load_machine(), "load of the code of tier 0"); }

}  // namespace plait
