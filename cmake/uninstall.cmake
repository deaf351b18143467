# SPDX-License-Identifier: Apache-2.0
# cmake -D MANIFEST=install_manifest.txt -D CONFIG=the shipped tapiod.conf -P ...
# Removes the files of the manifest, and the directories that are Tapio's own when
# nothing else is in them. DESTDIR counts as it does for the installation.
if(NOT EXISTS "${MANIFEST}")
	message(FATAL_ERROR "${MANIFEST} is missing: nothing was installed from "
		"this build directory")
endif()
file(STRINGS "${MANIFEST}" files)
set(directories)
foreach(file IN LISTS files)
	set(path "$ENV{DESTDIR}${file}")
	cmake_path(GET path PARENT_PATH directory)
	# share/tapio/rules, and its parent
	if(directory MATCHES "/tapio/rules$")
		list(APPEND directories "${directory}")
		cmake_path(GET directory PARENT_PATH directory)
	endif()
	# include/tapio, lib/cmake/tapio, etc/tapio, share/tapio
	if(directory MATCHES "/tapio$")
		list(APPEND directories "${directory}")
	endif()
	if(NOT EXISTS "${path}" AND NOT IS_SYMLINK "${path}")
		message(STATUS "Is not there: ${path}")
		continue()
	endif()
	if(file MATCHES "/tapiod\\.conf$")
		file(SHA256 "${path}" has)
		file(SHA256 "${CONFIG}" shipped)
		if(NOT has STREQUAL shipped)
			message(STATUS "Keeping, since it was changed: ${path}")
			continue()
		endif()
	endif()
	message(STATUS "Removing: ${path}")
	file(REMOVE "${path}")
	if(EXISTS "${path}" OR IS_SYMLINK "${path}")
		message(FATAL_ERROR "${path} cannot be removed (no right to?)")
	endif()
endforeach()
list(REMOVE_DUPLICATES directories)
foreach(directory IN LISTS directories)
	# Fails, and changes nothing, where something else is left.
	execute_process(COMMAND rmdir "${directory}" ERROR_QUIET
		RESULT_VARIABLE failed)
	if(NOT failed)
		message(STATUS "Removing: ${directory}")
	endif()
endforeach()
