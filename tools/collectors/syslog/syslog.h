/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of syslog, as RFC 5424 and as RFC 3164 and programs write them. */
#ifndef TPI_COLLECT_SYSLOG_H
#define TPI_COLLECT_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest message that is taken. Longer ones are cut. */
#define TPI_SYSLOG_BYTES 65536

struct tpi_span {
	const char *text; /* NULL: it has none */
	size_t length;
};

struct tpi_syslog {
	uint8_t priority; /* 0 to 7 */
	uint8_t facility; /* 0 to 23 */
	bool has_priority;
	uint64_t time_ns; /* 0: it says none that is understood */
	struct tpi_span host;
	struct tpi_span identifier;
	struct tpi_span pid;
	struct tpi_span message_id;
	struct tpi_span data; /* the structured data, with its brackets */
	struct tpi_span message;
};

/*
 * Takes a message apart. Every text is one: a part that is not understood belongs to the message.
 * now_ns tells the year of a time that has none; it is in the local time zone.
 */
void tpi_syslog_parse(struct tpi_syslog *syslog, const char *text,
		      size_t length, uint64_t now_ns);

/*
 * The next parameter of the structured data, from *at on (0 at the beginning): "ID.NAME" in
 * `key`, cut to its room, and its value without escapes in `value`, which has room for the
 * data. False: there is no more.
 */
bool tpi_syslog_parameter(const struct tpi_span *data, size_t *at, char *key,
			  size_t key_bytes, char *value, size_t *value_length);

#endif
