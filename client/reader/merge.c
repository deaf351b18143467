/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge's heap and clock; what it does is in merge.h. Used by consumers
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

void tpi_merge_begin(struct tpi_merge *merge, const struct tpi_client *client)
{
	struct tapio_shm_calibration calibration;
	struct timespec t;

	merge->count = 0;
	merge->hurry = false;
	merge->due_ns = 0;
	if (!merge->tsc) {
		clock_gettime(CLOCK_REALTIME, &t);
		merge->now =
			(uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		merge->ripe = merge->now - merge->wait_ns;
		return;
	}
	tpi_client_calibration(client, &calibration);
	merge->mult = calibration.mult;
	merge->shift = calibration.shift & 63;
	merge->now = tpi_tsc();
	/* Not calibrated yet: no time is known, so none is waited. */
	merge->ripe = merge->now;
	if (merge->mult)
		merge->ripe -= (uint64_t)(((unsigned __int128)merge->wait_ns
					   << merge->shift) /
					  merge->mult);
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
	/* A stamp from the future makes nobody wait longer than this. */
	if (ns > merge->wait_ns)
		ns = merge->wait_ns;
	merge->due_ns = tpi_now_ns() + (int64_t)ns + 1;
}
