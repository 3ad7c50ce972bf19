#include <algorithm>

#include "backends/cuda/regions/writer.h"

namespace plait::cuda {

using ir::Level;

int elementwise_lanes(const Staged& staged) {
  int widest = 1;
  for (int k = 0; k < staged.operand_count(); ++k) {
    const auto inputs = static_cast<int>(staged.program.inputs.size());
    if (k < inputs && staged.program.inputs[static_cast<size_t>(k)].level == Level::scalar) continue;
    widest = std::max(widest, size_of(staged.operand_dtype(k)));
  }
  return std::min(16 / widest, 8);
}
int elementwise_steps(const Staged& staged) { return staged.operand_count() <= 6 ? 2 : 1; }

namespace {

/// From elements x<k> to elements y<k>.
void body(Writer& w, const Staged& staged, const std::vector<uint32_t>& ids, const std::string& at) {
  w.element_format = "x%" + at + "[j]";
  w.line("#pragma unroll");
  w.open("for (int j = 0; j < kV; j += " + num(w.step()) + ")");
  w.values(ids, Level::row);
  for (int k : staged.row_outputs) w.put(staged.program.outputs[static_cast<size_t>(k)], "y" + num(k));
  w.close();
  w.forget(Level::row);
}
void declare_outputs(Writer& w, const Staged& staged) {
  for (int k : staged.row_outputs)
    w.line(std::string(memory_type(staged.program.outputs[static_cast<size_t>(k)].dtype)) + " y" + num(k) + "[kV];");
}

void linear(Writer& w, Source& source, const Staged& staged, const std::vector<uint32_t>& ids) {
  w.kernel(source, "linear", kThreads);
  w.values(ids, Level::scalar);
  w.divisors(ids);
  w.line("const i64 n = a.space.length, tile = i64{" + num(kThreads) + "} * kV * kU;");
  w.open("for (i64 start = blockIdx.x * tile + threadIdx.x * kV; start < n; start += gridDim.x * tile)");
  const auto inputs = w.row_inputs(ids);
  for (int k : inputs) w.line(std::string(memory_type(staged.operand_dtype(k))) + " x" + num(k) + "[kU][kV];");
  w.line("#pragma unroll");
  w.open("for (int u = 0; u < kU; ++u)");
  for (int k : inputs)
    w.line("load_linear(a.operand[" + num(k) + "].data, start + u * " + num(kThreads) + " * kV, n, x" + num(k) +
           "[u]);");
  w.close();
  w.line("#pragma unroll");
  w.open("for (int u = 0; u < kU; ++u)");
  declare_outputs(w, staged);
  body(w, staged, ids, "[u]");
  for (int k : staged.row_outputs)
    w.line("store_linear(a.operand[" + num(staged.output_operand(k)) + "].data, start + u * " + num(kThreads) +
           " * kV, n, y" + num(k) + ");");
  w.close();
  w.close();
  w.close();
  w.forget(Level::scalar);
}

void strided(Writer& w, Source& source, const Staged& staged, const std::vector<uint32_t>& ids, ElementForm form) {
  const bool tiled = form == ElementForm::tiled;
  w.kernel(source, "strided", kThreads);
  w.line("using Index = " + std::string(form == ElementForm::strided_wide ? "u64;" : "u32;"));
  w.values(ids, Level::scalar);
  w.divisors(ids);
  w.line("const Index vectors = static_cast<Index>((a.space.length + kV - 1) / kV);");
  if (tiled) {
    w.line("constexpr Index kWidth = " + num(kTileVectors) + ", kRows = " + num(kThreads / kTileVectors) + ";");
    w.line("const Index across = (vectors + kWidth - 1) / kWidth;");
    w.line("const Index down = (static_cast<Index>(a.space.rows) + kRows * kU - 1) / (kRows * kU);");
    w.line("const Index count = across * down;");
    w.open("for (Index place = blockIdx.x; place < count; place += gridDim.x)");
    w.line("const Index top = place / across * (kRows * kU) + threadIdx.x / kWidth;");
    w.line("const Index vector = place % across * kWidth + threadIdx.x % kWidth;");
  } else {
    w.line("const Index count = static_cast<Index>(a.space.rows) * vectors, tile = Index{" + num(kThreads) + "} * kU;");
    w.open("for (Index start = blockIdx.x * tile + threadIdx.x; start < count; start += gridDim.x * tile)");
  }
  w.line("i64 off[kU][" + num(staged.operand_count()) + "], at[kU];");
  w.line("int valid[kU];");
  const auto inputs = w.row_inputs(ids);
  for (int k : inputs)
    w.line("Kept<" + std::string(memory_type(staged.operand_dtype(k))) + ", kV> raw" + num(k) + "[kU];");
  w.line("#pragma unroll");
  w.open("for (int u = 0; u < kU; ++u)");
  if (tiled) {
    w.line("const Index row = top + u * kRows;");
    w.line("at[u] = static_cast<i64>(vector) * kV;");
    w.line("valid[u] = row < a.space.rows ? valid_of(a.space.length, at[u], kV) : 0;");
  } else {
    w.line("const Index unit = start + u * Index{" + num(kThreads) + "}, row = unit / vectors;");
    w.line("at[u] = static_cast<i64>(unit - row * vectors) * kV;");
    w.line("valid[u] = unit < count ? valid_of(a.space.length, at[u], kV) : 0;");
  }
  w.line("if (valid[u] == 0) continue;");
  w.line("row_offsets<" + num(staged.operand_count()) + ">(a.space, a.operand, row, off[u]);");
  for (int k : inputs)
    w.line("load_row(a.space, a.operand[" + num(k) + "], off[u][" + num(k) + "], at[u], valid[u], raw" + num(k) +
           "[u]);");
  w.close();
  w.line("#pragma unroll");
  w.open("for (int u = 0; u < kU; ++u)");
  w.line("if (valid[u] == 0) continue;");
  for (int k : inputs) {
    w.line(std::string(memory_type(staged.operand_dtype(k))) + " x" + num(k) + "[kV];");
    w.line("raw" + num(k) + "[u].give(x" + num(k) + ");");
  }
  declare_outputs(w, staged);
  body(w, staged, ids, "");
  for (int k : staged.row_outputs) {
    const auto o = num(staged.output_operand(k));
    w.line("store_row(a.space, a.operand[" + o + "], off[u][" + o + "], at[u], valid[u], y" + num(k) + ");");
  }
  w.close();
  w.close();
  w.close();
  w.forget(Level::scalar);
}

}  // namespace

Source elementwise_source(const Staged& staged, ElementForm form) {
  Source source;
  Writer w(staged);
  w.prelude(elementwise_lanes(staged));
  w.line("constexpr int kU = " + num(elementwise_steps(staged)) + ";");
  const auto ids = staged.needed(staged.values_of(staged.row_outputs));
  if (form == ElementForm::linear)
    linear(w, source, staged, ids);
  else
    strided(w, source, staged, ids, form);
  source.text = std::move(w.text);
  return source;
}

}  // namespace plait::cuda
