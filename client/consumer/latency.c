/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noting latencies. latency.h says which ones. Called by the thread that polls,
 * after the views of a lane are filled: their stamps are in them, so that
 * neither blocks nor descriptors are looked at again.
 */
#include "client/consumer/latency.h"

#include <string.h>
#include <time.h>

#include "lib/base/tsc.h"

/* Events that one of them stands for. */
#define STRIDE 32u

void tpi_latency_refresh(struct tpi_latency *latency,
			 const struct tpi_client *client)
{
	struct tapio_shm_calibration now;

	if (!latency->shm || !latency->tsc)
		return;
	tpi_client_calibration(client, &now);
	latency->mult = now.mult;
	latency->shift = now.shift < 64 ? now.shift : 0;
}

void tpi_latency_init(struct tpi_latency *latency,
		      const struct tpi_client *client, bool wanted)
{
	const struct tpi_cursors *cursors =
		&client->cursors[client->granted.group_slot];
	uint32_t stamp = client->channel.info.stamp;

	memset(latency, 0, sizeof(*latency));
	if (!wanted || stamp == TAPIO_STAMP_NONE)
		return;
	latency->shm = cursors->histogram;
	latency->tsc = stamp == TAPIO_STAMP_TSC;
	tpi_latency_refresh(latency, client);
}

/* Now, in the unit of the stamps. */
static uint64_t now_of(const struct tpi_latency *latency)
{
	struct timespec t;

	if (latency->tsc)
		return tpi_tsc();
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Clocks of two CPUs, or a clock that was set back: not before it was sent. */
static uint64_t took(const struct tpi_latency *latency, uint64_t now,
		     uint64_t stamp)
{
	int64_t ticks = (int64_t)(now - stamp);

	if (ticks <= 0)
		return 0;
	if (!latency->tsc)
		return (uint64_t)ticks;
	return (uint64_t)((unsigned __int128)(uint64_t)ticks * latency->mult >>
			  latency->shift);
}

static unsigned int pick(uint64_t position, unsigned int n)
{
	uint32_t hash =
		(uint32_t)(position * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	return (unsigned int)((uint64_t)hash * n >> 32);
}

/* How many of the views are events, up to the first record of a gap. */
static unsigned int run_of(const struct tapio_view *views, unsigned int n)
{
	unsigned int run = 0;

	while (run < n && !(views[run].flags & TAPIO_VIEW_GAP))
		run++;
	return run;
}

static void note_run(struct tpi_latency *latency, uint64_t now,
		     const struct tapio_view *views, unsigned int n)
{
	unsigned int i, some;

	if (latency->tsc && !latency->mult)
		return; /* the broker is still measuring */
	for (i = 0; i < n; i += some) {
		some = n - i < STRIDE ? n - i : STRIDE;
		tpi_histogram_add(
			latency->shm,
			took(latency, now,
			     views[i + pick(views[i].position, some)].time),
			some);
	}
}

void tpi_latency_note(struct tpi_latency *latency,
		      const struct tapio_view *views, unsigned int n)
{
	note_run(latency, now_of(latency), views, n);
}

void tpi_latency_note_mixed(struct tpi_latency *latency,
			    const struct tapio_view *views, unsigned int n)
{
	uint64_t now = now_of(latency);
	unsigned int i, run;

	for (i = 0; i < n; i += run + 1) {
		run = run_of(views + i, n - i);
		note_run(latency, now, views + i, run);
	}
}
