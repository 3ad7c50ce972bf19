// Attention without a matrix of scores: blocks of keys pass by blocks of queries, whose largest score and sum of exponentials are
// corrected as they come (Milakov and Gimelshein 2018; Dao et al. 2022). Backward, weights are computed once more from these.
#include "backends/attention.h"

#include <cmath>
#include <cstring>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/gemm.h"
#include "backends/cpu/scratch.h"
#include "backends/order.h"
#include "base/parallel.h"
#include "memory/buffer.h"

namespace plait {
namespace {

using cpu::GemmOperand;
using cpu::GemmPanels;
using cpu::GemmTile;
using cpu::Scratch;
using Mask = AttentionCall::Mask;

constexpr float kLowest = -std::numeric_limits<float>::max();
constexpr int64_t kKeys = 256;  // of a block: panels of it and a block of scores stay in L2
constexpr int64_t kQueries = 48;  // of a block, about
constexpr int64_t kFewQueries = 3;  // up to which nothing is packed
constexpr int64_t kMostQueries = 1024;  // of a task, about; backward each task may have sums of its own for all keys
constexpr int64_t kWantedTasks = 16;

int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

GemmOperand::Type type_of(DType d) {
  return d == DType::float16    ? GemmOperand::Type::f16
         : d == DType::bfloat16 ? GemmOperand::Type::bf16
                                : GemmOperand::Type::f32;
}

/// Rows of one head as packing sees them, and the same with rows as steps.
GemmOperand rows_of(const TensorView& t, int64_t n, int64_t head) {
  return {type_of(t.dtype), line_of(t, n, head, 0), t.strides[2], t.strides[3]};
}
GemmOperand turned(GemmOperand operand) {
  std::swap(operand.row_stride, operand.step_stride);
  return operand;
}
GemmOperand floats(const float* data, int64_t row_stride, int64_t step_stride) {
  return {GemmOperand::Type::f32, data, row_stride, step_stride};
}

void pack(const GemmOperand& from, const GemmPanels& panels, float* to, int64_t first, int64_t count, int64_t step,
          int64_t depth) {
  cpu::pack_operand(from, panels, 1, reinterpret_cast<char*>(to), first, count, step, depth);
}

/// Products of packed panels, whole tiles. Those of b may have more steps, `b_depth`, than are multiplied.
void multiply(const GemmTile& tile, int64_t depth, const float* a, int64_t rows, const float* b, int64_t columns,
              float* c, int64_t stride, bool add, int64_t b_depth) {
  for (int64_t i = 0; i < rows; i += tile.a.width)
    for (int64_t j = 0; j < columns; j += tile.b.width)
      tile.run(depth, a + i * depth, b + j * b_depth, c + i * stride + j, stride, add);
}

void store_rows(const float* from, int64_t stride, const TensorView& out, int64_t row, int64_t rows, int64_t columns) {
  if (is_half(out.dtype))
    return cpu::store_narrow(from, stride, out.as<uint16_t>() + row * columns, columns, rows, columns, out.dtype);
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(out.as<float>() + (row + i) * columns, from + i * stride, static_cast<size_t>(columns) * sizeof(float));
}

/// Blocks of the queries of all heads that share one of k and v. None has queries of two heads.
struct Blocks {
  int64_t size, of_head, count, tasks, of_task;

  // By extents only, so that results do not depend on the number of threads.
  Blocks(const AttentionCall& at, int64_t size, int64_t most_queries)
      : size(size), of_head(ceil_div(at.queries, size)), count(of_head * at.group()) {
    tasks = ceil_div(count * size, most_queries);
    const int64_t sharing = at.batch * at.shared;
    while (tasks < count && sharing * tasks < kWantedTasks) tasks *= 2;
    of_task = ceil_div(count, std::min(tasks, count));
    tasks = ceil_div(count, of_task);
  }
};

struct Block {
  int64_t head, first, rows;  // first: of the head's queries
  int64_t row;  // of the result

