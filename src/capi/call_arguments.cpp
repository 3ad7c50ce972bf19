#include "capi/call_arguments.h"

#include <type_traits>

#include "graph/node.h"

namespace plait {
namespace {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {
  using type = T;
};

const int64_t* as_int(const CallAttr::Value& v) { return std::get_if<int64_t>(&v); }
const std::vector<int64_t>* as_ints(const CallAttr::Value& v) { return std::get_if<std::vector<int64_t>>(&v); }

/// What a parameter of type T takes, in words.
template <class T>
constexpr const char* taken() {
  constexpr bool kInteger = std::is_same_v<T, int> || std::is_same_v<T, int64_t>;
  constexpr bool kNumber = std::is_same_v<T, double> || std::is_same_v<T, Scalar>;
  return kInteger                       ? "an integer"
         : kNumber                      ? "a number"
         : std::is_same_v<T, Axes>      ? "an axis, several, or none"
         : std::is_same_v<T, Shape>     ? "extents"
         : std::is_same_v<T, IntList>   ? "an integer, or several"
         : std::is_same_v<T, IntOrInts> ? "a count, or positions"
         : std::is_same_v<T, bool>      ? "a bool"
         : std::is_same_v<T, DType>     ? "a dtype"
                                        : "a text";
}

}  // namespace

Array CallArguments::array() {
  if (next_ == arrays_.size())
    throw ArgumentError(
        {.op = std::string(function_), .got = std::to_string(arrays_.size()) + " arrays", .accepts = "more of them"});
  return arrays_[next_++];
}

Array CallArguments::array_or(std::string_view name, Array otherwise) {
  const std::optional<Array> given = optional_array(name);
  return given ? *given : otherwise;
}

std::optional<Array> CallArguments::optional_array(std::string_view name) {
  const CallAttr::Value* value = find(name);
  if (value == nullptr || std::holds_alternative<std::monostate>(*value)) return std::nullopt;
  if (const auto* a = std::get_if<Array>(value)) return *a;
  if (const auto* b = std::get_if<bool>(value)) return Array(Scalar(*b));
  if (const auto* i = std::get_if<int64_t>(value)) return Array(Scalar(*i));
  if (const auto* d = std::get_if<double>(value)) return Array(Scalar(*d));
  throw ArgumentError(
      {.op = std::string(function_), .got = std::string(name) + " of another kind", .accepts = "an array or a number"});
}

Arrays CallArguments::rest() {
  Arrays out(arrays_.begin() + static_cast<ptrdiff_t>(next_), arrays_.end());
  next_ = arrays_.size();
  return out;
}

const CallAttr::Value* CallArguments::find(std::string_view name) {
  for (const CallAttr& attr : attrs_) {
    if (attr.name == name) {
      ++used_attrs_;
      return &attr.value;
    }
  }
  return nullptr;
}

void CallArguments::missing(std::string_view name) const {
  throw ArgumentError(
      {.op = std::string(function_), .got = "no " + std::string(name), .accepts = "a value for it, by name"});
}

void CallArguments::check_all_used() const {
  if (next_ != arrays_.size())
    throw ArgumentError({.op = std::string(function_),
                         .got = std::to_string(arrays_.size()) + " arrays",
                         .accepts = std::to_string(next_)});
  if (used_attrs_ == attrs_.size()) return;
  std::string names;
  for (const CallAttr& attr : attrs_) names += (names.empty() ? "" : ", ") + std::string(attr.name);
  throw ArgumentError({.op = std::string(function_),
                       .got = "arguments named " + names + ", not all of which it has, or one of them twice",
                       .hint = "arrays that it requires are given in order, without names"});
}

int CallArguments::as_axis(std::string_view name, int64_t value) const {
  if (value != static_cast<int>(value))
    throw ArgumentError({.op = std::string(function_),
                         .got = std::string(name) + " = " + std::to_string(value),
                         .accepts = "integers of 32 bits"});
  return static_cast<int>(value);
}

template <class T>
T CallArguments::as(std::string_view name, const CallAttr::Value& value) const {
  if constexpr (is_optional<T>::value) {
    if (std::holds_alternative<std::monostate>(value)) return std::nullopt;
    return as<typename is_optional<T>::type>(name, value);
  } else {
    if constexpr (std::is_same_v<T, Axes>) {
      if (std::holds_alternative<std::monostate>(value)) return {};
      if (const int64_t* i = as_int(value)) return Axes(as_axis(name, *i));
      if (const auto* v = as_ints(value)) {
        std::vector<int> axes;
        for (const int64_t i : *v) axes.push_back(as_axis(name, i));
        return Axes(std::move(axes));
      }
    } else if constexpr (std::is_same_v<T, Shape>) {
      if (const int64_t* i = as_int(value)) return Shape{Dim(*i)};
      if (const auto* v = as_ints(value)) return Shape(std::span<const int64_t>(*v));
    } else if constexpr (std::is_same_v<T, IntList>) {
      if (const int64_t* i = as_int(value)) return IntList(*i);
      if (const auto* v = as_ints(value)) return IntList(*v);
    } else if constexpr (std::is_same_v<T, IntOrInts>) {
      if (const int64_t* i = as_int(value)) return *i;
      if (const auto* v = as_ints(value)) return *v;
    } else if constexpr (std::is_same_v<T, int>) {
      if (const int64_t* i = as_int(value)) return as_axis(name, *i);
    } else if constexpr (std::is_same_v<T, double>) {
      if (const int64_t* i = as_int(value)) return static_cast<double>(*i);
      if (const auto* d = std::get_if<double>(&value)) return *d;
    } else if constexpr (std::is_same_v<T, Scalar>) {
      if (const auto* b = std::get_if<bool>(&value)) return Scalar(*b);
      if (const int64_t* i = as_int(value)) return Scalar(*i);
      if (const auto* d = std::get_if<double>(&value)) return Scalar(*d);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      if (const auto* s = std::get_if<std::string>(&value)) return *s;
    } else {
      if (const auto* v = std::get_if<T>(&value)) return *v;
    }
    throw ArgumentError(
        {.op = std::string(function_), .got = std::string(name) + " of another kind", .accepts = taken<T>()});
  }
}

#define PLAIT_CALL_TYPE(...) \
  template __VA_ARGS__ CallArguments::as<__VA_ARGS__>(std::string_view, const CallAttr::Value&) const;
PLAIT_CALL_TYPE(Axes)
PLAIT_CALL_TYPE(Shape)
PLAIT_CALL_TYPE(std::optional<Shape>)
PLAIT_CALL_TYPE(IntList)
PLAIT_CALL_TYPE(std::optional<IntList>)
PLAIT_CALL_TYPE(IntOrInts)
PLAIT_CALL_TYPE(int)
PLAIT_CALL_TYPE(std::optional<int>)
PLAIT_CALL_TYPE(int64_t)
PLAIT_CALL_TYPE(std::optional<int64_t>)
PLAIT_CALL_TYPE(bool)
PLAIT_CALL_TYPE(std::optional<bool>)
PLAIT_CALL_TYPE(double)
PLAIT_CALL_TYPE(std::optional<double>)
PLAIT_CALL_TYPE(Scalar)
PLAIT_CALL_TYPE(std::optional<Scalar>)
PLAIT_CALL_TYPE(std::string_view)
PLAIT_CALL_TYPE(std::optional<std::string_view>)
PLAIT_CALL_TYPE(DType)
PLAIT_CALL_TYPE(std::optional<DType>)
#undef PLAIT_CALL_TYPE

Arrays call(std::string_view name, std::span<const Array> arrays, std::span<const CallAttr> attrs) {
  const CallTable& table = call_table();
  const auto found = table.find(name);
  if (found == table.end())
    throw ArgumentError({.op = "call",
                         .got = "the name " + std::string(name),
                         .accepts = "names of docs/ops",
                         .hint = "callable_names() lists them"});
  CallArguments arguments(name, arrays, attrs);
  return found->second(arguments);
}

std::vector<std::string> callable_names() {
  std::vector<std::string> names;
  for (const auto& [name, function] : call_table()) names.push_back(name);
  return names;
}

}  // namespace plait
