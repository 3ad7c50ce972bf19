#include "backends/cuda/kernels/kernels.h"

#include <unordered_map>

#include "backends/cuda/kernels/tables.h"

namespace plait {

const Kernel* cuda_kernel(std::string_view op) {
  static const auto* kernels = [] {
    cuda::Table table;
    for (const auto add :
         {cuda::add_attention_kernels, cuda::add_convolution_kernels, cuda::add_copy_kernels, cuda::add_create_kernels,
          cuda::add_custom_kernels, cuda::add_factorization_kernels, cuda::add_fft_kernels, cuda::add_matmul_kernels,
          cuda::add_packed_kernels, cuda::add_packed_product_kernels, cuda::add_scan_kernels, cuda::add_scatter_kernels,
          cuda::add_search_kernels, cuda::add_slice_dynamic_kernels, cuda::add_sort_kernels, cuda::add_take_kernels,
          cuda::add_triangular_kernels})
      add(table);
    return new std::unordered_map<std::string_view, Kernel>(table.begin(), table.end());
  }();
  const auto it = kernels->find(op);
  return it == kernels->end() ? nullptr : &it->second;
}

}  // namespace plait
