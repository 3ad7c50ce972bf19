# lib/, include/ and share/cmake/plait/ under one prefix: the same tree for `cmake --install` and inside the wheel.

include(CMakePackageConfigHelpers)
set_target_properties(plait PROPERTIES INSTALL_RPATH $ORIGIN)
install(TARGETS plait EXPORT plaitTargets LIBRARY DESTINATION lib)
install(DIRECTORY include/ ${PLAIT_GENERATED}/include/ DESTINATION include FILES_MATCHING PATTERN "*.h")
install(EXPORT plaitTargets NAMESPACE plait:: DESTINATION share/cmake/plait)
file(WRITE ${PROJECT_BINARY_DIR}/plaitConfig.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/plaitTargets.cmake)\n")
write_basic_package_version_file(${PROJECT_BINARY_DIR}/plaitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/plaitConfig.cmake ${PROJECT_BINARY_DIR}/plaitConfigVersion.cmake
        DESTINATION share/cmake/plait)

# Libraries from a Python environment are copied, under the name they are asked for by, so that nothing points there.
if(PLAIT_ONEDNN)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libgomp.so.1 OUTPUT_VARIABLE gomp
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  foreach(library ${PlaitOneDNN_LIBRARY} ${gomp})
    file(REAL_PATH ${library} real)
    get_filename_component(name ${library} NAME)
    install(PROGRAMS ${real} DESTINATION lib RENAME ${name})
  endforeach()
endif()

if(PLAIT_LAPACK)
  install(PROGRAMS ${PlaitOpenBLAS_LIBRARY} DESTINATION lib)
endif()

if(NOT SKBUILD)  # a wheel has them among its metadata
  install(FILES LICENSE THIRD_PARTY.md DESTINATION share/doc/plait)
  install(DIRECTORY licenses DESTINATION share/doc/plait)
endif()
