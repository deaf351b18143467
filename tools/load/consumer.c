/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer process: takes what it is given, in place, checks it, releases it.
 * check.h says in which order, and why a kill in between is told apart from a
 * duplicate.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/consumer.h>

#include "lib/base/atomic.h"
#include "tools/load/check.h"
#include "tools/load/event.h"
#include "tools/load/run.h"

#define POLL_NS INT64_C(50000000)
/* The event that a saboteur does something to. */
#define SABOTAGE_AT 100

struct receiver {
	struct tapio_consumer *consumer;
	struct load_scoreboard *scoreboard;
	struct load_place *place;
	const struct load_options *options;
	struct load_checker checker;
	bool overrun; /* the group may be overrun: release before marking */
	bool saboteur;
	uint64_t newest; /* stamp of all that came so far */
	uint64_t sum;    /* read by a consumer without checks */
	struct tapio_view views[LOAD_POLL_MAX];
	struct load_look looks[LOAD_POLL_MAX];
};

static bool finished(const struct receiver *r)
{
	/* relaxed: a flag, polled */
	return tpi_load_relaxed(&r->scoreboard->finish);
}

static void note_latency(struct receiver *r, uint64_t sent_ns, int64_t now)
{
	int64_t took = now - (int64_t)sent_ns;

	if (sent_ns)
		histogram_add(&r->place->latency,
			      took > 0 ? (uint64_t)took : 0);
}

/* How often the order of time stamps is broken. The library counts it, too. */
static void note_order(struct receiver *r, int n)
{
	for (int i = 0; i < n; i++) {
		if (r->views[i].flags & TAPIO_VIEW_GAP)
			continue;
		if (r->newest && (int64_t)(r->views[i].time - r->newest) < 0)
			r->place->late++;
		else
			r->newest = r->views[i].time;
	}
}

/* ---- sabotage: the run must notice -------------------------------------------- */

/* True when the event is this consumer's one to tamper with. */
static bool my_event(struct receiver *r, enum load_sabotage kind)
{
	return r->saboteur && r->options->sabotage == kind &&
	       r->checker.counts->events == SABOTAGE_AT;
}

static void look(struct receiver *r, const struct tapio_view *view,
		 struct load_look *out, bool tamper)
{
	struct tapio_view copy = *view;
	unsigned char *bytes;

	if (!tamper) {
		load_look(&r->checker, view, out);
		return;
	}
	bytes = malloc(view->length);
	if (!bytes)
		abort();
	memcpy(bytes, view->data, view->length);
	bytes[view->length - 1] ^= 0x10;
	copy.data = bytes;
	load_look(&r->checker, &copy, out);
	free(bytes);
	r->saboteur = false;
}

static void mark(struct receiver *r, const struct load_look *l)
{
	if (my_event(r, LOAD_LOSE)) {
		r->saboteur = false;
		return;
	}
	if (my_event(r, LOAD_DUPLICATE)) {
		r->saboteur = false;
		load_mark(&r->checker, l);
	}
	load_mark(&r->checker, l);
}

/* ---- a batch ------------------------------------------------------------------ */

static void mark_all(struct receiver *r, int n, int64_t now)
{
	for (int i = 0; i < n; i++) {
		mark(r, &r->looks[i]);
		if (r->looks[i].verdict == LOAD_INTACT)
			note_latency(r, r->looks[i].sent_ns, now);
	}
}

/* True when a view that was looked at was whole until then. */
static bool was_whole(struct receiver *r, const struct tapio_view *view)
{
	if (!r->overrun || view->flags & TAPIO_VIEW_GAP)
		return true;
	return tapio_view_intact(r->consumer, view) == 1;
}

static int check_batch(struct receiver *r, int n)
{
	int64_t now = tpi_monotonic_ns(), overrun;
	int64_t spoilt = 0;

	for (int i = 0; i < n; i++) {
		look(r, &r->views[i], &r->looks[i],
		     i == 0 && r->saboteur &&
			     r->options->sabotage == LOAD_TAMPER &&
			     r->checker.counts->events >= SABOTAGE_AT);
		if (was_whole(r, &r->views[i]))
			continue;
		r->looks[i].verdict = LOAD_OVERWRITTEN;
		spoilt++;
	}
	if (!r->overrun)
		mark_all(r, n, now);
	overrun = tapio_release(r->consumer);
	if (overrun < 0)
		return (int)overrun;
	/* The library counts what it has told, no more and no less. */
	if (overrun != spoilt)
		return -EPROTO;
	if (r->overrun)
		mark_all(r, n, now);
	load_note_released(&r->checker, r->looks, (unsigned int)n);
	return 0;
}

