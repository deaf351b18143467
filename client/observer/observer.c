/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: copies of the events that pass, without a cost to others. An
 * observer maps everything read-only, belongs to no group, and never announces
 * itself, so producers never ring for it: it polls.
 *
 * SIGKILL, SIGSTOP: no other process notices.
 */
#include <errno.h>
#include <stdlib.h>

#include "client/observer/observer.h"
#include "lib/base/error.h"

#define BUFFER_BYTES (256 * 1024)

/* `moved`: the history has a known beginning, and events that are missing there are a gap. */
static int make_watches(struct tpi_observer *o, uint32_t start, bool moved)
{
	uint32_t i, count = o->client.channel.lane_count;

	o->watches = calloc(count, sizeof(*o->watches));
	if (!o->watches)
		return -ENOMEM;
	o->lane_count = count;
	for (i = 0; i < count; i++) {
		const struct tpi_lane *lane = &o->client.channel.lanes[i];
		struct tpi_watched *w = &o->watches[i];
		uint64_t state = tpi_lane_peek(lane);

		w->lane = lane;
		w->next = TAPIO_STATE_TAIL(state);
		w->seen = moved || start == TAPIO_START_NEWEST;
		tpi_observer_follow_init(o, w);
		if (w->shut)
			continue;
		if ((moved || !w->seen) && tpi_lane_state_sane(lane, state) &&
		    TAPIO_STATE_HELD(state) <= lane->mask)
			w->next = tpi_copy_oldest(lane, state);
		if (moved && tpi_filter_class(&o->filter, lane->klass))
			o->missed += tpi_copy_missed(lane, w->next);
	}
	return 0;
}

static int open_merge(struct tpi_observer *o,
		      const struct tapio_observer_options *options)
{
	uint32_t i;
	int err = tpi_merge_init(&o->merge, &o->client, options->merge_ns,
				 o->lane_count, &options->broker);

	for (i = 0; !err && options->merge_ns && i < o->lane_count; i++)
		err = tpi_sights_init(&o->watches[i].sights,
				      o->watches[i].lane->mask + 1);
	return err;
}

static int open_observer(struct tpi_observer *o,
			 const struct tapio_observer *handle,
			 const struct tpi_observer *former)
{
	const struct tapio_observer_options *options = &handle->options;
	struct tpi_request request = {
		.role = TAPIO_ROLE_INSPECT,
		.channel = handle->channel,
	};
	uint32_t bytes =
		options->buffer_bytes ? options->buffer_bytes : BUFFER_BYTES;
	int err;

	err = tpi_filter_init(&o->filter, options->severity_min,
			      options->class_mask, options->types,
			      options->type_count, &options->broker);
	if (!err)
		err = tpi_client_open_as(&o->client, &request, &options->broker,
					 former ? &former->client : NULL);
	if (err)
		return err;
	err = tpi_copies_init(&o->copies, bytes, &o->client.channel.info);
	if (!err)
		err = make_watches(o, options->start, former != NULL);
	if (!err)
		err = open_merge(o, options);
	if (err)
		tpi_client_close(&o->client);
	return err;
}

static void free_observer(struct tpi_observer *o)
{
	uint32_t i;

	for (i = 0; o->watches && i < o->lane_count; i++)
		tpi_sights_fini(&o->watches[i].sights);
	tpi_copies_fini(&o->copies);
	tpi_merge_fini(&o->merge);
	tpi_filter_fini(&o->filter);
	free(o->watches);
	tpi_handle_free(&o->client.handle);
}

static int check(const struct tapio_observer_options *options)
{
	const struct tapio_options *broker = &options->broker;

	if (options->start > TAPIO_START_OLDEST)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"start %u is outside 0 to %d", options->start,
				TAPIO_START_OLDEST);
	if (options->merge_ns > TAPIO_MERGE_NS_MAX)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"merge_ns %llu is more than a minute",
				(unsigned long long)options->merge_ns);
	return 0;
}

int tpi_observer_attach(struct tpi_observer **out,
			struct tapio_observer *handle,
			const struct tpi_observer *former)
{
	struct tpi_observer *o = tpi_handle_new(
		sizeof(*o), offsetof(struct tpi_observer, client.handle));
	int err;

	if (!o)
		return -ENOMEM;
	o->handle = handle;
	err = open_observer(o, handle, former);
	if (err) {
		free_observer(o);
		return err;
	}
	*out = o;
	return 0;
}

