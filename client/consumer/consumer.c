/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a consumer: joining its group, mapping the channel
 * read-only, and giving all of it back. Leases are taken by the first tapio_poll:
 * a member that has only opened keeps no lane from the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/consumer/consumer.h"
#include "lib/base/error.h"

#define SPIN_NS 20000
/* How long the first event waits for others, when nothing else is said. */
#define WAKE_NS     100000000
#define WAKE_NS_MAX 60000000000

static void free_private(struct tapio_consumer *c)
{
	tpi_copies_fini(&c->copies);
	tpi_merge_close(c);
	tpi_filter_fini(&c->filter);
	free(c->tracks);
	free(c->leased);
	free(c->touched);
	free(c->surveys[0].holders);
	free(c->surveys[1].holders);
}

static int make_tracks(struct tapio_consumer *c)
{
	const struct tpi_client *client = &c->client;
	uint32_t slot = client->granted.group_slot;
	uint32_t i, count = client->channel.lane_count;

	c->tracks = calloc(count, sizeof(*c->tracks));
	c->leased = calloc(count, sizeof(*c->leased));
	c->touched = calloc(count, sizeof(*c->touched));
	for (i = 0; i < 2; i++) {
		c->surveys[i].holders =
			calloc(count, sizeof(*c->surveys[i].holders));
		if (!c->surveys[i].holders)
			return -ENOMEM;
	}
	if (!c->tracks || !c->leased || !c->touched)
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

static int set_up(struct tapio_consumer *c,
		  const struct tapio_consumer_options *options)
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
	c->spin_ns = options->spin_ns ? options->spin_ns : SPIN_NS;
	c->wake_events = options->wake_events;
	c->wake_ns = options->wake_ns ? (int64_t)options->wake_ns : WAKE_NS;
	err = make_tracks(c);
	if (!err && options->start == TAPIO_START_OLDEST &&
	    client->granted.first)
		err = tpi_history_init(c);
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

static int open_consumer(struct tapio_consumer *c, const char *channel,
			 const struct tapio_consumer_options *options)
{
	struct tpi_request request = {
		.role = TAPIO_ROLE_CONSUME,
		.channel = channel,
		.group = options->group,
		.policy = options->policy,
		.lag = options->lag,
		.flags = options->durable ? TPI_ATTACH_DURABLE : 0,
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
	err = tpi_client_open(&c->client, &request, &options->broker);
	if (err)
		return err;
	err = set_up(c, options);
	if (err)
		tpi_client_close(&c->client);
	return err;
}

int tapio_consumer_open(struct tapio_consumer **out, const char *channel,
			const struct tapio_consumer_options *options)
{
	struct tapio_consumer_options copy;
	struct tapio_consumer *c;
	int err;

	*out = NULL;
	err = tpi_options_copy(&copy, sizeof(copy), options);
	if (err)
		return tpi_options_unknown(&copy.broker);
	err = tpi_options_nested(&copy.broker);
	if (!err)
		err = check(&copy);
	if (err)
		return err;
	c = tpi_handle_new(sizeof(*c),
			   offsetof(struct tapio_consumer, client.handle));
	if (!c)
		return tpi_open_failed(&copy.broker, -ENOMEM);
	err = open_consumer(c, channel, &copy);
	if (err) {
		free_private(c);
		tpi_handle_free(&c->client.handle);
		return tpi_open_failed(&copy.broker, err);
	}
	*out = c;
	return 0;
}

void tapio_consumer_close(struct tapio_consumer *c)
{
	if (!c)
		return;
	if (tpi_alive(&c->hot)) {
		tpi_fd_close(c);
		tpi_lease_leave(c);
	}
	tpi_client_close(&c->client);
	free_private(c);
	tpi_handle_free(&c->client.handle);
}

uint64_t tapio_consumer_time_ns(const struct tapio_consumer *c, uint64_t time)
{
	return tpi_alive(&c->hot) ? tpi_client_time_ns(&c->client, time) : 0;
}

const char *tapio_consumer_error(const struct tapio_consumer *c)
{
	return c->client.error;
}

int tapio_consumer_connected(const struct tapio_consumer *c)
{
	return tpi_alive(&c->hot) ? tpi_client_connected(&c->client) : 0;
}
