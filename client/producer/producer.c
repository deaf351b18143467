/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a producer, and the entry of tapio_output.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 */
#include <errno.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/error.h"

int tapio_output(struct tapio_producer *p, uint32_t tag, const void *data,
		 uint32_t length)
{
	return tpi_emit_output(&p->hot.emit, tag, data, length);
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
 * flood of them may not fill the lanes that are kept for critical ones.
 */
static void fill_sizes(struct tapio_producer *p)
{
	const struct tapio_shm_channel *info = &p->client.channel.info;
	struct tpi_emit *emit = &p->hot.emit;
	uint32_t lowest = UINT32_MAX;
	uint32_t k, i;

	for (k = 0; k < info->class_count; k++)
		if (info->classes[k].priority < lowest)
			lowest = info->classes[k].priority;
	for (k = 0; k < info->class_count; k++) {
		struct tpi_size size = {0};

		fill_size(p, k, &size);
		emit->classes[k] = size;
		if (info->classes[k].priority != lowest)
			continue;
		for (i = emit->size_count++; i; i--) {
			if (emit->sizes[i - 1].bytes <= size.bytes)
				break;
			emit->sizes[i] = emit->sizes[i - 1];
		}
		emit->sizes[i] = size;
	}
	emit->class_count = info->class_count;
	p->max_bytes = emit->sizes[emit->size_count - 1].bytes;
}

static void fill_groups(struct tapio_producer *p)
{
	struct tpi_client *client = &p->client;
	struct tpi_emit *emit = &p->hot.emit;
	int slot;

	emit->gating.generation = &client->shared->generation;
	emit->gating.active = &client->shared->active;
	emit->gating.groups = client->groups;
	for (slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		emit->gating.cursors[slot] = client->cursors[slot].cursors;
		emit->armed[slot] = &client->cursors[slot].control->armed;
	}
}

/*
 * Whether a membarrier reaches this process, and whether those are made that it relies
 * on: the consumers' and the broker's. A broker that may not make them lets groups
 * join without, and then each commit needs a fence (side_lane.c).
 */
static bool barriers_reach(const struct tapio_producer *p, bool registered)
{
	/* Plain: the broker writes it once, before it lets anyone in. */
	return registered &&
	       p->client.catalog.broker->features & TAPIO_FEATURE_MEMBARRIER;
}

void tpi_producer_choose_lanes(struct tapio_producer *p)
{
	/* ORDER broker.rseq (acquire): nothing is read after it that depends on
	 * it. The order is the broker's. Pairs with the release in
	 * tpi_registry_test_rseq(). */
	tpi_rseq_hear(
		tpi_load_acquire(&p->client.catalog.broker->rseq_verdict));
	/*
	 * Relaxed, here and in the fast paths: it takes effect whenever a thread
	 * sees it. Rows and lanes were there before the handle was handed out.
	 */
	if (!p->fence && tpi_rseq_holds(tpi_load_relaxed(&p->verdict)))
		tpi_store_relaxed(&p->hot.emit.cpus, p->client.channel.cpus);
}

static void fill_hot(struct tapio_producer *p)
{
	struct tpi_emit *emit = &p->hot.emit;
	const struct tpi_channel *channel = &p->client.channel;

	fill_sizes(p);
	fill_groups(p);
	emit->output_slow = tpi_output_slow;
	emit->reserve_slow = tpi_reserve_slow;
	emit->submit_slow = tpi_submit_slow;
	emit->stamp = channel->info.stamp;
	if (emit->stamp == TAPIO_STAMP_NONE)
		emit->plain_bytes = 64; /* as any block, and one section */
	emit->me = p->client.granted.attachment;
	emit->active = &p->client.shared->active;
	emit->doorbells = channel->doorbells;
	emit->lanes = channel->lanes;
	emit->lane_count = channel->lane_count;
	tpi_producer_choose_lanes(p);
}

static int open_producer(struct tapio_producer *p, const char *channel,
			 const struct tapio_options *options)
{
	struct tpi_request request = {
		.role = TAPIO_ROLE_PRODUCE,
		.channel = channel,
	};
	bool registered;
	int err;

	p->verdict = tpi_rseq_selftest(NULL);
	request.rseq_verdict = p->verdict;
	/* Before the first commit. Without it we use side lanes and fences. */
	registered = tpi_barrier_register() == 0;
	err = tpi_side_lanes_init(&p->sides);
	if (err)
		return err;
	err = tpi_client_open(&p->client, &request, options);
	if (err) {
		pthread_mutex_destroy(&p->sides.mutex);
		return err;
	}
	p->fence = !barriers_reach(p, registered);
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
	if (err)
		return err;
	p = tpi_handle_new(sizeof(*p),
			   offsetof(struct tapio_producer, client.handle));
	if (!p)
		return tpi_open_failed(&copy, -ENOMEM);
	err = open_producer(p, channel, &copy);
	if (err) {
		tpi_handle_free(&p->client.handle);
		return tpi_open_failed(&copy, err);
	}
	*out = p;
	return 0;
}

void tapio_producer_close(struct tapio_producer *p)
{
	if (!p)
		return;
	if (tpi_alive(&p->hot.hot)) {
		tpi_side_lanes_fini(p);
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
