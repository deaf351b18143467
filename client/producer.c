/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a producer, and the fast path of tapio_output.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "client/producer.h"
#include "lib/testpoint.h"

/*
 * What a kill or a stop does at each step:
 *
 *   choosing class and lane   nothing has happened
 *   tpi_lane_output           lane.c: before its commit nothing, after it all
 *   tpi_ring_if_armed         the event is published; who sleeps is woken by the
 *                             next producer, by the broker, or by the bound
 *
 * Migration and signal handlers: the lane was a guess, the section checks it. A
 * handler that emits here runs a whole output of its own; ours finds another
 * state and tries again (tpi_output_slow).
 */
int tapio_output(struct tapio_producer *p, uint32_t tag, const void *data,
		 uint32_t length)
{
	const struct tpi_producer_hot *hot = &p->hot;
	const struct tpi_size *size = tpi_size_of(hot, tag, length, true);
	const struct tpi_lane *lane;

	if (tpi_unlikely(!size || !TAPIO_TAG_TYPE(tag)))
		return tpi_output_slow(p, tag, data, length);
	lane = tpi_lane_here(hot, size);
	if (tpi_unlikely(!lane) ||
	    tpi_unlikely(tpi_lane_output(lane, &hot->gating,
					 tpi_meta(tag, length), tpi_stamp(hot),
					 data, length)))
		return tpi_output_slow(p, tag, data, length);
	TPI_TESTPOINT("output.published");
	tpi_ring_if_armed(hot, lane);
	return 0;
}

/* Out of line: it needs room on the stack, which the others do not. */
__attribute__((noinline)) uint64_t tpi_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whether a group has as much to read on a lane as its member waits for. */
static bool mark_reached(const struct tpi_producer_hot *hot,
			 const struct tpi_lane *lane, int slot)
{
	const struct tapio_shm_cursor *cursor = hot->gating.cursors[slot];
	uint64_t head, tail, unread;
	uint32_t mark;

	if (!cursor)
		return true;
	cursor += lane->id;
	/* Relaxed, all of them: the sleeper's barrier orders them (wake.h). */
	mark = tpi_load_relaxed(&cursor->mark);
	if (mark <= 1)
		return true;
	head = tpi_load_relaxed(&cursor->head);
	tail = TAPIO_STATE_TAIL(tpi_load_relaxed(&lane->shm->state));
	unread = (tail - TAPIO_HEAD_POSITION(head)) & TAPIO_POSITION_MASK;
	/* Whatever the mark says: a lane is not left to fill up. */
	return unread >= mark || unread > lane->mask / 2;
}

/*
 * W2 to W5 of wake.h, for every group that waits: they all sleep on the one
 * doorbell, so one ring answers them all.
 */
__attribute__((noinline, cold)) void
tpi_ring(const struct tpi_producer_hot *hot, const struct tpi_lane *lane)
{
	uint64_t active = tpi_load_relaxed(hot->active);
	uint32_t armed[TAPIO_GROUP_SLOTS];
	uint64_t rest;
	bool due = !lane;
	int slot;

	for (rest = active; rest; rest &= rest - 1) {
		slot = __builtin_ctzll(rest);
		armed[slot] = tpi_load_relaxed(hot->armed[slot]);
		if (!due &&
		    tpi_wake_wanted(armed[slot],
				    tpi_load_relaxed(&hot->bell->rung[slot])))
			due = mark_reached(hot, lane, slot);
	}
	if (!due)
		return;
	tpi_wake_all(&hot->bell->doorbell);
	/* SIGKILL here: `rung` stays old, the next producer rings again. */
	TPI_TESTPOINT("ring.woken");
	for (rest = active; rest; rest &= rest - 1) {
		slot = __builtin_ctzll(rest);
		/* Relaxed: whoever reads it does so after its own commit and
		 * needs no order with ours; a lost update rings once more. */
		if (tpi_wake_wanted(armed[slot],
				    tpi_load_relaxed(&hot->bell->rung[slot])))
			tpi_store_relaxed(&hot->bell->rung[slot], armed[slot]);
	}
}

/* ---- opening and closing --------------------------------------------------- */

static void fill_size(struct tapio_producer *p, uint32_t klass,
		      struct tpi_size *size)
{
	const struct tpi_channel *channel = &p->client.channel;
	uint32_t bytes = channel->info.classes[klass].block_bytes;

	size->bytes = bytes;
	size->fast_bytes = bytes < TPI_COPY_BYTES ? bytes : TPI_COPY_BYTES;
	size->klass = klass;
	size->row = channel->by_cpu + (size_t)klass * channel->cpus;
}

/*
 * Untagged events choose by size among the classes of the lowest priority: a
 * flood of them may not fill what is kept for critical ones.
 */
