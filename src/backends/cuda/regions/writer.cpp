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

void Writer::prelude(int lanes) {
  text += kSourcePrelude;
  line("using namespace plait::cuda;");
  line("using A = Arguments<" + num(staged_.operand_count()) + ", " +
       num(static_cast<long long>(staged_.program.scalars.size())) + ">;");
  line("constexpr int kV = " + num(lanes) + ";");
}

void Writer::kernel(Source& source, const std::string& name, int threads, const std::string& extra) {
  source.kernels.push_back(name);
  line("extern \"C\" __global__ void __launch_bounds__(" + num(threads) + ")");
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
  std::string text = "op_" + std::string(ir::name_of(inst.op));
  if (inst.op == Op::convert || inst.op == Op::bitcast) text += std::string("<") + value_type(inst.type) + ">";
  uint32_t ids[3];
  const int count = operands_of(inst, ids);
  for (int k = 0; k < count; ++k) text += (k ? ", " : "(") + value(ids[k]);
  return text + ")";
}

void Writer::values(const std::vector<uint32_t>& ids, Level level) {
  for (uint32_t id : ids) {
    const ir::Inst& inst = staged_.program.code[id];
    if (inst.level != level || defined(id)) continue;
    check_internal(!ir::is_reduction(inst.op), "CUDA region: a reduction is read before it is known");
    line("const " + std::string(value_type(inst.type)) + " " + value(id) + " = " + expression(id) + ";");
    defined_.insert(id);
  }
}

void Writer::forget(Level level) {
  for (auto it = defined_.begin(); it != defined_.end();)
    it = staged_.level(*it) == level ? defined_.erase(it) : std::next(it);
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
