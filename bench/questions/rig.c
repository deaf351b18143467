/* SPDX-License-Identifier: Apache-2.0 */
/* See rig.h. */
#include "bench/questions/rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tapio/broker.h>

#include "lib/atomic.h"

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
	int err = tapio_producer_stats(producer, &stats);

	if (err || !stats.side_lane)
		return err;
	bench_why("it went over side lanes, since rseq is not to be had here");
	return BENCH_ABSENT;
}

int rig_emit(struct tapio_producer *producer, uint32_t tag, uint64_t from,
	     uint64_t count)
{
	static struct rig_event event;
	int err;

	for (const uint64_t to = from + count; from < to; from++) {
		event.word[0] = from;
		while ((err = tapio_output(producer, tag, &event,
					   sizeof(event)))) {
			if (err != -EAGAIN) {
				bench_why("tapio_output: %s", strerror(-err));
				return err;
			}
			tpi_cpu_relax();
		}
	}
	return 0;
}
