# SPDX-License-Identifier: Apache-2.0
# Flags that every target shares, as one interface target: tapio_compile.
add_library(tapio_compile INTERFACE)
target_include_directories(tapio_compile INTERFACE
	${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR})
target_compile_definitions(tapio_compile INTERFACE
	_GNU_SOURCE $<$<BOOL:${TAPIO_TESTPOINTS}>:TAPIO_TESTPOINTS>)
target_compile_options(tapio_compile INTERFACE
	-Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wundef
	-fno-strict-aliasing -fno-plt -fno-semantic-interposition
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)

if(TAPIO_SANITIZE STREQUAL "address")
	target_compile_options(tapio_compile INTERFACE
		-fsanitize=address,undefined -fno-omit-frame-pointer
		-fno-sanitize-recover=undefined)
	target_link_options(tapio_compile INTERFACE -fsanitize=address,undefined)
elseif(TAPIO_SANITIZE STREQUAL "thread")
	# gcc warns of fences, which this does not model: tests leave what rests
	# on one, as observers, out of such builds.
	target_compile_options(tapio_compile INTERFACE -fsanitize=thread
		-Wno-tsan)
	target_link_options(tapio_compile INTERFACE -fsanitize=thread)
elseif(TAPIO_SANITIZE)
	message(FATAL_ERROR "TAPIO_SANITIZE=${TAPIO_SANITIZE}: address, thread or empty")
endif()
