/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: the depots. Called by pool.c when a CPU's list is empty or full,
 * and for every get and put of those that have no list.
 *
 * A depot is a bitmap: a word for each group of 64 objects. A bit is a hint, the
 * state of the object the truth:
 *
 *	give back	D1  state = {me, DEPOT}		take  T1  bit cleared
 *			D2  bit set			      T2  {x, DEPOT} -> {me, HELD}
 *							          by compare-and-swap
 *
 *  1	A thread that clears a bit tries T2, and one that stores DEPOT sets the
 *	bit after it. So a set bit may be wrong (T2 fails then, and the bit is
 *	gone), and a bit is missing only while somebody is between T1 and T2, or
 *	between D1 and D2.
 *  2	So anyone may set any bit at any time: it can make T2 fail, no more. That
 *	is how tapio_pool_reclaim mends what a kill between T1 and T2, or D1 and
 *	D2, leaves. It need not know who is dead for that.
 *  3	T2 makes exactly one of those who try the owner.
 *  4	`free` counts bits: it is raised before they are set and lowered after
 *	they were cleared, so no kill makes it less than they are. Zero means
 *	that there is nothing to find.
 *
 * A bitmap rather than a stack of batches: a batch that is being moved is in no
 * list, so that its mover has to be written down before he takes it, and undone by
 * others when he dies. Here each object carries its owner's name, from the same
 * compare-and-swap that gives it to him. And objects return to the depot of the
 * node on which they lie, and come out of it side by side.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "lib/kit/pool.h"
#include "lib/base/testpoint.h"

/* Groups with something in them that a take looks at once it has anything. */
#define GROUPS_ENOUGH 8

/* The lowest `n` of the bits. */
static uint64_t lowest(uint64_t bits, uint32_t n)
{
	uint64_t rest = bits;

	while (n-- && rest)
		rest &= rest - 1;
	return bits & ~rest;
}

/*
 * The states' lines come from the CPUs that put the objects. A compare-and-swap
 * waits for its line. Ask for all of them first.
 */
static void fetch_states(const struct tapio_pool *pool, uint32_t group,
			 uint64_t bits)
{
	const uint64_t *states = &pool->states[group * TAPIO_POOL_GROUP];
	uint32_t i;

	for (i = 0; i < TAPIO_POOL_GROUP; i += 8)
		if (bits >> i & 0xff)
			tpi_prefetch_write(&states[i]);
}

/* T2 for each of the bits that T1 took. */
static uint32_t claim_bits(const struct tapio_pool *pool, uint32_t group,
			   uint64_t bits, uint32_t *indices)
{
	uint32_t index, n = 0;
	uint64_t state;

	for (; bits; bits &= bits - 1) {
		index = group * TAPIO_POOL_GROUP +
			(uint32_t)__builtin_ctzll(bits);
		if (index >= pool->count)
			break;
		state = tpi_load_relaxed(&pool->states[index]);
		TPI_TESTPOINT("pool.take.seen");
		while (TPI_STATE_PLACE(state) == TPI_PLACE_DEPOT)
			/*
			 * ORDER pool.depot (acq_rel): as below, for an object
			 * whose bit somebody else set again.
			 */
			if (tpi_cas_acq_rel(&pool->states[index], &state,
					    pool->held)) {
				indices[n++] = index;
				TPI_TESTPOINT("pool.take.T2");
				break;
			}
	}
	return n;
}

static uint32_t take_group(const struct tapio_pool *pool,
			   struct tapio_shm_pool_depot *depot, uint32_t group,
			   uint32_t *indices, uint32_t wanted)
{
	uint64_t bits = lowest(tpi_load_relaxed(&pool->groups[group]), wanted);

	if (!bits)
		return 0;
	/*
	 * ORDER pool.depot (acquire): states and contents of the objects.
	 * Pairs with the release in tpi_pool_deposit().
	 */
	bits &= tpi_and_acq_rel(&pool->groups[group], ~bits);
	if (!bits)
		return 0;
	TPI_TESTPOINT("pool.take.T1");
	fetch_states(pool, group, bits);
	tpi_add_relaxed(&depot->free, -(int64_t)__builtin_popcountll(bits));
	return claim_bits(pool, group, bits, indices);
}

