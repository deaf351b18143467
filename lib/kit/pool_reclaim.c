/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: reclaiming the objects of the dead, and the audit.
 *
 * A dead name can be in the state of an object in three ways (pool.c):
 *
 *	HELD, MOVING	it had the object: compare-and-swap to our name
 *	LIST+c		it had the object in hands, or left it in list c, or tried
 *			to take it from there and did not: look into the list
 *	DEPOT		it put it there; the bit may be missing: set it
 *
 * CLAIM. Let the state of i be {x, LIST+c}, x dead, as loaded in step 1.
 *
 *  1	seen = state[i]
 *  2	height of list c; then its entries below that height: is i one of them?
 *  3	if not: compare-and-swap state[i] from seen to what we want
 *
 * i is in list c, or it never will be unless somebody claims it, for x puts it
 * nowhere any more. If it was in the list at step 2's load of the height and we do
 * not find it, then it was popped since. The pop stored another state before its
 * height, and before anything else was stored in i's entry, so step 3 fails: seen
 * never comes back, for x stores no state any more. If we find it and it is not
 * there, then it was popped since, too, and is no longer x's. Slots above the
 * height, where an aborted push may have left i, are not looked at, and when the
 * height grows over such an entry, it has been written again before.
 *
 * The same holds when x is alive and it is x itself that claims, for an object
 * that its own aborted push had in hands.
 *
 * Two that reclaim at once: the swap decides. One that is killed: its claims
 * are in its own name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kit/pool.h"
#include "lib/base/testpoint.h"

static bool in_list(const struct tapio_pool *pool, uint32_t cpu, uint32_t index)
{
	struct tapio_shm_pool_list *list = tpi_pool_list(pool, cpu);
	uint32_t count, i;

	/*
	 * ORDER pool.list (acquire): states and entries as of that height. Pairs
	 * with the commits of the sections (plain stores on x86).
	 */
	count = (uint32_t)tpi_load_acquire(&list->height);
	if (count > pool->cache)
		count = pool->cache;
	for (i = 0; i < count; i++)
		if (tpi_load_relaxed(&list->entries[i]) == index)
			return true;
	return false;
}

static bool is_list(const struct tapio_pool *pool, uint32_t place)
{
	return place >= TPI_PLACE_LIST && place - TPI_PLACE_LIST < pool->cpus;
}

bool tpi_pool_claim(const struct tapio_pool *pool, uint32_t index,
		    uint64_t seen, uint64_t next)
{
	uint32_t place = TPI_STATE_PLACE(seen);

	if (is_list(pool, place) &&
	    in_list(pool, place - TPI_PLACE_LIST, index))
		return false;
	/*
	 * ORDER pool.entry (load-load): the entries before the state. Pairs with
	 * the store-store in the sections (aarch64).
	 */
	tpi_fence_load_load();
	return tpi_cas_acq_rel(&pool->states[index], &seen, next);
}

/* Whether the object has its bit. If not, it gets it. */
static void mend_bit(const struct tapio_pool *pool, uint32_t index)
{
	uint64_t bit = UINT64_C(1) << index % TAPIO_POOL_GROUP;

	/* Relaxed: setting it once too often does no harm. */
	if (!(tpi_load_relaxed(&pool->groups[index / TAPIO_POOL_GROUP]) & bit))
		tpi_pool_deposit(pool, index / TAPIO_POOL_GROUP, bit);
}

static bool reclaim_one(const struct tapio_pool *pool, uint32_t index,
			uint32_t owner)
{
	/*
	 * ORDER pool.state (acquire): the list as of this state or later. Pairs
	 * with the commits of the sections, which come after their states.
	 */
	uint64_t seen = tpi_load_acquire(&pool->states[index]);

	TPI_TESTPOINT("pool.reclaim.seen");
	if (TPI_STATE_PLACE(seen) == TPI_PLACE_DEPOT) {
		mend_bit(pool, index);
		return false;
	}
	if (TPI_STATE_NAME(seen) != owner ||
	    !tpi_pool_claim(pool, index, seen, pool->held))
		return false;
	TPI_TESTPOINT("pool.reclaim.claimed");
	tpi_pool_clean(pool, index);
	TPI_TESTPOINT("pool.reclaim.cleaned");
	return tpi_pool_give_back(pool, index, pool->held);
}

int64_t tapio_pool_reclaim(struct tapio_pool *pool, uint32_t owner)
{
	int64_t n = 0;
	uint32_t i;

	if (!owner || owner == tapio_pool_owner(pool))
		return -EINVAL;
	for (i = 0; i < pool->count; i++)
		if (reclaim_one(pool, i, owner))
			n++;
	if (n)
		tpi_pool_count(pool, TPI_POOL_RECLAIMED, (uint64_t)n);
	return n;
}

/* How often each object is in the list that its state names. */
static void audit_lists(const struct tapio_pool *pool,
			struct tpi_pool_audit *audit, uint8_t *seen)
{
	struct tapio_shm_pool_list *list;
	uint32_t cpu, count, i, index, place;

	for (cpu = 0; cpu < pool->cpus; cpu++) {
		list = tpi_pool_list(pool, cpu);
		count = (uint32_t)tpi_load_relaxed(&list->height);
		for (i = 0; i < count && i < pool->cache; i++) {
			index = tpi_load_relaxed(&list->entries[i]);
			place = index < pool->count
					? TPI_STATE_PLACE(tpi_load_relaxed(
						  &pool->states[index]))
					: 0;
			if (place != TPI_PLACE_LIST + cpu)
				audit->stray++;
			else if (seen[index] < 2)
				seen[index]++;
		}
	}
}

int tpi_pool_audit(const struct tapio_pool *pool, struct tpi_pool_audit *audit)
{
	uint8_t *seen = calloc(pool->count, 1);
	uint32_t i, place;
	bool bit;

	memset(audit, 0, sizeof(*audit));
	if (!seen)
		return -ENOMEM;
	audit_lists(pool, audit, seen);
	for (i = 0; i < pool->count; i++) {
		place = TPI_STATE_PLACE(tpi_load_relaxed(&pool->states[i]));
		bit = tpi_load_relaxed(&pool->groups[i / TAPIO_POOL_GROUP]) >>
			      i % TAPIO_POOL_GROUP &
		      1;
		if (seen[i] > 1)
			audit->twice++;
		else if (seen[i])
			audit->cached++;
		else if (place == TPI_PLACE_HELD)
			audit->held++;
		else if (place == TPI_PLACE_DEPOT && bit)
			audit->deposited++;
		else
			audit->in_hands++;
	}
	free(seen);
	return 0;
}