  Block(const AttentionCall& at, const Blocks& blocks, int64_t n, int64_t shared, int64_t index)
      : head(shared * at.group() + index / blocks.of_head),
        first(index % blocks.of_head * blocks.size),
        rows(std::min(blocks.size, at.queries - first)),
        row((n * at.heads + head) * at.queries + first) {}
  int64_t last() const { return first + rows - 1; }
};

/// Scores of keys `key` to `key + n`, those not seen the lowest.
void apply_mask(const AttentionCall& at, int64_t n_batch, int64_t head, int64_t query, int64_t key, int64_t n,
                float* x) {
  if (at.kind == Mask::none) return;
  if (at.kind == Mask::causal) {
    for (int64_t j = std::max<int64_t>(0, at.seen(query) - key); j < n; ++j) x[j] = kLowest;
    return;
  }
  const int64_t stride = at.mask_stride();
  const char* const row = at.mask_row(n_batch, head, query) + key * stride * size_of(at.mask.dtype);
  const auto each = [&](auto change) {
    for (int64_t j = 0; j < n; ++j) change(x[j], j * stride);
  };
  if (at.kind == Mask::boolean) {
    each([&](float& score, int64_t i) { score = row[i] ? score : kLowest; });
  } else if (at.mask.dtype == DType::float32) {
    each([&](float& score, int64_t i) { score += reinterpret_cast<const float*>(row)[i]; });
  } else if (at.mask.dtype == DType::float16) {
    each([&](float& score, int64_t i) { score += widened(reinterpret_cast<const float16_t*>(row)[i]); });
  } else {
    each([&](float& score, int64_t i) { score += widened(reinterpret_cast<const bfloat16_t*>(row)[i]); });
  }
}

/// Zero where a key was not seen.
void keep_seen(const AttentionCall& at, int64_t n_batch, int64_t head, int64_t query, int64_t key, int64_t n,
               float* x) {
  if (at.kind == Mask::causal)
    for (int64_t j = std::max<int64_t>(0, at.seen(query) - key); j < n; ++j) x[j] = 0;
  if (at.kind != Mask::boolean) return;
  const int64_t stride = at.mask_stride();
  const char* const row = at.mask_row(n_batch, head, query) + key * stride;
  for (int64_t j = 0; j < n; ++j)
    if (!row[j * stride]) x[j] = 0;
}

// ---- forward ----------------------------------------------------------------------------------------------------------

/// A task: blocks of queries, and what is known of their rows so far.
class Attending {
 public:
  Attending(const AttentionCall& at, const KernelArgs& args, const Blocks& blocks, bool few)
      : at_(at),
        args_(args),
        blocks_(blocks),
        few_(few),
        tile_(cpu::gemm_kernels().f32),
        loops_(cpu::attention_kernels()),
        high_(few ? blocks.size : round_up(blocks.size, tile_.a.width)),
        wide_(round_up(at.values, tile_.b.width)),
        keys_(round_up(kKeys, std::max<int64_t>(tile_.b.width, cpu::kScoreLanes))) {}

  void run(int64_t n, int64_t shared, int64_t begin, int64_t end) {
    Scratch scratch;
    const int64_t count = end - begin;
    q_ = scratch.take<float>(count * high_ * at_.features);
    out_ = scratch.take<float>(count * high_ * wide_);
    most_ = scratch.take<float>(count * blocks_.size);
    total_ = scratch.take<float>(count * blocks_.size);
    scores_ = scratch.take<float>(high_ * keys_);
    weights_ = scratch.take<float>(high_ * std::max(kKeys, wide_));
    k_ = scratch.take<float>(keys_ * at_.features);
    v_ = scratch.take<float>(wide_ * kKeys);
    for (int64_t b = 0; b < count; ++b) start(Block(at_, blocks_, n, shared, begin + b), n, b);
    for (int64_t key = 0; key < at_.keys; key += kKeys) {
      const int64_t keys = std::min(kKeys, at_.keys - key);
      bool packed = few_;
      for (int64_t b = 0; b < count; ++b) {
        const Block block(at_, blocks_, n, shared, begin + b);
        if (at_.hidden(block.first, block.last(), key)) continue;
        if (!packed) {
          pack(rows_of(at_.k, n, shared), tile_.b, k_, key, keys, 0, at_.features);
          pack(turned(rows_of(at_.v, n, shared)), tile_.b, v_, 0, at_.values, key, keys);
          packed = true;
        }
        meet(block, n, shared, b, key, keys);
      }
    }
    for (int64_t b = 0; b < count; ++b) finish(Block(at_, blocks_, n, shared, begin + b), b);
  }

