# `cmake --install`: the library, its headers, a CMake package and a pkg-config file. The command line, the bundled model and
# the man page are installed by cli/.
include(CMakePackageConfigHelpers)

install(TARGETS stella stella_compiler EXPORT stellaTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/stella DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(stella_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/stella)
install(EXPORT stellaTargets NAMESPACE stella:: DESTINATION ${stella_package_dir})
configure_package_config_file(cmake/stellaConfig.cmake.in ${PROJECT_BINARY_DIR}/stellaConfig.cmake
  INSTALL_DESTINATION ${stella_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/stellaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/stellaConfig.cmake ${PROJECT_BINARY_DIR}/stellaConfigVersion.cmake
  DESTINATION ${stella_package_dir})

# A static archive needs its own dependencies on the user's link line; a shared library brings them itself.
get_target_property(stella_kind stella TYPE)
set(stella_pc_requires "libcurl libcrypto libpcre2-8 simdjson")
if(stella_kind STREQUAL "SHARED_LIBRARY")
  set(STELLA_PC_REQUIRES "Requires.private: ${stella_pc_requires}")
else()
  set(STELLA_PC_REQUIRES "Requires: ${stella_pc_requires}")
endif()
configure_file(cmake/stella.pc.in ${PROJECT_BINARY_DIR}/stella.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/stella.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
