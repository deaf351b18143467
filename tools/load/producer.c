/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer process: emits events as fast, or as often, as it was told, and
 * notes on the scoreboard before each call what it is about to try and after it what
 * was accepted. It may be killed between any two instructions.
 *
 * The loop is one function, made anew by the compiler for each mode with and
 * without checks, so that the loop that is measured has no branch on options.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "tools/load/event.h"
#include "tools/load/run.h"

#define TAG TAPIO_TAG(LOAD_EVENT_TYPE, 6)
/* Without checks one event in so many is stamped, and progress is noted. */
#define SAMPLE         64
#define SPINS          64
#define SLEEP_AHEAD_NS INT64_C(100000)

struct sender {
	struct tapio_producer *producer;
	struct load_scoreboard *scoreboard;
	struct load_place *place;
	const struct load_options *options;
	struct load_emitter emitter;
	uint64_t *pattern;
	unsigned char *buffers; /* one event each, `stride` apart */
	size_t stride;
	struct tapio_item items[LOAD_BATCH_MAX];
	struct tapio_reservation reserved[LOAD_BATCH_MAX];
	uint64_t random;
	uint64_t sent;
	uint64_t reservations;
	int64_t next_ns;
	bool gaps;           /* to be measured */
	int64_t accepted_ns; /* the last event was. 0: none */
};

static bool stopped(const struct sender *s)
{
	/* relaxed: a flag, polled */
	return tpi_load_relaxed(&s->scoreboard->stop);
}

static uint32_t roll(struct sender *s, uint32_t below)
{
	s->random += UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(load_mix(s->random, UINT64_C(0xbf58476d1ce4e5b9)) %
			  below);
}

static uint32_t next_size(struct sender *s)
{
	uint32_t min = s->options->size_min, max = s->options->size_max;

	return min == max ? min : min + roll(s, max - min + 1);
}

/* Refused: give way before the next try, the longer it lasts the more. */
static void note_refused(struct sender *s, uint32_t events)
{
	/* On the scoreboard at once: a kill must not forget it. */
	tpi_store_relaxed(&s->place->refused, s->place->refused + events);
}

static void wait_a_little(unsigned int tries)
{
	if (tries % SPINS)
		tpi_cpu_relax();
	else
		sched_yield();
}

static void pace(struct sender *s, uint32_t events)
{
	int64_t now = tpi_monotonic_ns();
	struct timespec until;

	if (now - s->next_ns > 1000000000) /* stopped meanwhile: no rush */
		s->next_ns = now;
	while (s->next_ns > now && !stopped(s)) {
		if (s->next_ns - now > SLEEP_AHEAD_NS) {
			int64_t t = s->next_ns - SLEEP_AHEAD_NS / 2;

			if (t > now + 50000000) /* see a stop in time */
				t = now + 50000000;
			until.tv_sec = t / 1000000000;
			until.tv_nsec = t % 1000000000;
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until,
					NULL);
		}
		now = tpi_monotonic_ns();
	}
	s->next_ns +=
		(int64_t)(UINT64_C(1000000000) * events / s->options->rate);
}

/* ---- making events --------------------------------------------------------- */

static inline void make_event(struct sender *s, struct load_event *event,
			      uint64_t id, uint32_t length, bool check)
{
	event->id = id;
	if (!check) {
		event->sent_ns = id % SAMPLE ? 0 : (uint64_t)tpi_monotonic_ns();
		event->length = length;
		return;
	}
	event->sent_ns = (uint64_t)tpi_monotonic_ns();
	event->producer = s->emitter.producer;
	event->length = length;
	load_event_fill(event, s->pattern, s->scoreboard->shape.seed);
}

static struct load_event *buffer(struct sender *s, uint32_t index)
{
	return (void *)(s->buffers + index * s->stride);
}

/* ---- what accounts for them -------------------------------------------------- */

static inline uint64_t about_to_try(struct sender *s, uint32_t count,
				    bool check)
{
	return check ? load_emit_try(&s->emitter, count) : s->sent;
}

static inline void tried(struct sender *s, uint32_t accepted, bool check)
{
	s->sent += accepted;
	if (check)
		load_emit_done(&s->emitter, accepted);
}

/* ---- one call ----------------------------------------------------------------- */

