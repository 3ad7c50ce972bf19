#include "backends/region.h"
namespace plait { std::unique_ptr<CompiledRegion> compile_region_cpu(RegionProgram r) { return compile_region_reference(std::move(r)); } }