static uint32_t take_node(const struct tapio_pool *pool, uint32_t node,
			  uint32_t *indices, uint32_t wanted)
{
	struct tapio_shm_pool_depot *depot = &pool->shm->depots[node];
	const struct tpi_pool_range *range = &pool->range[node];
	uint32_t size = range->end - range->first;
	uint32_t n = 0, looked = 0, i, group, at;

	/* Relaxed: point 4. */
	if (!size || tpi_load_relaxed(&depot->free) <= 0)
		return 0;
	at = (uint32_t)(tpi_load_relaxed(&depot->hint) % size);
	for (i = 0; i < size && n < wanted; i++) {
		group = range->first + at;
		if (tpi_load_relaxed(&pool->groups[group])) {
			if (n && looked++ == GROUPS_ENOUGH)
				break;
			n += take_group(pool, depot, group, indices + n,
					wanted - n);
		}
		if (n < wanted && ++at == size)
			at = 0;
	}
	if (n)
		tpi_store_relaxed(&depot->hint, at);
	return n;
}

static void lower_to(uint32_t *word, uint64_t value)
{
	uint32_t was = tpi_load_relaxed(word);

	/* Relaxed: a number for people. */
	while (value < was && !tpi_cas_relaxed(word, &was, (uint32_t)value))
		;
}

/* The lists of all CPUs are counted only when the depots are at a new low. */
static void note_low(const struct tapio_pool *pool, bool refused)
{
	struct tapio_shm_pool *shm = pool->shm;
	uint64_t depots = tpi_pool_in_depots(pool);

	if (depots >= tpi_load_relaxed(&shm->low_depots) &&
	    !(refused && tpi_load_relaxed(&shm->min_free)))
		return;
	lower_to(&shm->low_depots, depots);
	lower_to(&shm->min_free, depots + tpi_pool_cached(pool));
}

uint32_t tpi_pool_take(const struct tapio_pool *pool, uint32_t *indices,
		       uint32_t wanted)
{
	uint32_t node = 0, n = 0, i;
	int cpu;

	if (pool->nodes > 1) {
		cpu = sched_getcpu();
		if (cpu >= 0 && (uint32_t)cpu < pool->cpus)
			node = pool->node_of_cpu[cpu];
	}
	for (i = 0; i < pool->nodes && !n; i++) {
		n = take_node(pool, node, indices, wanted);
		if (++node == pool->nodes)
			node = 0;
	}
	note_low(pool, !n);
	return n;
}

static uint32_t node_of_group(const struct tapio_pool *pool, uint32_t group)
{
	uint32_t node = 0;

	while (node + 1 < pool->nodes && group >= pool->range[node].end)
		node++;
	return node;
}

void tpi_pool_deposit(const struct tapio_pool *pool, uint32_t group,
		      uint64_t bits)
{
	uint32_t node = node_of_group(pool, group);
	struct tapio_shm_pool_depot *depot = &pool->shm->depots[node];
	uint64_t was;

	tpi_add_relaxed(&depot->free, (int64_t)__builtin_popcountll(bits));
	/*
	 * ORDER pool.depot (release): states and contents of the objects. Pairs
	 * with the acquire in take_group().
	 */
	was = tpi_or_acq_rel(&pool->groups[group], bits);
	TPI_TESTPOINT("pool.deposit.D2");
	if (was & bits)
		tpi_add_relaxed(&depot->free,
				-(int64_t)__builtin_popcountll(was & bits));
	if (!was)
		tpi_store_relaxed(&depot->hint,
				  group - pool->range[node].first);
}

bool tpi_pool_give_back(const struct tapio_pool *pool, uint32_t index,
			uint64_t seen)
{
	uint64_t state =
		tpi_pool_state(TPI_STATE_NAME(pool->held), TPI_PLACE_DEPOT);

	TPI_TESTPOINT("pool.giveback.seen");
	/* D1: exact against a second put, whatever the flags. ORDER pool.depot
	 * (release): as in tpi_pool_deposit(). */
	if (!tpi_cas_acq_rel(&pool->states[index], &seen, state))
		return false;
	TPI_TESTPOINT("pool.giveback.D1");
	tpi_pool_deposit(pool, index / TAPIO_POOL_GROUP,
			 UINT64_C(1) << index % TAPIO_POOL_GROUP);
	return true;
}
