/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: copies of the events that pass, without a cost to others. An
 * observer maps everything read-only, belongs to no group, and never announces
 * itself, so producers never ring for it: it polls.
 *
 * SIGKILL, SIGSTOP: no other process notices.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include <tapio/consumer.h>
#include <tapio/observer.h>

#include "client/connection/client.h"
#include "client/reader/copy.h"
#include "client/reader/filter.h"
#include "client/reader/merge.h"
#include "lib/base/error.h"
#include "lib/base/thread.h"
#include "lib/lane/wake.h"

#define BUFFER_BYTES (256 * 1024)
#define NAP_FIRST_NS INT64_C(1000000)
#define NAP_LAST_NS  INT64_C(20000000)
/* So often a producer may be faster than the first read. */
#define TRIES 8

/* One lane as the observer sees it. */
struct watch {
	const struct tpi_lane *lane;
	uint64_t next;
	uint64_t limit; /* merging: how far this round looks */
	bool seen;      /* something was read: missing events are a gap now */
	bool gapped;    /* `gap` is in the caller's hands */
	struct tapio_gap gap;
	struct tapio_gap
		owed; /* to be told in the next call. count 0: nothing */
	struct tpi_sights sights; /* merging */
};

struct tapio_observer {
	union {
		struct tpi_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_filter filter;
	struct tpi_copies copies;
	struct tpi_merge merge;
	struct watch *watches; /* by lane id */
	uint32_t lane_count;
	uint32_t turn;
	uint32_t owing; /* lanes that have something to tell */
	uint64_t seen;
	uint64_t skipped;
	uint64_t lost;
};

static int make_watches(struct tapio_observer *o, uint32_t start)
{
	uint32_t i, count = o->client.channel.lane_count;

	o->watches = calloc(count, sizeof(*o->watches));
	if (!o->watches)
		return -ENOMEM;
	o->lane_count = count;
	for (i = 0; i < count; i++) {
		const struct tpi_lane *lane = &o->client.channel.lanes[i];
		struct watch *w = &o->watches[i];
		uint64_t state = tpi_lane_peek(lane);

		w->lane = lane;
		w->next = TAPIO_STATE_TAIL(state);
		w->seen = start == TAPIO_START_NEWEST;
		if (!w->seen && tpi_lane_state_sane(lane, state) &&
		    TAPIO_STATE_HELD(state) <= lane->mask)
			w->next = (tpi_lane_reap(lane, state) + 1) &
				  TAPIO_POSITION_MASK;
	}
	return 0;
}

static int open_merge(struct tapio_observer *o,
		      const struct tapio_observer_options *options)
{
	uint32_t i;
	int err = tpi_merge_init(&o->merge, &o->client, options->merge_ns,
				 o->lane_count, &options->broker);

	for (i = 0; !err && options->merge_ns && i < o->lane_count; i++)
		err = tpi_sights_init(&o->watches[i].sights,
				      o->watches[i].lane->mask + 1);
	return err;
}

static int open_observer(struct tapio_observer *o, const char *channel,
			 const struct tapio_observer_options *options)
{
	struct tpi_request request = {
		.role = TAPIO_ROLE_INSPECT,
		.channel = channel,
	};
	uint32_t bytes =
		options->buffer_bytes ? options->buffer_bytes : BUFFER_BYTES;
	int err;

	err = tpi_filter_init(&o->filter, options->severity_min,
			      options->class_mask, options->types,
			      options->type_count, &options->broker);
	if (!err)
		err = tpi_client_open(&o->client, &request, &options->broker);
	if (err)
		return err;
	err = tpi_copies_init(&o->copies, bytes, &o->client.channel.info);
	if (!err)
		err = make_watches(o, options->start);
	if (!err)
		err = open_merge(o, options);
	if (err)
		tpi_client_close(&o->client);
	return err;
}

static void free_observer(struct tapio_observer *o)
{
	uint32_t i;

	for (i = 0; o->watches && i < o->lane_count; i++)
		tpi_sights_fini(&o->watches[i].sights);
	tpi_copies_fini(&o->copies);
	tpi_merge_fini(&o->merge);
	tpi_filter_fini(&o->filter);
	free(o->watches);
	tpi_handle_free(&o->client.handle);
}

static int check(const struct tapio_observer_options *options)
{
	const struct tapio_options *broker = &options->broker;

	if (options->start > TAPIO_START_OLDEST)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"start %u is outside 0 to %d", options->start,
				TAPIO_START_OLDEST);
	if (options->merge_ns > TAPIO_MERGE_NS_MAX)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"merge_ns %llu is more than a minute",
				(unsigned long long)options->merge_ns);
	return 0;
}

