#include "backends/device_library.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace plait {
namespace {

// The library is loaded once for each process, so each case is one of its own.
int loads(const char* path, const char* reason) {
  ::setenv("PLAIT_DEVICE_LIBRARY", path, 1);
  const bool none = device_backend() == nullptr && device_backend() == nullptr;
  const bool says_why = why_no_device().find(reason) != std::string::npos;
  return none && says_why ? 0 : 1;
}

class DeviceLibrary : public testing::Test {
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(DeviceLibrary, MissingOneIsNoDevice) {
  EXPECT_EXIT(std::exit(loads("/nowhere/libplait_none.so", "/nowhere/libplait_none.so")), testing::ExitedWithCode(0),
              "");
}

TEST_F(DeviceLibrary, CanBeTurnedOff) {
  EXPECT_EXIT(std::exit(loads("", "PLAIT_DEVICE_LIBRARY is empty")), testing::ExitedWithCode(0), "");
}

TEST_F(DeviceLibrary, AnotherLibraryIsNone) {
  EXPECT_EXIT(std::exit(loads("libm.so.6", "plait_device_backend")), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace plait
