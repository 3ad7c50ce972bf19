// Functions whose arguments take several shapes: what the generator has no rule for.
#include "bind.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait::python {

void bind_more_ops(nb::module_& m) { (void)m; }

}  // namespace plait::python
