/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin with a libtapio.a of its own, as collectors have it that are loaded by
 * somebody else's daemon. host.c loads and unloads it.
 */
#include <stdint.h>
#include <string.h>

#include <tapio/pool.h>
#include <tapio/tapio.h>

#include "tests/fault/plugin/plugin.h"

static int use_pool(void)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = 64,
		.count = 256,
	};
	struct tapio_pool *pool;
	void *object;
	int i, err = tapio_pool_create(&pool, &options);

	for (i = 0; i < 1000 && !err; i++) {
		err = tapio_pool_get(pool, &object);
		if (!err)
			err = tapio_pool_put(pool, object);
	}
	tapio_pool_close(pool);
	return err;
}

/* Emits until its own group has got `count` of them, one by one or in batches. */
static int emit_and_read(struct tapio_producer *p, struct tapio_consumer *c,
			 int count)
{
	struct tapio_view views[16];
	int got = 0, n = 0, err;

	while (got < count && n >= 0) {
		err = tapio_output(p, TAPIO_TAG(1, 1), &got, sizeof(got));
		if (err && err != -11)
			return err;
		n = tapio_poll(c, views, 16, 0);
		if (n > 0)
			got += n;
		tapio_release(c);
	}
	return n < 0 ? n : 0;
}

int plugin_run(const char *socket, int count, uint32_t *side_lane)
{
	struct tapio_options options = {
		.size = sizeof(options),
		.socket = socket,
		.answer_ns = TAPIO_FOREVER,
	};
	struct tapio_consumer_options consume = {
		.size = sizeof(consume),
		.broker = options,
	};
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct tapio_producer *p;
	struct tapio_consumer *c;
	int err;

	err = tapio_producer_open(&p, "t", &options);
	if (err)
		return err;
	err = tapio_consumer_open(&c, "t", &consume);
	if (!err)
		err = tapio_fd(c) < 0 ? -1 : 0;
	if (!err)
		err = emit_and_read(p, c, count);
	if (!err)
		err = use_pool();
	if (!err)
		err = tapio_producer_stats_read(p, &stats);
	*side_lane = stats.side_lane;
	tapio_consumer_close(c);
	tapio_producer_close(p);
	return err;
}
