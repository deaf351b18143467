/* SPDX-License-Identifier: Apache-2.0 */
/* Deltas of a lane, each event once. See merger.h. */
#include <string.h>

#include "tools/analyze/merger_inner.h"

/* Lanes of one channel: more than any has. */
#define LANES_MAX 65536u

static struct an_lane *lane_of(struct an_merger *m, uint32_t number)
{
	if (number >= LANES_MAX)
		return NULL;
	if (number >= m->lane_room) {
		uint32_t room = m->lane_room ? m->lane_room : 16;
		struct an_lane **lanes;

		while (room <= number)
			room *= 2;
		lanes = an_grow(m->budget, m->lanes,
				m->lane_room * sizeof(*lanes),
				room * sizeof(*lanes));
		if (!lanes)
			return NULL;
		m->lanes = lanes;
		m->lane_room = room;
	}
	if (!m->lanes[number])
		m->lanes[number] =
			an_grow(m->budget, NULL, 0, sizeof(struct an_lane));
	return m->lanes[number];
}

/* Thrown away: another candidate has its events, too. */
static void drop(struct an_merger *m, struct an_delta *delta)
{
	m->totals.again += delta->events;
	an_delta_clear(delta, m->budget);
}

/* Fits no chain: whether it was counted is unknown. */
void an_chain_refuse(struct an_merger *m, struct an_delta *delta)
{
	m->totals.refused++;
	for (uint32_t i = 0; i < delta->pane_count; i++) {
		const int64_t start_ns =
			delta->panes[i].number * m->spec->slide_ns;

		an_merger_hole(m, start_ns, start_ns,
			       an_table_events(&delta->panes[i].table),
			       AN_NOTE_LOST);
	}
	m->totals.lost += delta->events;
	an_delta_clear(delta, m->budget);
}

/* Removes a pane of a delta. Its table is taken or freed before. */
static void remove_pane(struct an_delta *delta, uint32_t i)
{
	delta->panes[i] = delta->panes[--delta->pane_count];
}

static struct an_delta *best_of(struct an_lane *lane)
{
	struct an_delta *best = NULL;

	for (uint32_t i = 0; i < lane->count; i++)
		if (!best || lane->candidates[i].last > best->last)
			best = &lane->candidates[i];
	return best;
}

/* The candidate that ends last before a position. */
static struct an_delta *before(struct an_lane *lane, uint64_t first)
{
	struct an_delta *found = NULL;

	for (uint32_t i = 0; i < lane->count; i++) {
		struct an_delta *c = &lane->candidates[i];

		if (c->last < first && (!found || c->last > found->last))
			found = c;
	}
	return found;
}

static void confirm(struct an_merger *m, struct an_lane *lane,
		    struct an_delta *candidate)
{
	lane->is_confirmed = true;
	lane->confirmed = candidate->last;
	an_merger_fold(m, candidate);
	for (uint32_t i = 0; i < lane->count; i++)
		if (&lane->candidates[i] != candidate)
			drop(m, &lane->candidates[i]);
	lane->count = 0;
	lane->settled = 0;
	lane->has_settled = false;
}

/*
 * Panes of an alternative that were settled by another candidate. Events that it has on top of
 * that one came too late.
 */
static void leave_settled(struct an_merger *m, struct an_lane *lane,
			  struct an_delta *delta)
{
	uint64_t events = 0;

	for (uint32_t i = delta->pane_count; lane->has_settled && i > 0; i--) {
		struct an_pane *pane = &delta->panes[i - 1];

		if (pane->number > lane->settled_last)
			continue;
		events += an_table_events(&pane->table);
		an_table_free(&pane->table, m->budget);
		remove_pane(delta, i - 1);
	}
	if (events > lane->settled) {
		m->totals.late += events - lane->settled;
		lane->settled = events;
	}
}

static void keep(struct an_merger *m, struct an_lane *lane,
		 struct an_delta *delta)
{
	if (lane->count == AN_CANDIDATES) {
		uint32_t shortest = 0;

		for (uint32_t i = 1; i < lane->count; i++)
			if (lane->candidates[i].last <
			    lane->candidates[shortest].last)
				shortest = i;
		/* It may have been the one that was released. */
		an_chain_refuse(m, &lane->candidates[shortest]);
		lane->candidates[shortest] = lane->candidates[--lane->count];
	}
	if (lane->count)
		leave_settled(m, lane, delta);
	else if (!lane->is_confirmed && delta->began_ns > m->began_ns)
		m->began_ns = delta->began_ns;
	lane->is_known = true;
	lane->holder = delta->member;
	lane->candidates[lane->count++] = *delta;
	delta->panes = NULL;
	delta->pane_count = delta->pane_room = 0;
	an_delta_clear(delta, m->budget);
}

