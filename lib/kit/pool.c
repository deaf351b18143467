/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: get and put. (pool_batch.c has batches, pool_depot.c is the depots,
 * pool_reclaim.c brings back what the dead had, pool_init.c makes and attaches
 * pools.)
 *
 * WHAT IT IS. A free object lies in one of two kinds of places: in a CPU's list,
 * which only code that runs on that CPU changes, inside a restartable section,
 * or in its node's depot, a bitmap that anyone changes by atomic operations. The
 * state of an object (lib/kit/pool.h) is {name, place}, and this always holds:
 *
 *	An object lies in the list, or in the depot, that its state names, or it
 *	is in the hands of the name in its state. It lies nowhere else.
 *
 * A list is {height, entries}: a stack. A section begins before it looks at the list,
 * and becomes visible by its one store of the height.
 *
 *	                   G3 section_pop        G4
 *	x, LIST+c (listed) ----------> me, LIST+c ----> me, HELD
 *	me, HELD ----------> me, LIST+c (listed)
 *	         P3 section_push
 *	                   T1 bit taken          T2 compare-and-swap
 *	x, DEPOT (bit set) ----------> x, DEPOT ------> me, HELD
 *	me, HELD or LIST+c ------> me, DEPOT ------> me, DEPOT (bit set)
 *	                     D1               D2
 *
 * GET	G1  the section begins: c = this CPU, height = its list's; empty: G5
 *	G2  i = entries[height - 1]
 *	G3  place of i is LIST+c?
 *	    state[i] = {me, LIST+c}; height: one less	<- commit, and it ends
 *	G4  state[i] = {me, HELD}
 *	G5  take up to `batch` from a depot: T1, T2; return one, P2 and P3 for all
 *	    others at once
 * PUT	P1  is state[i] {me, HELD}? EXACT: and by compare-and-swap {me, MOVING}.
 *	    UNCHECKED: no question. Zero it, call reset
 *	P2  the section begins: c = this CPU, height = its list's. Full: P4
 *	P3  state[i] as in P1?
 *	    entries[height] = i, state[i] = {me, LIST+c}, height: one more
 *						<- commit, and it ends
 *	P4  G1 to G3 for the `batch` topmost at once, then D1, D2. Then P2 again
 *
 * Where a put has no more to do in P1 than to look, P3's look is that of P1, too.
 *
 * THE ARGUMENT
 *
 *  1	G3 aborted after its first store: i still lies in the list, its state
 *	names another thief of the same place. The next one in the list
 *	overwrites it. So a name in the state of a listed object means nothing,
 *	and code that acts on it MUST look into the list first (tpi_pool_claim).
 *  2	P3 aborted after any of its stores: the entry lies above the height,
 *	where nothing is read before it is written again. i is in the hands of
 *	the name in its state, which is me (for several at once, each of them).
 *	I find {me, LIST+c} and claim it back: it is in the list only if
 *	somebody else put it too, and then I am refused. I do so only after a
 *	section that has seen the state of P1 (POOL_CUT): without that I might
 *	claim an object that was never mine to put, and that another thread of
 *	my name has in hands. The section tells by a register, which it sets
 *	between its look and its store, and which an abort leaves alone.
 *  3	Between the beginning of a section and its commit no other code runs
 *	that stores to this list: it would run on this CPU, and the kernel aborts
 *	the section first. So in G3 entries[height - 1] is still i, and in P3 the
 *	entry written is the first free one. No word has to count operations.
 *  4	Exactly one owner. An object becomes HELD in G4 by the one whose section
 *	took it off the list, or in T2 by compare-and-swap.
 *  5	Double and foreign puts. While an object is not {me, HELD} a put is
 *	refused, and it never is while it lies anywhere: G3 stores LIST+c and not
 *	HELD for that reason. On one CPU two puts of an object exclude one another
 *	by their sections, on two CPUs by the swap of P1, if the pool is EXACT.
 *	Else both may see HELD at once: then it lies in two lists, of which its
 *	state names one. The other one's entry fails G3's check of the place and
 *	is dropped, as long as that is seen before the first one's is got. The
 *	same after a put of an UNCHECKED pool that should not have been made.
 *
 * SIGKILL at each point (the testpoints are named after them):
 *
 *	before G3's commit		nothing was taken (1)
 *	after G3, before G4		{dead, LIST+c}, not in the list: reclaimed
 *	after G4			{dead, HELD}: reclaimed
 *	in P1				{dead, HELD} or MOVING: reclaimed, reset again
 *	before P3's commit		{dead, HELD} or {dead, LIST+c}, not in the list:
 *					reclaimed (2)
 *	after P3's commit		it is in the list
 *	after T1, before T2		{x, DEPOT} without its bit: x is anybody, and
 *					the bit is only a hint, so that every reclaim
 *					may set it again (pool_depot.c)
 *	after T2			{dead, HELD}: reclaimed
 *	after D1, before D2		{dead, DEPOT} without its bit: as after T1
 *
 * SIGSTOP, at any of these: the stopped thread keeps what it has in hands, at
 * most a batch, and no other thread waits for it. Inside a section it is sent
 * back first.
 *
 * Migration inside a section aborts it. Elsewhere it does not matter: nothing refers
 * to the CPU.
 *
 * A signal handler that gets or puts: inside a section it aborts it first. Elsewhere
 * the interrupted call has in hands what it works on.
 *
 * fork: a child inherits no section, for it begins behind the system call. It has its
 * parent's name, and what the parent has in hands stays with the parent.
 *
 * A restart of a broker: pools know none.
 *
 * A value that comes from memory is checked before it is used as an index: heights
 * against the entries, objects against their number.
 */
