/* SPDX-License-Identifier: Apache-2.0 */
/* Partial results. See the header. */
#include "tools/analyze/delta.h"

int64_t an_pane_of(const struct an_spec *spec, int64_t time_ns)
{
	int64_t number = time_ns / spec->slide_ns;

	return time_ns % spec->slide_ns < 0 ? number - 1 : number;
}

static bool more_panes(struct an_delta *d, struct an_budget *budget)
{
	const uint32_t room = d->pane_room ? 2 * d->pane_room : 2;
	struct an_pane *panes;

	if (room > AN_DELTA_PANES)
		return false;
	panes = an_grow(budget, d->panes, d->pane_room * sizeof(*panes),
			room * sizeof(*panes));
	if (!panes)
		return false;
	d->panes = panes;
	d->pane_room = room;
	return true;
}

struct an_pane *an_delta_pane(struct an_delta *d, struct an_budget *budget,
			      int64_t number)
{
	struct an_pane *pane;

	/* The newest is the likeliest. */
	for (uint32_t i = d->pane_count; i > 0; i--)
		if (d->panes[i - 1].number == number)
			return &d->panes[i - 1];
	if (d->pane_count == d->pane_room && !more_panes(d, budget))
		return NULL;
	pane = &d->panes[d->pane_count++];
	*pane = (struct an_pane){.number = number};
	return pane;
}

bool an_delta_add(struct an_delta *d, const struct an_spec *spec,
		  struct an_budget *budget, const struct an_sample *sample)
{
	struct an_pane *pane =
		an_delta_pane(d, budget, an_pane_of(spec, sample->time_ns));

	if (!pane)
		return false;
	an_table_add(&pane->table, spec, budget, sample);
	d->events++;
	return true;
}

void an_delta_lose(struct an_delta *d, uint64_t count, int64_t from_ns,
		   int64_t to_ns)
{
	if (!d->has_hole || from_ns < d->lost_from_ns)
		d->lost_from_ns = from_ns;
	if (!d->has_hole || to_ns > d->lost_to_ns)
		d->lost_to_ns = to_ns;
	d->has_hole = true;
	d->lost += count;
}

void an_delta_begin(struct an_delta *d, const struct an_spec *spec,
		    int64_t time_ns)
{
	/* Events around it may have come before it. */
	const int64_t began_ns =
		(an_pane_of(spec, time_ns) + 1) * spec->slide_ns;

	if (began_ns > d->began_ns)
		d->began_ns = began_ns;
}

void an_delta_cover(struct an_delta *d, uint64_t position)
{
	if (!d->covers || position < d->first)
		d->first = position;
	if (!d->covers || position > d->last)
		d->last = position;
	d->covers = true;
}

bool an_delta_is_empty(const struct an_delta *d)
{
	return !d->covers && !d->events && !d->passed && !d->future &&
	       !d->untimed && !d->has_hole;
}

void an_delta_clear(struct an_delta *d, struct an_budget *budget)
{
	const struct an_delta kept = {.member = d->member,
				      .sequence = d->sequence,
				      .lane = d->lane,
				      .began_ns = INT64_MIN,
				      .watermark_ns = INT64_MIN};

	for (uint32_t i = 0; i < d->pane_count; i++)
		an_table_free(&d->panes[i].table, budget);
	an_give(budget, d->panes, d->pane_room * sizeof(*d->panes));
	*d = kept;
}
