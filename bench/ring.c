/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-ring: what a put and a get of tapio_ring cost, beside the multi-producer
 * multi-consumer rings of Concurrency Kit and DPDK where these are installed.
 *
 * What is compared is measured in turns, in an order that rotates; the figures
 * are medians of the turns, and so are the ratios. The peers stop when one of
 * their users is killed inside a call; they are here for the price of not doing so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/harness.h"
#include "bench/ring_peer.h"

#define CAPACITY 1024
#define WARM     (8 * CAPACITY)

static const struct ring_peer *const peers[] = {
	&ring_tapio,
#ifdef BENCH_CK
	&ring_ck,
#endif
#ifdef BENCH_DPDK
	&ring_dpdk,
#endif
};
#define PEERS (sizeof(peers) / sizeof(peers[0]))

/* What one measurement is about, for the sides of it. */
struct job {
	const struct ring_peer *peer;
	void *ring;
	uint64_t count;
	int (*put)(void *ring, uint64_t count);
	int (*get)(void *ring, uint64_t count);
	bool time_gets;
};

void *ring_memory(uint64_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED) {
		fprintf(stderr, "bench-ring: no memory\n");
		exit(1);
	}
	return memory;
}

static int side_pairs(void *arg, struct bench_pair *pair)
{
	struct job *job = arg;
	int err = job->peer->pairs(job->ring, WARM);

	pair->start_ns = bench_now_ns();
	if (!err)
		err = job->peer->pairs(job->ring, job->count);
	pair->end_ns = bench_now_ns();
	return err;
}

/* Rounds of filling and draining the ring, one of which is timed. */
static int side_rounds(void *arg, struct bench_pair *pair)
{
	struct job *job = arg;
	uint64_t begin, middle, spent = 0;
	int err = job->put(job->ring, CAPACITY) | /* not timed: new pages */
		  job->get(job->ring, CAPACITY);

	for (uint64_t done = 0; !err && done < job->count; done += CAPACITY) {
		begin = bench_now_ns();
		err = job->put(job->ring, CAPACITY);
		middle = bench_now_ns();
		err |= job->get(job->ring, CAPACITY);
		if (job->time_gets)
			spent += bench_now_ns() - middle;
		else
			spent += middle - begin;
	}
	pair->start_ns = 0;
	pair->end_ns = spent;
	return err;
}

/* The first values of either side are not timed. */
static int side_put(void *arg, struct bench_pair *pair)
{
	struct job *job = arg;
	int err = job->put(job->ring, WARM);

	bench_ready(pair);
	pair->start_ns = bench_now_ns();
	return err ? err : job->put(job->ring, job->count);
}

static int side_get(void *arg, struct bench_pair *pair)
{
	struct job *job = arg;
	int err = job->get(job->ring, WARM);

	bench_ready(pair);
	if (!err)
		err = job->get(job->ring, job->count);
	/* The later of the two: stores of one word, in order of time. */
	pair->end_ns = bench_now_ns();
	return err;
}

enum question {
	PAIR,
	PUT,
	GET,
	PUT_BATCH,
	GET_BATCH,
	STREAM,
	CONTEND,
	QUESTIONS
};

static const struct {
	const char *name;
	const char *text;
} questions[QUESTIONS] = {
	{"put_get", "put and get, one thread"},
	{"put", "put, one thread"},
	{"get", "get, one thread"},
	{"put_batch", "put, 32 at once"},
	{"get_batch", "get, 32 at once"},
	{"stream", "one process to another"},
	{"contend", "two processes, put and get"},
};

/* Nanoseconds per value; 0: not what this ring can do; negative: failed. */
static double ask(const struct bench_options *options,
		  const struct ring_peer *peer, enum question question)
{
	struct job job = {
		peer, peer->make(CAPACITY), options->events, NULL, NULL, false};
	bench_side first = side_rounds, second = NULL;
	double ns;

	switch (question) {
	case PAIR:
		first = side_pairs;
		break;
	case PUT:
	case GET:
		job.put = peer->fill;
		job.get = peer->drain;
		break;
	case PUT_BATCH:
	case GET_BATCH:
		job.put = peer->fill_batch;
		job.get = peer->drain_batch;
		if (!job.put)
			return 0;
		break;
	case STREAM:
		job.put = peer->send;
		job.get = peer->receive;
		first = side_put;
		second = side_get;
		break;
	default:
		job.put = job.get = peer->contend;
		first = side_put;
		second = side_get;
	}
	job.time_gets = question == GET || question == GET_BATCH;
	ns = bench_pair_run(options, first, second, &job);
	return ns < 0 ? ns : ns / (double)options->events;
}

