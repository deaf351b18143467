/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of partial results. See merger.h. */
#include "tools/analyze/merger.h"

#include <stdlib.h>
#include <string.h>

#include "tools/analyze/merger_inner.h"

/* Panes that are open at once: of clocks that differ by days. */
#define PANES_MAX   65536u
#define PANES_FIRST 16u

struct an_merger *an_merger_new(const struct an_spec *spec,
				struct an_budget *budget, int64_t began_ns,
				int64_t silent_ns, an_result_fn *result,
				void *arg)
{
	struct an_merger *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->spec = spec;
	m->budget = budget;
	m->result = result;
	m->arg = arg;
	m->began_ns = began_ns;
	m->is_counted = began_ns == INT64_MIN;
	m->silent_ns = silent_ns;
	m->watermark_ns = m->left_ns = m->floor = INT64_MIN;
	m->panes_a_window = spec->window_ns / spec->slide_ns;
	/* At once, so that keys do not leave it without. */
	m->panes = an_grow(budget, NULL, 0, PANES_FIRST * sizeof(*m->panes));
	if (!m->panes) {
		free(m);
		return NULL;
	}
	m->pane_room = PANES_FIRST;
	return m;
}

void an_merger_free(struct an_merger *m)
{
	if (!m)
		return;
	an_chain_free(m);
	for (uint32_t i = 0; i < m->pane_count; i++)
		an_table_free(&m->panes[i].table, m->budget);
	an_give(m->budget, m->panes, m->pane_room * sizeof(*m->panes));
	free(m);
}

void an_merger_begin_at(struct an_merger *m, int64_t floor_ns)
{
	m->floor = an_pane_of(m->spec, floor_ns);
}

uint32_t an_merger_open(const struct an_merger *m)
{
	return m->pane_count;
}

const struct an_totals *an_merger_totals(const struct an_merger *m)
{
	return &m->totals;
}

/* ---- what is missing ------------------------------------------------------- */

void an_merger_hole(struct an_merger *m, int64_t from_ns, int64_t to_ns,
		    uint64_t lost, uint32_t note)
{
	struct an_hole *hole;

	/* Out of room: the last one takes it in, and says more than is known. */
	if (m->hole_count == AN_HOLES) {
		hole = &m->holes[AN_HOLES - 1];
		if (from_ns < hole->from_ns)
			hole->from_ns = from_ns;
		if (to_ns > hole->to_ns)
			hole->to_ns = to_ns;
		hole->lost += lost;
		hole->note |= note;
		return;
	}
	m->holes[m->hole_count++] =
		(struct an_hole){from_ns, to_ns, lost, note};
}

/* Those that concern no window any more go. */
static void forget_holes(struct an_merger *m, int64_t start_ns)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->hole_count; i++)
		if (m->holes[i].to_ns >= start_ns)
			m->holes[kept++] = m->holes[i];
	m->hole_count = kept;
}

/* Any time is possible that is not closed yet, and that something has come from. */
static void lose_at_any_time(struct an_merger *m, uint64_t count, uint32_t note)
{
	const int64_t from_ns =
		m->has_closed ? m->next * m->spec->slide_ns : INT64_MIN;
	int64_t to_ns = m->watermark_ns, last = an_chain_last(m);

	if (m->pane_count && m->panes[m->pane_count - 1].number > last)
		last = m->panes[m->pane_count - 1].number;
	if (last != INT64_MIN && last * m->spec->slide_ns > to_ns)
		to_ns = last * m->spec->slide_ns;
	m->totals.lost += count;
	an_merger_hole(m, from_ns, to_ns, count, note);
}

void an_merger_lose(struct an_merger *m, uint64_t count)
{
	lose_at_any_time(m, count, AN_NOTE_LOST);
}

/* ---- panes ----------------------------------------------------------------- */

/* Where a pane is, or belongs. */
static uint32_t place_of(const struct an_merger *m, int64_t number)
{
	uint32_t place = m->pane_count;

	while (place && m->panes[place - 1].number >= number)
		place--;
	return place;
}

static struct an_pane *pane_of(struct an_merger *m, int64_t number)
{
	const uint32_t place = place_of(m, number);

	if (place < m->pane_count && m->panes[place].number == number)
		return &m->panes[place];
	if (m->pane_count == m->pane_room) {
		uint32_t room = 2 * m->pane_room;
		struct an_pane *panes;

		panes = room > PANES_MAX
				? NULL
				: an_grow(m->budget, m->panes,
					  m->pane_room * sizeof(*panes),
					  room * sizeof(*panes));
		if (!panes)
			return NULL;
		m->panes = panes;
		m->pane_room = room;
	}
	memmove(m->panes + place + 1, m->panes + place,
		(m->pane_count - place) * sizeof(*m->panes));
	m->pane_count++;
	m->panes[place] = (struct an_pane){.number = number};
	return &m->panes[place];
}

