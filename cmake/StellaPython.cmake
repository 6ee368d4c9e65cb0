# Python for tests: virtual environments in the build folder, made by ctest fixtures: `python_env` is python-env, from
# tests/python/requirements.txt, for most tests; the server's clients, which disagree with it about versions, have their
# own. Only tests that need the fixture may use the interpreter.
function(stella_python_folder name result)
  string(REPLACE "_" "-" folder ${name})
  set(${result} ${CMAKE_BINARY_DIR}/${folder} PARENT_SCOPE)
endfunction()

# Where python3 is missing the tests are registered all the same and the fixture fails, saying so: a test that vanishes
# silently proves nothing.
function(stella_python_environment name requirements)
  get_filename_component(file "${requirements}" ABSOLUTE)
  stella_python_folder(${name} folder)
  add_test(NAME ${name} COMMAND sh ${PROJECT_SOURCE_DIR}/tests/python/make_env.sh ${folder} ${file})
  set_tests_properties(${name} PROPERTIES FIXTURES_SETUP ${name} LABELS python TIMEOUT 900)
endfunction()

# stella_python_test(<name> SCRIPT <file.py> [ENV <environment>] [ARGS <argument>...] [LABELS <label>...] [TIMEOUT <seconds>])
#
# Runs the script in the environment. ARGS may hold generator expressions such as $<TARGET_FILE:stella>.
function(stella_python_test name)
  cmake_parse_arguments(arg "" "SCRIPT;TIMEOUT;ENV" "ARGS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(NOT arg_ENV)
    set(arg_ENV python_env)
  endif()
  stella_python_folder(${arg_ENV} folder)
  get_filename_component(script "${arg_SCRIPT}" ABSOLUTE)
  add_test(NAME ${name} COMMAND ${folder}/bin/python -B ${script} ${arg_ARGS})
  set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED ${arg_ENV} TIMEOUT ${arg_TIMEOUT} LABELS "python;${arg_LABELS}"
    ENVIRONMENT "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/python")
endfunction()
