#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "graph/attrs.h"
#include "graph/node.h"
#include "plait/transforms.h"

namespace plait {

class Program;

/// A traced function that a node runs: what it computes from its inputs and from nothing else. An attribute; copies
/// share the program.
///
/// Extents are numbers, or under compile expressions of the trace that the node belongs to: the body was traced in the
/// same scope, so that what it decides by an extent is a guard of that trace, and a replay maps them like the node's own.
class Body {
 public:
  Body() = default;

  const Program& program() const { return *program_; }
  /// Shapes and dtypes of the inputs and the results.
  Avals arguments() const;
  Avals results() const;
  /// The results for other inputs of the same shapes and dtypes: new nodes, without running the function.
  Arrays operator()(const Arrays& inputs) const;
  /// Which results depend on an input marked in `from`; only as a tangent would, through differentiable operations on
  /// inexact values, when `as_tangent`. On the safe side: it may name more.
  std::vector<bool> reached(const std::vector<bool>& from, bool as_tangent) const;
  /// Which inputs some result needs.
  std::vector<bool> used() const;
  void map_dims(const DimMap& map);
  /// The extent of the node's trace that one of the program's stands for.
  Dim at(Dim d) const;
  std::string describe() const;

 private:
  friend class BodyTrace;

  std::shared_ptr<const Program> program_;
  std::shared_ptr<const std::vector<uint32_t>> place_of_expr_;  // expression -> position in dims_
  std::vector<Dim> dims_;
};

/// A function being traced to become a body. Several may share what they capture.
class BodyTrace {
 public:
  /// Runs `f` on placeholders; what it raises goes through. name: of the operation, for errors of what is inside.
  BodyTrace(const char* name, const Function& f, const Avals& inputs);

  /// What f returned: traced arrays, of use for their shapes and dtypes only.
  const Arrays& outputs() const { return outputs_; }
  const Arrays& inputs() const { return placeholders_; }
  /// Whether a result depends on input i.
  bool uses(size_t i) const;
  /// Adds the arrays that f captured and that are not in `captured` yet.
  void find_captured(Arrays& captured) const;
  /// The body whose inputs are `captured`, and behind them those of f that are marked.
  Body close(const Arrays& captured, const std::vector<bool>& taken) const;

 private:
  struct Own {
    Node* node;
    SmallVector<Array, 2> inputs;
  };

  uint64_t level_;
  Arrays placeholders_;
  Arrays outputs_;
  std::vector<Own> own_;  // what each run makes anew, inputs first
};

/// The attribute field of a body: all fields of type "program" are.
class AnyBodyField : public AttrField {
 public:
  AnyBodyField(std::string name, std::string doc) : AttrField(std::move(name), std::move(doc), "program", true) {}
  AttrValue get(const void* attrs) const override { return body(attrs).describe(); }
  void set(void*, const AttrValue&) const override { throw InternalError("a program cannot be set by name"); }
  void hash(const void*, Hasher&) const override {}  // a plan runs whatever program the node at hand holds
  virtual const Body& body(const void* attrs) const = 0;
  virtual void set_body(void* attrs, Body body) const = 0;

  /// The field as one of a body, or null.
  static const AnyBodyField* of(const AttrField& field) {
    return field.type == "program" ? static_cast<const AnyBodyField*>(&field) : nullptr;
  }
};

template <class A>
class BodyField final : public AnyBodyField {
 public:
  BodyField(std::string name, Body A::* member, std::string doc)
      : AnyBodyField(std::move(name), std::move(doc)), member_(member) {}
  void map_dims(void* attrs, const DimMap& map) const override { (static_cast<A*>(attrs)->*member_).map_dims(map); }
  const Body& body(const void* attrs) const override { return static_cast<const A*>(attrs)->*member_; }
  void set_body(void* attrs, Body body) const override { static_cast<A*>(attrs)->*member_ = std::move(body); }

 private:
  Body A::* member_;
};

}  // namespace plait
