/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a producer, and the entry of tapio_output.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/error.h"

int tapio_output(struct tapio_producer *handle, uint32_t tag, const void *data,
		 uint32_t length)
{
	return tpi_emit_output(&tpi_producer_now(handle)->emit, tag, data,
			       length);
}

/* ---- filling in an attachment ----------------------------------------------- */

static void fill_size(struct tpi_producer *p, uint32_t klass,
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
static void fill_sizes(struct tpi_producer *p)
{
	const struct tapio_shm_channel *info = &p->client.channel.info;
	struct tpi_emit *emit = &p->emit;
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

/* The words that a producer looks at after each commit (lib/lane/wake.h, B1). */
static void fill_boards(struct tpi_producer *p)
{
	struct tpi_client *client = &p->client;
	struct tapio_shm_doorbells *doorbells = client->channel.doorbells;
	struct tpi_emit *emit = &p->emit;
	bool made = client->catalog.minor >= TAPIO_ABI_MINOR_BOARDS;

	emit->boards = made ? &client->shared->boards : &client->shared->active;
	emit->unboarded = made ? &client->shared->unboarded : NULL;
	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		const struct tapio_shm_group_control *control =
			client->cursors[slot].control;

		emit->board[slot] = made ? &control->board : &control->armed;
		emit->board_seen[slot] =
			made ? &doorbells->slots[slot].board_seen
			     : &doorbells->answered[slot];
	}
}

static void fill_groups(struct tpi_producer *p)
{
	struct tpi_client *client = &p->client;
	struct tpi_emit *emit = &p->emit;
	int slot;

	emit->gating.generation = &client->shared->generation;
	emit->gating.active = &client->shared->active;
	emit->gating.groups = client->groups;
	for (slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		emit->gating.cursors[slot] = client->cursors[slot].cursors;
		emit->control[slot] = client->cursors[slot].control;
	}
	emit->rounds = client->catalog.minor >= TAPIO_ABI_MINOR_ROUNDS;
	fill_boards(p);
	tpi_slots_init(p);
}

/*
 * Whether a membarrier reaches this process, and whether those are made that it relies
 * on: the consumers' and the broker's. A broker that may not make them lets groups
 * join without, and then each commit needs a fence (side_lane.c).
 */
static bool barriers_reach(const struct tpi_producer *p, bool registered)
{
	/* Plain: the broker writes it once, before it lets anyone in. */
	return registered &&
	       p->client.catalog.broker->features & TAPIO_FEATURE_MEMBARRIER;
}

void tpi_producer_choose_lanes(struct tpi_producer *p)
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
	if (!p->fence && !tpi_load_relaxed(&p->left) &&
	    tpi_rseq_holds(tpi_load_relaxed(&p->verdict)))
		tpi_store_relaxed(&p->emit.cpus, p->client.channel.cpus);
}

static void fill_hot(struct tpi_producer *p)
{
	struct tpi_emit *emit = &p->emit;
	const struct tpi_channel *channel = &p->client.channel;

	fill_sizes(p);
	fill_groups(p);
	emit->output_slow = tpi_output_slow;
	emit->reserve_slow = tpi_reserve_slow;
	emit->submit_slow = tpi_submit_slow;
	emit->stamp = channel->info.stamp;
	emit->wide = tpi_emit_wide();
	if (emit->stamp == TAPIO_STAMP_NONE)
		emit->plain_span = TPI_USUAL_SPAN;
	else if (emit->stamp == TAPIO_STAMP_TSC)
		emit->tsc_span = TPI_USUAL_SPAN;
	emit->me = p->client.granted.attachment;
	emit->active = &p->client.shared->active;
	emit->doorbells = channel->doorbells;
	emit->lanes = channel->lanes;
	emit->lane_count = channel->lane_count;
	emit->serving = &p->client.catalog.broker->serving;
	tpi_producer_choose_lanes(p);
}

void tpi_producer_opened(struct tpi_producer *p)
{
	p->fence = !barriers_reach(p, p->owner->registered);
	fill_hot(p);
}

/* ---- opening and closing --------------------------------------------------- */

void tpi_producer_request(const struct tapio_producer *handle,
			  struct tpi_request *request)
{
	*request = (struct tpi_request){
		.role = TAPIO_ROLE_PRODUCE,
		.channel = handle->channel,
		.rseq_verdict = handle->verdict,
	};
}

struct tpi_producer *tpi_producer_make(struct tapio_producer *handle)
{
	struct tpi_producer *p = tpi_handle_make(
		sizeof(*p), offsetof(struct tpi_producer, client.handle));

	if (!p)
		return NULL;
	if (tpi_side_lanes_init(&p->sides)) {
		tpi_handle_unmake(&p->client.handle);
		return NULL;
	}
	p->owner = handle;
	p->verdict = handle->verdict;
	p->client.link.known = &p->emit.served;
	return p;
}

