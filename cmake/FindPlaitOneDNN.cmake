# oneDNN, as the Python packages onednn-cpu-gomp and onednn-devel-cpu-gomp ship it: asks the interpreter where they lie
# (an isolated build puts them outside sys.prefix), then looks in CMAKE_PREFIX_PATH.
# Defines PlaitOneDNN::dnnl and PlaitOneDNN_LIBRARY, the shared object to install beside libplait.

execute_process(
  COMMAND ${Python_EXECUTABLE} -c [[
from importlib.metadata import files
names = ("libdnnl.so.3", "dnnl.h")
found = {path.name: path.locate().resolve().parent for package in ("onednn-cpu-gomp", "onednn-devel-cpu-gomp")
         for path in files(package) or () if path.name in names and "oneapi" not in str(path)}
print(*(found[name] for name in names), sep=";")]]
  OUTPUT_VARIABLE dirs ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
list(APPEND dirs "" "")
list(GET dirs 0 library_dir)
list(GET dirs 1 include_dir)

find_library(PlaitOneDNN_LIBRARY NAMES libdnnl.so.3 dnnl HINTS ${library_dir})
find_path(PlaitOneDNN_INCLUDE NAMES oneapi/dnnl/dnnl.hpp HINTS ${include_dir})

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PlaitOneDNN REQUIRED_VARS PlaitOneDNN_LIBRARY PlaitOneDNN_INCLUDE
  REASON_FAILURE_MESSAGE "pip install -c constraints.txt onednn-cpu-gomp onednn-devel-cpu-gomp, or pass -DPLAIT_ONEDNN=OFF")
if(PlaitOneDNN_FOUND AND NOT TARGET PlaitOneDNN::dnnl)
  add_library(PlaitOneDNN::dnnl SHARED IMPORTED)
  set_target_properties(PlaitOneDNN::dnnl PROPERTIES IMPORTED_LOCATION ${PlaitOneDNN_LIBRARY}
                                                     INTERFACE_INCLUDE_DIRECTORIES ${PlaitOneDNN_INCLUDE})
endif()
mark_as_advanced(PlaitOneDNN_LIBRARY PlaitOneDNN_INCLUDE)
