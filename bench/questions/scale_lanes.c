/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The costs of channels and CPUs: a broker's start and memory, attaching to
 * many lanes, and looking at them when there is nothing. Machines larger than
 * this one are simulated by the broker: the lanes are there, their CPUs are
 * not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/abi.h>
#include <tapio/tapio.h>

#include "bench/questions/scale.h"
#include "lib/base/atomic.h"

#define TAG TAPIO_TAG(100, 5)
/* Attaching once is little to go by. */
#define ATTACHES 15

struct job {
	const struct bench_case *of;
	uint64_t events;
};

int scale_broker(struct tapio_broker **broker, const char *config,
		 const char *socket, uint32_t cpus)
{
	char error[200];
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.socket = socket,
		.error = error,
		.error_bytes = sizeof(error),
		.simulate_cpus = cpus,
	};
	int err = tapio_broker_start(broker, &options);

	if (err)
		bench_why("the broker: %s: %s", strerror(-err), error);
	return err;
}

/* ---- many channels --------------------------------------------------------------- */

static char *channels_config(uint64_t count)
{
	char *text = NULL;
	size_t bytes;
	FILE *file = open_memstream(&text, &bytes);

	if (!file)
		return NULL;
	for (uint64_t i = 0; i < count; i++)
		fprintf(file,
			"channel c%llu { class main { block = 256  blocks = "
			"256 } }\n",
			(unsigned long long)i);
	fclose(file);
	return text;
}

static int side_channels(void *arg, struct bench_shared *shared,
			 unsigned int index)
{
	const struct job *job = arg;
	double *value = shared->side[index].value;
	char *config = channels_config(job->events);
	struct tapio_broker *broker;
	uint64_t start = bench_now_ns();
	int err = config ? scale_broker(&broker, config, NULL, 0) : -1;

	value[0] = (double)(bench_now_ns() - start);
	free(config);
	if (err)
		return err;
	value[1] = (double)scale_memfd_bytes("tapio-");
	value[2] = (double)scale_memfd_bytes("tapio-catalog");
	value[3] = (double)scale_own_bytes();
	tapio_broker_stop(broker);
	return 0;
}

/* ---- many CPUs ------------------------------------------------------------------- */

static struct tapio_options options_of(const struct tapio_broker *broker)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = tapio_broker_socket(broker),
	};
}

static int open_consumer(const struct tapio_broker *broker,
			 struct tapio_consumer **consumer)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = options_of(broker),
		.group = "all",
	};
	int err = tapio_consumer_open(consumer, "events", &options);

	if (err)
		bench_why("a consumer: %s", strerror(-err));
	return err;
}

static int open_producer(const struct tapio_broker *broker,
			 struct tapio_producer **producer)
{
	struct tapio_options options = options_of(broker);
	int err = tapio_producer_open(producer, "events", &options);

	if (err)
		bench_why("a producer: %s", strerror(-err));
	return err;
}

/* Medians of some. The process has attached before, so rseq is proven. */
static int time_attaching(const struct tapio_broker *broker, double *value)
{
	double produce[ATTACHES], consume[ATTACHES];
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	uint64_t start, middle;

	for (int i = -1; i < ATTACHES; i++) {
		start = bench_now_ns();
		if (open_producer(broker, &producer))
			return -1;
		middle = bench_now_ns();
		if (open_consumer(broker, &consumer))
			return -1;
		if (i >= 0) {
			produce[i] = (double)(middle - start);
			consume[i] = (double)(bench_now_ns() - middle);
		}
		tapio_consumer_close(consumer);
		tapio_producer_close(producer);
	}
	value[0] = bench_median(produce, ATTACHES);
	value[1] = bench_median(consume, ATTACHES);
	return 0;
}

static int side_cpus(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;
	double *value = shared->side[index].value;
	struct tapio_broker *broker;
	uint64_t start = bench_now_ns();
	int err = scale_broker(&broker, "channel events {}\n", NULL,
			       (uint32_t)job->of->param);

	value[0] = (double)(bench_now_ns() - start);
	if (err)
		return err;
	value[1] = (double)scale_memfd_bytes("tapio-");
	err = time_attaching(broker, &value[2]);
	tapio_broker_stop(broker);
	return err;
}

/* ---- looking at many lanes --------------------------------------------------------- */