 private:
  int64_t rows_of_tiles(const Block& block) const { return few_ ? block.rows : round_up(block.rows, tile_.a.width); }

  void start(const Block& block, int64_t n, int64_t b) {
    float* const q = q_ + b * high_ * at_.features;
    const GemmPanels one{.width = 1};
    pack(rows_of(at_.q, n, block.head), few_ ? one : tile_.a, q, block.first, block.rows, 0, at_.features);
    for (int64_t i = 0; i < rows_of_tiles(block) * at_.features; ++i) q[i] *= static_cast<float>(at_.scale);
    std::memset(out_ + b * high_ * wide_, 0, static_cast<size_t>(high_ * wide_) * sizeof(float));
    const bool sinks = args_.attrs.get<bool>("sinks");
    for (int64_t i = 0; i < block.rows; ++i) {
      most_[b * blocks_.size + i] =
          sinks ? *reinterpret_cast<const float*>(sink_of(args_.inputs[4], n, block.head)) : kLowest;
      total_[b * blocks_.size + i] = sinks ? 1 : 0;
    }
  }

  void meet(const Block& block, int64_t n, int64_t shared, int64_t b, int64_t key, int64_t packed_keys) {
    const int64_t keys = at_.needed(block.first, block.last(), key, packed_keys);
    const float* const q = q_ + b * high_ * at_.features;
    float* const out = out_ + b * high_ * wide_;
    const auto type = static_cast<int>(at_.k.dtype == DType::float16    ? cpu::GemvType::f16
                                       : at_.k.dtype == DType::bfloat16 ? cpu::GemvType::bf16
                                                                        : cpu::GemvType::f32);
    if (few_)
      for (int64_t i = 0; i < block.rows; ++i)
        cpu::gemm_kernels().dots[type](scores_ + i * keys_, q + i * at_.features, line_of(at_.k, n, shared, key),
                                       at_.k.strides[2], at_.features, keys);
    else
      multiply(tile_, at_.features, q, rows_of_tiles(block), k_, keys, scores_, keys_, false, at_.features);
    for (int64_t i = 0; i < block.rows; ++i) {
      float* const x = scores_ + i * keys_;
      float &most = most_[b * blocks_.size + i], &total = total_[b * blocks_.size + i];
      apply_mask(at_, n, block.head, block.first + i, key, keys, x);
      const float before = most;
      const float sum = loops_.weigh(x, keys, most);
      const float factor = most == before ? 1.0f : std::exp(before - most);
      total = total * factor + sum;
      if (few_) {
        cpu::gemm_kernels().combine[type](weights_, x, line_of(at_.v, n, shared, key), at_.v.strides[2], keys,
                                          at_.values);
        loops_.scale_add(out + i * wide_, weights_, at_.values, factor);
      } else if (factor != 1.0f) {
        for (int64_t j = 0; j < wide_; ++j) out[i * wide_ + j] *= factor;
      }
    }
    if (few_) return;
    pack(floats(scores_, keys_, 1), tile_.a, weights_, 0, block.rows, 0, keys);
    multiply(tile_, keys, weights_, rows_of_tiles(block), v_, wide_, out, wide_, true, packed_keys);
  }

  void finish(const Block& block, int64_t b) {
    float* const out = out_ + b * high_ * wide_;
    for (int64_t i = 0; i < block.rows; ++i) {
      const float most = most_[b * blocks_.size + i], total = total_[b * blocks_.size + i];
      args_.outputs[1].as<float>()[block.row + i] = most;
      args_.outputs[2].as<float>()[block.row + i] = total;
      if (at_.keys > 0)
        for (int64_t j = 0; j < at_.values; ++j) out[i * wide_ + j] /= total;
    }
    store_rows(out, wide_, args_.outputs[0], block.row, block.rows, at_.values);
  }

