#pragma once

#include <vector>

#include "plait/transforms.h"

/// Whole Jacobians, by vmap of forward or backward derivatives.
namespace plait {

/// The derivatives of each result of `f` by each argument at `argnums`: results outermost, shapes result.shape +
/// argument.shape. Forwards, one derivative for each element of the arguments, all in one pass: for few arguments.
///
/// Errors: DTypeError for an argument or a result that is not real floating point, ArgumentError for a number that is no
/// argument's, TransformError for an op without a rule; what `f` raises.
PLAIT_API Function jacfwd(Function f, std::vector<int> argnums = {0});

/// The same backwards, one gradient for each element of the results: for few results.
PLAIT_API Function jacrev(Function f, std::vector<int> argnums = {0});

/// The second derivatives of each result, forwards over backwards: results outermost, then the first argument, then the
/// second; shapes result.shape + first.shape + second.shape.
PLAIT_API Function hessian(Function f, std::vector<int> argnums = {0});

/// The derivatives of `outputs` by the primals of a trace that is open, outputs outermost. For language bindings.
PLAIT_API Arrays jacobian_forwards(const char* op, const GradTrace& trace, const Arrays& outputs);
PLAIT_API Arrays jacobian_backwards(const char* op, const GradTrace& trace, const Arrays& outputs);

}  // namespace plait
