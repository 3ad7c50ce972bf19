#include <algorithm>
#include <functional>

#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/writer.h"

namespace plait::cuda {

using ir::Level;
using ir::Op;

int row_lanes(const Staged& staged) {
  int widest = 1;
  for (int k = 0; k < staged.operand_count(); ++k) {
    const auto inputs = static_cast<int>(staged.program.inputs.size());
    const Level level = k < inputs ? staged.program.inputs[static_cast<size_t>(k)].level
                                   : staged.program.outputs[static_cast<size_t>(k - inputs)].level;
    if (level == Level::row) widest = std::max(widest, size_of(staged.operand_dtype(k)));
  }
  return widest <= 2 ? 8 : 4;
}

namespace {

constexpr int kElements = kChunk / 32;        // of a row in a thread
constexpr int kUnrolledStatements = 6000;     // more would keep the compiler busy for too long

int cost_of(Op op) {
  switch (op) {
    case Op::div:
    case Op::sqrt:
    case Op::rsqrt:
    case Op::floor_div:
    case Op::rem: return 4;
    default: break;
  }
  const bool heavy = (op >= Op::exp && op <= Op::erfinv) || op == Op::pow || op == Op::atan2;
  return heavy ? 16 : 1;
}

/// Which elements stay in registers from one pass over the row to a later one.
class KeepPlan {
 public:
  /// `words`: registers that may be used.
  KeepPlan(const Staged& staged, int words) : staged_(staged), words_(words) {
    const size_t count = staged.program.code.size();
    kept.assign(count, 0);
    made_.assign(count, -1);
    last_.assign(count, -1);
    used_.assign(static_cast<size_t>(staged.passes) + 1, 0);
    for (int p = 0; p <= staged.passes; ++p) {
      seen_.assign(count, 0);
      for (uint32_t id : p < staged.passes ? staged.operands_of_pass(p) : staged.values_of(staged.row_outputs))
        visit(id, p);
      ids.push_back({});
      for (uint32_t id = 0; id < count; ++id)
        if (seen_[id]) ids.back().push_back(id);
    }
  }

  std::vector<char> kept;                  // values and inputs
  std::vector<std::vector<uint32_t>> ids;  // of each pass, in program order: row values that it reads again or makes

 private:
  int words_of(const ir::Inst& inst) const {
    const DType dtype =
        inst.op == Op::input ? staged_.program.inputs[static_cast<size_t>(inst.index)].dtype : inst.type;
    return kElements * size_of(dtype) / 4 + (size_of(dtype) < 4 && inst.op != Op::input ? kElements / 2 : 0);
  }
  /// What making a value again costs.
  int cost(uint32_t id) const {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.level != Level::row || kept[id] || inst.op == Op::input) return 0;
    int sum = cost_of(inst.op);
    uint32_t operands[3];
    for (int k = operands_of(inst, operands); k-- > 0;) sum += cost(operands[k]);
    return std::min(sum, 1000);
  }
  bool keep(uint32_t id, int p) {
    const int from = kept[id] ? last_[id] : made_[id], words = words_of(staged_.program.code[id]);
    for (int b = from; b < p; ++b)
      if (used_[static_cast<size_t>(b)] + words > words_) return kept[id] && from == p;
    for (int b = from; b < p; ++b) used_[static_cast<size_t>(b)] += words;
    kept[id] = 1;
    last_[id] = p;
    return true;
  }
  void visit(uint32_t id, int p) {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.level != Level::row || seen_[id]) return;
    seen_[id] = 1;
    constexpr int kCheapAgain = 6;
    const bool before = made_[id] >= 0 && made_[id] < p;
    if (before && (inst.op == Op::input || kept[id] || cost(id) >= kCheapAgain) && keep(id, p)) return;
    if (made_[id] < 0) made_[id] = p;
    uint32_t operands[3];
    for (int k = operands_of(inst, operands); k-- > 0;) visit(operands[k], p);
  }

  const Staged& staged_;
  int words_;
  std::vector<int> made_, last_, used_;
  std::vector<char> seen_;

