# `cmake --install`: the C++ library, the C library, their headers, a CMake package and pkg-config files. The command line, the bundled model and
# the man page are installed by cli/.
include(CMakePackageConfigHelpers)

install(TARGETS stella stella_compiler EXPORT stellaTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS stella_c EXPORT stellaCTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/stella.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/stella DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(stella_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/stella)
install(EXPORT stellaTargets NAMESPACE stella:: DESTINATION ${stella_package_dir})
install(EXPORT stellaCTargets NAMESPACE stella:: DESTINATION ${stella_package_dir})
configure_package_config_file(cmake/stellaConfig.cmake.in ${PROJECT_BINARY_DIR}/stellaConfig.cmake
  INSTALL_DESTINATION ${stella_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/stellaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/stellaConfig.cmake ${PROJECT_BINARY_DIR}/stellaConfigVersion.cmake
  DESTINATION ${stella_package_dir})

foreach(name IN ITEMS stella stella-c)
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/stella.pc ${PROJECT_BINARY_DIR}/stella-c.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
