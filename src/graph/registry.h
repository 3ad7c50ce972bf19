#pragma once

#include <functional>
#include <map>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "graph/core_attrs.h"
#include "graph/op.h"

namespace plait {

namespace detail {
const OpDef* find_op(std::string_view name);
}

/// Describes one public function. Every setter returns the builder.
class FunctionBuilder {
 public:
  explicit FunctionBuilder(FunctionDef& def) : def_(&def) {}
  FunctionBuilder& signature(std::string text) { return set(def_->signature, std::move(text)); }
  /// Also a method of array, with this signature (without self).
  FunctionBuilder& method(std::string text) { return set(def_->method, std::move(text)); }
  FunctionBuilder& alias(std::string name) {
    def_->aliases.push_back(std::move(name));
    return *this;
  }
  FunctionBuilder& summary(std::string text) { return set(def_->summary, std::move(text)); }
  FunctionBuilder& details(std::string text) { return set(def_->details, std::move(text)); }
  FunctionBuilder& oracle(std::string expression) { return set(def_->oracle, std::move(expression)); }
  FunctionBuilder& domain(std::string pair) { return set(def_->domain, std::move(pair)); }
  FunctionBuilder& not_differentiable(std::string why) { return set(def_->differentiable, std::move(why)); }
  FunctionBuilder& module(std::string name) { return set(def_->module, std::move(name)); }
  FunctionBuilder& sample(std::string inputs, std::string keywords = "") {
    def_->samples.push_back({std::move(inputs), std::move(keywords), ""});
    return *this;
  }
  FunctionBuilder& rejects(std::string inputs, std::string keywords, std::string error) {
    def_->samples.push_back({std::move(inputs), std::move(keywords), std::move(error)});
    return *this;
  }

 private:
  FunctionBuilder& set(std::string& field, std::string value) {
    field = std::move(value);
    return *this;
  }
  FunctionDef* def_;
};

/// Describes one primitive with attributes of type A.
template <class A = NoAttrs>
class OpBuilder {
 public:
  explicit OpBuilder(OpDef& def) : def_(&def) {}

  OpBuilder& summary(std::string text) {
    def_->summary = std::move(text);
    return *this;
  }
  OpBuilder& input(std::string name, DTypes dtypes = dtypes::any, std::string doc = "") {
    def_->inputs.push_back({std::move(name), dtypes, std::move(doc)});
    return *this;
  }
  OpBuilder& variadic() {
    def_->variadic = true;
    return *this;
  }
  OpBuilder& effect() {
    def_->effect = true;
    return *this;
  }
  OpBuilder& barrier() {
    def_->barrier = true;
    return *this;
  }
  template <class M>
  OpBuilder& attr(std::string name, M A::* member, std::string doc = "") {
    def_->attrs.push_back(std::make_unique<detail::MemberField<A, M>>(std::move(name), member, std::move(doc)));
    static const A any{};
    const auto offset = reinterpret_cast<const char*>(&(any.*member)) - reinterpret_cast<const char*>(&any);
    def_->attr_places.push_back({static_cast<size_t>(offset), sizeof(M), alignof(M)});
    return *this;
  }
  /// A field that describes itself: one that holds a program.
  OpBuilder& field(std::unique_ptr<AttrField> field) {
    def_->attrs.push_back(std::move(field));
    return *this;
  }
  OpBuilder& run(void (*fn)(const A&, const Node&, const ControlArgs&)) {
    def_->run = [fn](const Node& node, const ControlArgs& at) { fn(as(node.attrs.get()), node, at); };
    return *this;
  }
  OpBuilder& infer(Avals (*fn)(const A&, std::span<const Aval>)) {
    def_->infer = [fn](const AttrsBase* attrs, std::span<const Aval> in) { return fn(as(attrs), in); };
    return *this;
  }
  /// See OpDef::check. Without one, a node of an op that is not elementwise cannot be exported.
  OpBuilder& check(const char* (*fn)(const A&, std::span<const Aval>)) {
    def_->check = [fn](const AttrsBase* attrs, std::span<const Aval> in) { return fn(as(attrs), in); };
    return *this;
  }
  OpBuilder& version(int number) {
    def_->version = number;
    return *this;
  }
  OpBuilder& no_export(std::string why) {
    def_->no_export = std::move(why);
    return *this;
  }
  /// Elementwise primitives with attributes (astype): the formula.
  OpBuilder& lower(ir::Val (*fn)(const A&, std::span<const ir::Val>, DType out)) {
    def_->lower = [fn](ir::Builder&, std::span<const ir::Val> in, const AttrsBase* attrs, DType out) {
      return fn(as(attrs), in, out);
    };
    return *this;
  }
  OpBuilder& view(bool (*fn)(const A&, const Aval& in, const Strides&, const Aval& out, ViewLayout&)) {
    def_->view = [fn](const AttrsBase* attrs, const Aval& in, const Strides& strides, const Aval& out, ViewLayout& to) {
      return fn(as(attrs), in, strides, out, to);
    };
    return *this;
  }
  OpBuilder& vjp(Grads (*fn)(const A&, const VjpArgs&)) {
    def_->vjp = [fn](const AttrsBase* attrs, const VjpArgs& at) { return fn(as(attrs), at); };
    return *this;
  }
  OpBuilder& jvp(Arrays (*fn)(const A&, const JvpArgs&)) {
    def_->jvp = [fn](const AttrsBase* attrs, const JvpArgs& at) { return fn(as(attrs), at); };
    return *this;
  }
  OpBuilder& vmap(VmapResult (*fn)(const A&, const VmapArgs&)) {
    def_->vmap = [fn](const AttrsBase* attrs, const VmapArgs& at) { return fn(as(attrs), at); };
    return *this;
  }
  OpBuilder& not_differentiable(std::string why) {
    def_->not_differentiable = std::move(why);
    return *this;
  }
  OpBuilder& no_vmap(std::string why) {
    def_->no_vmap = std::move(why);
    return *this;
  }
  const OpDef& def() const { return *def_; }