void tpi_observer_leave(struct tpi_observer *o)
{
	tpi_client_close(&o->client);
	free_observer(o);
}

static void free_handle(struct tapio_observer *handle)
{
	if (!handle)
		return;
	free(handle->channel);
	free(handle->types);
	free(handle);
}

/* Nothing of the caller's is used after the open. NULL: no memory. */
static struct tapio_observer *
make_handle(const char *channel, const struct tapio_observer_options *options)
{
	struct tapio_observer *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->options = *options;
	if (!tpi_options_keep_text(&handle->channel, channel) ||
	    !tpi_options_keep_types(&handle->types, options->types,
				    options->type_count)) {
		free_handle(handle);
		return NULL;
	}
	handle->options.types = handle->types;
	return handle;
}

static int open_handle(struct tapio_observer **out, const char *channel,
		       const struct tapio_observer_options *options)
{
	struct tapio_observer *handle = make_handle(channel, options);
	int err = handle ? tpi_observer_attach(&handle->now, handle, NULL)
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

int tapio_observer_open(struct tapio_observer **out, const char *channel,
			const struct tapio_observer_options *options)
{
	struct tapio_observer_options copy;
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

void tapio_observer_close(struct tapio_observer *handle)
{
	if (!handle)
		return;
	if (handle->now->former)
		tpi_observer_leave(handle->now->former);
	tpi_observer_leave(handle->now);
	free_handle(handle);
}

/* ---- other questions --------------------------------------------------------------- */

/*
 * What is published and not seen yet: still there, or overwritten. What was overwritten
 * before the first read is neither, as in miss(). A lane whose class is refused has
 * only what will be skipped.
 */
static void add_unread(const struct tpi_observer *o,
		       const struct tpi_watched *w,
		       struct tapio_observer_stats *sum)
{
	uint64_t state = tpi_lane_peek(w->lane);
	uint64_t tail = tpi_watch_tail(w, state), next = w->next;
	uint64_t begins = tpi_lane_reap(w->lane, state);

	if (w->shut || !tpi_watch_possible(w, state))
		return;
	/* As tpi_lane_intact(): the block at reap may be written. */
	if (begins != tail)
		begins = (begins + 1) & TAPIO_POSITION_MASK;
	if (tapio_position_diff(begins, next) > 0) {
		if (w->seen && tpi_filter_class(&o->filter, w->lane->klass))
			sum->lost += (begins - next) & TAPIO_POSITION_MASK;
		next = begins;
	}
	sum->in_flight += (tail - next) & TAPIO_POSITION_MASK;
}

void tpi_observer_count(const struct tpi_observer *o,
			struct tapio_observer_stats *sum)
{
	uint32_t i;

	sum->seen += o->seen;
	sum->skipped += o->skipped;
	sum->lost += o->lost;
	sum->late += o->merge.late;
	for (i = 0; i < o->lane_count; i++)
		add_unread(o, &o->watches[i], sum);
}

int tapio_observer_stats_read(const struct tapio_observer *handle,
			      struct tapio_observer_stats *stats)
{
	const struct tpi_observer *o = handle->now;
	struct tapio_observer_stats sum = handle->gone;

	if (!tpi_alive(&o->hot))
		return -ECHILD;
	tpi_observer_count(o, &sum);
	if (o->former)
		tpi_observer_count(o->former, &sum);
	return tpi_stats_copy(stats, &sum, sizeof(sum));
}

uint64_t tapio_observer_time_ns(const struct tapio_observer *handle,
				uint64_t time)
{
	const struct tpi_observer *o = handle->now;

	if (!tpi_alive(&o->hot))
		return 0;
	/* As in tapio_consumer_time_ns(). */
	if (o->former && !tpi_client_time_known(&o->client, time))
		o = o->former;
	return tpi_client_time_ns(&o->client, time);
}

int tapio_observer_connected(const struct tapio_observer *handle)
{
	const struct tpi_observer *o = handle->now;

	return tpi_alive(&o->hot) ? tpi_client_connected(&o->client) : 0;
}

int tapio_observer_broker(const struct tapio_observer *handle)
{
	const struct tpi_observer *o = handle->now;

	return tpi_alive(&o->hot) ? tpi_client_broker(&o->client) : -ECHILD;
}

const char *tapio_observer_error(const struct tapio_observer *handle)
{
	return tpi_client_error(&handle->now->client);
}
