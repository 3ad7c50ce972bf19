#include "backends/kernel.h"

namespace plait {

void register_all_kernels(KernelTable& table);  // generated from the list of kernel files

bool TensorView::contiguous() const {
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

void KernelTable::add(std::string op, Backend backend, Kernel kernel) {
  kernels_[std::move(op)][static_cast<size_t>(backend)] = kernel;
}

const Kernel* KernelTable::find(std::string_view op, Backend backend) const {
  const auto it = kernels_.find(std::string(op));
  if (it == kernels_.end()) return nullptr;
  const Kernel& kernel = it->second[static_cast<size_t>(backend)];
  return kernel.run ? &kernel : nullptr;
}

const Kernel* KernelTable::find(std::string_view op) const {
  const Kernel* kernel = find(op, Backend::cpu);
  return kernel ? kernel : find(op, Backend::reference);
}

const KernelTable& kernels() {
  static const KernelTable* table = [] {
    auto* t = new KernelTable;
    register_all_kernels(*t);
    return t;
  }();
  return *table;
}

}  // namespace plait