/* Reads the first word of each and counts: the cheapest consumer. */
static int touch_batch(struct receiver *r, int n)
{
	int64_t now = 0, overrun;
	uint64_t bytes = 0;

	for (int i = 0; i < n; i++) {
		const struct load_event *event = r->views[i].data;

		if (r->views[i].type != LOAD_EVENT_TYPE)
			continue;
		r->sum += event->id;
		bytes += r->views[i].length;
		if (tpi_unlikely(event->sent_ns)) {
			now = now ? now : tpi_monotonic_ns();
			note_latency(r, event->sent_ns, now);
		}
	}
	overrun = tapio_release(r->consumer);
	if (overrun < 0)
		return (int)overrun;
	r->checker.counts->events += (uint64_t)(n - overrun);
	r->checker.counts->bytes += bytes;
	return 0;
}

static int run_loop(struct receiver *r)
{
	unsigned int max = r->options->poll;
	bool check = r->options->check;
	int n, err = 0;

	while (!err && !finished(r)) {
		n = tapio_poll(r->consumer, r->views, max, POLL_NS);
		if (n > 0 && r->options->merge_ns)
			note_order(r, n);
		if (n > 0)
			err = check ? check_batch(r, n) : touch_batch(r, n);
		else if (n < 0 && n != -EINTR)
			err = n;
	}
	return err;
}

static void note_late(struct receiver *r)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	if (!tapio_consumer_stats_read(r->consumer, &stats))
		r->place->told_late = stats.late;
}

/* ---- the process ---------------------------------------------------------------- */

static int open_consumer(struct receiver *r, const struct load_run *run,
			 char *why, size_t why_bytes)
{
	static const uint16_t wanted[] = {LOAD_EVENT_TYPE};
	char group[TAPIO_NAME_BYTES];
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = load_broker(run, why, why_bytes),
		.group = group,
		.policy = load_policy(&run->options, r->checker.group),
		.start = TAPIO_START_NEWEST,
		.types = wanted,
		.type_count = run->options.filter ? 1 : 0,
		.merge_ns = run->options.merge_ns,
	};

	load_group_name(run, r->checker.group, group);
	return tapio_consumer_open(&r->consumer, run->options.channel,
				   &options);
}

int load_consumer(struct load_run *run, uint32_t consumer)
{
	uint32_t index = LOAD_CONSUMER_PLACE(consumer);
	struct load_place *place = &run->scoreboard->consumer[index];
	/* Too large for a stack that should stay small. */
	struct receiver *r = calloc(1, sizeof(*r));
	char why[256] = "";
	int err;

	load_pin(run, run->options.producers + index);
	if (!r)
		return load_place_failed(place, -ENOMEM, "starting", NULL);
	r->scoreboard = run->scoreboard;
	r->place = place;
	r->options = &run->options;
	r->saboteur = run->options.sabotage && index == 0;
	load_checker_init(&r->checker, run->scoreboard, index,
			  LOAD_CONSUMER_LIFE(consumer));
	r->overrun = load_policy(&run->options, r->checker.group) !=
		     TAPIO_GROUP_LOSSLESS;
	err = open_consumer(r, run, why, sizeof(why));
	if (err)
		return load_place_failed(place, err, "opening a consumer", why);
	tpi_store_release(&place->state, LOAD_RUNNING);
	err = run_loop(r);
	if (err)
		return load_place_failed(place, err, "consuming",
					 tapio_consumer_error(r->consumer));
	note_late(r);
	tapio_consumer_close(r->consumer);
	place->ended_ns = (uint64_t)tpi_monotonic_ns();
	tpi_store_release(&place->state, LOAD_DONE);
	return 0;
}