static int time_idle(struct tapio_consumer *consumer, uint64_t count,
		     double *value)
{
	struct tapio_view views[64];
	uint64_t start;
	int n = 0;

	for (uint64_t i = 0; !n && i < count / 8; i++)
		n = tapio_poll(consumer, views, 64, 0);
	start = bench_now_ns();
	for (uint64_t i = 0; !n && i < count; i++)
		n = tapio_poll(consumer, views, 64, 0);
	*value = (double)(bench_now_ns() - start) / (double)count;
	if (n)
		bench_why("tapio_poll found %d where nothing is", n);
	return n ? -1 : 0;
}

/* One event on the lane of this CPU, found among the others. */
static int time_one(struct tapio_producer *producer,
		    struct tapio_consumer *consumer, uint64_t count,
		    double *value)
{
	uint64_t start = bench_now_ns(), word = 1;
	struct tapio_view views[64];

	for (uint64_t i = 0; i < count; i++)
		if (tapio_output(producer, TAG, &word, sizeof(word)) ||
		    tapio_poll(consumer, views, 64, 0) != 1 ||
		    tapio_release(consumer)) {
			bench_why("an event did not arrive");
			return -1;
		}
	*value = (double)(bench_now_ns() - start) / (double)count;
	return 0;
}

static const char poll_config[] =
	"channel events {\n"
	"	stamp = none\n"
	"	class main { block = 64  blocks = 64  side_lanes = 0 }\n"
	"}\n";

static int side_poll(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;
	double *value = shared->side[index].value;
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct tapio_broker *broker;
	int err = scale_broker(&broker, poll_config, NULL,
			       (uint32_t)job->of->param);

	if (err)
		return err;
	err = open_producer(broker, &producer);
	if (!err)
		err = open_consumer(broker, &consumer);
	if (!err)
		err = time_idle(consumer, job->events, &value[0]);
	if (!err)
		err = time_one(producer, consumer, job->events, &value[1]);
	if (!err) {
		tapio_consumer_close(consumer);
		tapio_producer_close(producer);
	}
	tapio_broker_stop(broker);
	return err;
}

/* One word of each lane's record, all in a row, and one written and read. */
static int side_poll_floor(void *arg, struct bench_shared *shared,
			   unsigned int index)
{
	const struct job *job = arg;
	const uint64_t lanes = job->of->param;
	double *value = shared->side[index].value;
	struct tapio_shm_lane *lane = calloc(lanes, sizeof(*lane));
	uint64_t start, found = 0;

	if (!lane)
		return -1;
	for (int write = 0; write < 2; write++) {
		start = bench_now_ns();
		for (uint64_t i = 0; i < job->events; i++) {
			/* Relaxed, all: one thread. */
			if (write)
				tpi_store_relaxed(&lane[0].state, i + 1);
			for (uint64_t k = 0; k < lanes; k++)
				found += tpi_load_relaxed(&lane[k].state) > i;
		}
		value[write] =
			(double)(bench_now_ns() - start) / (double)job->events;
	}
	free(lane);
	return found == job->events ? 0 : -1;
}

/* ---- running ---------------------------------------------------------------------- */

static int run_side(const struct bench_run *run,
		    int (*side)(void *arg, struct bench_shared *shared,
				unsigned int index),
		    int cpu, double *figures)
{
	struct job job = {run->of, run->events};
	const struct bench_side sides[] = {{cpu, side, &job}};
	struct bench_shared shared;
	int err = bench_sides_run(sides, 1, &shared);

	memcpy(figures, shared.side[0].value, sizeof(shared.side[0].value));
	return err;
}

int scale_channels(const struct bench_run *run,
		   const struct bench_subject *subject, double *figures)
{
	/* Two for each segment, of which a channel has 65. */
	int err = scale_need_fds(run->events * 2 * (TAPIO_GROUP_SLOTS + 1) +
				 2400);

	(void)subject;
	return err ? err : run_side(run, side_channels, -1, figures);
}

int scale_cpus(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	(void)subject;
	return run_side(run, side_cpus, -1, figures);
}

int scale_poll(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	(void)subject;
	return run_side(run, side_poll, run->cpus[0], figures);
}

int scale_poll_floor(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures)
{
	(void)subject;
	return run_side(run, side_poll_floor, run->cpus[0], figures);
}
