/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a consumer: joining its group, mapping the channel
 * read-only, and giving all of it back. Leases are taken by the first tapio_poll:
 * a member that has only opened keeps no lane from the others.
 *
 * What the program has asked for is kept, since the handle may have to ask for it
 * again of another broker (move.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/consumer/consumer.h"
#include "lib/base/error.h"

/* How long the first event waits for others, when nothing else is said. */
#define WAKE_NS     100000000
#define WAKE_NS_MAX 60000000000

static void free_private(struct tpi_consumer *c)
{
	tpi_copies_fini(&c->copies);
	tpi_merge_close(c);
	tpi_filter_fini(&c->filter);
	free(c->tracks);
	free(c->leased);
	free(c->glances);
	free(c->touched);
	free(c->surveys[0].holders);
	free(c->surveys[1].holders);
}

static int make_tracks(struct tpi_consumer *c)
{
	const struct tpi_client *client = &c->client;
	uint32_t slot = client->granted.group_slot;
	uint32_t i, count = client->channel.lane_count;

	c->tracks = calloc(count, sizeof(*c->tracks));
	c->leased = calloc(count, sizeof(*c->leased));
	c->glances = calloc(count, sizeof(*c->glances));
	c->touched = calloc(count, sizeof(*c->touched));
	for (i = 0; i < 2; i++) {
		c->surveys[i].holders =
			calloc(count, sizeof(*c->surveys[i].holders));
		if (!c->surveys[i].holders)
			return -ENOMEM;
	}
	if (!c->tracks || !c->leased || !c->glances || !c->touched)
		return -ENOMEM;
	c->lane_count = count;
	for (i = 0; i < count; i++) {
		struct tpi_track *t = &c->tracks[i];

		t->lane = &client->channel.lanes[i];
		t->cursor = &client->cursors[slot].cursors[i];
		t->cell = &t->cursor->cells[0];
		t->node = tpi_client_lane_node(client, t->lane);
		/* Relaxed: where the first survey counts from. */
		t->seen_tail = TAPIO_STATE_TAIL(
			tpi_load_relaxed(&t->lane->shm->state));
	}
	return 0;
}

static int set_up(struct tpi_consumer *c,
		  const struct tapio_consumer_options *options, bool moved)
{
	const struct tpi_client *client = &c->client;
	uint32_t slot = client->granted.group_slot;
	int err;

	c->group = &client->groups[slot];
	c->slot = &c->group->slot;
	c->doorbells = client->channel.doorbells;
	c->doorbell = &c->doorbells->slots[slot].doorbell;
	c->control = client->cursors[slot].control;
	c->me = client->granted.attachment;
	c->incarnation = client->granted.incarnation & TAPIO_INCARNATION_MASK;
	tpi_spin_open(&c->spin, options->spin_ns);
	c->wake_events = options->wake_events;
	c->wake_ns = options->wake_ns ? (int64_t)options->wake_ns : WAKE_NS;
	err = make_tracks(c);
	/* After a move all that the memory has is news. */
	if (!err && client->granted.first &&
	    (moved || options->start == TAPIO_START_OLDEST))
		err = tpi_history_init(c, moved);
	if (err)
		return tpi_fail(err, options->broker.error,
				options->broker.error_bytes,
				"out of memory for the state of %u lanes",
				client->channel.lane_count);
	err = tpi_merge_open(c, options->merge_ns, &options->broker);
	if (err)
		return err;
	tpi_latency_init(&c->latency, client,
			 options->latency == TAPIO_LATENCY_RECORDED);
	c->beat = &c->no_beat;
	tpi_follow_init(c);
	tpi_check_slot(c);
	return 0;
}

static int check(const struct tapio_consumer_options *options)
{
	const struct tapio_options *broker = &options->broker;

	if (options->policy > TAPIO_GROUP_LOSSLESS ||
	    options->start > TAPIO_START_OLDEST || options->durable > 1)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"policy %u, start %u or durable %u is unknown",
				options->policy, options->start,
				options->durable);
	if (options->latency > TAPIO_LATENCY_OFF)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"latency %u is unknown", options->latency);
	if (options->merge_ns > TAPIO_MERGE_NS_MAX)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"merge_ns %llu is more than a minute",
				(unsigned long long)options->merge_ns);
	if (options->wake_ns > WAKE_NS_MAX ||
	    (options->wake_events > 1 && options->merge_ns))
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"wake_ns is more than a minute, or wake_events "
				"is given together with merge_ns");
	if (options->takeover_ns < TAPIO_FOREVER)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"takeover_ns %lld is negative, and not "
				"TAPIO_FOREVER",
				(long long)options->takeover_ns);
	if (options->lag && options->policy != TAPIO_GROUP_UNTIL)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"lag %u: only with the policy "
				"TAPIO_GROUP_UNTIL",
				options->lag);
	return 0;
}

