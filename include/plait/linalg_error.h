#pragma once

#include "plait/error.h"

namespace plait {

/// A matrix that has no inverse or no root, or on which an iteration fails. In Python a RuntimeError and a ValueError.
class PLAIT_API LinAlgError : public UserError {
 public:
  using UserError::UserError;
};

}  // namespace plait
