#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plait/call.h"
#include "plait/named_arrays.h"
#include "plait/transforms.h"

/// Functions as files: traced here, run by another process, in C++ or Python. docs/export.md describes the file.
namespace plait {

using NamedFunction = std::function<Arrays(const Arrays& args, const NamedArrays& named)>;

struct ExportOptions {
  /// Extents of the arguments may be others in each call; ranks and dtypes are those of the example. What the function
  /// decides by looking at an extent is checked in each call.
  bool shapeless = false;
  /// Handed out with the imported function.
  std::string metadata = {};
};

/// Runs `f` once on arguments like `args` and writes what it computes to a file. An old file of that name is replaced when the
/// new one is complete, or stays as it was.
///
/// What f reads beside its arguments is stored as it is now, the global random state included. Errors: TransformError for
/// an op that no file can hold, and inside of a trace; FileError; what `f` raises.
PLAIT_API void export_function(const std::string& path, const Function& f, const Arrays& args,
                               const ExportOptions& options = {});
PLAIT_API void export_function(const std::string& path, const NamedFunction& f, const Arrays& args,
                               const NamedArrays& named, const ExportOptions& options = {});

/// Collects several traces of one function and writes them to one file, which shares their constants.
///
/// Threads: any. Nothing is written before `close`.
class PLAIT_API FunctionExporter {
 public:
  FunctionExporter(std::string path, NamedFunction f, ExportOptions options = {});
  ~FunctionExporter();
  FunctionExporter(const FunctionExporter&) = delete;
  FunctionExporter& operator=(const FunctionExporter&) = delete;

  /// Adds a trace for arguments like these. Errors: as export_function; FileError when there is one for them already, or
  /// after `close`. What was collected before stays.
  void operator()(const Arrays& args, const NamedArrays& named = {});
  /// Writes the file; again, it does nothing. Errors: FileError.
  void close();
  /// Forgets what was collected and writes nothing; as `close` for later calls.
  void discard();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A function that a file holds. Every transform takes it: calling it makes ordinary nodes.
///
/// Ownership: copies share what was read. Threads: any.
class PLAIT_API ImportedFunction {
 public:
  /// Errors: ArgumentError that lists what the file has when no trace takes these arguments.
  Arrays operator()(const Arrays& args, const NamedArrays& named = {}) const;
  const std::string& metadata() const;
  /// The arguments that each trace takes, a line for each: "(float32(2, 3), mask=bool(3,))".
  std::vector<std::string> signatures() const;

 private:
  friend PLAIT_API ImportedFunction import_function(const std::string& path);
  friend PLAIT_API ImportedFunction import_function_from(std::span<const char> bytes);
  struct State;
  explicit ImportedFunction(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// Reads a file that export_function wrote, in full. Files may come from anywhere: one that is damaged or was made to
/// harm raises. Errors: FileError; OutOfMemory.
PLAIT_API ImportedFunction import_function(const std::string& path);
/// The same for the bytes of such a file.
PLAIT_API ImportedFunction import_function_from(std::span<const char> bytes);

/// A trace as plain data, with the extents of its example, for writers of other formats.
struct TraceListing {
  struct Value {
    std::string name;  // "A", "B", ...: unique within the trace
    Shape shape;
    DType dtype;
  };
  struct Step {
    std::string op;  // a primitive
    std::vector<Value> inputs;
    std::vector<Value> outputs;
    std::vector<std::pair<std::string, CallAttr::Value>>
        arguments;  // attributes; a number that no kind here holds is a 0-d array
  };
  std::vector<Value> inputs;  // positional ones first
  std::vector<std::pair<std::string, std::string>> named;  // argument and the value's name
  std::vector<Value> outputs;
  std::vector<std::pair<std::string, Array>> constants;
  std::vector<Step> steps;  // each after those it reads
};

/// What export_function would write for this call. Errors: as there.
PLAIT_API TraceListing list_function(const NamedFunction& f, const Arrays& args, const NamedArrays& named = {});

/// The graph of arrays that are not computed yet as text for Graphviz: boxes are operations, ellipses values; arrays that
/// are there are sources. `names`: labels for some of the arrays. Threads: any, also while others evaluate.
PLAIT_API std::string graph_to_dot(const Arrays& arrays, const std::vector<std::pair<std::string, Array>>& names = {});

}  // namespace plait
