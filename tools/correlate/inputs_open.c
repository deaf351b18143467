/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and leaving the groups of the inputs, and their part of the state. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tools/correlate/inputs.h"
#include "tools/correlate/inputs_inner.h"

/* Between two tries to open a channel that is not there. */
#define PAUSE_NS INT64_C(200000000)

struct opening {
	struct tpi_inputs *inputs;
	struct tpi_input *input;
	uint64_t merge_ns;
};

static int open_consumer(void *arg, const struct tapio_options *broker)
{
	const struct opening *o = arg;
	const struct tpi_inputs *inputs = o->inputs;
	const struct tpi_correlate_values *values = inputs->values;
	const struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = *broker,
		.group = values->group,
		.policy = values->policy,
		.lag = (uint32_t)values->lag,
		.start = values->start,
		.durable = inputs->durable,
		.merge_ns = o->merge_ns,
		.type_count = inputs->type_count > 0
				      ? (uint32_t)inputs->type_count
				      : 0,
		.types = inputs->types,
	};

	return tapio_consumer_open(&o->input->consumer, o->input->channel,
				   &options);
}

/* With merged lanes, or, where the channel has no stamps to merge by, without. */
static int open_once(struct tpi_inputs *inputs, struct tpi_input *input)
{
	struct tpi_connect *connect = &inputs->collector->connect;
	struct opening o = {inputs, input, TPI_INPUT_MERGE_NS};
	int err = tpi_connect(connect, open_consumer, &o);

	input->merged = !err;
	if (err != -EINVAL)
		return err;
	o.merge_ns = 0;
	return tpi_connect(connect, open_consumer, &o);
}

/* Also waits for a channel that may come, if asked to. 0 or -errno. */
static int open_patiently(struct tpi_inputs *inputs, struct tpi_input *input)
{
	struct tpi_collector *c = inputs->collector;
	int64_t end_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), c->connect.wait_ns);

	if (end_ns > c->end_ns)
		end_ns = c->end_ns;
	for (bool told = false;; told = true) {
		int err = open_once(inputs, input);
		int64_t now_ns = tpi_monotonic_ns();

		if (!err || !tpi_collector_may_change(err) ||
		    !c->connect.wait_ns || now_ns >= end_ns)
			return err;
		if (!told)
			tpi_say("waiting for channel '%s': %s", input->channel,
				c->connect.error[0] ? c->connect.error
						    : strerror(-err));
		if (!tpi_sleep_until(now_ns + PAUSE_NS))
			return -EINTR;
	}
}

void tpi_input_identify(struct tpi_inputs *inputs, struct tpi_input *input)
{
	unsigned char instance[16];
	struct tpi_corr_source source = {input->channel, input->instance};

	tapio_consumer_instance(input->consumer, instance);
	for (size_t i = 0; i < sizeof(instance); i++)
		snprintf(input->instance + 2 * i, 3, "%02x", instance[i]);
	input->source = tpi_corr_source(inputs->corr, &source);
	if (input->source < 0)
		tpi_say("channel '%s': there is no room for another memory (%d "
			"are known), its events count as lost",
			input->channel, TPI_CORR_SOURCES_MAX);
}

static uint64_t lost_of(const struct tpi_input *input)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	if (!input->consumer)
		return input->stored_lost;
	return tapio_consumer_stats_read(input->consumer, &stats) ? 0
								  : stats.lost;
}

/*
 * While no member was there, the group may have lost events, or its memory with all that was
 * unread in it. No record tells of that.
 */
static void compare(struct tpi_inputs *inputs, struct tpi_input *input)
{
	const uint64_t lost = lost_of(input);
	const bool same = !strcmp(input->stored_instance, input->instance);

	if (!input->stored_instance[0] || (same && lost <= input->stored_lost))
		return;
	if (same)
		tpi_say("channel '%s': %" PRIu64 " events were lost while "
			"nothing read them",
			input->channel, lost - input->stored_lost);
	else
		tpi_say("channel '%s' is in the memory of another broker: "
			"events that were unread in the one before are lost",
			input->channel);
	tpi_input_gap(inputs, input, same ? lost - input->stored_lost : 0);
}

