/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge's tournament and clock. merge.h describes the merge. Used by consumers
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

/* Of a leaf's number, when there are so many. */
static uint32_t bits_for(uint32_t sources)
{
	return sources > 1 ? 32 - (uint32_t)__builtin_clz(sources - 1) : 0;
}

int tpi_merge_init(struct tpi_merge *merge, const struct tpi_client *client,
		   uint64_t wait_ns, uint32_t sources,
		   const struct tapio_options *broker)
{
	uint32_t stamp = client->channel.info.stamp;
	size_t leaves;

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
	leaves = UINT64_C(1) << bits_for(sources);
	merge->nodes = calloc(leaves, sizeof(*merge->nodes));
	merge->keys = calloc(leaves, 2 * sizeof(*merge->keys));
	merge->sources = calloc(leaves, sizeof(*merge->sources));
	if (merge->nodes && merge->keys && merge->sources)
		return 0;
	tpi_merge_fini(merge);
	return tpi_fail(-ENOMEM, broker->error, broker->error_bytes,
			"out of memory to merge %u lanes", sources);
}

void tpi_merge_fini(struct tpi_merge *merge)
{
	free(merge->nodes);
	free(merge->keys);
	free(merge->sources);
	merge->nodes = merge->keys = NULL;
	merge->sources = NULL;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The time to wait in ticks. Not calibrated yet: no time is known, so none is waited. */
static void calibrate(struct tpi_merge *merge, const struct tpi_client *client)
{
	struct tapio_shm_calibration calibration;

	tpi_client_calibration(client, &calibration);
	if (tpi_likely(calibration.mult == merge->mult &&
		       (calibration.shift & 63) == merge->shift))
		return;
	merge->mult = calibration.mult;
	merge->shift = calibration.shift & 63;
	merge->wait = 0;
	if (merge->mult)
		merge->wait = (uint64_t)(((unsigned __int128)merge->wait_ns
					  << merge->shift) /
					 merge->mult);
}

void tpi_merge_begin(struct tpi_merge *merge, const struct tpi_client *client)
{
	uint64_t now;

	merge->count = 0;
	merge->hurry = false;
	merge->due_ns = 0;
	if (merge->tsc) {
		calibrate(merge, client);
		now = tpi_tsc();
	} else {
		now = clock_ns(CLOCK_REALTIME);
		merge->wait = merge->wait_ns;
		/* Again in each round: somebody may have set the clock. */
		merge->offset = now - clock_ns(CLOCK_MONOTONIC);
	}
	merge->bias = (UINT64_C(1) << 63) - now;
	merge->ripe = (UINT64_C(1) << 63) - merge->wait;
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

uint64_t tpi_sights_seen(struct tpi_sights *sights,
			 const struct tpi_merge *merge, uint64_t next,
			 uint64_t limit, uint64_t *upto)
{
	uint64_t tick = merge->tick;

	forget(sights, next);
	*upto = limit;
	if (sights->count) {
		const struct tpi_sight *first = sight(sights, 0);

		tick = first->tick;
		if (tapio_position_diff(first->upto, limit) < 0)
			*upto = first->upto;
	}
	return tick + merge->offset + merge->bias;
}

/* ---- the tournament ------------------------------------------------------------- */

/* From ranks in w[leaves ..], by leaf. */
static void play_all(struct tpi_merge *merge, uint64_t *w)
{
	uint64_t i, a, b;

	for (i = merge->leaves - 1; i; i--) {
		a = w[2 * i];
		b = w[2 * i + 1];
		w[i] = a < b ? a : b;
		merge->nodes[i] = a ^ b ^ w[i];
	}
	merge->nodes[0] = w[1];
}

void tpi_merge_build(struct tpi_merge *merge)
{
	uint64_t *keys = merge->keys, first = TPI_MERGE_NEVER;
	uint64_t most, ripe;
	uint32_t i;

	merge->bits = bits_for(merge->count);
	merge->leaves = 1U << merge->bits;
	for (i = 0; i < merge->count; i++)
		first = keys[i] < first ? keys[i] : first;
	/* So no key is 2^63 or more behind it. */
	first = first > TPI_MERGE_OLDEST ? first : TPI_MERGE_OLDEST;
	merge->origin = first - 2;
	most = (uint64_t)tpi_merge_most(merge);
	/* Nothing, also nothing late, if not the first. */
	ripe = merge->ripe < first
		       ? 0
		       : (uint64_t)tpi_merge_after(merge, merge->ripe);
	/* Nothing that is far is handed out before it is near. */
	merge->calm = ripe < most ? ripe << merge->bits | (merge->leaves - 1)
				  : (most << merge->bits) - 1;
	merge->limit = merge->calm;
	if (merge->hurry)
		tpi_merge_hurry(merge);
	for (i = 0; i < merge->leaves; i++)
		keys[merge->leaves + i] =
			i < merge->count ? tpi_merge_rank(merge, keys[i], i)
					 : TPI_MERGE_NEVER;
	play_all(merge, keys);
}

/* Earlier, as far as stamps can tell: they may be anything. */
static inline bool is_before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

void tpi_merge_note(struct tpi_merge *merge, const struct tapio_view *views,
		    unsigned int n)
{
	const uint64_t seen = merge->tick + merge->offset;
	uint64_t last = merge->last, late = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const uint64_t time = views[i].time;

		if (views[i].flags & TAPIO_VIEW_GAP || is_before(seen, time))
			continue;
		if (last && is_before(time, last))
			late++;
		else
			last = time;
	}
	merge->last = last;
	merge->late += late;
}

void tpi_merge_end(struct tpi_merge *merge)
{
	uint64_t ticks, ns;

	if (!tpi_merge_has_more(merge) || tpi_merge_is_ripe(merge))
		return; /* nothing waits, or not for the time */
	ticks = (merge->nodes[0] >> merge->bits) + merge->origin - merge->ripe;
	ns = merge->tsc ? (uint64_t)((unsigned __int128)ticks * merge->mult >>
				     merge->shift)
			: ticks;
	/* Whatever the clock does: nothing waits longer than this. */
	if (ns > merge->wait_ns)
		ns = merge->wait_ns;
	merge->due_ns = tpi_now_ns() + (int64_t)ns + 1;
}