#include <errno.h>
#include <string.h>

#include "lib/kit/pool_list.h"

/* A debugger that steps through a section restarts it for ever. */
#define POOL_TRIES 16

/* At no moment is an entry no object, or a list higher than it has entries. */
int tpi_pool_why_not_pop(const struct tapio_pool *pool)
{
	uint32_t cpu = tpi_pool_cpu_here(pool), height, index, place;
	struct tapio_shm_pool_list *list;

	if (cpu == UINT32_MAX)
		return POOL_NO_LIST;
	list = tpi_pool_list(pool, cpu);
	height = (uint32_t)tpi_load_relaxed(&list->height);
	if (!height)
		return POOL_EMPTY;
	if (height > pool->cache)
		return -EBADMSG;
	index = tpi_load_relaxed(&list->entries[height - 1]);
	if (index >= pool->count)
		return -EBADMSG;
	place = TPI_STATE_PLACE(tpi_load_relaxed(&pool->states[index]));
	return place == TPI_PLACE_LIST + cpu ? POOL_MOVED : POOL_OTHER;
}

POOL_RARE int64_t tpi_pool_pop(const struct tapio_pool *pool)
{
	return section_pop(pool, pool->states, pool->held);
}

/* Argument 5: the state contradicts the top entry, which is removed. */
POOL_RARE static void drop_stale(const struct tapio_pool *pool)
{
	if (section_drop(pool, pool->states, pool->held))
		tpi_pool_count(pool, TPI_POOL_STALE_ENTRIES, 1);
}

POOL_RARE int tpi_pool_refuse(const struct tapio_pool *pool, uint64_t state)
{
	bool foreign =
		TPI_STATE_PLACE(state) == TPI_PLACE_HELD && state != pool->held;

	tpi_pool_count(pool,
		       foreign ? TPI_POOL_FOREIGN_PUTS : TPI_POOL_DOUBLE_PUTS,
		       1);
	return foreign ? -EINVAL : -EALREADY;
}