void tpi_producer_unmake(struct tpi_producer *p)
{
	if (tpi_alive(&p->hot))
		pthread_mutex_destroy(&p->sides.mutex);
	tpi_handle_unmake(&p->client.handle);
}

/* Its name is checked by the open, which says what is wrong with it. */
static void save_channel(struct tapio_producer *handle, const char *channel)
{
	if (channel)
		strncpy(handle->channel, channel, sizeof(handle->channel) - 1);
}

static int open_producer(struct tapio_producer *handle, const char *channel,
			 const struct tapio_options *options)
{
	struct tpi_request request;
	int err;

	handle->verdict = tpi_rseq_selftest(NULL);
	/* Before the first commit. Without it we use side lanes and fences. */
	handle->registered = tpi_barrier_register() == 0;
	save_channel(handle, channel);
	tpi_producer_request(handle, &request);
	request.channel = channel;
	handle->now = tpi_producer_make(handle);
	if (!handle->now)
		return -ENOMEM;
	handle->handle.beside = &handle->now->client.handle;
	tpi_handle_list(&handle->handle);
	err = tpi_client_open(&handle->now->client, &request, options);
	if (err) {
		tpi_handle_unlist(&handle->handle);
		tpi_producer_unmake(handle->now);
		return err;
	}
	tpi_producer_opened(handle->now);
	return 0;
}

static struct tapio_producer *new_handle(void)
{
	struct tapio_producer *handle =
		aligned_alloc(TAPIO_CACHE_LINE, sizeof(*handle));

	if (!handle)
		return NULL;
	memset(handle, 0, sizeof(*handle));
	handle->handle.sock = TPI_OWN_FD_NONE;
	handle->handle.coming = TPI_OWN_FD_NONE;
	handle->handle.event = TPI_OWN_FD_NONE;
	return handle;
}

int tapio_producer_open(struct tapio_producer **out, const char *channel,
			const struct tapio_options *options)
{
	struct tapio_producer *handle;
	struct tapio_options copy;
	int err;

	*out = NULL;
	err = tpi_options_broker(&copy, options);
	if (err)
		return err;
	handle = new_handle();
	err = handle ? open_producer(handle, channel, &copy) : -ENOMEM;
	if (err) {
		free(handle);
		return tpi_open_failed(&copy, err);
	}
	*out = handle;
	return 0;
}

/* In a forked child, too. The memory of each is freed last, since all of them hang
 * together. */
static void close_one(struct tpi_producer *p)
{
	if (tpi_alive(&p->hot) && !tpi_load_relaxed(&p->spent))
		tpi_side_lanes_fini(p);
	tpi_client_close(&p->client);
}

void tapio_producer_close(struct tapio_producer *handle)
{
	struct tpi_producer *p, *former;

	if (!handle)
		return;
	for (p = handle->now; p; p = p->former)
		close_one(p);
	tpi_handle_unlist(&handle->handle);
	for (p = handle->now; p; p = former) {
		former = p->former;
		tpi_producer_unmake(p);
	}
	free(handle);
}

/* ---- what a program may ask ------------------------------------------------ */

uint32_t tapio_producer_max_bytes(const struct tapio_producer *handle)
{
	return tpi_producer_now(handle)->max_bytes;
}

int tapio_producer_class(const struct tapio_producer *handle, const char *name)
{
	const struct tpi_producer *p = tpi_producer_now(handle);
	const struct tapio_shm_channel *info = &p->client.channel.info;
	uint32_t k;

	if (!tpi_alive(&p->hot))
		return -ECHILD;
	for (k = 0; name && k < info->class_count; k++)
		if (!strncmp(info->classes[k].name, name,
			     sizeof(info->classes[k].name)))
			return (int)k;
	return -ENOENT;
}

const char *tapio_producer_error(const struct tapio_producer *handle)
{
	return tpi_client_error(&tpi_producer_now(handle)->client);
}

/*
 * The attachment whose connection is asked about: where the other instance is there, and may
 * be entered, the handle is there, too.
 */
static struct tpi_producer *asked_about(const struct tapio_producer *asked)
{
	struct tapio_producer *handle =
		(struct tapio_producer *)(uintptr_t)asked;
	struct tpi_producer *p = tpi_producer_now(handle);

	if (!tpi_alive(&p->hot) || tpi_client_connected(&p->client) ||
	    !tpi_client_elsewhere(&p->client))
		return p;
	return tpi_producer_look(handle);
}

int tapio_producer_connected(const struct tapio_producer *handle)
{
	const struct tpi_producer *p = asked_about(handle);

	return tpi_alive(&p->hot) ? tpi_client_connected(&p->client) : 0;
}

int tapio_producer_broker(const struct tapio_producer *handle)
{
	const struct tpi_producer *p = asked_about(handle);

	return tpi_alive(&p->hot) ? tpi_client_broker(&p->client) : -ECHILD;
}
