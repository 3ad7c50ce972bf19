# cudnn-frontend, headers that speak cuDNN's graph interface, as the Python package nvidia-cudnn-frontend ships them: asks the interpreter
# where they lie, then looks in CMAKE_PREFIX_PATH. Defines PlaitCudnnFrontend_INCLUDE.

execute_process(
  COMMAND ${Python_EXECUTABLE} -c [[
from importlib.metadata import files
print(*{path.locate().resolve().parent for path in files("nvidia-cudnn-frontend") or () if path.name == "cudnn_frontend.h"})]]
  OUTPUT_VARIABLE dir ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)

find_path(PlaitCudnnFrontend_INCLUDE NAMES cudnn_frontend.h HINTS ${dir})

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PlaitCudnnFrontend REQUIRED_VARS PlaitCudnnFrontend_INCLUDE)
mark_as_advanced(PlaitCudnnFrontend_INCLUDE)
