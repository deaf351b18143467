/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-lane: what an event costs through libtapio, beside the floor of the same
 * turn. First one producer process and one consumer process on two CPUs, over a
 * broker of this program's own; then a producer with nobody reading.
 *
 * Every event is filled whole, and every word of it read where somebody reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/abi.h>
#include <tapio/broker.h>
#include <tapio/tapio.h>

#include "bench/stream.h"

#define BATCH  32
#define WARM   32768 /* events before the clock starts: laps of every block */
#define TAG    TAPIO_TAG(1, 6)
#define READER true
#define NOBODY false

/* As many bytes of blocks in a lane as the floor's ring has. */
static const char config[] =
	"channel e64 { class main { block = 64 blocks = 16384 } stamp = none }\n"
	"channel e256 { class main { block = 256 blocks = 4096 } stamp = none }\n";

/* Emits up to `count` events from sequence `first`; how many were accepted. */
typedef int (*emit_fn)(struct tapio_producer *p, uint32_t bytes, uint64_t first,
		       uint64_t count);

struct lane_case {
	const char *name;
	uint32_t bytes;
	bool reader;
	emit_fn emit;
	uint64_t events;
};

static int emit_output(struct tapio_producer *p, uint32_t bytes, uint64_t first,
		       uint64_t count)
{
	/* As in the batch: the caller's event is there, one word of it is new. */
	static union bench_event event;

	(void)count;
	event.word[0] = first;
	return tapio_output(p, TAG, &event, bytes) ? 0 : 1;
}

static int emit_output_batch(struct tapio_producer *p, uint32_t bytes,
			     uint64_t first, uint64_t count)
{
	static union bench_event events[BATCH];
	struct tapio_item items[BATCH];
	unsigned int n = count < BATCH ? (unsigned int)count : BATCH;
	int accepted;

	for (unsigned int i = 0; i < n; i++) {
		events[i].word[0] = first + i;
		items[i] = (struct tapio_item){&events[i], bytes, TAG};
	}
	accepted = tapio_output_batch(p, items, n);
	return accepted < 0 ? 0 : accepted;
}

static int emit_reserved(struct tapio_producer *p, uint32_t bytes,
			 uint64_t first, uint64_t count)
{
	const union bench_event event = {.word = {first}};
	struct tapio_reservation r;

	(void)count;
	if (tapio_reserve(p, TAG, bytes, &r))
		return 0;
	memcpy(r.data, &event, bytes);
	while (tapio_submit(p, &r))
		;
	return 1;
}

static int emit_reserved_batch(struct tapio_producer *p, uint32_t bytes,
			       uint64_t first, uint64_t count)
{
	union bench_event event = {.word = {0}};
	struct tapio_reservation r[BATCH];
	unsigned int n = count < BATCH ? (unsigned int)count : BATCH;
	int got = tapio_reserve_batch(p, TAG, bytes, r, n);

	for (int i = 0; i < got; i++) {
		event.word[0] = first + (unsigned int)i;
		memcpy(r[i].data, &event, bytes);
	}
	for (int done = 0; done < got;) {
		int n_done = tapio_submit_batch(p, r + done,
						(unsigned int)(got - done));

		if (n_done > 0)
			done += n_done;
	}
	return got < 0 ? 0 : got;
}

static const char *channel_of(const struct lane_case *c)
{
	return c->bytes == 64 ? "e64" : "e256";
}

static void emit_until(struct tapio_producer *p, const struct lane_case *c,
		       uint64_t from, uint64_t to)
{
	while (from < to) {
		int n = c->emit(p, c->bytes, from, to - from);

		if (n <= 0)
			tpi_cpu_relax();
		else
			from += (unsigned int)n;
	}
}

static int producer(void *arg, struct bench_pair *pair)
{
	const struct lane_case *c = arg;
	struct tapio_producer *p;
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	int err = tapio_producer_open(&p, channel_of(c), NULL);

	if (err) {
		fprintf(stderr, "tapio_producer_open: %s\n", strerror(-err));
		return err;
	}
	bench_ready(pair); /* the consumer has joined */
	emit_until(p, c, 0, WARM);
	bench_ready(pair); /* and has read that */
	pair->start_ns = bench_now_ns();
	emit_until(p, c, WARM, WARM + c->events);
	if (!c->reader)
		pair->end_ns = bench_now_ns();
	tapio_producer_stats(p, &stats);
	if (stats.side_lane) {
		fprintf(stderr, "this measured a side lane\n");
		return -1;
	}
	tapio_producer_close(p);
	return 0;
}

