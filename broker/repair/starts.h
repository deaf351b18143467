/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When clients started, for the catalog: people and tools tell a process from a later one
 * of the same number by it.
 *
 * It is in /proc/PID/stat alone, and a client can make the read of that wait (ask.h). So a
 * child of the broker reads it. A fork takes longer than all else that an open needs, so no
 * open waits for it: some time later one child reads those of all new clients. Until then
 * the record has 0. Nothing else of the broker needs it where pidfds have inodes. Where
 * they have none, the broker asks before it answers (process.c), and the list here is
 * empty.
 */
#ifndef TPI_BROKER_STARTS_H
#define TPI_BROKER_STARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/loop/loop.h"

struct tpi_broker;
struct tpi_process;

#define TPI_STARTS_MAX 256 /* of one child */

struct tpi_starts {
	struct tpi_timer
		timer; /* the next child, or the next look at this one */
	struct tpi_watch
		died; /* the pidfd of the child. Not started: there is none */
	int answers;  /* pipe */
	uint32_t count;
	uint32_t answered; /* in this order */
	struct tpi_process *asked[TPI_STARTS_MAX];
};

/* A client whose start is not known has come. */
void tpi_starts_want(struct tpi_broker *broker);
void tpi_starts_begin(struct tpi_broker *broker);
/* The end of the broker. */
void tpi_starts_end(struct tpi_broker *broker);
/* In a forked child, and where the program has closed all descriptors. */
void tpi_starts_close_copies(struct tpi_starts *starts);
void tpi_starts_lose(struct tpi_starts *starts);

#endif
