/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: the fate of every position of a lane, for one group.
 *
 *	tail - start = delivered + skipped + lost + in flight
 *
 * Callers are the statistics of clients, tapio-shmstat, tapio-load, the broker's
 * judge and tests. This is the one place that computes it. It reads only, from
 * memory that peers write, and never waits for them.
 *
 * A position is in flight while a member can still read it, so a lane has at most N
 * of them in flight. An event that was overwritten before a member came is lost
 * from that moment on, whether a member has noticed or not: a group may sleep,
 * be stopped, or have no member for hours. Only a view in a member's hands may
 * count twice over: a member that has asked tapio_view_intact() in time
 * delivers at its next release what counts as lost from the overwriting to that
 * release.
 */
#ifndef TPI_LEDGER_H
#define TPI_LEDGER_H

#include <stdint.h>

#include <tapio/abi.h>

#include "lib/lane/lane.h"

/* Facts that are impossible in an honest lane or group: bits of `faults`. */
#define TPI_FAULT_HELD     UINT32_C(1)   /* more blocks held than there are */
#define TPI_FAULT_GATE     UINT32_C(2)   /* gate beyond what the group allows */
#define TPI_FAULT_HEAD     UINT32_C(4)   /* head beyond the tail */
#define TPI_FAULT_START    UINT32_C(8)   /* head before the group's start */
#define TPI_FAULT_TALLY    UINT32_C(16)  /* skipped + lost > released */
#define TPI_FAULT_UNREAD   UINT32_C(32)  /* holds the gate, N or more behind */
#define TPI_FAULT_FOREIGN  UINT32_C(64)  /* head of another incarnation */
#define TPI_FAULT_UNSTEADY UINT32_C(128) /* head moved during every read */
/* Found by a member, which passed it over. They stay when it has. */
#define TPI_FAULT_STATE      UINT32_C(256) /* the lane's state was impossible */
#define TPI_FAULT_DESCRIPTOR UINT32_C(512) /* a descriptor was */
#define TPI_FAULTS_FOUND     (TPI_FAULT_STATE | TPI_FAULT_DESCRIPTOR)
#define TPI_FAULTS           10

/* "held", "gate", ... for bit number 0 .. TPI_FAULTS - 1. */
const char *tpi_fault_name(unsigned int bit);

/* A lane by itself. */
struct tpi_lane_account {
	uint64_t state;     /* as loaded */
	uint64_t tail;      /* positions */
	uint64_t gate;      /* as the lane's word says */
	uint64_t published; /* since the lane was born, modulo 2^48 */
	uint64_t dropped[TAPIO_DROP_CAUSES];
	uint64_t dropped_total;
	uint32_t used; /* positions that a gating group has yet to release */
	uint32_t held;
	uint32_t owner;  /* of a side lane */
	uint32_t faults; /* TPI_FAULT_HELD, TPI_FAULT_GATE */
};

/*
 * Reads it. `gating` says where the gate would be if a producer computed it now:
 * the word in the lane is as old as the last time that a producer needed room.
 * NULL: `used` is counted from that word, and may be too large.
 */
void tpi_lane_account_read(const struct tpi_lane *lane,
			   const struct tpi_gating *gating,
			   struct tpi_lane_account *account);

/* One group on one lane. All counts in positions. */
struct tpi_ledger {
	uint64_t start; /* positions */
	uint64_t head;
	uint64_t tail;
	uint64_t gate;
	uint64_t word; /* the head as loaded */
	uint64_t lease_word;
	uint64_t published; /* since start: the sum of the next four */
	uint64_t delivered; /* released, not merely handed out */
	uint64_t skipped;
	uint64_t lost;      /* overwritten before it was read */
	uint64_t in_flight; /* still to be read: at most N */
	uint64_t
		overrun; /* of lost: no member has noticed, it is in no tally */
	uint32_t held;
	uint32_t lease; /* the attachment that holds it */
	uint32_t want;
	uint32_t takeovers; /* from members that slept, so far */
	uint32_t peak;
	uint32_t faults; /* 0: it balances */
};

/* The group's own count of lost ones. */
static inline uint64_t tpi_ledger_tallied(const struct tpi_ledger *ledger)
{
	return ledger->lost - ledger->overrun;
}

/*
 * Reads the ledger of the group in a slot of a lane's channel. Exact as long as
 * fewer than 2^48 positions lie behind `start`. With a fault the counts are what
 * was read and need not add up.
 *
 * -ENOENT the slot has no active group. -EAGAIN its group is still joining, or
 * gave way to another one meanwhile.
 */
int tpi_ledger_read(const struct tpi_lane *lane,
		    const struct tapio_shm_group *group,
		    const struct tapio_shm_cursor *cursor,
		    struct tpi_ledger *ledger);

#endif
