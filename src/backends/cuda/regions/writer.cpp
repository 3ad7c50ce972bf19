#include "backends/cuda/regions/writer.h"

#include <cinttypes>
#include <cstdio>

#include "plait/error.h"

namespace plait::cuda {

using ir::Level;
using ir::Op;

const char* const kSourcePrelude = "#include \"backends/cuda/regions/device/tier1.cuh\"\n";

std::string num(long long x) { return std::to_string(x); }

const char* value_type(DType type) {
  switch (type) {
    case DType::bool_: return "bool";
    case DType::uint8: return "u8";
    case DType::uint16: return "u16";
    case DType::uint32: return "u32";
    case DType::uint64: return "u64";
    case DType::int8: return "i8";
    case DType::int16: return "i16";
    case DType::int32: return "i32";
    case DType::int64: return "i64";
    case DType::float64: return "double";
    case DType::complex64: return "Complex";
    default: return "float";
  }
}
const char* memory_type(DType dtype) {
  return dtype == DType::float16 ? "Half" : dtype == DType::bfloat16 ? "Brain" : value_type(dtype);
}

Writer::Writer(const Staged& staged) : staged_(staged) {
  for (const ir::Inst& inst : staged.program.code) rounds_ |= inst.op == Op::round_f16 || inst.op == Op::round_bf16;
  allow_pairs(true);
}

void Writer::prelude(int lanes) {
  text += kSourcePrelude;
  line("using namespace plait::cuda;");
  line("using A = Arguments<" + num(staged_.operand_count()) + ", " +
       num(static_cast<long long>(staged_.program.scalars.size())) + ">;");
  line("constexpr int kV = " + num(lanes) + ";");
}

void Writer::kernel(Source& source, const std::string& name, const std::string& bounds, const std::string& extra) {
  source.kernels.push_back(name);
  line("extern \"C\" __global__ void __launch_bounds__(" + bounds + ")");
  open(name + "(const __grid_constant__ A a" + extra + ")");
}

std::string Writer::expression(uint32_t id) const {
  const ir::Inst& inst = staged_.program.code[id];
  const auto index = static_cast<size_t>(inst.index);
  switch (inst.op) {
    case Op::input: {
      const auto k = num(inst.index);
      const std::string memory = memory_type(staged_.program.inputs[index].dtype);
      if (inst.level == Level::scalar)
        return "widened(*reinterpret_cast<const " + memory + "*>(a.operand[" + k + "].data))";
      if (inst.level == Level::outer)
        return "widened(*reinterpret_cast<const " + memory + "*>(a.operand[" + k + "].data + off[" + k + "]))";
      std::string element = element_format;
      element.replace(element.find('%'), 1, k);
      return "widened(" + element + ")";
    }
    case Op::scalar:
      return "widened(from_bits<" + std::string(memory_type(staged_.program.scalars[index])) + ">(a.scalar[" +
             num(inst.index) + "]))";
    case Op::constant: {
      char bits[32];
      std::snprintf(bits, sizeof bits, "0x%" PRIx64 "ull", inst.imm.bits);
      return "from_bits<" + std::string(value_type(inst.type)) + ">(" + bits + ")";
    }
    default: break;
  }
  uint32_t ids[3];
  std::string operands[3];
  for (int k = operands_of(inst, ids); k-- > 0;) operands[k] = value(ids[k]);
  return call(id, operands);
}
std::string Writer::call(uint32_t id, const std::string (&operands)[3]) const {
  const ir::Inst& inst = staged_.program.code[id];
  std::string text = staged_.narrow[id] ? "op_exp_narrow" : "op_" + std::string(ir::name_of(inst.op));
  if (inst.op == Op::convert || inst.op == Op::bitcast) text += std::string("<") + value_type(inst.type) + ">";
  for (int k = 0; k < ir::operand_count(inst.op); ++k)
    text += (k ? ", " : "(") + (k == 1 && has_divisor(inst) ? "d" + num(inst.b) : operands[k]);
  return text + ")";
}

void Writer::values(const std::vector<uint32_t>& ids, Level level) {
  if (pairs_ && level == Level::row) return;  // as they are asked for
  for (uint32_t id : ids) {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.level != level || defined(id)) continue;
    check_internal(!ir::is_reduction(inst.op), "CUDA region: a reduction is read before it is known");
    line("const " + std::string(value_type(inst.type)) + " " + value(id) + " = " + expression(id) + ";");
    defined_.insert(id);
  }
}

bool Writer::has_divisor(const ir::Inst& inst) const {
  return inst.op == Op::div && inst.level == Level::row && divisors_.count(inst.b) != 0;
}
void Writer::divisors(const std::vector<uint32_t>& ids) {
  for (uint32_t id : ids) {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.op != Op::div || inst.type != DType::float32 || !is_row(id) || is_row(inst.b)) continue;
    if (divisors_.insert(inst.b).second) line("const Divisor d" + num(inst.b) + " = divisor(" + value(inst.b) + ");");
  }
}

void Writer::forget(Level level) {
  for (auto it = divisors_.begin(); it != divisors_.end();)
    it = staged_.level(*it) == level ? divisors_.erase(it) : std::next(it);
  for (auto it = defined_.begin(); it != defined_.end();)
    it = staged_.level(*it) == level ? defined_.erase(it) : std::next(it);
  if (level == Level::row) packed_.clear();
}

