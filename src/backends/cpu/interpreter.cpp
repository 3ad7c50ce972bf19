#include "backends/cpu/interpreter.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/jit/assemble.h"

namespace plait::cpu {

CpuRegion::CpuRegion(RegionProgram p) : program(std::move(p)), kernels(tile_kernels()) {
  lower_program(*this);
  for (const Node& node : nodes) scalar_slots += node.level == ir::Level::scalar && node.kind != Node::Kind::constant;
  constant_memory = std::make_unique<char[]>((constants.size() + 1) * 64);
  for (const Node& node : nodes) {
    if (node.kind != Node::Kind::constant) continue;
    char* at = const_cast<char*>(constant_at(node.index));
    const size_t width = size_t{1} << kLogWidth[static_cast<int>(node.dtype)];
    for (size_t i = 0; i < 64; i += width) std::memcpy(at + i, &constants[node.index], width);
  }
}

const char* CpuRegion::constant_at(int index) const {
  const uintptr_t base = (reinterpret_cast<uintptr_t>(constant_memory.get()) + 63) & ~uintptr_t{63};
  return reinterpret_cast<const char*>(base) + int64_t{index} * 64;
}

const Schedule& CpuRegion::schedule(Layout layout, bool buffered, bool assembled) const {
  Lazy& lazy = schedules_[static_cast<int>(layout)][buffered][assembled];
  lazy.once.run([&] {
    try {
      lazy.schedule = make_schedule(*this, layout, buffered, assembled);
    } catch (const jit::NoExecutableMemory&) {
      lazy.schedule = make_schedule(*this, layout, buffered, false);
    }
  });
  return lazy.schedule;
}

const char* CpuRegion::how() const { return worth_assembling(0) ? "assembled" : "interpreted"; }

bool CpuRegion::worth_assembling(int64_t elements) const {
  constexpr int64_t kWorth = 1 << 20;  // assembling takes as long as about so many elements times instructions
  if (assembling != Assembling::automatic || !jit::available())
    return assembling == Assembling::always && jit::available();
  if (jit::always()) return true;
  if (work_.load(std::memory_order_relaxed) >= kWorth) return true;
  const int64_t added = std::min(elements, kWorth) * static_cast<int64_t>(program.code.size());
  return work_.fetch_add(added, std::memory_order_relaxed) + added >= kWorth;
}

void CpuRegion::run(const RegionBinding& binding) const {
  if (program.row_rank == 0)
    run_elementwise(*this, binding);
  else
    run_rows(*this, binding);
}

}  // namespace plait::cpu

namespace plait {

std::unique_ptr<CompiledRegion> compile_region_cpu(RegionProgram region) {
  return std::make_unique<cpu::CpuRegion>(std::move(region));
}

}  // namespace plait
