// Matrix products, of one row by a kernel of our own (matvec.h), else by cuBLASLt: strides become transposes and leading dimensions,
// copies are made of the rest only.
#include <bit>
#include <mutex>
#include <optional>
#include <tuple>

#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/matmul_plain.h"
#include "backends/cuda/kernels/matvec.h"
#include "backends/cuda/kernels/plan_cache.h"
#include "backends/cuda/kernels/prepare.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/libraries/cublaslt.h"

namespace plait::cuda {
namespace {

/// A matrix as the library sees it: columns one behind the other, `stride` apart, perhaps of its transpose.
struct Layout {
  bool transposed = false;
  int64_t stride = 0;
  auto operator<=>(const Layout&) const = default;
};

/// Of `rows` times `columns` elements. Nothing where neither neighbouring rows nor neighbouring columns lie together.
std::optional<Layout> layout_of(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  const auto lies = [](int64_t n, int64_t step, int64_t others, int64_t stride) {
    return (n == 1 || step == 1) && (others == 1 || stride >= n);
  };
  if (lies(rows, row, columns, column)) return Layout{false, columns == 1 ? rows : column};
  if (lies(columns, column, rows, row)) return Layout{true, rows == 1 ? columns : row};
  return std::nullopt;
}

// The product is made as its transpose, whose columns lie together: (n, k) times (k, m).
std::optional<Layout> layout_of_b(const Product& p) { return layout_of(p.n, p.k, p.b.column, p.b.row); }
std::optional<Layout> layout_of_a(const Product& p) { return layout_of(p.k, p.m, p.a.column, p.a.row); }

/// What is added to a product on the way: nothing, one row to all of its rows, a matrix.
enum class Addend : uint8_t { none, row, matrix };

struct Key {
  int device;
  DType dtype;
  int64_t m, n, k, batch;
  Layout a, b;
  int64_t a_batch, b_batch, out_batch, out_row;
  uint32_t a_alignment, b_alignment, out_alignment;
  Addend addend = Addend::none;
  int64_t c_stride = 0;
  uint32_t c_alignment = 256;
  auto operator<=>(const Key&) const = default;
};

/// What all products of one key share.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  mutable std::mutex mutex;  // held from the setting of the row that is added to the call
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  bool found = false;  // whether the library has an algorithm

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    const CublasLt& lt = CublasLt::get();
    for (const auto layout : {a, b, c, out})
      if (layout) lt.MatrixLayoutDestroy(layout);
    if (operation) lt.MatmulDescDestroy(operation);
  }
};

struct Types {
  cudaDataType element, scale;
  cublasComputeType_t compute;
};

Types types_of(DType d) {
  switch (d) {
    case DType::float16: return {CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case DType::bfloat16: return {CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case DType::float64: return {CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F};
    case DType::complex64: return {CUDA_C_32F, CUDA_C_32F, CUBLAS_COMPUTE_32F};
    default: return {CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};  // not TF32
  }
}

cublasLtMatrixLayout_t make_layout(cudaDataType type, int64_t rows, int64_t columns, const Layout& layout,
                                   int64_t batch, int64_t batch_stride) {
  const CublasLt& lt = CublasLt::get();
  cublasLtMatrixLayout_t made = nullptr;
  if (layout.transposed) std::swap(rows, columns);
  check_cublaslt(
      lt.MatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), layout.stride),
      "matmul");
  const auto count = static_cast<int32_t>(batch);
  lt.MatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count));
  lt.MatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride, sizeof(batch_stride));
  return made;
}

void set_row(const Plan& plan, const void* row) {
  check_cublaslt(
      CublasLt::get().MatmulDescSetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &row, sizeof(row)),
      "addmm");
}

