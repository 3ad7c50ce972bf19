#include "graph/dims.h"

#include "plait/error.h"

namespace plait {
namespace {

thread_local DimScope* scope = nullptr;

int64_t apply(char op, int64_t a, int64_t b) {
  switch (op) {
    case '+': return Dim::add(a, b);
    case '-': return Dim::subtract(a, b);
    case '*': return Dim::multiply(a, b);
    default: return b > 0 ? Dim::floor_div(a, b) : 0;
  }
}

}  // namespace

DimScope::DimScope() : before_(scope) {
  record_.exprs.push_back({.op = 'c'});
  scope = this;
}

DimScope::~DimScope() { scope = before_; }

DimScope* DimScope::current() { return scope; }

Dim DimScope::variable(int64_t value) {
  record_.exprs.push_back({.op = 'v', .constant = variables_++});
  return Dim::symbolic(value, static_cast<uint32_t>(record_.exprs.size() - 1));
}

uint32_t DimScope::intern(Record::Expr expr, int64_t) {
  auto& exprs = record_.exprs;
  for (uint32_t i = 1; i < exprs.size(); ++i) {
    const auto& e = exprs[i];
    if (e.op == expr.op && e.a == expr.a && e.b == expr.b && e.constant == expr.constant) return i;
  }
  exprs.push_back(expr);
  return static_cast<uint32_t>(exprs.size() - 1);
}

uint32_t DimScope::of(Dim d) {
  return d.expr() != 0 ? d.expr() : intern({.op = 'c', .constant = d.value()}, d.value());
}

// Neutral operands leave the expression as it is, so that x * 1 and x are seen to be equal.
Dim Dim::combine(char op, Dim a, Dim b) {
  const int64_t value = apply(op, a.value_, b.value_);
  if (scope == nullptr) return Dim(value);
  if (b.expr_ == 0 && b.value_ == (op == '*' || op == '/' ? 1 : 0)) return a;
  if (a.expr_ == 0 && ((op == '*' && a.value_ == 1) || (op == '+' && a.value_ == 0))) return b;
  if ((op == '*') && ((a.expr_ == 0 && a.value_ == 0) || (b.expr_ == 0 && b.value_ == 0))) return Dim(0);
  if (op == '-' && a.expr_ == b.expr_) return Dim(0);
  uint32_t x = scope->of(a);
  uint32_t y = scope->of(b);
  if ((op == '+' || op == '*') && x > y) std::swap(x, y);
  return symbolic(value, scope->intern({.op = op, .a = x, .b = y}, value));
}

bool Dim::compare(char op, Dim a, Dim b) {
  const bool result = op == '=' ? a.value_ == b.value_ : a.value_ < b.value_;
  if (scope == nullptr || a.expr_ == b.expr_) return result;
  const uint32_t x = scope->of(a);
  const uint32_t y = scope->of(b);
  for (const auto& g : scope->record_.guards)
    if (g.op == op && g.a == x && g.b == y) return result;
  scope->record_.guards.push_back({.op = op, .a = x, .b = y, .result = result});
  return result;
}

int64_t Dim::fix() const {
  if (scope != nullptr) {
    for (const auto& g : scope->record_.guards)
      if (g.op == 'f' && g.a == expr_) return value_;
    scope->record_.guards.push_back({.op = 'f', .a = expr_, .constant = value_});
  }
  return value_;
}

std::vector<int64_t> DimScope::Record::values(const std::vector<int64_t>& variables) const {
  std::vector<int64_t> out(exprs.size());
  for (size_t i = 1; i < exprs.size(); ++i) {
    const Expr& e = exprs[i];
    out[i] = e.op == 'v'   ? variables[static_cast<size_t>(e.constant)]
             : e.op == 'c' ? e.constant
                           : apply(e.op, out[e.a], out[e.b]);
  }
  return out;
}

namespace {
bool guard_holds(const DimScope::Record::Guard& g, const std::vector<int64_t>& v) {
  if (g.op == 'f') return v[g.a] == g.constant;
  return (g.op == '=' ? v[g.a] == v[g.b] : v[g.a] < v[g.b]) == g.result;
}
}  // namespace

bool DimScope::Record::holds(const std::vector<int64_t>& values) const {
  for (const Guard& g : guards)
    if (!guard_holds(g, values)) return false;
  return true;
}

std::string DimScope::Record::why_not(const std::vector<int64_t>& values) const {
  for (const Guard& g : guards) {
    if (guard_holds(g, values)) continue;
    if (g.op == 'f')
      return "an extent read as a number was " + std::to_string(g.constant) + " and is now " +
             std::to_string(values[g.a]);
    const char* relation =
        g.op == '=' ? (g.result ? " were equal" : " differed") : (g.result ? " were ordered" : " were not ordered");
    return "extents " + std::to_string(values[g.a]) + " and " + std::to_string(values[g.b]) + relation + " when traced";
  }
  return "";
}

std::string DimScope::Record::in_words(uint32_t expr) const {
  const Expr& e = exprs[expr];
  if (e.op == 'c') return std::to_string(e.constant);
  if (e.op == 'v') {
    const auto letters = int64_t{'z' - 'a' + 1};
    const std::string letter(1, static_cast<char>('a' + e.constant % letters));
    return e.constant < letters ? letter : letter + std::to_string(e.constant / letters);
  }
  const auto operand = [&](uint32_t at) {
    const bool plain = exprs[at].op == 'c' || exprs[at].op == 'v';
    return plain ? in_words(at) : "(" + in_words(at) + ")";
  };
  return operand(e.a) + " " + (e.op == '/' ? "//" : std::string(1, e.op)) + " " + operand(e.b);
}

std::string DimScope::Record::in_words(const Guard& guard) const {
  if (guard.op == 'f') return in_words(guard.a) + " was read as a number and is " + std::to_string(guard.constant);
  const char* relation = guard.op == '=' ? (guard.result ? " = " : " != ") : (guard.result ? " < " : " >= ");
  return in_words(guard.a) + relation + in_words(guard.b);
}

Dim Shape::count() const {
  Dim n = 1;
  for (const Dim& d : *this) n *= d;
  return n;
}

int64_t Shape::count_value() const {
  int64_t n = 1;
  bool fits = true;
  for (const Dim& d : *this) {
    if (d.value() == 0) return 0;
    fits &= !__builtin_mul_overflow(n, d.value(), &n);
  }
  return fits ? n : INT64_MAX;
}

std::vector<int64_t> Shape::values() const {
  std::vector<int64_t> out;
  out.reserve(size());
  for (const Dim& d : *this) out.push_back(d.value());
  return out;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i].value());
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace plait
