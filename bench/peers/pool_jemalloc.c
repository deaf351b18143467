/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jemalloc, beside the C library's allocator and not in its place: its calls have
 * names of their own here (jemalloc.names).
 */
#include <stddef.h>

#include "bench/peers/pool_peer.h"

void *bench_je_malloc(size_t bytes);
void *bench_je_calloc(size_t count, size_t bytes);
void bench_je_free(void *object);

static inline void *get(const struct pool_spec *spec)
{
	return spec->zeroed ? bench_je_calloc(1, spec->bytes)
			    : bench_je_malloc(spec->bytes);
}

#define POOL              void
#define GET(pool, spec)   ((void)(pool), get(spec))
#define PUT(pool, object) ((void)(pool), bench_je_free(object), true)

#include "bench/peers/pool_loops.h"

const struct bench_peer peer_jemalloc = {
	.name = "jemalloc",
	.package = "libjemalloc-dev",
	.copies = "",
	.across = "threads",
	.death = "gone with its process",
	.kind = BENCH_PEER,
};

const struct pool_ops pool_jemalloc = {.threads = true, POOL_LOOPS};
