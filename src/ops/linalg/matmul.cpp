#include "graph/stream.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

// a (batch..., m, k) and b (batch..., k, n) of one dtype and equal batch extents.
struct MatmulAttrs {};

Avals infer_matmul(const MatmulAttrs&, std::span<const Aval> in) {
  Aval out = in[0];
  out.shape.back() = in[1].shape.back();
  return {out};
}

const char* check_matmul(const MatmulAttrs&, std::span<const Aval> in) {
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (in[0].dtype != in[1].dtype) return "operands of one dtype";
  if (a.rank() < 2 || a.rank() != b.rank() || !agree(a, 0, b, 0, a.rank() - 2)) return "batches of matrices";
  return a[a.rank() - 1] == b[b.rank() - 2] ? nullptr : "as many columns of a as rows of b";
}
const char* check_addmm(const MatmulAttrs& attrs, std::span<const Aval> in) {
  const Shape& c = in[0].shape;
  if (in[0].dtype != in[1].dtype) return "operands of one dtype";
  if (const char* accepts = check_matmul(attrs, in.subspan(1))) return accepts;
  return c.rank() == 2 && in[1].shape.rank() == 2 && c[0] == in[1].shape[0] && c[1] == in[2].shape[1]
             ? nullptr
             : "matrices, the first of the product's shape";
}

Array product(const Array& a, const Array& b) {
  static const OpHandle op("matmul");
  // A column times a row sums nothing: the gradient of a matrix for one example is such a product.
  return a.dim(-1) == Dim(1) ? multiply(a, b) : op({a, b});
}

/// Whether `a` is a matrix transpose of something. Its cotangent will be transposed back, so it had better be one as well: the
/// gradient of a layer's weight then lies as the weight does, and what reads both goes through memory in order.
bool is_transposed(const Array& a) {
  static const OpHandle transpose("transpose");
  if (!a.node() || a.node()->op != &*transpose) return false;
  const std::vector<int>& axes = a.node()->attrs_as<TransposeAttrs>().axes;
  const int rank = static_cast<int>(axes.size());
  return rank >= 2 && axes[static_cast<size_t>(rank - 2)] == rank - 1 &&
         axes[static_cast<size_t>(rank - 1)] == rank - 2;
}

Array cotangent_of_left(const Array& g, const Array& a, const Array& b) {
  return is_transposed(a) ? matrix_transpose(product(b, matrix_transpose(g))) : product(g, matrix_transpose(b));
}
Array cotangent_of_right(const Array& g, const Array& a, const Array& b) {
  return is_transposed(b) ? matrix_transpose(product(matrix_transpose(g), a)) : product(matrix_transpose(a), g);
}

Grads vjp_matmul(const MatmulAttrs&, const VjpArgs& at) {
  Grads grads(2);
  const Array& g = at.cotangent();
  if (at.needed[0]) grads[0] = cotangent_of_left(g, at.input(0), at.input(1));
  if (at.needed[1]) grads[1] = cotangent_of_right(g, at.input(0), at.input(1));
  return grads;
}

Arrays jvp_matmul(const MatmulAttrs&, const JvpArgs& at) {
  Array total;
  if (at.tangent(0).defined()) total = product(at.tangent(0), at.input(1));
  if (at.tangent(1).defined()) {
    const Array part = product(at.input(0), at.tangent(1));
    total = total.defined() ? add(total, part) : part;
  }
  return {total};
}

VmapResult vmap_matmul(const MatmulAttrs&, const VmapArgs& at) {
  // One matrix for all examples: their rows are rows of one product.
  if (at.axes[1] == kUnbatched && at.inputs[1].rank() == 2) return {{matmul(batch_first(at, 0), at.inputs[1])}, {0}};
  return {{product(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1))}, {0}};
}

// c (m, n), a (m, k) and b (k, n) of one dtype: a library adds c to the sums before it rounds them.
Avals infer_addmm(const MatmulAttrs&, std::span<const Aval> in) { return {in[0]}; }

Array product_plus(const Array& c, const Array& a, const Array& b) {
  static const OpHandle op("addmm");
  return op({c, a, b});
}