 private:
  static const A& as(const AttrsBase* attrs) {
    static const A none{};
    return attrs ? *static_cast<const A*>(attrs->data()) : none;
  }
  OpDef* def_;
};

/// Describes an elementwise primitive: operands broadcast against each other inside the primitive, have one dtype
/// (unless `mixed`), and the function of the same name is public unless `internal`.
class ElementwiseBuilder {
 public:
  ElementwiseBuilder(OpDef& def, FunctionDef& function);

  ElementwiseBuilder& summary(std::string text);
  ElementwiseBuilder& input(std::string name, DTypes dtypes = dtypes::any);
  /// Operands keep their own dtypes (select's condition).
  ElementwiseBuilder& mixed();
  /// Integers and bool are converted to float32 before the primitive.
  ElementwiseBuilder& floats();
  /// Result dtype when it is not the operands' (comparisons: bool).
  ElementwiseBuilder& result(DType dtype);
  ElementwiseBuilder& result(std::function<DType(DType)> rule);
  ElementwiseBuilder& lower(ir::Val (*fn)(ir::Val));
  ElementwiseBuilder& lower(ir::Val (*fn)(ir::Val, ir::Val));
  ElementwiseBuilder& lower(ir::Val (*fn)(ir::Val, ir::Val, ir::Val));

  /// d output / d input of a one-operand op, from input x and output y.
  ElementwiseBuilder& derivative(Array (*fn)(const Array& x, const Array& y));
  /// The same for each operand of a two- or three-operand op. A null entry means zero.
  using Partial = Array (*)(std::span<const Array> x, const Array& y);
  ElementwiseBuilder& partials(std::vector<Partial> fns);
  /// Where the cotangent (or tangent) goes for each operand, when that is no product: select. Null means nowhere.
  using Piece = Array (*)(const Array& g, std::span<const Array> x, const Array& y);
  ElementwiseBuilder& pieces(std::vector<Piece> fns);
  /// The op is linear in each operand with these factors (add: 1, 1; subtract: 1, -1): no products are made.
  ElementwiseBuilder& linear(std::vector<double> factors);
  ElementwiseBuilder& not_differentiable(std::string why);

  // The public function.
  ElementwiseBuilder& signature(std::string text);
  ElementwiseBuilder& method(std::string text);
  ElementwiseBuilder& alias(std::string name);
  ElementwiseBuilder& details(std::string text);
  ElementwiseBuilder& oracle(std::string expression);
  ElementwiseBuilder& domain(std::string pair);
  ElementwiseBuilder& sample(std::string inputs, std::string keywords = "");
  ElementwiseBuilder& rejects(std::string inputs, std::string keywords, std::string error);
  /// No public function of this name, or one that is written by hand beside it.
  ElementwiseBuilder& internal();
  ElementwiseBuilder& hand_written();