uint64_t tpi_pool_take_back(const struct tapio_pool *pool, uint32_t index,
			    uint64_t want)
{
	uint64_t state = tpi_load_relaxed(&pool->states[index]);

	if (TPI_STATE_NAME(state) == TPI_STATE_NAME(pool->held) &&
	    TPI_STATE_PLACE(state) >= TPI_PLACE_LIST &&
	    tpi_pool_claim(pool, index, state, want))
		return want;
	return state;
}

static inline int push(const struct tapio_pool *pool, uint64_t index,
		       uint64_t want)
{
	if (pool->flags & TAPIO_POOL_UNCHECKED)
		return section_push_unchecked(pool, pool->states, pool->held,
					      want, index);
	return section_push(pool, pool->states, pool->held, want, index);
}

/* P2 to P4, any number of times, or into the depot. */
__attribute__((noinline)) int tpi_pool_put_again(const struct tapio_pool *pool,
						 uint64_t index, uint64_t want,
						 bool cut)
{
	uint32_t tries, i = (uint32_t)index;
	uint64_t state;
	int err;

	for (tries = 0;; tries++) {
		/* P1, if no section has made it. */
		state = cut ? tpi_pool_take_back(pool, i, want)
			    : tpi_load_relaxed(&pool->states[i]);
		if (state != want)
			return tpi_pool_refuse(pool, state);
		err = tpi_pool_why_not_push(pool);
		if (err < 0)
			return err;
		if (err == POOL_NO_LIST || tries == POOL_TRIES)
			break;
		if (err == POOL_FULL)
			tpi_pool_spill(pool);
		else
			tpi_pool_count(pool, TPI_POOL_RESTARTS, 1);
		err = push(pool, index, want);
		if (!err) {
			TPI_TESTPOINT("pool.put.P3");
			return 0;
		}
		cut = err == POOL_CUT;
	}
	if (!tpi_pool_give_back(pool, i, want))
		return tpi_pool_refuse(pool,
				       tpi_load_relaxed(&pool->states[i]));
	return 0;
}

/* G1 to G5, any number of times, or out of the depot. The object is HELD. */
int tpi_pool_get_again(const struct tapio_pool *pool, uint64_t *index)
{
	uint32_t tries;
	int64_t top;
	int err;

	for (tries = 0; tries < POOL_TRIES; tries++) {
		err = tpi_pool_why_not_pop(pool);
		if (err < 0)
			return err;
		if (err == POOL_NO_LIST) {
			tpi_pool_look_for_lists(pool);
			break;
		}
		if (err == POOL_EMPTY) {
			tpi_pool_count(pool, TPI_POOL_REFILLS, 1);
			return tpi_pool_refill(pool, index, pool->batch);
		}
		if (err == POOL_OTHER)
			drop_stale(pool);
		tpi_pool_count(pool, TPI_POOL_RESTARTS, 1);
		top = tpi_pool_pop(pool);
		if (top >= 0) {
			TPI_TESTPOINT("pool.get.G3");
			tpi_store_relaxed(&pool->states[top], pool->held);
			*index = (uint64_t)top;
			return 0;
		}
	}
	return tpi_pool_refill(pool, index, 1);
}

/* A get that is not the usual one. */
__attribute__((noinline)) static int
get_otherwise(const struct tapio_pool *pool, void **object)
{
	int64_t top = pool->zero_on_get ? tpi_pool_pop(pool) : -1;
	uint64_t index = (uint64_t)top;
	int err;

	if (top >= 0) {
		TPI_TESTPOINT("pool.get.G3");
		tpi_store_relaxed(&pool->states[top], pool->held);
	} else {
		err = tpi_pool_get_again(pool, &index);
		if (err) {
			*object = NULL;
			return err;
		}
	}
	*object = tpi_pool_at(pool, index);
	TPI_TESTPOINT("pool.get.G4");
	if (pool->zero_on_get)
		memset(*object, 0, pool->object_bytes);
	return 0;
}