Grads vjp_addmm(const MatmulAttrs&, const VjpArgs& at) {
  Grads grads(3);
  const Array& g = at.cotangent();
  if (at.needed[0]) grads[0] = g;
  if (at.needed[1]) grads[1] = cotangent_of_left(g, at.input(1), at.input(2));
  if (at.needed[2]) grads[2] = cotangent_of_right(g, at.input(1), at.input(2));
  return grads;
}

Arrays jvp_addmm(const MatmulAttrs&, const JvpArgs& at) {
  Array total = at.tangent(0);
  const auto join = [&](const Array& part) { total = total.defined() ? add(total, part) : part; };
  if (at.tangent(1).defined()) join(product(at.tangent(1), at.input(2)));
  if (at.tangent(2).defined()) join(product(at.input(1), at.tangent(2)));
  return {total};
}

VmapResult vmap_addmm(const MatmulAttrs&, const VmapArgs& at) {
  const auto operand = [&](int i) { return at.axes[i] == kUnbatched ? at.inputs[i] : batch_first(at, i); };
  return {{add(matmul(operand(1), operand(2)), operand(0))}, {0}};
}

[[noreturn]] void reject(const char* op, const Array& a, const Array& b, std::string accepts) {
  throw ShapeError({.op = op,
                    .got = "shapes " + to_string(a.shape()) + " and " + to_string(b.shape()),
                    .accepts = std::move(accepts),
                    .where = here()});
}

DType product_dtype(const char* op, const Array& a, const Array& b) {
  const DType d = promote(a.dtype(), b.dtype());
  if (!is_inexact(d))
    throw DTypeError({.op = op,
                      .got = std::string(name_of(a.dtype())) + " and " + std::string(name_of(b.dtype())),
                      .accepts = "floats or complex numbers",
                      .hint = "astype(float32) converts",
                      .where = here()});
  return d;
}

Shape matrix_shape(const Shape& batch, const Shape& matrix) {
  Shape out = batch;
  out.push_back(matrix[matrix.rank() - 2]);
  out.push_back(matrix[matrix.rank() - 1]);
  return out;
}

Shape batch_of(const Shape& shape) {
  Shape out;
  for (int i = 0; i + 2 < shape.rank(); ++i) out.push_back(shape[i]);
  return out;
}

Array scaled(const Array& x, double factor) {
  return factor == 1.0 ? x : multiply(x, Array(Scalar(factor), x.dtype()));
}

}  // namespace

Array matmul(const Array& a, const Array& b) {
  if (a.rank() == 0 || b.rank() == 0) reject("matmul", a, b, "at least one axis each");
  const DType dtype = product_dtype("matmul", a, b);
  Array x = converted(a, dtype), y = converted(b, dtype);
  if (x.rank() == 1) x = expand_dims(x, 0);
  if (y.rank() == 1) y = expand_dims(y, 1);
  if (!(x.dim(-1) == y.dim(-2)))
    reject("matmul", a, b, "a last axis of a as long as b's last but one (its only one for a vector)");
  Array out;
  if (y.rank() == 2 && x.rank() > 2) {
    Dim rows = 1;
    for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.shape()[i];
    Shape shape = x.shape();
    shape.back() = y.dim(-1);
    out = reshape(product(reshape(x, {rows, x.dim(-1)}), y), shape);
  } else {
    const Shape batch = broadcast_shapes("matmul", batch_of(x.shape()), batch_of(y.shape()));
    out = product(broadcast_to(x, matrix_shape(batch, x.shape())), broadcast_to(y, matrix_shape(batch, y.shape())));
  }
  if (b.rank() == 1) out = squeeze(out, -1);
  if (a.rank() == 1) out = squeeze(out, b.rank() == 1 ? -1 : -2);
  return out;
}

