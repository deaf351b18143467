/* SPDX-License-Identifier: Apache-2.0 */
/* A member at work. See the header. */
#include "tools/analyze/member.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/common/tool.h"

#define BATCH 256u
/* Nothing that is called a time lies behind it: the year 2116. */
#define TIME_MAX (INT64_MAX / 2)

/* One lane, as the member knows it. */
struct lane {
	int64_t time_ns; /* of its latest event. INT64_MIN: none */
	bool is_read;
	bool begins;    /* its first event may not be the lane's first one */
	bool touched;   /* has had events since all was read */
	bool open_hole; /* events were lost, and none has come since */
	uint32_t held;
	struct an_delta delta; /* by_lane */
};

struct an_member_reader {
	struct an_member_options o;
	struct tapio_consumer *consumer;
	struct an_delta delta; /* not by_lane, and what is of no lane */
	struct lane *lanes;
	uint32_t lane_room;
	uint64_t sequence;
	int64_t watermark_ns;
	int64_t latest_ns;  /* of all events */
	int64_t offset_ns;  /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	int64_t flushed_ns; /* CLOCK_MONOTONIC */
	bool full;          /* a lane has as many as it may hold */
	bool reset;
	bool is_idle;
	bool is_first; /* it has not read all that there was at first */
	struct tapio_view views[BATCH];
	struct an_sample sample;
};

static int64_t realtime_ns(void)
{
	return (int64_t)tpi_clock_read_ns(CLOCK_REALTIME);
}

/* Says what the group has lost so far, before anything is read. */
static void join(struct an_member_reader *r)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	if (!r->o.by_lane || tapio_consumer_stats_read(r->consumer, &stats))
		return;
	r->delta.joins = true;
	r->delta.group_lost = stats.lost;
}

struct an_member_reader *an_member_new(const struct an_member_options *options,
				       struct tapio_consumer *consumer)
{
	struct an_member_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->o = *options;
	r->consumer = consumer;
	r->watermark_ns = r->latest_ns = INT64_MIN;
	r->flushed_ns = tpi_monotonic_ns();
	r->offset_ns = realtime_ns() - r->flushed_ns;
	r->sequence = 1;
	r->is_first = options->from_oldest;
	r->delta.lane = AN_LANE_NONE;
	r->delta.member = options->name;
	r->delta.began_ns = r->delta.watermark_ns = INT64_MIN;
	join(r);
	return r;
}

void an_member_free(struct an_member_reader *r)
{
	if (!r)
		return;
	an_delta_clear(&r->delta, r->o.budget);
	for (uint32_t i = 0; i < r->lane_room; i++)
		an_delta_clear(&r->lanes[i].delta, r->o.budget);
	an_give(r->o.budget, r->lanes, r->lane_room * sizeof(*r->lanes));
	tapio_consumer_close(r->consumer);
	free(r);
}

struct tapio_consumer *an_member_consumer(struct an_member_reader *r)
{
	return r->consumer;
}

static struct lane *lane_of(struct an_member_reader *r, uint32_t number)
{
	if (number >= r->lane_room) {
		uint32_t room = r->lane_room ? r->lane_room : 8;
		struct lane *lanes;

		while (room <= number)
			room *= 2;
		lanes = an_grow(r->o.budget, r->lanes,
				r->lane_room * sizeof(*lanes),
				room * sizeof(*lanes));
		if (!lanes)
			return NULL;
		for (uint32_t i = r->lane_room; i < room; i++) {
			lanes[i].time_ns = INT64_MIN;
			lanes[i].delta.lane = i;
			lanes[i].delta.member = r->o.name;
			lanes[i].delta.began_ns = INT64_MIN;
			lanes[i].delta.watermark_ns = INT64_MIN;
		}
		r->lanes = lanes;
		r->lane_room = room;
	}
	return &r->lanes[number];
}

/* ---- events ---------------------------------------------------------------- */

static void lose(struct lane *lane, struct an_delta *delta, uint64_t count,
		 int64_t now_ns)
{
	/* To the next event of the lane, which will tell. */
	an_delta_lose(delta, count, lane->time_ns, now_ns);
	lane->open_hole = true;
}

/* By the clock that the analysis goes by. */
static int64_t lost_until_ns(const struct an_member_reader *r, int64_t now_ns)
{
	return r->o.by_events ? r->latest_ns : now_ns;
}

static struct an_delta *delta_of(struct an_member_reader *r, struct lane *lane,
				 const struct tapio_view *view)
{
	/* Positions of the memory before are not those of the lane. */
	return r->o.by_lane && !(view->flags & TAPIO_VIEW_FORMER) ? &lane->delta
								  : &r->delta;
}

