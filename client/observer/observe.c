/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at all lanes, and copying what is there.
 *
 * SIGKILL, SIGSTOP: no other process notices.
 */
#include <errno.h>
#include <limits.h>
#include <time.h>

#include "client/observer/observer.h"
#include "lib/base/thread.h"
#include "lib/lane/wake.h"

#define NAP_FIRST_NS INT64_C(1000000)
#define NAP_LAST_NS  INT64_C(20000000)
/* So often a producer may be faster than the first read. */
#define TRIES 8
/* Calls between two looks for memory that was replaced, while there is something to read. */
#define FOLLOW_CALLS 64

/* ---- missed events --------------------------------------------------------------- */

static unsigned int tell_owed(struct tpi_observer *o, struct tpi_watched *w,
			      struct tapio_view *view)
{
	if (w->gapped || !w->owed.count)
		return 0;
	w->gap = w->owed;
	tpi_gap_view(view, &w->gap, w->lane);
	w->gapped = true;
	w->owed = (struct tapio_gap){0};
	o->owing--;
	return 1;
}

static unsigned int tell_all_owed(struct tpi_observer *o,
				  struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < o->lane_count && n < max && o->owing; i++)
		n += tell_owed(o, &o->watches[i], views + n);
	return n;
}

/*
 * [next, to) is missed. Events overwritten before the first read are no gap:
 * the history has no known beginning. One record of a lane in each call. A
 * record that does not fit is told in the next one.
 */
unsigned int tpi_observer_miss(struct tpi_observer *o, struct tpi_watched *w,
			       uint32_t cause, uint64_t to,
			       struct tapio_view *view)
{
	uint64_t first = w->next, count = (to - first) & TAPIO_POSITION_MASK;

	w->next = to;
	if ((!w->seen && cause == TAPIO_GAP_OVERRUN) || !count)
		return 0;
	o->lost += count;
	if (!w->owed.count) {
		w->owed.first = first;
		o->owing++;
	}
	w->owed.count += count;
	w->owed.last = (to - 1) & TAPIO_POSITION_MASK;
	if (cause > w->owed.cause)
		w->owed.cause = cause;
	return view ? tell_owed(o, w, view) : 0;
}

static unsigned int overrun(struct tpi_observer *o, struct tpi_watched *w,
			    struct tapio_view *view)
{
	uint64_t to = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));

	if (w->over && tapio_position_diff(to, w->end) > 0)
		to = w->end;
	/* Not after it: no honest state, and the next look will say so. */
	if (tapio_position_diff(to, w->next) <= 0)
		return 0;
	return tpi_observer_miss(o, w, TAPIO_GAP_OVERRUN, to, view);
}

/*
 * An impossible state is passed over up to its tail, or back to it. One that is too
 * far away looks like an overrun, and is passed over as one.
 */
static unsigned int bad_state(struct tpi_observer *o, struct tpi_watched *w,
			      uint64_t tail, struct tapio_view *view)
{
	if (tapio_position_diff(tail, w->next) < 0) {
		w->next = tail;
		return 0;
	}
	return tpi_observer_miss(o, w, TAPIO_GAP_CORRUPT, tail, view);
}

/* An impossible descriptor at `next`, and those that follow it. */
static unsigned int bad_descriptors(struct tpi_observer *o,
				    struct tpi_watched *w, uint64_t tail,
				    struct tapio_view *view)
{
	uint64_t count = tpi_copy_bad_run(&o->filter, w->lane, w->next, tail);

	if (!tpi_lane_intact(w->lane, w->next))
		return overrun(o, w, view);
	return tpi_observer_miss(
		o, w, TAPIO_GAP_CORRUPT,
		(w->next + (count ? count : 1)) & TAPIO_POSITION_MASK, view);
}

/* The results of -EOVERFLOW and -EBADMSG of copy.h. */
static unsigned int not_copied(struct tpi_observer *o, struct tpi_watched *w,
			       int err, uint64_t tail, struct tapio_view *view)
{
	return err == -EOVERFLOW ? overrun(o, w, view)
				 : bad_descriptors(o, w, tail, view);
}

/* Room for a record beside an event: the last view is left to an event (poll.c). */
static struct tapio_view *record_in(struct tapio_view *views, unsigned int max)
{
	return max > 1 ? views : NULL;
}

