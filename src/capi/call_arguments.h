#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "plait/axes.h"
#include "plait/call.h"

namespace plait {

/// The arguments of one call by name, handed out to the generated code that knows the parameters' types.
class CallArguments {
 public:
  CallArguments(std::string_view function, std::span<const Array> arrays, std::span<const CallAttr> attrs)
      : function_(function), arrays_(arrays), attrs_(attrs) {}

  /// The next array. Errors: ArgumentError when there is none left.
  Array array();
  /// An array or number given by name, else the default.
  Array array_or(std::string_view name, Array otherwise);
  std::optional<Array> optional_array(std::string_view name);
  /// All arrays that are left.
  Arrays rest();

  /// A value by name. Errors: ArgumentError when it is missing or of another kind.
  template <class T>
  T get(std::string_view name) {
    const CallAttr::Value* value = find(name);
    if (value == nullptr) missing(name);
    return as<T>(name, *value);
  }
  template <class T>
  T get(std::string_view name, T otherwise) {
    const CallAttr::Value* value = find(name);
    return value == nullptr ? otherwise : as<T>(name, *value);
  }

  /// Errors: ArgumentError when something was given that the function does not take.
  void check_all_used() const;

 private:
  const CallAttr::Value* find(std::string_view name);
  [[noreturn]] void missing(std::string_view name) const;
  int as_axis(std::string_view name, int64_t value) const;
  template <class T>
  T as(std::string_view name, const CallAttr::Value& value) const;

  std::string_view function_;
  std::span<const Array> arrays_;
  std::span<const CallAttr> attrs_;
  size_t next_ = 0;
  size_t used_attrs_ = 0;
};

using CallTable = std::map<std::string, Arrays (*)(CallArguments&), std::less<>>;
/// Every function that can be called by name; generated from the schema.
const CallTable& call_table();

}  // namespace plait
