// Programs that tests and benchmarks of both tiers run.
#pragma once

#include "backends/region_cases.h"

namespace plait::region_cases {

/// Every op of the operands' type that is no reduction; op k of `ops` is output k.
inline RegionProgram all_ops_program(DType type, std::vector<Op>* ops = nullptr) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, type, Level::row), y = builder.input(1, type, Level::row),
            z = builder.input(2, type, Level::row), condition = builder.input(3, DType::bool_, Level::row);
  program.inputs = {{type}, {type}, {type}, {DType::bool_}};
  const auto add = [&](Op op, Val v) {
    program.outputs.push_back({v.id, v.type(), Level::row});
    if (ops) ops->push_back(op);
  };
  for (const Op op : elementwise_ops()) {
    if (op == Op::convert || !defined(op, type)) continue;
    if (op == Op::bitcast) {
      const DType to = type == DType::float32 ? DType::uint32 : type == DType::int64 ? DType::float64 : type;
      add(op, builder.unary_to(op, x, to));
    } else if (op == Op::select) {
      add(op, select(condition, x, y));
    } else if (op == Op::fma) {
      add(op, fma(x, y, z));
    } else {
      add(op, ir::operand_count(op) == 1 ? builder.unary(op, x) : builder.binary(op, x, y));
    }
  }
  program.code = builder.take();
  return program;
}

/// To every type.
inline RegionProgram conversions_program(DType type) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, type, Level::row);
  program.inputs = {{type}};
  for (const DType to : kTypes) {
    if (to == type) continue;
    const Val v = builder.convert(x, to);
    program.outputs.push_back({v.id, to, Level::row});
  }
  for (const DType half : {DType::float16, DType::bfloat16}) {
    const Val v = builder.convert(x, DType::float32);
    program.outputs.push_back({v.id, half, Level::row});
  }
  program.code = builder.take();
  return program;
}

inline RegionProgram softmax_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, dtype, Level::row);
  const Val e = builder.rounded(exp(builder.rounded(x - builder.reduce(Op::reduce_max, x), dtype)), dtype);
  const Val y = builder.rounded(e / builder.rounded(builder.reduce(Op::reduce_sum, e), dtype), dtype);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}};
  program.outputs = {{y.id, dtype, Level::row}};
  program.code = builder.take();
  return program;
}

/// Of the row, in float32, with a weight and a bias along the row; 1 / length is bound.
inline RegionProgram layer_norm_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const Val x = builder.input(0, dtype, Level::row), weight = builder.input(1, dtype, Level::row),
            bias = builder.input(2, dtype, Level::row), over = builder.scalar(0, DType::float32);
  const Val centred = x - builder.reduce(Op::reduce_sum, x) * over;
  const Val scale = rsqrt(builder.reduce(Op::reduce_sum, centred * centred) * over + 1e-5);
  const Val y = builder.rounded(centred * scale * weight + bias, dtype);
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{dtype}, {dtype}, {dtype}};
  program.scalars = {DType::float32};
  program.outputs = {{y.id, dtype, Level::row}};
  program.code = builder.take();
  return program;
}

/// 0.5 x (1 + tanh(0.797... (x + 0.044715 x^3))), with a rounding behind each op of the graph.
inline RegionProgram chain_program(DType dtype) {
  RegionProgram program;
  Builder builder;
  const auto r = [&](Val v) { return builder.rounded(v, dtype); };
  const auto c = [&](int k) { return builder.scalar(k, dtype); };
  const Val x = builder.input(0, dtype, Level::row);
  const Val cube = r(r(r(c(1) * x) * x) * x), t = r(tanh(r(c(2) * r(x + cube))));
  const Val y = r(r(c(0) * x) * r(c(3) + t));
  program.rank = 1;
  program.inputs = {{dtype}};
  program.scalars = {dtype, dtype, dtype, dtype};
  program.outputs = {{y.id, dtype, Level::row}};
  program.code = builder.take();
  return program;
}
inline std::vector<ScalarBits> chain_scalars(DType dtype) {
  return {ScalarBits::of(0.5, dtype), ScalarBits::of(0.044715, dtype), ScalarBits::of(0.7978845608, dtype),
          ScalarBits::of(1.0, dtype)};
}

}  // namespace plait::region_cases
