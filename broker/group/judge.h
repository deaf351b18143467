/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what a group says of its progress is possible. Private memory and
 * arithmetic only. The looks themselves, and what follows from them, are in
 * evict.c. One for each channel.
 */
#ifndef TPI_BROKER_JUDGE_H
#define TPI_BROKER_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/memory/layout.h"
#include "lib/lane/ledger.h"

/* Totals: positions since we first saw the lane, in 64 bits, which never wrap. */
struct tpi_judged_lane {
	uint64_t tail; /* as last seen, 48 bits */
	uint64_t total;
};

/* A group's head when it was last found possible. */
struct tpi_judged_cursor {
	uint64_t word;
	uint64_t total;
	uint64_t start; /* total at which the group began */
};

struct tpi_judge {
	uint32_t lane_count;
	struct tpi_judged_lane *lanes;
	struct tpi_judged_cursor *cursors; /* [slot * lane_count + lane] */
};

/* For the lanes of a channel. -ENOMEM. */
int tpi_judge_init(struct tpi_judge *judge, const struct tpi_channel *channel);
void tpi_judge_fini(struct tpi_judge *judge);

/* A group begins: its head on a lane is at `start`, and `tail` was loaded just now. */
void tpi_judge_begin_at(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
			uint64_t tail, uint64_t start, uint32_t incarnation);
/* At that tail. */
void tpi_judge_begin(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
		     uint64_t tail, uint32_t incarnation);

/*
 * A group goes on under another broker, which saw this first (A8). `strangers` as in struct
 * tpi_suspect.
 */
void tpi_judge_resume(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
		      uint32_t incarnation, bool strangers,
		      const struct tpi_ledger *seen);

/* The last head word of a group on a lane that was possible. */
uint64_t tpi_judge_last(const struct tpi_judge *judge, uint32_t slot,
			uint32_t lane);

/* The other facts about the group. */
struct tpi_suspect {
	uint32_t slot;
	uint32_t incarnation;
	bool lossless;  /* its heads hold the gate, without a limit */
	bool strangers; /* members of an earlier group of the slot may live */
	bool isolated;  /* tail and gate are a stranger's word: judge.c */
};

/*
 * Judges one look at one lane, which loaded gate, head and tail in this order:
 * TPI_FAULT_GATE, _HEAD, _START, _TALLY, _FOREIGN, or 0. An honest group gets 0,
 * always.
 */
uint32_t tpi_judge_look(struct tpi_judge *judge,
			const struct tpi_suspect *suspect, uint32_t lane,
			const struct tpi_ledger *seen);

/*
 * For a lane that was found wrong and that no process can write any more: the
 * head at which to go on, with its tally's record 0, and the group's start.
 */
uint64_t tpi_judge_mend(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
			bool lossless, const struct tpi_ledger *seen,
			uint64_t *start);

#endif
