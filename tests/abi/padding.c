/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled with -Wpadded as an error: a hole that a compiler puts into a shared
 * struct is a field without a name, a value or a promise.
 */
#include <tapio/abi.h>

/* ISO C wants a declaration in a translation unit. */
extern const struct tapio_shm_header *tapio_tests_padding;