std::shared_ptr<const Plan> make_plan(const Key& key, const Product& p) {
  constexpr uint64_t kMostWorkspace = 32 << 20;
  const CublasLt& lt = CublasLt::get();
  const Types types = types_of(key.dtype);
  auto plan = std::make_shared<Plan>();
  check_cublaslt(lt.MatmulDescCreate(&plan->operation, types.compute, types.scale), "matmul");
  const auto transposition = [&](cublasLtMatmulDescAttributes_t which, bool transposed) {
    const cublasOperation_t operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_cublaslt(lt.MatmulDescSetAttribute(plan->operation, which, &operation, sizeof(operation)), "matmul");
  };
  transposition(CUBLASLT_MATMUL_DESC_TRANSA, key.b.transposed);
  transposition(CUBLASLT_MATMUL_DESC_TRANSB, key.a.transposed);
  plan->b = make_layout(types.element, key.n, key.k, key.b, key.batch, key.b_batch);
  plan->a = make_layout(types.element, key.k, key.m, key.a, key.batch, key.a_batch);
  plan->out = make_layout(types.element, key.n, key.m, {false, key.out_row}, key.batch, key.out_batch);
  plan->c = make_layout(types.element, key.n, key.m, {false, key.addend == Addend::matrix ? key.c_stride : key.out_row},
                        key.batch, key.out_batch);
  if (key.addend == Addend::row) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    check_cublaslt(
        lt.MatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)),
        "addmm");
    set_row(*plan, p.c.data);  // whose alignment is looked at
  }

  cublasLtMatmulPreference_t preference = nullptr;
  check_cublaslt(lt.MatmulPreferenceCreate(&preference), "matmul");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
    lt.MatmulPreferenceSetAttribute(preference, which, &value, sizeof(value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
  // Parts of a sum are kept in what is computed in, and added in one order.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
         key.addend == Addend::matrix ? key.c_alignment : key.out_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = lt.MatmulAlgoGetHeuristic(cublaslt_handle(key.device), plan->operation, plan->b,
                                                          plan->a, plan->c, plan->out, preference, 1, &result, &found);
  lt.MatmulPreferenceDestroy(preference);
  if (status == CUBLAS_STATUS_SUCCESS && found == 1 && result.state == CUBLAS_STATUS_SUCCESS) {
    plan->found = true;
    plan->algorithm = result.algo;
    plan->workspace = result.workspaceSize;
  }
  return plan;
}

uint32_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return address % 256 == 0 ? 256 : 1u << std::countr_zero(address);
}

Addend addend_of(const Product& p) {
  if (!p.c.data) return Addend::none;
  const bool dense = p.c.column == 1 || p.n == 1;
  const bool real = p.dtype != DType::float64 && p.dtype != DType::complex64;  // the library adds rows of these only
  if (dense && real && (p.c.row == 0 || p.m == 1)) return Addend::row;
  return Addend::matrix;
}

// Makes c a matrix of the library's, in the place of the product where it is none.
void spread_addend(Work& work, Product& p) {
  if (p.batch == 1 && (p.c.column == 1 || p.n == 1) && (p.c.row >= p.n || p.m == 1)) {
    if (p.m == 1) p.c.row = p.n;
    return;
  }
  const int64_t shape[] = {p.batch, p.m, p.n}, to[] = {p.out_batch, p.n, 1}, from[] = {p.c.batch, p.c.row, p.c.column};
  copy_strided(work, p.out, to, p.c.data, from, shape, size_of(p.dtype));
  p.c = {p.out, p.n, 1, p.out_batch};
}

Key key_of(int device, const Product& p, Addend addend) {
  return {.device = device,
          .dtype = p.dtype,
          .m = p.m,
          .n = p.n,
          .k = p.k,
          .batch = p.batch,
          .a = *layout_of_a(p),
          .b = *layout_of_b(p),
          .a_batch = p.a.batch,
          .b_batch = p.b.batch,
          .out_batch = p.out_batch,
          .out_row = p.out_row == 0 ? p.n : p.out_row,
          .a_alignment = alignment_of(p.a.data),
          .b_alignment = alignment_of(p.b.data),
          .out_alignment = alignment_of(p.out),
          .addend = addend,
          .c_stride = addend == Addend::matrix ? p.c.row : 0,
          .c_alignment = addend == Addend::none ? 256 : alignment_of(p.c.data)};
}

