# The Python extension module and what a wheel holds. Components: "python" = the package's folder (relative to site-packages),
# "scripts" = the command for a wheel, "cli" = the same command for a plain prefix.
find_package(Python 3.11 COMPONENTS Interpreter Development.Module REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
  OUTPUT_VARIABLE AIRLOOM_NANOBIND_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED PATHS ${AIRLOOM_NANOBIND_DIR} NO_DEFAULT_PATH)

file(GLOB AIRLOOM_BINDING_SOURCES CONFIGURE_DEPENDS bindings/*.cc)
nanobind_add_module(_core NB_STATIC NOMINSIZE ${AIRLOOM_BINDING_SOURCES})

# Installed binaries find the copied libraries in the package's own folder, and OpenVINO (an optional extra) beside the package.
set(AIRLOOM_SITE lib/python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}/site-packages)
set_target_properties(_core PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../openvino/libs")
if(AIRLOOM_RUNTIME)
  file(GLOB AIRLOOM_RUNTIME_BINDING_SOURCES CONFIGURE_DEPENDS bindings/runtime/*.cc)
  nanobind_add_module(_runtime NB_STATIC NOMINSIZE ${AIRLOOM_RUNTIME_BINDING_SOURCES})
  set_target_properties(_runtime PROPERTIES BUILD_RPATH ${AIRLOOM_OPENVINO_LIBS} INSTALL_RPATH "$ORIGIN;$ORIGIN/../openvino/libs")
  # libprotobuf aborts a process that registers one message file twice, so two modules in one process share the messages' code.
  # It comes first: the linker then leaves the members of the static airloom_proto alone.
  add_library(airloom_messages SHARED ${AIRLOOM_GENERATED}/ge_ir.pb.cc)
  add_dependencies(airloom_messages airloom_proto)
  target_include_directories(airloom_messages SYSTEM PUBLIC ${AIRLOOM_GENERATED})
  target_link_libraries(airloom_messages PUBLIC protobuf::libprotobuf)
  set_target_properties(airloom_messages PROPERTIES CXX_VISIBILITY_PRESET default INSTALL_RPATH "$ORIGIN")
  foreach(module _core _runtime)
    target_link_options(${module} PRIVATE -Wl,--no-as-needed)
    target_link_libraries(${module} PRIVATE airloom_messages)
  endforeach()
  target_link_libraries(_runtime PRIVATE airloom_runtime)
  install(TARGETS _runtime airloom_messages LIBRARY DESTINATION airloom COMPONENT python)
endif()
target_link_libraries(_core PRIVATE airloom_core)
set_target_properties(airloom_cli PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${AIRLOOM_SITE}/airloom;$ORIGIN/../${AIRLOOM_SITE}/openvino/libs")

install(TARGETS _core LIBRARY DESTINATION airloom COMPONENT python)
# Debian's static libprotobuf is not position independent, so the shared libraries travel with the module, under their SONAME.
foreach(library protobuf::libprotobuf simdjson::simdjson)
  get_target_property(path ${library} IMPORTED_LOCATION)
  if(NOT path)
    get_target_property(configuration ${library} IMPORTED_CONFIGURATIONS)
    list(GET configuration 0 configuration)
    get_target_property(path ${library} IMPORTED_LOCATION_${configuration})
  endif()
  file(REAL_PATH "${path}" path)
  execute_process(COMMAND ${CMAKE_READELF} -d ${path} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
  if(NOT dynamic MATCHES "SONAME[^\n]*\\[([^]\n]+)\\]")
    message(FATAL_ERROR "${library} (${path}) is not a shared library with a SONAME")
  endif()
  install(FILES ${path} DESTINATION airloom RENAME ${CMAKE_MATCH_1} COMPONENT python)
endforeach()

install(TARGETS airloom_cli RUNTIME DESTINATION bin COMPONENT cli)
if(SKBUILD)
  install(TARGETS airloom_cli RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT scripts)
endif()
