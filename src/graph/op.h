#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir.h"
#include "graph/node.h"

/// Definitions of primitives and of the public functions made from them. docs/adding_an_op.md is a tutorial.
namespace plait {

/// An alias computes nothing: its outputs are its last inputs, in order. Those before them are for its rules, or come
/// first (`OpDef::barrier`).
enum class OpKind : uint8_t { elementwise, reduction, view, opaque, control, constant, placeholder, alias };

/// Gradients in input order; an undefined Array means zero.
using Grads = SmallVector<Array, 2>;

struct VjpArgs {
  const Node& node;
  std::span<const Array> cotangents;  // per output; undefined where zero, for aliases and control flow
  std::span<const bool> needed;       // per input: whether its gradient is asked for
  uint64_t level = 0;                 // of the trace that is differentiated

  const Array& input(int i) const { return node.inputs[i]; }
  Array output(int i = 0) const;
  const Array& cotangent(int i = 0) const { return cotangents[i]; }
  const Shape& input_shape(int i) const { return node.inputs[i].shape(); }
  DType input_dtype(int i) const { return node.inputs[i].dtype(); }
};

struct JvpArgs {
  std::span<const Array> inputs;    // primals
  std::span<const Array> tangents;  // per input; undefined means zero
  std::span<const Array> outputs;   // primals out
  uint64_t level = 0;               // of the trace that is differentiated
  const Array& input(int i) const { return inputs[i]; }
  const Array& tangent(int i) const { return tangents[i]; }
  const Array& output(int i = 0) const { return outputs[i]; }
};

inline constexpr int kUnbatched = -1;

struct VmapArgs {
  std::span<const Array> inputs;  // batched where axes[i] >= 0
  std::span<const int> axes;      // position of the batch axis, or kUnbatched
  Dim size;                       // of the batch
};
struct VmapResult {
  Arrays outputs;
  SmallVector<int, 2> axes;
};

/// How a view finds its elements: the layout of the output over the input's memory, or false when strides cannot
/// express it (the engine then copies the input to row-major first, where it always succeeds).
struct ViewLayout {
  int64_t offset = 0;  // elements, relative to the input's
  Strides strides;
};

/// What a step of kind `control` is given: memory of its inputs, and where that of its outputs goes.
struct ControlArgs {
  std::span<Storage> inputs;   // may be moved from; what nobody needs after the step is held by these alone
  std::span<Storage> outputs;  // one for each output of the node, empty before
  uint32_t place = 0;          // where the node was put: a stream of a device, 0 for the CPU
};

struct InputSpec {
  std::string name;
  DTypes dtypes = dtypes::any;
  std::string doc;
};

/// A public function of plait.core: what users call. Signature text is Python's; the C++ declaration, the binding, the
/// stub and the reference page are generated from it.
struct FunctionDef {
  std::string name;
  std::string module;     // "core", "core.random", ...
  std::string family;     // folder of the op file: elementwise, reduce, view, ...
  std::string signature;  // "(a: array, /, *, stream: StreamOrDevice = None) -> array"
  std::string method;     // signature as a method of array without self, or empty
  std::vector<std::string> aliases;
  std::string summary;
  std::string details;  // shapes, dtypes, errors, source
  std::string oracle;   // Python expression over the parameters' names; np, scipy at hand
  struct Sample {
    std::string inputs;   // Python: "(4, 9), (4, 3)" shapes, or "[-1.0, 2.0]" values
    std::string keywords; // "axis=1"
    std::string error;    // not empty: the exception type that must come
  };
  std::vector<Sample> samples;
  std::string domain;      // Python pair: where random inputs lie, "(-0.9, 0.9)"
  std::string primitive;   // the primitive behind it when it has its name and nothing else, or empty
  bool generated = false;  // the C++ definition is generated too (elementwise functions)
  std::string differentiable = "yes";  // or the reason why not
};

/// Where a described field lies in its attribute struct.
struct AttrPlace {
  size_t offset, size, align;
};

/// A primitive. All that the engine, the transforms and the tools need to know.
struct OpDef {
  std::string name;
  uint32_t id = 0;
  OpKind kind = OpKind::opaque;
  std::string summary;
  std::string file;
  std::vector<InputSpec> inputs;
  bool variadic = false;  // the last input repeats
  AttrFields attrs;
  std::vector<AttrPlace> attr_places;  // of `attrs`, in their order
  size_t attrs_size = 0, attrs_align = 1;
  std::function<Ref<AttrsBase>()> default_attrs;
  int version = 1;        // counts changes of what the op computes: exported files name the one they were made with
  std::string no_export;  // reason why no file can hold this op
  bool effect = false;  // neither merged nor dropped
  bool barrier = false;  // alias: its outputs are there once all of its inputs are computed

  /// Shapes and dtypes of the outputs.
  std::function<Avals(const AttrsBase*, std::span<const Aval>)> infer;

  /// What the public function makes sure of before it makes a node, and inference and kernels rely on: null when it holds
  /// for these attributes and operands, else what is accepted. For operands from a file (check_operands). Extents are
  /// compared as `Dim`s, so that a trace notes what it found.
  std::function<const char*(const AttrsBase*, std::span<const Aval>)> check;

  // Elementwise: what happens to operands before the primitive (graph/elementwise.h).
  bool floats = false;  // integers and bool become float32
  bool mixed = false;  // operands keep their own dtypes
  std::function<DType(DType)> result;  // result dtype from the operands' common one; empty: the same

  // Lowering, by kind.
  /// elementwise: the formula, operands in their compute types; `out` is the node's output dtype.
  std::function<ir::Val(ir::Builder&, std::span<const ir::Val>, const AttrsBase*, DType out)> lower;
  /// reduction: the instruction; `reduced_axes` gives the axes (sorted, non-negative), `keepdims` whether they stay as 1.
  ir::Op reduce = ir::Op::count_;
  /// view: see ViewLayout.
  std::function<bool(const AttrsBase*, const Aval& in, const Strides&, const Aval& out, ViewLayout&)> view;

  /// control: runs the programs that its attributes hold, on the thread that evaluates.
  std::function<void(const Node&, const ControlArgs&)> run;

  // Rules. An empty one is a declared gap only if the reason is given.
  std::function<Grads(const AttrsBase*, const VjpArgs&)> vjp;
  std::function<Arrays(const AttrsBase*, const JvpArgs&)> jvp;
  std::function<VmapResult(const AttrsBase*, const VmapArgs&)> vmap;
  std::string not_differentiable;  // reason; gradients are zero
  std::string no_vmap;  // reason; an error

  template <class A>
  Array operator()(A attrs, SmallVector<Array, 2> in) const {
    return make(*this, std::move(attrs), std::move(in));
  }
  Array operator()(SmallVector<Array, 2> in) const { return make(*this, Ref<AttrsBase>(), std::move(in)); }
};

/// Throws unless the op can be applied to these operands without trusting whoever asks for it: their number and dtypes are
/// the declared ones, and `check` holds. Errors: ArgumentError; TransformError for an op that has no check.
void check_operands(const OpDef& op, const AttrsBase* attrs, std::span<const Aval> in);
/// Whether every member of the attribute struct is a described field, so that the fields say all about a node.
bool attrs_described(const OpDef& op);

/// Attributes of every reduction primitive.
struct ReduceAttrs {
  std::vector<int> axes;  // sorted, non-negative; empty reduces nothing
  bool keepdims = false;
  bool operator==(const ReduceAttrs&) const = default;
};

}  // namespace plait