int tapio_pool_get(struct tapio_pool *pool, void **object)
{
	/* Loaded once: the section could have changed any memory. */
	const uint64_t held = pool->held;
	uint64_t *const states = pool->states;
	int64_t top = section_get(pool, states, held);

	if (tpi_unlikely(top < 0))
		return get_otherwise(pool, object);
	TPI_TESTPOINT("pool.get.G3");
	/* G4. Relaxed: the object is ours. */
	tpi_store_relaxed(&states[top], held);
	*object = tpi_pool_at(pool, (uint64_t)top);
	TPI_TESTPOINT("pool.get.G4");
	return 0;
}

void tpi_pool_clean(const struct tapio_pool *pool, uint32_t index)
{
	void *object = tpi_pool_at(pool, index);

	if (!(pool->flags & (TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET)))
		memset(object, 0, pool->object_bytes);
	if (pool->reset)
		pool->reset(object, pool->argument);
}

/* A put of which P1 is a step of its own: there is work, or a swap to be made. */
static int put_in_steps(const struct tapio_pool *pool, uint32_t index)
{
	uint64_t want = tpi_pool_begun(pool);
	int err = tpi_pool_begin_put(pool, index);

	if (tpi_unlikely(err))
		return err;
	TPI_TESTPOINT("pool.put.P1");
	tpi_pool_clean(pool, index);
	TPI_TESTPOINT("pool.put.cleaned");
	err = push(pool, index, want);
	if (tpi_unlikely(err))
		return tpi_pool_put_again(pool, index, want, err == POOL_CUT);
	TPI_TESTPOINT("pool.put.P3");
	return 0;
}

/* A put that is not the usual one, or of what is no object. */
__attribute__((noinline)) static int
put_otherwise(const struct tapio_pool *pool, uint64_t index)
{
	const uint64_t held = pool->held;
	int err;

	if (index >= pool->count) {
		tpi_pool_count(pool, TPI_POOL_FOREIGN_PUTS, 1);
		return -EINVAL;
	}
	if (pool->put_way == TPI_PUT_IN_STEPS)
		return put_in_steps(pool, (uint32_t)index);
	TPI_TESTPOINT("pool.put.P1");
	err = section_push_unchecked(pool, pool->states, held, held, index);
	if (tpi_unlikely(err))
		return tpi_pool_put_again(pool, index, held, err == POOL_CUT);
	TPI_TESTPOINT("pool.put.P3");
	return 0;
}

int tapio_pool_put(struct tapio_pool *pool, void *object)
{
	const uint64_t held = pool->held;
	uint64_t index = tpi_pool_index(pool, object);
	int err;

	if (tpi_unlikely(index >= pool->put_count))
		return put_otherwise(pool, index);
	TPI_TESTPOINT("pool.put.P1");
	/* The section makes P1's look: argument 2. */
	err = section_push(pool, pool->states, held, held, index);
	if (tpi_unlikely(err))
		return tpi_pool_put_again(pool, index, held, err == POOL_CUT);
	TPI_TESTPOINT("pool.put.P3");
	return 0;
}

static int rename_object(const struct tapio_pool *pool, const void *object,
			 uint32_t from, uint32_t to)
{
	uint64_t index = tpi_pool_index(pool, object);
	uint64_t state = tpi_pool_state(from, TPI_PLACE_HELD);

	if (index >= pool->count || !from || !to)
		return -EINVAL;
	/*
	 * ORDER pool.rename (acq_rel): the adopter sees all that the giver did
	 * to the object before. Pairs with itself.
	 */
	if (tpi_cas_acq_rel(&pool->states[index], &state,
			    tpi_pool_state(to, TPI_PLACE_HELD)))
		return 0;
	return TPI_STATE_PLACE(state) == TPI_PLACE_HELD ? -EINVAL : -EALREADY;
}

int tapio_pool_give(struct tapio_pool *pool, void *object, uint32_t to)
{
	return rename_object(pool, object, tapio_pool_owner(pool), to);
}

int tapio_pool_adopt(struct tapio_pool *pool, void *object, uint32_t from)
{
	return rename_object(pool, object, from, tapio_pool_owner(pool));
}
