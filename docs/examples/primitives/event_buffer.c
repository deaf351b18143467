/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/broker.h>
#include <tapio/tapio.h>

struct login {
	uint32_t uid;
	char from[28];
};

int main(void)
{
	char why[256];
	struct tapio_broker_options broker_options = {
		.size = sizeof(broker_options),
		.error = why,
		.error_bytes = sizeof(why),
	};
	struct tapio_options where = {
		.size = sizeof(where),
		.error = why,
		.error_bytes = sizeof(why),
	};
	struct tapio_consumer_options join = {.size = sizeof(join)};
	struct login login = {1000, "192.0.2.7"};
	struct tapio_broker *broker;
	struct tapio_producer *p;
	struct tapio_consumer *c;
	struct tapio_view view;

	if (tapio_broker_start(&broker, &broker_options)) {
		fprintf(stderr, "broker: %s\n", why);
		return 1;
	}
	where.socket = tapio_broker_socket(broker);
	join.broker = where;
	if (tapio_consumer_open(&c, "events", &join) ||
	    tapio_producer_open(&p, "events", &where)) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	/* One call: take a block, fill it, publish it. */
	if (tapio_output(p, TAPIO_TAG(1024, 3), &login, sizeof(login)))
		return 1;
	if (tapio_poll(c, &view, 1, TAPIO_FOREVER) != 1 ||
	    view.flags & TAPIO_VIEW_GAP)
		return 1;
	/* Read in place, from memory that this process cannot write. */
	const struct login *seen = view.data;
	printf("type %u: uid %u from %s\n", view.type, seen->uid, seen->from);
	/* Not 0: it was overwritten while it was read. */
	if (tapio_release(c))
		return 1;
	tapio_producer_close(p);
	tapio_consumer_close(c);
	tapio_broker_stop(broker);
	return 0;
}
