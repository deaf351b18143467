/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAPIO_VERSION_H
#define TAPIO_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TAPIO_API __attribute__((visibility("default")))
#else
#define TAPIO_API
#endif

/* The version of the library that runs, "major.minor.patch"; static storage. */
TAPIO_API const char *tapio_version(void);

#ifdef __cplusplus
}
#endif

#endif