void call(const Plan& plan, const Product& p, Addend addend, void* workspace, int device, cudaStream_t stream) {
  const double wide_one[2] = {1, 0}, wide_zero[2] = {0, 0};
  const float one[2] = {1, 0}, zero[2] = {0, 0};
  const bool wide = p.dtype == DType::float64, plus = addend == Addend::matrix;
  const void* const alpha = wide ? static_cast<const void*>(wide_one) : one;
  const void* const nothing = wide ? static_cast<const void*>(wide_zero) : zero;
  std::unique_lock<std::mutex> lock;
  if (addend == Addend::row) {
    lock = std::unique_lock(plan.mutex);
    set_row(plan, p.c.data);
  }
  check_cublaslt(CublasLt::get().Matmul(cublaslt_handle(device), plan.operation, alpha, p.b.data, plan.b, p.a.data,
                                        plan.a, plus ? alpha : nothing, plus ? p.c.data : p.out, plan.c, p.out,
                                        plan.out, &plan.algorithm, workspace, plan.workspace, stream),
                 "matmul");
}

}  // namespace

void multiply(Work& work, Product p) {
  if (multiply_row(work, p)) return;
  static auto& plans = *new PlanCache<Key, Plan>;  // leaked: threads may ask while the process ends
  const int device = device_of(work.queue());
  const auto plan_for = [&](Addend addend) {
    if (addend == Addend::matrix) spread_addend(work, p);
    const Key key = key_of(device, p, addend);
    return plans.get(key, [&] { return make_plan(key, p); });
  };
  Addend addend = addend_of(p);
  std::shared_ptr<const Plan> plan = plan_for(addend);
  if (!plan->found && addend == Addend::row) plan = plan_for(addend = Addend::matrix);
  if (!plan->found) return matmul_plain(work, p);
  void* workspace = plan->workspace ? work.scratch<char>(static_cast<int64_t>(plan->workspace)) : nullptr;
  call(*plan, p, addend, workspace, device, work.stream());
}

namespace {

/// Axes of the batch; neighbours are joined that both operands walk alike.
struct Batch {
  struct Axis {
    int64_t extent, a, b, out;
  };
  SmallVector<Axis, 6> axes;  // innermost first
  size_t longest = 0;  // the one that goes to the library

  Batch(const TensorView& a, const TensorView& b, const TensorView& out) {
    for (size_t i = out.shape.size() - 2; i-- > 0;) {
      if (out.shape[i] == 1) continue;
      const Axis axis{out.shape[i], a.strides[i], b.strides[i], out.strides[i]};
      if (!axes.empty() && axis.a == axes.back().a * axes.back().extent && axis.b == axes.back().b * axes.back().extent)
        axes.back().extent *= axis.extent;
      else
        axes.push_back(axis);
    }
    if (axes.empty()) axes.push_back({1, 0, 0, 0});
    for (size_t i = 1; i < axes.size(); ++i)
      if (axes[i].extent > axes[longest].extent) longest = i;
  }
  /// Calls of the library.
  int64_t calls() const {
    int64_t n = 1;
    for (size_t i = 0; i < axes.size(); ++i) n *= i == longest ? 1 : axes[i].extent;
    return n;
  }
};

// A row-major copy; what is repeated along the first axes is copied once.
TensorView copied(Work& work, const TensorView& from, size_t repeatable) {
  TensorView to = from;
  SmallVector<int64_t, 6> once = from.shape;
  int64_t count = 1;
  for (size_t i = once.size(); i-- > 0;) {
    if (i < repeatable && from.strides[i] == 0) once[i] = 1;
    to.strides[i] = i < repeatable && from.strides[i] == 0 ? 0 : count;
    count *= once[i];
  }
  to.data = work.scratch<char>(count * size_of(from.dtype));
  copy_strided(work, to.data, to.strides, from.data, from.strides, once, size_of(from.dtype));
  return to;
}

Product product_of(const TensorView& a, const TensorView& b, const TensorView& out) {
  const size_t rank = out.shape.size();
  Product p;
  p.dtype = out.dtype;
  p.m = out.shape[rank - 2];
  p.n = out.shape[rank - 1];
  p.k = a.shape[rank - 1];
  p.a = {a.as<const char>(), a.strides[rank - 2], a.strides[rank - 1], 0};
  p.b = {b.as<const char>(), b.strides[rank - 2], b.strides[rank - 1], 0};
  p.out = out.as<char>();
  return p;
}

// Operands as the library takes them.
void arrange(Work& work, TensorView& a, TensorView& b, const TensorView& out) {
  const size_t leading = out.shape.size() - 2;
  if (!layout_of_a(product_of(a, b, out))) a = copied(work, a, leading);
  if (!layout_of_b(product_of(a, b, out))) b = copied(work, b, leading);
}

}  // namespace

