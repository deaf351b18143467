/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partial result: the counts of one member since its last one, by panes. A pane is
 * the time of one slide, and a window is a row of panes.
 *
 * Where a member may die, a delta is of one lane and names the positions that it covers.
 * The merger tells from these whether the same events come again (merger.h).
 */
#ifndef ANALYZE_DELTA_H
#define ANALYZE_DELTA_H

#include "tools/analyze/table.h"

#define AN_LANE_NONE UINT32_MAX
/* The most of one delta. */
#define AN_DELTA_PANES 1024u

struct an_pane {
	int64_t number; /* time / slide, rounded down */
	struct an_table table;
};

struct an_delta {
	uint64_t member; /* its random name */
	uint64_t sequence;
	uint32_t lane;  /* AN_LANE_NONE: all that the member has */
	bool covers;    /* first and last are set */
	bool leaves;    /* the member ends */
	bool joins;     /* the member's first one */
	bool reset;     /* its clock was set back */
	bool moved;     /* it reads another broker's memory from here on */
	bool idle;      /* time goes on with events, and it has read all */
	uint64_t first; /* positions */
	uint64_t last;
	uint64_t events;  /* in the panes */
	uint64_t passed;  /* read, and not part of the analysis */
	uint64_t future;  /* too far ahead of the clock */
	uint64_t untimed; /* without a time */
	uint64_t lost;
	uint64_t gaps;       /* of these, in gaps that the channel told of */
	uint64_t group_lost; /* if it joins: the losses of the group by then */
	bool has_hole; /* something was lost, between these times by what is known */
	int64_t lost_from_ns;
	int64_t lost_to_ns;
	/*
	 * Windows that begin before it may have had events that were overwritten before
	 * the group began. Of a lane it counts in the first delta alone. INT64_MIN: none.
	 */
	int64_t began_ns;
	/* The member expects no earlier event. INT64_MIN: it does not know. */
	int64_t watermark_ns;
	uint32_t pane_count;
	uint32_t pane_room;
	struct an_pane *panes;
};

int64_t an_pane_of(const struct an_spec *spec, int64_t time_ns);

/* The pane of that number. NULL: there is no room for one more. */
struct an_pane *an_delta_pane(struct an_delta *d, struct an_budget *budget,
			      int64_t number);

/* Adds a sample. False: as above, and nothing was counted. */
bool an_delta_add(struct an_delta *d, const struct an_spec *spec,
		  struct an_budget *budget, const struct an_sample *sample);

/* Lost events, at some time between the two. */
void an_delta_lose(struct an_delta *d, uint64_t count, int64_t from_ns,
		   int64_t to_ns);

/* The first event of a lane that there is, which may not be the first that there was. */
void an_delta_begin(struct an_delta *d, const struct an_spec *spec,
		    int64_t time_ns);

/* That position was read. */
void an_delta_cover(struct an_delta *d, uint64_t position);

bool an_delta_is_empty(const struct an_delta *d);

/* Frees what it holds, and keeps member, lane and sequence. */
void an_delta_clear(struct an_delta *d, struct an_budget *budget);

#endif
