// What every binding file uses: the array object, conversions, and how functions are added.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "array.h"
#include "convert.h"

namespace plait::python {

/// plait.core itself for "core", its submodule for "core.random" (made on first use).
nb::module_ submodule(nb::module_& core, std::string_view name);

/// Adds a method to the array type.
template <class F, class... Extra>
void method(const char* name, F&& f, const Extra&... extra) {
  nb::cpp_function_def(std::forward<F>(f), nb::scope(nb::handle(reinterpret_cast<PyObject*>(array_type()))),
                       nb::name(name), nb::is_method(), extra...);
}

/// A property of arrays that one of its shape does not have: an AttributeError too, so that hasattr, tab completion and
/// inspection pass over it.
class NoSuchProperty : public ShapeError {
 public:
  using ShapeError::ShapeError;
};

/// The result of a call into Python. Errors: the exception that is set where there is none.
nb::object checked(nb::object result);
/// Errors: ArgumentTypeError for what cannot be called.
void check_callable(const char* op, nb::handle f);
/// Calls deleter(context) under Python's lock: at once if this thread has it, else when a thread next has it.
void release_under_lock(void (*deleter)(void*), void* context);

/// What plait.debug makes an Explanation of: the plan for evaluating the arrays. `kept`: what is held only until it is known.
nb::dict explained(const Arrays& arrays, bool analyze, const Arrays& kept = {});
/// The same for the result of a call, with the evaluations that it asked for; the random state is as before then.
nb::dict explained_call(const std::function<nb::object()>& call, const std::function<nb::dict(nb::handle)>& explain);

/// Where this thread notes why it evaluates, and at which line; null for nowhere. Returns what was set before.
std::vector<std::string>* note_evaluations(std::vector<std::string>* into);

// The parts of the module, in the order in which core.cpp calls them.
void bind_errors(nb::module_& m);
void bind_dtypes(nb::module_& m);
void bind_streams(nb::module_& m);
void bind_array(nb::module_& m);
void bind_array_sharing(nb::module_& m);
void bind_array_indexing(nb::module_& m);
void bind_evaluation(nb::module_& m);
void bind_printing(nb::module_& m);
void bind_tracing(nb::module_& m);
void bind_inspection(nb::module_& m);
void bind_transfers(nb::module_& m);
void bind_generated(nb::module_& m);
void bind_more_ops(nb::module_& m);
void bind_array_api(nb::module_& m);
void bind_array_api_forms(nb::module_& m);
void bind_transforms(nb::module_& m);
void bind_compile(nb::module_& m);
void bind_custom_functions(nb::module_& m);
void bind_control_flow(nb::module_& m);
void bind_jacobian(nb::module_& m);
void bind_export(nb::module_& m);
void bind_files(nb::module_& m);
void bind_random_state(nb::module_& m);
void bind_fast(nb::module_& m);
void bind_distributed(nb::module_& m);

}  // namespace plait::python
