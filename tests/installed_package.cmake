# cmake -DBUILD=... -DCXX=... -DGENERATOR=... -DEXAMPLES=... -DWORK=... -P installed_package.cmake
# Installs plait into an empty prefix, builds the examples against it with find_package alone, and runs each of them.
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix OUTPUT_QUIET
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${EXAMPLES} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix
                        -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${CXX} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(GLOB sources ${EXAMPLES}/*.cpp)
foreach(source IN LISTS sources)
  get_filename_component(name ${source} NAME_WE)
  execute_process(COMMAND ${WORK}/build/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# Everything the library loads beside the system's own lies in the prefix too.
file(GET_RUNTIME_DEPENDENCIES LIBRARIES ${WORK}/prefix/lib/libplait.so RESOLVED_DEPENDENCIES_VAR loaded
     UNRESOLVED_DEPENDENCIES_VAR missing)
list(FILTER loaded EXCLUDE REGEX "^(/usr|/lib)")
list(FILTER loaded EXCLUDE REGEX "^${WORK}/prefix/lib/")
if(loaded OR missing)
  message(FATAL_ERROR "libplait.so loads from outside: ${loaded} or finds nowhere: ${missing}")
endif()
