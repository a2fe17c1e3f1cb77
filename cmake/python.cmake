# The Python extension module and what a wheel holds. Components: "python" = the package's folder (relative to site-packages),
# "scripts" = the command for a wheel, "cli" = the same command for a plain prefix.
find_package(Python 3.11 COMPONENTS Interpreter Development.Module REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
  OUTPUT_VARIABLE AIRLOOM_NANOBIND_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED PATHS ${AIRLOOM_NANOBIND_DIR} NO_DEFAULT_PATH)

file(GLOB AIRLOOM_BINDING_SOURCES CONFIGURE_DEPENDS bindings/*.cc)
nanobind_add_module(_core NB_STATIC NOMINSIZE ${AIRLOOM_BINDING_SOURCES})

# Installed binaries find the carried libraries in the package's own folder, and OpenVINO (an optional extra) beside the package.
set(AIRLOOM_SITE lib/python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}/site-packages)
set(AIRLOOM_MODULES _core)
if(AIRLOOM_RUNTIME)
  file(GLOB AIRLOOM_RUNTIME_BINDING_SOURCES CONFIGURE_DEPENDS bindings/runtime/*.cc)
  nanobind_add_module(_runtime NB_STATIC NOMINSIZE ${AIRLOOM_RUNTIME_BINDING_SOURCES})
  target_link_libraries(_runtime PRIVATE airloom_runtime)
  set_target_properties(_runtime PROPERTIES BUILD_RPATH ${AIRLOOM_OPENVINO_LIBS})
  list(APPEND AIRLOOM_MODULES _runtime airloom_run)
endif()
target_link_libraries(_core PRIVATE airloom_core)
foreach(module ${AIRLOOM_MODULES})
  set_target_properties(${module} PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../openvino/libs")
  # RPATH instead of RUNPATH: it holds for the libraries that the carried ones need, too; those have no path of their own.
  target_link_options(${module} PRIVATE -Wl,--disable-new-dtags)
endforeach()
set_target_properties(airloom_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${AIRLOOM_SITE}/airloom")
install(TARGETS ${AIRLOOM_MODULES} airloom_proto LIBRARY DESTINATION airloom COMPONENT python)

# Carried under their SONAMEs: all libraries that these need but for OpenVINO's and those that every Linux with Python has.
set(AIRLOOM_LIBRARY_FILES)
foreach(module ${AIRLOOM_MODULES} airloom_proto)
  list(APPEND AIRLOOM_LIBRARY_FILES $<TARGET_FILE:${module}>)
endforeach()
install(CODE "set(libraries \"${AIRLOOM_LIBRARY_FILES}\")" COMPONENT python)
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES ${libraries} RESOLVED_DEPENDENCIES_VAR carried
    PRE_EXCLUDE_REGEXES "^lib(airloom_|openvino)" "^lib(c|dl|gcc_s|m|pthread|rt|stdc\\+\\+|z)\\.so" "^ld-linux")
  foreach(path ${carried})
    get_filename_component(soname ${path} NAME)
    file(REAL_PATH ${path} path)
    file(INSTALL ${path} DESTINATION ${CMAKE_INSTALL_PREFIX}/airloom TYPE FILE RENAME ${soname})
  endforeach()
]] COMPONENT python)

install(TARGETS airloom_cli RUNTIME DESTINATION bin COMPONENT cli)
if(SKBUILD)
  install(TARGETS airloom_cli RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT scripts)
endif()