 public:
  /// Whether pass p finds the value where an earlier one left it.
  bool finds(uint32_t id, int p) const { return kept[id] && made_[id] < p && p <= last_[id]; }
  bool leaves(uint32_t id, int p) const { return kept[id] && made_[id] == p; }
};

class RowsSource {
 public:
  explicit RowsSource(const Staged& staged) : staged_(staged), w_(staged), lanes_(row_lanes(staged)) {}

  Source write() {
    w_.prelude(lanes_);
    w_.line("constexpr int kH = kLanesOfChunk / 32 / kV;");
    w_.line("constexpr int kSteps = kChunk / kLanesOfChunk;");
    const bool unrolled = static_cast<int>(staged_.program.code.size()) * kElements <= kUnrolledStatements;
    body("rows_as", KeepPlan(staged_, unrolled ? 80 : 0), unrolled);
    body("rows_large_as", KeepPlan(staged_, unrolled ? 32 : 0), unrolled);
    for (const bool even : {false, true}) {
      const std::string name = even ? "_even" : "", flag = even ? "true" : "false";
      kernel("rows_short" + name, kThreads, ", const int group", "rows_as<1, 1, false, " + flag + ">(a, group);");
      kernel("rows_warp" + name, kThreads, "", "rows_as<kSteps, kH, false, " + flag + ">(a, 32);");
      kernel("rows_block" + name, kThreads, "", "rows_as<kSteps, kH, true, " + flag + ">(a, 32);");
      kernel("rows_large" + name, 1024, "", "rows_large_as<kSteps, kH, true, " + flag + ">(a, 32);");
    }
    source_.text = std::move(w_.text);
    return std::move(source_);
  }

 private:
  const ir::Inst& inst(uint32_t id) const { return staged_.program.code[id]; }
  std::string input_type(uint32_t id) const {
    return memory_type(staged_.operand_dtype(static_cast<int>(inst(id).index)));
  }
  uint32_t reduction(int slot) const { return staged_.reductions[static_cast<size_t>(slot)]; }

  void kernel(const std::string& name, int threads, const std::string& extra, const std::string& call) {
    w_.kernel(source_, name, threads, extra);
    w_.line(call);
    w_.close();
  }

  void body(const std::string& name, const KeepPlan& plan, bool unrolled) {
    std::vector<uint32_t> all;
    for (uint32_t id = 0; id < staged_.program.code.size(); ++id) all.push_back(id);
    w_.line("template <int S, int H, bool kBlock, bool kEven>");
    w_.open("PLAIT_D void " + name + "(const A& a, const int group)");
    // Live scalar values: what any pass or output needs.
    for (int p = 0; p < staged_.passes; ++p) w_.values(staged_.needed(staged_.operands_of_pass(p)), Level::scalar);
    w_.values(staged_.needed(staged_.values_of(staged_.row_outputs)), Level::scalar);
    w_.values(staged_.needed(staged_.values_of(staged_.outer_outputs)), Level::scalar);
    w_.line("__shared__ u64 shared[32];");
    w_.line("const int lane = threadIdx.x % group, mine = kBlock ? 0 : threadIdx.x / group;");
    w_.line("const int at_once = kBlock ? 1 : " + num(kThreads) + " / group;");
    w_.open("for (i64 begin = blockIdx.x * i64{at_once}; begin < a.space.rows; begin += gridDim.x * i64{at_once})");
    w_.line("if (!kBlock && begin + threadIdx.x / 32 * (32 / group) >= a.space.rows) continue;");
    w_.line("const bool active = begin + mine < a.space.rows;");
    w_.line("const i64 row = active ? begin + mine : a.space.rows - 1;");
    w_.line("const int length = active ? static_cast<int>(a.space.length) : 0;");
    const auto n = num(staged_.operand_count());
    w_.line("i64 off[" + n + "];");
    w_.line("row_offsets<" + n + ">(a.space, a.operand, static_cast<u64>(row), off);");
    std::vector<uint32_t> read;
    for (const auto& ids : plan.ids) read.insert(read.end(), ids.begin(), ids.end());
    for (int k : w_.row_inputs(read)) declare_row(k);
    for (int k : staged_.row_outputs) declare_row(staged_.output_operand(k));
    for (uint32_t id : all) {
      if (!plan.kept[id]) continue;
      if (inst(id).op == Op::input)
        w_.line("Kept<" + input_type(id) + ", kV> kept" + num(id) + "[S * H];");
      else
        w_.line(std::string(value_type(inst(id).type)) + " kept" + num(id) + "[S * H][kV];");
    }
    for (int p = 0; p < staged_.passes; ++p) pass(plan, p, unrolled);
    if (!staged_.row_outputs.empty()) pass(plan, staged_.passes, unrolled);
    if (!staged_.outer_outputs.empty()) outer_outputs();
    w_.close();
    w_.forget(Level::outer);
    w_.close();
    w_.forget(Level::scalar);
  }

