# One interface target that every target of this project links: the language level, the warnings, the sanitizers.
add_library(stella_compiler INTERFACE)
target_compile_features(stella_compiler INTERFACE cxx_std_20)
target_compile_options(stella_compiler INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
if(STELLA_WARNINGS_AS_ERRORS)
  target_compile_options(stella_compiler INTERFACE -Werror)
endif()
if(STELLA_SANITIZE)
  target_compile_options(stella_compiler INTERFACE -fsanitize=${STELLA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(stella_compiler INTERFACE -fsanitize=${STELLA_SANITIZE})
  # Instrumented code makes g++ 12 see uninitialised values that are none (its manual says so); the plain builds keep the warning.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(stella_compiler INTERFACE -Wno-maybe-uninitialized)
  endif()
  if(STELLA_SANITIZE MATCHES "thread")
    # g++ 12 warns that it cannot instrument the fences in Asio; Asio does not depend on them for what the tests check.
    target_compile_options(stella_compiler INTERFACE -Wno-tsan)
  endif()
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
