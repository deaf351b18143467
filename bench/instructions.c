/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-instructions: does one operation a given number of times, for
 * bench/instructions to run under callgrind twice and subtract.
 *
 * valgrind knows no rseq, and without it a process uses side lanes. Counted is
 * the way that matters, so the calling thread gets an area of its own that says
 * "registered, on CPU 0": this program has one thread and a channel to itself,
 * so no other thread is on that lane, which is all that the kernel would see
 * to. The self-test, which would find out, is replaced at link time (--wrap).
 * So is the clock, which stands still: a consumer that finds 50 ms gone looks
 * after its leases, and under valgrind that may or may not happen in a short
 * run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tapio/abi.h>
#include <tapio/tapio.h>

#include "lib/base/rseq.h"

static _Thread_local struct tpi_rseq fake __attribute__((aligned(32)));

uint32_t __wrap_tpi_rseq_selftest(const char **reason);
uint32_t __wrap_tpi_rseq_selftest(const char **reason)
{
	if (reason)
		*reason = "replaced by bench-instructions";
	return TAPIO_RSEQ_PROVEN;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	(void)clock;
	*t = (struct timespec){.tv_sec = 1};
	return 0;
}

static void use_fake_rseq(void)
{
	fake.cpu_id_start = fake.cpu_id = 0;
	tpi_rseq_offset = (char *)&fake - (char *)__builtin_thread_pointer();
}

static void check(const char *what, long result, long wanted)
{
	if (result == wanted)
		return;
	fprintf(stderr, "%s: %ld instead of %ld\n", what, result, wanted);
	exit(1);
}

static struct tapio_producer *open_producer(const char *channel)
{
	struct tapio_producer *p;

	check("tapio_producer_open", tapio_producer_open(&p, channel, NULL), 0);
	use_fake_rseq();
	return p;
}

/* An open producer that went to a side lane would count another way. */
static void close_producer(struct tapio_producer *p)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};

	check("tapio_producer_stats_read", tapio_producer_stats_read(p, &stats),
	      0);
	check("side lanes used", stats.side_lane, 0);
	check("events dropped", (long)stats.dropped, 0);
	tapio_producer_close(p);
}

static void output(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	const unsigned char event[64] = {1};
	int failed = 0;

	for (unsigned long i = 0; i < count; i++)
		failed |=
			tapio_output(p, TAPIO_TAG(1, 6), event, sizeof(event));
	check("tapio_output", failed, 0);
	close_producer(p);
}

static void reserve_submit(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	struct tapio_reservation r;
	int failed = 0;

	for (unsigned long i = 0; i < count; i++) {
		failed |= tapio_reserve(p, TAPIO_TAG(1, 6), 64, &r);
		failed |= tapio_submit(p, &r);
	}
	check("tapio_reserve or tapio_submit", failed, 0);
	close_producer(p);
}

#define BATCH     32
#define BATCH_MAX 512 /* they all lie in the lane at once */

static void output_batch(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	const unsigned char event[64] = {1};
	struct tapio_item items[BATCH];
	long accepted = 0;

	for (int i = 0; i < BATCH; i++)
		items[i] = (struct tapio_item){event, sizeof(event),
					       TAPIO_TAG(1, 6)};
	for (unsigned long i = 0; i < count; i++)
		accepted += tapio_output_batch(p, items, BATCH);
	check("tapio_output_batch", accepted, (long)count * BATCH);
	close_producer(p);
}

static void reserve_batch(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	struct tapio_reservation r[BATCH];
	long reserved = 0, submitted = 0;

	for (unsigned long i = 0; i < count; i++) {
		reserved +=
			tapio_reserve_batch(p, TAPIO_TAG(1, 6), 64, r, BATCH);
		submitted += tapio_submit_batch(p, r, BATCH);
	}
	check("tapio_reserve_batch", reserved, (long)count * BATCH);
	check("tapio_submit_batch", submitted, (long)count * BATCH);
	close_producer(p);
}

static void poll_batch(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	struct tapio_view views[BATCH];
	struct tapio_consumer *c;
	int64_t overrun = 0;
	long polled = 0;

	check("tapio_consumer_open", tapio_consumer_open(&c, channel, NULL), 0);
	for (int i = 0; i < BATCH_MAX * BATCH; i++)
		check("tapio_output",
		      tapio_output(p, TAPIO_TAG(1, 6), &i, sizeof(i)), 0);
	for (unsigned long i = 0; i < count; i++) {
		polled += tapio_poll(c, views, BATCH, 0);
		overrun |= tapio_release(c);
	}
	check("tapio_poll", polled, (long)count * BATCH);
	check("tapio_release", (long)overrun, 0);
	tapio_consumer_close(c);
	close_producer(p);
}

/* One event on its way: the output, and what its reader does for it alone. */
static void pass_one(const char *channel, unsigned long count)
{
	struct tapio_producer *p = open_producer(channel);
	const unsigned char event[64] = {1};
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_view views[BATCH];
	struct tapio_consumer *c;
	long polled = 0;

	check("tapio_consumer_open", tapio_consumer_open(&c, channel, &options),
	      0);
	for (unsigned long i = 0; i < count; i++) {
		check("tapio_output",
		      tapio_output(p, TAPIO_TAG(1, 6), event, sizeof(event)),
		      0);
		polled += tapio_poll(c, views, BATCH, 0);
		tapio_release(c);
	}
	check("tapio_poll", polled, (long)count);
	tapio_consumer_close(c);
	close_producer(p);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *channel, unsigned long count);
	} operations[] = {
		{"output", output},
		{"reserve_submit", reserve_submit},
		{"output_batch", output_batch},
		{"reserve_batch", reserve_batch},
		{"poll", poll_batch},
		{"pass_one", pass_one},
	};

	const unsigned int known = sizeof(operations) / sizeof(operations[0]);

	for (unsigned int i = 0; argc == 3 && i < known; i++) {
		if (!strcmp(argv[1], operations[i].name)) {
			operations[i].run(argv[1], strtoul(argv[2], NULL, 10));
			return 0;
		}
	}
	fprintf(stderr, "usage: %s OPERATION COUNT\n", argv[0]);
	return 2;
}
