// Products with packed matrices: in place for a few rows of x, which read each packed word once; for more, numbers are unpacked to
// the dtype of x, as many at a time as the device's cache holds, and multiplied as other matrices are.
#include <algorithm>

#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/matmul_plain.h"
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

constexpr int64_t kUnpackedBytes = 32 << 20;  // at a time
constexpr int64_t kMostGroup = 128;
constexpr int kAmpere = 8;  // the first generation that multiplies bfloat16 in tensor cores

TensorView row_major(Work& work, const TensorView& from) {
  TensorView to = from;
  int64_t count = 1;
  for (size_t i = to.shape.size(); i-- > 0;) {
    to.strides[i] = count;
    count *= to.shape[i];
  }
  to.data = work.scratch<char>(count * size_of(from.dtype));
  copy_strided(work, to.data, to.strides, from.data, from.strides, from.shape, size_of(from.dtype));
  return to;
}

bool dense_matrices(const TensorView& t) {
  const size_t rank = t.shape.size();
  return (t.shape[rank - 1] == 1 || t.strides[rank - 1] == 1) &&
         (t.shape[rank - 2] == 1 || t.strides[rank - 2] == t.shape[rank - 1]);
}

/// The operands of a call: x and the parts of the packed matrix, as views whose matrices the kernels take.
struct Call {
  packed::Format format;
  bool transpose;
  TensorView x, words, scales, biases;
  TensorView out;

  size_t rank() const { return out.shape.size(); }
  int64_t m() const { return out.shape[rank() - 2]; }
  int64_t n() const { return out.shape[rank() - 1]; }
  int64_t k() const { return x.shape[rank() - 1]; }
};

bool reads_wide(const TensorView& x) {
  auto bits = reinterpret_cast<uintptr_t>(x.data);
  for (size_t i = 0; i + 1 < x.shape.size(); ++i)
    if (x.shape[i] > 1) bits |= static_cast<uintptr_t>(x.strides[i] * size_of(x.dtype));
  return bits % 16 == 0;
}

// The first of the inputs, before the positions that may follow.
Call call_of(Work& work, const KernelArgs& args) {
  const packed::Format format = packed::format_of(args.attrs);
  Call c{format,         args.attrs.get<bool>("transpose"),
         args.inputs[0], args.inputs[1],
         args.inputs[2], format.affine() ? args.inputs[3] : TensorView(),
         args.outputs[0]};
  for (TensorView* part : {&c.words, &c.scales, &c.biases})
    if (part->data && !dense_matrices(*part)) *part = row_major(work, *part);
  const bool unit = c.k() == 1 || c.x.strides[c.rank() - 1] == 1;
  if (!unit || (is_half(c.x.dtype) && !reads_wide(c.x))) c.x = row_major(work, c.x);
  return c;
}

/// The axes of a batch, neighbours joined that all operands walk alike; false where too many are left.
bool join_axes(const Call& c, Meeting& meeting) {
  const int64_t x = size_of(c.x.dtype), scale = size_of(c.scales.dtype);
  for (size_t i = c.rank() - 2; i-- > 0;) {
    const int64_t extent = c.out.shape[i];
    meeting.count *= extent;
    if (extent == 1) continue;
    const int64_t steps[] = {c.x.strides[i] * x, c.words.strides[i] * 4, c.scales.strides[i] * scale,
                             c.biases.data ? c.biases.strides[i] * scale : 0};
    int64_t* const of[] = {meeting.x, meeting.words, meeting.scales, meeting.biases};
    const int last = meeting.rank - 1;
    bool joins = last >= 0;
    for (int p = 0; p < 4 && joins; ++p) joins = steps[p] == of[p][last] * meeting.extent[last];
    if (joins) {
      meeting.extent[last] *= extent;
      continue;
    }
    if (meeting.rank == Meeting::kMostAxes) return false;
    meeting.extent[meeting.rank] = extent;
    for (int p = 0; p < 4; ++p) of[p][meeting.rank] = steps[p];
    ++meeting.rank;
  }
  return true;
}

Meeting picked_meeting(const Call& c) {
  const int64_t x = size_of(c.x.dtype), scale = size_of(c.scales.dtype);
  Meeting meeting;
  meeting.count = c.out.shape[0];
  meeting.x[0] = c.x.strides[0] * x;
  meeting.words[0] = c.words.strides[0] * 4;
  meeting.scales[0] = c.scales.strides[0] * scale;
  meeting.biases[0] = c.biases.data ? c.biases.strides[0] * scale : 0;
  return meeting;
}