static double ns[QUESTIONS][PEERS][BENCH_REPEATS_MAX];

static bool measure_all(const struct bench_options *options)
{
	for (unsigned int turn = 0; turn < options->repeats; turn++)
		for (unsigned int q = 0; q < QUESTIONS; q++)
			for (unsigned int i = 0; i < PEERS; i++) {
				unsigned int p = (i + turn) % PEERS;

				ns[q][p][turn] = ask(options, peers[p], q);
				if (ns[q][p][turn] < 0)
					return false;
			}
	return true;
}

/* Of a peer to Tapio, turn by turn: more than 1 means that Tapio is quicker. */
static double ratio(const struct bench_options *options, unsigned int q,
		    unsigned int p)
{
	double ratios[BENCH_REPEATS_MAX];

	for (unsigned int turn = 0; turn < options->repeats; turn++)
		ratios[turn] = ns[q][p][turn] / ns[q][0][turn];
	return bench_median(ratios, options->repeats);
}

static double least(const double *values, unsigned int count)
{
	double least = values[0];

	for (unsigned int i = 1; i < count; i++)
		if (values[i] < least)
			least = values[i];
	return least;
}

static void print_table(const struct bench_options *o)
{
	printf("bench-ring: CPUs %d and %d, capacity %d, %u turns of %llu "
	       "values\n\n%-28s %-6s %10s %10s %10s\n",
	       o->cpu[0], o->cpu[1], CAPACITY, o->repeats,
	       (unsigned long long)o->events, "ns per value", "", "median",
	       "best", "to tapio");
	for (unsigned int q = 0; q < QUESTIONS; q++)
		for (unsigned int p = 0; p < PEERS; p++) {
			double median = bench_median(ns[q][p], o->repeats);

			if (median == 0)
				continue;
			printf("%-28s %-6s %10.2f %10.2f",
			       p ? "" : questions[q].text, peers[p]->name,
			       median, least(ns[q][p], o->repeats));
			if (p)
				printf(" %10.2f", ratio(o, q, p));
			putchar('\n');
		}
	/* Whose machine is not known: an order of magnitude, no ratio. */
	printf("\nAs published for the package that Tapio replaces, elsewhere: "
	       "put 89.3,\nget 103, a batch put 489 ns.\n");
}

static void print_json(const struct bench_options *o)
{
	const char *comma = "";

	printf("{\"bench\":\"ring\",\"cpus\":[%d,%d],\"repeats\":%u,"
	       "\"events\":%llu,\"capacity\":%d,\"rows\":[",
	       o->cpu[0], o->cpu[1], o->repeats, (unsigned long long)o->events,
	       CAPACITY);
	for (unsigned int q = 0; q < QUESTIONS; q++)
		for (unsigned int p = 0; p < PEERS; p++) {
			double median = bench_median(ns[q][p], o->repeats);

			if (median == 0)
				continue;
			printf("%s{\"name\":\"%s\",\"ring\":\"%s\","
			       "\"unit\":\"ns\",\"median\":%.3f,"
			       "\"best\":%.3f,\"to_tapio\":%.3f}",
			       comma, questions[q].name, peers[p]->name, median,
			       least(ns[q][p], o->repeats), ratio(o, q, p));
			comma = ",";
		}
	printf("]}\n");
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.name = "ring",
		.repeats = 11,
		.events = 2048 * CAPACITY,
	};

	bench_options_parse(&options, argc, argv,
			    "tapio_ring beside its peers: one thread, batches, "
			    "one process to another,\nand two that both put "
			    "and get.");
	options.events = (options.events + CAPACITY - 1) / CAPACITY * CAPACITY;
	if (!measure_all(&options)) {
		fprintf(stderr, "bench-ring: a ring failed\n");
		return 1;
	}
	if (options.json)
		print_json(&options);
	else
		print_table(&options);
	return 0;
}
