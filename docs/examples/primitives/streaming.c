/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/broker.h>
#include <tapio/tapio.h>

int main(void)
{
	char why[256];
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.error = why,
		.error_bytes = sizeof(why),
	};
	struct tapio_options where = {.size = sizeof(where)};
	struct tapio_consumer_options join = {.size = sizeof(join)};
	struct tapio_item items[64];
	struct tapio_view views[64];
	uint64_t values[64], sum = 0;
	struct tapio_broker *broker;
	struct tapio_producer *p;
	struct tapio_consumer *c;
	unsigned int seen = 0;

	if (tapio_broker_start(&broker, &options)) {
		fprintf(stderr, "broker: %s\n", why);
		return 1;
	}
	where.socket = tapio_broker_socket(broker);
	join.broker = where;
	if (tapio_consumer_open(&c, "events", &join) ||
	    tapio_producer_open(&p, "events", &where))
		return 1;
	for (unsigned int i = 0; i < 64; i++) {
		values[i] = i;
		items[i] = (struct tapio_item){&values[i], sizeof(values[i]),
					       TAPIO_TAG(1026, 3)};
	}
	/* Ten times 64 events; each batch becomes visible in one store. */
	for (int batch = 0; batch < 10; batch++)
		if (tapio_output_batch(p, items, 64) != 64)
			return 1;
	/* Taken and released in batches, too: up to 64 at a time. */
	while (seen < 640) {
		int n = tapio_poll(c, views, 64, TAPIO_FOREVER);

		if (n < 0)
			return 1;
		for (int i = 0; i < n; i++) {
			if (views[i].flags & TAPIO_VIEW_GAP)
				return 1; /* events were missed */
			sum += *(const uint64_t *)views[i].data;
		}
		seen += (unsigned int)n;
		if (tapio_release(c))
			return 1; /* overwritten while they were read */
	}
	printf("%u events, sum %llu\n", seen, (unsigned long long)sum);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	tapio_broker_stop(broker);
	return 0;
}
