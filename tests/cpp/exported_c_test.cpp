// A function written by C++ and run through the C interface.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "plait/c.h"
#include "plait/export_function.h"
#include "plait/ops.h"

namespace {

plait_array floats(const std::vector<float>& values) {
  const int64_t shape[] = {static_cast<int64_t>(values.size())};
  plait_array out = nullptr;
  EXPECT_EQ(plait_array_new(values.data(), values.size() * sizeof(float), shape, 1, PLAIT_FLOAT32, &out), PLAIT_OK);
  return out;
}

TEST(ExportedInC, RunsWithOtherExtents) {
  const std::string path = testing::TempDir() + "/exported-" + std::to_string(::getpid());
  plait::export_function(path,
                         [](const plait::Arrays& in, const plait::NamedArrays& named) {
                           return plait::Arrays{in[0] * named.at("scale"), plait::sum(in[0], plait::Axes(), false)};
                         },
                         {plait::ones({2})}, {{"scale", plait::ones({2})}}, {.shapeless = true, .metadata = "scaled"});
  plait_function f = nullptr;
  ASSERT_EQ(plait_function_import(path.c_str(), &f), PLAIT_OK);
  ::unlink(path.c_str());
  EXPECT_STREQ(plait_function_metadata(f), "scaled");

  const plait_array x = floats({1, 2, 3}), scale = floats({4, 5, 6});
  const char* name = "scale";
  plait_array out[2] = {nullptr, nullptr};
  size_t count = 0;
  ASSERT_EQ(plait_function_call(f, &x, 1, &name, &scale, 1, out, 2, &count), PLAIT_OK) << plait_error_message();
  ASSERT_EQ(count, 2U);
  float got[3] = {};
  ASSERT_EQ(plait_array_read(out[0], got, sizeof got), PLAIT_OK);
  EXPECT_EQ(std::vector<float>(got, got + 3), (std::vector<float>{4, 10, 18}));

  plait_array none[2] = {nullptr, nullptr};
  EXPECT_EQ(plait_function_call(f, &x, 1, &name, &scale, 1, none, 1, &count), PLAIT_USER_ERROR);
  EXPECT_EQ(plait_function_call(f, &x, 1, nullptr, nullptr, 0, none, 2, &count), PLAIT_USER_ERROR);
  EXPECT_NE(std::strstr(plait_error_message(), "scale=float32(?,)"), nullptr) << plait_error_message();
  EXPECT_EQ(plait_function_call(nullptr, &x, 1, nullptr, nullptr, 0, none, 2, &count), PLAIT_USER_ERROR);
  EXPECT_EQ(none[0], nullptr);
  for (const plait_array a : {x, scale, out[0], out[1]}) plait_array_free(a);
  plait_function_free(f);
  plait_function_free(nullptr);
}

TEST(ExportedInC, RefusesOtherFiles) {
  plait_function f = nullptr;
  EXPECT_EQ(plait_function_import("/no/such/file", &f), PLAIT_USER_ERROR);
  EXPECT_EQ(plait_function_import("/dev/null", &f), PLAIT_USER_ERROR);
  EXPECT_EQ(plait_function_import(nullptr, &f), PLAIT_USER_ERROR);
  EXPECT_EQ(f, nullptr);
  EXPECT_STREQ(plait_function_metadata(nullptr), "");
}

}  // namespace
