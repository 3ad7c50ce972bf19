#pragma once

#include <stdexcept>
#include <string>

#include "plait/export.h"

namespace plait {

/// The fields of a message; what does not apply stays empty. `where` is the user's file, line and function.
struct ErrorInfo {
  std::string op = {};
  std::string got = {};
  std::string accepts = {};
  std::string hint = {};
  std::string where = {};
};

/// Base of everything plait throws. `what()` is the fields laid out for a person.
class PLAIT_API Error : public std::runtime_error {
 public:
  explicit Error(ErrorInfo info);
  const ErrorInfo& info() const { return info_; }
  const char* what() const noexcept override { return text_.c_str(); }
  /// Names the user's line when the error does not have one yet.
  void add_where(std::string where);

 private:
  ErrorInfo info_;
  std::string text_;
};

/// Ours to mend: a broken invariant inside plait.
class PLAIT_API InternalError : public Error {
 public:
  explicit InternalError(std::string what);
};

/// The caller's to mend. In Python each derives from the built-in type named beside it.
class PLAIT_API UserError : public Error {
 public:
  using Error::Error;
};
#define PLAIT_USER_ERROR(name)              \
  class PLAIT_API name : public UserError { \
   public:                                  \
    using UserError::UserError;             \
  };
PLAIT_USER_ERROR(ShapeError)        // ValueError
PLAIT_USER_ERROR(AxisError)         // ValueError
PLAIT_USER_ERROR(DTypeError)        // ValueError
PLAIT_USER_ERROR(ArgumentError)     // ValueError
PLAIT_USER_ERROR(ArgumentTypeError) // TypeError
PLAIT_USER_ERROR(IndexError)        // IndexError
PLAIT_USER_ERROR(DeviceError)       // RuntimeError
PLAIT_USER_ERROR(TransformError)    // ValueError: a rule that does not exist, an evaluation under a trace
PLAIT_USER_ERROR(OutOfMemory)       // MemoryError and RuntimeError
PLAIT_USER_ERROR(FileError)         // RuntimeError and ValueError
PLAIT_USER_ERROR(NanError)          // FloatingPointError: a NaN, or an infinity, that a check was looking for
PLAIT_USER_ERROR(Interrupted)       // raised between steps when an interrupt hook asks for it
#undef PLAIT_USER_ERROR

/// Throws InternalError with the text when `ok` is false.
inline void check_internal(bool ok, const char* what) {
  if (!ok) [[unlikely]]
    throw InternalError(what);
}

}  // namespace plait
