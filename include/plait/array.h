#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plait/dtype.h"
#include "plait/error.h"
#include "plait/ref.h"
#include "plait/scalar.h"
#include "plait/shape.h"

namespace plait {

class Node;

/// What handles share: the visible part of a node of the graph.
class PLAIT_API NodeBase : public RefCounted {
 public:
  static void destroy(NodeBase* node) noexcept;

 protected:
  ~NodeBase() = default;
};

/// A value of the graph: one output of one immutable node. Copies are cheap and share the node.
///
/// Laziness: shape and dtype are known at once; elements are computed when asked for (`eval`, `item`, `data`, ...).
/// Threads: handles to one node may be used from any thread; one handle object is not assigned from two threads at once.
class PLAIT_API Array {
 public:
  /// No value; only assignment and `defined` are allowed.
  Array() = default;
  /// A 0-d constant of the scalar's default dtype, or of `dtype`.
  Array(Scalar value);  // NOLINT: numbers mix with arrays
  Array(Scalar value, DType dtype);
  template <class T>
    requires std::is_arithmetic_v<T>
  Array(T value) : Array(Scalar(value)) {}  // NOLINT

  /// Copies `values` (row-major) into a new array.
  template <class T>
  static Array from(std::span<const T> values, const Shape& shape) {
    return from_bytes(values.data(), static_cast<int64_t>(values.size_bytes()), shape, dtype_of<T>);
  }
  /// Copies `bytes` bytes of row-major elements. Errors: ShapeError when the size does not fit the shape.
  static Array from_bytes(const void* data, int64_t bytes, const Shape& shape, DType dtype);

  bool defined() const { return static_cast<bool>(node_); }
  const Shape& shape() const;
  DType dtype() const;
  int rank() const { return shape().rank(); }
  /// Extent along `axis`; negative counts from the end. Errors: AxisError.
  Dim dim(int axis) const;
  int64_t size() const { return shape().count_value(); }
  int64_t nbytes() const { return size() * size_of(dtype()); }

  /// Computes the elements now. Errors: whatever the pending work raises.
  void eval() const;
  /// Whether the elements are there.
  bool is_evaluated() const;

  /// The single element. Errors: ShapeError unless size is 1; DTypeError when T is not the array's type.
  template <class T>
  T item() const {
    T out;
    read_item(dtype_of<T>, &out);
    return out;
  }
  /// Row-major copy of all elements. Errors: DTypeError when T is not the array's type.
  template <class T>
  std::vector<T> to_vector() const {
    std::vector<T> out(static_cast<size_t>(size()));
    read_all(dtype_of<T>, out.data());
    return out;
  }

  /// Copies all elements, row-major: nbytes() of them.
  void read_bytes(void* out) const { read_all(dtype(), out); }

  // For plait itself.
  Array(Ref<NodeBase> node, uint32_t index) : node_(std::move(node)), index_(index) {}
  Node* node() const;  // graph/node.h
  Ref<NodeBase>& handle() { return node_; }
  uint32_t index() const { return index_; }
  /// Whether both are the same value of the graph.
  bool same(const Array& other) const { return node_ == other.node_ && index_ == other.index_; }

 private:
  void read_item(DType dtype, void* out) const;
  void read_all(DType dtype, void* out) const;

  Ref<NodeBase> node_;
  uint32_t index_ = 0;
};

using Arrays = std::vector<Array>;

/// Computes all of them in one plan. Errors: as `Array::eval`; earlier arrays stay intact.
PLAIT_API void eval(std::span<const Array> arrays);
/// Starts computing in the background; errors surface when a result is asked for.
PLAIT_API void async_eval(std::span<const Array> arrays);

// Elementwise operators; see plait/ops.h for what they do. A number beside an array is weak (plait/scalar.h).
PLAIT_API Array operator-(const Array& a);
/// The number as a 0-d array of the dtype it has beside `like`.
PLAIT_API Array beside(Scalar number, const Array& like);
#define PLAIT_OPERATOR(symbol)                                     \
  PLAIT_API Array operator symbol(const Array& a, const Array& b); \
  template <class T>                                               \
    requires std::is_arithmetic_v<T>                               \
  Array operator symbol(const Array& a, T b) {                     \
    return a symbol beside(Scalar(b), a);                          \
  }                                                                \
  template <class T>                                               \
    requires std::is_arithmetic_v<T>                               \
  Array operator symbol(T a, const Array& b) {                     \
    return beside(Scalar(a), b) symbol b;                          \
  }
PLAIT_OPERATOR(+)
PLAIT_OPERATOR(-)
PLAIT_OPERATOR(*)
PLAIT_OPERATOR(/)
PLAIT_OPERATOR(==)
PLAIT_OPERATOR(!=)
PLAIT_OPERATOR(<)
PLAIT_OPERATOR(<=)
PLAIT_OPERATOR(>)
PLAIT_OPERATOR(>=)
#undef PLAIT_OPERATOR

}  // namespace plait
