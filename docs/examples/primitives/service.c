/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <tapio/broker.h>
#include <tapio/tapio.h>

#define EVENTS 1000

static struct tapio_options where = {.size = sizeof(where)};

/*
 * A service: takes what comes until it has seen the last one. Its group is lossless:
 * there are no gaps, and nothing is overwritten while it is read.
 */
static void *serve(void *argument)
{
	struct tapio_consumer *c = argument;
	struct tapio_view views[32];
	long handled = 0;

	while (handled < EVENTS) {
		int n = tapio_poll(c, views, 32, TAPIO_FOREVER);

		if (n < 0)
			break;
		handled += n;
		tapio_release(c);
	}
	return (void *)handled;
}

int main(void)
{
	char why[256];
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.error = why,
		.error_bytes = sizeof(why),
		.config_text = "channel orders { full = wait  wait = 1s\n"
			       "  class main { blocks = 256 }\n"
			       "  group service { policy = lossless } }",
	};
	struct tapio_consumer_options join = {.size = sizeof(join),
					      .group = "service"};
	struct tapio_broker *broker;
	struct tapio_producer *p;
	struct tapio_consumer *c;
	pthread_t service;
	void *handled;

	if (tapio_broker_start(&broker, &options)) {
		fprintf(stderr, "broker: %s\n", why);
		return 1;
	}
	where.socket = tapio_broker_socket(broker);
	join.broker = where;
	if (tapio_consumer_open(&c, "orders", &join) ||
	    tapio_producer_open(&p, "orders", &where) ||
	    pthread_create(&service, NULL, serve, c))
		return 1;
	for (int i = 0; i < EVENTS; i++)
		if (tapio_output(p, TAPIO_TAG(1024, 3), &i, sizeof(i)))
			return 1;
	pthread_join(service, &handled);
	printf("%ld events handled\n", (long)handled);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	tapio_broker_stop(broker);
	return 0;
}
