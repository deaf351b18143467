/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the merger alone. */
#ifndef ANALYZE_MERGER_INNER_H
#define ANALYZE_MERGER_INNER_H

#include "tools/analyze/merger.h"

/* Of a lane: so many members may die there without one release between. */
#define AN_CANDIDATES 16u
#define AN_HOLES      64u
#define AN_MEMBERS    256u
/* Empty windows in a row that are shown. */
#define AN_EMPTY_SHOWN 100

struct an_lane {
	bool is_known;
	uint64_t holder; /* whose delta came last */
	bool is_confirmed;
	uint64_t confirmed; /* up to and with this position */
	/* Panes up to this one went to windows, with so many events of candidates. */
	bool has_settled;
	int64_t settled_last;
	uint64_t settled;
	uint32_t count;
	struct an_delta candidates[AN_CANDIDATES];
};

struct an_member {
	uint64_t name;
	uint64_t sequence;    /* of its last delta */
	int64_t watermark_ns; /* INT64_MIN: not heard yet */
	int64_t heard_ns;     /* CLOCK_MONOTONIC */
	bool idle;
};

/* Something was missed between these times. */
struct an_hole {
	int64_t from_ns;
	int64_t to_ns;
	uint64_t lost;
	uint32_t note;
};

struct an_merger {
	const struct an_spec *spec;
	struct an_budget *budget;
	an_result_fn *result;
	void *arg;
	int64_t began_ns;
	int64_t silent_ns;
	int64_t floor; /* the first pane that counts. INT64_MIN: all do */
	int64_t watermark_ns;
	int64_t panes_a_window;
	int64_t next; /* the pane at which the next window ends */
	bool has_next;
	bool has_closed;
	bool silent_hole; /* one of `holes` has no end yet */
	bool is_ending;
	int64_t left_ns; /* the latest watermark of those that left and had read all */
	uint64_t gaps; /* events of gaps that members were told of */
	bool is_counted;
	uint64_t unseen; /* lost by the group, and no member was told */
	bool is_whole;   /* the end of the input is the end of it all */
	struct an_pane *panes;
	uint32_t pane_count;
	uint32_t pane_room;
	struct an_lane **lanes;
	uint32_t lane_room;
	struct an_member members[AN_MEMBERS];
	uint32_t member_count;
	struct an_hole holes[AN_HOLES];
	uint32_t hole_count;
	struct an_totals totals;
};

/* chain.c: a delta with positions. Clears it, or keeps it as a candidate. */
void an_chain_take(struct an_merger *m, struct an_delta *delta);
void an_chain_refuse(struct an_merger *m, struct an_delta *delta);
/* The best of each lane goes to the panes, for those up to `last`. */
void an_chain_settle(struct an_merger *m, int64_t last);
/* Whether the last that was heard of some lane is of that member. */
bool an_chain_holds(const struct an_merger *m, uint64_t member);
/* The earliest and the latest pane of candidates. INT64_MAX, INT64_MIN: there is none. */
int64_t an_chain_first(const struct an_merger *m);
int64_t an_chain_last(const struct an_merger *m);
/* Events of gaps in the best candidates. */
uint64_t an_chain_gaps(const struct an_merger *m);
/* Settles all, and forgets the lanes: positions begin anew, or all ends. */
void an_chain_end(struct an_merger *m);
void an_chain_free(struct an_merger *m);

/* merger.c */
/* Counts what is in a delta, and clears it. */
void an_merger_fold(struct an_merger *m, struct an_delta *delta);
/* Merges a pane, and may take its table. */
void an_merger_pane(struct an_merger *m, struct an_pane *pane);
void an_merger_hole(struct an_merger *m, int64_t from_ns, int64_t to_ns,
		    uint64_t lost, uint32_t note);

#endif
