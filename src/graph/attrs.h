#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "plait/dtype.h"
#include "plait/error.h"
#include "plait/ref.h"
#include "plait/scalar.h"
#include "plait/shape.h"

/// Attributes of nodes: plain structs whose fields are described once, so that hashing, printing, the schema, calls by
/// name and the replay of traces all work without knowing the struct.
namespace plait {

/// What a field may hold. Structural fields are part of a plan's key; bound ones (Dim, Shape, Scalar fields are always
/// bound) are operands of the plan and may differ from run to run.
using AttrValue = std::variant<bool, int64_t, double, std::string, DType, std::vector<int64_t>, Dim, Shape, Scalar>;

std::string to_string(const AttrValue& value);

using DimMap = std::function<Dim(Dim)>;

/// One described field of an attribute struct.
class AttrField {
 public:
  AttrField(std::string name, std::string doc, std::string type, bool bound)
      : name(std::move(name)), doc(std::move(doc)), type(std::move(type)), bound(bound) {}
  virtual ~AttrField() = default;
  virtual AttrValue get(const void* attrs) const = 0;
  virtual void set(void* attrs, const AttrValue& value) const = 0;
  virtual void hash(const void* attrs, Hasher& hasher) const = 0;
  /// Rewrites every Dim of the field: how a trace is replayed for other extents.
  virtual void map_dims(void* attrs, const DimMap& map) const = 0;

  const std::string name;
  const std::string doc;
  const std::string type;  // "bool", "int", "ints", "float", "str", "dtype", "dim", "shape", "scalar"
  const bool bound;
};

/// An attribute struct behind a uniform face. Immutable once a node holds it.
class AttrsBase : public RefCounted {
 public:
  virtual ~AttrsBase() = default;
  virtual const void* data() const = 0;
  virtual void* mutable_data() = 0;
  virtual Ref<AttrsBase> clone() const = 0;
};

template <class A>
class AttrsBox final : public AttrsBase {
 public:
  explicit AttrsBox(A attrs) : value(std::move(attrs)) {}
  const void* data() const override { return &value; }
  void* mutable_data() override { return &value; }
  Ref<AttrsBase> clone() const override { return Ref<AttrsBase>::adopt(new AttrsBox<A>(value)); }
  A value;
};

struct NoAttrs {
  bool operator==(const NoAttrs&) const = default;
};

using AttrFields = std::vector<std::unique_ptr<AttrField>>;

/// Fields by name, for kernels: `attrs.get<int64_t>("axis")`. Dims come as plain numbers.
class PLAIT_API AttrsView {
 public:
  AttrsView() = default;
  AttrsView(const AttrFields* fields, const void* data) : fields_(fields), data_(data) {}
  AttrValue value(std::string_view name) const;
  template <class T>
  T get(std::string_view name) const {
    return std::get<T>(value(name));
  }

 private:
  const AttrFields* fields_ = nullptr;
  const void* data_ = nullptr;
};

namespace detail {

template <class M>
struct AttrTraits;
#define PLAIT_ATTR_TYPE(cpp, label, is_bound)  \
  template <>                                  \
  struct AttrTraits<cpp> {                     \
    static constexpr const char* type = label; \
    static constexpr bool bound = is_bound;    \
    using Stored = cpp;                        \
  };
PLAIT_ATTR_TYPE(bool, "bool", false)
PLAIT_ATTR_TYPE(int64_t, "int", false)
PLAIT_ATTR_TYPE(double, "float", false)
PLAIT_ATTR_TYPE(std::string, "str", false)
PLAIT_ATTR_TYPE(DType, "dtype", false)
PLAIT_ATTR_TYPE(std::vector<int64_t>, "ints", false)
PLAIT_ATTR_TYPE(Dim, "dim", true)
PLAIT_ATTR_TYPE(Shape, "shape", true)
PLAIT_ATTR_TYPE(Scalar, "scalar", true)
#undef PLAIT_ATTR_TYPE
template <>
struct AttrTraits<int> {
  static constexpr const char* type = "int";
  static constexpr bool bound = false;
  using Stored = int64_t;
};
template <>
struct AttrTraits<std::vector<int>> {
  static constexpr const char* type = "ints";
  static constexpr bool bound = false;
  using Stored = std::vector<int64_t>;
};

void hash_attr(Hasher& hasher, const AttrValue& value);

template <class A, class M>
class MemberField final : public AttrField {
  using Traits = AttrTraits<M>;

 public:
  MemberField(std::string name, M A::* member, std::string doc)
      : AttrField(std::move(name), std::move(doc), Traits::type, Traits::bound), member_(member) {}
  AttrValue get(const void* attrs) const override {
    const M& m = static_cast<const A*>(attrs)->*member_;
    if constexpr (std::is_same_v<M, std::vector<int>>) {
      return std::vector<int64_t>(m.begin(), m.end());
    } else {
      return static_cast<typename Traits::Stored>(m);
    }
  }
  void set(void* attrs, const AttrValue& value) const override {
    const auto& v = std::get<typename Traits::Stored>(value);
    if constexpr (std::is_same_v<M, std::vector<int>>) {
      (static_cast<A*>(attrs)->*member_).assign(v.begin(), v.end());
    } else {
      static_cast<A*>(attrs)->*member_ = static_cast<M>(v);
    }
  }
  void hash(const void* attrs, Hasher& hasher) const override { hash_attr(hasher, get(attrs)); }
  void map_dims(void* attrs, const DimMap& map) const override {
    if constexpr (std::is_same_v<M, Dim>) {
      Dim& d = static_cast<A*>(attrs)->*member_;
      d = map(d);
    } else if constexpr (std::is_same_v<M, Shape>) {
      for (Dim& d : static_cast<A*>(attrs)->*member_) d = map(d);
    }
  }

 private:
  M A::* member_;
};

}  // namespace detail
}  // namespace plait
