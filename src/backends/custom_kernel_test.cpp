#include "backends/custom_kernel.h"

#include <gtest/gtest.h>

#include "backends/cpu/compiler.h"
#include "plait/error.h"

namespace plait {
namespace {

CustomKernelText copy(std::string_view body, DType from = DType::float32, DType to = DType::float32) {
  return {.name = "copy", .body = body, .inputs = {{"from", from, 1}}, .outputs = {{"to", to, 1}}};
}

TEST(CustomKernel, FindsWholeWords) {
  EXPECT_TRUE(mentions("a_shape[0]", "a_shape"));
  EXPECT_TRUE(mentions("aa_shape + a_shape", "a_shape"));
  EXPECT_FALSE(mentions("aa_shape + a_shapes", "a_shape"));
  EXPECT_FALSE(mentions("", "a"));
  EXPECT_TRUE(mentions("a", "a"));
}

TEST(CustomKernel, FindsFilesThatAreIncluded) {
  for (const char* text :
       {"", "#include <cmath>\n", "# \t include  <a/b.h>", "#define include \"x\"", "include \"x\"", "#"})
    EXPECT_FALSE(includes_files(text)) << text;
  for (const char* text : {"#include \"x.h\"", "#include <a>\n#  include\t\"b\"", "#include NAME", "#include/**/\"x\"",
                           "#include", "#include_next <a>", "#embed <a>", "%:include \"x\"", "#/**/include \"x\"",
                           "#\\\ninclude \"x\"", "asm(\".incbin \\\"x\\\"\");"})
    EXPECT_TRUE(includes_files(text)) << text;
  for (const CustomLanguage language : {CustomLanguage::cpp, CustomLanguage::cuda}) {
    CustomKernelText text = copy("cooperative_groups::sync(); to[0] = from[0];", DType::float16, DType::bfloat16);
    EXPECT_FALSE(includes_files(custom_kernel_text(language, text)));
    text.header = "#include \"own.h\"";
    EXPECT_TRUE(includes_files(custom_kernel_text(language, text)));
  }
}

TEST(CustomKernel, NamesForTheLinker) {
  EXPECT_EQ(custom_symbol("my exp/2"), "custom_kernel_my_exp_2");
  EXPECT_EQ(custom_symbol("\"\n"), "custom_kernel___");
}

TEST(CustomKernel, OnlyWhatIsAskedForIsDescribed) {
  CustomKernelText text = copy("to[0] = from_strides[0];");
  text.inputs.push_back({"other", DType::int32, 2});
  EXPECT_EQ(described_inputs(text), (std::vector<int64_t>{1, 0}));
  text.header = "#define WIDTH other_shape[1]";
  EXPECT_EQ(described_inputs(text), (std::vector<int64_t>{1, 1}));
}

TEST(CustomKernel, TextsDependOnTypesAndRanksAlone) {
  for (const CustomLanguage language : {CustomLanguage::cpp, CustomLanguage::cuda}) {
    const std::string text = custom_kernel_text(language, copy("to[0] = from[0];"));
    EXPECT_EQ(text, custom_kernel_text(language, copy("to[0] = from[0];")));
    EXPECT_NE(text, custom_kernel_text(language, copy("to[0] = from[0];", DType::int32)));
    EXPECT_NE(text, custom_kernel_text(language, copy("to[0] = from[1];")));
  }
}

TEST(CustomKernel, RunsGroupsOfTheGrid) {
  const std::string text = custom_kernel_text(
      CustomLanguage::cpp, copy("to[thread_position_in_grid.x] = 2 * from[thread_position_in_grid.x];"));
  CustomCpuFunction function;
  try {
    function = reinterpret_cast<CustomCpuFunction>(cpu::compiled_function("copy", text, custom_symbol("copy")));
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_EQ(reinterpret_cast<void*>(function), cpu::compiled_function("copy", text, custom_symbol("copy")));
  const float from[5] = {1, 2, 3, 4, 5};
  float to[5] = {};
  const int64_t shape[1] = {5}, stride[1] = {1};
  const void* const inputs[] = {from};
  void* const outputs[] = {to};
  const int64_t *const shapes[] = {shape}, *const strides[] = {stride};
  char error[64];
  EXPECT_FALSE(function(inputs, outputs, shapes, strides, {5, 1, 1}, {2, 1, 1}, 1, 3, error, sizeof error));
  const float want[5] = {0, 0, 6, 8, 10};
  EXPECT_TRUE(std::equal(to, to + 5, want));
}

TEST(CustomKernel, TheCompilersMessagesNameTheUsersLine) {
  const std::string text = custom_kernel_text(CustomLanguage::cpp, copy("\n\nto[0] = nothing;"));
  try {
    cpu::compiled_function("cpu_kernel 'copy'", text, custom_symbol("copy"));
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_NE(error.info().got.find("copy:3:"), std::string::npos) << error.what();
    EXPECT_NE(error.info().got.find("nothing"), std::string::npos) << error.what();
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
}

}  // namespace
}  // namespace plait
