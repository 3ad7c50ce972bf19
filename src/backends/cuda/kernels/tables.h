// The lists of kernels, one a file.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "backends/kernel.h"

namespace plait::cuda {

using Table = std::vector<std::pair<std::string_view, Kernel>>;

void add_attention_kernels(Table& table);
void add_convolution_kernels(Table& table);
void add_copy_kernels(Table& table);
void add_create_kernels(Table& table);
void add_custom_kernels(Table& table);
void add_factorization_kernels(Table& table);
void add_fft_kernels(Table& table);
void add_matmul_kernels(Table& table);
void add_packed_kernels(Table& table);
void add_packed_product_kernels(Table& table);
void add_scan_kernels(Table& table);
void add_scatter_kernels(Table& table);
void add_search_kernels(Table& table);
void add_slice_dynamic_kernels(Table& table);
void add_sort_kernels(Table& table);
void add_take_kernels(Table& table);
void add_triangular_kernels(Table& table);

}  // namespace plait::cuda