  const AttentionCall& at_;
  const KernelArgs& args_;
  const Blocks& blocks_;
  const bool few_;
  const GemmTile& tile_;
  const cpu::AttentionKernels& loops_;
  const int64_t high_, wide_, keys_;  // rows of a block, columns of its result and scores, up to whole tiles
  float *q_ = nullptr, *out_ = nullptr, *most_ = nullptr, *total_ = nullptr, *scores_ = nullptr, *weights_ = nullptr,
        *k_ = nullptr, *v_ = nullptr;
};

void run(const KernelArgs& args) {
  const AttentionCall at(args);
  if (at.q.dtype == DType::float64) return kernels().find(args.op, Backend::reference)->run(args);
  if (args.outputs[1].count() == 0) return;
  // Vectors are read where they lie.
  const bool few = at.queries <= kFewQueries && at.k.strides[3] == 1 && at.v.strides[3] == 1;
  const int64_t high = cpu::gemm_kernels().f32.a.width;
  const Blocks blocks(at, few ? at.queries : round_up(std::min(at.queries, kQueries), high), kMostQueries);
  parallel_for(at.batch * at.shared * blocks.tasks, 1, [&](int64_t begin, int64_t end) {
    Attending task(at, args, blocks, few);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t both = i / blocks.tasks, first = i % blocks.tasks * blocks.of_task;
      task.run(both / at.shared, both % at.shared, first, std::min(blocks.count, first + blocks.of_task));
    }
  });
}

// ---- backward ---------------------------------------------------------------------------------------------------------

/// A task: blocks of queries, whose parts of the cotangents of all keys and values are added up.
class Returning {
 public:
  Returning(const AttentionCall& at, const KernelArgs& args, const Blocks& blocks)
      : at_(at),
        args_(args),
        blocks_(blocks),
        tile_(cpu::gemm_kernels().f32),
        loops_(cpu::attention_kernels()),
        high_(round_up(blocks.size, tile_.a.width)),
        wide_d_(round_up(at.features, tile_.b.width)),
        wide_v_(round_up(at.values, tile_.b.width)),
        stride_(round_up(kKeys, std::max<int64_t>(tile_.b.width, cpu::kScoreLanes))),
        tall_(round_up(kKeys, tile_.a.width)) {}

