/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe: after the storm a fresh producer sends events through every lane
 * that it can reach, each lane's ring once round and more. A lane that somebody
 * left behind wedged does not let them pass, and its tail shows that.
 *
 * With rseq it goes from CPU to CPU. Without, a side lane belongs to a handle,
 * so it opens as many handles as a class has side lanes.
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

#define HANDLES_MAX 4096 /* side lanes of a class, at most */
#define LANE_NS     INT64_C(5000000000)

struct probe {
	struct load_run *run;
	struct load_emitter emitter;
	uint64_t pattern[8];
	struct tapio_producer *handles[HANDLES_MAX];
	uint32_t handle_count;
};

uint32_t load_probe_events(uint32_t blocks)
{
	uint32_t events = blocks + blocks / 2;

	return events < LOAD_PROBE_EVENTS_MAX ? events : LOAD_PROBE_EVENTS_MAX;
}

static int open_handle(struct probe *p, struct load_place *place)
{
	char why[256] = "";
	struct tapio_options broker = load_broker(p->run, why, sizeof(why));
	int err = tapio_producer_open(&p->handles[p->handle_count],
				      p->run->options.channel, &broker);

	if (err)
		return load_place_failed(place, err, "opening a producer", why);
	p->handle_count++;
	return 0;
}

/* One event. False when there was no room for it for too long. */
static bool send_one(struct probe *p, struct tapio_producer *handle,
		     uint32_t klass)
{
	int64_t until = tpi_monotonic_ns() + LANE_NS;
	struct {
		struct load_event event;
		unsigned char content[32];
	} e = {.event = {.producer = p->emitter.producer, .length = sizeof(e)}};
	const struct timespec a_while = {.tv_nsec = 100000};
	int err;

	for (;;) {
		e.event.id = load_emit_try(&p->emitter, 1);
		if (e.event.id == UINT64_MAX)
			return false;
		load_event_fill(&e.event, p->pattern,
				p->run->scoreboard->shape.seed);
		err = tapio_output(handle,
				   TAPIO_TAG_CLASS(LOAD_EVENT_TYPE, 6, klass),
				   &e, sizeof(e));
		load_emit_done(&p->emitter, !err);
		if (!err)
			return true;
		if (tpi_monotonic_ns() > until)
			return false;
		nanosleep(&a_while, NULL);
	}
}

static void send_through(struct probe *p, struct tapio_producer *handle,
			 uint32_t klass, uint32_t blocks)
{
	uint32_t events = load_probe_events(blocks);

	for (uint32_t i = 0; i < events; i++)
		if (!send_one(p, handle, klass))
			return;
}

/* Each CPU's lane of each class, from that CPU. */
static void probe_cpus(struct probe *p)
{
	const struct tapio_shm_channel *info =
		&p->run->inspect->channels[p->run->channel].channel.info;
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue;
		for (uint32_t k = 0; k < info->class_count; k++)
			send_through(p, p->handles[0], k,
				     info->classes[k].block_count);
	}
}

/* The first side lane of each class by the first handle, and so on. */
static int probe_side_lanes(struct probe *p, struct load_place *place)
{
	const struct tapio_shm_channel *info =
		&p->run->inspect->channels[p->run->channel].channel.info;
	uint32_t most = 0;

	for (uint32_t k = 0; k < info->class_count; k++)
		if (info->classes[k].side_lanes > most)
			most = info->classes[k].side_lanes;
	while (p->handle_count < most && p->handle_count < HANDLES_MAX)
		if (open_handle(p, place))
			return 1;
	for (uint32_t k = 0; k < info->class_count; k++)
		for (uint32_t i = 0;
		     i < p->handle_count && i < info->classes[k].side_lanes;
		     i++)
			send_through(p, p->handles[i], k,
				     info->classes[k].side_count);
	return 0;
}

int load_probe(struct load_run *run, uint32_t index)
{
	struct load_place *place = &run->scoreboard->producer[index];
	struct probe p = {
		.run = run,
		.emitter = {.scoreboard = run->scoreboard,
			    .producer = LOAD_PRODUCER(index, 0)},
	};
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	int failed;

	for (size_t i = 0; i < sizeof(p.pattern) / sizeof(p.pattern[0]); i++)
		p.pattern[i] = load_mix(run->scoreboard->shape.seed + i + 1,
					UINT64_C(0x9e3779b97f4a7c15));
	failed = open_handle(&p, place);
	if (failed)
		return failed;
	tapio_producer_stats_read(p.handles[0], &stats);
	place->rseq = stats.rseq;
	/* As the library does: a self-test that could not be made says nothing. */
	if (stats.rseq == TAPIO_RSEQ_INCONCLUSIVE &&
	    run->broker_rseq == TAPIO_RSEQ_PROVEN)
		place->rseq = run->broker_rseq;
	if (place->rseq == TAPIO_RSEQ_PROVEN)
		probe_cpus(&p);
	else
		failed = probe_side_lanes(&p, place);
	for (uint32_t i = 0; i < p.handle_count; i++)
		tapio_producer_close(p.handles[i]);
	return failed;
}
