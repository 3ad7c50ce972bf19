#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graph/attrs.h"
#include "memory/position_note.h"
#include "plait/dtype.h"
#include "plait/small_vector.h"

/// Kernels of opaque ops. A kernel sees memory, extents and attributes by name; it knows nothing of the graph.
namespace plait {

/// Memory with a shape. Strides count elements; outputs are row-major and contiguous.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::float32;
  SmallVector<int64_t, 6> shape;
  SmallVector<int64_t, 6> strides;

  int rank() const { return static_cast<int>(shape.size()); }
  int64_t count() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
  PLAIT_API bool contiguous() const;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

struct KernelArgs {
  std::string_view op;
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  AttrsView attrs;  // args.attrs.get<int64_t>("axis")
  uint32_t queue = 0;  // on a device: where the work is enqueued
  // On a device, of a kernel that `checks_positions`: where one is noted that lies outside, null where nobody wants to know, with
  // `source` of the operation. Of one that `checks_matrices`: where one is noted that it cannot do, never null.
  memory::PositionNote* note = nullptr;
  uint32_t source = 0;
};

using KernelFn = void (*)(const KernelArgs&);

struct Kernel {
  KernelFn run = nullptr;
  bool contiguous_inputs = true;  // the engine hands inputs over row-major, copying where it must
  bool output_aliases_input0 =
      false;  // output 0 starts as a copy of input 0 (scatter, slice_update): the engine copies,
  // or donates the input's memory when nobody else needs it
  bool checks_positions = false;  // IndexError on the CPU, a note in KernelArgs on a device
  bool checks_matrices = false;  // LinAlgError likewise
  bool (*takes)(const KernelArgs&) =
      nullptr;  // on a device: whether it can, by dtypes, extents and attributes (no data
  // is there yet); null: always. What it can't runs on the CPU
};

enum class Backend : uint8_t { reference, cpu, count_ };

/// op name x backend -> kernel. Filled once at start-up, read-only afterwards.
class KernelTable {
 public:
  void add(std::string op, Backend backend, Kernel kernel);
  /// The cpu kernel, else the reference one, else null.
  const Kernel* find(std::string_view op) const;
  const Kernel* find(std::string_view op, Backend backend) const;

 private:
  std::unordered_map<std::string, std::array<Kernel, static_cast<size_t>(Backend::count_)>> kernels_;
};

/// The process's table.
const KernelTable& kernels();

}  // namespace plait