static bool is_known(const struct an_lane *lane, const struct an_delta *delta)
{
	for (uint32_t i = 0; i < lane->count; i++)
		if (lane->candidates[i].member == delta->member &&
		    lane->candidates[i].sequence == delta->sequence)
			return true;
	/*
	 * It begins at a head that others have moved on from, so its own release had no
	 * effect, and all its events came to them.
	 */
	return lane->is_confirmed && delta->first <= lane->confirmed;
}

void an_chain_take(struct an_merger *m, struct an_delta *delta)
{
	struct an_lane *lane = lane_of(m, delta->lane);
	struct an_delta *candidate;

	if (!lane || delta->last < delta->first) {
		an_chain_refuse(m, delta);
		return;
	}
	if (is_known(lane, delta)) {
		drop(m, delta);
		return;
	}
	candidate = before(lane, delta->first);
	if (candidate)
		confirm(m, lane, candidate);
	keep(m, lane, delta);
}

/* Panes up to `last` of the best candidate go to the windows, those of others away. */
static void settle_lane(struct an_merger *m, struct an_lane *lane, int64_t last)
{
	struct an_delta *best = best_of(lane);
	uint64_t settled = 0;

	for (uint32_t c = 0; c < lane->count; c++) {
		struct an_delta *delta = &lane->candidates[c];

		for (uint32_t i = delta->pane_count; i > 0; i--) {
			struct an_pane *pane = &delta->panes[i - 1];

			if (pane->number > last)
				continue;
			if (delta == best) {
				settled += an_table_events(&pane->table);
				an_merger_pane(m, pane);
			}
			an_table_free(&pane->table, m->budget);
			remove_pane(delta, i - 1);
		}
	}
	lane->settled += settled;
	lane->settled_last = last;
	lane->has_settled = true;
}

/* Calls `see` for the number of each pane of a candidate. */
static void for_each_pane(const struct an_merger *m,
			  void see(int64_t *result, int64_t number),
			  int64_t *result)
{
	for (uint32_t i = 0; i < m->lane_room; i++)
		for (uint32_t c = 0; m->lanes[i] && c < m->lanes[i]->count;
		     c++) {
			const struct an_delta *d = &m->lanes[i]->candidates[c];

			for (uint32_t p = 0; p < d->pane_count; p++)
				see(result, d->panes[p].number);
		}
}

static void see_first(int64_t *result, int64_t number)
{
	if (number < *result)
		*result = number;
}

static void see_last(int64_t *result, int64_t number)
{
	if (number > *result)
		*result = number;
}

int64_t an_chain_first(const struct an_merger *m)
{
	int64_t first = INT64_MAX;

	for_each_pane(m, see_first, &first);
	return first;
}

int64_t an_chain_last(const struct an_merger *m)
{
	int64_t last = INT64_MIN;

	for_each_pane(m, see_last, &last);
	return last;
}

uint64_t an_chain_gaps(const struct an_merger *m)
{
	uint64_t gaps = 0;

	for (uint32_t i = 0; i < m->lane_room; i++)
		if (m->lanes[i] && m->lanes[i]->count)
			gaps += best_of(m->lanes[i])->gaps;
	return gaps;
}

bool an_chain_holds(const struct an_merger *m, uint64_t member)
{
	for (uint32_t i = 0; i < m->lane_room; i++)
		if (m->lanes[i] && m->lanes[i]->is_known &&
		    m->lanes[i]->holder == member)
			return true;
	return false;
}

void an_chain_settle(struct an_merger *m, int64_t last)
{
	for (uint32_t i = 0; i < m->lane_room; i++)
		if (m->lanes[i] && m->lanes[i]->count)
			settle_lane(m, m->lanes[i], last);
}

void an_chain_end(struct an_merger *m)
{
	for (uint32_t i = 0; i < m->lane_room; i++) {
		struct an_lane *lane = m->lanes[i];

		if (lane && lane->count)
			confirm(m, lane, best_of(lane));
		an_give(m->budget, lane, sizeof(*lane));
		m->lanes[i] = NULL;
	}
}

void an_chain_free(struct an_merger *m)
{
	for (uint32_t i = 0; i < m->lane_room; i++) {
		for (uint32_t c = 0; m->lanes[i] && c < m->lanes[i]->count; c++)
			an_delta_clear(&m->lanes[i]->candidates[c], m->budget);
		an_give(m->budget, m->lanes[i], sizeof(struct an_lane));
	}
	an_give(m->budget, m->lanes, m->lane_room * sizeof(*m->lanes));
	m->lanes = NULL;
	m->lane_room = 0;
}
