/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-deliver: what recording latencies costs a consumer. One thread fills a
 * lane and reads it again, in batches; only polling and releasing is timed, with
 * recording and, as the floor of the same turn, without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/broker.h>
#include <tapio/tapio.h>

#include "bench/harness.h"

#define BATCH_MAX 256
#define TAG       TAPIO_TAG(1, 6)

static const char config[] =
	"channel e { class main { block = 64 blocks = 4096 } stamp = tsc }\n";

static const struct {
	const char *name;
	unsigned int batch;
} cases[] = {
	{"poll 1", 1},
	{"poll 32", 32},
	{"poll 256", BATCH_MAX},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Nanoseconds per event; negative on an error, which was printed. */
static double run(uint64_t events, unsigned int batch, uint32_t latency)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.policy = TAPIO_GROUP_LOSSLESS,
		.latency = latency,
	};
	struct tapio_view views[BATCH_MAX];
	struct tapio_consumer *c;
	struct tapio_producer *p;
	uint64_t done = 0, ns = 0, begun, word[8] = {0};
	int n = 0, err = tapio_consumer_open(&c, "e", &options);

	if (!err)
		err = tapio_producer_open(&p, "e", NULL);
	if (err) {
		fprintf(stderr, "opening: %s\n", strerror(-err));
		return -1;
	}
	while (done < events && n >= 0) {
		while (!tapio_output(p, TAG, word, sizeof(word)))
			;
		begun = bench_now_ns();
		while ((n = tapio_poll(c, views, batch, 0)) > 0) {
			done += (unsigned int)n;
			tapio_release(c);
		}
		ns += bench_now_ns() - begun;
	}
	tapio_producer_close(p);
	tapio_consumer_close(c);
	return n < 0 ? -1 : (double)ns / (double)done;
}

static bool measure_all(const struct bench_options *options,
			struct bench_report *report)
{
	for (unsigned int i = 0; i < CASES; i++)
		bench_row(report, cases[i].name)->has_floor = true;
	report->pingpong_ns[0] = bench_pingpong(options);
	bench_pin(options->cpu[0]);
	for (unsigned int turn = 0; turn < options->repeats; turn++)
		for (unsigned int i = 0; i < CASES; i++) {
			struct bench_row *row = &report->rows[i];

			row->floor_ns[turn] =
				run(options->events, cases[i].batch,
				    TAPIO_LATENCY_OFF);
			row->ns[turn] = run(options->events, cases[i].batch,
					    TAPIO_LATENCY_RECORDED);
			if (row->ns[turn] < 0 || row->floor_ns[turn] < 0)
				return false;
		}
	report->pingpong_ns[1] = bench_pingpong(options);
	return true;
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.name = "deliver",
		.repeats = 11,
		.events = 1000000,
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
			    "Polling and releasing events while their "
			    "latencies are recorded; the floor is\nthe same "
			    "without recording.");
	if (tapio_broker_start(&broker, &broker_options)) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	setenv("TAPIO_SOCKET", tapio_broker_socket(broker), 1);
	good = measure_all(&options, &report);
	if (good)
		bench_print(&options, &report);
	tapio_broker_stop(broker);
	return good ? 0 : 1;
}
