// Functions that the registry may not have yet: calling one raises a clear error instead of failing the build.
#pragma once

#include "plait/error.h"

/// `name` as a callable; looked up by argument types, so it need not be declared.
#define PLAIT_IF_THERE(name)                                                                            \
  [](const auto& first, const auto&... rest) -> plait::Array {                                          \
    if constexpr (requires { name(first, rest...); }) {                                                 \
      return name(first, rest...);                                                                      \
    } else {                                                                                            \
      throw plait::ArgumentError({.op = #name, .got = "a call of a function that this version lacks"}); \
    }                                                                                                   \
  }
