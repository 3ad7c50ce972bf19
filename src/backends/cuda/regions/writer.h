// What the texts of source.h have in common: names of types, values as lines.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "backends/cuda/regions/source.h"

namespace plait::cuda {

const char* value_type(DType type);
const char* memory_type(DType dtype);

class Writer {
 public:
  explicit Writer(const Staged& staged) : staged_(staged) {}

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
  void kernel(Source& source, const std::string& name, int threads, const std::string& extra = "");

  /// Values of `ids` that have this level and are not defined yet, with what they are made from. Elements of row inputs are
  /// expected in `x<k>` (an expression, set by element_text), outer inputs are read at `off<k>`, scalars from `a`.
  void values(const std::vector<uint32_t>& ids, ir::Level level);
  /// How the element of row input k is written.
  std::string element_format = "x%[j]";

  std::string value(uint32_t id) const { return "v" + std::to_string(id); }
  /// Forgets the values of a level: their scope has ended.
  void forget(ir::Level level);
  void define(uint32_t id) { defined_.insert(id); }
  bool defined(uint32_t id) const { return defined_.count(id) != 0; }

  /// Operands of row inputs that `ids` read.
  std::vector<int> row_inputs(const std::vector<uint32_t>& ids) const;
  static std::string reduction(ir::Op op) { return std::string(ir::name_of(op)); }

 private:
  std::string expression(uint32_t id) const;
  const Staged& staged_;
  std::set<uint32_t> defined_;
  int depth_ = 0;
};

std::string num(long long x);

}  // namespace plait::cuda
