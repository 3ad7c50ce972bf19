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

constexpr int kElements = kChunk / 32;  // of a row in a thread
constexpr int kMostUnrolled = 200;  // work for an element; more would keep the compiler busy for too long

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
bool rounds(Op op) { return op == Op::round_f16 || op == Op::round_bf16; }
DType half_of(Op rounding) { return rounding == Op::round_f16 ? DType::float16 : DType::bfloat16; }

/// Which elements stay in registers from one pass over the row to a later one.
class KeepPlan {
 public:
  /// `words`: registers that may be used; `pairs`: what is rounded to 16 bits takes as many.
  KeepPlan(const Staged& staged, int words, bool pairs) : staged_(staged), words_(words), pairs_(pairs) {
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
    if (pairs_ && rounds(inst.op)) return kElements / 2;
    return inst.op == Op::input ? kElements * size_of(dtype) / 4 : kElements * std::max(1, size_of(dtype) / 4);
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
  bool pairs_;
  std::vector<int> made_, last_, used_;
  std::vector<char> seen_;

 public:
  /// Whether pass p finds the value where an earlier one left it.
  bool finds(uint32_t id, int p) const { return kept[id] && made_[id] < p && p <= last_[id]; }
  bool leaves(uint32_t id, int p) const { return kept[id] && made_[id] == p; }
  /// Registers that hold elements while pass p runs.
  int words_at(int p) const {
    const auto at = static_cast<size_t>(p);
    return std::max(used_[at], p > 0 ? used_[at - 1] : 0);
  }
};

class RowsSource {
 public:
  RowsSource(const Staged& staged, RowForm form, RowFit fit)
      : staged_(staged),
        w_(staged),
        form_(form),
        fit_(fit),
        unrolled_(work() <= kMostUnrolled),
        wide_(form != RowForm::large && !fits_narrow()),
        most_words_(!unrolled_ ? 0
                    : wide_    ? 80
                               : kNarrowWords),
        plan_(staged, most_words_, w_.step() == 2) {}

  Source write() {
    const bool few = form_ == RowForm::few, block = is_block();
    w_.prelude(row_lanes(staged_));
    w_.line("constexpr int H = " + std::string(few ? "1" : "kLanesOfChunk / 32 / kV") +
            ", N = " + (few ? "1" : "kChunk / 32 / kV") + ";");
    // As many blocks a multiprocessor as give each thread 64 registers, 80 where vectors are checked, or 128.
    const std::string bounds = form_ == RowForm::large ? "1024"
                               : few                   ? "256, 6"
                               : wide_                 ? "256, 2"
                               : fit_ == RowFit::full  ? "256, 4"
                                                       : "256, 3";
    w_.kernel(source_, "rows", bounds, few ? ", const int group" : "");
    if (!few) w_.line("constexpr int group = 32;");
    for (int p = 0; p < staged_.passes; ++p) w_.values(staged_.needed_in(p), Level::scalar);
    w_.values(staged_.needed_in(staged_.passes), Level::scalar);
    w_.values(staged_.needed(staged_.values_of(staged_.outer_outputs)), Level::scalar);
    if (block) {
      w_.line("const int first = threadIdx.x * kV + threadIdx.x / 32 * (kChunk - 32 * kV), at_once = 1, mine = 0;");
      w_.line("__shared__ u64 shared[2][" + num(staged_.most_reductions()) + "][32];");
    } else {
      w_.line("const int first = threadIdx.x % group * kV, at_once = 256 / group, mine = threadIdx.x / group;");
    }
    w_.open("for (i64 begin = blockIdx.x * i64{at_once}; begin < a.space.rows; begin += gridDim.x * i64{at_once})");
    if (block) {
      w_.line("const i64 row = begin;");
    } else {
      w_.line("if (begin + threadIdx.x / 32 * (32 / group) >= a.space.rows) continue;");
      w_.line("const bool active = begin + mine < a.space.rows;");
      w_.line("const i64 row = active ? begin + mine : a.space.rows - 1;");
    }
    if (fit_ != RowFit::full)
      w_.line("const int length = " + std::string(block ? "" : "!active ? 0 : ") + "static_cast<int>(a.space.length);");
    const auto n = num(staged_.operand_count());
    w_.line("i64 off[" + n + "];");
    w_.line("row_offsets<" + n + ">(a.space, a.operand, static_cast<u64>(row), off);");
    std::vector<uint32_t> read;
    for (const auto& ids : plan_.ids) read.insert(read.end(), ids.begin(), ids.end());
    for (int k : w_.row_inputs(read)) declare_row(k);
    for (int k : staged_.row_outputs) declare_row(staged_.output_operand(k));
    for (uint32_t id = 0; id < staged_.program.code.size(); ++id) {
      if (!plan_.kept[id]) continue;
      if (inst(id).op == Op::input)
        w_.line("Kept<" + input_type(id) + ", kV> kept" + num(id) + "[N];");
      else if (is_pair(id))
        w_.line("u32 kept" + num(id) + "[N][kV / 2];");
      else
        w_.line(std::string(value_type(inst(id).type)) + " kept" + num(id) + "[N][kV];");
    }
    for (int p = 0; p < staged_.passes; ++p) pass(p);
    if (!staged_.row_outputs.empty()) pass(staged_.passes);
    if (!staged_.outer_outputs.empty()) outer_outputs();
    if (block) w_.line("__syncthreads();  // the places of shared memory are free");
    w_.close();
    w_.close();
    source_.text = std::move(w_.text);
    return std::move(source_);
  }

