/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of a CPU, for those that change it: pool.c, one object at a time, and
 * pool_batch.c, many. A section is in the file that runs it, never in a function
 * that the linker may merge or drop: that would leave its descriptor in __rseq_cs
 * behind, pointing at nothing.
 */
#ifndef TPI_POOL_LIST_H
#define TPI_POOL_LIST_H

#include <errno.h>

#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "lib/kit/pool.h"

/* Why a section was not to be. */
enum {
	POOL_MOVED = 1, /* preempted or migrated: nothing that lasts */
	POOL_OTHER,     /* the state of the top's object is another */
	POOL_EMPTY,     /* nothing in the list */
	POOL_FULL,      /* no room in the list */
	POOL_NO_LIST,   /* not for this thread or CPU */
};

/* Results of a section for a put. */
enum {
	POOL_OUT = 1, /* the object is as it was */
	POOL_CUT,     /* it had the wanted state, and may have got the stamp */
};

_Static_assert(offsetof(struct tapio_shm_pool_list, entries) == 8,
	       "sections: entries");
_Static_assert(offsetof(struct tpi_rseq, cpu_id) == 4, "sections: cpu_id");
_Static_assert(offsetof(struct tpi_rseq, rseq_cs) == 8, "sections: rseq_cs");
_Static_assert(TPI_PLACE_LIST == 16, "sections: the stamp");

#if defined(__x86_64__)
#include "lib/kit/pool_section_x86_64.h"
#elif defined(__aarch64__)
#include "lib/kit/pool_section_aarch64.h"
#else
#error "Tapio has rseq sections for x86-64 and aarch64"
#endif

/* Fast paths are leaves: rare cases are behind tail calls. */
#define POOL_RARE __attribute__((noinline, cold))

/* A pop for get_cpus is the one of tapio_pool_get. */
DEFINE_SECTION_POP(section_get, get_cpus)
DEFINE_SECTION_POP(section_pop, fast_cpus)

/*
 * This CPU, or UINT32_MAX if it has no list for us. Only to look at that list: another
 * thread may change it meanwhile. `fast_cpus` is read plainly, as `cpus` is in
 * tpi_lane_here().
 */
static inline uint32_t tpi_pool_cpu_here(const struct tapio_pool *pool)
{
	uint32_t cpu = tpi_load_relaxed(&tpi_rseq_area()->cpu_id);

	return cpu < pool->fast_cpus ? cpu : UINT32_MAX;
}

/* A guess why a pop or a push was not to be, or -EBADMSG, which is none. */
int tpi_pool_why_not_pop(const struct tapio_pool *pool);
static inline int tpi_pool_why_not_push(const struct tapio_pool *pool)
{
	uint32_t cpu = tpi_pool_cpu_here(pool), height;

	if (cpu == UINT32_MAX)
		return POOL_NO_LIST;
	height = (uint32_t)tpi_load_relaxed(&tpi_pool_list(pool, cpu)->height);
	if (height < pool->cache)
		return POOL_MOVED;
	return height == pool->cache ? POOL_FULL : -EBADMSG;
}

/* The state of an object of ours between P1 and P3. */
static inline uint64_t tpi_pool_begun(const struct tapio_pool *pool)
{
	if (pool->flags & TAPIO_POOL_EXACT)
		return tpi_pool_state(TPI_STATE_NAME(pool->held),
				      TPI_PLACE_MOVING);
	return pool->held;
}

/* Step P1. 0, or the put is refused. */
static inline int tpi_pool_begin_put(const struct tapio_pool *pool,
				     uint32_t index)
{
	uint64_t state;

	if (pool->flags & TAPIO_POOL_UNCHECKED)
		return 0;
	/* Relaxed: while it is ours, no other thread writes it. */
	state = tpi_load_relaxed(&pool->states[index]);
	if (tpi_unlikely(state != pool->held))
		return tpi_pool_refuse(pool, state);
	TPI_TESTPOINT("pool.put.seen");
	/* Relaxed: list or depot pass it on to the next owner. */
	if (pool->flags & TAPIO_POOL_EXACT &&
	    !tpi_cas_relaxed(&pool->states[index], &state,
			     tpi_pool_begun(pool)))
		return tpi_pool_refuse(pool, state);
	return 0;
}

#endif
