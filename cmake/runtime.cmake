# The CPU runtime: needs OpenVINO's development files, which its Python wheel carries.
if(NOT OpenVINO_DIR)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "import importlib.util as u, os; print(os.path.join(os.path.dirname(u.find_spec('openvino').origin), 'cmake'))"
    OUTPUT_VARIABLE AIRLOOM_OPENVINO_DIR OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE AIRLOOM_OPENVINO_RESULT ERROR_QUIET)
  if(NOT AIRLOOM_OPENVINO_RESULT EQUAL 0)
    message(FATAL_ERROR "The CPU runtime needs OpenVINO: pip install openvino, or pass -DOpenVINO_DIR=..., or switch it off with -DAIRLOOM_RUNTIME=OFF")
  endif()
  set(OpenVINO_DIR ${AIRLOOM_OPENVINO_DIR} CACHE PATH "Folder of OpenVINOConfig.cmake")
endif()
find_package(OpenVINO REQUIRED COMPONENTS Runtime)
find_package(ZLIB REQUIRED)
find_package(Gloo CONFIG REQUIRED)

file(GLOB AIRLOOM_RUNTIME_SOURCES CONFIGURE_DEPENDS src/runtime/*.cc)
# gcc 12 vectorises loops of unknown length from -O3 on.
set_source_files_properties(src/runtime/direct.cc PROPERTIES COMPILE_OPTIONS -O3)
add_library(airloom_runtime STATIC ${AIRLOOM_RUNTIME_SOURCES})
target_link_libraries(airloom_runtime PUBLIC airloom_core openvino::runtime Threads::Threads PRIVATE ZLIB::ZLIB gloo)
get_filename_component(AIRLOOM_OPENVINO_LIBS ${OpenVINO_DIR}/../libs ABSOLUTE)

# What `airloom run` does is a library that the command opens when it is asked for: all else works without OpenVINO.
file(GLOB AIRLOOM_RUN_SOURCES CONFIGURE_DEPENDS src/cli/run/*.cc)
add_library(airloom_run MODULE ${AIRLOOM_RUN_SOURCES})
target_link_libraries(airloom_run PRIVATE airloom_runtime)
set_target_properties(airloom_run PROPERTIES BUILD_RPATH ${AIRLOOM_OPENVINO_LIBS})
target_compile_definitions(airloom_cli PRIVATE AIRLOOM_RUN_LIBRARY="$<TARGET_FILE_NAME:airloom_run>")
target_link_libraries(airloom_cli PRIVATE ${CMAKE_DL_LIBS})
set_target_properties(airloom_cli PROPERTIES BUILD_RPATH ${CMAKE_CURRENT_BINARY_DIR})
add_dependencies(airloom_cli airloom_run)

if(AIRLOOM_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  enable_testing()
  file(GLOB AIRLOOM_RUNTIME_TEST_SOURCES CONFIGURE_DEPENDS tests/runtime/*.cc)
  add_executable(airloom_runtime_tests ${AIRLOOM_RUNTIME_TEST_SOURCES})
  target_link_libraries(airloom_runtime_tests PRIVATE airloom_runtime GTest::gtest GTest::gtest_main)
  set_target_properties(airloom_runtime_tests PROPERTIES BUILD_RPATH ${AIRLOOM_OPENVINO_LIBS})
  gtest_discover_tests(airloom_runtime_tests DISCOVERY_TIMEOUT 60)
endif()