 private:
  static constexpr int kNarrowWords = 36;  // for elements, of 64 registers

  const ir::Inst& inst(uint32_t id) const { return staged_.program.code[id]; }
  std::string input_type(uint32_t id) const {
    return memory_type(staged_.operand_dtype(static_cast<int>(inst(id).index)));
  }
  uint32_t reduction(int slot) const { return staged_.reductions[static_cast<size_t>(slot)]; }
  int first_slot(int p) const { return staged_.first_slot[static_cast<size_t>(p)]; }
  bool is_block() const { return form_ == RowForm::block || form_ == RowForm::large; }
  int work() const {
    int sum = 0;
    for (const ir::Inst& i : staged_.program.code) sum += i.level == Level::row ? (cost_of(i.op) + 1) / 2 : 0;
    return sum;
  }
  bool fits_narrow() const {
    const bool pairs = w_.step() == 2;
    return KeepPlan(staged_, kNarrowWords, pairs).kept == KeepPlan(staged_, 80, pairs).kept;
  }
  bool is_pair(uint32_t id) const { return w_.step() == 2 && rounds(inst(id).op); }
  /// Reductions to an extremum: the order in which it is taken does not matter, so one accumulator serves all vectors.
  bool is_extremum(int slot) const {
    const ir::Inst& r = inst(reduction(slot));
    return (r.op == Op::reduce_max || r.op == Op::reduce_min) && r.type != DType::float64 && r.type != DType::complex64;
  }
  /// The 16-bit type whose pairs a reduction may take, or float32.
  DType pair_type(int slot) const {
    if (fit_ == RowFit::any || w_.step() != 2 || !is_extremum(slot)) return DType::float32;
    const uint32_t of = inst(reduction(slot)).a;
    if (staged_.level(of) != Level::row) return DType::float32;
    for (const DType half : {DType::float16, DType::bfloat16})
      if (staged_.holds(of, half)) return half;
    return DType::float32;
  }

  void declare_row(int operand) {
    const auto k = num(operand);
    w_.line("const RowOf<" + std::string(memory_type(staged_.operand_dtype(operand))) + ", kV> row" + k +
            "(a.space, a.operand[" + k + "], off[" + k + "]);");
  }

  void outer_outputs() {
    w_.values(staged_.needed(staged_.values_of(staged_.outer_outputs)), Level::outer);
    w_.line(is_block() ? "__syncthreads();" : "__syncwarp();");  // an output may be the memory of an outer input
    w_.open(is_block() ? "if (threadIdx.x == 0)" : "if (active && threadIdx.x % group == 0)");
    for (int k : staged_.outer_outputs) {
      const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
      const auto o = num(staged_.output_operand(k));
      w_.line("*reinterpret_cast<" + std::string(memory_type(out.dtype)) + "*>(a.operand[" + o + "].data + off[" + o +
              "]) = narrowed<" + memory_type(out.dtype) + ">(" + w_.value(out.value) + ");");
    }
    w_.close();
  }