// --- pairs ---------------------------------------------------------------------------------------------------------------

std::string Writer::packed(uint32_t id, DType half) {
  const ir::Inst& inst = staged_.program.code[id];
  const std::string memory = memory_type(half), name = "p" + num(id);
  if (!is_row(id)) return "pair_of<" + memory + ">(" + value(id) + ", " + value(id) + ")";
  if (packed_.count(id)) return name;
  std::string made;
  const bool rounds = inst.op == (half == DType::float16 ? Op::round_f16 : Op::round_bf16);
  if (inst.op == Op::input && !defined(id)) {
    std::string low = element_format, high = element_format;
    low.replace(low.find('%'), 1, num(inst.index));
    high.replace(high.find('%'), 1, num(inst.index));
    high.replace(high.find("[j]"), 3, "[j + 1]");
    made = "pair_of<" + memory + ">(" + low + ", " + high + ")";
  } else if (rounds && !defined(id)) {
    const ir::Inst& from = staged_.program.code[inst.a];
    const bool exact = from.op == Op::add || from.op == Op::sub || from.op == Op::mul;
    if (exact && is_row(inst.a) && !defined(inst.a) && staged_.holds(from.a, half) && staged_.holds(from.b, half)) {
      const std::string a = packed(from.a, half), b = packed(from.b, half);
      made = "op_" + std::string(ir::name_of(from.op)) + "_pair<" + memory + ">(" + a + ", " + b + ")";
    } else if (has_divisor(from) && !defined(inst.a) && staged_.holds(from.a, half) && staged_.holds(from.b, half)) {
      const std::string low = value(from.a, 0), high = value(from.a, 1);
      made = "op_div_pair<" + memory + ">(" + low + ", " + high + ", d" + num(from.b) + ")";
    } else {
      const std::string low = value(inst.a, 0), high = value(inst.a, 1);
      made = "pair_of<" + memory + ">(" + low + ", " + high + ")";
    }
  } else {
    const std::string low = value(id, 0), high = value(id, 1);
    made = "pair_of<" + memory + ">(" + low + ", " + high + ")";
  }
  line("const u32 " + name + " = " + made + ";");
  packed_.insert(id);
  return name;
}

void Writer::widen(uint32_t id) {
  const ir::Inst& inst = staged_.program.code[id];
  const std::string type = "const " + std::string(value_type(inst.type)) + " ";
  if (inst.op == Op::round_f16 || inst.op == Op::round_bf16) {
    const DType half = inst.op == Op::round_f16 ? DType::float16 : DType::bfloat16;
    const std::string pair = packed(id, half), memory = memory_type(half);
    line(type + value(id) + "_0 = low_of<" + memory + ">(" + pair + "), " + value(id) + "_1 = high_of<" + memory +
         ">(" + pair + ");");
    return;
  }
  check_internal(!ir::is_reduction(inst.op), "CUDA region: a reduction is read before it is known");
  std::string made[2];
  if (inst.op == Op::input) {
    made[0] = made[1] = expression(id);
    made[1].replace(made[1].find("[j]"), 3, "[j + 1]");
  } else {
    uint32_t ids[3];
    for (int e = 0; e < 2; ++e) {
      std::string operands[3];
      const int count = operands_of(inst, ids);
      for (int k = 0; k < count; ++k) operands[k] = value(ids[k], e);
      made[e] = call(id, operands);
    }
  }
  line(type + value(id) + "_0 = " + made[0] + ", " + value(id) + "_1 = " + made[1] + ";");
}

std::string Writer::value(uint32_t id, int e) {
  if (!pairs_ || !is_row(id)) return value(id);
  if (!defined(id)) {
    widen(id);
    defined_.insert(id);
  }
  return value(id) + "_" + num(e);
}

void Writer::take(uint32_t id, const std::string& name) {
  const std::string type = "const " + std::string(value_type(staged_.program.code[id].type)) + " ";
  if (pairs_)
    line(type + value(id) + "_0 = " + name + "[j], " + value(id) + "_1 = " + name + "[j + 1];");
  else
    line(type + value(id) + " = " + name + "[j];");
  defined_.insert(id);
}

void Writer::take_pair(uint32_t id, const std::string& name) {
  line("const u32 p" + num(id) + " = " + name + "[j / 2];");
  packed_.insert(id);
}

void Writer::put(const RegionProgram::Output& out, const std::string& y) {
  const std::string memory = memory_type(out.dtype);
  if (pairs_ && is_half(out.dtype)) {
    const std::string pair = staged_.holds(out.value, out.dtype)
                                 ? packed(out.value, out.dtype)
                                 : "pair_of<" + memory + ">(" + value(out.value, 0) + ", " + value(out.value, 1) + ")";
    line("take_apart(" + pair + ", " + y + "[j], " + y + "[j + 1]);");
    return;
  }
  for (int e = 0; e < step(); ++e) {
    const std::string x = value(out.value, e);
    line(y + (e ? "[j + 1]" : "[j]") + " = narrowed<" + memory + ">(" + x + ");");
  }
}

std::vector<int> Writer::row_inputs(const std::vector<uint32_t>& ids) const {
  std::set<int> inputs;
  for (uint32_t id : ids) {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.op == Op::input && inst.level == Level::row) inputs.insert(static_cast<int>(inst.index));
  }
  return {inputs.begin(), inputs.end()};
}

}  // namespace plait::cuda