static void take_gap(struct an_member_reader *r, const struct tapio_view *view,
		     int64_t now_ns)
{
	struct lane *lane;
	struct an_delta *delta;
	struct tapio_gap gap = {0};

	memcpy(&gap, view->data,
	       view->length < sizeof(gap) ? view->length : sizeof(gap));
	if (gap.cause == TAPIO_GAP_INSTANCE) {
		/* The memory before it is read, and lanes begin anew. */
		if (gap.count + gap.first)
			an_delta_lose(&r->delta, gap.count + gap.first,
				      INT64_MIN, now_ns);
		r->delta.moved = true;
		return;
	}
	lane = lane_of(r, view->lane);
	if (!lane) {
		an_delta_lose(&r->delta, gap.count, INT64_MIN, now_ns);
		return;
	}
	delta = delta_of(r, lane, view);
	an_delta_cover(delta, gap.first);
	an_delta_cover(delta, gap.last);
	/* What lay there before the group is not in its ledger. */
	if (!r->is_first)
		delta->gaps += gap.count;
	lose(lane, delta, gap.count, lost_until_ns(r, now_ns));
}

/* An event without fields that can be read still has a type and a severity. */
static void open_view(struct tapio_event_view *event,
		      const struct tapio_view *view)
{
	if (!tapio_event_view_open(event, view))
		return;
	memset(&event->header, 0, sizeof(event->header));
	event->header.type = view->type;
	event->header.severity = view->severity;
	event->type = NULL;
}

static void count(struct an_member_reader *r, struct lane *lane,
		  struct an_delta *delta, int64_t now_ns)
{
	const struct an_spec *spec = r->o.spec;
	const int64_t time_ns = r->sample.time_ns;

	if (!time_ns) {
		delta->untimed++;
		return;
	}
	if (time_ns > TIME_MAX || time_ns > now_ns + spec->future_ns) {
		delta->future++;
		return;
	}
	if (lane->begins)
		an_delta_begin(delta, r->o.spec, time_ns);
	lane->begins = false;
	if (lane->open_hole)
		an_delta_lose(delta, 0, lane->time_ns, time_ns);
	lane->open_hole = false;
	if (time_ns > lane->time_ns)
		lane->time_ns = time_ns;
	if (time_ns > r->latest_ns)
		r->latest_ns = time_ns;
	if (!an_delta_add(delta, spec, r->o.budget, &r->sample))
		an_delta_lose(delta, 1, time_ns, time_ns);
}

/*
 * Of what was there at first, nothing tells how much was overwritten before. Lanes that
 * come later are new, or were another member's.
 */
static void begin_lane(struct an_member_reader *r, struct lane *lane,
		       uint32_t number)
{
	const uint32_t bit = UINT32_C(1) << number % 32;

	lane->is_read = true;
	if (!r->is_first || number >= AN_LANES_SEEN)
		return;
	/* Relaxed: a member that takes a lane over has come to it by its lease. */
	lane->begins =
		!r->o.seen ||
		!(tpi_or_relaxed(&r->o.seen->bits[number / 32], bit) & bit);
}

static void take_event(struct an_member_reader *r,
		       const struct tapio_view *view, int64_t now_ns)
{
	const struct an_spec *spec = r->o.spec;
	struct lane *lane = lane_of(r, view->lane);
	struct tapio_event_view event;
	struct an_delta *delta;
	int64_t stamp_ns = 0;
	bool wanted;

	if (!lane) {
		an_delta_lose(&r->delta, 1, INT64_MIN, now_ns);
		return;
	}
	delta = delta_of(r, lane, view);
	open_view(&event, view);
	if (spec->by_stamp || !event.header.time_ns)
		stamp_ns = (int64_t)tapio_consumer_time_ns(r->consumer,
							   view->time);
	wanted = an_sample_take(spec, &event, stamp_ns, &r->sample);
	an_delta_cover(delta, view->position);
	if (!lane->is_read)
		begin_lane(r, lane, view->lane);
	lane->touched = true;
	if (++lane->held >= r->o.hold)
		r->full = true;
	/* Only now is it certain what the sample was made of. */
	if (tapio_view_intact(r->consumer, view) != 1) {
		delta->gaps++;
		lose(lane, delta, 1, lost_until_ns(r, now_ns));
		return;
	}
	if (wanted)
		count(r, lane, delta, now_ns);
	else
		delta->passed++;
}

/* ---- time ------------------------------------------------------------------ */

