/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge's heap and clock. merge.h describes the merge. Used by consumers
 * (merge_poll.c) and observers (observer.c). Private memory only.
 */
#include "client/reader/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/error.h"
#include "lib/base/tsc.h"
#include "lib/lane/wake.h"

int tpi_merge_init(struct tpi_merge *merge, const struct tpi_client *client,
		   uint64_t wait_ns, uint32_t sources,
		   const struct tapio_options *broker)
{
	uint32_t stamp = client->channel.info.stamp;

	memset(merge, 0, sizeof(*merge));
	if (!wait_ns)
		return 0;
	if (stamp == TAPIO_STAMP_NONE)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"merge_ns: channel \"%s\" has no time stamps "
				"(stamp in the configuration)",
				client->channel.info.name);
	merge->tsc = stamp == TAPIO_STAMP_TSC;
	merge->wait_ns = wait_ns;
	merge->heap = calloc(sources, sizeof(*merge->heap));
	return merge->heap
		       ? 0
		       : tpi_fail(-ENOMEM, broker->error, broker->error_bytes,
				  "out of memory to merge %u lanes", sources);
}

void tpi_merge_fini(struct tpi_merge *merge)
{
	free(merge->heap);
	merge->heap = NULL;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void tpi_merge_begin(struct tpi_merge *merge, const struct tpi_client *client)
{
	struct tapio_shm_calibration calibration;
	uint64_t now;

	merge->count = 0;
	merge->hurry = false;
	merge->due_ns = 0;
	if (!merge->tsc) {
		now = clock_ns(CLOCK_REALTIME);
		merge->ripe = now - merge->wait_ns;
		/* Again in each round: somebody may have set the clock. */
		merge->offset = now - clock_ns(CLOCK_MONOTONIC);
		return;
	}
	tpi_client_calibration(client, &calibration);
	merge->mult = calibration.mult;
	merge->shift = calibration.shift & 63;
	/* Not calibrated yet: no time is known, so none is waited. */
	merge->ripe = tpi_tsc();
	if (merge->mult)
		merge->ripe -= (uint64_t)(((unsigned __int128)merge->wait_ns
					   << merge->shift) /
					  merge->mult);
}

void tpi_merge_tick(struct tpi_merge *merge)
{
	merge->tick =
		merge->tsc ? tpi_tsc_after_loads() : clock_ns(CLOCK_MONOTONIC);
}

/* ---- when an event was first seen ---------------------------------------------- */

int tpi_sights_init(struct tpi_sights *sights, uint32_t count)
{
	/* More wait for nothing, so that no more have to be told apart. */
	uint32_t most = count > 4 ? count / 4 : 1;

	*sights = (struct tpi_sights){
		.ring = calloc(most, sizeof(*sights->ring)),
		.mask = most - 1,
	};
	return sights->ring ? 0 : -ENOMEM;
}

void tpi_sights_fini(struct tpi_sights *sights)
{
	free(sights->ring);
	sights->ring = NULL;
}

static struct tpi_sight *sight(const struct tpi_sights *sights, uint32_t i)
{
	return &sights->ring[(sights->first + i) & sights->mask];
}

/* Forgets what is only about positions before `next`. */
static void forget(struct tpi_sights *sights, uint64_t next)
{
	while (sights->count &&
	       tapio_position_diff(sight(sights, 0)->upto, next) <= 0) {
		sights->first++;
		sights->count--;
	}
}

void tpi_sights_note(struct tpi_sights *sights, const struct tpi_merge *merge,
		     uint64_t next, uint64_t limit)
{
	struct tpi_sight *last;

	forget(sights, next);
	last = sights->count ? sight(sights, sights->count - 1) : NULL;
	if (last && tapio_position_diff(limit, last->upto) <= 0)
		return;
	/* Full: the lane hurries, and the order of the last ones is lost. */
	if (sights->count > sights->mask) {
		last->upto = limit;
		return;
	}
	*sight(sights, sights->count++) =
		(struct tpi_sight){.upto = limit, .tick = merge->tick};
}

uint64_t tpi_sights_stamp(struct tpi_sights *sights,
			  const struct tpi_merge *merge, uint64_t next,
			  uint64_t stamp)
{
	forget(sights, next);
	return tpi_merge_clamp(merge, stamp,
			       sights->count ? sight(sights, 0)->tick
					     : merge->tick);
}

/* ---- the heap: the earliest first --------------------------------------------- */

void tpi_merge_sink(struct tpi_merge *merge)
{
	struct tpi_merge_entry *heap = merge->heap, moving = heap[0];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < merge->count) {
		if (child + 1 < merge->count &&
		    tpi_merge_before(heap[child + 1].time, heap[child].time))
			child++;
		if (!tpi_merge_before(heap[child].time, moving.time))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moving;
}

void tpi_merge_push(struct tpi_merge *merge, uint64_t time, void *source)
{
	struct tpi_merge_entry *heap = merge->heap;
	uint32_t at = merge->count++;

	for (; at && tpi_merge_before(time, heap[(at - 1) / 2].time);
	     at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = (struct tpi_merge_entry){time, source};
}

void tpi_merge_drop(struct tpi_merge *merge)
{
	merge->heap[0] = merge->heap[--merge->count];
	if (merge->count)
		tpi_merge_sink(merge);
}

void tpi_merge_note(struct tpi_merge *merge, const struct tapio_view *views,
		    unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (views[i].flags & TAPIO_VIEW_GAP)
			continue;
		if (tpi_merge_clamp(merge, views[i].time, merge->tick) !=
		    views[i].time)
			continue;
		if (merge->last && tpi_merge_before(views[i].time, merge->last))
			merge->late++;
		else
			merge->last = views[i].time;
	}
}

void tpi_merge_end(struct tpi_merge *merge)
{
	uint64_t ticks, ns;

	if (!merge->count || tpi_merge_top(merge))
		return; /* nothing waits, or not for the time */
	ticks = merge->heap[0].time - merge->ripe;
	ns = merge->tsc ? (uint64_t)((unsigned __int128)ticks * merge->mult >>
				     merge->shift)
			: ticks;
	/* Whatever the clock does: nothing waits longer than this. */
	if (ns > merge->wait_ns)
		ns = merge->wait_ns;
	merge->due_ns = tpi_now_ns() + (int64_t)ns + 1;
}
