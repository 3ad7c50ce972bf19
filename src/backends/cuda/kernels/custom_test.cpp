// Texts of users' kernels compile. Needs NVRTC, no GPU.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "backends/cuda/kernels/image.h"
#include "backends/cuda/regions/build.h"
#include "backends/custom_kernel.h"
#include "base/interrupt.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

constexpr DType kTypes[] = {DType::bool_,    DType::uint8,   DType::uint16,  DType::uint32,   DType::uint64,
                            DType::int8,     DType::int16,   DType::int32,   DType::int64,    DType::float16,
                            DType::bfloat16, DType::float32, DType::float64, DType::complex64};

Source source_of(const CustomKernelText& text) {
  return {custom_kernel_text(CustomLanguage::cuda, text), {custom_symbol(text.name)}, "cuda_kernel 'test'"};
}

std::string compiled(const CustomKernelText& text) { return compile(source_of(text), 90); }

TEST(CustomCudaImage, WhatIsMissing) {
  std::ostringstream own;  // an image of the same format, with sections and segments
  own << std::ifstream("/proc/self/exe", std::ios::binary).rdbuf();
  const std::string whole = std::move(own).str();
  ASSERT_GT(whole.size(), 1000u);
  EXPECT_EQ(missing_part(whole), nullptr);
  for (size_t bytes : {size_t{4}, size_t{63}, size_t{64}, size_t{1000}, whole.size() / 2, whole.size() - 1})
    EXPECT_NE(missing_part(std::string_view(whole).substr(0, bytes)), nullptr) << bytes;
  for (size_t at : {size_t{32}, size_t{40}}) {  // where its tables are said to lie
    std::string far = whole;
    std::memset(far.data() + at, 0xFF, 8);
    EXPECT_NE(missing_part(far), nullptr) << at;
  }
  std::string endless = whole;  // many sections, none of which takes room
  uint64_t table = 0;
  std::memcpy(&table, endless.data() + 40, sizeof table);
  std::memset(endless.data() + 58, 0, 4);  // bytes of an entry, entries
  std::memset(endless.data() + table + 32, 0x7F, 8);  // their number, then
  EXPECT_NE(missing_part(endless), nullptr);
  std::string fat("\x50\xED\x55\xBA\x01\x00\x10\x00\x08\0\0\0\0\0\0\0", 16);
  EXPECT_NE(missing_part(fat), nullptr);
  EXPECT_EQ(missing_part(fat + std::string(8, '\0')), nullptr);
  EXPECT_NE(missing_part(fat.substr(0, 9)), nullptr);
  EXPECT_EQ(missing_part(".version 8.0"), nullptr);
  EXPECT_EQ(missing_part(""), nullptr);
}

class CustomCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      compile({"extern \"C\" __global__ void nothing() {}\n", {"nothing"}, "nothing"}, 90);
    } catch (const DeviceError& error) {
      GTEST_SKIP() << "NVRTC is not there: " << error.what();
    }
  }
};

TEST_F(CustomCuda, EveryTypeCompiles) {
  for (const DType type : kTypes) {
    CustomKernelText text{.name = "test", .body = "T x = inp[threadIdx.x]; out[threadIdx.x] = x;"};
    text.inputs = {{"inp", type, 1}};
    text.outputs = {{"out", type, 1}};
    text.values = {{"T", type}};
    EXPECT_NO_THROW(compiled(text)) << name_of(type);
  }
}

TEST_F(CustomCuda, LayoutsValuesAndFunctionsOfTheToolkit) {
  CustomKernelText text{.name = "a name", .header = "__device__ int twice(int x) { return 2 * x; }"};
  text.body =
      "const uint64_t at = cooperative_groups::this_grid().thread_rank();\n"
      "if (FLAG) out[at] = twice(inp[elem_to_loc(at, inp_shape, inp_strides, inp_ndim)]) + K + (LOW < 0) + point[0];";
  text.inputs = {{"inp", DType::int32, 3}, {"point", DType::int64, 0}};
  text.outputs = {{"out", DType::float32, 1}};
  text.values = {{"FLAG", true}, {"K", int64_t{3}}, {"LOW", INT64_MIN}};
  EXPECT_NO_THROW(compiled(text));
}

TEST_F(CustomCuda, MessagesNameTheUsersLine) {
  CustomKernelText text{.name = "test", .body = "\n\nout[0] = nothing;"};
  text.outputs = {{"out", DType::float32, 1}};
  try {
    compiled(text);
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_NE(error.info().got.find("test(3)"), std::string::npos) << error.what();
    EXPECT_NE(error.info().got.find("nothing"), std::string::npos) << error.what();
  }
}

TEST_F(CustomCuda, InterruptsEndACompilation) {
  CustomKernelText text{.name = "test", .body = "out[threadIdx.x] = 1;"};
  text.outputs = {{"out", DType::float16, 1}};
  set_interrupt_hook([] { throw Interrupted({.op = "test", .got = "an interrupt"}); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // polls are this rare
  EXPECT_THROW(compiled(text), Interrupted);
  EXPECT_NO_THROW(compile({"extern \"C\" __global__ void nothing() {}\n", {"nothing"}, ""}, 90));  // nobody waits
  set_interrupt_hook(nullptr);
  EXPECT_NO_THROW(compiled(text));
}

}  // namespace
}  // namespace plait::cuda