int tapio_observer_open(struct tapio_observer **out, const char *channel,
			const struct tapio_observer_options *options)
{
	struct tapio_observer_options copy;
	struct tapio_observer *o;
	int err;

	*out = NULL;
	err = tpi_options_copy(&copy, sizeof(copy), options);
	if (err)
		return tpi_options_unknown(&copy.broker);
	err = tpi_options_nested(&copy.broker);
	if (!err)
		err = check(&copy);
	if (err)
		return err;
	o = tpi_handle_new(sizeof(*o),
			   offsetof(struct tapio_observer, client.handle));
	if (!o)
		return tpi_open_failed(&copy.broker, -ENOMEM);
	err = open_observer(o, channel, &copy);
	if (err) {
		free_observer(o);
		return tpi_open_failed(&copy.broker, err);
	}
	*out = o;
	return 0;
}

void tapio_observer_close(struct tapio_observer *o)
{
	if (!o)
		return;
	tpi_client_close(&o->client);
	free_observer(o);
}

/* ---- what is missed -------------------------------------------------------------- */

static unsigned int tell_owed(struct tapio_observer *o, struct watch *w,
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

static unsigned int tell_all_owed(struct tapio_observer *o,
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
static unsigned int miss(struct tapio_observer *o, struct watch *w,
			 uint32_t cause, uint64_t to, struct tapio_view *view)
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

static unsigned int overrun(struct tapio_observer *o, struct watch *w,
			    struct tapio_view *view)
{
	uint64_t to = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));

	/* Not after it: no honest state, and the next look will say so. */
	if (tapio_position_diff(to, w->next) <= 0)
		return 0;
	return miss(o, w, TAPIO_GAP_OVERRUN, to, view);
}

static bool is_possible(const struct watch *w, uint64_t state)
{
	return tpi_lane_state_sane(w->lane, state) &&
	       tapio_position_diff(TAPIO_STATE_TAIL(state), w->next) >= 0;
}

/*
 * An impossible state is passed over up to its tail, or back to it. One that is too
 * far away looks like an overrun, and is passed over as one.
 */
static unsigned int bad_state(struct tapio_observer *o, struct watch *w,
			      uint64_t tail, struct tapio_view *view)
{
	if (tapio_position_diff(tail, w->next) < 0) {
		w->next = tail;
		return 0;
	}
	return miss(o, w, TAPIO_GAP_CORRUPT, tail, view);
}

/* An impossible descriptor at `next`, and those that follow it. */
static unsigned int bad_descriptors(struct tapio_observer *o, struct watch *w,
				    uint64_t tail, struct tapio_view *view)
{
	uint64_t count = tpi_copy_bad_run(&o->filter, w->lane, w->next, tail);

	if (!tpi_lane_intact(w->lane, w->next))
		return overrun(o, w, view);
	return miss(o, w, TAPIO_GAP_CORRUPT,
		    (w->next + (count ? count : 1)) & TAPIO_POSITION_MASK,
		    view);
}

