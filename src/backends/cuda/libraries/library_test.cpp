#include "backends/cuda/libraries/library.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace plait {
namespace {

TEST(CudaLibrary, MissingOneSaysWhatToInstallAndWhatWasFound) {
  const auto directory = std::filesystem::temp_directory_path() / "plait_library_test";
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "libplait_absent.so.12") << "not a library";
  std::ofstream(directory / "libplait_broken.so.13") << "not a library";
  ::setenv("PLAIT_CUDA_LIBRARY_PATH", (":/nowhere:" + directory.string()).c_str(), 1);
  try {
    Library library({"libplait_absent.so.13", "nvidia-absent"});
    ADD_FAILURE() << "opened " << library.path();
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.info().op, "libplait_absent.so.13");
    EXPECT_NE(error.info().got.find("libplait_absent.so.12"), std::string::npos) << error.what();
    EXPECT_NE(error.info().hint.find("pip install nvidia-absent"), std::string::npos) << error.what();
  }
  EXPECT_THROW(Library({"libplait_broken.so.13", "nvidia-broken"}), DeviceError);
  ::unsetenv("PLAIT_CUDA_LIBRARY_PATH");
  std::filesystem::remove_all(directory);
}

TEST(CudaLibrary, FunctionsOfAnOpenOne) {
  const Library maths({"libm.so.6", "libc6"});
  EXPECT_EQ(maths.function<double(double)>("fabs")(-2.0), 2.0);
  EXPECT_NE(maths.path().find("libm.so.6"), std::string::npos);
  EXPECT_THROW(maths.function<void()>("no_such_function"), DeviceError);
}

// A cuDNN for another CUDA has the same name.
TEST(CudaLibrary, OneForAnotherCudaIsRefused) {
  EXPECT_NO_THROW(check_made_for_cuda(kCudnn, "/some/libcudnn.so.9", 13020));
  try {
    check_made_for_cuda(kCudnn, "/some/libcudnn.so.9", 12090);
    ADD_FAILURE() << "accepted";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("/some/libcudnn.so.9 was made for CUDA 12"), std::string::npos);
    EXPECT_NE(error.info().hint.find("pip install nvidia-cudnn-cu13"), std::string::npos);
  }
}

TEST(CudaLibrary, MissingOnesAreFoundWithoutOpening) {
  const auto directory = std::filesystem::temp_directory_path() / "plait_library_test_present";
  std::filesystem::create_directories(directory);
  for (const LibraryName& name : {kCublasLt, kCublas, kCusolver, kCudnn, kCufft, kNvrtc})
    std::ofstream(directory / name.file) << "there";
  ::setenv("PLAIT_CUDA_LIBRARY_PATH", directory.c_str(), 1);
  EXPECT_EQ(missing_libraries(), "");
  std::filesystem::remove(directory / kCudnn.file);
  const std::string missing = missing_libraries();
  const bool elsewhere = std::filesystem::exists(std::filesystem::path("/usr/local/cuda/lib64") / kCudnn.file) ||
                         ::dlopen(kCudnn.file, RTLD_LAZY) != nullptr;
  EXPECT_EQ(missing, elsewhere ? "" : "libcudnn.so.9 (pip install nvidia-cudnn-cu13)");
  ::unsetenv("PLAIT_CUDA_LIBRARY_PATH");
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace plait