  void declare_row(int operand) {
    const auto k = num(operand);
    w_.line("const RowOf<" + std::string(memory_type(staged_.operand_dtype(operand))) + ", kV> row" + k +
            "(a.space, a.operand[" + k + "], off[" + k + "]);");
  }

  void outer_outputs() {
    w_.values(staged_.needed(staged_.values_of(staged_.outer_outputs)), Level::outer);
    w_.line("if (kBlock) __syncthreads();");  // an output may be the memory of an outer input
    w_.line("else __syncwarp();");
    w_.open("if (active && (kBlock ? threadIdx.x : lane) == 0)");
    for (int k : staged_.outer_outputs) {
      const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
      const auto o = num(staged_.output_operand(k));
      w_.line("*reinterpret_cast<" + std::string(memory_type(out.dtype)) + "*>(a.operand[" + o + "].data + off[" + o +
              "]) = narrowed<" + memory_type(out.dtype) + ">(" + w_.value(out.value) + ");");
    }
    w_.close();
  }

  void pass(const KeepPlan& plan, int p, bool unrolled) {
    const bool last = p == staged_.passes;
    const auto needed = staged_.needed(last ? staged_.values_of(staged_.row_outputs) : staged_.operands_of_pass(p));
    w_.values(needed, Level::outer);
    const int first = last ? 0 : staged_.first_slot[static_cast<size_t>(p)];
    const int end = last ? 0 : staged_.first_slot[static_cast<size_t>(p) + 1];
    for (int slot = first; slot < end; ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      const std::string type = value_type(r.type);
      w_.line(type + " acc" + num(slot) + "[H][kV];");
      w_.line("#pragma unroll");
      w_.line("for (int i = 0; i < H * kV; ++i) acc" + num(slot) + "[i / kV][i % kV] = " + Writer::reduction(r.op) +
              "::identity<" + type + ">();");
    }
    const auto& ids = plan.ids[static_cast<size_t>(p)];
    std::vector<uint32_t> loaded, staying;  // inputs: for this pass alone, and for later ones too
    int words = 0;
    for (uint32_t id : ids) {
      if (inst(id).op != Op::input || plan.finds(id, p)) continue;
      (plan.leaves(id, p) ? staying : loaded).push_back(id);
      if (!plan.leaves(id, p))
        words += kElements * size_of(staged_.operand_dtype(static_cast<int>(inst(id).index))) / 4;
    }
    // Loads go ahead of what uses them. Beyond the last pass's stores the compiler cannot move them, and registers end.
    const bool at_once = unrolled && !last && words <= 64;
    w_.line(std::string("constexpr int kAhead") + num(p) + " = S == 1 || " + (at_once ? "true" : "false") +
            " ? S : " + (unrolled ? "2" : "1") + ";");
    const std::string ahead = "kAhead" + num(p);
    if (!staying.empty()) {
      open_vectors("0", "S", true);
      for (uint32_t id : staying) load(id, "kept" + num(id) + "[step * H + h]");
      close_vectors();
    }
    w_.line(unrolled ? "#pragma unroll" : "#pragma unroll 1");
    w_.open("for (int begin = 0; begin < S; begin += " + ahead + ")");
    if (!loaded.empty()) {
      for (uint32_t id : loaded) w_.line("Kept<" + input_type(id) + ", kV> raw" + num(id) + "[" + ahead + " * H];");
      open_vectors("begin", "begin + " + ahead, true);
      for (uint32_t id : loaded) load(id, "raw" + num(id) + "[(step - begin) * H + h]");
      close_vectors();
    }
    open_vectors("begin", "begin + " + ahead, true);
    w_.line("if (valid == 0) continue;");
    for (uint32_t id : ids) {
      if (inst(id).op != Op::input) continue;
      const auto k = num(inst(id).index);
      w_.line(input_type(id) + " x" + k + "[kV];");
      const bool alone = std::find(loaded.begin(), loaded.end(), id) != loaded.end();
      w_.line((alone ? "raw" + num(id) + "[(step - begin) * H + h]" : "kept" + num(id) + "[step * H + h]") + ".give(x" +
              k + ");");
    }
    w_.element_format = "x%[j]";
    if (last)
      for (int k : staged_.row_outputs)
        w_.line(std::string(memory_type(staged_.program.outputs[static_cast<size_t>(k)].dtype)) + " y" + num(k) +
                "[kV];");
    w_.line("#pragma unroll");
    w_.open("for (int j = 0; j < kV; j += " + num(w_.step()) + ")");
    for (uint32_t id : ids) {
      if (inst(id).op == Op::input) {
        w_.values({id}, Level::row);
      } else if (plan.finds(id, p)) {
        w_.take(id, "kept" + num(id) + "[step * H + h]");
      } else {
        w_.values({id}, Level::row);
        for (int e = 0; plan.leaves(id, p) && e < w_.step(); ++e) {
          const std::string x = w_.value(id, e);
          w_.line("kept" + num(id) + "[step * H + h][j" + (e ? " + 1" : "") + "] = " + x + ";");
        }
      }
    }
    for (int slot = first; slot < end; ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      for (int e = 0; e < w_.step(); ++e) {
        const std::string j = e ? "j + 1" : "j", acc = "acc" + num(slot) + "[h][" + j + "]", x = w_.value(r.a, e);
        w_.line("if (kEven || " + j + " < valid) " + acc + " = " + Writer::reduction(r.op) + "::combine(" + acc + ", " +
                x + ");");
      }
    }
    if (last)
      for (int k : staged_.row_outputs) w_.put(staged_.program.outputs[static_cast<size_t>(k)], "y" + num(k));
    w_.close();
    w_.forget(Level::row);
    if (last) {
      for (int k : staged_.row_outputs)
        w_.line("row" + num(staged_.output_operand(k)) + ".template store<kEven>(at, valid, y" + num(k) + ");");
    }
    close_vectors();
    w_.close();
    for (int slot = first; slot < end; ++slot) {
      const uint32_t id = reduction(slot);
      const std::string type = value_type(inst(id).type), op = Writer::reduction(inst(id).op);
      w_.line(type + " v" + num(id) + " = chunk_tree<" + op + ">(acc" + num(slot) + ", group);");
      w_.line("if (kBlock) v" + num(id) + " = block_tree<" + op + ">(v" + num(id) + ", shared);");
      w_.define(id);
    }
  }

  /// Vectors of some steps: `at` and `valid` are theirs.
  void open_vectors(const std::string& from, const std::string& to, bool unrolled) {
    w_.line(unrolled ? "#pragma unroll" : "#pragma unroll 1");
    w_.open("for (int step = " + from + "; step < " + to + "; ++step)");
    w_.line("#pragma unroll");
    w_.open("for (int h = 0; h < H; ++h)");
    w_.line(
        "const int at = (kBlock ? static_cast<int>(threadIdx.x / 32) * kChunk : 0) + ((step * H + h) * group + lane) * kV;");
    w_.line("const int valid = kEven ? (at < length ? kV : 0) : valid_of(length, at, kV);");
  }
  void close_vectors() {
    w_.close();
    w_.close();
  }
  void load(uint32_t id, const std::string& to) {
    w_.line("row" + num(inst(id).index) + ".template load<kEven>(at, valid, " + to + ");");
  }

  const Staged& staged_;
  Writer w_;
  Source source_;
  int lanes_;
};

}  // namespace

Source rows_source(const Staged& staged) { return RowsSource(staged).write(); }

}  // namespace plait::cuda
