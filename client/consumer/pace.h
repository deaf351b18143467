/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When it is better to look less often. Called by tapio_poll alone.
 *
 * A reader that is faster than its producer finds an event or two at each look, and
 * each look takes the line of the lane's state away from the producer, who wants it
 * back for the next commit. Then both run at the speed at which that line changes
 * hands. If the reader leaves the line alone for a while, the producer makes the most
 * of its own speed, and the next look finds dozens of events.
 *
 * But a producer with a rate of its own publishes no faster when it is left alone, and
 * then looking away is latency for nothing. No single look tells the two apart. So it is
 * tried:
 *
 *             PACE_PROBE close looks                     events came faster:
 *             that found little                          at 3/4 of the time
 *   +-------+ ---------------------> +-------+ ----------------------> +-------+
 *   | BARE  |                        | TRIAL |                         | PACED |
 *   +-------+ <--------------------- +-------+                         +-------+
 *     ^   ^     a pause, or enough       | in vain                         |
 *     |   |                              v                                 |
 *     |   |                          +-------+                             |
 *     |   +------------------------- | REST  |                             |
 *     |       `rest` looks are over  +-------+                             |
 *     +--------------------------------------------------------------------+
 *         PACE_TERM looks are over, or many of them were pauses
 *
 *   BARE, REST    looks at will. BARE measures the time from event to event
 *   TRIAL, PACED  a look comes no earlier than `away` after the end of the last one that
 *                 found something. The time that the caller spends with events counts
 *
 * The judge is the time from event to event over all looks of a probe, whether they
 * were found at the first look of a call or after waiting for them, since a look
 * that finds nothing has taken the line away, too. Events that are farther apart than
 * PACE_MOST_NS are a pause: latency is what matters then. A trial costs PACE_PROBE
 * looks that come late. So a rest becomes twice as long each time, up to PACE_REST_MOST
 * looks, and a success ends that. It does not last for ever either, since rates change:
 * after PACE_TERM looks the probe is made again.
 *
 * The clock is the TSC, and no limit is known before the broker has measured its rate.
 * Until then looks are at will.
 */
#ifndef TPI_PACE_H
#define TPI_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/atomic.h"
#include "lib/base/tsc.h"

#define PACE_MOST_NS    1000 /* that a look comes late; and what is a pause */
#define PACE_PROBE      8    /* looks of BARE, and of TRIAL */
#define PACE_ENOUGH     24   /* new events at one look: it need not be rarer */
#define PACE_TARGET     64   /* .. that a look is to find, if time allows */
#define PACE_TERM       2048 /* looks of PACED */
#define PACE_REST_LEAST 1024 /* looks of the first REST */
#define PACE_REST_MOST  65536

enum tpi_pace_phase {
	TPI_PACE_BARE,
	TPI_PACE_TRIAL,
	TPI_PACE_PACED,
	TPI_PACE_REST,
};

/* Times in ticks of the TSC. */
struct tpi_pace {
	uint64_t looked; /* when the last look that found news was over */
	uint64_t
		fresh; /* positions that looks since then saw for the first time */
	uint64_t away; /* so long after it there is no other. 0: look at will */
	uint64_t most; /* PACE_MOST_NS. 0: not known yet */
	uint64_t ticks;      /* of the probe */
	uint64_t events;     /* .. that were found in that time */
	uint64_t bare_ticks; /* of the last BARE */
	uint64_t bare_events;
	enum tpi_pace_phase phase;
	uint32_t
		looks; /* BARE, TRIAL: that count. PACED, REST: that are left */
	uint32_t pauses; /* PACED: each is PACE_PROBE, and any other look -1 */
	uint32_t rest;   /* how long the last REST was. 0: there was none */
	bool more;       /* a lane has more that was seen, and not handed out */
	bool behind; /* and views were missing for it: the next look is at once */
};

/* A clock of which ns = ticks * mult >> shift. mult 0: its rate is not known. */
void tpi_pace_clock(struct tpi_pace *pace, uint64_t mult, uint32_t shift);

/*
 * At `now` a look is over that has found pace->fresh new positions, which is not 0. No
 * time is needed, and `now` is anything, in a REST.
 */
void tpi_pace_news(struct tpi_pace *pace, uint64_t now);

/* Before a call looks for the first time. */
static inline void tpi_pace_look_away(struct tpi_pace *pace)
{
	if (__builtin_expect(!pace->away, 1) || pace->behind)
		return;
	while (tpi_tsc() - pace->looked < pace->away)
		tpi_cpu_relax();
}

/* A call returns views, and all of them are `full`. */
static inline void tpi_pace_note(struct tpi_pace *pace, bool full)
{
	pace->behind = full && pace->more;
	if (pace->fresh)
		tpi_pace_news(pace,
			      pace->phase == TPI_PACE_REST ? 0 : tpi_tsc());
}

#endif
