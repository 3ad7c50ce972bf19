#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/writer.h"

namespace plait::cuda {
namespace {

using ir::Level;

/// One text with a kernel for each pass.
class SplitSource {
 public:
  explicit SplitSource(const Staged& staged) : staged_(staged), w_(staged) {}

  Source write(SplitForm form) {
    is_block_ = form == SplitForm::block;
    const bool rows = form == SplitForm::rows || is_block_;
    one_axis_ = form == SplitForm::columns;
    w_.allow_pairs(rows);
    w_.prelude(row_lanes(staged_));
    w_.line("constexpr int kH = kLanesOfChunk / 32 / kV;");
    w_.line("constexpr int kSteps = kChunk / kLanesOfChunk;");
    if (is_block_) {
      block();
    } else {
      for (int p = 0; p < staged_.passes; ++p) rows ? pass_rows(p) : pass_columns(p);
      if (!staged_.row_outputs.empty()) rows ? final_rows() : final_columns();
      if (!staged_.outer_outputs.empty()) outer();
    }
    source_.text = std::move(w_.text);
    return std::move(source_);
  }

 private:
  const ir::Inst& inst(uint32_t id) const { return staged_.program.code[id]; }
  std::string operand(int k) const { return "a.operand[" + num(k) + "]"; }
  uint32_t reduction(int slot) const { return staged_.reductions[static_cast<size_t>(slot)]; }
  int first(int p) const { return staged_.first_slot[static_cast<size_t>(p)]; }
  int last(int p) const { return staged_.first_slot[static_cast<size_t>(p) + 1]; }

  void begin(const std::string& name, const std::vector<uint32_t>& ids, const std::string& bounds = num(kThreads)) {
    w_.kernel(source_, name, bounds, ", const Batch batch");
    w_.values(ids, Level::scalar);
  }
  void end() {
    w_.close();
    w_.forget(Level::scalar);
  }
  /// Offsets of row `batch.first + row`, and the outer values there.
  void begin_row(const std::vector<uint32_t>& ids) {
    const auto n = num(staged_.operand_count());
    w_.line("i64 off[" + n + "];");
    w_.line("row_offsets<" + n + ">(a.space, a.operand, static_cast<u64>(batch.first + row), off);");
    for (uint32_t id : ids) {
      const int slot = staged_.slot_of[id];
      if (slot < 0) continue;
      w_.line("const " + std::string(value_type(inst(id).type)) + " " + w_.value(id) + " = from_bits<" +
              value_type(inst(id).type) + ">(batch.results[" + num(slot) + " * batch.count + row]);");
      w_.define(id);
    }
    w_.values(ids, Level::outer);
    w_.divisors(ids);
  }
  void end_row() { w_.forget(Level::outer); }

  /// Warps take chunks of rows.
  void begin_warps(const std::vector<uint32_t>& ids) {
    w_.line("const int lane = threadIdx.x % 32;");
    w_.line("const i64 units = batch.count * batch.chunks;");
    w_.open("for (i64 unit = blockIdx.x * i64{" + num(kThreads / 32) +
            "} + threadIdx.x / 32; unit < units; unit += gridDim.x * i64{" + num(kThreads / 32) + "})");
    w_.line("const i64 row = unit / batch.chunks, chunk = unit - row * batch.chunks;");
    begin_row(ids);
  }
  std::string input_type(int k) const { return memory_type(staged_.operand_dtype(k)); }
  /// Vectors of a chunk, in rounds of `ahead` steps whose loads go ahead of what uses them.
  void begin_vectors(const std::vector<uint32_t>& ids, bool stores) {
    const auto inputs = w_.row_inputs(ids);
    int words = 0;
    for (int k : inputs) words += kChunk / 32 * size_of(staged_.operand_dtype(k)) / 4;
    int ahead = stores ? 2 : 4;
    if (is_block_)  // of 64 registers a thread
      for (int most = 32; words > most && ahead > 1; most *= 2) ahead /= 2;
    else if (words > 64)
      ahead = 2;
    w_.line("constexpr int kAhead = " + num(ahead) + ";  // of kSteps");
    w_.line("#pragma unroll 1");
    w_.open("for (int begin = 0; begin < kSteps; begin += kAhead)");
    if (!inputs.empty()) {
      for (int k : inputs) w_.line("Kept<" + input_type(k) + ", kV> raw" + num(k) + "[kAhead * kH];");
      open_vectors();
      w_.line("if (valid == 0) continue;");
      for (int k : inputs) {
        const std::string raw = "at, valid, raw" + num(k) + "[step * kH + h]);";
        w_.line(is_block_ ? "row" + num(k) + ".template load<true>(" + raw
                          : "load_row(a.space, " + operand(k) + ", off[" + num(k) + "], " + raw);
      }
      close_vectors();
    }
    open_vectors();
    w_.line("if (valid == 0) continue;");
    for (int k : inputs) {
      w_.line(input_type(k) + " x" + num(k) + "[kV];");
      w_.line("raw" + num(k) + "[step * kH + h].give(x" + num(k) + ");");
    }
    w_.element_format = "x%[j]";
  }
  void end_vectors() {
    close_vectors();
    w_.close();
  }
  void open_vectors() {
    w_.line("#pragma unroll");
    w_.open("for (int step = 0; step < kAhead; ++step)");
    w_.line("#pragma unroll");
    w_.open("for (int h = 0; h < kH; ++h)");
    w_.line("const " + std::string(is_block_ ? "int" : "i64") +
            " at = chunk * kChunk + (((begin + step) * kH + h) * 32 + lane) * kV;");
    w_.line(is_block_ ? "const int valid = at < length ? kV : 0;"
                      : "const int valid = valid_of(a.space.length, at, kV);");
  }
  void close_vectors() {
    w_.close();
    w_.close();
  }

