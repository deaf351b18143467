/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's allocator. */
#include <stdlib.h>

#include "bench/peers/pool_peer.h"

static inline void *get(const struct pool_spec *spec)
{
	return spec->zeroed ? calloc(1, spec->bytes) : malloc(spec->bytes);
}

#define POOL              void
#define GET(pool, spec)   ((void)(pool), get(spec))
#define PUT(pool, object) ((void)(pool), free(object), true)

#include "bench/peers/pool_loops.h"

const struct bench_peer peer_malloc = {
	.name = "glibc malloc",
	.package = "",
	.copies = "",
	.across = "threads",
	.death = "gone with its process",
	.kind = BENCH_PEER,
};

const struct pool_ops pool_malloc = {.threads = true, POOL_LOOPS};
