/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes whose system calls tests/cli/syscalls counts, under strace. Each
 * says "ready" when it has attached, waits for a line on its standard input, and
 * does its work between two marks that nothing else looks like in a trace: writes
 * to no file.
 *
 *	produce COUNT            events of every way of emitting, as fast as it can
 *	bursts ROUNDS COUNT      so many at once, then 5 ms of sleep
 *	consume COUNT SPIN_NS    until it has so many
 *	idle NS                  waits so long for events that do not come
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#define TAG   TAPIO_TAG(1, 6)
#define BATCH 32

static void die(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static void mark(const char *which)
{
	if (write(-1, which, strlen(which)) != -1)
		die(which, -EIO);
}

static void wait_for_start(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		die("nobody said go", -EPIPE);
}

/* Sides run beside each other where that can be. */
static void run_on(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* if it may not: anywhere */
}

/* ---- producers ----------------------------------------------------------------- */

static unsigned int by_output(struct tapio_producer *p)
{
	uint64_t data[6] = {1};

	return tapio_output(p, TAG, data, sizeof(data)) ? 0 : 1;
}

static unsigned int by_output_batch(struct tapio_producer *p)
{
	static const uint64_t data[6] = {2};
	struct tapio_item items[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++)
		items[i] = (struct tapio_item){data, sizeof(data), TAG};
	n = tapio_output_batch(p, items, BATCH);
	return n > 0 ? (unsigned int)n : 0;
}

static unsigned int by_submit(struct tapio_producer *p)
{
	struct tapio_reservation r;

	if (tapio_reserve(p, TAG, 48, &r))
		return 0;
	memset(r.data, 3, 48);
	while (tapio_submit(p, &r))
		;
	return 1;
}

static unsigned int by_submit_batch(struct tapio_producer *p)
{
	struct tapio_reservation r[BATCH];
	int n = tapio_reserve_batch(p, TAG, 48, r, BATCH), done = 0;

	for (int i = 0; i < n; i++)
		memset(r[i].data, 4, 48);
	while (done < n) {
		int now = tapio_submit_batch(p, r + done,
					     (unsigned int)(n - done));

		done += now > 0 ? now : 0;
	}
	return n > 0 ? (unsigned int)n : 0;
}

static unsigned int (*const ways[])(struct tapio_producer *) = {
	by_output, by_output_batch, by_submit, by_submit_batch};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Fails on a side lane: it blocks signals, which are calls. */
static struct tapio_producer *open_producer(void)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "events", NULL);

	if (err)
		die("producer", err);
	while (!by_output(p))
		;
	if (tapio_producer_stats_read(p, &stats) || stats.side_lane) {
		puts("the producer is on a side lane");
		exit(1);
	}
	return p;
}

/* About as many by each way: no batch is begun that would be too large. */
static void produce(uint64_t count)
{
	struct tapio_producer *p = open_producer();
	uint64_t each = count / WAYS, done = 0;

	wait_for_start();
	mark("begin");
	for (unsigned int way = 0; way < WAYS; way++)
		while (done + BATCH <= each * (way + 1))
			done += ways[way](p);
	while (done < count)
		done += by_output(p);
	mark("end");
	tapio_producer_close(p);
}

static void bursts(uint64_t rounds, uint64_t count)
{
	const struct timespec nap = {.tv_nsec = 5000000};
	struct tapio_producer *p = open_producer();

	wait_for_start();
	mark("begin");
	for (; rounds; rounds--) {
		for (uint64_t done = 0; done < count;)
			done += by_output(p);
		nanosleep(&nap, NULL);
	}
	mark("end");
	tapio_producer_close(p);
}

/* ---- consumers ----------------------------------------------------------------- */

static struct tapio_consumer *open_consumer(uint32_t spin_ns)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.policy = TAPIO_GROUP_LOSSLESS,
		.spin_ns = spin_ns,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "events", &options);

	if (err)
		die("consumer", err);
	return c;
}

/* And says how often it slept. */
static void consume(uint64_t count, uint32_t spin_ns)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};
	struct tapio_consumer *c = open_consumer(spin_ns);
	struct tapio_view views[64];
	uint64_t got = 0;

	wait_for_start();
	mark("begin");
	while (got < count) {
		int n = tapio_poll(c, views, 64, TAPIO_FOREVER);

		if (n < 0)
			die("poll", n);
		got += (unsigned int)n;
		tapio_release(c);
	}
	mark("end");
	if (got > count)
		die("more events than were emitted", -EOVERFLOW);
	if (tapio_consumer_stats_read(c, &stats))
		die("stats", -EINVAL);
	printf("%" PRIu64 "\n", stats.sleeps);
	tapio_consumer_close(c);
}

static void idle(int64_t ns)
{
	struct tapio_consumer *c = open_consumer(0);
	struct tapio_view view;

	wait_for_start();
	mark("begin");
	int n = tapio_poll(c, &view, 1, ns);
	mark("end");
	if (n)
		die("an event, or an error", n < 0 ? n : -EEXIST);
	tapio_consumer_close(c);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t a = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t b = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	bool consumes = !strcmp(what, "consume") || !strcmp(what, "idle");

	/* strace, when it is killed, would let us run on. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_on(consumes ? sysconf(_SC_NPROCESSORS_ONLN) - 1 : 0);
	if (!strcmp(what, "produce"))
		produce(a);
	else if (!strcmp(what, "bursts"))
		bursts(a, b);
	else if (!strcmp(what, "consume"))
		consume(a, (uint32_t)b);
	else if (!strcmp(what, "idle"))
		idle((int64_t)a);
	else
		return 2;
	return 0;
}
