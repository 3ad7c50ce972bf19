// Kernels that users write, as primitives: their text is an attribute, what they compute is not known here.
#include "backends/custom_kernel.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "backends/device_library.h"
#include "ops/prelude.h"
#include "plait/custom_kernel.h"
#include "plait/stream.h"

namespace plait {
namespace {

/// What a launch needs beside memory. Extents are bound: a new shape or grid makes no new plan.
struct CustomKernelAttrs {
  std::string name;
  std::string text;  // or machine code
  std::vector<int64_t> described;  // per input: whether its shape and strides are parameters
  std::vector<int64_t> ranks, dtypes;  // of the outputs
  Shape shapes;  // of the outputs, one behind another
  Shape launch;  // grid and threadgroup
  int64_t shared_memory = 0;
  bool initialized = false;
  Scalar init_value;
  std::vector<int64_t> scalar_kinds;  // of a precompiled kernel
  Shape scalars;  // their bits
};

Avals infer_custom_kernel(const CustomKernelAttrs& attrs, std::span<const Aval>) {
  Avals out;
  auto extent = attrs.shapes.begin();
  for (size_t i = 0; i < attrs.ranks.size(); ++i) {
    Aval aval{{}, static_cast<DType>(attrs.dtypes[i])};
    for (int64_t k = 0; k < attrs.ranks[i]; ++k) aval.shape.push_back(*extent++);
    out.push_back(std::move(aval));
  }
  return out;
}

[[noreturn]] void reject(std::string op, std::string got, std::string accepts, std::string hint = "") {
  throw ArgumentError({.op = std::move(op),
                       .got = std::move(got),
                       .accepts = std::move(accepts),
                       .hint = std::move(hint),
                       .where = here()});
}

bool is_name(std::string_view text) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; };
  return !text.empty() && letter(text[0]) && !text.starts_with("plait_") &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || std::isdigit(static_cast<unsigned char>(c)); });
}

/// `op` names the function and the kernel: "cuda_kernel 'myexp'".
std::string named(const char* function, const std::string& name) { return std::string(function) + " '" + name + "'"; }

void check_names(const std::string& op, const std::vector<std::string>& names, std::unordered_set<std::string>& taken) {
  for (const std::string& name : names) {
    if (!is_name(name))
      reject(op, "the name '" + name + "'", "names of C++: letters, digits and _, that do not begin with plait_");
    if (!taken.insert(name).second) reject(op, "two things named '" + name + "'", "a name for each");
  }
}

/// Counts and extents of a call that has `inputs` and `outputs` names, where these are known.
void check_call(const std::string& op, const fast::KernelCall& call, std::optional<size_t> inputs,
                std::optional<size_t> outputs) {
  if (inputs && call.inputs.size() != *inputs)
    reject(op, std::to_string(call.inputs.size()) + " inputs", std::to_string(*inputs) + ", one for each input name");
  if (call.output_shapes.size() != call.output_dtypes.size())
    reject(op,
           std::to_string(call.output_shapes.size()) + " output shapes and " +
               std::to_string(call.output_dtypes.size()) + " output dtypes",
           "as many of both");
  if (outputs && call.output_shapes.size() != *outputs)
    reject(op, std::to_string(call.output_shapes.size()) + " output shapes",
           std::to_string(*outputs) + ", one for each output name");
  for (const Shape& shape : call.output_shapes)
    for (const Dim& d : shape)
      if (d < 0) reject(op, "the output shape " + to_string(shape), "extents of 0 or more");
  if (call.init_value && call.init_value->kind == Scalar::Kind::complex)
    for (const DType d : call.output_dtypes)
      if (d != DType::complex64)
        reject(op, "a complex init_value for an output of " + std::string(name_of(d)), "a real one");
  const auto text = [](const std::array<Dim, 3>& a) { return to_string(Shape{a[0], a[1], a[2]}); };
  for (const Dim& d : call.grid)
    if (d < 0) reject(op, "the grid " + text(call.grid), "three counts of threads, 0 or more");
  constexpr int64_t kMost = int64_t{1} << 62;
  if (call.grid[0] * call.grid[1] * call.grid[2] > Dim(kMost))
    reject(op, "the grid " + text(call.grid), "up to 2^62 threads");
  for (const Dim& d : call.threadgroup)
    if (d < 1) reject(op, "the threadgroup " + text(call.threadgroup), "three counts of threads, 1 or more");
  if (call.threadgroup[0] * call.threadgroup[1] * call.threadgroup[2] > Dim(kMost))
    reject(op, "the threadgroup " + text(call.threadgroup), "up to 2^62 threads");
}

