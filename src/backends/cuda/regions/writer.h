// What the texts of source.h have in common: names of types, values as lines.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "backends/cuda/regions/source.h"

namespace plait::cuda {

std::string num(long long x);
const char* value_type(DType type);
const char* memory_type(DType dtype);

class Writer {
 public:
  explicit Writer(const Staged& staged);

  std::string text;
  void line(const std::string& what) {
    text.append(static_cast<size_t>(2 * depth_), ' ');
    text += what;
    text += '\n';
  }
  void open(const std::string& what) {
    line(what + " {");
    ++depth_;
  }
  void close(const char* what = "}") {
    --depth_;
    line(what);
  }

  /// The text's beginning: headers, the type of the arguments, `kV`.
  void prelude(int lanes);
  /// A kernel's heading; `extra` are further parameters.
  /// `bounds`: threads of a block, and blocks that a multiprocessor should hold.
  void kernel(Source& source, const std::string& name, const std::string& bounds, const std::string& extra = "");
  void kernel(Source& source, const std::string& name, int threads, const std::string& extra = "") {
    kernel(source, name, num(threads), extra);
  }

  /// Values of `ids` that have this level and are not defined yet, with what they are made from. Elements of row inputs are
  /// expected in `x<k>` (an expression, set by element_text), outer inputs are read at `off<k>`, scalars from `a`.
  void values(const std::vector<uint32_t>& ids, ir::Level level);
  /// How the element of row input k is written.
  std::string element_format = "x%[j]";

  std::string value(uint32_t id) const { return "v" + std::to_string(id); }

  // Elements two by two, for programs of 16-bit floats: a loop over j with step(), in it value(id, e) for element j + e. Definitions
  // are written as values are asked for, as two floats or as a pair of 16-bit floats.
  void allow_pairs(bool allowed) { pairs_ = allowed && rounds_; }
  int step() const { return pairs_ ? 2 : 1; }
  /// The value of element j + e; without pairs, `values` has to have defined it.
  std::string value(uint32_t id, int e);
  /// From where on a value is held in `name`[j], of an earlier pass.
  void take(uint32_t id, const std::string& name);
  /// The same for a pair in `name`[j / 2].
  void take_pair(uint32_t id, const std::string& name);
  /// Elements j, j + 1 of a value as a pair.
  std::string packed(uint32_t id, DType half);
  /// Makes ready what elements of `ids` are divided by, where that is the same for a row.
  void divisors(const std::vector<uint32_t>& ids);
  /// Elements j, j + 1 of `y`, the output's place.
  void put(const RegionProgram::Output& out, const std::string& y);
  /// Forgets the values of a level: their scope has ended.
  void forget(ir::Level level);
  void define(uint32_t id) { defined_.insert(id); }
  bool defined(uint32_t id) const { return defined_.count(id) != 0; }

  /// Operands of row inputs that `ids` read.
  std::vector<int> row_inputs(const std::vector<uint32_t>& ids) const;
  static std::string reduction(ir::Op op) { return std::string(ir::name_of(op)); }

 private:
  std::string expression(uint32_t id) const;
  std::string call(uint32_t id, const std::string (&operands)[3]) const;
  bool is_row(uint32_t id) const { return staged_.level(id) == ir::Level::row; }
  bool has_divisor(const ir::Inst& inst) const;
  void widen(uint32_t id);

  const Staged& staged_;
  std::set<uint32_t> defined_;
  std::set<uint32_t> divisors_;
  std::set<uint32_t> packed_;  // row values that have a pair
  bool rounds_ = false;  // to 16 bits, somewhere
  bool pairs_ = false;
  int depth_ = 0;
};

}  // namespace plait::cuda
