#pragma once

#include "plait/array.h"

namespace plait {

/// For each row of `a` (batch..., m, rest...) the product of those before it in its group, or with `reverse` of those behind it:
/// 1 where there are none. `groups` (batch..., m) numbers them; rows of a group stand side by side. Derivatives of every order
/// hold where factors are 0.
Array products_within(const Array& groups, const Array& a, bool reverse);

}  // namespace plait
