/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few words about a channel, for a tool that reads its events: the number of its producers,
 * and how far back its lanes go. It takes the right to inspect.
 */
#ifndef TPI_INSPECT_ABOUT_H
#define TPI_INSPECT_ABOUT_H

#include <stdbool.h>
#include <stdint.h>

struct tpi_about {
	bool known; /* the rest is */
	uint32_t producers;
	uint32_t lanes; /* that had events .. */
	uint32_t
		lanes_late; /* .. and have none as old as asked for any more .. */
	uint64_t
		overwritten; /* .. but so many before: of these lanes, in all */
	uint64_t whole_ns;   /* from here on all lanes have theirs */
	bool stamped;
};

/* Looks. `since_ns`: CLOCK_REALTIME, or 0 for no time. */
void tpi_about_look(struct tpi_about *about, const char *socket,
		    const char *channel, uint64_t since_ns);

#endif