/* Reads up to `to`; -1 when it is not exactly what was sent. */
static int read_until(struct tapio_consumer *consumer, uint32_t bytes,
		      uint64_t *next, uint64_t to)
{
	struct tapio_view views[BATCH];
	uint64_t sum = 0;

	while (*next < to) {
		int n = tapio_poll(consumer, views, BATCH, TAPIO_FOREVER);

		for (int i = 0; i < n; i++) {
			const uint64_t *word = views[i].data;

			if (views[i].length != bytes || *word != *next)
				return -1;
			sum ^= bench_read(word, bytes);
			++*next;
		}
		if (n < 0 || tapio_release(consumer))
			return -1;
	}
	return sum ? -1 : 0;
}

static int consumer(void *arg, struct bench_pair *pair)
{
	const struct lane_case *c = arg;
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.policy = TAPIO_GROUP_LOSSLESS,
		.spin_ns = 1000000000,
	};
	struct tapio_consumer *consumer;
	uint64_t next = 0;
	int err = tapio_consumer_open(&consumer, channel_of(c), &options);

	if (err) {
		fprintf(stderr, "tapio_consumer_open: %s\n", strerror(-err));
		return err;
	}
	bench_ready(pair);
	err = read_until(consumer, c->bytes, &next, WARM);
	bench_ready(pair);
	if (!err)
		err = read_until(consumer, c->bytes, &next, WARM + c->events);
	pair->end_ns = bench_now_ns();
	if (err)
		fprintf(stderr, "event %llu is not what was sent\n",
			(unsigned long long)next);
	tapio_consumer_close(consumer);
	return err;
}

static struct lane_case cases[] = {
	{"stream 64 B", 64, READER, emit_output, 0},
	{"stream 256 B", 256, READER, emit_output, 0},
	{"stream 64 B, batch 32", 64, READER, emit_output_batch, 0},
	{"stream 64 B, reserve 32", 64, READER, emit_reserved_batch, 0},
	{"output 64 B", 64, NOBODY, emit_output, 0},
	{"output 256 B", 256, NOBODY, emit_output, 0},
	{"output 64 B, batch 32", 64, NOBODY, emit_output_batch, 0},
	{"reserve+submit 64 B", 64, NOBODY, emit_reserved, 0},
	{"reserve+submit 64 B, 32", 64, NOBODY, emit_reserved_batch, 0},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* One turn of one case, and of its floor. */
static bool measure(const struct bench_options *options,
		    struct floor_ring *ring, struct lane_case *c,
		    struct bench_row *row, unsigned int turn)
{
	c->events = options->events;
	row->has_floor = true;
	row->floor_ns[turn] =
		c->reader ? floor_stream_run(options, ring, c->bytes)
			  : floor_store_run(options, ring, c->bytes);
	row->ns[turn] = bench_pair_run(options, producer,
				       c->reader ? consumer : NULL, c) /
			(double)options->events;
	return row->floor_ns[turn] > 0 && row->ns[turn] > 0;
}

static bool measure_all(const struct bench_options *options,
			struct bench_report *report)
{
	struct floor_ring *ring =
		bench_memory(report, sizeof(*ring) + BENCH_RING_BYTES);

	for (unsigned int i = 0; i < CASES; i++)
		bench_row(report, cases[i].name);
	report->pingpong_ns[0] = bench_pingpong(options);
	for (unsigned int turn = 0; turn < options->repeats; turn++)
		for (unsigned int i = 0; i < CASES; i++)
			if (!measure(options, ring, &cases[i], &report->rows[i],
				     turn))
				return false;
	report->pingpong_ns[1] = bench_pingpong(options);
	return true;
}

/* Without it producers use side lanes, which is not what is asked here. */
static bool have_rseq(void)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct tapio_producer *p;

	if (tapio_producer_open(&p, "e64", NULL))
		return true; /* the measurement will say why */
	tapio_producer_stats(p, &stats);
	tapio_producer_close(p);
	return stats.rseq == TAPIO_RSEQ_PROVEN;
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.name = "lane",
		.repeats = 11,
		.events = 4000000,
	};
	char why[256] = "";
	struct tapio_broker_options broker_options = {
		.size = sizeof(broker_options),
		.config_text = config,
		.error = why,
		.error_bytes = sizeof(why),
	};
	static struct bench_report report;
	struct tapio_broker *broker;
	bool good;

	bench_options_parse(&options, argc, argv,
			    "Events through libtapio: from one process to "
			    "another (stream), and with\nnobody reading; each "
			    "beside its floor of the same turn.");
	if (tapio_broker_start(&broker, &broker_options)) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	setenv("TAPIO_SOCKET", tapio_broker_socket(broker), 1);
	if (!have_rseq()) {
		tapio_broker_stop(broker);
		printf("bench-lane needs rseq, and has none here\n");
		return 77;
	}
	good = measure_all(&options, &report);
	if (good)
		bench_print(&options, &report);
	tapio_broker_stop(broker);
	return good ? 0 : 1;
}