  void declare_accumulators(int p) {
    for (int slot = first_slot(p); slot < first_slot(p + 1); ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      const std::string type = value_type(r.type), acc = "acc" + num(slot);
      const std::string identity = Writer::reduction(r.op) + "::identity<" + type + ">()";
      const DType half = pair_type(slot);
      w_.line(half != DType::float32 ? "u32 " + acc + "[1][kV / 2];"
                                     : type + " " + acc + (is_extremum(slot) ? "[1][kV];" : "[H][kV];"));
      w_.line("#pragma unroll");
      if (half != DType::float32)
        w_.line("for (int i = 0; i < kV / 2; ++i) " + acc + "[0][i] = pair_of<" + memory_type(half) + ">(" + identity +
                ", " + identity + ");");
      else
        w_.line("for (int i = 0; i < " + std::string(is_extremum(slot) ? "kV" : "H * kV") + "; ++i) " + acc +
                "[i / kV][i % kV] = " + identity + ";");
    }
  }
  void accumulate(int slot) {
    const ir::Inst& r = inst(reduction(slot));
    const std::string acc = "acc" + num(slot) + (is_extremum(slot) ? "[0]" : "[i % H]"), op = Writer::reduction(r.op);
    if (const DType half = pair_type(slot); half != DType::float32) {
      const std::string x = w_.packed(r.a, half);
      w_.line(acc + "[j / 2] = " + op + "::combine_pair<" + memory_type(half) + ">(" + acc + "[j / 2], " + x + ");");
      return;
    }
    for (int e = 0; e < w_.step(); ++e) {
      const std::string j = e ? "j + 1" : "j", x = w_.value(r.a, e);
      w_.line((fit_ == RowFit::any ? "if (" + j + " < valid) " : "") + acc + "[" + j + "] = " + op + "::combine(" +
              acc + "[" + j + "], " + x + ");");
    }
  }
  void end_reductions(int p) {
    const auto place = [&](int slot) { return "shared[" + num(p % 2) + "][" + num(slot - first_slot(p)) + "]"; };
    for (int slot = first_slot(p); slot < first_slot(p + 1); ++slot) {
      const uint32_t id = reduction(slot);
      const DType half = pair_type(slot);
      const std::string tree = half != DType::float32 ? "pair_tree" : "chunk_tree";
      w_.line(std::string(value_type(inst(id).type)) + " v" + num(id) + " = " + tree + "<" +
              Writer::reduction(inst(id).op) + (half != DType::float32 ? std::string(", ") + memory_type(half) : "") +
              ">(acc" + num(slot) + (half != DType::float32 ? "[0]" : "") + ", group);");
      if (is_block()) w_.line("block_put(v" + num(id) + ", " + place(slot) + ");");
      w_.define(id);
    }
    if (!is_block()) return;
    w_.line("__syncthreads();");
    for (int slot = first_slot(p); slot < first_slot(p + 1); ++slot) {
      const uint32_t id = reduction(slot);
      w_.line("v" + num(id) + " = block_take<" + Writer::reduction(inst(id).op) + ", " + value_type(inst(id).type) +
              ">(" + place(slot) + ");");
    }
  }

