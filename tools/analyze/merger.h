/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges partial results to windows, and closes these when all members are past their
 * end and the lateness.
 *
 * ONCE. A member makes its deltas known, and then releases the events. A kill between
 * the two gives the same events to another member, so they come in two deltas. Deltas
 * of a lane tell it by their positions:
 *
 *	... confirmed | a ..... b |            a candidate
 *	              | a ........... c |      another one: the events came again
 *	                            | d ...    begins behind c: c was released, b was not
 *
 * The last delta of a lane is kept as a candidate until one comes that begins behind it.
 * That one confirms the candidate that ends last before it, and the others are thrown
 * away, and counted. All deltas of a lane begin and end where releases do, so one chain
 * fits. Where a window must close before its candidates are confirmed, that candidate
 * of each lane counts which ends last: its events were read, and count once whatever
 * comes.
 *
 * A number that is not known to be whole is marked: `notes` of the result.
 */
#ifndef ANALYZE_MERGER_H
#define ANALYZE_MERGER_H

#include "tools/analyze/delta.h"

/* Why a window may not have all its events. */
#define AN_NOTE_LOST    0x01u /* events were lost, about then */
#define AN_NOTE_BEGAN   0x02u /* it began before the analysis */
#define AN_NOTE_STOPPED 0x04u /* the analysis ended before it */
#define AN_NOTE_CLOCK   0x08u /* the clock was set in it */
#define AN_NOTE_KEYS    0x10u /* keys found no room: counts of keys are at least */
#define AN_NOTE_MEMBER  0x20u /* a member fell silent, and may have had events */
#define AN_NOTE_MOVED   0x40u /* another broker's memory */
#define AN_NOTES        7u

struct an_result {
	int64_t start_ns;
	int64_t end_ns;
	const struct an_table *table;
	uint64_t events;
	uint64_t lost; /* while it was open */
	uint32_t notes;
};

struct an_totals {
	uint64_t events;
	uint64_t passed;
	uint64_t late; /* behind a window that was closed, and the old ones */
	uint64_t old;  /* long before the begin, see an_merger_begin_at() */
	uint64_t future;
	uint64_t untimed;
	uint64_t lost;
	uint64_t again; /* came twice, and counted once */
	uint64_t windows;
	uint64_t skipped; /* empty windows that were not shown */
	uint64_t refused; /* deltas that fit no chain */
};

struct an_merger;
typedef void an_result_fn(void *arg, const struct an_result *result);

/*
 * NULL: no memory. `began_ns`: events before it are not known (INT64_MIN: all are).
 * `silent_ns`: a member of which nothing is heard for so long is passed over.
 */
struct an_merger *an_merger_new(const struct an_spec *spec,
				struct an_budget *budget, int64_t began_ns,
				int64_t silent_ns, an_result_fn *result,
				void *arg);
void an_merger_free(struct an_merger *m);

/*
 * Windows that end before `floor_ns` are none: what is in them counts as old and late, such as
 * events with the time at which a process began that a collector has found running.
 */
void an_merger_begin_at(struct an_merger *m, int64_t floor_ns);

/* Slides that are open. */
uint32_t an_merger_open(const struct an_merger *m);

/* Announces a member, so that no window closes before it is heard. */
void an_merger_expect(struct an_merger *m, uint64_t member,
		      int64_t monotonic_ns);

/* Takes what is in a delta, and clears it. */
void an_merger_take(struct an_merger *m, struct an_delta *delta,
		    int64_t monotonic_ns);

/* Positions begin anew: nothing is a candidate any more. */
void an_merger_moved(struct an_merger *m, uint64_t lost);

/* Deltas themselves were lost, with all that was in them. */
void an_merger_lose(struct an_merger *m, uint64_t count);

/* From here on members leave for good, and none goes on with what they leave. */
void an_merger_ending(struct an_merger *m);

/* Closes what can be closed. */
void an_merger_look(struct an_merger *m, int64_t monotonic_ns);

/* Closes all. `whole`: nothing follows, so that the last window is whole. */
void an_merger_finish(struct an_merger *m, bool whole);

const struct an_totals *an_merger_totals(const struct an_merger *m);

#endif
