# Python for tests: one virtual environment in the build folder, made by the ctest fixture `python_env` from
# tests/python/requirements.txt. The interpreter is ${STELLA_PYTHON}; only tests that need the fixture may use it.
set(STELLA_PYTHON "${CMAKE_BINARY_DIR}/python-env/bin/python")

# Where python3 is missing the tests are registered all the same and the fixture fails, saying so: a test that vanishes
# silently proves nothing.
function(stella_python_environment)
  add_test(NAME python_env
    COMMAND sh ${PROJECT_SOURCE_DIR}/tests/python/make_env.sh
      ${CMAKE_BINARY_DIR}/python-env ${PROJECT_SOURCE_DIR}/tests/python/requirements.txt)
  set_tests_properties(python_env PROPERTIES FIXTURES_SETUP python_env LABELS python TIMEOUT 900)
endfunction()

# stella_python_test(<name> SCRIPT <file.py> [ARGS <argument>...] [LABELS <label>...] [TIMEOUT <seconds>])
#
# Runs the script in the environment. ARGS may hold generator expressions such as $<TARGET_FILE:stella>.
function(stella_python_test name)
  cmake_parse_arguments(arg "" "SCRIPT;TIMEOUT" "ARGS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  get_filename_component(script "${arg_SCRIPT}" ABSOLUTE)
  add_test(NAME ${name} COMMAND ${STELLA_PYTHON} -B ${script} ${arg_ARGS})
  set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED python_env TIMEOUT ${arg_TIMEOUT} LABELS "python;${arg_LABELS}"
    ENVIRONMENT "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/python")
endfunction()