void an_merger_pane(struct an_merger *m, struct an_pane *pane)
{
	const uint64_t events = an_table_events(&pane->table);
	struct an_pane *to;

	m->totals.events += events;
	if (pane->number < m->floor) {
		m->totals.old += events;
		m->totals.late += events;
		return;
	}
	if (!m->has_next || (!m->has_closed && pane->number < m->next)) {
		m->next = pane->number;
		m->has_next = true;
	}
	if (pane->number < m->next)
		m->totals.late += events;
	if (pane->number <= m->next - m->panes_a_window)
		return;
	to = pane_of(m, pane->number);
	if (!to) {
		m->totals.lost += events;
		an_merger_hole(m, pane->number * m->spec->slide_ns,
			       pane->number * m->spec->slide_ns, events,
			       AN_NOTE_LOST);
		return;
	}
	if (!to->table.used && !to->table.has_other) {
		an_table_free(&to->table, m->budget);
		to->table = pane->table;
		pane->table = (struct an_table){0};
		return;
	}
	an_table_merge(&to->table, m->spec, m->budget, &pane->table);
}

static void forget_panes(struct an_merger *m, int64_t first)
{
	uint32_t gone = 0;

	while (gone < m->pane_count && m->panes[gone].number < first)
		an_table_free(&m->panes[gone++].table, m->budget);
	memmove(m->panes, m->panes + gone,
		(m->pane_count - gone) * sizeof(*m->panes));
	m->pane_count -= gone;
}

/* ---- deltas ---------------------------------------------------------------- */

void an_merger_fold(struct an_merger *m, struct an_delta *delta)
{
	for (uint32_t i = 0; i < delta->pane_count; i++)
		an_merger_pane(m, &delta->panes[i]);
	m->totals.passed += delta->passed;
	m->totals.future += delta->future;
	m->totals.untimed += delta->untimed;
	m->totals.lost += delta->lost;
	m->gaps += delta->gaps;
	if (delta->lane == AN_LANE_NONE && delta->began_ns > m->began_ns)
		m->began_ns = delta->began_ns;
	if (delta->has_hole)
		an_merger_hole(m, delta->lost_from_ns, delta->lost_to_ns,
			       delta->lost, AN_NOTE_LOST);
	an_delta_clear(delta, m->budget);
}

static struct an_member *member_of(struct an_merger *m, uint64_t name)
{
	for (uint32_t i = 0; i < m->member_count; i++)
		if (m->members[i].name == name)
			return &m->members[i];
	if (m->member_count == AN_MEMBERS)
		return NULL;
	m->members[m->member_count] =
		(struct an_member){.name = name, .watermark_ns = INT64_MIN};
	return &m->members[m->member_count++];
}

static void forget_member(struct an_merger *m, struct an_member *member)
{
	*member = m->members[--m->member_count];
}

void an_merger_expect(struct an_merger *m, uint64_t name, int64_t monotonic_ns)
{
	struct an_member *member = member_of(m, name);

	if (member)
		member->heard_ns = monotonic_ns;
}

static void close_all(struct an_merger *m);

/* The clock is behind what was closed: the same times come again. */
static void start_anew(struct an_merger *m, int64_t now_ns)
{
	const int64_t before_ns = m->watermark_ns;

	an_merger_hole(m, now_ns, before_ns, 0, AN_NOTE_CLOCK);
	close_all(m);
	m->has_next = m->has_closed = false;
	m->hole_count = 0;
	an_merger_hole(m, now_ns - m->spec->lateness_ns, before_ns, 0,
		       AN_NOTE_CLOCK);
	for (uint32_t i = 0; i < m->member_count; i++)
		m->members[i].watermark_ns = now_ns;
	m->watermark_ns = now_ns;
}

static void hear(struct an_merger *m, const struct an_delta *delta,
		 int64_t monotonic_ns)
{
	struct an_member *member = member_of(m, delta->member);

	if (!member)
		return;
	member->heard_ns = monotonic_ns;
	if (delta->reset &&
	    m->watermark_ns > delta->watermark_ns + m->spec->lateness_ns)
		start_anew(m, delta->watermark_ns);
	if (delta->watermark_ns > member->watermark_ns)
		member->watermark_ns = delta->watermark_ns;
	member->idle = delta->idle;
	if (delta->leaves && delta->idle && delta->watermark_ns > m->left_ns)
		m->left_ns = delta->watermark_ns;
	if (delta->leaves && (delta->idle || !m->is_ending))
		forget_member(m, member);
}