CustomKernelAttrs attrs_of(std::string name, std::string text, const fast::KernelCall& call) {
  CustomKernelAttrs attrs;
  attrs.name = std::move(name);
  attrs.text = std::move(text);
  for (size_t i = 0; i < call.output_shapes.size(); ++i) {
    attrs.ranks.push_back(call.output_shapes[i].rank());
    attrs.dtypes.push_back(static_cast<int64_t>(call.output_dtypes[i]));
    for (const Dim& d : call.output_shapes[i]) attrs.shapes.push_back(d);
  }
  for (const auto& three : {call.grid, call.threadgroup})
    for (const Dim& d : three) attrs.launch.push_back(d);
  attrs.initialized = call.init_value.has_value();
  if (call.init_value) attrs.init_value = *call.init_value;
  return attrs;
}

Arrays apply(const OpDef& op, CustomKernelAttrs attrs, const Arrays& inputs, bool row_major) {
  SmallVector<Array, 2> in;
  for (const Array& a : inputs) in.push_back(row_major ? contiguous(a, false) : a);
  return make_all(op, Ref<AttrsBase>::adopt(new AttrsBox<CustomKernelAttrs>(std::move(attrs))), std::move(in));
}

/// Simulated devices run no CUDA code.
bool has_cuda() {
  const DeviceBackend* const backend = device_backend();
  return backend && backend->name() == "cuda" && is_available({DeviceType::gpu, 0});
}

/// A stream of the kind of device that a kernel runs on: the current one, or that kind's own where it is of another kind.
Stream stream_for(const std::string& op, DeviceType type) {
  if (type == DeviceType::gpu && !has_cuda())
    throw DeviceError({.op = op,
                       .got = "a machine without an NVIDIA GPU that plait can use",
                       .accepts = "an NVIDIA GPU, and plait's CUDA backend",
                       .hint = "fast.cpu_kernel compiles C++ for the CPU",
                       .where = here()});
  const Device now = default_device();
  return default_stream(now.type == type ? now : Device{type, 0});
}

const char* const kRules = "custom_function, which gives a kernel its derivatives and batches";
const char* const kNoFile = "its source would be compiled and run wherever the file is read";

void define(OpRegistry& ops, const char* name, const char* summary) {
  ops.opaque<CustomKernelAttrs>(name)
      .summary(summary)
      .input("inputs")
      .variadic()
      .attr("name", &CustomKernelAttrs::name, "for messages")
      .attr("text", &CustomKernelAttrs::text, "source or machine code")
      .attr("described", &CustomKernelAttrs::described, "inputs whose shape and strides are parameters")
      .attr("ranks", &CustomKernelAttrs::ranks, "of the outputs")
      .attr("dtypes", &CustomKernelAttrs::dtypes, "of the outputs")
      .attr("shapes", &CustomKernelAttrs::shapes, "of the outputs, one behind another")
      .attr("launch", &CustomKernelAttrs::launch, "the grid and the threadgroup, in threads")
      .attr("shared_memory", &CustomKernelAttrs::shared_memory, "bytes of dynamic shared memory")
      .attr("initialized", &CustomKernelAttrs::initialized, "whether outputs hold init_value before")
      .attr("init_value", &CustomKernelAttrs::init_value, "what outputs hold before")
      .attr("scalar_kinds", &CustomKernelAttrs::scalar_kinds, "bytes of each scalar parameter")
      .attr("scalars", &CustomKernelAttrs::scalars, "bits of each scalar parameter")
      .infer(infer_custom_kernel)
      .no_export(kNoFile)
      .no_vmap(kRules);
}

}  // namespace

namespace fast {

struct CustomKernel::Definition {
  CustomLanguage language;
  KernelSource source;
  std::string op;  // for messages

