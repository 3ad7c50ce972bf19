// The system's C++ compiler at run time: source to machine code in this process, by way of the cache on disk.
#pragma once

#include <string>
#include <string_view>

namespace plait::cpu {

/// The function `symbol` of a C++20 text, compiled for this machine when it is first asked for, and kept for good. `what` names
/// it in messages.
///
/// The compiler is PLAIT_CXX, or the first of c++, g++ and clang++ on the PATH. It is run without a shell, in a new directory
/// that is this user's alone. What it made is loaded from memory, so that no file can be changed in between.
///
/// Threads: any; two that ask for one text at once may both compile it. Errors: DeviceError where there is no compiler, it is
/// ended before it is done, or the machine runs no code that was made just now; ArgumentError with the compiler's log when it
/// rejects the text; Interrupted.
void* compiled_function(const std::string& what, const std::string& text, const std::string& symbol);

}  // namespace plait::cpu
