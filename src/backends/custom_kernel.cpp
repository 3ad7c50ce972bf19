#include "backends/custom_kernel.h"

#include <algorithm>
#include <cctype>

#include "backends/custom_kernel_prelude.h"
#include "plait/error.h"

namespace plait {
namespace {

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string cpp_type(DType d) {
  switch (d) {
    case DType::bool_: return "bool";
    case DType::uint8: return "uint8_t";
    case DType::uint16: return "uint16_t";
    case DType::uint32: return "uint32_t";
    case DType::uint64: return "uint64_t";
    case DType::int8: return "int8_t";
    case DType::int16: return "int16_t";
    case DType::int32: return "int32_t";
    case DType::int64: return "int64_t";
    case DType::float16: return "float16_t";
    case DType::bfloat16: return "bfloat16_t";
    case DType::float32: return "float";
    case DType::float64: return "double";
    case DType::complex64: return "complex64_t";
  }
  throw InternalError("a dtype without a name in C++");
}

/// In the parameters of a function, where the body's own names are not there yet.
std::string parameter_type(CustomLanguage language, DType d) {
  const bool built_in = d == DType::bool_ || d == DType::float32 || d == DType::float64;
  return (language == CustomLanguage::cuda && !built_in ? "plait_types::" : "") + cpp_type(d);
}

/// What the body was given by name, as its first lines.
std::string values_of(const CustomKernelText& kernel) {
  std::string text;
  for (const auto& [name, value] : kernel.values) {
    if (const auto* dtype = std::get_if<DType>(&value))
      text += "  using " + name + " = " + cpp_type(*dtype) + ";\n";
    else if (const auto* truth = std::get_if<bool>(&value))
      text += "  constexpr bool " + name + " = " + (*truth ? "true" : "false") + ";\n";
    else if (const int64_t number = std::get<int64_t>(value); number == static_cast<int32_t>(number))
      text += "  constexpr int " + name + " = " + std::to_string(number) + ";\n";
    else  // the lowest number has no literal of its own
      text += "  constexpr long long " + name + " = " + std::to_string(number + (number < 0)) + "LL" +
              (number < 0 ? " - 1" : "") + ";\n";
  }
  return text;
}

/// From here on messages name the user's lines.
std::string line_of(std::string_view name, std::string_view part) {
  std::string clean(name);
  for (char& c : clean)
    if (!in_word(c)) c = '_';
  return "#line 1 \"" + clean + std::string(part) + "\"\n";
}

std::string with_newline(std::string_view text) { return std::string(text) + "\n"; }

bool uses(const CustomKernelText& kernel, DType d) {
  const auto is = [d](const CustomArgument& a) { return a.dtype == d; };
  return std::any_of(kernel.inputs.begin(), kernel.inputs.end(), is) ||
         std::any_of(kernel.outputs.begin(), kernel.outputs.end(), is) ||
         std::any_of(kernel.values.begin(), kernel.values.end(), [d](const auto& v) {
           return std::holds_alternative<DType>(v.second) && std::get<DType>(v.second) == d;
         });
}

std::string cpp_text(const CustomKernelText& kernel) {
  std::string text = kCustomCppPrelude;
  text += line_of(kernel.name, " header") + with_newline(kernel.header);
  std::string parameters, arguments;
  const auto add = [&](const std::string& parameter, const std::string& argument) {
    parameters += (parameters.empty() ? "" : ", ") + parameter;
    arguments += (arguments.empty() ? "" : ", ") + argument;
  };
  for (size_t i = 0; i < kernel.inputs.size(); ++i) {
    const CustomArgument& in = kernel.inputs[i];
    const std::string at = "[" + std::to_string(i) + "]", type = parameter_type(CustomLanguage::cpp, in.dtype);
    add("[[maybe_unused]] const " + type + "* __restrict__ " + in.name,
        "static_cast<const " + type + "*>(inputs" + at + ")");
    add("[[maybe_unused]] const int64_t* " + in.name + "_shape", "shapes" + at);
    add("[[maybe_unused]] const int64_t* " + in.name + "_strides", "strides" + at);
  }
  for (size_t i = 0; i < kernel.outputs.size(); ++i) {
    const std::string type = parameter_type(CustomLanguage::cpp, kernel.outputs[i].dtype);
    add("[[maybe_unused]] " + type + "* __restrict__ " + kernel.outputs[i].name,
        "static_cast<" + type + "*>(outputs[" + std::to_string(i) + "])");
  }
  text += "\n#line 1 \"plait\"\n[[gnu::always_inline]] static inline void plait_body(" + parameters +
          kCustomCppPositions + ") {\n";
  for (const CustomArgument& in : kernel.inputs)
    text += "  [[maybe_unused]] constexpr int " + in.name + "_ndim = " + std::to_string(in.rank) + ";\n";
  text += values_of(kernel) + line_of(kernel.name, "") + with_newline(kernel.body) + "}\n\n";
  text += "#line 1 \"plait\"\nextern \"C\" bool " + custom_symbol(kernel.name) + kCustomCppEntry;
  return text + "            plait_body(" + arguments + kCustomCppCall;
}

std::string cuda_text(const CustomKernelText& kernel) {
  std::string text;
  // Headers that take a while to read come where they are of use.
  if (mentions(kernel.body, "cooperative_groups") || mentions(kernel.header, "cooperative_groups"))
    text += "#include <cooperative_groups.h>\n";
  const bool half = uses(kernel, DType::float16), brain = uses(kernel, DType::bfloat16);
  if (half) text += "#include <cuda_fp16.h>\n";
  if (brain) text += "#include <cuda_bf16.h>\n";
  text += kCustomCudaPrelude;
  text += "namespace plait_types {\n";
  std::string own;
  const auto name = [&](const char* type, const char* theirs) {
    text += std::string("using ") + type + " = " + theirs + ";\n";
    own += std::string("  using ") + type + " = plait_types::" + type + ";\n";
  };
  if (half) name("float16_t", "__half");
  if (brain) name("bfloat16_t", "__nv_bfloat16");
  text += "}\n" + line_of(kernel.name, " header") + with_newline(kernel.header);
  const std::vector<int64_t> described = described_inputs(kernel);
  std::string parameters, first;
  for (size_t i = 0; i < kernel.inputs.size(); ++i) {
    const CustomArgument& in = kernel.inputs[i];
    parameters += "const " + parameter_type(CustomLanguage::cuda, in.dtype) + "* __restrict__ " + in.name + ", ";
    if (!described[i]) continue;
    parameters += "const __grid_constant__ plait_types::Layout<" + std::to_string(std::max(in.rank, 1)) +
                  "> plait_of_" + in.name + ", ";
    first += "  const int64_t* const " + in.name + "_shape = plait_of_" + in.name + ".shape;\n";
    first += "  const int64_t* const " + in.name + "_strides = plait_of_" + in.name + ".strides;\n";
    first += "  constexpr int " + in.name + "_ndim = " + std::to_string(in.rank) + ";\n";
  }
  for (const CustomArgument& out : kernel.outputs)
    parameters += parameter_type(CustomLanguage::cuda, out.dtype) + "* __restrict__ " + out.name + ", ";
  text += "\n#line 1 \"plait\"\nextern \"C\" __global__ void " + custom_symbol(kernel.name) + "(" + parameters +
          "const __grid_constant__ plait_types::Grid plait_grid) {\n" + kCustomCudaBegin + own + first +
          values_of(kernel);
  return text + line_of(kernel.name, "") + with_newline(kernel.body) + "}\n";
}

}  // namespace

bool mentions(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !in_word(text[at - 1])) && (end == text.size() || !in_word(text[end]))) return true;
  }
  return false;
}

