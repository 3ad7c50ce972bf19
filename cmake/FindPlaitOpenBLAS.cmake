# OpenBLAS with LAPACK, as the Python package scipy-openblas32 ships it: asks the interpreter where it lies.
# Defines PlaitOpenBLAS_LIBRARY, the shared object to install beside libplait. plait opens it at run time and declares the functions
# it uses itself, so there is nothing to link.

execute_process(
  COMMAND ${Python_EXECUTABLE} -c [[
from importlib.metadata import files
print(*{path.locate().resolve().parent for path in files("scipy-openblas32") or () if path.name == "libscipy_openblas.so"})]]
  OUTPUT_VARIABLE dir ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)

find_library(PlaitOpenBLAS_LIBRARY NAMES scipy_openblas HINTS ${dir})

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PlaitOpenBLAS REQUIRED_VARS PlaitOpenBLAS_LIBRARY
  REASON_FAILURE_MESSAGE "pip install -c constraints.txt scipy-openblas32, or pass -DPLAIT_LAPACK=OFF")
mark_as_advanced(PlaitOpenBLAS_LIBRARY)