  void pass(int p) {
    const bool last = p == staged_.passes;
    const auto needed = staged_.needed_in(p);
    w_.values(needed, Level::outer);
    w_.divisors(needed);
    if (!last) declare_accumulators(p);
    const auto& ids = plan_.ids[static_cast<size_t>(p)];
    std::vector<uint32_t> loaded, staying;  // inputs: for this pass alone, and for later ones too
    int words = 0;  // that loads for this pass alone take, of all vectors
    for (uint32_t id : ids) {
      if (inst(id).op != Op::input || plan_.finds(id, p)) continue;
      (plan_.leaves(id, p) ? staying : loaded).push_back(id);
      if (!plan_.leaves(id, p))
        words += kElements * size_of(staged_.operand_dtype(static_cast<int>(inst(id).index))) / 4;
    }
    // Loads go ahead of what uses them. Beyond the last pass's stores the compiler cannot move them, and registers end.
    const int vectors = kElements / row_lanes(staged_);
    const int room = std::max(most_words_ - plan_.words_at(p), 16);
    int ahead = !unrolled_ ? 1 : vectors;
    while (ahead > 1 && words * ahead > room * vectors) ahead /= 2;
    w_.line("constexpr int kAhead" + num(p) + " = " + (form_ == RowForm::few ? "1" : num(ahead)) + ";");
    const std::string kAhead = "kAhead" + num(p);
    if (!staying.empty()) {
      open_vectors("0", "N");
      for (uint32_t id : staying) load(id, "kept" + num(id) + "[i]");
      w_.close();
    }
    w_.line(unrolled_ ? "#pragma unroll" : "#pragma unroll 1");
    w_.open("for (int begin = 0; begin < N; begin += " + kAhead + ")");
    if (!loaded.empty()) {
      for (uint32_t id : loaded) w_.line("Kept<" + input_type(id) + ", kV> raw" + num(id) + "[" + kAhead + "];");
      open_vectors("begin", "begin + " + kAhead);
      for (uint32_t id : loaded) load(id, "raw" + num(id) + "[i - begin]");
      w_.close();
    }
    open_vectors("begin", "begin + " + kAhead);
    if (fit_ != RowFit::full) w_.line("if (valid == 0) continue;");
    for (uint32_t id : ids) {
      if (inst(id).op != Op::input) continue;
      const auto k = num(inst(id).index);
      w_.line(input_type(id) + " x" + k + "[kV];");
      const bool alone = std::find(loaded.begin(), loaded.end(), id) != loaded.end();
      w_.line((alone ? "raw" + num(id) + "[i - begin]" : "kept" + num(id) + "[i]") + ".give(x" + k + ");");
    }
    w_.element_format = "x%[j]";
    if (last)
      for (int k : staged_.row_outputs)
        w_.line(std::string(memory_type(staged_.program.outputs[static_cast<size_t>(k)].dtype)) + " y" + num(k) +
                "[kV];");
    w_.line("#pragma unroll");
    w_.open("for (int j = 0; j < kV; j += " + num(w_.step()) + ")");
    for (uint32_t id : ids) {
      const std::string kept = "kept" + num(id) + "[i]";
      if (inst(id).op != Op::input && plan_.finds(id, p)) {
        is_pair(id) ? w_.take_pair(id, kept) : w_.take(id, kept);
        continue;
      }
      w_.values({id}, Level::row);
      if (inst(id).op == Op::input || !plan_.leaves(id, p)) continue;
      if (is_pair(id)) {
        const std::string x = w_.packed(id, half_of(inst(id).op));
        w_.line(kept + "[j / 2] = " + x + ";");
        continue;
      }
      for (int e = 0; e < w_.step(); ++e) {
        const std::string x = w_.value(id, e);
        w_.line(kept + "[j" + (e ? " + 1" : "") + "] = " + x + ";");
      }
    }
    for (int slot = last ? 0 : first_slot(p); slot < (last ? 0 : first_slot(p + 1)); ++slot) accumulate(slot);
    if (last)
      for (int k : staged_.row_outputs) w_.put(staged_.program.outputs[static_cast<size_t>(k)], "y" + num(k));
    w_.close();
    w_.forget(Level::row);
    if (last) {
      for (int k : staged_.row_outputs)
        w_.line((form_ == RowForm::few && fit_ == RowFit::full ? "if (active) row" : "row") +
                num(staged_.output_operand(k)) + ".template store<" + even() + ">(at, valid, y" + num(k) + ");");
    }
    w_.close();
    w_.close();
    if (!last) end_reductions(p);
  }

  /// Some of a thread's vectors: `at` and `valid` are theirs.
  void open_vectors(const std::string& from, const std::string& to) {
    w_.line("#pragma unroll");
    w_.open("for (int i = " + from + "; i < " + to + "; ++i)");
    w_.line("const int at = first + i * (32 * kV);");
    if (fit_ == RowFit::full)
      w_.line("constexpr int valid = kV;");
    else
      w_.line("const int valid = " +
              std::string(fit_ == RowFit::even ? "at < length ? kV : 0;" : "valid_of(length, at, kV);"));
  }
  const char* even() const { return fit_ == RowFit::any ? "false" : "true"; }
  void load(uint32_t id, const std::string& to) {
    w_.line("row" + num(inst(id).index) + ".template load<" + even() + ">(at, valid, " + to + ");");
  }

  const Staged& staged_;
  Writer w_;
  RowForm form_;
  RowFit fit_;
  bool unrolled_;  // else in loops, nothing kept
  bool wide_;  // 128 registers a thread
  int most_words_;
  KeepPlan plan_;
  Source source_;
};

}  // namespace

Source rows_source(const Staged& staged, RowForm form, RowFit fit) { return RowsSource(staged, form, fit).write(); }

}  // namespace plait::cuda
