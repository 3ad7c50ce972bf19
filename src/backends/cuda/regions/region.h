// A region's two tiers, and which one a run takes.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "backends/cuda/regions/module.h"
#include "backends/cuda/regions/space.h"
#include "backends/cuda/regions/staged.h"
#include "backends/cuda/regions/tier0.h"
#include "backends/region.h"

namespace plait::cuda {

enum class Tier : uint8_t { automatic, zero, one };

class CudaRegion final : public CompiledRegion {
 public:
  explicit CudaRegion(RegionProgram program);
  void run(const RegionBinding& binding) const override;

  Tier tier;  // PLAIT_CUDA_TIER, or as a test wants
  bool always_split = false;  // for tests: as if rows were long
  /// Whether code for this device took over, for one way of going over the elements at least.
  bool built(int device) const;

 private:
  enum class Family : uint8_t { elementwise, rows, split, count_ };
  struct Run;
  const Module* module(Family family, int device) const;
  void run_elementwise(const Run& run, const Module& module) const;
  void run_short_rows(const Run& run, const Module& module) const;
  void run_split(const Run& run, const Module* module) const;
  void run_machine_vectors(const Run& run) const;
  const Tier0Programs& machine_programs() const;

  Staged staged_;
  mutable std::once_flag machine_once_;
  mutable std::unique_ptr<Tier0Programs> machine_;
  static constexpr int kDevices = 16;
  struct Built {
    std::mutex mutex;
    Source source;
    std::atomic<const Module*> module[kDevices] = {};
  };
  mutable Built built_[static_cast<int>(Family::count_)];
};

}  // namespace plait::cuda
