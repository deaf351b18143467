# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, how it is taken away again, and what other
# projects find it by: find_package(tapio) and pkg-config. (The tools install themselves, see
# tapio_tool().)
include(CMakePackageConfigHelpers)

install(DIRECTORY include/tapio DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
	FILES_MATCHING PATTERN *.h)

# The names under which other projects link: tapio::tapio, tapio::tapio-static,
# tapio::tapio-broker. The static broker is for pkg-config --static alone: its
# own libraries (liburing, libconfuse) have no CMake package.
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
if(PROJECT_VERSION_MAJOR EQUAL 0)
	set(compatibility SameMinorVersion)
else()
	set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(tapioConfigVersion.cmake
	COMPATIBILITY ${compatibility})
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

# Below the prefix it moves with `cmake --install --prefix`; for the prefix /usr it
# is /etc, which GNUInstallDirs only says in the full path.
set(sysconf_dir ${CMAKE_INSTALL_FULL_SYSCONFDIR})
cmake_path(IS_PREFIX CMAKE_INSTALL_PREFIX ${sysconf_dir} sysconf_in_prefix)
if(sysconf_in_prefix)
	set(sysconf_dir ${CMAKE_INSTALL_SYSCONFDIR})
endif()

# The pages of the source tree say /etc/tapio; the installed ones say where the
# configuration really is.
file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[3-8])
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${pages})
foreach(page ${pages})
	cmake_path(GET page FILENAME name)
	string(REGEX MATCH "[3-8]$" section ${page})
	file(READ ${page} text)
	string(REPLACE "/etc/tapio/" "${CMAKE_INSTALL_FULL_SYSCONFDIR}/tapio/"
		text "${text}")
	file(WRITE ${PROJECT_BINARY_DIR}/man/${name} "${text}")
	install(FILES ${PROJECT_BINARY_DIR}/man/${name}
		DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

if(TARGET tapiod)
	install(TARGETS tapiod RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
	install(FILES ${PROJECT_BINARY_DIR}/tapio-broker.pc
		DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
	# A file that an administrator has written is never replaced.
	configure_file(cmake/install_config.cmake.in install_config.cmake @ONLY)
	install(SCRIPT ${PROJECT_BINARY_DIR}/install_config.cmake)
	# systemd looks in PREFIX/lib, whatever the libraries' directory is.
	configure_file(broker/tapiod.service.in tapiod.service @ONLY)
	configure_file(broker/tapio.socket.in tapiod.socket @ONLY)
	install(FILES ${PROJECT_BINARY_DIR}/tapiod.service
		${PROJECT_BINARY_DIR}/tapiod.socket
		DESTINATION lib/systemd/system)
	install(FILES broker/tapio.sysusers DESTINATION lib/sysusers.d
		RENAME tapio.conf)
endif()

# `cmake --build build --target uninstall`: takes away what the last
# `cmake --install` of this build directory has put down.
add_custom_target(uninstall USES_TERMINAL
	COMMAND ${CMAKE_COMMAND} -D MANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
		-D CONFIG=${PROJECT_SOURCE_DIR}/broker/config/tapiod.conf
		-P ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake)
