# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, and what other projects find it by:
# find_package(tapio) and pkg-config. (The tools install themselves, see
# tapio_tool().)
include(CMakePackageConfigHelpers)

install(DIRECTORY include/tapio DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
	FILES_MATCHING PATTERN *.h)

# The names under which other projects link: tapio::tapio, tapio::tapio-static,
# tapio::tapio-broker. The static broker is for pkg-config --static alone: what
# it links in turn (liburing, libconfuse) has no CMake package.
set_target_properties(tapio_shared PROPERTIES EXPORT_NAME tapio)
set_target_properties(tapio_static PROPERTIES EXPORT_NAME tapio-static)
set(exported tapio_shared tapio_static)
if(TARGET tapio_broker_shared)
	set_target_properties(tapio_broker_shared PROPERTIES
		EXPORT_NAME tapio-broker)
	list(APPEND exported tapio_broker_shared)
endif()
install(TARGETS ${exported} EXPORT tapioTargets
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
	INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET tapio_broker_static)
	install(TARGETS tapio_broker_static
		ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tapio)
install(EXPORT tapioTargets NAMESPACE tapio:: DESTINATION ${package_dir})
configure_package_config_file(cmake/tapioConfig.cmake.in tapioConfig.cmake
	INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(tapioConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tapioConfig.cmake
	${PROJECT_BINARY_DIR}/tapioConfigVersion.cmake
	DESTINATION ${package_dir})

# Relative to the .pc file, so that the prefix may be chosen at install time.
file(RELATIVE_PATH prefix_from_pc /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
foreach(pc tapio tapio-broker)
	configure_file(cmake/${pc}.pc.in ${pc}.pc @ONLY)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/tapio.pc
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[3-8])
foreach(page ${pages})
	string(REGEX MATCH "[3-8]$" section ${page})
	install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

if(TARGET tapiod)
	install(TARGETS tapiod RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
	install(FILES ${PROJECT_BINARY_DIR}/tapio-broker.pc
		DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
	install(FILES broker/config/tapiod.conf
		DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/tapio)
	# systemd looks in PREFIX/lib, whatever the libraries' directory is.
	configure_file(broker/tapiod.service.in tapiod.service @ONLY)
	install(FILES ${PROJECT_BINARY_DIR}/tapiod.service
		DESTINATION lib/systemd/system)
	install(FILES broker/tapio.sysusers DESTINATION lib/sysusers.d
		RENAME tapio.conf)
endif()