  CustomKernelText text_of(const KernelCall& call) const {
    check_call(op, call, source.input_names.size(), source.output_names.size());
    CustomKernelText text{.name = source.name, .body = source.body, .header = source.header};
    std::unordered_set<std::string> taken;
    std::vector<std::string> names = source.input_names;
    names.insert(names.end(), source.output_names.begin(), source.output_names.end());
    for (const auto& [name, value] : call.values) {
      names.push_back(name);
      text.values.emplace_back(name, value);
    }
    check_names(op, names, taken);
    for (size_t i = 0; i < call.inputs.size(); ++i)
      text.inputs.push_back({source.input_names[i], call.inputs[i].dtype(), call.inputs[i].rank()});
    for (size_t i = 0; i < call.output_dtypes.size(); ++i)
      text.outputs.push_back({source.output_names[i], call.output_dtypes[i], call.output_shapes[i].rank()});
    return text;
  }
};

Arrays CustomKernel::operator()(const KernelCall& call) const {
  static const OpHandle cpu("cpu_kernel"), cuda("cuda_kernel");
  const bool on_cpu = definition_->language == CustomLanguage::cpp;
  const StreamScope on(stream_for(definition_->op, on_cpu ? DeviceType::cpu : DeviceType::gpu));
  const CustomKernelText text = definition_->text_of(call);
  CustomKernelAttrs attrs = attrs_of(definition_->source.name, custom_kernel_text(definition_->language, text), call);
  attrs.described = described_inputs(text);
  attrs.shared_memory = definition_->source.shared_memory;
  return apply(on_cpu ? *cpu : *cuda, std::move(attrs), call.inputs, definition_->source.ensure_row_contiguous);
}

std::string CustomKernel::text(const KernelCall& call) const {
  return custom_kernel_text(definition_->language, definition_->text_of(call));
}

namespace {

CustomKernel defined(const char* function, CustomLanguage language, KernelSource source) {
  const std::string op = named(function, source.name);
  const CustomKernel::Definition definition{language, std::move(source), op};
  const KernelSource& given = definition.source;
  if (given.name.empty()) reject(function, "a kernel without a name", "a name");
  if (given.output_names.empty()) reject(definition.op, "no output names", "at least one output");
  if (given.shared_memory < 0)
    reject(definition.op, std::to_string(given.shared_memory) + " bytes of shared memory", "0 or more");
  std::unordered_set<std::string> taken;
  check_names(definition.op, given.input_names, taken);
  check_names(definition.op, given.output_names, taken);
  return CustomKernel(std::make_shared<const CustomKernel::Definition>(definition));
}

}  // namespace

CustomKernel cpu_kernel(KernelSource source) { return defined("cpu_kernel", CustomLanguage::cpp, std::move(source)); }

CustomKernel cuda_kernel(KernelSource source) {
  CustomKernel made = defined("cuda_kernel", CustomLanguage::cuda, std::move(source));
  stream_for("cuda_kernel", DeviceType::gpu);
  return made;
}

Arrays precompiled_cuda_kernel(std::string name, std::string image, const KernelCall& call,
                               const std::vector<Scalar>& scalars, int64_t shared_memory, bool ensure_row_contiguous) {
  static const OpHandle op_handle("precompiled_cuda_kernel");
  const std::string op = named("precompiled_cuda_kernel", name);
  const StreamScope on(stream_for(op, DeviceType::gpu));
  check_call(op, call, std::nullopt, std::nullopt);
  if (name.empty() || image.empty())
    reject(op, "no name or no code", "the name of a function, and PTX or cubin that has it");
  if (call.output_shapes.empty()) reject(op, "no outputs", "at least one output");
  if (shared_memory < 0) reject(op, std::to_string(shared_memory) + " bytes of shared memory", "0 or more");
  CustomKernelAttrs attrs = attrs_of(std::move(name), std::move(image), call);
  attrs.described.assign(call.inputs.size(), 0);
  attrs.shared_memory = shared_memory;
  for (const Scalar& s : scalars) {
    if (s.kind == Scalar::Kind::complex) reject(op, "a complex scalar", "bool, int and float");
    const bool small = s.kind == Scalar::Kind::integer && !s.is_unsigned && s.i == static_cast<int32_t>(s.i);
    const DType as = s.kind == Scalar::Kind::boolean    ? DType::bool_
                     : s.kind == Scalar::Kind::floating ? DType::float32
                     : small                            ? DType::int32
                                                        : DType::int64;
    attrs.scalar_kinds.push_back(size_of(as));
    attrs.scalars.push_back(static_cast<int64_t>(ScalarBits::of(s, as).bits));
  }
  return apply(*op_handle, std::move(attrs), call.inputs, ensure_row_contiguous);
}

}  // namespace fast