/*
 * Whether a delta comes behind those that its member has made before. They come so, since the
 * channel's events are merged by their stamps. Chains rely on it.
 */
static bool in_turn(struct an_merger *m, const struct an_delta *delta)
{
	struct an_member *member = member_of(m, delta->member);
	bool ok;

	if (!member)
		return true;
	ok = delta->sequence > member->sequence;
	if (ok)
		member->sequence = delta->sequence;
	return ok;
}

/*
 * A group without members loses what is overwritten, and its next member is told of no gap.
 * The group's ledger at that moment is the sum of losses that members were told of, and
 * others. Each gap that it counts was released, and so was known here before.
 */
static void count_unseen(struct an_merger *m, uint64_t group_lost)
{
	const uint64_t told = m->gaps + an_chain_gaps(m) + m->unseen;

	/* Losses before the first member are before our time. */
	if (m->is_counted && group_lost > told)
		lose_at_any_time(m, group_lost - told, AN_NOTE_LOST);
	if (group_lost > told)
		m->unseen += group_lost - told;
	m->is_counted = true;
}

static void take_lane(struct an_merger *m, struct an_delta *delta)
{
	if (in_turn(m, delta))
		an_chain_take(m, delta);
	else
		an_chain_refuse(m, delta);
}

void an_merger_take(struct an_merger *m, struct an_delta *delta,
		    int64_t monotonic_ns)
{
	const struct an_delta said = {.member = delta->member,
				      .reset = delta->reset,
				      .leaves = delta->leaves,
				      .idle = delta->idle,
				      .watermark_ns = delta->watermark_ns};

	if (said.reset)
		hear(m, &said, monotonic_ns);
	if (delta->moved)
		an_merger_moved(m, 0);
	if (delta->joins)
		count_unseen(m, delta->group_lost);
	if (delta->lane != AN_LANE_NONE && delta->covers)
		take_lane(m, delta);
	else
		an_merger_fold(m, delta);
	if (!said.reset)
		hear(m, &said, monotonic_ns);
}

void an_merger_moved(struct an_merger *m, uint64_t lost)
{
	an_chain_end(m);
	/* So does the group's ledger. */
	m->gaps = m->unseen = 0;
	m->is_counted = false;
	lose_at_any_time(m, lost, AN_NOTE_MOVED);
}

/* ---- closing --------------------------------------------------------------- */

static void note(const struct an_merger *m, struct an_result *r)
{
	if (r->start_ns < m->began_ns)
		r->notes |= AN_NOTE_BEGAN;
	if (r->table->has_other)
		r->notes |= AN_NOTE_KEYS;
	for (uint32_t i = 0; i < m->hole_count; i++) {
		const struct an_hole *hole = &m->holes[i];

		if (hole->from_ns >= r->end_ns || hole->to_ns < r->start_ns)
			continue;
		r->notes |= hole->note;
		r->lost += hole->lost;
	}
}

/* The window that ends with the pane `next`. */
static void close_next(struct an_merger *m, uint32_t notes)
{
	const int64_t first = m->next - m->panes_a_window + 1;
	struct an_table sum = {0};
	struct an_result result = {
		.start_ns = first * m->spec->slide_ns,
		.end_ns = (m->next + 1) * m->spec->slide_ns,
		.notes = notes,
	};
	uint32_t begin, end;

	an_chain_settle(m, m->next);
	begin = place_of(m, first);
	end = place_of(m, m->next + 1);
	result.table = &sum;
	if (end - begin == 1)
		result.table = &m->panes[begin].table;
	else
		for (uint32_t i = begin; i < end; i++)
			an_table_merge(&sum, m->spec, m->budget,
				       &m->panes[i].table);
	result.events = an_table_events(result.table);
	note(m, &result);
	m->totals.windows++;
	m->result(m->arg, &result);
	an_table_free(&sum, m->budget);
	m->next++;
	m->has_closed = true;
	forget_panes(m, first + 1);
	forget_holes(m, (first + 1) * m->spec->slide_ns);
}

