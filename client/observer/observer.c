/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: copies of what passes, at nobody's cost. An observer maps everything
 * read-only, belongs to no group, and announces itself to nobody, so producers
 * never ring for it: it polls.
 *
 * SIGKILL, SIGSTOP: nobody notices.
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
	bool seen;      /* something was read: what is missing now is a gap */
	bool stuck;     /* its state is impossible: not followed */
	bool gapped;    /* `gap` is in the caller's hands */
	struct tapio_gap gap;
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
		err = tpi_merge_init(&o->merge, &o->client, options->merge_ns,
				     o->lane_count, &options->broker);
	if (err)
		tpi_client_close(&o->client);
	return err;
}

static void free_observer(struct tapio_observer *o)
{
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

/* ---- observing ------------------------------------------------------------------ */

static unsigned int quarantine(struct watch *w, struct tapio_view *view)
{
	if (w->gapped)
		return 0;
	w->stuck = true;
	w->gapped = true;
	tpi_gap_view(view, &w->gap, w->lane, TAPIO_GAP_QUARANTINE, w->next, 0);
	return 1;
}

static unsigned int overrun(struct tapio_observer *o, struct watch *w,
			    struct tapio_view *view)
{
	uint64_t resume = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));
	uint64_t first = w->next;
	uint64_t count = (resume - first) & TAPIO_POSITION_MASK;

	if (w->gapped)
		return 0; /* one per lane and call */
	w->next = resume;
	w->gapped = true;
	o->lost += count;
	tpi_gap_view(view, &w->gap, w->lane, TAPIO_GAP_OVERRUN, first, count);
	return 1;
}

/* As tpi_copy_events; an overrun before anything was read is no event at all. */
static int copy_from(struct tapio_observer *o, struct watch *w, uint64_t tail,
		     struct tapio_view *views, unsigned int max)
{
	int n, tries = 0;

	do {
		n = tpi_copy_events(&o->copies, &o->filter, w->lane, &w->next,
				    tail, views, max, &o->skipped);
		if (n != -EOVERFLOW || w->seen)
			return n;
		w->next = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));
	} while (++tries < TRIES && tapio_position_diff(tail, w->next) > 0);
	return 0;
}

static unsigned int observe_lane(struct tapio_observer *o, struct watch *w,
				 struct tapio_view *views, unsigned int max)
{
	uint64_t state = tpi_lane_peek(w->lane);
	uint64_t tail = TAPIO_STATE_TAIL(state);
	int n;

	if (tail == w->next || w->stuck)
		return 0;
	if (!tpi_lane_state_sane(w->lane, state) ||
	    tapio_position_diff(tail, w->next) < 0)
		return quarantine(w, views);
	n = copy_from(o, w, tail, views, max);
	if (n == -EOVERFLOW)
		return overrun(o, w, views);
	if (n < 0)
		return quarantine(w, views);
	if (n)
		w->seen = true;
	o->seen += (unsigned int)n;
	return (unsigned int)n;
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

static uint64_t stamp(const struct watch *w)
{
	/* Relaxed: if it was overwritten, so is the event, and its copy shows. */
	return tpi_load_relaxed(&w->lane->time[w->next & w->lane->mask]);
}

/*
 * Passes over what the filter refuses; false when nothing else is there. A record
 * of what could not be read is counted in *n.
 */
static bool skip(struct tapio_observer *o, struct watch *w,
		 struct tapio_view *view, unsigned int *n)
{
	int tries = 0, err;

	for (;;) {
		err = tpi_copy_skip(&o->filter, w->lane, &w->next, w->limit,
				    &o->skipped);
		if (!err)
			return w->next != w->limit;
		if (w->seen) {
			*n += overrun(o, w, view);
			return false;
		}
		w->next = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));
		if (++tries == TRIES ||
		    tapio_position_diff(w->limit, w->next) <= 0)
			return false;
	}
}

static bool watch_open(struct tapio_observer *o, struct watch *w,
		       struct tapio_view *view, unsigned int *n)
{
	uint64_t state = tpi_lane_peek(w->lane);

	w->limit = TAPIO_STATE_TAIL(state);
	if (w->limit == w->next || w->stuck)
		return false;
	if (!tpi_lane_state_sane(w->lane, state) ||
	    tapio_position_diff(w->limit, w->next) < 0) {
		*n += quarantine(w, view);
		return false;
	}
	if (((w->limit - w->next) & TAPIO_POSITION_MASK) >
	    (w->lane->mask + 1) / 4)
		o->merge.hurry = true;
	return skip(o, w, view, n);
}

/* False: the buffer is full, so the round is over. */
static bool merge_one(struct tapio_observer *o, struct watch *w,
		      struct tapio_view *views, unsigned int *n)
{
	int got = tpi_copy_events(&o->copies, &o->filter, w->lane, &w->next,
				  w->limit, views + *n, 1, &o->skipped);

	if (got == 0 && w->next != w->limit)
		return false;
	if (got == -EOVERFLOW && !w->seen) {
		/* Nothing was missed: nobody knows where the past begins. */
		w->next = tpi_copy_resume(w->lane, tpi_lane_peek(w->lane));
		tpi_merge_drop(&o->merge);
		return true;
	}
	if (got < 0) {
		*n += got == -EOVERFLOW ? overrun(o, w, views + *n)
					: quarantine(w, views + *n);
		tpi_merge_drop(&o->merge);
		return true;
	}
	tpi_merge_note(&o->merge, views + *n, (unsigned int)got);
	*n += (unsigned int)got;
	o->seen += (unsigned int)got;
	w->seen = true;
	return true;
}

static unsigned int observe_merged(struct tapio_observer *o,
				   struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0, gaps;
	struct watch *w;
	uint32_t i;

	tpi_merge_begin(&o->merge, &o->client);
	for (i = 0; i < o->lane_count && n < max; i++)
		if (watch_open(o, &o->watches[i], views + n, &n))
			tpi_merge_push(&o->merge, stamp(&o->watches[i]),
				       &o->watches[i]);
	while (n < max && (w = tpi_merge_top(&o->merge))) {
		uint32_t count = o->merge.count;

		if (!merge_one(o, w, views, &n))
			break;
		if (o->merge.count != count)
			continue; /* not there any more */
		gaps = 0;
		if (n < max && skip(o, w, views + n, &gaps))
			tpi_merge_next(&o->merge, stamp(w));
		else
			tpi_merge_drop(&o->merge);
		n += gaps;
	}
	tpi_merge_end(&o->merge);
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

int tapio_observe(struct tapio_observer *o, struct tapio_view *views,
		  unsigned int max, int64_t timeout_ns)
{
	int64_t until = 0, left, ns = NAP_FIRST_NS;
	struct timespec nap = {0};
	unsigned int n;

	if (!tpi_alive(&o->hot))
		return -ECHILD;
	if (max > INT_MAX)
		max = INT_MAX;
	reclaim(o);
	for (;;) {
		n = o->merge.heap ? observe_merged(o, views, max)
				  : observe(o, views, max);
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
		nap.tv_nsec = ns < left ? ns : left;
		if (o->merge.due_ns)
			nap.tv_nsec = until_due(o, nap.tv_nsec);
		if (nanosleep(&nap, NULL))
			return -errno;
		ns = ns * 2 < NAP_LAST_NS ? ns * 2 : NAP_LAST_NS;
	}
}

/* ---- what else one may ask -------------------------------------------------------- */

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
		sum.in_flight +=
			(TAPIO_STATE_TAIL(tpi_lane_peek(o->watches[i].lane)) -
			 o->watches[i].next) &
			TAPIO_POSITION_MASK;
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