  void pass_rows(int p) {
    const auto ids = staged_.needed_in(p);
    begin("pass" + num(p), ids);
    begin_warps(ids);
    reduce_chunk(p, ids);
    for (int slot = first(p); slot < last(p); ++slot)
      w_.line("if (lane == 0) batch.partials[(" + num(slot - first(p)) +
              " * batch.count + row) * batch.chunks + chunk] = bits" + num(slot) + ";");
    w_.close();
    end_row();
    end();
  }
  /// The results of a pass of one chunk, as `bits<slot>`.
  void reduce_chunk(int p, const std::vector<uint32_t>& ids) {
    for (int slot = first(p); slot < last(p); ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      w_.line(std::string(value_type(r.type)) + " acc" + num(slot) + "[kH][kV];");
    }
    w_.line("#pragma unroll");
    w_.open("for (int i = 0; i < kH * kV; ++i)");
    for (int slot = first(p); slot < last(p); ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      w_.line("acc" + num(slot) + "[i / kV][i % kV] = " + Writer::reduction(r.op) + "::identity<" + value_type(r.type) +
              ">();");
    }
    w_.close();
    begin_vectors(ids, false);
    w_.line("#pragma unroll");
    w_.open("for (int j = 0; j < kV; j += " + num(w_.step()) + ")");
    w_.values(ids, Level::row);
    for (int slot = first(p); slot < last(p); ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      for (int e = 0; e < w_.step(); ++e) {
        const std::string j = e ? "j + 1" : "j", acc = "acc" + num(slot) + "[h][" + j + "]", x = w_.value(r.a, e);
        w_.line("if (" + j + " < valid) " + acc + " = " + Writer::reduction(r.op) + "::combine(" + acc + ", " + x +
                ");");
      }
    }
    w_.close();
    w_.forget(Level::row);
    end_vectors();
    for (int slot = first(p); slot < last(p); ++slot) {
      const ir::Inst& r = inst(reduction(slot));
      w_.line("const u64 bits" + num(slot) + " = to_bits(chunk_tree<" + Writer::reduction(r.op) + ">(acc" + num(slot) +
              ", 32));");
    }
  }

