#pragma once

#include "engine/fuse.h"
#include "engine/plan.h"

/// Checks between the steps of planning. On in debug builds and where PLAIT_VERIFY=1 (the tests set it).
namespace plait::engine {

bool verifying();

/// Errors: InternalError that names the broken rule.
void verify_regions(const Graph& graph, const Regions& regions);
void verify_program(const RegionProgram& program);
void verify_plan(const Graph& graph, const Plan& plan);

/// Prints `text` to stderr when PLAIT_DUMP names this stage ("regions_formed", "lowered", "planned", or "all").
bool dumping(const char* stage);
void dump(const char* stage, const std::string& text);

}  // namespace plait::engine