 private:
  OpDef* def_;
  FunctionDef* function_;
};

/// All definitions. Filled once at start-up by the register_* functions of src/ops, read-only afterwards.
class OpRegistry {
 public:
  OpRegistry() = default;
  OpRegistry(const OpRegistry&) = delete;
  OpRegistry& operator=(const OpRegistry&) = delete;

  ElementwiseBuilder elementwise(std::string name, std::source_location at = std::source_location::current());
  /// An elementwise primitive with attributes: give `infer`, `lower` and rules; it has no public function by itself.
  template <class A>
  OpBuilder<A> elementwise_with(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<A>(add<A>(std::move(name), OpKind::elementwise, at));
  }
  template <class A = NoAttrs>
  OpBuilder<A> opaque(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<A>(add<A>(std::move(name), OpKind::opaque, at));
  }
  /// Runs programs that its attributes hold (loops, branches): give `run`.
  template <class A>
  OpBuilder<A> control(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<A>(add<A>(std::move(name), OpKind::control, at));
  }
  template <class A = NoAttrs>
  OpBuilder<A> view(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<A>(add<A>(std::move(name), OpKind::view, at));
  }
  template <class A>
  OpBuilder<A> alias(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<A>(add<A>(std::move(name), OpKind::alias, at));
  }
  /// What stands for an argument of a traced function; without inference or rules of its own.
  OpBuilder<NoAttrs> placeholder(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<NoAttrs>(add<NoAttrs>(std::move(name), OpKind::placeholder, at));
  }
  /// Numbers the engine hands to regions as scalars; attributes are ConstantAttrs.
  OpBuilder<ConstantAttrs> constant(std::string name, std::source_location at = std::source_location::current()) {
    return OpBuilder<ConstantAttrs>(add<ConstantAttrs>(std::move(name), OpKind::constant, at));
  }
  /// A reduction over axes by one IR instruction; attributes are ReduceAttrs, shape rule and batching are given.
  OpBuilder<ReduceAttrs> reduction(std::string name, ir::Op op,
                                   std::source_location at = std::source_location::current());
  /// A public function, written in C++ in the op file; primitives it needs are registered beside it.
  FunctionBuilder function(std::string name, std::source_location at = std::source_location::current());

  const OpDef* find(std::string_view name) const;
  const std::vector<std::unique_ptr<OpDef>>& ops() const { return ops_; }
  const std::vector<std::unique_ptr<FunctionDef>>& functions() const { return functions_; }
  /// Every definition as JSON: what schema/ops.json holds.
  std::string schema() const;

 private:
  template <class A>
  OpDef& add(std::string name, OpKind kind, const std::source_location& at) {
    OpDef& def = add_def(std::move(name), kind, at);
    if constexpr (!std::is_same_v<A, NoAttrs>) {
      def.default_attrs = [] { return Ref<AttrsBase>::adopt(new AttrsBox<A>(A{})); };
      def.attrs_size = std::is_empty_v<A> ? 0 : sizeof(A);
      def.attrs_align = alignof(A);
    }
    return def;
  }
  OpDef& add_def(std::string name, OpKind kind, const std::source_location& at);
  FunctionDef& add_function(std::string name, const std::source_location& at);

  std::vector<std::unique_ptr<OpDef>> ops_;
  std::vector<std::unique_ptr<FunctionDef>> functions_;
  std::map<std::string, OpDef*, std::less<>> by_name_;
};

/// The process's registry, filled on first use.
const OpRegistry& registry();
/// Who fills it: register_all_ops, handed over by the library's start-up code (the graph room knows no ops).
void set_registry_source(void (*fill)(OpRegistry&));

/// A primitive looked up once: `static const OpHandle op("add"); op({a, b})`.
class OpHandle {
 public:
  explicit OpHandle(std::string_view name);
  const OpDef& operator*() const { return *def_; }
  const OpDef* operator->() const { return def_; }
  template <class A>
  Array operator()(A attrs, SmallVector<Array, 2> in) const {
    return make(*def_, std::move(attrs), std::move(in));
  }
  Array operator()(SmallVector<Array, 2> in) const { return make(*def_, Ref<AttrsBase>(), std::move(in)); }

 private:
  const OpDef* def_;
};

}  // namespace plait