  /// All passes over a row in one kernel: what one reads, the next finds in the caches.
  void block() {
    const auto n = num(staged_.operand_count());
    const auto outer_ids = staged_.needed(staged_.values_of(staged_.outer_outputs));
    w_.kernel(source_, "long_rows", kLongThreads);
    for (int p = 0; p <= staged_.passes; ++p) w_.values(staged_.needed_in(p), Level::scalar);
    w_.values(outer_ids, Level::scalar);
    w_.line("__shared__ u64 partial[" + num(staged_.most_reductions()) + "][kLongChunks];");
    w_.line("const int lane = threadIdx.x % 32, length = static_cast<int>(a.space.length);");
    w_.line("const int chunks = (length + kChunk - 1) / kChunk;");
    w_.open("for (i64 row = blockIdx.x; row < a.space.rows; row += gridDim.x)");
    w_.line("i64 off[" + n + "];");
    w_.line("row_offsets<" + n + ">(a.space, a.operand, static_cast<u64>(row), off);");
    std::vector<uint32_t> read;
    for (int p = 0; p <= staged_.passes; ++p)
      for (uint32_t id : staged_.needed_in(p)) read.push_back(id);
    std::vector<int> operands = w_.row_inputs(read);
    for (int k : staged_.row_outputs) operands.push_back(staged_.output_operand(k));
    for (int k : operands)
      w_.line("const RowOf<" + input_type(k) + ", kV> row" + num(k) + "(a.space, " + operand(k) + ", off[" + num(k) +
              "]);");
    const std::string each_chunk =
        "for (int chunk = threadIdx.x / 32; chunk < chunks; chunk += " + num(kLongThreads / 32) + ")";
    for (int p = 0; p < staged_.passes; ++p) {
      const auto ids = staged_.needed_in(p);
      w_.values(ids, Level::outer);
      w_.divisors(ids);
      w_.open(each_chunk);
      reduce_chunk(p, ids);
      for (int slot = first(p); slot < last(p); ++slot)
        w_.line("if (lane == 0) partial[" + num(slot - first(p)) + "][chunk] = bits" + num(slot) + ";");
      w_.close();
      w_.line("__syncthreads();");
      for (int slot = first(p); slot < last(p); ++slot) {
        w_.line("const " + value_of(slot) + " " + w_.value(reduction(slot)) + " = chunks_tree<" + reduction_type(slot) +
                ">(partial[" + num(slot - first(p)) + "], chunks);");
        w_.define(reduction(slot));
      }
      w_.line("__syncthreads();  // the places are free");
    }
    const auto ids = staged_.needed_in(staged_.passes);
    w_.values(ids, Level::outer);
    w_.values(outer_ids, Level::outer);
    w_.divisors(ids);
    w_.line("__syncthreads();  // outputs may be the memory of inputs");
    if (!staged_.row_outputs.empty()) {
      w_.open(each_chunk);
      write_chunk(ids);
      w_.close();
    }
    if (!staged_.outer_outputs.empty()) {
      w_.open("if (threadIdx.x == 0)");
      store_elements(staged_.outer_outputs, "place", "0");
      w_.close();
    }
    w_.close();
    w_.close();
  }

  /// Blocks take neighbouring rows of a chunk, one a thread of x; those of y share the chunk's lanes.
  void begin_columns(const std::vector<uint32_t>& ids) {
    w_.line("const i64 groups = (batch.count + blockDim.x - 1) / blockDim.x, units = groups * batch.chunks;");
    w_.open("for (i64 unit = blockIdx.x; unit < units; unit += gridDim.x)");
    w_.line(
        "const i64 chunk = unit / groups, group = unit - chunk * groups, asked = group * blockDim.x + threadIdx.x;");
    w_.line("const bool active = asked < batch.count;");
    w_.line("const i64 row = active ? asked : batch.count - 1;");
    begin_row(ids);
  }