/* How many were accepted, 0 when there was no room, or -errno. */
static inline int send_output(struct sender *s, uint64_t id, bool check)
{
	struct load_event *event = buffer(s, 0);
	uint32_t length = next_size(s);
	int err;

	make_event(s, event, id, length, check);
	err = tapio_output(s->producer, TAG, event, length);
	return err ? err : 1;
}

static inline int send_batch(struct sender *s, uint64_t id, uint32_t count,
			     bool check)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t length = next_size(s);

		make_event(s, buffer(s, i), id + i, length, check);
		s->items[i].length = length;
	}
	return tapio_output_batch(s->producer, s->items, count);
}

/*
 * Submits what was filled, however often that must be tried. The library counts
 * one refusal for each event that found no room, also behind others that did.
 */
static inline int submit(struct sender *s, uint32_t count)
{
	uint32_t done = 0;
	unsigned int tries = 0;
	int n;

	while (done < count) {
		n = tapio_submit_batch(s->producer, s->reserved + done,
				       count - done);
		if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
			return n;
		if (n > 0)
			done += (uint32_t)n;
		if (done == count)
			break;
		note_refused(s, 1);
		if (stopped(s))
			break;
		wait_a_little(++tries);
	}
	if (done < count)
		tapio_discard_batch(s->producer, s->reserved + done,
				    count - done);
	return (int)done;
}

static inline int send_reserved(struct sender *s, uint64_t id, uint32_t count,
				bool check)
{
	uint32_t every = s->options->discard_every;
	int n;

	n = tapio_reserve_batch(s->producer, TAG, s->options->size_max,
				s->reserved, count);
	if (n <= 0)
		return n;
	s->reservations++;
	if (every && s->reservations % every == 0) {
		s->place->discarded += (uint64_t)n;
		tapio_discard_batch(s->producer, s->reserved, (unsigned int)n);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		uint32_t length = next_size(s);

		make_event(s, s->reserved[i].data, id + (uint64_t)i, length,
			   check);
		s->reserved[i].length = length;
	}
	return submit(s, (uint32_t)n);
}

static bool no_room(int err)
{
	return err == -EAGAIN || err == -ETIMEDOUT || err == -ENOBUFS;
}

/* An event that no consumer wants, to be skipped and counted. */
static int send_chaff(struct sender *s)
{
	unsigned int tries = 0;
	int err;

	while ((err = tapio_output(s->producer, TAPIO_TAG(LOAD_CHAFF_TYPE, 6),
				   buffer(s, 0), LOAD_EVENT_MIN)) &&
	       no_room(err) && !stopped(s)) {
		note_refused(s, 1);
		if (s->options->drop)
			break;
		wait_a_little(++tries);
	}
	if (!err)
		tpi_store_relaxed(&s->place->chaff, s->place->chaff + 1);
	return no_room(err) ? 0 : err;
}

/* ---- the loop --------------------------------------------------------------- */

static inline __attribute__((always_inline)) int
send_once(struct sender *s, enum load_mode mode, uint64_t id, uint32_t count,
	  bool check)
{
	if (mode == LOAD_OUTPUT)
		return send_output(s, id, check);
	if (mode == LOAD_BATCH)
		return send_batch(s, id, count, check);
	return send_reserved(s, id, count, check);
}

/* How long none was accepted. The time of a call that is refused counts, too. */
static void note_gap(struct sender *s)
{
	/* relaxed: a flag, polled */
	uint64_t *gap =
		&s->place->gap_ns[tpi_load_relaxed(&s->scoreboard->phase)];
	int64_t now = tpi_monotonic_ns();
	uint64_t ns = s->accepted_ns ? (uint64_t)(now - s->accepted_ns) : 0;

	s->accepted_ns = now;
	if (ns > *gap)
		tpi_store_relaxed(gap, ns);
}

static inline void note_accepted(struct sender *s, enum load_mode mode,
				 uint32_t count, uint32_t n, bool check)
{
	if (mode == LOAD_BATCH && n < count)
		note_refused(s, count - n);
	if (!check && s->sent % SAMPLE < n)
		tpi_store_relaxed(&s->place->sent, s->sent);
}

