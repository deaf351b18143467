/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What do groups cost a producer that have nothing to do with it just now? Each is
 * a group of consumers that has joined and does not poll, with the default policy,
 * so that the producer goes on and overwrites. There is no other reader.
 */
#include <stdio.h>

#include <tapio/abi.h>

#include "bench/questions/goals.h"
#include "bench/questions/rig.h"

#define WARM (2 * RIG_BLOCKS_64)

struct idling {
	struct rig rig;
	uint32_t groups;
	uint64_t events;
};

static int join(const struct idling *idling, struct tapio_consumer **member)
{
	for (uint32_t i = 0; i < idling->groups; i++) {
		char name[16];
		const struct tapio_consumer_options options = {
			.group = name,
			.policy = TAPIO_GROUP_UNTIL,
		};

		snprintf(name, sizeof(name), "idle%u", i);
		member[i] = rig_consumer(&idling->rig, &options);
		if (!member[i])
			return -1;
	}
	return 0;
}

static int emit_all(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct tapio_consumer *member[TAPIO_GROUP_SLOTS];
	const struct idling *idling = arg;
	const uint64_t warm = idling->events < WARM ? idling->events : WARM;
	struct tapio_producer *producer;
	int err = join(idling, member);

	producer = err ? NULL : rig_producer(&idling->rig);
	if (!producer)
		return -1;
	err = rig_emit(producer, RIG_PLAIN, 0, warm);
	shared->side[index].start_ns = bench_now_ns();
	if (!err)
		err = rig_emit(producer, RIG_PLAIN, warm, idling->events);
	shared->side[index].end_ns = bench_now_ns();
	if (!err)
		err = rig_on_cpu_lanes(producer);
	tapio_producer_close(producer);
	for (uint32_t i = 0; i < idling->groups; i++)
		tapio_consumer_close(member[i]);
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct idling idling = {
		.groups = (uint32_t)(uintptr_t)subject->arg,
		.events = run->events,
	};
	const struct bench_side sides[] = {{run->cpus[0], emit_all, &idling}};
	struct bench_shared shared;
	char config[128];
	int err;

	snprintf(config, sizeof(config),
		 "channel " RIG_CHANNEL " { class main { block = 64 "
		 "blocks = %d } stamp = none groups_max = %d }\n",
		 RIG_BLOCKS_64, TAPIO_GROUP_SLOTS);
	err = rig_start(&idling.rig, config);
	if (err)
		return err;
	err = bench_sides_run(sides, 1, &shared);
	rig_stop(&idling.rig);
	figures[0] = bench_span_ns(&shared) / (double)run->events;
	return err;
}

#define GROUPS(n) ((const void *)(uintptr_t)(n))

static const struct bench_subject all = {RIG_PEER, "64 idle groups", run,
					 GROUPS(TAPIO_GROUP_SLOTS)};
static const struct bench_subject one = {RIG_PEER, "one idle group", run,
					 GROUPS(1)};
static const struct bench_subject none = {RIG_PEER, "no group", run, NULL};

static const struct bench_subject *const subjects[] = {&all, &one, &none, NULL};

static const struct bench_case cases[] = {
	{
		.name = "emit/64/groups",
		.title = "64 bytes, one output beside groups that do not read",
		.bytes = 64,
		.batch = 1,
		.events = 2000000,
		.quick_events = 2000,
		.figures = {{"an event", "ns", false}},
		.subjects = subjects,
		.goals = {GOAL_OVER("64 at most 1.15 x one", NULL,
				    "Tapio, one idle group", 0, 1.15)},
	},
	{.name = NULL},
};

const struct bench_question bench_question_groups = {
	.number = 1,
	.text = "What do groups that do not read cost a producer?",
	.cases = cases,
};
