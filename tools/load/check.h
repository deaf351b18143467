/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker: the consumers' check of each event, and the verdict at the end.
 * It knows nothing of processes or brokers, so that a unit test can hand it a
 * lost, a duplicated or a corrupted event and see it say so.
 *
 * A consumer of a lossless group marks what it was given and then releases it. A
 * kill in between lets the next member be given it again, which is recognised by
 * (lane, position). A consumer that may be overrun asks after each look whether the
 * event was whole, and may release first, since it may lose events.
 *
 *	lossless: poll, look, mark, release, note    others: poll, look, release, mark
 */
#ifndef LOAD_CHECK_H
#define LOAD_CHECK_H

#include <stdbool.h>

#include <tapio/abi.h>
#include <tapio/common.h>

#include "tools/load/scoreboard.h"

#define LOAD_POLL_MAX 1024

/* The rest of an event once its memory may be gone. */
struct load_look {
	uint64_t id;
	uint64_t position;
	uint64_t sent_ns;
	uint32_t lane;
	uint32_t index;
	uint32_t length;
	uint32_t verdict; /* enum load_verdict */
	uint64_t left;    /* of LOAD_MOVED: unread in memory that it gave up */
	bool former;      /* of the instance that the consumer has left */
};
enum load_verdict {
	LOAD_INTACT,
	LOAD_CORRUPT,
	LOAD_FOREIGN,
	LOAD_GAP,
	LOAD_OVERWRITTEN, /* while it was looked at */
	LOAD_MOVED,       /* the consumer has moved to another instance */
};

struct load_checker {
	struct load_scoreboard *scoreboard;
	struct load_counts *counts;
	uint64_t *bits;
	uint32_t group;
	uint32_t life;     /* of this consumer, unique in the run */
	uint32_t instance; /* moves so far */
	bool shared;       /* other members mark in the same bitmap */
};

void load_checker_init(struct load_checker *checker,
		       struct load_scoreboard *scoreboard, uint32_t consumer,
		       uint32_t life);

/* Reads an event: is it one of this run, and whole? Changes nothing. */
void load_look(const struct load_checker *checker,
	       const struct tapio_view *view, struct load_look *look);

/* Marks an event that was looked at as delivered, or says what is wrong. */
void load_mark(struct load_checker *checker, const struct load_look *look);

/* Notes that the events looked at, in the order they were given, are released. */
void load_note_released(struct load_checker *checker,
			const struct load_look *looks, unsigned int count);

struct load_verdicts {
	uint64_t accepted; /* for sure, the probe's included */
	uint64_t in_doubt;
	uint64_t sent;     /* accepted, and of those in doubt what arrived */
	uint64_t received; /* different events, summed over groups */
	uint64_t probed;   /* sent by the probe. In neither of these two */
	uint64_t got;      /* as received, and with the probe's */
	uint64_t missing;  /* sent and not delivered, summed over groups */
	uint64_t missing_of[TAPIO_GROUP_SLOTS];
	uint64_t lost;       /* missing, and no gap accounts for it */
	uint64_t duplicated; /* given twice, though no consumer died over it */
	uint64_t redelivered;
	uint64_t corrupt; /* not whole, or never sent */
	uint64_t disordered;
	uint64_t foreign;
	uint64_t gaps;
	uint64_t overrun; /* positions in gaps, and events overwritten */
};

/*
 * The verdict, when all processes have ended. `overrun` is what each group's
 * ledger says was lost by overrun: so much may be missing there.
 */
void load_judge(const struct load_scoreboard *scoreboard,
		const uint64_t *overrun, struct load_verdicts *verdicts);

#endif
