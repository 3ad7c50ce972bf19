// The extension module plait.core.

#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "bind.h"
#include "plait/library.h"
#include "source.h"

namespace plait::python {

namespace {

/// The first line of help() on a submodule.
constexpr std::pair<std::string_view, const char*> submodule_docs[] = {
    {"cuda", "What there is of CUDA on this machine."},
    {"distributed", "Several processes that work together."},
    {"fast", "Compositions that have kernels of their own."},
    {"fft", "Discrete Fourier transforms."},
    {"linalg", "Linear algebra."},
    {"metal", "What there is of Metal on this machine: nothing on Linux."},
    {"random", "Random numbers: from a key that is given, or from the process's own (seed)."},
};

}  // namespace

nb::module_ submodule(nb::module_& core, std::string_view name) {
  if (name == "core") return core;
  const std::string child(name.substr(name.rfind('.') + 1));
  if (nb::hasattr(core, child.c_str())) return nb::cast<nb::module_>(core.attr(child.c_str()));
  const char* doc = nullptr;
  for (const auto& [module, text] : submodule_docs)
    if (child == module) doc = text;
  return core.def_submodule(child.c_str(), doc);
}

namespace {

void bind_constants(nb::module_& m) {
  m.attr("__version__") = version();
  m.attr("pi") = std::numbers::pi;
  m.attr("e") = std::numbers::e;
  m.attr("euler_gamma") = std::numbers::egamma;
  m.attr("inf") = std::numeric_limits<double>::infinity();
  m.attr("nan") = std::numeric_limits<double>::quiet_NaN();
  m.attr("newaxis") = nb::none();
}

/// The folder that plait's own Python files lie in: the one this module was loaded from.
std::string package_folder(nb::module_& m) {
  const std::string file = nb::hasattr(m, "__file__") ? nb::cast<std::string>(m.attr("__file__")) : std::string();
  return file.substr(0, file.rfind('/') + 1);
}

}  // namespace
}  // namespace plait::python

NB_MODULE(core, m) {
  using namespace plait::python;
  nb::set_leak_warnings(false);  // dtypes, error classes and the like live as long as the process
  m.doc() = "Arrays, operations, transforms, devices.";
  bind_errors(m);
  bind_dtypes(m);
  bind_streams(m);
  bind_array(m);
  bind_array_sharing(m);
  bind_array_indexing(m);
  bind_evaluation(m);
  bind_printing(m);
  bind_tracing(m);
  bind_inspection(m);
  bind_transfers(m);
  install_source_hooks(package_folder(m));
  bind_constants(m);
  bind_generated(m);
  bind_more_ops(m);
  bind_array_api_forms(m);
  bind_array_api(m);
  bind_transforms(m);
  bind_compile(m);
  bind_custom_functions(m);
  bind_control_flow(m);
  bind_jacobian(m);
  bind_export(m);
  bind_files(m);
  bind_random_state(m);
  bind_fast(m);
  bind_distributed(m);
}
