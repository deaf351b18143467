/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures that are computed, and the fields that they come from. All members and the
 * merger of one analysis MUST have the same: an_spec_digest() tells.
 */
#ifndef ANALYZE_SPEC_H
#define ANALYZE_SPEC_H

#include <netinet/in.h>

#include "tools/common/field.h"
#include "tools/common/where.h"
#include "tools/analyze/budget.h"
#include "tools/analyze/heavy.h"

#define AN_BY_MAX    4u
#define AN_TYPES_MAX 64u
#define AN_KEY_BYTES (AN_BY_MAX * AN_VALUE_BYTES)
#define AN_PANES_MAX 1024u /* of one window */
#define AN_QUANTILES 8u
/* Values of floating point are counted in thousandths, so that sums are exact. */
#define AN_FRACTION 1000

struct an_spec {
	uint32_t by_count;
	uint32_t type_count;
	uint32_t counters; /* of Space-Saving */
	uint32_t precision;
	uint64_t keys_max; /* of one pane */
	int64_t window_ns;
	int64_t slide_ns; /* and the length of a pane */
	int64_t lateness_ns;
	int64_t future_ns;
	bool has_value;
	bool has_distinct;
	bool has_top;
	bool by_stamp; /* the time is the channel's stamp */
	uint8_t severity_min;
	uint16_t types[AN_TYPES_MAX];
	struct tpi_field by[AN_BY_MAX];
	struct tpi_field value;
	struct tpi_field distinct;
	struct tpi_field top;
	struct tpi_where where;
};

/* All that one event adds. Made from the event first, so that it can be thrown away when the
 * event was overwritten meanwhile. */
struct an_sample {
	int64_t time_ns; /* 0: it has none */
	__int128 value;
	bool has_value;
	uint16_t key_length;
	uint16_t distinct_length; /* 0: unset */
	uint16_t top_length;      /* 0: unset */
	uint64_t distinct_hash;
	char key[AN_KEY_BYTES];
	char distinct[AN_VALUE_BYTES];
	char top[AN_VALUE_BYTES];
};

/* A hash of bytes, the same in each process. `seed`: 0 for what is shared. */
uint64_t an_hash(const void *bytes, uint32_t length, uint64_t seed);

uint64_t an_spec_digest(const struct an_spec *spec);

/* Whether an event belongs to the analysis. If so the sample is filled in. */
bool an_sample_take(const struct an_spec *spec,
		    const struct tapio_event_view *view, int64_t stamp_ns,
		    struct an_sample *sample);

/* ---- values as bytes ------------------------------------------------------- */

/*
 * Form, length of the rest, and the bytes: 'u' an unsigned number of 8 bytes, 'i' a signed
 * one, '4' and '6' an address, 't' a type of event of 2, 's' a severity of 1, 'x' text. A
 * longer text keeps its first 46 bytes, then '~' and its hash in hexadecimal, so that
 * different ones stay different. '-' and 0: unset.
 */
#define AN_TEXT_MAX 63u

/* Writes at most AN_VALUE_BYTES. How many. */
uint32_t an_value_encode(const struct tpi_field *field,
			 const struct tapio_event_view *view, char *bytes);

struct an_value {
	char form;
	uint32_t length;
	const char *bytes; /* of a text, or of `buffer` */
	char buffer[INET6_ADDRSTRLEN];
};

/* The next value in encoded bytes. 0 at the end, or if they are not well-formed. */
uint32_t an_value_decode(const char *bytes, uint32_t length,
			 struct an_value *value);

/* Whether bytes are `count` values, and nothing else. */
bool an_values_check(const char *bytes, uint32_t length, uint32_t count);

#endif