bool includes_files(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  if (text.find("%:") != std::string_view::npos || text.find(".incbin") != std::string_view::npos) return true;
  for (size_t at = text.find('#'); at != std::string_view::npos; at = text.find('#', at + 1)) {
    std::string_view rest = text.substr(std::min(text.size(), text.find_first_not_of(kBlank, at + 1)));
    if (rest.starts_with("embed") || rest.starts_with("/*") || rest.starts_with("\\")) return true;  // or hidden well
    if (!rest.starts_with("include")) continue;
    rest.remove_prefix(std::string_view("include").size());
    const size_t name = rest.find_first_not_of(kBlank);
    if (name == std::string_view::npos || rest[name] != '<') return true;
  }
  return false;
}

std::vector<int64_t> described_inputs(const CustomKernelText& kernel) {
  const auto asked = [&](const std::string& word) {  // also by macros of the header
    return mentions(kernel.body, word) || mentions(kernel.header, word);
  };
  std::vector<int64_t> out;
  for (const CustomArgument& in : kernel.inputs)
    out.push_back(asked(in.name + "_shape") || asked(in.name + "_strides") || asked(in.name + "_ndim"));
  return out;
}

std::string custom_symbol(std::string_view name) {
  std::string symbol = "custom_kernel_" + std::string(name);
  for (char& c : symbol)
    if (!in_word(c)) c = '_';
  return symbol;
}

std::string custom_kernel_text(CustomLanguage language, const CustomKernelText& kernel) {
  return language == CustomLanguage::cpp ? cpp_text(kernel) : cuda_text(kernel);
}

}  // namespace plait
