/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tapio as a stream peer, through libtapio, over a broker of the frame's own
 * process. The including file has defined the way it emits, as SEND and
 * SEND_BATCH over struct tapio_end, and makes its peer with TAPIO_PEER().
 *
 * Consumers are lossless groups, which hold the producer: nothing is lost.
 * Without a reader a lane is a flight recorder.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/broker.h>
#include <tapio/tapio.h>

#include "bench/peers/stream_peer.h"

#define TAPIO_BENCH_CHANNEL "stream"
/* A consumer that is not to sleep looks so long before it would. */
#define TAPIO_BENCH_SPIN_NS 1000000000u
/* And where the end is only told when it has come, says so often that it found
 * nothing. */
#define TAPIO_BENCH_WAIT_NS 20000000

struct tapio_channel {
	struct tapio_broker *broker;
	char socket[128];
	bool sleeping;
	int64_t wait_ns;
	uint32_t wake_events;
	uint64_t wake_ns;
};

struct tapio_end {
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	int64_t wait_ns;
	struct tapio_view views[STREAM_BATCH];
};

STREAM_INLINE int tapio_fetch(struct tapio_end *end)
{
	int n = tapio_poll(end->consumer, end->views, STREAM_BATCH,
			   end->wait_ns);

	if (n < 0)
		bench_why("tapio_poll: %s", strerror(-n));
	return n;
}

STREAM_INLINE int tapio_emitted(int result)
{
	if (result >= 0)
		return result;
	if (result == -EAGAIN)
		return 0;
	bench_why("emitting: %s", strerror(-result));
	return result;
}

#define HANDLE                struct tapio_end
#define SEND(h, event, bytes) tapio_emitted(emit((h)->producer, event, bytes))
#define SEND_BATCH(h, events, bytes, count) \
	tapio_emitted(emit_batch((h)->producer, events, bytes, count))
#define FETCH(h, bytes)    tapio_fetch(h)
#define EVENT(h, i, bytes) ((const uint64_t *)(h)->views[i].data)
#define DONE(h, n, bytes)  tapio_release((h)->consumer)

#include "bench/peers/stream_loops.h"

static void *tapio_make(const struct stream_spec *spec)
{
	char config[160], why[256] = "";
	struct tapio_channel *channel = calloc(1, sizeof(*channel));
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.error = why,
		.error_bytes = sizeof(why),
	};

	if (!channel) {
		bench_why("no memory");
		return NULL;
	}
	snprintf(config, sizeof(config),
		 "channel " TAPIO_BENCH_CHANNEL
		 " { class main { block = %u blocks = %u } stamp = none }\n",
		 spec->bytes, STREAM_RING_BYTES / spec->bytes);
	if (tapio_broker_start(&channel->broker, &options)) {
		bench_why("%s", why);
		free(channel);
		return NULL;
	}
	snprintf(channel->socket, sizeof(channel->socket), "%s",
		 tapio_broker_socket(channel->broker));
	channel->sleeping = spec->sleeping || spec->yields;
	channel->wait_ns = spec->total ? TAPIO_BENCH_WAIT_NS : TAPIO_FOREVER;
	channel->wake_ns = spec->wake_ns;
	if (spec->wake_ns)
		channel->wake_events =
			(uint32_t)(spec->burst * spec->wake_ns / spec->gap_ns);
	return channel;
}

static void tapio_unmake(void *arg)
{
	struct tapio_channel *channel = arg;

	tapio_broker_stop(channel->broker);
	free(channel);
}

static int tapio_opened(struct tapio_end *end, int err, const char *why)
{
	if (err) {
		bench_why("%s", why);
		free(end);
	}
	return err;
}

static int tapio_open_producer(void *arg, void **handle)
{
	struct tapio_channel *channel = arg;
	struct tapio_end *end = calloc(1, sizeof(*end));
	char why[256] = "no memory";
	struct tapio_options options = {
		.size = sizeof(options),
		.socket = channel->socket,
		.error = why,
		.error_bytes = sizeof(why),
	};

	*handle = end;
	return tapio_opened(end,
			    end ? tapio_producer_open(&end->producer,
						      TAPIO_BENCH_CHANNEL,
						      &options)
				: -ENOMEM,
			    why);
}

static int tapio_open_consumer(void *arg, void **handle)
{
	struct tapio_channel *channel = arg;
	struct tapio_end *end = calloc(1, sizeof(*end));
	char why[256] = "no memory";
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker),
			   .socket = channel->socket,
			   .error = why,
			   .error_bytes = sizeof(why)},
		.policy = TAPIO_GROUP_LOSSLESS,
		.spin_ns = channel->sleeping ? 0 : TAPIO_BENCH_SPIN_NS,
		.wake_events = channel->wake_events,
		.wake_ns = channel->wake_ns,
	};

	if (end)
		end->wait_ns = channel->wait_ns;
	*handle = end;
	return tapio_opened(end,
			    end ? tapio_consumer_open(&end->consumer,
						      TAPIO_BENCH_CHANNEL,
						      &options)
				: -ENOMEM,
			    why);
}

static void tapio_close(void *handle)
{
	struct tapio_end *end = handle;

	tapio_producer_close(end->producer);
	tapio_consumer_close(end->consumer);
	free(end);
}

/* The initialiser of the peer. */
#define TAPIO_STREAM_PEER                                                     \
	{                                                                     \
		.peer =                                                       \
			{                                                     \
				.name = "Tapio",                              \
				.package = "",                                \
				.copies = "in; read in place",                \
				.across = "processes",                        \
				.death = "stops nobody; nothing that "        \
					 "was accepted is lost",              \
				.kind = BENCH_TAPIO,                          \
			},                                                    \
		.overwrites = true, .make = tapio_make,                       \
		.unmake = tapio_unmake, .open_producer = tapio_open_producer, \
		.open_consumer = tapio_open_consumer, .close = tapio_close,   \
		STREAM_LOOPS,                                                 \
	}