void register_custom_kernel(OpRegistry& ops) {
  define(ops, "cpu_kernel", "A kernel of the user's in C++, for the CPU.");
  define(ops, "cuda_kernel", "A kernel of the user's in CUDA C++.");
  define(ops, "precompiled_cuda_kernel", "A kernel of the user's as PTX or cubin.");
  ops.function("cpu_kernel")
      .module("core.fast")
      .signature(
          "(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str = '', ensure_row_contiguous: bool = True) -> Callable[..., list[array]]")
      .summary("A kernel for the CPU from the body of a function in C++20, compiled when it is first run.")
      .details(
          "It is called as kernel(inputs=..., output_shapes=..., output_dtypes=..., grid=(x, y, z), threadgroup=(x, y, z), template=None, init_value=None, verbose=False, stream=None), by keyword, and gives a list of the outputs. The body runs once for each thread of the grid and sees inputs and outputs by their names, as pointers; see docs/custom_kernels.md.\n"
          "The compiler is the one that PLAIT_CXX names, or the first of c++, g++ and clang++ on the PATH. Errors: ValueError for names, counts and extents that do not fit, and with the compiler's messages; RuntimeError where there is no compiler, or it is ended before it is done; TransformError for derivatives and batches, to which custom_function gives rules.")
      .not_differentiable("its source says nothing of derivatives: custom_function gives them");
  ops.function("cuda_kernel")
      .module("core.fast")
      .signature(
          "(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str = '', ensure_row_contiguous: bool = True, shared_memory: int = 0) -> Callable[..., list[array]]")
      .summary("A kernel for NVIDIA GPUs from the body of a function in CUDA C++, compiled when it is first run.")
      .details(
          "Called as a kernel of cpu_kernel. shared_memory: bytes of dynamic shared memory. The grid counts threads; those of the last threadgroups that are behind its end return at once. Errors: as cpu_kernel, with the messages of NVRTC; RuntimeError where there is no NVIDIA GPU.")
      .not_differentiable("its source says nothing of derivatives: custom_function gives them");
  ops.function("metal_kernel")
      .module("core.fast")
      .signature(
          "(name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str = '', ensure_row_contiguous: bool = True, atomic_outputs: bool = False, compile_options: object | None = None) -> Callable[..., list[array]]")
      .summary("A kernel for Apple's GPUs: it can be made here, and a call of it raises.")
      .details(
          "Errors: RuntimeError at the call: Metal is part of macOS. cuda_kernel and cpu_kernel are called in the same way.")
      .not_differentiable("it does not run here");
  ops.function("precompiled_cuda_kernel")
      .module("core.fast")
      .signature(
          "(*, name: str, compiled_source: bytes, inputs: Sequence[scalar | array], output_shapes: Sequence[Sequence[int]], output_dtypes: Sequence[Dtype], scalars: Sequence[bool | int | float], grid: tuple[int, int, int], threadgroup: tuple[int, int, int], shared_memory: int = 0, init_value: float | None = None, ensure_row_contiguous: bool = False, stream: StreamOrDevice = None) -> list[array]")
      .summary("Runs a function of PTX or cubin on an NVIDIA GPU; a list of the outputs.")
      .details(
          "The parameters of the function are pointers to the inputs, pointers to the outputs, and the scalars: bool, int (long long where it needs one), float. The grid counts threads, rounded up to whole blocks of min(threadgroup, grid) threads, all of which run. Errors: ValueError for counts and extents that do not fit; RuntimeError for code that the driver does not load, and where there is no NVIDIA GPU.")
      .not_differentiable("its code says nothing of derivatives: custom_function gives them");
}

}  // namespace plait
