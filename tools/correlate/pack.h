/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and bytes of a checkpoint, one behind the other. A reader that comes to the end, or to
 * a count that cannot be, fails, gives zeroes from then on, and never reads beyond its bytes.
 */
#ifndef TPI_CORRELATE_PACK_H
#define TPI_CORRELATE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tpi_writer {
	unsigned char *data; /* malloc */
	size_t length, room;
	bool failed; /* no memory */
};

void tpi_write_bytes(struct tpi_writer *w, const void *data, size_t length);
void tpi_write(struct tpi_writer *w, uint64_t number);
/* With its length. */
void tpi_write_block(struct tpi_writer *w, const void *data, size_t length);

struct tpi_reader {
	const unsigned char *at, *end;
	bool failed;
};

uint64_t tpi_read(struct tpi_reader *r);
/* At most `max`, or it fails. */
uint64_t tpi_read_max(struct tpi_reader *r, uint64_t max);
/* A number of things that have at least `bytes` each. */
uint32_t tpi_read_count(struct tpi_reader *r, size_t bytes);
/* Of tpi_write_block(), in place. NULL: it fails. */
const void *tpi_read_block(struct tpi_reader *r, size_t max, size_t *length);

#endif
