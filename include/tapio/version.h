/* SPDX-License-Identifier: Apache-2.0 */
/* What all other headers need, and the version of the library. */
#ifndef TAPIO_VERSION_H
#define TAPIO_VERSION_H

/*
 * The shared layout has 64-bit words that a CPU loads and stores whole, in
 * little-endian order. A target without them gets this error and no other.
 */
#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tapio needs a 64-bit little-endian target (x86-64 or aarch64)"
#define TAPIO_TARGET_REFUSED_
#endif

/* A cast that neither language warns about; private to these headers. */
#ifdef __cplusplus
#define TAPIO_CAST_(type, value) (static_cast<type>(value))
#else
#define TAPIO_CAST_(type, value) ((type)(value))
#endif

/* What the libraries export: every function with this mark, and no other. */
#if defined(__GNUC__)
#define TAPIO_API __attribute__((visibility("default")))
#else
#define TAPIO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the library that runs, "major.minor.patch". Static storage. Any
 * thread, any signal handler, a forked child, too.
 */
TAPIO_API const char *tapio_version(void);

#ifdef __cplusplus
}
#endif

#endif