static unsigned int observe_lane(struct tpi_observer *o, struct tpi_watched *w,
				 struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0, tries;
	uint64_t state, tail;
	int got;

	if (w->shut)
		return 0;
	for (tries = 0; tries < TRIES; tries++) {
		/* Again after an overrun: it goes on beyond the tail of before. */
		state = tpi_lane_peek(w->lane);
		tail = tpi_watch_tail(w, state);
		if (tpi_unlikely(!tpi_watch_possible(w, state)))
			return n + bad_state(o, w, tail,
					     record_in(views + n, max - n));
		if (tail == w->next)
			break;
		got = tpi_copy_events(&o->copies, &o->filter, w->lane, &w->next,
				      tail, views + n, max - n, &o->skipped);
		if (got >= 0) {
			w->seen |= got > 0;
			o->seen += (unsigned int)got;
			return n + (unsigned int)got;
		}
		n += not_copied(o, w, got, tail, record_in(views + n, max - n));
	}
	return n;
}

static unsigned int observe(struct tpi_observer *o, struct tapio_view *views,
			    unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < o->lane_count && n < max; i++) {
		if (o->turn >= o->lane_count)
			o->turn = 0;
		n += observe_lane(o, &o->watches[o->turn++], views + n,
				  max - n);
	}
	return n;
}

/* ---- merged: copies one event at a time, in the order of their stamps ------------ */

static uint64_t key_of(struct tpi_observer *o, struct tpi_watched *w)
{
	/* Relaxed: if it was overwritten, so is the event, and its copy shows. */
	uint64_t time =
		tpi_load_relaxed(&w->lane->time[w->next & w->lane->mask]);
	uint64_t upto, seen = tpi_sights_seen(&w->sights, &o->merge, w->next,
					      w->limit, &upto);

	return tpi_merge_key(&o->merge, time, seen);
}

/*
 * Passes over what the filter refuses. False when nothing else is there. A
 * record of what could not be read is counted in *n, if there is room for it in
 * `view`.
 */
static bool skip(struct tpi_observer *o, struct tpi_watched *w,
		 struct tapio_view *view, unsigned int *n)
{
	unsigned int tries;

	for (tries = 0; tries < TRIES; tries++) {
		if (tapio_position_diff(w->limit, w->next) <= 0)
			return false;
		if (!tpi_copy_skip(&o->filter, w->lane, &w->next, w->limit,
				   &o->skipped))
			return w->next != w->limit;
		*n += overrun(o, w, view);
	}
	return false;
}

static void look(struct tpi_observer *o, struct tpi_watched *w,
		 struct tapio_view *view, unsigned int *n)
{
	uint64_t state = tpi_lane_peek(w->lane);

	if (w->shut) {
		w->limit = w->next;
		return;
	}
	w->limit = tpi_watch_tail(w, state);
	if (tpi_unlikely(!tpi_watch_possible(w, state)))
		*n += bad_state(o, w, w->limit, view);
	/* Positions that are no longer in the ring are not walked through. */
	else if (((w->limit - w->next) & TAPIO_POSITION_MASK) >
		 (uint64_t)w->lane->mask + 1)
		*n += overrun(o, w, view);
	if (((w->limit - w->next) & TAPIO_POSITION_MASK) >
	    (w->lane->mask + 1) / 4)
		tpi_merge_hurry(&o->merge);
}

static unsigned int collect(struct tpi_observer *o, struct tapio_view *views,
			    unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < o->lane_count; i++)
		look(o, &o->watches[i], record_in(views + n, max - n), &n);
	tpi_merge_tick(&o->merge);
	for (i = 0; i < o->lane_count; i++) {
		struct tpi_watched *w = &o->watches[i];

		tpi_sights_note(&w->sights, &o->merge, w->next, w->limit);
		if (skip(o, w, record_in(views + n, max - n), &n))
			tpi_merge_push(&o->merge, key_of(o, w), w);
	}
	tpi_merge_build(&o->merge);
	return n;
}

/* Lets all compete anew, as the one on top has a stamp that is far from the others. */
static void compete(struct tpi_observer *o, struct tapio_view *views,
		    unsigned int *n, unsigned int max)
{
	uint32_t i, count = tpi_merge_again(&o->merge);

	for (i = 0; i < count; i++) {
		struct tpi_watched *w = o->merge.sources[i];

		tpi_merge_push(&o->merge,
			       skip(o, w, record_in(views + *n, max - *n), n)
				       ? key_of(o, w)
				       : TPI_MERGE_NEVER,
			       w);
	}
	tpi_merge_build(&o->merge);
}

/* The event on top. How many views. False: the buffer is full. */
static bool merge_one(struct tpi_observer *o, struct tpi_watched *w,
		      struct tapio_view *view, unsigned int *n)
{
	int got = tpi_copy_events(&o->copies, &o->filter, w->lane, &w->next,
				  w->limit, view, 1, &o->skipped);