static inline __attribute__((always_inline)) int
run_loop(struct sender *s, enum load_mode mode, bool check)
{
	const struct load_options *o = s->options;
	uint64_t left = o->events ? o->events : UINT64_MAX, id;
	unsigned int tries = 0;
	int n;

	while (left && !stopped(s)) {
		enum load_mode now =
			mode == LOAD_MIX ? roll(s, LOAD_MIX) : mode;
		uint32_t count = now == LOAD_OUTPUT ? 1
				 : o->batch < left  ? o->batch
						    : (uint32_t)left;

		if (o->rate && !tries)
			pace(s, count);
		id = about_to_try(s, count, check);
		if (id == UINT64_MAX)
			return 0;
		n = send_once(s, now, id, count, check);
		tried(s, n > 0 ? (uint32_t)n : 0, check);
		if (tpi_likely(n > 0)) {
			left -= (uint32_t)n;
			tries = 0;
			note_accepted(s, now, count, (uint32_t)n, check);
			if (check && tpi_unlikely(s->gaps))
				note_gap(s);
			if (tpi_unlikely(o->filter &&
					 s->sent % o->filter < (uint32_t)n) &&
			    (n = send_chaff(s)))
				return n;
		} else if (n < 0 && !no_room(n)) {
			return n;
		} else if (n < 0) {
			note_refused(s, count);
			wait_a_little(++tries);
			if (o->drop) {
				left -= count;
				tries = 0;
			}
		}
	}
	return 0;
}

static int run_mode(struct sender *s)
{
	bool check = s->options->check;

	switch (s->options->mode) {
	case LOAD_OUTPUT:
		return check ? run_loop(s, LOAD_OUTPUT, true)
			     : run_loop(s, LOAD_OUTPUT, false);
	case LOAD_RESERVE:
		return check ? run_loop(s, LOAD_RESERVE, true)
			     : run_loop(s, LOAD_RESERVE, false);
	case LOAD_BATCH:
		return check ? run_loop(s, LOAD_BATCH, true)
			     : run_loop(s, LOAD_BATCH, false);
	default:
		return check ? run_loop(s, LOAD_MIX, true)
			     : run_loop(s, LOAD_MIX, false);
	}
}

/* ---- the process --------------------------------------------------------------- */

static int prepare(struct sender *s)
{
	uint32_t size = s->options->size_max;
	size_t words = size / sizeof(uint64_t) + 2;

	s->stride = (size + 63) & ~(size_t)63;
	s->pattern = calloc(words, sizeof(*s->pattern));
	s->buffers = aligned_alloc(64, s->stride * LOAD_BATCH_MAX);
	if (!s->pattern || !s->buffers)
		return -ENOMEM;
	for (size_t i = 0; i < words; i++)
		s->pattern[i] = load_mix(s->scoreboard->shape.seed + i + 1,
					 UINT64_C(0x9e3779b97f4a7c15));
	memset(s->buffers, 0, s->stride * LOAD_BATCH_MAX);
	for (uint32_t i = 0; i < LOAD_BATCH_MAX; i++)
		s->items[i] =
			(struct tapio_item){.data = buffer(s, i), .tag = TAG};
	s->random = load_mix(s->scoreboard->shape.seed ^ s->emitter.producer,
			     UINT64_C(0xbf58476d1ce4e5b9));
	return 0;
}

static void note_flavour(struct sender *s)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};

	if (!tapio_producer_stats_read(s->producer, &stats))
		s->place->rseq = stats.rseq;
}

int load_producer(struct load_run *run, uint32_t index)
{
	struct load_place *place = &run->scoreboard->producer[index];
	struct sender s = {
		.scoreboard = run->scoreboard,
		.place = place,
		.options = &run->options,
		.emitter = {.scoreboard = run->scoreboard,
			    .producer =
				    LOAD_PRODUCER(index, place->incarnation)},
		.gaps = load_broker_dies(&run->options),
	};
	char why[256] = "";
	struct tapio_options broker = load_broker(run, why, sizeof(why));
	int err;

	load_pin(run, index);
	err = prepare(&s);
	if (!err)
		err = tapio_producer_open(&s.producer, run->options.channel,
					  &broker);
	if (err)
		return load_place_failed(place, err, "opening a producer", why);
	note_flavour(&s);
	tpi_store_release(&place->state, LOAD_RUNNING);
	load_wait_for_go(run->scoreboard);
	s.next_ns = tpi_monotonic_ns();
	err = run_mode(&s);
	place->ended_ns = (uint64_t)tpi_monotonic_ns();
	place->sent = s.sent;
	tapio_producer_close(s.producer);
	if (err)
		return load_place_failed(place, err, "emitting", NULL);
	tpi_store_release(&place->state, LOAD_DONE);
	return 0;
}