static void fill_sizes(struct tapio_producer *p)
{
	const struct tapio_shm_channel *info = &p->client.channel.info;
	struct tpi_producer_hot *hot = &p->hot;
	uint32_t lowest = UINT32_MAX;
	uint32_t k, i;

	for (k = 0; k < info->class_count; k++)
		if (info->classes[k].priority < lowest)
			lowest = info->classes[k].priority;
	for (k = 0; k < info->class_count; k++) {
		struct tpi_size size = {0};

		fill_size(p, k, &size);
		hot->classes[k] = size;
		if (info->classes[k].priority != lowest)
			continue;
		for (i = hot->size_count++; i; i--) {
			if (hot->sizes[i - 1].bytes <= size.bytes)
				break;
			hot->sizes[i] = hot->sizes[i - 1];
		}
		hot->sizes[i] = size;
	}
	hot->class_count = info->class_count;
	p->max_bytes = hot->sizes[hot->size_count - 1].bytes;
}

static void fill_groups(struct tapio_producer *p)
{
	struct tpi_client *client = &p->client;
	struct tpi_producer_hot *hot = &p->hot;
	int slot;

	hot->gating.generation = &client->shared->generation;
	hot->gating.active = &client->shared->active;
	hot->gating.groups = client->groups;
	for (slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		hot->gating.cursors[slot] = client->cursors[slot].cursors;
		hot->armed[slot] = &client->cursors[slot].control->armed;
	}
}

/* Whether this process may run sections on CPUs' lanes. */
static bool sections_hold(const struct tapio_producer *p)
{
	if (p->fence)
		return false;
	if (p->verdict == TAPIO_RSEQ_INCONCLUSIVE)
		/* Relaxed: written before the broker let anyone in. */
		return tpi_load_relaxed(
			       &p->client.catalog.broker->rseq_verdict) ==
		       TAPIO_RSEQ_PROVEN;
	return p->verdict == TAPIO_RSEQ_PROVEN;
}

static void fill_hot(struct tapio_producer *p)
{
	struct tpi_producer_hot *hot = &p->hot;
	const struct tpi_channel *channel = &p->client.channel;

	fill_sizes(p);
	fill_groups(p);
	hot->stamp = channel->info.stamp;
	hot->me = p->client.granted.attachment;
	hot->active = &p->client.shared->active;
	hot->bell = channel->doorbell;
	hot->lanes = channel->lanes;
	hot->lane_count = channel->lane_count;
	hot->cpus = sections_hold(p) ? channel->cpus : 0;
}

static int open_producer(struct tapio_producer *p, const char *channel,
			 const struct tapio_options *options)
{
	struct tpi_request request = {
		.role = TAPIO_ROLE_PRODUCE,
		.channel = channel,
	};
	int err;

	p->verdict = tpi_rseq_selftest(NULL);
	request.rseq_verdict = p->verdict;
	/* Before the first commit; without it we use side lanes and fences. */
	p->fence = tpi_barrier_register() != 0;
	err = tpi_sides_init(&p->sides);
	if (err)
		return err;
	err = tpi_client_open(&p->client, &request, options);
	if (err) {
		pthread_mutex_destroy(&p->sides.mutex);
		return err;
	}
	fill_hot(p);
	return 0;
}

int tapio_producer_open(struct tapio_producer **out, const char *channel,
			const struct tapio_options *options)
{
	struct tapio_options copy;
	struct tapio_producer *p;
	int err;

	*out = NULL;
	err = tpi_options_broker(&copy, options);
	if (err || !channel)
		return -EINVAL;
	p = tpi_handle_new(sizeof(*p),
			   offsetof(struct tapio_producer, client.handle));
	if (!p)
		return -ENOMEM;
	err = open_producer(p, channel, &copy);
	if (err) {
		tpi_handle_free(&p->client.handle);
		return err;
	}
	*out = p;
	return 0;
}

void tapio_producer_close(struct tapio_producer *p)
{
	if (!p)
		return;
	if (tpi_alive(&p->hot.hot)) {
		tpi_sides_fini(p);
		pthread_mutex_destroy(&p->sides.mutex);
	}
	tpi_client_close(&p->client);
	tpi_handle_free(&p->client.handle);
}

uint32_t tapio_producer_max_bytes(const struct tapio_producer *p)
{
	return p->max_bytes;
}

int tapio_producer_class(const struct tapio_producer *p, const char *name)
{
	const struct tapio_shm_channel *info = &p->client.channel.info;
	uint32_t k;

	if (!tpi_alive(&p->hot.hot))
		return -ECHILD;
	for (k = 0; name && k < info->class_count; k++)
		if (!strncmp(info->classes[k].name, name,
			     sizeof(info->classes[k].name)))
			return (int)k;
	return -ENOENT;
}

const char *tapio_producer_error(const struct tapio_producer *p)
{
	return p->client.error;
}

int tapio_producer_connected(const struct tapio_producer *p)
{
	return tpi_alive(&p->hot.hot) ? tpi_client_connected(&p->client) : 0;
}