  void pass_columns(int p) {
    const auto ids = staged_.needed_in(p);
    begin("pass" + num(p), ids, bounds_of_columns(p, ids));
    w_.line("__shared__ u64 shared[" + num(kThreads) + "];");
    w_.line("int lanes = 1;");
    w_.line("while (lanes < kLanesOfChunk && lanes < a.space.length) lanes *= 2;");
    w_.line("lanes = lanes > static_cast<int>(blockDim.y) ? lanes / blockDim.y : 1;");
    begin_columns(ids);
    w_.line("const int count = valid_of(a.space.length, chunk * kChunk, kChunk);");
    for (int slot = first(p); slot < last(p); ++slot)
      w_.line("Carries<" + reduction_type(slot) + "> tree" + num(slot) + ";");
    const auto inputs = w_.row_inputs(ids);
    declare_columns(inputs);
    w_.line("#pragma unroll 1");
    w_.open("for (int first = 0; first < lanes; first += 4)");
    w_.line("const int lane = static_cast<int>(threadIdx.y) * lanes + first, steps = steps_of(count, lane);");
    for (int slot = first(p); slot < last(p); ++slot) w_.line(value_of(slot) + " acc" + num(slot) + "[4];");
    four_lanes();
    for (int slot = first(p); slot < last(p); ++slot)
      w_.line("acc" + num(slot) + "[l] = " + reduction_of(slot) + "::identity<" + value_of(slot) + ">();");
    w_.close();
    if (one_axis_) {  // mostly four lanes have as many elements: loads of all go ahead of what uses them
      w_.open("if (first + 4 <= lanes && steps == steps_of(count, lane + 3))");
      for (int k : inputs) w_.line(input_type(k) + " x" + num(k) + "[4][kSteps];");
      for (int k : inputs) w_.line("column" + num(k) + ".load(chunk * kChunk + lane, steps, x" + num(k) + ");");
      w_.line("#pragma unroll");
      w_.open("for (int step = 0; step < kSteps; ++step)");
      w_.line("if (step >= steps) break;");
      four_lanes();
      w_.element_format = "x%[l][step]";
      accumulate(p, ids);
      w_.close();
      w_.close();
      w_.close();
      w_.open("else");
    }
    w_.line("#pragma unroll 1");
    w_.open("for (int step = 0; step < steps; ++step)");
    w_.line("const int at = lane + step * kLanesOfChunk;");
    for (int k : inputs) w_.line(input_type(k) + " x" + num(k) + "[4];");
    four_lanes();
    for (int k : inputs)
      w_.line("x" + num(k) + "[l] = column" + num(k) +
              ".load(chunk * kChunk + at + l, first + l < lanes && at + l < count);");
    w_.close();
    four_lanes();
    w_.line("if (first + l >= lanes || at + l >= count) continue;");
    w_.element_format = "x%[l]";
    accumulate(p, ids);
    w_.close();
    w_.close();
    if (one_axis_) w_.close();
    for (int slot = first(p); slot < last(p); ++slot)
      w_.line("tree" + num(slot) + ".push(acc" + num(slot) + ", lanes);");
    w_.close();
    for (int slot = first(p); slot < last(p); ++slot) {
      w_.line("const u64 bits" + num(slot) + " = to_bits(column_tree<" + reduction_of(slot) + ">(tree" + num(slot) +
              ".last, shared));");
      w_.line("if (active && threadIdx.y == 0) batch.partials[(" + num(slot - first(p)) +
              " * batch.count + row) * batch.chunks + chunk] = bits" + num(slot) + ";");
    }
    w_.close();
    end_row();
    end();
  }
  /// As many blocks a multiprocessor as what a thread holds of loads and of its trees allows without spilling.
  std::string bounds_of_columns(int p, const std::vector<uint32_t>& ids) const {
    const auto words = [](DType type) { return (size_of(type) + 3) / 4; };
    int held = 0;
    for (int k : w_.row_inputs(ids)) held += 16 * words(staged_.operand_dtype(k));
    for (int slot = first(p); slot < last(p); ++slot) held += 10 * words(inst(reduction(slot)).type);
    return num(kThreads) + (!one_axis_ || held > 48 ? "" : held > 26 ? ", 3" : ", 4");
  }
  std::string reduction_of(int slot) const { return Writer::reduction(inst(reduction(slot)).op); }
  std::string value_of(int slot) const { return value_type(inst(reduction(slot)).type); }
  std::string reduction_type(int slot) const { return reduction_of(slot) + ", " + value_of(slot); }
  void four_lanes() {
    w_.line("#pragma unroll");
    w_.open("for (int l = 0; l < 4; ++l)");
  }
  /// The values of an element into the lanes `l` of the pass's reductions.
  void accumulate(int p, const std::vector<uint32_t>& ids) {
    w_.values(ids, Level::row);
    for (int slot = first(p); slot < last(p); ++slot) {
      const std::string acc = "acc" + num(slot) + "[l]";
      w_.line(acc + " = " + reduction_of(slot) + "::combine(" + acc + ", " + w_.value(inst(reduction(slot)).a) + ");");
    }
    w_.forget(Level::row);
  }

