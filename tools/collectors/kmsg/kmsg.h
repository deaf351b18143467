/* SPDX-License-Identifier: Apache-2.0 */
/* The collector of the kernel's log: one record of /dev/kmsg. */
#ifndef TPI_COLLECT_KMSG_H
#define TPI_COLLECT_KMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest record that the kernel hands out, and more. */
#define TPI_KMSG_BYTES 16384

struct tpi_kmsg {
	uint64_t sequence;
	uint64_t monotonic_us;
	uint32_t facility;
	uint8_t priority;    /* 0 to 7 */
	const char *message; /* in the record, as the kernel escapes it */
	size_t message_bytes;
	const char *fields; /* " KEY=value" lines */
	size_t fields_bytes;
};

/*
 * "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];MESSAGE\n KEY=value\n..." False: it is none.
 */
bool tpi_kmsg_parse(struct tpi_kmsg *kmsg, const char *record, size_t length);

/* The next " KEY=value" of the fields, from *at on (0 at the beginning). */
bool tpi_kmsg_field(const struct tpi_kmsg *kmsg, size_t *at, const char **key,
		    size_t *key_bytes, const char **value, size_t *value_bytes);

/* Undoes the kernel's \xHH in place of bytes that are not printable. Its length. */
size_t tpi_kmsg_unescape(char *out, const char *text, size_t length);

#endif