  /// of_k (keys, D) and of_v (keys, Dv): rows of floats, or null: straight into the results.
  void run(int64_t n, int64_t shared, int64_t begin, int64_t end, float* of_k, float* of_v) {
    Scratch scratch;
    const int64_t count = end - begin;
    q_ = scratch.take<float>(count * high_ * at_.features);
    g_ = scratch.take<float>(count * high_ * at_.values);
    q_steps_ = scratch.take<float>(count * blocks_.size * wide_d_);
    g_steps_ = scratch.take<float>(count * blocks_.size * wide_v_);
    of_q_ = scratch.take<float>(count * high_ * wide_d_);
    scores_ = scratch.take<float>(high_ * stride_);
    changes_ = scratch.take<float>(high_ * stride_);
    panels_ = scratch.take<float>(std::max(tall_ * blocks_.size, high_ * kKeys));
    k_ = scratch.take<float>(stride_ * at_.features);
    k_steps_ = scratch.take<float>(kKeys * wide_d_);
    v_ = scratch.take<float>(stride_ * at_.values);
    k_sums_ = scratch.take<float>(tall_ * wide_d_);
    v_sums_ = scratch.take<float>(tall_ * wide_v_);
    std::memset(of_q_, 0, static_cast<size_t>(count * high_ * wide_d_) * sizeof(float));
    for (int64_t b = 0; b < count; ++b) {
      const Block block(at_, blocks_, n, shared, begin + b);
      const GemmOperand q = rows_of(at_.q, n, block.head), g = rows_of(args_.inputs[7], n, block.head);
      pack(q, tile_.a, q_ + b * high_ * at_.features, block.first, block.rows, 0, at_.features);
      pack(g, tile_.a, g_ + b * high_ * at_.values, block.first, block.rows, 0, at_.values);
      pack(turned(q), tile_.b, q_steps_ + b * blocks_.size * wide_d_, 0, at_.features, block.first, block.rows);
      pack(turned(g), tile_.b, g_steps_ + b * blocks_.size * wide_v_, 0, at_.values, block.first, block.rows);
    }
    for (int64_t key = 0; key < at_.keys; key += kKeys) {
      const int64_t keys = std::min(kKeys, at_.keys - key);
      pack(rows_of(at_.k, n, shared), tile_.b, k_, key, keys, 0, at_.features);
      pack(turned(rows_of(at_.k, n, shared)), tile_.b, k_steps_, 0, at_.features, key, keys);
      pack(rows_of(at_.v, n, shared), tile_.b, v_, key, keys, 0, at_.values);
      std::memset(k_sums_, 0, static_cast<size_t>(tall_ * wide_d_) * sizeof(float));
      std::memset(v_sums_, 0, static_cast<size_t>(tall_ * wide_v_) * sizeof(float));
      for (int64_t b = 0; b < count; ++b) {
        const Block block(at_, blocks_, n, shared, begin + b);
        if (!at_.hidden(block.first, block.last(), key)) meet(block, n, b, key, keys);
      }
      const auto store = [&](const float* sums, int64_t stride, float* to, size_t output, int64_t columns) {
        if (!to)
          return store_rows(sums, stride, args_.outputs[output], (n * at_.shared + shared) * at_.keys + key, keys,
                            columns);
        for (int64_t j = 0; j < keys; ++j)
          std::memcpy(to + (key + j) * columns, sums + j * stride, static_cast<size_t>(columns) * sizeof(float));
      };
      store(k_sums_, wide_d_, of_k, 1, at_.features);
      store(v_sums_, wide_v_, of_v, 2, at_.values);
    }
    for (int64_t b = 0; b < count; ++b) {
      const Block block(at_, blocks_, n, shared, begin + b);
      store_rows(of_q_ + b * high_ * wide_d_, wide_d_, args_.outputs[0], block.row, block.rows, at_.features);
    }
  }

 private:
  void meet(const Block& block, int64_t n, int64_t b, int64_t key, int64_t packed_keys) {
    const int64_t keys = at_.needed(block.first, block.last(), key, packed_keys);
    const int64_t high = round_up(block.rows, tile_.a.width), tall = round_up(keys, tile_.a.width);
    multiply(tile_, at_.features, q_ + b * high_ * at_.features, high, k_, keys, scores_, stride_, false, at_.features);
    multiply(tile_, at_.values, g_ + b * high_ * at_.values, high, v_, keys, changes_, stride_, false, at_.values);
    const auto scale = static_cast<float>(at_.scale);
    for (int64_t i = 0; i < block.rows; ++i) {
      const int64_t query = block.first + i;
      float *x = scores_ + i * stride_, *t = changes_ + i * stride_;
      const auto number = [&](size_t input) {
        return *reinterpret_cast<const float*>(line_of(args_.inputs[input], n, block.head, query));
      };
      for (int64_t j = 0; j < keys; ++j) x[j] *= scale;
      apply_mask(at_, n, block.head, query, key, keys, x);
      loops_.weigh_back(x, t, keys, number(4), number(5), number(6), scale);
      keep_seen(at_, n, block.head, query, key, keys, t);
    }
    pack(floats(scores_, 1, stride_), tile_.a, panels_, 0, keys, 0, block.rows);
    multiply(tile_, block.rows, panels_, tall, g_steps_ + b * blocks_.size * wide_v_, wide_v_, v_sums_, wide_v_, true,
             block.rows);
    pack(floats(changes_, 1, stride_), tile_.a, panels_, 0, keys, 0, block.rows);
    multiply(tile_, block.rows, panels_, tall, q_steps_ + b * blocks_.size * wide_d_, wide_d_, k_sums_, wide_d_, true,
             block.rows);
    pack(floats(changes_, stride_, 1), tile_.a, panels_, 0, block.rows, 0, keys);
    multiply(tile_, keys, panels_, high, k_steps_, wide_d_, of_q_ + b * high_ * wide_d_, wide_d_, true, packed_keys);
  }

