/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of isolated producers, as a reader has it.
 *
 * Each memory serves one producer (broker/registry/isolation.h). A reader maps it when it is
 * SEALED, reads it to its end, and goes on in the next one:
 *
 *  R1  `changes` of the channel has grown. One relaxed load of an idle reader, and of a busy
 *	one now and then. Readers of other channels do not look.
 *  R2  For each segment: the epoch (acquire), the spans of its lanes, and the epoch again.
 *	Another one: R2 later.
 *  R3  ENDED: what lies at `end` or behind it is not read any more. A reader that has gone
 *	further goes back there. The holder of a lease that stands at `end` says so (`followed`):
 *	the broker waits for it, because a holder that has not seen ENDED may still be about to
 *	release positions that a child of the producer has published.
 *  R4  CLOSED, or other memory: the reader leaves when it has nothing in hand there, and has
 *	read all before `end`. Whatever the old memory shows then, it is not looked at again.
 *	A leftover of a hostile producer that never ends is given up after some looks.
 *  R5  Other memory, SEALED or ENDED: FETCH. The file is believed if its epoch is that of
 *	R2, and if it has F_SEAL_FUTURE_WRITE.
 *  R6  It is mapped at the address of the old one, so handles of lanes stay as they are. The
 *	lanes go on at `begin`. What lies between the reader and `begin` is lost to it.
 *
 * While there is no memory to be read (FRESH, CLOSED), the address has a private page that
 * stands for lanes at rest: tail and gate are `end`.
 *
 * SIGKILL anywhere: no other process notices. SIGSTOP: this process keeps old memory from
 * being freed, and holds no producer but by its group. Migration: nothing depends on the CPU.
 * A signal handler does not poll. fork: the child has no mapping. Another uid: the broker
 * alone says which file it is, and it is measured before it is mapped. A broker that is gone
 * or slow: the reader tries again, and misses no event of lossless groups, because the
 * broker alone replaces memory, and after they have read it.
 */
#ifndef TPI_SEGMENTS_H
#define TPI_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "lib/memory/segment.h"
#include "lib/wire/wire.h"

struct tpi_client;

/* Of a reader of an isolated channel. Else all zero. */
struct tpi_segments {
	const struct tapio_shm_segment *records; /* by number */
	const struct tapio_shm_span *spans;      /* by lane id */
	uint64_t seen; /* `changes` up to which all is done */
	uint32_t count;
	uint32_t epochs[TAPIO_NODES_MAX]; /* that this process has come to */
	bool asked;                       /* an answer is still to come .. */
	uint32_t asked_on;                /* .. on that connection */
};

/* R2. */
struct tpi_segment_news {
	uint32_t segment;
	uint32_t epoch;
	bool limited; /* the lanes are to be read up to `end` before the reader leaves */
	struct tapio_shm_span spans[TAPIO_CLASSES_MAX]; /* by class */
};

/* The calls to the reader, on its thread. */
struct tpi_segment_reader {
	/* R3. */
	void (*end)(void *reader, const struct tpi_segment_news *news);
	/* R4. False: not yet. */
	bool (*leave)(void *reader, const struct tpi_segment_news *news);
	/* Lanes at rest are there. */
	void (*shut)(void *reader, const struct tpi_segment_news *news);
	/* R6. */
	void (*open)(void *reader, const struct tpi_segment_news *news);
};

/* attach.c. For a channel that is isolated: finds the records, and maps lanes at rest in
 * the place of all but the first `own`, and that number. */
int tpi_segments_init(struct tpi_client *client, bool reader, uint32_t own);
/* connect.c, before the reader begins: the readable segments that are not mapped. */
uint64_t tpi_segments_missing(struct tpi_client *client);
/* Maps what came with FETCHED, and closes nothing. -EAGAIN another epoch has come. -errno. */
int tpi_segments_map(struct tpi_client *client,
		     const struct tpi_wire_fetched *fetched, const int *fds);
/* How long a reader waits for the answer to FETCH: one that has found nothing to read, and
 * one that has. A later answer is taken the next time. */
#define TPI_FOLLOW_IDLE_MS 10
#define TPI_FOLLOW_BUSY_MS 1
/* R2 to R6. Whether a segment was opened. */
bool tpi_segments_follow(struct tpi_client *client,
			 const struct tpi_segment_reader *calls, void *reader,
			 int wait_ms);

/* The number of a lane's segment. */
uint32_t tpi_segments_number(const struct tpi_client *client, uint32_t lane);
/* Whether the process has the memory and the phase that the lane has now, and it may be
 * read. */
bool tpi_segments_current(const struct tpi_client *client, uint32_t lane);
bool tpi_segments_ended(const struct tpi_client *client, uint32_t lane);

#endif
