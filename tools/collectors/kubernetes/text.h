/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a JSON string as units that may be copied one by one: a character, or an
 * escape. Called by the scan. Takes bytes one at a time, and gives units that are valid.
 */
#ifndef TPI_KUBE_TEXT_H
#define TPI_KUBE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A pair of escapes, \ud83d\ude00. */
#define TPI_KUBE_UNIT_BYTES 12

typedef void tpi_kube_unit_fn(void *arg, const char *unit, size_t length);

struct tpi_kube_string {
	tpi_kube_unit_fn *unit;
	void *arg;
	uint64_t repaired; /* units that were replaced by U+FFFD */
	/* private: a unit that has begun and not ended */
	uint8_t state;
	uint8_t used;
	uint8_t need;   /* bytes of a character that are to come */
	uint8_t low;    /* the next byte may be from here ... */
	uint8_t high;   /* ... to here */
	uint16_t code;  /* of an escape */
	uint16_t waits; /* first half of a pair. 0: none */
	char bytes[TPI_KUBE_UNIT_BYTES];
};

enum tpi_kube_step {
	TPI_KUBE_MORE,  /* the string goes on */
	TPI_KUBE_QUOTE, /* this byte ended it */
	TPI_KUBE_BAD,   /* no string has this byte here */
};

/* Behind the opening quote. Keeps unit, arg and repaired. */
void tpi_kube_string_begin(struct tpi_kube_string *string);
enum tpi_kube_step tpi_kube_string_byte(struct tpi_kube_string *string,
					unsigned char byte);

/*
 * How many of the bytes can be copied as they are: plain ASCII. 0 inside of a unit.
 */
size_t tpi_kube_string_plain(const struct tpi_kube_string *string,
			     const char *bytes, size_t length);

#endif