/* Passes over a long time without events. */
static void skip_empty(struct an_merger *m, int64_t last)
{
	int64_t target = an_chain_first(m);

	if (m->pane_count && m->panes[0].number < target)
		target = m->panes[0].number;
	if (target > last + 1)
		target = last + 1;
	if (target <= m->next || target - m->next <= AN_EMPTY_SHOWN)
		return;
	m->totals.skipped += (uint64_t)(target - m->next);
	m->next = target;
}

/*
 * If others have gone on with all its lanes, nothing is missing: they got what it had not
 * released. Of a lane that nobody has gone on with, this is not known.
 */
static void give_up(struct an_merger *m, struct an_member *member)
{
	if (an_chain_holds(m, member->name)) {
		an_merger_hole(m, member->watermark_ns, INT64_MAX, 0,
			       AN_NOTE_MEMBER);
		m->silent_hole = true;
	}
	forget_member(m, member);
}

/* Those that have not been heard for long hold nothing up any more. */
static void pass_over_silent(struct an_merger *m, int64_t monotonic_ns)
{
	for (uint32_t i = m->member_count; m->silent_ns && i > 0; i--) {
		struct an_member *member = &m->members[i - 1];

		if (monotonic_ns - member->heard_ns < m->silent_ns)
			continue;
		give_up(m, member);
	}
}

/* A silent member's hole ends where the others were when it was given up. */
static void end_silent_holes(struct an_merger *m)
{
	for (uint32_t i = 0; m->silent_hole && i < m->hole_count; i++)
		if (m->holes[i].note & AN_NOTE_MEMBER &&
		    m->holes[i].to_ns == INT64_MAX)
			m->holes[i].to_ns = m->watermark_ns;
	m->silent_hole = false;
}

/*
 * The slowest member says how far all are. One that has read all holds nothing up, and when
 * all have, the latest event does.
 */
static void advance(struct an_merger *m)
{
	int64_t slowest_ns = INT64_MAX, latest_ns = m->left_ns;

	for (uint32_t i = 0; i < m->member_count; i++) {
		const struct an_member *member = &m->members[i];

		if (member->watermark_ns > latest_ns)
			latest_ns = member->watermark_ns;
		if (!member->idle && member->watermark_ns < slowest_ns)
			slowest_ns = member->watermark_ns;
	}
	if (slowest_ns == INT64_MAX)
		slowest_ns = latest_ns;
	/* Without members there is nothing to wait for, and nothing new. */
	if (slowest_ns > m->watermark_ns)
		m->watermark_ns = slowest_ns;
}

/* A first window without events, so that silence shows from the begin. */
static void begin_empty(struct an_merger *m)
{
	int64_t first;

	if (m->has_next || m->watermark_ns == INT64_MIN ||
	    m->began_ns == INT64_MIN)
		return;
	first = an_chain_first(m);
	m->next = an_pane_of(m->spec, m->began_ns);
	if (first < m->next)
		m->next = first;
	m->has_next = true;
}

void an_merger_ending(struct an_merger *m)
{
	m->is_ending = true;
}

void an_merger_look(struct an_merger *m, int64_t monotonic_ns)
{
	const int64_t late_ns = m->spec->lateness_ns;
	int64_t last;

	pass_over_silent(m, monotonic_ns);
	advance(m);
	end_silent_holes(m);
	if (m->watermark_ns == INT64_MIN)
		return;
	begin_empty(m);
	if (!m->has_next) {
		int64_t first = an_chain_first(m);

		if (first == INT64_MAX)
			return;
		m->next = first;
		m->has_next = true;
	} else if (!m->has_closed && an_chain_first(m) < m->next) {
		m->next = an_chain_first(m);
	}
	last = an_pane_of(m->spec, m->watermark_ns - late_ns) - 1;
	while (m->next <= last) {
		skip_empty(m, last);
		if (m->next <= last)
			close_next(m, 0);
	}
}

static void close_all(struct an_merger *m)
{
	an_chain_end(m);
	if (!m->has_next || !m->pane_count)
		return;
	while (m->pane_count && m->panes[m->pane_count - 1].number >= m->next) {
		int64_t end_ns;

		skip_empty(m, m->panes[m->pane_count - 1].number);
		end_ns = (m->next + 1) * m->spec->slide_ns;
		close_next(m, m->is_whole || end_ns <= m->watermark_ns
				      ? 0
				      : AN_NOTE_STOPPED);
	}
}

void an_merger_finish(struct an_merger *m, bool whole)
{
	m->is_whole = whole;
	for (uint32_t i = m->member_count; m->silent_ns && i > 0; i--)
		if (!an_chain_holds(m, m->members[i - 1].name))
			forget_member(m, &m->members[i - 1]);
	advance(m);
	close_all(m);
}
