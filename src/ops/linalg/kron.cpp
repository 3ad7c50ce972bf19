#include "ops/prelude.h"

namespace plait {

Array kron(const Array& a, const Array& b) {
  // Axes of a and b in turns; where one has fewer, its axes stand last.
  const int rank = std::max(a.rank(), b.rank());
  Shape left, right, out;
  for (int i = 0; i < rank; ++i) {
    const int of_a = i - (rank - a.rank()), of_b = i - (rank - b.rank());
    const Dim n = of_a >= 0 ? a.shape()[of_a] : Dim(1), m = of_b >= 0 ? b.shape()[of_b] : Dim(1);
    for (const Dim& d : {n, Dim(1)}) left.push_back(d);
    for (const Dim& d : {Dim(1), m}) right.push_back(d);
    out.push_back(n * m);
  }
  return reshape(multiply(reshape(a, left), reshape(b, right)), out);
}

void register_kron(OpRegistry& ops) {
  ops.function("kron")
      .signature("(a: array, b: array, *, stream: StreamOrDevice = None) -> array")
      .summary("Kronecker product: blocks of b, each multiplied by an element of a.")
      .details(
          "Shapes: extents are multiplied axis by axis; the array with fewer axes gets axes of extent 1 in front. Dtype: that of both, promoted. Errors: TypeError for what is no array.")
      .oracle("np.kron(a, b)")
      .sample("(2, 3), (2, 2)")
      .sample("(2,), (2, 2)")
      .sample("(), (2,)")
      .sample("(0,), (2,)");
}

}  // namespace plait
