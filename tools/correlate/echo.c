/* SPDX-License-Identifier: Apache-2.0 */
/* Reading emitted findings back. See the header. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "tools/correlate/echo.h"

#define BATCH 64
/* For the lanes of a dead member. */
#define WAIT_NS  INT64_C(10000000000)
#define PAUSE_NS INT64_C(1000000)

static int open_consumer(void *arg, const struct tapio_options *broker)
{
	static const uint16_t types[] = {TAPIO_EVENT_FINDING};
	struct tpi_echo *echo = arg;
	const struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = *broker,
		.group = echo->group,
		.durable = 1,
		.type_count = 1,
		.types = types,
	};

	return tapio_consumer_open(&echo->consumer, echo->channel, &options);
}

bool tpi_echo_open(struct tpi_echo *echo, struct tpi_collector *c,
		   const char *group)
{
	echo->channel = c->values.channel;
	if ((size_t)snprintf(echo->group, sizeof(echo->group), "%s.emitted",
			     group) > 63)
		return tpi_collector_fail(
			c, TPI_EXIT_USAGE,
			"--group: '%s' is longer than 55 bytes", group);
	int err = tpi_connect(&c->connect, open_consumer, echo);

	if (!err)
		return true;
	if (err == -EINTR)
		return false;
	c->status =
		(int)tpi_connect_failed(&c->connect, c->values.channel, err);
	return false;
}

static int note(struct tpi_echo *echo, const struct tapio_view *view)
{
	const struct tapio_event_finding *f;
	struct tapio_event_view v;

	if (view->flags & TAPIO_VIEW_GAP) {
		echo->sure = false;
		return 0;
	}
	if (tapio_event_view_open(&v, view))
		return 0;
	f = tapio_event_view_fields(&v, TAPIO_EVENT_FINDING);
	if (!f)
		return 0;
	if (echo->count == echo->room) {
		size_t room = echo->room ? 2 * echo->room : BATCH;
		void *moved = realloc(echo->ids, room * sizeof(*echo->ids));

		if (!moved)
			return -ENOMEM;
		echo->ids = moved;
		echo->room = room;
	}
	memcpy(echo->ids[echo->count++], f->finding_id, sizeof(*echo->ids));
	return 0;
}

static bool has_all_lanes(const struct tpi_echo *echo)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	return !tapio_consumer_stats_read(echo->consumer, &stats) &&
	       stats.lanes == stats.lane_count;
}

int tpi_echo_read(struct tpi_echo *echo)
{
	const int64_t end_ns = tpi_monotonic_ns() + WAIT_NS;
	struct tapio_view views[BATCH];

	echo->count = 0;
	echo->sure = true;
	for (;;) {
		const bool all = has_all_lanes(echo);
		int count = tapio_poll(echo->consumer, views, BATCH, 0);

		if (count < 0 && count != -EINTR) {
			echo->sure = false;
			return 0;
		}
		for (int i = 0; i < count; i++) {
			int err = note(echo, &views[i]);

			if (err)
				return err;
		}
		if (count == 0 && all)
			return 0;
		if (count > 0)
			continue;
		if (tpi_monotonic_ns() >= end_ns ||
		    !tpi_sleep_until(tpi_monotonic_ns() + PAUSE_NS)) {
			echo->sure = false;
			return 0;
		}
	}
}

bool tpi_echo_has(const struct tpi_echo *echo, const uint8_t id[16])
{
	for (size_t i = 0; i < echo->count; i++)
		if (!memcmp(echo->ids[i], id, sizeof(*echo->ids)))
			return true;
	return false;
}

void tpi_echo_release(struct tpi_echo *echo)
{
	struct tapio_view views[BATCH];

	echo->count = 0;
	while (tapio_poll(echo->consumer, views, BATCH, 0) > 0)
		tapio_release(echo->consumer);
	tapio_release(echo->consumer);
}

void tpi_echo_close(struct tpi_echo *echo)
{
	tapio_consumer_close(echo->consumer);
	free(echo->ids);
	echo->consumer = NULL;
	echo->ids = NULL;
	echo->count = echo->room = 0;
}
