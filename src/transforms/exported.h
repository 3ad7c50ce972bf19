#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/dims.h"
#include "graph/op.h"
#include "transforms/program.h"

/// Traced functions as files hold them: what src/transforms/export_write.cpp writes and export_read.cpp reads.
namespace plait {

struct ExportedBody;

/// One node of a trace, or of a program that an attribute holds.
struct ExportedStep {
  const OpDef* op = nullptr;
  Ref<AttrsBase> attrs;
  std::vector<Program::Link> inputs;  // a constant's number is one of the whole file
  std::vector<std::shared_ptr<const ExportedBody>> bodies;  // of its fields of type "program", in their order
};

/// A program that an attribute holds: of its inputs and nothing else. Its extents are expressions of the trace.
struct ExportedBody {
  std::vector<Aval> inputs;
  std::vector<ExportedStep> steps;
  std::vector<Program::Link> results;
};

/// One trace. Extents in attributes are expressions of `record`, where it has any.
struct ExportedTrace {
  using Link = Program::Link;
  using Step = ExportedStep;

  uint32_t positional = 0;
  std::vector<std::string> keywords;  // sorted; their inputs follow the positional ones
  bool shapeless = false;             // ranks are given, extents are not
  std::vector<Aval> inputs;           // of the example it was traced with
  DimScope::Record record;            // variables are the extents of the inputs, in order
  std::vector<Step> steps;            // inputs of a step come before it
  std::vector<Link> results;
  std::vector<Aval> outputs;          // what the example gave

  size_t input_count() const { return positional + keywords.size(); }
};

/// Everything in one file.
struct ExportedFunction {
  std::string version;  // of the plait that wrote it
  std::string metadata;
  Arrays constants;
  std::vector<ExportedTrace> traces;
};

/// Numbers the constants of a function's traces, each once.
class ConstantTable {
 public:
  explicit ConstantTable(Arrays& into);
  uint32_t number(const Array& a);

 private:
  Arrays& arrays_;
  std::unordered_map<const Node*, std::vector<std::pair<uint32_t, uint32_t>>> known_;  // node -> (output, number)
};

/// The program in this form; without `shapeless` its extents are those of the example.
/// Errors: TransformError for an op that no file can hold.
ExportedTrace exported(const Program& program, std::vector<std::string> keywords, bool shapeless,
                       ConstantTable& constants);

/// What the trace has against these inputs, for people; "" when it takes them. Looks at ranks, dtypes and extents.
std::string why_not(const ExportedTrace& trace, const Arrays& inputs);

/// The results for other inputs, made of ordinary nodes. Trusts nothing: every op checks its operands and infers their
/// results anew. Errors: whatever an op has against its operands; ArgumentError where a guard does not hold.
Arrays run(const ExportedTrace& trace, const Arrays& constants, const Arrays& inputs);

/// Most programs inside of each other.
inline constexpr int kMaxExportedDepth = 16;

/// Most axes of an array in a file.
inline constexpr size_t kMaxExportedRank = 64;

}  // namespace plait