static int open_consumer(struct tpi_consumer *c,
			 const struct tapio_consumer *handle,
			 const struct tpi_consumer *former)
{
	const struct tapio_consumer_options *options = &handle->options;
	struct tpi_request request = {
		.role = TAPIO_ROLE_CONSUME,
		.channel = handle->channel,
		.group = options->group,
		.policy = options->policy,
		.lag = options->lag,
		/* Of another instance all that it has is wanted. */
		.flags = (options->durable ? TPI_ATTACH_DURABLE : 0) |
			 (former ? TPI_ATTACH_HELD : 0),
		.severity_min = options->severity_min,
		.class_mask = options->class_mask,
		/* TAPIO_FOREVER is all ones: TAPIO_TAKEOVER_NEVER. */
		.takeover_ns = (uint64_t)options->takeover_ns,
	};
	int err;

	err = tpi_filter_init(&c->filter, options->severity_min,
			      options->class_mask, options->types,
			      options->type_count, &options->broker);
	if (err)
		return err;
	request.types = tpi_filter_types(&c->filter);
	/* So that producers which wait for room reach us; else we fence. */
	c->fence = tpi_barrier_register() != 0;
	err = tpi_client_open_as(&c->client, &request, &options->broker,
				 former ? &former->client : NULL);
	if (err)
		return err;
	err = set_up(c, options, former != NULL);
	if (err)
		tpi_client_close(&c->client);
	return err;
}

int tpi_consumer_attach(struct tpi_consumer **out,
			struct tapio_consumer *handle,
			const struct tpi_consumer *former)
{
	struct tpi_consumer *c = tpi_handle_new(
		sizeof(*c), offsetof(struct tpi_consumer, client.handle));
	int err;

	if (!c)
		return -ENOMEM;
	c->handle = handle;
	err = open_consumer(c, handle, former);
	if (err) {
		free_private(c);
		tpi_handle_free(&c->client.handle);
		return err;
	}
	*out = c;
	return 0;
}

void tpi_consumer_leave(struct tpi_consumer *c)
{
	if (c->next)
		tpi_consumer_leave(c->next);
	if (tpi_alive(&c->hot)) {
		tpi_fd_close(c);
		tpi_lease_leave(c);
	}
	tpi_client_close(&c->client);
	free_private(c);
	tpi_handle_free(&c->client.handle);
}

static void free_handle(struct tapio_consumer *handle)
{
	if (!handle)
		return;
	free(handle->channel);
	free(handle->group);
	free(handle->types);
	free(handle);
}

/* Nothing of the caller's is used after the open. NULL: no memory. */
static struct tapio_consumer *
make_handle(const char *channel, const struct tapio_consumer_options *options)
{
	struct tapio_consumer *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->options = *options;
	if (!tpi_options_keep_text(&handle->channel, channel) ||
	    !tpi_options_keep_text(&handle->group, options->group) ||
	    !tpi_options_keep_types(&handle->types, options->types,
				    options->type_count)) {
		free_handle(handle);
		return NULL;
	}
	handle->options.group = handle->group;
	handle->options.types = handle->types;
	return handle;
}

static int open_handle(struct tapio_consumer **out, const char *channel,
		       const struct tapio_consumer_options *options)
{
	struct tapio_consumer *handle = make_handle(channel, options);
	int err = handle ? tpi_consumer_attach(&handle->now, handle, NULL)
			 : -ENOMEM;

	if (err) {
		free_handle(handle);
		return tpi_open_failed(&options->broker, err);
	}
	/* The place for the reason was the open's. */
	handle->options.broker = (struct tapio_options){0};
	*out = handle;
	return 0;
}

int tapio_consumer_open(struct tapio_consumer **out, const char *channel,
			const struct tapio_consumer_options *options)
{
	struct tapio_consumer_options copy;
	int err;

	*out = NULL;
	err = tpi_options_copy(&copy, sizeof(copy), options);
	if (err)
		return tpi_options_unknown(&copy.broker);
	err = tpi_options_nested(&copy.broker);
	if (!err)
		err = check(&copy);
	return err ? err : open_handle(out, channel, &copy);
}

void tapio_consumer_close(struct tapio_consumer *handle)
{
	struct tpi_consumer *former;

	if (!handle)
		return;
	/* Its thread looks at the former one. */
	former = handle->now->former;
	tpi_consumer_leave(handle->now);
	if (former)
		tpi_consumer_leave(former);
	free_handle(handle);
}

uint64_t tapio_consumer_time_ns(const struct tapio_consumer *handle,
				uint64_t time)
{
	const struct tpi_consumer *c = handle->now;

	if (!tpi_alive(&c->hot))
		return 0;
	/* The clock is one. A stamp from before the calibration of the new
	 * memory is of the former one. */
	if (c->former && !tpi_client_time_known(&c->client, time))
		c = c->former;
	return tpi_client_time_ns(&c->client, time);
}

const char *tapio_consumer_error(const struct tapio_consumer *handle)
{
	return tpi_client_error(&handle->now->client);
}

int tapio_consumer_connected(const struct tapio_consumer *handle)
{
	const struct tpi_consumer *c = handle->now;

	return tpi_alive(&c->hot) ? tpi_client_connected(&c->client) : 0;
}

int tapio_consumer_broker(const struct tapio_consumer *handle)
{
	const struct tpi_consumer *c = handle->now;

	return tpi_alive(&c->hot) ? tpi_client_broker(&c->client) : -ECHILD;
}

int tapio_consumer_instance(const struct tapio_consumer *handle,
			    unsigned char instance[16])
{
	const struct tpi_consumer *c = handle->now;

	memset(instance, 0, sizeof(c->client.catalog.instance));
	if (!tpi_alive(&c->hot))
		return -ECHILD;
	memcpy(instance, c->client.catalog.instance,
	       sizeof(c->client.catalog.instance));
	return 0;
}