FewRows few_rows(Work& work, Call& c, const Picks& picks) {
  FewRows p;
  p.picks = picks;
  if (picks.rhs) {
    p.meeting = picked_meeting(c);
  } else if (!join_axes(c, p.meeting)) {  // more axes, each in an order of its own
    for (TensorView* part : {&c.x, &c.words, &c.scales, &c.biases})
      if (part->data) *part = row_major(work, *part);
    p.meeting = {};
    join_axes(c, p.meeting);
  }
  p.first = {c.x.as<const char>(), c.words.as<const char>(), c.scales.as<const char>(), c.biases.as<const char>()};
  p.out = c.out.as<char>();
  p.m = c.m();
  p.n = c.n();
  p.k = c.k();
  p.x_row = c.x.strides[c.rank() - 2];
  p.words_row = c.words.shape.back();
  p.groups_row = c.scales.shape.back();
  p.group = static_cast<int>(c.format.group);
  p.dtype = c.out.dtype;
  return p;
}

/// Whether the kernel for one row of x takes it: 32 codes, which a lane reads at once, are there or not, and begin where loads of up
/// to 16 bytes can.
bool takes_one_row(const packed::Format& format, const FewRows& p) {
  if (p.m != 1 || p.k % 32 != 0 || p.k > kMostRowColumns) return false;
  uintptr_t bytes = reinterpret_cast<uintptr_t>(p.first.words) | static_cast<uintptr_t>(p.words_row * 4);
  for (int axis = 0; axis < axes_of(p); ++axis) bytes |= static_cast<uintptr_t>(p.meeting.words[axis]);
  return bytes % (format.bits % 4 == 0 ? 16 : format.bits % 2 == 0 ? 8 : 4) == 0;
}

bool has_tensor_cores(int device) {
  int major = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "quantized_matmul");
  return major >= kAmpere;
}

/// Where numbers are unpacked to: for so many rows of the result's transpose at a time.
struct Unpacked {
  char* numbers;
  int64_t most;
  int* overflowed;
};

// Rows of the matrix are columns of the result, or its numbers are: a part of them at a time.
void multiply_unpacked(const Call& c, const Operands& at, const int64_t* pick, char* out, const Unpacked& to,
                       memory::Queue queue) {
  const int64_t bytes = size_of(c.out.dtype), scale = size_of(c.scales.dtype), n = c.n(), k = c.k();
  const int64_t words_row = c.words.shape.back(), groups_row = c.scales.shape.back();
  Product p;
  p.dtype = c.out.dtype;
  p.m = c.m();
  p.k = k;
  p.out_row = n;
  p.a = {at.x, p.m == 1 ? k : c.x.strides[c.rank() - 2], 1, 0};
  for (int64_t first = 0; first < n; first += to.most) {
    Work work(queue);  // what the product works with is free for the next part
    p.n = std::min(to.most, n - first);
    const int64_t word = c.transpose ? first * words_row : c.format.words(first);
    const int64_t group = c.transpose ? first * groups_row : first / c.format.group;
    const PackedRows from{reinterpret_cast<const uint32_t*>(at.words) + word,
                          at.scales + group * scale,
                          at.biases ? at.biases + group * scale : nullptr,
                          words_row,
                          groups_row,
                          pick,
                          c.words.shape[c.rank() - 2]};
    unpack(work, c.format, p.dtype, from, c.transpose ? p.n : k, c.transpose ? k : p.n, to.numbers, Rounding::once,
           to.overflowed);
    p.b = c.transpose ? Matrix{to.numbers, 1, k, 0} : Matrix{to.numbers, p.n, 1, 0};
    p.out = out + first * bytes;
    multiply(work, p);
  }
}

Operands operands_of(const Call& c, int64_t product) {
  int64_t x = 0, words = 0, scales = 0, biases = 0;
  for (size_t axis = c.rank() - 2; axis-- > 0;) {
    const int64_t index = product % c.out.shape[axis];
    product /= c.out.shape[axis];
    x += index * c.x.strides[axis];
    words += index * c.words.strides[axis];
    scales += index * c.scales.strides[axis];
    if (c.biases.data) biases += index * c.biases.strides[axis];
  }
  const int64_t scale = size_of(c.scales.dtype);
  return {c.x.as<const char>() + x * size_of(c.x.dtype), c.words.as<const char>() + words * 4,
          c.scales.as<const char>() + scales * scale,
          c.biases.data ? c.biases.as<const char>() + biases * scale : nullptr};
}

