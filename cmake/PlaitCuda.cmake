# plait_cuda: the CUDA backend as a library of its own, which libplait loads when it runs. CMAKE_CUDA_ARCHITECTURES says
# for which GPUs its kernels are compiled: one by default, so that a build stays quick; a wheel names all.

if(DEFINED ENV{CUDACXX})
  set(PLAIT_NVCC $ENV{CUDACXX} CACHE FILEPATH "CUDA's compiler")
endif()
find_program(PLAIT_NVCC nvcc PATHS /usr/local/cuda/bin)
if(PLAIT_NVCC AND NOT PLAIT_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  set(found ON)
else()
  set(found OFF)
endif()
option(PLAIT_CUDA "Build the CUDA backend (needs nvcc)" ${found})

if(NOT PLAIT_CUDA)
  if(NOT SKBUILD AND NOT PLAIT_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    message(NOTICE "CUDA IS SKIPPED: neither compiled nor linked nor tested (nvcc: ${PLAIT_NVCC}, PLAIT_CUDA is OFF)")
  endif()
  return()
endif()
if(PLAIT_SANITIZE)
  message(FATAL_ERROR "nvcc does not compile for -fsanitize=${PLAIT_SANITIZE}: pass -DPLAIT_CUDA=OFF")
endif()

set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures, as CMake writes them")
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${PLAIT_NVCC})
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER)
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
if(PLAIT_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${PLAIT_CCACHE})
endif()
enable_language(CUDA)
foreach(kind STANDARD EXTENSION)  # CMake 3.25 knows of C++17 at most for nvcc
  if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
# Named with -isystem, the host compiler's own directories would come too early.
list(APPEND CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
find_package(CUDAToolkit 12.8 REQUIRED)

# Contraction is off because both tiers round alike: an FMA is written where one is meant.
# The text that nvcc hands on has parentheses of its own.
target_compile_options(plait_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false -Xcompiler=-Wall,-Wno-parentheses,-ffp-contract=off>)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/backends/cuda/*.cpp ${PROJECT_SOURCE_DIR}/src/backends/cuda/*.cu)
list(FILTER sources EXCLUDE REGEX "_(test|benchmark)\\.(cpp|cu)$")

# What NVRTC reads when it runs: the headers of generated code, as strings.
set(device_headers
  backends/cpu/simd/vec.h backends/cpu/simd/pairs.h backends/cpu/simd/kernels_f32.h backends/cpu/simd/kernels_f64.h
  backends/cpu/simd/math.h backends/cpu/simd/power.h)
foreach(name std_for_nvrtc.cuh vec.cuh types.cuh far_angles.cuh complex.cuh ops.cuh bound.h reduce.cuh memory.cuh tier1.cuh)
  list(APPEND device_headers backends/cuda/regions/device/${name})
endforeach()
list(TRANSFORM device_headers PREPEND ${PROJECT_SOURCE_DIR}/src/ OUTPUT_VARIABLE device_header_files)
set(device_text ${PROJECT_BINARY_DIR}/generated_cuda/device_headers.cpp)
add_custom_command(OUTPUT ${device_text}
  COMMAND ${CMAKE_COMMAND} -DOUT=${device_text} -DROOT=${PROJECT_SOURCE_DIR}/src "-DTEXTS=${device_headers}"
    -P ${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake
  DEPENDS ${device_header_files} ${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake VERBATIM)

add_library(plait_cuda_objects OBJECT ${sources} ${device_text})
target_link_libraries(plait_cuda_objects PUBLIC plait_private CUDA::cudart_static)
string(REGEX MATCHALL "[0-9]+" architectures "${CMAKE_CUDA_ARCHITECTURES}")
list(SORT architectures COMPARE NATURAL)
list(GET architectures 0 lowest)
target_compile_definitions(plait_cuda_objects PRIVATE PLAIT_CUDA_LOWEST=${lowest})

# Attention by cuDNN needs the headers of cudnn-frontend, in one file.
find_package(PlaitCudnnFrontend QUIET)
if(PlaitCudnnFrontend_FOUND)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backends/cuda/libraries/cudnn_attention.cpp PROPERTIES
    COMPILE_DEFINITIONS PLAIT_WITH_CUDNN_FRONTEND=1 COMPILE_OPTIONS "-isystem;${PlaitCudnnFrontend_INCLUDE}")
else()
  message(NOTICE "ATTENTION BY CUDNN IS SKIPPED: the headers of cudnn-frontend were not found, so attention on GPUs is slower "
    "(pip install -c constraints.txt nvidia-cudnn-frontend)")
endif()

add_library(plait_cuda MODULE $<TARGET_OBJECTS:plait_cuda_objects>)
target_link_libraries(plait_cuda PRIVATE plait $<BUILD_INTERFACE:plait_private> CUDA::cudart_static)
target_link_options(plait_cuda PRIVATE -Wl,-z,defs -Wl,--exclude-libs,ALL
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/plait_cuda.map)
set_target_properties(plait_cuda PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/plait_cuda.map LINKER_LANGUAGE CXX
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} INSTALL_RPATH $ORIGIN)
install(TARGETS plait_cuda LIBRARY DESTINATION lib COMPONENT plait_cuda)
if(SKBUILD)  # the wheel of the backend alone
  install(FILES LICENSE licenses/cub.txt licenses/cudnn-frontend.txt DESTINATION share/doc/plait-cuda COMPONENT plait_cuda)
endif()