void multiply_batches(Work& work, TensorView a, TensorView b, const TensorView& out) {
  if (out.count() == 0) return;
  const int64_t bytes = size_of(out.dtype);
  if (a.shape.back() == 0) {
    check_cuda(cudaMemsetAsync(out.data, 0, static_cast<size_t>(out.count() * bytes), work.stream()), "matmul");
    return;
  }
  arrange(work, a, b, out);
  constexpr int64_t kMostCalls = 64;
  if (Batch(a, b, out).calls() > kMostCalls) {
    if (!a.contiguous()) a = copied(work, a, 0);
    if (!b.contiguous()) b = copied(work, b, 0);
  }
  const Batch batch(a, b, out);
  const auto& axis = batch.axes[batch.longest];
  Product p = product_of(a, b, out);
  p.a.batch = axis.a;
  p.b.batch = axis.b;
  p.out_batch = axis.out;
  constexpr int64_t kMostBatch = 1 << 15;
  for (int64_t call = 0; call < batch.calls(); ++call) {
    int64_t rest = call, at_a = 0, at_b = 0, at_out = 0;
    for (size_t i = 0; i < batch.axes.size(); ++i) {
      if (i == batch.longest) continue;
      const int64_t k = rest % batch.axes[i].extent;
      rest /= batch.axes[i].extent;
      at_a += k * batch.axes[i].a;
      at_b += k * batch.axes[i].b;
      at_out += k * batch.axes[i].out;
    }
    for (int64_t first = 0; first < axis.extent; first += kMostBatch) {
      Product part = p;
      part.batch = std::min(kMostBatch, axis.extent - first);
      part.a.data += (at_a + first * axis.a) * bytes;
      part.b.data += (at_b + first * axis.b) * bytes;
      part.out += (at_out + first * axis.out) * bytes;
      multiply(work, part);
    }
  }
}

namespace {

void run(const KernelArgs& args) {
  Work work(args);
  multiply_batches(work, args.inputs[0], args.inputs[1], args.outputs[0]);
}

void multiply_and_add(const KernelArgs& args) {
  const TensorView &c = args.inputs[0], &out = args.outputs[0];
  TensorView a = args.inputs[1], b = args.inputs[2];
  if (out.count() == 0) return;
  Work work(args);
  if (a.shape[1] == 0) return copy_strided(work, out.data, out.strides, c.data, c.strides, c.shape, size_of(out.dtype));
  arrange(work, a, b, out);
  Product p = product_of(a, b, out);
  p.c = {c.as<const char>(), c.strides[0], c.strides[1], 0};
  multiply(work, p);
}

}  // namespace

void prepare_product(int device, DType dtype) {
  const Trial trial(device);
  Product p;
  p.dtype = dtype;
  p.m = p.n = p.k = 256;
  p.out = trial.piece(2);
  // Each order of the operands in memory has a kernel of its own, as a product and its two gradients have.
  constexpr std::pair<bool, bool> kOrders[] = {{false, false}, {false, true}, {true, false}};
  for (const auto& [a_transposed, b_transposed] : kOrders) {
    p.a = a_transposed ? Matrix{trial.piece(0), 1, p.m, 0} : Matrix{trial.piece(0), p.k, 1, 0};
    p.b = b_transposed ? Matrix{trial.piece(1), 1, p.k, 0} : Matrix{trial.piece(1), p.n, 1, 0};
    const std::shared_ptr<const Plan> plan = make_plan(key_of(device, p, Addend::none), p);
    if (!plan->found || plan->workspace > Trial::kBytes) continue;
    call(*plan, p, Addend::none, trial.piece(3), device, trial.stream());
  }
  trial.finish();
}

void add_matmul_kernels(Table& table) {
  table.push_back({"matmul", {.run = run, .contiguous_inputs = false}});
  table.push_back({"addmm", {.run = multiply_and_add, .contiguous_inputs = false}});
}

}  // namespace plait::cuda
