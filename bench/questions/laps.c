/* SPDX-License-Identifier: Apache-2.0 */
/* See laps.h. */
#include "bench/questions/laps.h"

#define LAPS_WARM 2

static uint32_t fillers(const struct laps *laps)
{
	return (uint32_t)laps->here + laps->there;
}

/* With those that do not count. */
static uint64_t lap_count(const struct laps *laps)
{
	const uint64_t each = (uint64_t)laps->lap * fillers(laps);

	return (laps->events + each - 1) / each + LAPS_WARM;
}

static int fill(const struct laps *laps, struct bench_shared *shared, void *end,
		uint64_t lap, bool mine)
{
	int err = mine ? laps->fill(end, lap * laps->lap, laps->lap) : 0;

	if (!err)
		bench_ready(shared);
	return err;
}

static int read_laps(const struct laps *laps, struct bench_shared *shared,
		     void *end, uint64_t *spent_ns)
{
	const uint64_t each = (uint64_t)laps->lap * fillers(laps);
	uint64_t begun, lap;
	int err = 0;

	for (lap = 0; !err && lap < lap_count(laps); lap++) {
		if (lap == LAPS_WARM)
			*spent_ns = 0;
		err = fill(laps, shared, end, lap, laps->here);
		if (err)
			break;
		begun = bench_now_ns();
		err = laps->read(end, each);
		*spent_ns += bench_now_ns() - begun;
		if (!err)
			bench_ready(shared);
	}
	return err;
}

static int reader(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct laps *laps = arg;
	const uint64_t each = (uint64_t)laps->lap * fillers(laps);
	uint64_t spent_ns = 0;
	void *end;
	int err = laps->open(laps, true, &end);

	if (err)
		return err;
	bench_ready(shared); /* joined, before anybody fills */
	err = read_laps(laps, shared, end, &spent_ns);
	shared->side[index].value[0] =
		(double)spent_ns /
		((double)each * (double)(lap_count(laps) - LAPS_WARM));
	return err ? err : laps->close(end, true, each * lap_count(laps));
}

static int filler(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct laps *laps = arg;
	void *end;
	int err = laps->open(laps, false, &end);

	(void)index;
	if (err)
		return err;
	bench_ready(shared);
	for (uint64_t lap = 0; !err && lap < lap_count(laps); lap++) {
		err = fill(laps, shared, end, lap, true);
		if (!err)
			bench_ready(shared); /* it was read */
	}
	return err ? err : laps->close(end, false, 0);
}

int laps_run(const struct bench_run *run, const struct laps *laps,
	     double *event_ns)
{
	struct laps all = *laps;
	const struct bench_side sides[] = {
		{run->cpus[0], reader, &all},
		{run->cpus[1], filler, &all},
	};
	struct bench_shared shared;
	int err;

	all.events = run->events;
	if (all.lap > run->events)
		all.lap = (uint32_t)run->events;
	err = bench_sides_run(sides, all.there ? 2 : 1, &shared);
	*event_ns = shared.side[0].value[0];
	return err;
}