Array addmm(const Array& c, const Array& a, const Array& b, double alpha, double beta) {
  const DType dtype = promote(c.dtype(), product_dtype("addmm", a, b));
  const Array x = converted(c, dtype);
  // A GPU's library adds a row to each row of its product, or a matrix, for nothing. On the CPU the sum is fused with what follows.
  if (current_stream().device.type == DeviceType::gpu && alpha == 1.0 && beta == 1.0 && a.rank() >= 2 &&
      b.rank() == 2 && a.dim(-1) == b.dim(0)) {
    Shape shape = a.shape();
    shape.back() = b.dim(1);
    Dim rows = 1;
    for (int i = 0; i + 1 < a.rank(); ++i) rows *= a.shape()[i];
    const auto plus = [&](const Array& addend) {
      return reshape(product_plus(addend, reshape(converted(a, dtype), {rows, a.dim(-1)}), converted(b, dtype)), shape);
    };
    if (x.rank() == 1 && x.dim(0) == b.dim(1)) return plus(broadcast_to(x, {rows, b.dim(1)}));
    if (x.shape() == shape) return plus(reshape(x, {rows, b.dim(1)}));
  }
  const Array ab = matmul(converted(a, dtype), converted(b, dtype));
  if (!(broadcast_shapes("addmm", x.shape(), ab.shape()) == ab.shape()))
    reject("addmm", c, ab, "a c that broadcasts to the product");
  return add(scaled(ab, alpha), scaled(x, beta));
}

Array inner(const Array& a, const Array& b) {
  if (a.rank() == 0 || b.rank() == 0) return multiply(a, b);
  product_dtype("inner", a, b);
  if (!(a.dim(-1) == b.dim(-1))) reject("inner", a, b, "last axes of one length");
  return tensordot(a, b, {-1}, {-1});
}

Array outer(const Array& a, const Array& b) {
  return multiply(reshape(a, {a.shape().count(), 1}), reshape(b, {1, b.shape().count()}));
}

Array vecdot(const Array& a, const Array& b, int axis) {
  const Array x = a.dtype() == DType::complex64 ? conjugate(a) : a;
  return sum(multiply(x, b), axis, false);
}

Array tensordot(const Array& a, const Array& b, const std::vector<int>& a_axes, const std::vector<int>& b_axes) {
  const DType dtype = product_dtype("tensordot", a, b);
  if (a_axes.size() != b_axes.size()) reject("tensordot", a, b, "as many axes of a as of b");
  const auto arranged = [&](const Array& x, const std::vector<int>& given, bool last, Shape& kept, Dim& summed) {
    std::vector<int> axes, order;
    for (int axis : given) axes.push_back(checked_axis("tensordot", axis, x.rank()));
    checked_axes("tensordot", Axes(axes), x.rank());  // none twice
    Dim rest = 1;
    for (int i = 0; i < x.rank(); ++i)
      if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
        order.push_back(i);
        kept.push_back(x.shape()[i]);
        rest *= x.shape()[i];
      }
    summed = 1;
    for (int axis : axes) summed *= x.shape()[axis];
    order.insert(last ? order.end() : order.begin(), axes.begin(), axes.end());
    return reshape(transpose(converted(x, dtype), order), last ? Shape{rest, summed} : Shape{summed, rest});
  };
  for (size_t i = 0; i < a_axes.size(); ++i)
    if (!(a.shape()[checked_axis("tensordot", a_axes[i], a.rank())] ==
          b.shape()[checked_axis("tensordot", b_axes[i], b.rank())]))
      reject("tensordot", a, b, "summed axes of equal lengths");
  Shape out;
  Dim summed_a, summed_b;
  const Array x = arranged(a, a_axes, true, out, summed_a);
  const Array y = arranged(b, b_axes, false, out, summed_b);
  return reshape(product(x, y), out);
}

Array tensordot(const Array& a, const Array& b, int axes) {
  if (axes < 0 || axes > std::min(a.rank(), b.rank())) reject("tensordot", a, b, "0 to as many axes as both have");
  std::vector<int> last, first;
  for (int i = 0; i < axes; ++i) {
    last.push_back(a.rank() - axes + i);
    first.push_back(i);
  }
  return tensordot(a, b, last, first);
}

