#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/writer.h"

namespace plait::cuda {
namespace {

using ir::Level;

/// One kernel: a thread goes over its row once for each pass and once for the row outputs, whose elements the caches hold.
class ShortSource {
 public:
  explicit ShortSource(const Staged& staged) : staged_(staged), w_(staged) {}

  Source write() {
    const auto n = num(staged_.operand_count()), threads = num(kThreads);
    w_.allow_pairs(false);
    w_.prelude(1);
    w_.kernel(source_, "short_rows", kThreads);
    for (int p = 0; p <= staged_.passes; ++p) w_.values(staged_.needed_in(p), Level::scalar);
    const auto outer = staged_.needed(staged_.values_of(staged_.outer_outputs));
    w_.values(outer, Level::scalar);
    w_.line("__shared__ i64 place[" + n + "][kShortRow];  // from the beginning of a row");
    w_.open("for (int i = threadIdx.x; i < " + n + " * kShortRow; i += " + threads + ")");
    w_.line("const int k = i / kShortRow, at = i % kShortRow;");
    w_.line("place[k][at] = at < a.space.length ? element_offset(a.space, a.operand[k], at) : 0;");
    w_.close();
    w_.line("__syncthreads();");
    w_.line("const int length = static_cast<int>(a.space.length);");
    w_.open("for (i64 row = blockIdx.x * i64{" + threads +
            "} + threadIdx.x; row < a.space.rows; row += gridDim.x * i64{" + threads + "})");
    w_.line("i64 off[" + n + "];");
    w_.line("row_offsets<" + n + ">(a.space, a.operand, static_cast<u32>(row), off);");
    for (int p = 0; p < staged_.passes; ++p) pass(p);
    const auto last = staged_.needed_in(staged_.passes);
    w_.values(last, Level::outer);
    w_.values(outer, Level::outer);  // before anything is written: outputs may be the memory of inputs
    w_.divisors(last);
    if (!staged_.row_outputs.empty()) row_outputs(last);
    for (int k : staged_.outer_outputs) store(k, "");
    w_.close();
    w_.close();
    source_.text = std::move(w_.text);
    return std::move(source_);
  }

 private:
  const ir::Inst& inst(uint32_t id) const { return staged_.program.code[id]; }

  void pass(int p) {
    const auto ids = staged_.needed_in(p);
    w_.values(ids, Level::outer);
    w_.divisors(ids);
    const int first = staged_.first_slot[static_cast<size_t>(p)], end = staged_.first_slot[static_cast<size_t>(p) + 1];
    const auto reduction = [&](int slot) { return staged_.reductions[static_cast<size_t>(slot)]; };
    for (int slot = first; slot < end; ++slot)
      w_.line("Lanes<" + Writer::reduction(inst(reduction(slot)).op) + ", " + value_type(inst(reduction(slot)).type) +
              "> lanes" + num(slot) + ";");
    w_.line("#pragma unroll 4");
    open_elements(ids);
    for (int slot = first; slot < end; ++slot)
      w_.line("lanes" + num(slot) + ".push(i, " + w_.value(inst(reduction(slot)).a) + ");");
    close_elements();
    for (int slot = first; slot < end; ++slot) {
      const uint32_t id = reduction(slot);
      w_.line("const " + std::string(value_type(inst(id).type)) + " " + w_.value(id) + " = lanes" + num(slot) +
              ".tree(length);");
      w_.define(id);
    }
  }
  void row_outputs(const std::vector<uint32_t>& ids) {
    open_elements(ids);
    for (int k : staged_.row_outputs) store(k, " + place[" + num(staged_.output_operand(k)) + "][i]");
    close_elements();
  }
  void open_elements(const std::vector<uint32_t>& ids) {
    w_.open("for (int i = 0; i < length; ++i)");
    for (int k : w_.row_inputs(ids)) {
      const std::string type = memory_type(staged_.operand_dtype(k));
      w_.line("const " + type + " x" + num(k) + " = *reinterpret_cast<const " + type + "*>(a.operand[" + num(k) +
              "].data + off[" + num(k) + "] + place[" + num(k) + "][i]);");
    }
    w_.element_format = "x%";
    w_.values(ids, Level::row);
  }
  void close_elements() {
    w_.close();
    w_.forget(Level::row);
  }
  void store(int k, const std::string& place) {
    const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
    const std::string type = memory_type(out.dtype), o = num(staged_.output_operand(k));
    w_.line("*reinterpret_cast<" + type + "*>(a.operand[" + o + "].data + off[" + o + "]" + place + ") = narrowed<" +
            type + ">(" + w_.value(out.value) + ");");
  }

  const Staged& staged_;
  Writer w_;
  Source source_;
};

}  // namespace

Source short_source(const Staged& staged) { return ShortSource(staged).write(); }

}  // namespace plait::cuda
