#include "backends/region.h"

namespace plait {

std::string to_string(const RegionProgram& region) {
  std::string text =
      "region rank " + std::to_string(region.rank) + ", row rank " + std::to_string(region.row_rank) + "\n";
  text += ir::to_string(region.code);
  for (const auto& out : region.outputs)
    text += "store " + std::string(name_of(out.dtype)) + " %" + std::to_string(out.value) + "\n";
  return text;
}

}  // namespace plait