	if (got == 0 && w->next != w->limit)
		return false;
	if (got < 0) {
		*n += not_copied(o, w, got, w->limit, view);
		return true;
	}
	tpi_merge_note(&o->merge, view, (unsigned int)got);
	*n += (unsigned int)got;
	o->seen += (unsigned int)got;
	w->seen |= got > 0;
	return true;
}

static unsigned int observe_merged(struct tpi_observer *o,
				   struct tapio_view *views, unsigned int max)
{
	struct tpi_merge *merge = &o->merge;
	unsigned int n;
	struct tpi_watched *w;

	tpi_merge_begin(merge, &o->client);
	n = collect(o, views, max);
	while (n < max && (w = tpi_merge_top(merge))) {
		if (!merge_one(o, w, views + n, &n))
			break;
		if (skip(o, w, record_in(views + n, max - n), &n))
			tpi_merge_next(merge, key_of(o, w));
		else
			tpi_merge_next(merge, TPI_MERGE_NEVER);
		if (tpi_unlikely(tpi_merge_is_far(merge)))
			compete(o, views, &n, max);
	}
	tpi_merge_end(merge);
	return n;
}

static void reclaim(struct tpi_observer *o)
{
	uint32_t i;

	o->copies.used = 0;
	for (i = 0; i < o->lane_count; i++)
		o->watches[i].gapped = false;
}

/* Not beyond the moment at which something that waits is ripe. */
static int64_t until_due(const struct tpi_observer *o, int64_t ns)
{
	int64_t due = o->merge.due_ns - tpi_now_ns();

	if (due < 1)
		due = 1;
	return due < ns ? due : ns;
}

/* Not a cancellation point: the caller has what it was told before. */
static int nap(int64_t ns)
{
	struct timespec t = {.tv_nsec = ns};
	int cancel = tpi_cancel_off();
	int err = nanosleep(&t, NULL) ? -errno : 0;

	tpi_cancel_restore(cancel);
	return err;
}

unsigned int tpi_observer_look(struct tpi_observer *o, struct tapio_view *views,
			       unsigned int max)
{
	unsigned int n = tell_all_owed(o, views, max);

	n += tpi_merge_is_on(&o->merge) ? observe_merged(o, views + n, max - n)
					: observe(o, views + n, max - n);
	if (!n && o->owing) /* no event wants the last view */
		n = tell_all_owed(o, views, max);
	return n;
}

/* The same, and what is elsewhere if there is nothing. */
static unsigned int look_around(struct tpi_observer *o,
				struct tapio_view *views, unsigned int max)
{
	unsigned int n = tpi_observer_look(o, views, max);

	if (n)
		return n;
	tpi_client_look(&o->client);
	if (tpi_observer_follow(o, TPI_FOLLOW_IDLE_MS))
		n = tpi_observer_look(o, views, max);
	if (n)
		return n;
	return tpi_observer_restless(o) ? tpi_observer_aside(o, views, max) : 0;
}

int tapio_observe(struct tapio_observer *handle, struct tapio_view *views,
		  unsigned int max, int64_t timeout_ns)
{
	struct tpi_observer *o = handle->now;
	int64_t until = 0, left, wait, ns = NAP_FIRST_NS;
	unsigned int n = 0;
	int err;

	if (!tpi_alive(&o->hot))
		return -ECHILD;
	if (max > INT_MAX)
		max = INT_MAX;
	reclaim(o);
	if (o->former)
		reclaim(o->former);
	if (tpi_unlikely(o->looks++ % FOLLOW_CALLS == 0))
		(void)tpi_observer_follow(o, TPI_FOLLOW_BUSY_MS);
	if (tpi_observer_restless(o))
		n = tpi_observer_aside_often(o, views, max);
	for (;;) {
		if (!n)
			n = look_around(o, views, max);
		if (n || !max || !timeout_ns)
			return (int)n;
		if (!until)
			until = tpi_now_ns() +
				(timeout_ns > 0 && timeout_ns < TPI_FOREVER_NS
					 ? timeout_ns
					 : TPI_FOREVER_NS);
		left = until - tpi_now_ns();
		if (left <= 0)
			return 0;
		wait = ns < left ? ns : left;
		if (o->merge.due_ns)
			wait = until_due(o, wait);
		err = nap(wait);
		if (err)
			return err;
		ns = ns * 2 < NAP_LAST_NS ? ns * 2 : NAP_LAST_NS;
	}
}
