/* SPDX-License-Identifier: Apache-2.0 */
/* See rig.h. */
#include "bench/questions/rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tapio/broker.h>

#include "lib/base/atomic.h"

int rig_start(struct rig *rig, const char *config)
{
	char why[256] = "";
	const struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.error = why,
		.error_bytes = sizeof(why),
	};
	int err = tapio_broker_start(&rig->broker, &options);

	if (err) {
		bench_why("%s", why);
		return err;
	}
	snprintf(rig->socket, sizeof(rig->socket), "%s",
		 tapio_broker_socket(rig->broker));
	return 0;
}

void rig_stop(struct rig *rig)
{
	tapio_broker_stop(rig->broker);
	rig->broker = NULL;
}

static struct tapio_options reach(const struct rig *rig, char *why,
				  size_t why_bytes)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = rig->socket,
		.error = why,
		.error_bytes = why_bytes,
	};
}

struct tapio_producer *rig_producer(const struct rig *rig)
{
	char why[256] = "";
	const struct tapio_options options = reach(rig, why, sizeof(why));
	struct tapio_producer *producer;

	if (tapio_producer_open(&producer, RIG_CHANNEL, &options))
		bench_why("opening a producer: %s", why);
	return producer;
}

struct tapio_consumer *rig_consumer(const struct rig *rig,
				    const struct tapio_consumer_options *with)
{
	char why[256] = "";
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *consumer;

	if (with)
		options = *with;
	options.size = sizeof(options);
	options.broker = reach(rig, why, sizeof(why));
	if (tapio_consumer_open(&consumer, RIG_CHANNEL, &options))
		bench_why("opening a consumer: %s", why);
	return consumer;
}

struct tapio_observer *rig_observer(const struct rig *rig,
				    const struct tapio_observer_options *with)
{
	char why[256] = "";
	struct tapio_observer_options options = {0};
	struct tapio_observer *observer;

	if (with)
		options = *with;
	options.size = sizeof(options);
	options.broker = reach(rig, why, sizeof(why));
	if (tapio_observer_open(&observer, RIG_CHANNEL, &options))
		bench_why("opening an observer: %s", why);
	return observer;
}

int rig_on_cpu_lanes(const struct tapio_producer *producer)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	int err = tapio_producer_stats_read(producer, &stats);

	if (err || !stats.side_lane)
		return err;
	bench_why("it went over side lanes, since rseq is not to be had here");
	return BENCH_ABSENT;
}

unsigned int rig_make(struct stream_event *made, uint64_t from, uint64_t count)
{
	const unsigned int n =
		count < RIG_BATCH ? (unsigned int)count : RIG_BATCH;

	for (unsigned int i = 0; i < n; i++)
		made[i].word[0] = from + i;
	return n;
}

static int emit_one(struct tapio_producer *producer, uint32_t tag,
		    const struct stream_event *event, uint32_t bytes)
{
	int err;

	while ((err = tapio_output(producer, tag, event, bytes)) == -EAGAIN)
		tpi_cpu_relax();
	if (err)
		bench_why("tapio_output: %s", strerror(-err));
	return err;
}

/* The tag of the i-th class and type that are used in turn. */
static uint32_t tag_of(struct rig_events events, uint32_t klass, uint32_t type)
{
	return events.classes ? TAPIO_TAG_CLASS(RIG_TYPE + type, 6, klass)
			      : TAPIO_TAG(RIG_TYPE + type, 6);
}

int rig_emit(struct tapio_producer *producer, struct rig_events events,
	     uint64_t from, uint64_t count)
{
	static struct stream_event made[RIG_BATCH];
	uint32_t type = 0, klass = 0;
	unsigned int n;
	int err = 0;

	for (; !err && count; from += n, count -= n) {
		n = rig_make(made, from, count);
		for (unsigned int i = 0; !err && i < n; i++) {
			err = emit_one(producer, tag_of(events, klass, type),
				       &made[i], events.bytes);
			type = type + 1 >= events.types ? 0 : type + 1;
			klass = klass + 1 >= events.classes ? 0 : klass + 1;
		}
	}
	return err;
}
