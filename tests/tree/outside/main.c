/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event through an embedded broker, with nothing but installed files. The
 * C++ program is this file too.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <tapio/broker.h>
#include <tapio/tapio.h>

static int fail(const char *what, int err)
{
	fprintf(stderr, "%s: %d\n", what, err);
	return 1;
}

static int round_trip(const char *socket)
{
	struct tapio_options where;
	struct tapio_consumer_options joining;
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct tapio_view view;
	const uint64_t sent = UINT64_C(0x1122334455667788);
	uint64_t got = 0;
	int n, err;

	memset(&where, 0, sizeof(where));
	where.size = sizeof(where);
	where.socket = socket;
	memset(&joining, 0, sizeof(joining));
	joining.size = sizeof(joining);
	joining.broker = where;

	err = tapio_consumer_open(&consumer, "events", &joining);
	if (err)
		return fail("tapio_consumer_open", err);
	err = tapio_producer_open(&producer, "events", &where);
	if (err)
		return fail("tapio_producer_open", err);
	err = tapio_output(producer, TAPIO_TAG(7, 6), &sent, sizeof(sent));
	if (err)
		return fail("tapio_output", err);
	n = tapio_poll(consumer, &view, 1, INT64_C(10000000000));
	if (n != 1 || view.type != 7 || view.length != sizeof(got))
		return fail("tapio_poll", n);
	memcpy(&got, view.data, sizeof(got));
	if (got != sent || tapio_release(consumer))
		return fail("another event than was sent", 0);
	tapio_producer_close(producer);
	tapio_consumer_close(consumer);
	return 0;
}

int main(void)
{
	struct tapio_broker_options options;
	struct tapio_broker *broker;
	char why[256] = "";
	int err;

	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.error = why;
	options.error_bytes = sizeof(why);
	err = tapio_broker_start(&broker, &options);
	if (err)
		return fail(why, err);
	err = round_trip(tapio_broker_socket(broker));
	tapio_broker_stop(broker);
	if (!err)
		printf("tapio %s: one event there and back\n", tapio_version());
	return err;
}
