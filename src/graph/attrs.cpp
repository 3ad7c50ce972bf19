#include "graph/attrs.h"

namespace plait {
namespace {

template <class... F>
struct Overload : F... {
  using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;  // clang 16 does not deduce an aggregate's arguments by itself

std::string number(double v) {
  std::string text = std::to_string(v);
  while (text.size() > 1 && text.back() == '0' && text[text.size() - 2] != '.') text.pop_back();
  return text;
}

}  // namespace

std::string to_string(const AttrValue& value) {
  return std::visit(Overload{
                        [](bool v) -> std::string { return v ? "true" : "false"; },
                        [](int64_t v) { return std::to_string(v); },
                        [](double v) { return number(v); },
                        [](const std::string& v) { return v; },
                        [](DType v) { return std::string(name_of(v)); },
                        [](const std::vector<int64_t>& v) {
                          std::string text = "[";
                          for (size_t i = 0; i < v.size(); ++i) text += (i ? ", " : "") + std::to_string(v[i]);
                          return text + "]";
                        },
                        [](Dim v) { return std::to_string(v.value()); },
                        [](const Shape& v) { return to_string(v); },
                        [](const Scalar& v) {
                          if (v.kind == Scalar::Kind::floating) return number(v.re);
                          if (v.kind == Scalar::Kind::complex) return number(v.re) + "+" + number(v.im) + "j";
                          return std::to_string(v.i);
                        },
                    },
                    value);
}

AttrValue AttrsView::value(std::string_view name) const {
  if (fields_ != nullptr) {
    for (const auto& field : *fields_) {
      if (field->name != name) continue;
      AttrValue v = field->get(data_);
      if (const Dim* d = std::get_if<Dim>(&v)) return d->value();
      if (const Shape* s = std::get_if<Shape>(&v)) return s->values();
      return v;
    }
  }
  throw InternalError("no attribute named " + std::string(name));
}

namespace detail {

void hash_attr(Hasher& hasher, const AttrValue& value) {
  hasher.add(value.index());
  std::visit(Overload{
                 [&](bool v) { hasher.add(static_cast<uint64_t>(v)); },
                 [&](int64_t v) { hasher.add(v); },
                 [&](double v) { hasher.add(v); },
                 [&](const std::string& v) { hasher.add(std::string_view(v)); },
                 [&](DType v) { hasher.add(static_cast<uint64_t>(v)); },
                 [&](const std::vector<int64_t>& v) { hasher.add(v); },
                 // Bound fields are operands: they never enter a key.
                 [](Dim) {},
                 [](const Shape&) {},
                 [](const Scalar&) {},
             },
             value);
}

}  // namespace detail
}  // namespace plait
