# plait_objects and plait_ops: every room, compiled once. plait: the shared library users link. plait_internal: the same objects as
# an archive, so that a unit test reaches hidden symbols and links only what it uses.

set(PLAIT_ROOMS base memory graph backends distributed engine ops io transforms capi)
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
if(processor MATCHES "^(x86_64|amd64)$")
  set(PLAIT_X86 ON)
else()
  set(PLAIT_X86 OFF)
endif()

# What all of plait's own sources see. Private: users get include/ and the generated public headers.
add_library(plait_private INTERFACE)
target_include_directories(plait_private INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PLAIT_GENERATED}/include ${PLAIT_GENERATED}/src)
find_package(Threads REQUIRED)
target_link_libraries(plait_private INTERFACE plait_flags Threads::Threads ${CMAKE_DL_LIBS})
target_compile_definitions(plait_private INTERFACE
  PLAIT_WITH_ONEDNN=$<BOOL:${PLAIT_ONEDNN}>)

# LAPACK is opened when a program first needs it, from beside libplait or, in a build tree, from where the package lies.
if(PLAIT_LAPACK)
  find_package(PlaitOpenBLAS REQUIRED)
  get_filename_component(lapack_dir ${PlaitOpenBLAS_LIBRARY} DIRECTORY)
  list(APPEND CMAKE_BUILD_RPATH ${lapack_dir})
endif()

