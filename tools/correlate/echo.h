/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which findings the channel has taken: read back from it by a durable group of our own,
 * GROUP.emitted. All that is emitted stays unread there until the next state is stored. So after a
 * kill it tells whether the finding in doubt was taken (live.c).
 */
#ifndef TPI_CORRELATE_ECHO_H
#define TPI_CORRELATE_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/consumer.h>

#include "tools/collectors/common/collector.h"

struct tpi_echo {
	struct tapio_consumer *consumer;
	const char *channel;
	char group[80];
	uint8_t (*ids)[16];
	size_t count;
	size_t room;
	bool sure; /* all that was emitted since the last release was read */
};

/* Joins the group. False: the program ends with the collector's status. */
bool tpi_echo_open(struct tpi_echo *echo, struct tpi_collector *collector,
		   const char *group);

/*
 * Reads the ids that are unread, and keeps them unread. It waits for the lanes of a member that was
 * killed, up to 10 s; `sure` says whether all came. -ENOMEM.
 */
int tpi_echo_read(struct tpi_echo *echo);
bool tpi_echo_has(const struct tpi_echo *echo, const uint8_t id[16]);

/* Releases all that was emitted up to now. */
void tpi_echo_release(struct tpi_echo *echo);

void tpi_echo_close(struct tpi_echo *echo);

#endif
