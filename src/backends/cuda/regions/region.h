// A region's two tiers, and which one a run takes.
#pragma once

#include <atomic>
#include <initializer_list>
#include <memory>
#include <mutex>

#include "backends/cuda/regions/module.h"
#include "backends/cuda/regions/space.h"
#include "backends/cuda/regions/staged.h"
#include "backends/cuda/regions/tier0.h"
#include "backends/region.h"
#include "base/once.h"

namespace plait::cuda {

enum class Tier : uint8_t { automatic, zero, one };
/// For tests: as if all rows were too long for one launch, or long and many.
enum class RowsAs : uint8_t { they_are, longest, long_and_many };

class CudaRegion final : public CompiledRegion {
 public:
  explicit CudaRegion(RegionProgram program);
  void run(const RegionBinding& binding) const override;
  bool settled() const override { return settled_.exchange(true, std::memory_order_relaxed); }
  const char* how() const override;

  Tier tier;  // PLAIT_CUDA_TIER, or as a test wants
  RowsAs rows_as = RowsAs::they_are;
  /// How many ways of going over the elements have code for this device.
  int built(int device) const;

 private:
  /// Ways of going over the space. Each has code of its own. The first run has that of its own way and of the general one built; further
  /// ways are built once many runs wanted them. Until then, others serve.
  enum Form : uint8_t {
    kLinear,
    kStrided,
    kTiled,
    kStridedWide,
    kRows,  // with 3 * RowForm + RowFit added
    kShort = kRows + 12,
    kLong,
    kSplitRows,
    kSplitColumns,
    kSplitColumnsOfAxes,
    kForms
  };
  struct Run;
  struct Chosen {
    Form form;
    const Module* module;  // null where the machine has to run
  };
  Chosen choose(std::initializer_list<int> forms, int device) const;
  Chosen choose_now(std::initializer_list<int> forms, int device) const;
  const Module* ask(int form, int device) const;
  Chosen choose_elementwise(const Run& run, int device) const;
  Chosen choose_rows(const Run& run, int device) const;
  Source source_of(Form form) const;
  void run_elementwise(const Run& run, const Chosen& chosen) const;
  void run_rows(const Run& run, const Chosen& chosen) const;
  void run_split(const Run& run, const Chosen& chosen) const;
  void run_machine_vectors(const Run& run) const;
  const Tier0Programs& machine_programs() const;

  Staged staged_;
  mutable Once machine_once_;
  mutable std::unique_ptr<Tier0Programs> machine_;
  static constexpr int kDevices = 16;
  struct Built {
    std::mutex mutex;
    Source source;
    std::atomic<int> wanted = 0;  // by how many runs
    std::atomic<const Module*> module[kDevices] = {};
  };
  mutable Built built_[kForms];
  mutable std::atomic<bool> begun_ = false;
  mutable std::atomic<bool> settled_ = true;  // all runs since it was asked had the code of their own way
};

}  // namespace plait::cuda
