/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of tapio-tail. The lines of a batch of events are collected. A
 * line is taken back again if its event was overwritten meanwhile. Then the
 * rest is written.
 */
#ifndef TPI_TAIL_LINES_H
#define TPI_TAIL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

#include "tools/common/where.h"

struct tpi_tail_out {
	int fd;
	bool json;
	const char *channel; /* named in JSON. NULL: it is not */
	unsigned int moves;  /* to another instance, so far */
	bool color;          /* lines of text, by severity */
	const struct tpi_where *where;
	uint64_t since_ns; /* no older ones. 0: any */
	char *buffer;
	size_t used;
	size_t size;
};

/*
 * Adds the line of an event, or of a gap. `time_ns` is the channel's stamp, shown
 * where the event itself has no time. 0: none. 1: the event is not one that is asked
 * for, and has no line. -ENOMEM.
 */
int tpi_tail_out_view(struct tpi_tail_out *out, const struct tapio_view *view,
		      uint64_t time_ns);

/* Adds a line for events that were overwritten while they were read. */
int tpi_tail_out_overwritten(struct tpi_tail_out *out, uint64_t count);

/* Takes back what was added since `used` had that value. */
void tpi_tail_out_rewind(struct tpi_tail_out *out, size_t used);

/* Writes it all. -errno. -EPIPE: the reader has left. */
int tpi_tail_out_flush(struct tpi_tail_out *out);

void tpi_tail_out_free(struct tpi_tail_out *out);

#endif
