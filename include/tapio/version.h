/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of Tapio, and what all other headers need.
 *
 * VERSION. The three numbers below are the only place where the version is
 * written. CMake, pkg-config, the names of the libraries and --version take it
 * from here.
 *
 *   number | while major is 0               | from 1.0 on
 *   major  | -                              | programs MUST be ported
 *   minor  | programs MUST be compiled anew | something was added
 *   patch  | programs run as they are       | programs run as they are
 *
 * The loader holds programs to this rule. While major is 0, the SONAME of a
 * library ends with major.minor, later with major. Each symbol bears the
 * version that brought it (TAPIO_0.1), so a library that is too old is refused
 * when the program starts. The layout of the shared memory has a number of its
 * own (abi.h), because processes of two versions may meet in one segment.
 */
#ifndef TAPIO_VERSION_H
#define TAPIO_VERSION_H

#define TAPIO_VERSION_MAJOR 0
#define TAPIO_VERSION_MINOR 1
#define TAPIO_VERSION_PATCH 0

/* "major.minor.patch" of the headers that a program is compiled with. */
#define TAPIO_VERSION                                                 \
	TAPIO_VERSION_TEXT_(TAPIO_VERSION_MAJOR, TAPIO_VERSION_MINOR, \
			    TAPIO_VERSION_PATCH)
#define TAPIO_VERSION_TEXT_(major, minor, patch) \
	TAPIO_VERSION_JOIN_(major, minor, patch)
#define TAPIO_VERSION_JOIN_(major, minor, patch) #major "." #minor "." #patch

/*
 * The shared layout has 64-bit words that a CPU loads and stores whole, in
 * little-endian order. A target without them gets this error and no other.
 */
#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tapio needs a 64-bit little-endian target (x86-64 or aarch64)"
#define TAPIO_TARGET_REFUSED_
#endif

/* A cast that neither language warns about. Private to these headers. */
#ifdef __cplusplus
#define TAPIO_CAST_(type, value) (static_cast<type>(value))
#else
#define TAPIO_CAST_(type, value) ((type)(value))
#endif

/* The mark of a function that a library exports. No other is exported. */
#if defined(__GNUC__)
#define TAPIO_API __attribute__((visibility("default")))
#else
#define TAPIO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the library that runs, as TAPIO_VERSION: it may be newer than
 * the one that the program was compiled with. Static storage. Any thread, any
 * signal handler, a forked child, too.
 */
TAPIO_API const char *tapio_version(void);

#ifdef __cplusplus
}
#endif

#endif
