/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled with -Wpadded as an error: a hole that a compiler puts into a shared
 * struct is a field that nobody has named, zeroed or promised.
 */
#include <tapio/abi.h>

/* ISO C wants a declaration in a translation unit. */
extern const struct tapio_shm_header *tapio_tests_padding;
