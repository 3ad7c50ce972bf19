#pragma once

#include <iosfwd>
#include <string>

#include "plait/array.h"

namespace plait {

/// How elements are printed.
struct PrintOptions {
  int precision = -1;  // digits after the point; negative: six significant digits, as short as they can be written
};

/// The process's options, used where none are given. Threads: any.
PLAIT_API PrintOptions print_options();
PLAIT_API void set_print_options(PrintOptions options);

/// "array([1, 2, 3], dtype=int32)". An axis longer than six shows its first and last three entries. Evaluates.
PLAIT_API std::string to_string(const Array& array);
PLAIT_API std::string to_string(const Array& array, PrintOptions options);
PLAIT_API std::ostream& operator<<(std::ostream& out, const Array& array);

}  // namespace plait
