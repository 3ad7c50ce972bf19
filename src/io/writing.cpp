#include "io/writing.h"

#include "graph/node.h"
#include "io/npy.h"
#include "io/zip.h"
#include "plait/ops.h"

namespace plait::io {

NamedArrays ready(const NamedArrays& arrays) {
  NamedArrays out;
  Arrays all;
  for (const auto& [name, array] : arrays) all.push_back(out[name] = contiguous(array));
  eval(all);
  return out;
}

Array ready(const Array& array) {
  const Array out = contiguous(array);
  out.eval();
  return out;
}

std::span<const char> elements_of(const Array& ready) {
  return {evaluated_storage(ready).data(), static_cast<size_t>(ready.nbytes())};
}

void write_npy(ByteSink& to, const Array& array) {
  const std::string header = npy_header({array.shape(), array.dtype()});
  const auto elements = elements_of(array);
  to.write(header.data(), header.size());
  to.write(elements.data(), elements.size());
}

void write_npz(ByteSink& to, const NamedArrays& arrays, bool deflated) {
  ZipWriter zip(to);
  for (const auto& [name, array] : arrays) {
    const auto elements = elements_of(array);
    zip.add(name + ".npy", npy_header({array.shape(), array.dtype()}), elements.data(), elements.size(), deflated);
  }
  zip.finish();
}

}  // namespace plait::io
