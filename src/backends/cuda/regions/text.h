// What NVRTC makes code of.
#pragma once

#include <string>
#include <vector>

namespace plait::cuda {

/// A text with the names of its kernels.
struct Source {
  std::string text;
  std::vector<std::string> kernels;
  // A user's kernel: who it is, for messages. It is compiled as nvcc does by default, and sees the toolkit's headers.
  std::string user = {};
};

}  // namespace plait::cuda