set(sources "")
foreach(room IN LISTS PLAIT_ROOMS)
  file(GLOB_RECURSE room_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${room}/*.cpp)
  list(APPEND sources ${room_sources})
endforeach()
list(FILTER sources EXCLUDE REGEX "_test\\.cpp$|/src/backends/cuda/")  # CUDA is a library of its own
set(isa_sources ${sources})
list(FILTER isa_sources INCLUDE REGEX "/src/backends/cpu/targets/")
list(FILTER sources EXCLUDE REGEX "/src/backends/cpu/targets/")
if(PLAIT_JIT)
  list(FILTER sources EXCLUDE REGEX "/src/backends/cpu/jit/absent\\.cpp$")
else()
  list(FILTER sources EXCLUDE REGEX "/src/backends/cpu/jit/(assemble|registers)\\.cpp$")
endif()
if(NOT PLAIT_ONEDNN)
  list(FILTER sources EXCLUDE REGEX "/src/backends/cpu/onednn[^/]*\\.cpp$")
endif()
if(PLAIT_ZLIB)
  list(FILTER sources EXCLUDE REGEX "/src/io/deflate_absent\\.cpp$")
else()
  list(FILTER sources EXCLUDE REGEX "/src/io/deflate\\.cpp$")
endif()
set(op_sources ${sources})
list(FILTER op_sources INCLUDE REGEX "/src/ops/")
list(FILTER sources EXCLUDE REGEX "/src/ops/")
file(GLOB_RECURSE generated_sources ${PLAIT_GENERATED}/src/*.cpp)

add_library(plait_objects OBJECT ${sources} ${generated_sources})
target_link_libraries(plait_objects PUBLIC plait_private)
set(plait_all_objects $<TARGET_OBJECTS:plait_objects>)

# Op files are many and short, and all begin with the same header: read once, each takes a fifth of the time.
if(op_sources)
  add_library(plait_ops OBJECT ${op_sources})
  target_link_libraries(plait_ops PUBLIC plait_private)
  target_precompile_headers(plait_ops PRIVATE ${PROJECT_SOURCE_DIR}/src/ops/prelude.h)
  target_compile_options(plait_ops PRIVATE -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)  # an op knows its file, not where
  list(APPEND plait_all_objects $<TARGET_OBJECTS:plait_ops>)
endif()

if(PLAIT_ONEDNN)
  find_package(PlaitOneDNN REQUIRED)
  target_link_libraries(plait_objects PUBLIC PlaitOneDNN::dnnl)
endif()
if(PLAIT_ZLIB)
  find_package(ZLIB REQUIRED)
  target_link_libraries(plait_objects PUBLIC ZLIB::ZLIB)
endif()
if(PLAIT_JIT)
  find_path(PLAIT_XBYAK_INCLUDE xbyak/xbyak.h)
  if(NOT PLAIT_XBYAK_INCLUDE)
    message(FATAL_ERROR "xbyak/xbyak.h was not found: install libxbyak-dev, set PLAIT_XBYAK_INCLUDE, or pass -DPLAIT_JIT=OFF")
  endif()
  target_include_directories(plait_objects SYSTEM PRIVATE ${PLAIT_XBYAK_INCLUDE})
endif()

# src/backends/cpu/targets/*.cpp, once per instruction set, with PLAIT_TARGET naming it. These files may use any
# instruction of their set, so all they define must be static or lie in a namespace named after the target: what the
# linker could share would reach machines without those instructions (tests/isa_symbols.py checks).
function(plait_isa_target target flags)
  if(NOT ARGN)
    return()
  endif()
  add_library(plait_${target} OBJECT ${ARGN})
  target_link_libraries(plait_${target} PUBLIC plait_private)
  target_compile_definitions(plait_${target} PRIVATE PLAIT_TARGET=${target})
  separate_arguments(flags)
  target_compile_options(plait_${target} PRIVATE $<$<CONFIG:Release>:-O3> -fno-math-errno -fno-trapping-math ${flags})
  set(plait_all_objects ${plait_all_objects} $<TARGET_OBJECTS:plait_${target}> PARENT_SCOPE)
endfunction()

# The formulas once more, for vectors that record what is done with them: what the JIT assembles.
set(recorded_sources ${isa_sources})
list(FILTER recorded_sources INCLUDE REGEX "/interpreter_(float|math)\\.cpp$")
plait_isa_target(recorded "" ${recorded_sources})
target_compile_definitions(plait_recorded PRIVATE PLAIT_RECORDED=1)

set(bf16_sources ${isa_sources})
list(FILTER bf16_sources INCLUDE REGEX "_bf16\\.cpp$")
plait_isa_target(portable "" ${isa_sources})
if(PLAIT_X86)
  set(avx2 "-mavx2 -mfma -mf16c -mbmi -mbmi2")
  set(avx512 "${avx2} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mprefer-vector-width=512")
  plait_isa_target(avx2 ${avx2} ${isa_sources})
  plait_isa_target(avx512 ${avx512} ${isa_sources})
  plait_isa_target(avx512bf16 "${avx512} -mavx512bf16" ${bf16_sources})
endif()

# GCC notes how vectors and complex structures were passed long ago; these functions are called within their file only.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backends/cpu/targets/gemm.cpp
  ${PROJECT_SOURCE_DIR}/src/backends/cpu/targets/packed.cpp
  ${PROJECT_SOURCE_DIR}/src/backends/reference/kernels/scan.cpp PROPERTIES COMPILE_OPTIONS -Wno-psabi)

add_library(plait SHARED ${plait_all_objects})
add_library(plait::plait ALIAS plait)
target_include_directories(plait PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                        $<BUILD_INTERFACE:${PLAIT_GENERATED}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(plait PRIVATE $<BUILD_INTERFACE:plait_private>)
if(NOT PLAIT_SANITIZE)
  target_link_options(plait PRIVATE -Wl,-z,defs)  # a missing symbol shows when linking, not when importing
endif()
target_link_options(plait PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/plait.map)
set_target_properties(plait PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/plait.map)
target_compile_features(plait PUBLIC cxx_std_20)
if(NOT SKBUILD)  # a wheel cannot hold the links and would carry the library three times
  set_target_properties(plait PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
endif()

add_library(plait_internal STATIC EXCLUDE_FROM_ALL ${plait_all_objects})
target_link_libraries(plait_internal PUBLIC plait_private)
foreach(library plait plait_internal)
  if(PLAIT_ONEDNN)
    target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:PlaitOneDNN::dnnl>)
  endif()
  if(PLAIT_ZLIB)
    target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:ZLIB::ZLIB>)
  endif()
endforeach()

# Prints schema/ops.json anew; tools/gen.py --update and --check build and run it.
add_executable(plait_schema EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tools/print_schema.cpp)
target_link_libraries(plait_schema PRIVATE plait_internal)
set_target_properties(plait_schema PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