  const AttentionCall& at_;
  const KernelArgs& args_;
  const Blocks& blocks_;
  const GemmTile& tile_;
  const cpu::AttentionKernels& loops_;
  const int64_t high_, wide_d_, wide_v_, stride_, tall_;  // up to whole tiles
  float *q_ = nullptr, *g_ = nullptr, *q_steps_ = nullptr, *g_steps_ = nullptr, *of_q_ = nullptr, *scores_ = nullptr,
        *changes_ = nullptr, *panels_ = nullptr, *k_ = nullptr, *k_steps_ = nullptr, *v_ = nullptr, *k_sums_ = nullptr,
        *v_sums_ = nullptr;
};

/// Sums over tasks, (both, tasks, rows * columns) -> (both, rows * columns), as an output has them.
void add_parts(const float* parts, int64_t tasks, int64_t both, int64_t numbers, const TensorView& out) {
  constexpr int64_t kPiece = 4096;
  const int64_t pieces = ceil_div(numbers, kPiece);
  parallel_for(both * pieces, 4, [&](int64_t begin, int64_t end) {
    float sums[kPiece];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i % pieces * kPiece, count = std::min(kPiece, numbers - at);
      const float* from = parts + i / pieces * tasks * numbers + at;
      std::memcpy(sums, from, static_cast<size_t>(count) * sizeof(float));
      for (int64_t t = 1; t < tasks; ++t)
        for (int64_t j = 0; j < count; ++j) sums[j] += from[t * numbers + j];
      const int64_t to = i / pieces * numbers + at;
      if (is_half(out.dtype))
        cpu::store_narrow(sums, count, out.as<uint16_t>() + to, count, 1, count, out.dtype);
      else
        std::memcpy(out.as<float>() + to, sums, static_cast<size_t>(count) * sizeof(float));
    }
  });
}

void run_back(const KernelArgs& args) {
  const AttentionCall at(args);
  if (at.q.dtype == DType::float64) return kernels().find(args.op, Backend::reference)->run(args);
  const int64_t both = at.batch * at.shared;
  if (both == 0) return;
  if (at.heads == 0 || at.queries == 0 || at.keys == 0) {
    for (const TensorView& out : args.outputs)
      std::memset(out.data, 0, static_cast<size_t>(out.count() * size_of(out.dtype)));
    return;
  }
  const Blocks blocks(at, round_up(std::min(at.queries, kQueries), cpu::gemm_kernels().f32.a.width),
                      std::numeric_limits<int64_t>::max());
  const int64_t of_k = at.keys * at.features, of_v = at.keys * at.values;
  Ref<Buffer> parts;
  float *k_parts = nullptr, *v_parts = nullptr;
  if (blocks.tasks > 1) {
    parts = allocate(both * blocks.tasks * (of_k + of_v) * static_cast<int64_t>(sizeof(float)));
    k_parts = static_cast<float*>(parts->data());
    v_parts = k_parts + both * blocks.tasks * of_k;
  }
  parallel_for(both * blocks.tasks, 1, [&](int64_t begin, int64_t end) {
    Returning task(at, args, blocks);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t pair = i / blocks.tasks, first = i % blocks.tasks * blocks.of_task;
      task.run(pair / at.shared, pair % at.shared, first, std::min(blocks.count, first + blocks.of_task),
               k_parts ? k_parts + i * of_k : nullptr, v_parts ? v_parts + i * of_v : nullptr);
    }
  });
  if (!parts) return;
  add_parts(k_parts, blocks.tasks, both, of_k, args.outputs[1]);
  add_parts(v_parts, blocks.tasks, both, of_v, args.outputs[2]);
}

}  // namespace

void register_cpu_kernels_attention(KernelTable& table) {
  table.add("attention", Backend::cpu, {.run = run, .contiguous_inputs = false});
  table.add("attention_vjp", Backend::cpu, {.run = run_back, .contiguous_inputs = false});
}

}  // namespace plait
