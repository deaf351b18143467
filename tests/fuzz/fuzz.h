/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the fuzz targets. A target is one file with
 * LLVMFuzzerTestOneInput(). It is linked with libFuzzer by clang, and with
 * plain.c by any compiler.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the process, as a crash would. */
#define FUZZ_CHECK(condition)                                            \
	do {                                                             \
		if (!(condition)) {                                      \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #condition);                   \
			abort();                                         \
		}                                                        \
	} while (0)

/* Whether all of it is UTF-8 without control characters. */
bool fuzz_text_valid(const char *text, size_t length);

/* Whether all of it is one JSON value, nested 16 deep at most. */
bool fuzz_json_valid(const char *text, size_t length);

#endif
