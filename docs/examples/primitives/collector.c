/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <tapio/broker.h>
#include <tapio/tapio.h>

/*
 * A collector emits on the CPU that it runs on. Each CPU has a lane of its own, so
 * there are no locks. When a lane is full, the channel's option `full` decides: here
 * the event is dropped and counted.
 */
int main(void)
{
	char why[256];
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.error = why,
		.error_bytes = sizeof(why),
		.config_text = "channel samples { full = drop\n"
			       "  class main { blocks = 64 }\n"
			       "  group export { policy = lossless } }",
	};
	struct tapio_options where = {.size = sizeof(where)};
	struct tapio_consumer_options join = {.size = sizeof(join),
					      .group = "export"};
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	unsigned int accepted = 0, refused = 0;
	struct tapio_broker *broker;
	struct tapio_producer *p;
	struct tapio_consumer *c;

	if (tapio_broker_start(&broker, &options)) {
		fprintf(stderr, "broker: %s\n", why);
		return 1;
	}
	where.socket = tapio_broker_socket(broker);
	join.broker = where;
	/* A consumer that does not consume. */
	if (tapio_consumer_open(&c, "samples", &join) ||
	    tapio_producer_open(&p, "samples", &where))
		return 1;
	for (uint64_t sample = 0; sample < 1000; sample++) {
		int err = tapio_output(p, TAPIO_TAG(1025, 3), &sample,
				       sizeof(sample));

		if (!err)
			accepted++;
		else if (err == -EAGAIN)
			refused++;
		else
			return 1;
	}
	tapio_producer_stats_read(p, &stats);
	if (!refused || accepted + refused != 1000 || stats.dropped != refused)
		return 1;
	puts("1000 samples: accepted or counted as dropped");
	tapio_producer_close(p);
	tapio_consumer_close(c);
	tapio_broker_stop(broker);
	return 0;
}