/* The results of -EOVERFLOW and -EBADMSG of copy.h. */
static unsigned int not_copied(struct tapio_observer *o, struct watch *w,
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

static unsigned int observe_lane(struct tapio_observer *o, struct watch *w,
				 struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0, tries;
	uint64_t state, tail;
	int got;

	for (tries = 0; tries < TRIES; tries++) {
		/* Again after an overrun: it goes on beyond the tail of before. */
		state = tpi_lane_peek(w->lane);
		tail = TAPIO_STATE_TAIL(state);
		if (tpi_unlikely(!is_possible(w, state)))
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

static unsigned int observe(struct tapio_observer *o, struct tapio_view *views,
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

static uint64_t stamp(struct tapio_observer *o, struct watch *w)
{
	/* Relaxed: if it was overwritten, so is the event, and its copy shows. */
	uint64_t time =
		tpi_load_relaxed(&w->lane->time[w->next & w->lane->mask]);

	return tpi_sights_stamp(&w->sights, &o->merge, w->next, time);
}

/*
 * Passes over what the filter refuses. False when nothing else is there. A
 * record of what could not be read is counted in *n, if there is room for it in
 * `view`.
 */
static bool skip(struct tapio_observer *o, struct watch *w,
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

static void look(struct tapio_observer *o, struct watch *w,
		 struct tapio_view *view, unsigned int *n)
{
	uint64_t state = tpi_lane_peek(w->lane);

	w->limit = TAPIO_STATE_TAIL(state);
	if (tpi_unlikely(!is_possible(w, state)))
		*n += bad_state(o, w, w->limit, view);
	/* Positions that are no longer in the ring are not walked through. */
	else if (((w->limit - w->next) & TAPIO_POSITION_MASK) >
		 (uint64_t)w->lane->mask + 1)
		*n += overrun(o, w, view);
	if (((w->limit - w->next) & TAPIO_POSITION_MASK) >
	    (w->lane->mask + 1) / 4)
		o->merge.hurry = true;
}

static unsigned int collect(struct tapio_observer *o, struct tapio_view *views,
			    unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < o->lane_count; i++)
		look(o, &o->watches[i], record_in(views + n, max - n), &n);
	tpi_merge_tick(&o->merge);
	for (i = 0; i < o->lane_count; i++) {
		struct watch *w = &o->watches[i];

		tpi_sights_note(&w->sights, &o->merge, w->next, w->limit);
		if (skip(o, w, record_in(views + n, max - n), &n))
			tpi_merge_push(&o->merge, stamp(o, w), w);
	}
	return n;
}

/* The event on top. How many views. False: the buffer is full. */
static bool merge_one(struct tapio_observer *o, struct watch *w,
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

static unsigned int observe_merged(struct tapio_observer *o,
				   struct tapio_view *views, unsigned int max)
{
	struct tpi_merge *merge = &o->merge;
	unsigned int n;
	struct watch *w;

	tpi_merge_begin(merge, &o->client);
	n = collect(o, views, max);
	while (n < max && (w = tpi_merge_top(merge))) {
		if (!merge_one(o, w, views + n, &n))
			break;
		if (skip(o, w, record_in(views + n, max - n), &n))
			tpi_merge_next(merge, stamp(o, w));
		else
			tpi_merge_drop(merge);
	}
	tpi_merge_end(merge);
	return n;
}

static void reclaim(struct tapio_observer *o)
{
	uint32_t i;

	o->copies.used = 0;
	for (i = 0; i < o->lane_count; i++)
		o->watches[i].gapped = false;
}

/* Not beyond the moment at which something that waits is ripe. */
static int64_t until_due(const struct tapio_observer *o, int64_t ns)
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

int tapio_observe(struct tapio_observer *o, struct tapio_view *views,
		  unsigned int max, int64_t timeout_ns)
{
	int64_t until = 0, left, wait, ns = NAP_FIRST_NS;
	unsigned int n;
	int err;

	if (!tpi_alive(&o->hot))
		return -ECHILD;
	if (max > INT_MAX)
		max = INT_MAX;
	reclaim(o);
	for (;;) {
		n = tell_all_owed(o, views, max);
		n += o->merge.heap ? observe_merged(o, views + n, max - n)
				   : observe(o, views + n, max - n);
		if (!n && o->owing) /* no event wants the last view */
			n = tell_all_owed(o, views, max);
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

/* ---- what else one may ask -------------------------------------------------------- */

/*
 * What is published and not seen yet: still there, or overwritten. What was overwritten
 * before the first read is neither, as in miss(). A lane whose class is refused has
 * only what will be skipped.
 */
static void add_unread(const struct tapio_observer *o, const struct watch *w,
		       struct tapio_observer_stats *sum)
{
	uint64_t state = tpi_lane_peek(w->lane);
	uint64_t tail = TAPIO_STATE_TAIL(state), next = w->next;
	uint64_t begins = tpi_lane_reap(w->lane, state);

	if (!is_possible(w, state))
		return;
	/* As tpi_lane_intact(): the block at reap may be written. */
	if (begins != tail)
		begins = (begins + 1) & TAPIO_POSITION_MASK;
	if (tapio_position_diff(begins, next) > 0) {
		if (w->seen && tpi_filter_class(&o->filter, w->lane->klass))
			sum->lost += (begins - next) & TAPIO_POSITION_MASK;
		next = begins;
	}
	sum->in_flight += (tail - next) & TAPIO_POSITION_MASK;
}

int tapio_observer_stats_read(const struct tapio_observer *o,
			      struct tapio_observer_stats *stats)
{
	struct tapio_observer_stats sum = {
		.seen = o->seen,
		.skipped = o->skipped,
		.lost = o->lost,
		.late = o->merge.late,
	};
	uint32_t i;

	if (!tpi_alive(&o->hot))
		return -ECHILD;
	for (i = 0; i < o->lane_count; i++)
		add_unread(o, &o->watches[i], &sum);
	return tpi_stats_copy(stats, &sum, sizeof(sum));
}

uint64_t tapio_observer_time_ns(const struct tapio_observer *o, uint64_t time)
{
	return tpi_alive(&o->hot) ? tpi_client_time_ns(&o->client, time) : 0;
}

int tapio_observer_connected(const struct tapio_observer *o)
{
	return tpi_alive(&o->hot) ? tpi_client_connected(&o->client) : 0;
}
