// oneDNN called directly, as the yardstick for products: onednn_direct THREADS f32|bf16 M K N. Plain row-major operands
// and result, one primitive made beforehand, its scratch memory too; OMP_NUM_THREADS in the environment sets the
// threads.
#include <algorithm>
#include <cmath>

#include "dnnl.hpp"
#include "native.h"

namespace {

using dnnl::memory;

/// Values a product can be checked with exactly: multiples of 1/8 below 2.
float value_at(int64_t i) { return static_cast<float>(i * 40503 % 31 - 15) / 8; }

memory filled(const dnnl::engine& engine, const memory::desc& desc, dnnl::stream& stream, int64_t rows,
              int64_t columns) {
  const memory::desc wide({rows, columns}, memory::data_type::f32, memory::format_tag::ab);
  memory source(wide, engine);
  auto* data = static_cast<float*>(source.get_data_handle());
  for (int64_t i = 0; i < rows * columns; ++i) data[i] = value_at(i);
  memory made(desc, engine, yardstick::floats(static_cast<int64_t>(desc.get_size()) / 4).data());
  dnnl::reorder(source, made).execute(stream, source, made);
  stream.wait();
  return made;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 6) return yardstick::refuse("error", "usage: onednn_direct THREADS f32|bf16 M K N");
  const bool narrow = std::string(argv[2]) == "bf16";
  const auto type = narrow ? memory::data_type::bf16 : memory::data_type::f32;
  const int64_t m = std::atoll(argv[3]);
  const int64_t k = std::atoll(argv[4]);
  const int64_t n = std::atoll(argv[5]);

  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto rows_first = memory::format_tag::ab;
  const memory::desc a_desc({m, k}, type, rows_first);
  const memory::desc b_desc({k, n}, type, rows_first);
  const memory::desc c_desc({m, n}, type, rows_first);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::primitive_desc plan(engine, a_desc, b_desc, c_desc, attributes);
  const dnnl::matmul product(plan);

  const memory a = filled(engine, a_desc, stream, m, k);
  const memory b = filled(engine, b_desc, stream, k, n);
  const memory c(c_desc, engine, yardstick::floats(static_cast<int64_t>(c_desc.get_size()) / 4).data());
  const memory scratch(plan.scratchpad_desc(), engine);
  const auto call = [&] {
    product.execute(stream,
                    {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}, {DNNL_ARG_SCRATCHPAD, scratch}});
    stream.wait();
  };
  call();

  memory wide({{m, n}, memory::data_type::f32, rows_first}, engine);
  dnnl::reorder(c, wide).execute(stream, const_cast<memory&>(c), wide);
  stream.wait();
  const auto* result = static_cast<const float*>(wide.get_data_handle());
  for (int64_t i = 0; i < m * n; i += std::max<int64_t>(1, m * n / 97)) {
    double sum = 0;
    double size = 0;
    for (int64_t j = 0; j < k; ++j) {
      const double term = double{value_at(i / n * k + j)} * value_at(j * n + i % n);
      sum += term;
      size += std::fabs(term);
    }
    if (std::fabs(result[i] - sum) > size * (narrow ? 4e-3 : 1e-6))
      return yardstick::refuse("error", "oneDNN's product is wrong");
  }
  const dnnl_version_t* version = dnnl_version();
  return yardstick::serve(
      std::to_string(version->major) + "." + std::to_string(version->minor) + " " + plan.impl_info_str(), call);
} catch (const dnnl::error& error) {
  return yardstick::refuse("error", std::string("oneDNN: ") + error.message);
}
