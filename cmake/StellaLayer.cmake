# stella_layer(<name> SOURCES <file>... [TESTS <file>...] [DEPS <layer>...] [LINK <target>...])
#
# One folder of src/ as one static library `stella_<name>`, which may include only the headers of the layers that DEPS
# names (tools/check_layers.py holds every #include against docs/architecture.md). TESTS become `stella_<name>_test`,
# registered with ctest under the label "unit".
function(stella_layer name)
  cmake_parse_arguments(arg "" "" "SOURCES;TESTS;DEPS;LINK" ${ARGN})
  add_library(stella_${name} STATIC ${arg_SOURCES})
  target_include_directories(stella_${name}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  list(TRANSFORM arg_DEPS PREPEND stella_)
  target_link_libraries(stella_${name} PUBLIC stella_compiler ${arg_DEPS} PRIVATE ${arg_LINK})
  if(STELLA_BUILD_TESTS AND arg_TESTS)
    stella_test(stella_${name}_test LABEL unit SOURCES ${arg_TESTS} LINK stella_${name} ${arg_LINK})
  endif()
endfunction()

# stella_test(<target> LABEL <label> SOURCES <file>... LINK <target>... [TIMEOUT <seconds>])
#
# A GoogleTest program; every TEST becomes one ctest entry with a time limit. STELLA_TEST_DATA is tests/data;
# tests/support has what the tests of all layers share.
function(stella_test target)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE stella_compiler ${arg_LINK} GTest::gmock GTest::gtest_main)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE
    STELLA_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" STELLA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_property(GLOBAL APPEND PROPERTY stella_${arg_LABEL}_tests ${target})
  gtest_discover_tests(${target} TEST_PREFIX "${target}." DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()

# stella_test_groups(): the target `stella_unit_tests` builds every program labelled "unit"; `stella_thread_tests` those that
# ThreadSanitizer is worth its time on: the ones whose code runs on several threads.
function(stella_test_groups)
  get_property(unit GLOBAL PROPERTY stella_unit_tests)
  add_custom_target(stella_unit_tests DEPENDS ${unit})
  set(threaded)
  foreach(candidate stella_base_test stella_engine_test stella_hub_http_test stella_hub_cache_test
                    stella_hub_download_test stella_hub_test stella_hub_protocol_test
                    stella_hub_concurrency_test stella_hub_fault_test stella_lifetime_test stella_pool_test stella_server_test)
    if(TARGET ${candidate})
      list(APPEND threaded ${candidate})
    endif()
  endforeach()
  add_custom_target(stella_thread_tests DEPENDS ${threaded})
endfunction()