void register_matmul(OpRegistry& ops) {
  ops.opaque<MatmulAttrs>("matmul")
      .summary("Products of matrices in the last two axes.")
      .input("a", dtypes::inexact)
      .input("b", dtypes::inexact)
      .infer(infer_matmul)
      .check(check_matmul)
      .vjp(vjp_matmul)
      .jvp(jvp_matmul)
      .vmap(vmap_matmul);
  ops.opaque<MatmulAttrs>("addmm")
      .summary("The product of two matrices plus a third one.")
      .input("c", dtypes::inexact)
      .input("a", dtypes::inexact)
      .input("b", dtypes::inexact)
      .infer(infer_addmm)
      .check(check_addmm)
      .vjp(vjp_addmm)
      .jvp(jvp_addmm)
      .vmap(vmap_addmm);
  ops.function("matmul")
      .alias("linalg.matmul")
      .signature("(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Matrix product; leading axes are batches that broadcast, a vector is a single row or column.")
      .details(
          "Shapes: (..., m, k) and (..., k, n) -> (..., m, n). Dtype: floats or complex; 16-bit floats are summed in float32. Errors: ValueError for shapes that do not fit, 0-d arrays and integers.")
      .oracle("np.matmul(a, b)")
      .sample("(2, 3), (3, 4)")
      .sample("(3,), (3,)")
      .sample("(2, 3), (3,)")
      .sample("(5, 2, 3), (3, 4)")
      .sample("(5, 1, 2, 3), (4, 3, 2)")
      .sample("(2, 0), (0, 3)")
      .rejects("(2, 3), (2, 3)", "", "ValueError")
      .rejects("(), (2,)", "", "ValueError");
  ops.function("addmm")
      .signature(
          "(c: array, a: array, b: array, /, alpha: float = 1.0, beta: float = 1.0, *, stream: StreamOrDevice = None) -> array")
      .summary("alpha * (a @ b) + beta * c.")
      .details("Shapes: c broadcasts to the product. Errors: ValueError.")
      .oracle("alpha * np.matmul(a, b) + beta * c")
      .sample("(2, 4), (2, 3), (3, 4)", "alpha=1.0, beta=1.0")
      .sample("(4,), (2, 3), (3, 4)", "alpha=0.5, beta=2.0")
      .sample("(4,), (2, 3), (3, 4)", "alpha=1.0, beta=1.0")
      .sample("(4,), (5, 2, 3), (3, 4)", "alpha=1.0, beta=1.0")
      .sample("(5, 2, 4), (5, 2, 3), (3, 4)", "alpha=1.0, beta=1.0")
      .rejects("(5,), (2, 3), (3, 4)", "", "ValueError");
  ops.function("inner")
      .signature("(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Sums of products over the last axes of both.")
      .details(
          "Shapes: (..., n) and (..., n) -> the axes of a without its last, then those of b without its last. Dtype: that of both, promoted. Errors: ValueError where the last axes differ.")
      .oracle("np.inner(a, b)")
      .sample("(3,), (3,)")
      .sample("(2, 3), (4, 3)")
      .rejects("(2, 3), (2,)", "", "ValueError");
  ops.function("outer")
      .alias("linalg.outer")
      .signature("(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("All products of an element of a with one of b, both flattened.")
      .details(
          "Shapes: n and m elements -> (n, m). Dtype: that of both, promoted. Errors: TypeError for what is no array.")
      .oracle("np.outer(a, b)")
      .sample("(3,), (2,)")
      .sample("(2, 2), (3,)")
      .sample("(), (2,)");
  ops.function("vecdot")
      .alias("linalg.vecdot")
      .signature("(a: array, b: array, /, *, axis: int = -1, stream: StreamOrDevice = None) -> array")
      .summary("Sums of products along one axis; the other axes broadcast. A complex a is conjugated.")
      .details(
          "Shapes: (..., n) and (..., n) -> (...). Dtype: that of both, promoted. Errors: ValueError where the axes differ in extent, or others do not broadcast.")
      .oracle("np.sum(np.conj(a) * b, axis)")
      .sample("(2, 3), (2, 3)", "axis=-1")
      .sample("(2, 3), (3,)", "axis=-1")
      .rejects("(2,), (3,)", "", "ValueError");
  ops.function("tensordot")
      .alias("linalg.tensordot")
      .signature(
          "(a: array, b: array, /, axes: int | list[Sequence[int]] = 2, *, stream: StreamOrDevice = None) -> array")
      .summary("Sums of products over pairs of axes of a and b.")
      .details("axes: the number of last axes of a and first of b, or the axes of each. Errors: ValueError.")
      .oracle("np.tensordot(a, b, axes)")
      .sample("(2, 3, 4), (3, 4, 5)", "axes=2")
      .sample("(2, 3), (3, 2)", "axes=[[0, 1], [1, 0]]")
      .sample("(2,), (3,)", "axes=0")
      .rejects("(2, 3), (2, 3)", "axes=1", "ValueError");
}

}  // namespace plait