static int64_t slowest_lane(const struct an_member_reader *r)
{
	int64_t slowest = INT64_MAX;

	for (uint32_t i = 0; i < r->lane_room; i++)
		if (r->lanes[i].touched && r->lanes[i].time_ns < slowest)
			slowest = r->lanes[i].time_ns;
	return slowest == INT64_MAX ? r->latest_ns : slowest;
}

/*
 * The member has read all that was emitted before `now_ns` where nothing was left, or else
 * what the slowest lane has come to.
 */
static void advance(struct an_member_reader *r, bool drained, int64_t now_ns)
{
	int64_t watermark_ns;

	if (drained)
		watermark_ns = r->o.by_events ? r->latest_ns : now_ns;
	else
		watermark_ns = slowest_lane(r);
	if (!r->o.by_events && watermark_ns > now_ns)
		watermark_ns = now_ns;
	if (watermark_ns > r->watermark_ns)
		r->watermark_ns = watermark_ns;
	for (uint32_t i = 0; drained && i < r->lane_room; i++)
		r->lanes[i].touched = false;
	r->is_idle = drained && r->o.by_events;
	if (drained)
		r->is_first = false;
}

/* A clock that was set back by more than the lateness makes all that comes late. */
static void look_at_clock(struct an_member_reader *r, int64_t now_ns,
			  int64_t monotonic_ns)
{
	const int64_t offset_ns = now_ns - monotonic_ns;

	if (offset_ns < r->offset_ns - r->o.spec->lateness_ns &&
	    !r->o.by_events) {
		r->reset = true;
		r->watermark_ns = now_ns;
		r->latest_ns = INT64_MIN;
		for (uint32_t i = 0; i < r->lane_room; i++)
			r->lanes[i].time_ns = INT64_MIN;
	}
	/* Small steps do not add up unseen. */
	if (r->reset || offset_ns > r->offset_ns)
		r->offset_ns = offset_ns;
}

/* ---- handing on ------------------------------------------------------------ */

static int hand_on(struct an_member_reader *r, struct an_delta *delta)
{
	delta->sequence = r->sequence++;
	return r->o.sink(r->o.arg, delta);
}

static int hand_on_lanes(struct an_member_reader *r)
{
	int err = 0;

	for (uint32_t i = 0; r->o.by_lane && !err && i < r->lane_room; i++)
		if (!an_delta_is_empty(&r->lanes[i].delta))
			err = hand_on(r, &r->lanes[i].delta);
	return err;
}

/* The delta of no lane goes first if those of lanes need it, the watermark after. */
static int flush(struct an_member_reader *r, bool leaves)
{
	int err = 0;

	r->delta.reset = r->reset;
	if (r->reset)
		r->delta.watermark_ns = r->watermark_ns;
	if (r->delta.moved || r->delta.joins || r->reset)
		err = hand_on(r, &r->delta);
	if (!err)
		err = hand_on_lanes(r);
	r->delta.watermark_ns = r->watermark_ns;
	r->delta.leaves = leaves;
	r->delta.idle = r->is_idle;
	if (!err)
		err = hand_on(r, &r->delta);
	if (err)
		return err;
	if (r->o.by_lane)
		tapio_release(r->consumer);
	for (uint32_t i = 0; i < r->lane_room; i++)
		r->lanes[i].held = 0;
	r->full = r->reset = false;
	r->flushed_ns = tpi_monotonic_ns();
	return 0;
}

int an_member_leave(struct an_member_reader *r)
{
	return flush(r, true);
}

int an_member_step(struct an_member_reader *r)
{
	const int64_t now_ns = realtime_ns(), monotonic_ns = tpi_monotonic_ns();
	int64_t wait_ns = r->flushed_ns + r->o.flush_ns - monotonic_ns;
	int got;

	look_at_clock(r, now_ns, monotonic_ns);
	if (wait_ns < 0 || r->full || r->o.until_empty)
		wait_ns = 0;
	got = tapio_poll(r->consumer, r->views, BATCH, wait_ns);
	if (got < 0)
		return got;
	for (int i = 0; i < got; i++) {
		if (r->views[i].flags & TAPIO_VIEW_GAP)
			take_gap(r, &r->views[i], now_ns);
		else
			take_event(r, &r->views[i], now_ns);
	}
	if (got && !r->o.by_lane)
		tapio_release(r->consumer);
	/* After a wait, what came in it was emitted after `now_ns`. */
	advance(r, got < (int)BATCH, now_ns);
	if (r->full || (!got && r->o.until_empty) ||
	    tpi_monotonic_ns() - r->flushed_ns >= r->o.flush_ns) {
		int err = flush(r, false);

		if (err)
			return err;
	}
	return got || !r->o.until_empty;
}