void multiply_many(Work& work, Call& c, const Picks& picks) {
  if (c.m() > 1 && c.x.strides[c.rank() - 2] < c.k()) c.x = row_major(work, c.x);  // rows that repeat
  const int64_t products = c.out.count() / (c.m() * c.n()), bytes = size_of(c.out.dtype), row_bytes = c.k() * bytes;
  const int64_t fit = std::max<int64_t>(kUnpackedBytes / row_bytes, 1);
  const int64_t most = std::min(c.n(), (fit + kMostGroup - 1) / kMostGroup * kMostGroup);  // begins with a group
  // A number that float16 does not hold is infinite where it is unpacked; the products may be none the less.
  const bool may_overflow = c.out.dtype == DType::float16 && c.format.codes != packed::Codes::nvfp4;
  const Unpacked to{work.scratch<char>(most * row_bytes), most, may_overflow ? work.scratch<int>(1) : nullptr};
  if (may_overflow) check_cuda(cudaMemsetAsync(to.overflowed, 0, sizeof(int), work.stream()), "quantized_matmul");
  char* const picked = picks.lhs ? work.scratch<char>(c.m() * row_bytes) : nullptr;
  for (int64_t product = 0; product < products; ++product) {
    Operands at{c.x.as<const char>(), c.words.as<const char>(), c.scales.as<const char>(), c.biases.as<const char>()};
    if (picked) {
      copy_picked(work, picked, at.x, picks.lhs + product, c.m() * row_bytes);
      at.x = picked;
    } else {
      at = operands_of(c, product);
    }
    multiply_unpacked(c, at, picked ? picks.rhs + product : nullptr, c.out.as<char>() + product * c.m() * c.n() * bytes,
                      to, work.queue());
  }
  if (may_overflow) multiply_again(work, c.format, few_rows(work, c, picks), c.transpose, to.overflowed);
}

void multiply_packed(Work& work, const KernelArgs& args, const Picks& picks) {
  const TensorView& out = args.outputs[0];
  if (args.inputs[0].shape.back() == 0) {
    const auto bytes = static_cast<size_t>(out.count() * size_of(out.dtype));
    return check_cuda(cudaMemsetAsync(out.data, 0, bytes, work.stream()), "quantized_matmul");
  }
  Call c = call_of(work, args);
  const bool half = is_half(out.dtype);
  if (out.dtype == DType::float64 || c.m() > (half ? kMostHalfRows : kMostFloatRows))
    return multiply_many(work, c, picks);
  if (!c.transpose) return multiply_columns(work, c.format, few_rows(work, c, picks));
  if (!half) return multiply_rows_plain(work, c.format, few_rows(work, c, picks));
  if (!has_tensor_cores(device_of(args.queue))) return multiply_many(work, c, picks);
  const FewRows p = few_rows(work, c, picks);
  const bool narrow = out.dtype == DType::float16;
  if (takes_one_row(c.format, p)) return (narrow ? multiply_row_float16 : multiply_row_bfloat16)(work, c.format, p);
  (narrow ? multiply_rows_float16 : multiply_rows_bfloat16)(work, c.format, p);
}

void run(const KernelArgs& args) {
  if (args.outputs[0].count() == 0) return;
  Work work(args);
  multiply_packed(work, args, {});
}

void run_gathered(const KernelArgs& args) {
  if (args.inputs.back().count() == 0) return;
  Work work(args);
  const Picks picks = read_picks(work, args, args.inputs[0].shape[0], args.inputs[1].shape[0]);
  if (args.outputs[0].count() != 0) multiply_packed(work, args, picks);
}

}  // namespace

void add_packed_product_kernels(Table& table) {
  table.push_back({"affine_matmul", {.run = run, .contiguous_inputs = false}});
  table.push_back({"microscaled_matmul", {.run = run, .contiguous_inputs = false}});
  table.push_back({"affine_gathered_matmul", {.run = run_gathered, .checks_positions = true}});
  table.push_back({"microscaled_gathered_matmul", {.run = run_gathered, .checks_positions = true}});
}

}  // namespace plait::cuda
