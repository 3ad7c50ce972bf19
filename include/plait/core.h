#pragma once

// All of plait.core, by the names that Python has. Headers of their own say what their functions do; those with a line below
// are Python's names for what C++ has in another form. What only Python has, and why, stands in tests/python/test_cpp_names.py.

#include <limits>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plait/array.h"
#include "plait/array_memory.h"
#include "plait/call.h"
#include "plait/compile_switch.h"
#include "plait/control_flow.h"
#include "plait/custom_kernel.h"
#include "plait/debug.h"
#include "plait/device_info.h"
#include "plait/distributed.h"
#include "plait/dtype_info.h"
#include "plait/export_function.h"
#include "plait/fail_allocation.h"
#include "plait/fast.h"
#include "plait/io.h"
#include "plait/jacobian.h"
#include "plait/library.h"
#include "plait/linalg.h"
#include "plait/linalg_error.h"
#include "plait/memory.h"
#include "plait/more_ops.h"
#include "plait/op_aliases.h"
#include "plait/ops.h"
#include "plait/print.h"
#include "plait/random.h"
#include "plait/stream.h"
#include "plait/thread_local_stream.h"
#include "plait/trace.h"
#include "plait/transfers.h"
#include "plait/transforms.h"

namespace plait {

using array = Array;
using Dtype = DType;
using DtypeCategory = DTypes;
using StreamContext = StreamScope;

inline constexpr double pi = std::numbers::pi;
inline constexpr double e = std::numbers::e;
inline constexpr double euler_gamma = std::numbers::egamma;
inline constexpr double inf = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

inline constexpr DType bool_ = DType::bool_;
inline constexpr DType uint8 = DType::uint8;
inline constexpr DType uint16 = DType::uint16;
inline constexpr DType uint32 = DType::uint32;
inline constexpr DType uint64 = DType::uint64;
inline constexpr DType int8 = DType::int8;
inline constexpr DType int16 = DType::int16;
inline constexpr DType int32 = DType::int32;
inline constexpr DType int64 = DType::int64;
inline constexpr DType float16 = DType::float16;
inline constexpr DType bfloat16 = DType::bfloat16;
inline constexpr DType float32 = DType::float32;
inline constexpr DType float64 = DType::float64;
inline constexpr DType complex64 = DType::complex64;

inline constexpr DTypes complexfloating = dtypes::complex;
inline constexpr DTypes floating = dtypes::floating;
inline constexpr DTypes inexact = dtypes::inexact;
inline constexpr DTypes signedinteger = dtypes::signed_integer;
inline constexpr DTypes unsignedinteger = dtypes::unsigned_integer;
inline constexpr DTypes integer = dtypes::integer;
inline constexpr DTypes number = dtypes::numeric;
inline constexpr DTypes generic = dtypes::any;

inline constexpr DeviceType cpu = DeviceType::cpu;
inline constexpr DeviceType gpu = DeviceType::gpu;

// Of the default device's memory. Errors: none, as that device is there.
inline int64_t get_active_memory() { return memory_stats(default_device()).active; }
inline int64_t get_peak_memory() { return memory_stats(default_device()).peak; }
inline int64_t get_cache_memory() { return memory_stats(default_device()).cached; }
inline int64_t get_memory_limit() { return memory_stats(default_device()).limit; }

/// `const auto on = stream(s);`: new nodes of this thread go there within the scope. Errors: DeviceError.
inline StreamScope stream(Stream s) { return StreamScope(s); }
inline StreamScope stream(const ThreadLocalStream& s) { return StreamScope(s.here()); }
inline StreamScope stream(Device device) { return StreamScope(default_stream(device)); }
inline Stream new_thread_unsafe_stream(Device device) { return new_stream(device); }
/// Forgets streams that nobody uses; here they hold nothing.
inline void clear_streams() {}

inline PrintOptions get_printoptions() { return print_options(); }
inline void set_printoptions(PrintOptions options) { set_print_options(options); }
/// Options in force within a scope.
class printoptions {
 public:
  explicit printoptions(PrintOptions inside) : before_(print_options()) { set_print_options(inside); }
  ~printoptions() { set_print_options(before_); }
  printoptions(const printoptions&) = delete;
  printoptions& operator=(const printoptions&) = delete;

 private:
  PrintOptions before_;
};

/// `exporter(path, f)` collects traces of f, and writes them when it is closed.
inline FunctionExporter exporter(std::string path, NamedFunction f, ExportOptions options = {}) {
  return FunctionExporter(std::move(path), std::move(f), std::move(options));
}
/// Writes the graph of arrays that are not computed yet as text for Graphviz. Errors: FileError.
PLAIT_API void export_to_dot(const std::string& path, const Arrays& arrays,
                             const std::vector<std::pair<std::string, Array>>& names = {});

/// The array in a dtype, where one is given.
inline Array asarray(const Array& a, std::optional<DType> dtype = std::nullopt) {
  return dtype ? astype(a, *dtype) : a;
}
inline Array matrix_norm(const Array& a, const linalg::NormOrder& order = {}, const Axes& axis = {},
                         bool keepdims = false) {
  return linalg::norm(a, order, axis, keepdims);
}
/// Values and counts, or values and positions: parts of unique_all.
inline Arrays unique_counts(const Array& a) {
  const Arrays all = unique_all(a);
  return {all[0], all[3]};
}
inline Arrays unique_inverse(const Array& a) {
  const Arrays all = unique_all(a);
  return {all[0], all[2]};
}

namespace linalg {
using plait::tensordot;
}  // namespace linalg

namespace cuda {
/// Whether a CUDA device can be used.
inline bool is_available() { return plait::is_available({DeviceType::gpu, 0}); }
}  // namespace cuda

/// This is not macOS: what there is of Metal is its names.
namespace metal {
inline bool is_available() { return false; }
inline DeviceInfo device_info() { return {}; }
inline void start_capture(const std::string& /*path*/) {}
inline void stop_capture() {}
using plait::clear_cache;
using plait::get_active_memory;
using plait::get_cache_memory;
using plait::get_peak_memory;
using plait::reset_peak_memory;
using plait::set_cache_limit;
using plait::set_memory_limit;
using plait::set_wired_limit;
}  // namespace metal

}  // namespace plait