static int watch(struct tpi_inputs *inputs, struct tpi_input *input)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = tapio_fd(input->consumer);

	if (fd < 0)
		return fd;
	return epoll_ctl(inputs->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static bool open_input(struct tpi_inputs *inputs, struct tpi_input *input)
{
	struct tpi_collector *c = inputs->collector;
	int err = open_patiently(inputs, input);

	if (!err) {
		tpi_input_identify(inputs, input);
		compare(inputs, input);
		err = watch(inputs, input);
		if (!err)
			return true;
		return tpi_collector_fail(c, TPI_EXIT_FAILURE,
					  "channel '%s': %s", input->channel,
					  strerror(-err));
	}
	/* Asked to end while it waited: that is no failure. */
	if (c->connect.wait_ns &&
	    (tpi_stop_signal() || tpi_monotonic_ns() >= c->end_ns))
		return false;
	c->status = (int)tpi_connect_failed(&c->connect, input->channel, err);
	return false;
}

static void close_input(struct tpi_inputs *inputs, struct tpi_input *input)
{
	if (!input->consumer)
		return;
	snprintf(input->stored_instance, sizeof(input->stored_instance), "%s",
		 input->instance);
	input->stored_lost = lost_of(input);
	int fd = tapio_fd(input->consumer);

	if (fd >= 0)
		epoll_ctl(inputs->epoll, EPOLL_CTL_DEL, fd, NULL);
	tapio_consumer_close(input->consumer);
	input->consumer = NULL;
	input->whole = false;
	input->refused_ns = 0;
	input->held = 0;
}

bool tpi_input_reopen(struct tpi_inputs *inputs, struct tpi_input *input)
{
	const char *why = tapio_consumer_error(input->consumer);

	tpi_say("channel '%s': group '%s' has ended%s%s: joining anew",
		input->channel, inputs->values->group, *why ? ", " : "", why);
	close_input(inputs, input);
	return open_input(inputs, input);
}

/* ---- the filter ------------------------------------------------------------------------ */

static int types_of(const struct tpi_rules *rules,
		    uint16_t types[TPI_INPUT_TYPES_MAX])
{
	int count = tpi_rules_types(rules, types, TPI_INPUT_TYPES_MAX);

	return count > TPI_INPUT_TYPES_MAX ? -1 : count;
}

bool tpi_inputs_differ(const struct tpi_inputs *inputs,
		       const struct tpi_rules *rules)
{
	uint16_t types[TPI_INPUT_TYPES_MAX];
	int count = types_of(rules, types);

	return count != inputs->type_count ||
	       (count > 0 && memcmp(types, inputs->types,
				    (size_t)count * sizeof(types[0])) != 0);
}

bool tpi_inputs_open(struct tpi_inputs *inputs)
{
	inputs->type_count =
		types_of(tpi_corr_rules(inputs->corr), inputs->types);
	for (size_t i = 0; i < inputs->count; i++)
		if (!open_input(inputs, &inputs->items[i]))
			return false;
	return true;
}

void tpi_inputs_close(struct tpi_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		close_input(inputs, &inputs->items[i]);
}

/* ---- begin and end ----------------------------------------------------------------------- */

int tpi_inputs_init(struct tpi_inputs *inputs, struct tpi_collector *collector,
		    const struct tpi_correlate_values *values,
		    struct tpi_corr *corr, bool durable)
{
	static const char *const one[] = {"events"};
	const struct tpi_list *channels = &values->channels;

	*inputs = (struct tpi_inputs){
		.collector = collector,
		.values = values,
		.corr = corr,
		.durable = durable,
		.count = channels->count ? channels->count : 1,
		.epoll = epoll_create1(EPOLL_CLOEXEC),
	};
	inputs->items = calloc(inputs->count, sizeof(*inputs->items));
	if (!inputs->items || inputs->epoll < 0) {
		int err = inputs->items ? -errno : -ENOMEM;

		tpi_say("cannot read channels: %s", strerror(-err));
		return err;
	}
	for (size_t i = 0; i < inputs->count; i++) {
		struct tpi_input *input = &inputs->items[i];

		input->channel = channels->count ? channels->items[i] : one[0];
		input->source = input->former = -1;
	}
	return 0;
}

void tpi_inputs_fini(struct tpi_inputs *inputs)
{
	tpi_inputs_close(inputs);
	for (size_t i = 0; i < inputs->count; i++)
		free(inputs->items[i].lane_ns);
	free(inputs->items);
	free(inputs->copy);
	if (inputs->epoll >= 0)
		close(inputs->epoll);
	inputs->items = NULL;
	inputs->count = 0;
}

/* ---- the state ------------------------------------------------------------------------------ */

/* One for each channel. Its name is at most 63 bytes long. */
struct stored {
	char channel[64];
	char instance[TPI_INSTANCE_TEXT];
	char reserved[7];
	uint64_t lost;
};

int tpi_inputs_save(const struct tpi_inputs *inputs, void **data,
		    size_t *length)
{
	struct stored *stored = calloc(inputs->count, sizeof(*stored));

	*data = stored;
	*length = inputs->count * sizeof(*stored);
	if (!stored)
		return -ENOMEM;
	for (size_t i = 0; i < inputs->count; i++) {
		const struct tpi_input *input = &inputs->items[i];

		snprintf(stored[i].channel, sizeof(stored[i].channel), "%s",
			 input->channel);
		memcpy(stored[i].instance, input->instance,
		       sizeof(stored[i].instance));
		stored[i].lost = lost_of(input);
	}
	return 0;
}

static struct tpi_input *find(struct tpi_inputs *inputs, const char *channel)
{
	for (size_t i = 0; i < inputs->count; i++)
		if (!strcmp(inputs->items[i].channel, channel))
			return &inputs->items[i];
	return NULL;
}

int tpi_inputs_load(struct tpi_inputs *inputs, const void *data, size_t length)
{
	if (length % sizeof(struct stored))
		return -EBADMSG;
	for (size_t at = 0; at < length; at += sizeof(struct stored)) {
		struct stored stored;
		struct tpi_input *input;

		memcpy(&stored, (const char *)data + at, sizeof(stored));
		if (stored.channel[sizeof(stored.channel) - 1] ||
		    stored.instance[sizeof(stored.instance) - 1])
			return -EBADMSG;
		input = find(inputs, stored.channel);
		if (!input)
			continue; /* it is not read any more */
		memcpy(input->stored_instance, stored.instance,
		       sizeof(stored.instance));
		input->stored_lost = stored.lost;
	}
	return 0;
}
