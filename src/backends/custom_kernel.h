// Kernels that users write: the text that is compiled for one call, and how the machine code of the CPU is called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "plait/dtype.h"
#include "plait/export.h"

namespace plait {

/// What a body sees by a name: elements of a dtype, and for inputs shape, strides and number of axes.
struct CustomArgument {
  std::string name;
  DType dtype = DType::float32;
  int rank = 0;
};

/// A body and all that its text depends on beside it. Texts are the same for all shapes.
struct CustomKernelText {
  std::string_view name;  // for people; any text
  std::string_view body = {}, header = {};
  std::vector<CustomArgument> inputs = {}, outputs = {};
  std::vector<std::pair<std::string, std::variant<bool, int64_t, DType>>> values = {};  // named by the body
};

enum class CustomLanguage : uint8_t { cpp, cuda };

/// The whole text. What it defines: `custom_symbol`.
std::string custom_kernel_text(CustomLanguage language, const CustomKernelText& kernel);
/// A name for the linker made from one for people.
PLAIT_API std::string custom_symbol(std::string_view name);
/// Whether `text` has `word` as a word of its own.
bool mentions(std::string_view text, std::string_view word);
/// Whether `text` includes files but by names in <>. What they hold may change while the text does not, so its code is kept on no disk.
PLAIT_API bool includes_files(std::string_view text);
/// Which inputs' shapes, strides or ranks body or header ask for: in CUDA each of these is a parameter more.
std::vector<int64_t> described_inputs(const CustomKernelText& kernel);

/// Three numbers, of which the first counts neighbours.
using Extents3 = int64_t[3];

/// Code made for the CPU: runs the groups [begin, end) of the grid. What the body throws comes back as its text, at most `room`
/// bytes of it, and true.
using CustomCpuFunction = bool (*)(const void* const* inputs, void* const* outputs, const int64_t* const* shapes,
                                   const int64_t* const* strides, const Extents3& grid, const Extents3& group,
                                   int64_t begin, int64_t end, char* error, int64_t room);

}  // namespace plait