  void final_rows() {
    const auto ids = staged_.needed_in(staged_.passes);
    begin("last", ids);
    begin_warps(ids);
    write_chunk(ids);
    w_.close();
    end_row();
    end();
  }
  void write_chunk(const std::vector<uint32_t>& ids) {
    begin_vectors(ids, true);
    for (int k : staged_.row_outputs)
      w_.line(std::string(memory_type(staged_.program.outputs[static_cast<size_t>(k)].dtype)) + " y" + num(k) +
              "[kV];");
    w_.line("#pragma unroll");
    w_.open("for (int j = 0; j < kV; j += " + num(w_.step()) + ")");
    w_.values(ids, Level::row);
    for (int k : staged_.row_outputs) w_.put(staged_.program.outputs[static_cast<size_t>(k)], "y" + num(k));
    w_.close();
    w_.forget(Level::row);
    for (int k : staged_.row_outputs) {
      const int o = staged_.output_operand(k);
      const std::string y = "at, valid, y" + num(k) + ");";
      w_.line(is_block_ ? "row" + num(o) + ".template store<true>(" + y
                        : "store_row(a.space, " + operand(o) + ", off[" + num(o) + "], " + y);
    }
    end_vectors();
  }

  void final_columns() {
    const auto ids = staged_.needed_in(staged_.passes);
    begin("last", ids);
    begin_columns(ids);
    w_.line("const int count = valid_of(a.space.length, chunk * kChunk, kChunk);");
    const auto inputs = w_.row_inputs(ids);
    declare_columns(inputs);
    std::vector<int> outputs;
    for (int k : staged_.row_outputs) outputs.push_back(staged_.output_operand(k));
    declare_columns(outputs);
    w_.line("const int step = blockDim.y, round = 4 * step;");
    w_.open("for (int i = static_cast<int>(blockIdx.y) * round + threadIdx.y; i < count; i += gridDim.y * round)");
    w_.line("const i64 at = chunk * kChunk + i;");
    for (int k : inputs) w_.line(input_type(k) + " x" + num(k) + "[4];");
    w_.line("#pragma unroll");
    w_.open("for (int u = 0; u < 4; ++u)");
    for (int k : inputs)
      w_.line("x" + num(k) + "[u] = column" + num(k) + ".load(at + u * step, i + u * step < count);");
    w_.close();
    w_.line("#pragma unroll");
    w_.open("for (int u = 0; u < 4; ++u)");
    w_.line("if (!active || i + u * step >= count) break;");
    w_.element_format = "x%[u]";
    w_.values(ids, Level::row);
    for (int k : staged_.row_outputs) {
      const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
      w_.line("column" + num(staged_.output_operand(k)) + ".store(at + u * step, narrowed<" + memory_type(out.dtype) +
              ">(" + w_.value(out.value) + "));");
    }
    w_.forget(Level::row);
    w_.close();
    w_.close();
    w_.close();
    end_row();
    end();
  }
  void declare_columns(const std::vector<int>& operands) {
    for (int k : operands)
      w_.line("const ColumnOf<" + input_type(k) + (one_axis_ ? ", true" : ", false") + "> column" + num(k) +
              "(a.space, " + operand(k) + ", off[" + num(k) + "]);");
  }
  void store_elements(const std::vector<int>& outputs, const std::string& place, const std::string& at) {
    for (int k : outputs) {
      const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
      const int o = staged_.output_operand(k);
      w_.line(place + "<" + memory_type(out.dtype) + ">(a.space, " + operand(o) + ", off[" + num(o) + "], " + at +
              ") = narrowed<" + memory_type(out.dtype) + ">(" + w_.value(out.value) + ");");
    }
  }

  void outer() {
    const auto ids = staged_.needed(staged_.values_of(staged_.outer_outputs));
    begin("outer", ids);
    w_.open("for (i64 row = blockIdx.x * i64{" + num(kThreads) +
            "} + threadIdx.x; row < batch.count; row += gridDim.x * i64{" + num(kThreads) + "})");
    begin_row(ids);
    store_elements(staged_.outer_outputs, "place", "0");
    w_.close();
    end_row();
    end();
  }

  const Staged& staged_;
  Writer w_;
  Source source_;
  bool is_block_ = false;
  bool one_axis_ = false;  // rows of columns have a single one
};

}  // namespace

Source split_source(const Staged& staged, SplitForm form) { return SplitSource(staged).write(form); }

}  // namespace plait::cuda
