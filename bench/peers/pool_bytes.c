/* SPDX-License-Identifier: Apache-2.0 */
/* Tapio's byte buffers: the class is found from the size, and from the address. */
#include <string.h>

#include <tapio/bytes.h>

#include "bench/peers/pool_peer.h"

#define BUFFERS 128 /* of each size */

static inline void *get(struct tapio_bytes *bytes, const struct pool_spec *spec)
{
	void *buffer;

	/* NULL when there is none. */
	tapio_bytes_get(bytes, spec->bytes, spec->zeroed ? TAPIO_BYTES_ZERO : 0,
			&buffer);
	return buffer;
}

#define POOL              struct tapio_bytes
#define GET(pool, spec)   get(pool, spec)
#define PUT(pool, object) (tapio_bytes_put(pool, object) == 0)

#include "bench/peers/pool_loops.h"

static struct {
	void *memory;
	size_t bytes;
} made;

static int make_with(void **pool, uint32_t flags)
{
	struct tapio_bytes_options options = {
		.size = sizeof(options),
		.flags = flags,
	};
	struct tapio_bytes *bytes;
	int err;

	/* As for a program with buffers of every size. */
	for (unsigned int i = 0; i < TAPIO_BYTES_CLASSES; i++)
		options.count[i] = BUFFERS;
	made.bytes = tapio_bytes_bytes(&options);
	made.memory = bench_memory(made.bytes);
	if (!made.memory)
		return -1;
	err = tapio_bytes_init(&bytes, made.memory, made.bytes, &options);
	if (err) {
		bench_why("tapio_bytes_init: %s", strerror(-err));
		bench_memory_free(made.memory, made.bytes);
	}
	*pool = bytes;
	return err;
}

static int make(void **pool, const struct pool_spec *spec)
{
	(void)spec;
	return make_with(pool, 0);
}

static int make_exact(void **pool, const struct pool_spec *spec)
{
	(void)spec;
	return make_with(pool, TAPIO_BYTES_EXACT);
}

static void unmake(void *pool)
{
	tapio_bytes_close(pool);
	bench_memory_free(made.memory, made.bytes);
}

const struct bench_peer peer_tapio_bytes = {
	.name = "tapio_bytes",
	.package = "",
	.copies = "",
	.across = "processes",
	.death = "the dead one's buffers are taken back; nobody is stopped",
	.kind = BENCH_TAPIO,
};

const struct pool_ops pool_bytes = {.make = make, .unmake = unmake, POOL_LOOPS};
const struct pool_ops pool_bytes_exact = {
	.make = make_exact, .unmake = unmake, POOL_LOOPS};
