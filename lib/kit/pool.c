/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: get and put. (pool_depot.c is the depots, pool_reclaim.c brings
 * back what the dead had, pool_init.c makes and attaches pools.)
 *
 * WHAT IT IS. A free object lies in one of two kinds of places: in a CPU's list,
 * which only code that runs on that CPU changes, inside a restartable section,
 * or in its node's depot, a bitmap that anyone changes by atomic operations. The
 * state of an object (lib/kit/pool.h) is {name, place}, and this always holds:
 *
 *	An object lies in the list, or in the depot, that its state names, or it
 *	is in the hands of the name in its state. It lies nowhere else.
 *
 * A list is {word, entries}: a stack of which the word holds the height. A section
 * becomes visible by its one store of the word.
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
 * GET	G1  c = this CPU, word = its list's; empty: G5
 *	G2  i = entries[count - 1]
 *	G3  section: still on c, word as before, place of i is LIST+c?
 *	    state[i] = {me, LIST+c}; word: one less		<- commit
 *	G4  state[i] = {me, HELD}
 *	G5  take up to `batch` from a depot: T1, T2; return one, P2 and P3 for all
 *	    others at once
 * PUT	P1  state[i]: {me, HELD} -> {me, MOVING} by compare-and-swap (LAX: is it
 *	    {me, HELD}?). Zero it, call reset
 *	P2  c = this CPU, word = its list's. Full: P4
 *	P3  section: still on c, word as before, state[i] as in P1?
 *	    entries[count] = i, state[i] = {me, LIST+c}, word: one more <- commit
 *	P4  G1 to G3 for the `batch` topmost at once, then D1, D2. Then P2 again
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
 *	somebody else put it too, and then I am refused.
 *  3	The word never comes back while it is remembered: it counts operations,
 *	48 bits of them, 13 days at 4 ns each. So in G3 entries[count - 1] is still
 *	i, and in P3 the entry written is the first free one.
 *  4	Exactly one owner. An object becomes HELD in G4 by the one whose section
 *	took it off the list, or in T2 by compare-and-swap.
 *  5	Double and foreign puts. While an object is not {me, HELD} a put is
 *	refused, and it never is while it lies anywhere: G3 stores LIST+c and not
 *	HELD for that reason. On one CPU two puts of an object exclude one another
 *	by their sections, on two CPUs by the swap of P1. With LAX both may see
 *	HELD at once: then it lies in two lists, of which its state names one. The
 *	other one's entry fails G3's check of the place and is dropped, as long as
 *	that is seen before the first one's is got.
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
 * Migration: between G1 and G3, or P2 and P3, the section notices. Elsewhere it
 * does not matter: nothing refers to the CPU.
 *
 * A signal handler that gets or puts: between G1 and G3 (P2 and P3) it changes the
 * word, and the section notices. Inside a section it aborts it first. Elsewhere
 * the interrupted call has in hands what it works on.
 *
 * A value that comes from memory is checked before it is used as an index: heights
 * against the entries, objects against their number.
 */
#include <errno.h>
#include <string.h>

#include "lib/kit/pool.h"
#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"

/* Results of the sections and of what calls them. */
enum {
	POOL_MOVED = 1, /* preempted, migrated, or the list has changed */
	POOL_OTHER,     /* the object's state is another */
	POOL_EMPTY,     /* nothing in the list */
	POOL_FULL,      /* no room in the list */
	POOL_NO_LIST,   /* not for this thread or CPU */
};

/* A debugger that steps through a section restarts it for ever. */
#define POOL_TRIES 16

_Static_assert(TPI_PLACE_LIST == 16, "sections: the CPU of a stamp");
_Static_assert(offsetof(struct tapio_shm_pool_list, entries) == 8,
	       "sections: entries");
_Static_assert(offsetof(struct tpi_rseq, cpu_id) == 4, "sections: cpu_id");
_Static_assert(offsetof(struct tpi_rseq, rseq_cs) == 8, "sections: rseq_cs");
_Static_assert(TAPIO_POOL_CACHE_MAX <= UINT16_MAX, "the height of a list");

#if defined(__x86_64__)
#include "lib/kit/pool_section_x86_64.h"
#elif defined(__aarch64__)
#include "lib/kit/pool_section_aarch64.h"
#else
#error "Tapio has rseq sections for x86-64 and aarch64"
#endif

/* Fast paths are leaves: rare cases are behind tail calls. */
#define POOL_RARE __attribute__((noinline, cold))

static inline uint32_t my_name(const struct tapio_pool *pool)
{
	return TPI_STATE_NAME(pool->held);
}

/* This CPU's list, as it was at some instant before the section. */
struct view {
	struct tapio_shm_pool_list *list;
	uint64_t word;
	uint64_t stamp;
	uint32_t count;
};

/*
 * Steps G1 and P2. Relaxed loads, here and of the entries: only this CPU writes
 * these words, and if we have moved, the section notices. `fast_cpus` is read plainly,
 * as `cpus` is in tpi_lane_here().
 */
static inline int look(const struct tapio_pool *pool, struct view *view)
{
	uint32_t cpu = tpi_load_relaxed(&tpi_rseq_area()->cpu_id_start);

	view->stamp = pool->held; /* of no CPU, until there is a list */
	if (tpi_unlikely(cpu >= pool->fast_cpus))
		return POOL_NO_LIST;
	view->list = tpi_pool_list(pool, cpu);
	view->word = tpi_load_relaxed(&view->list->word);
	view->stamp = pool->held + TPI_PLACE_LIST + cpu;
	view->count = TPI_LIST_COUNT(view->word);
	return 0;
}

/* Step G2. */
static inline int top(const struct tapio_pool *pool, const struct view *view,
		      uint32_t *index)
{
	if (tpi_unlikely(!view->count))
		return POOL_EMPTY;
	if (tpi_unlikely(view->count > pool->cache))
		return -EBADMSG;
	*index = tpi_load_relaxed(&view->list->entries[view->count - 1]);
	return tpi_likely(*index < pool->count) ? 0 : -EBADMSG;
}

/* Steps G1 to G3. */
static inline int pop(const struct tapio_pool *pool, uint32_t *index)
{
	struct view view;
	int err = look(pool, &view);

	if (tpi_unlikely(err))
		return err;
	err = top(pool, &view, index);
	if (tpi_unlikely(err))
		return err;
	TPI_TESTPOINT("pool.get.G2");
	return section_pop(view.list, view.word, &pool->states[*index],
			   view.stamp);
}

/* Argument 5: the state contradicts the top entry, which is removed. */
POOL_RARE static void drop_stale(const struct tapio_pool *pool)
{
	struct view view;
	uint32_t index;
	uint64_t state;

	if (look(pool, &view) || top(pool, &view, &index))
		return;
	state = tpi_load_relaxed(&pool->states[index]);
	if (TPI_STATE_PLACE(state) != TPI_STATE_PLACE(view.stamp) &&
	    !section_pop(view.list, view.word, &view.stamp, view.stamp))
		tpi_pool_count(pool, TPI_POOL_STALE_ENTRIES, 1);
}

/* Steps P2 to P3. */
static inline int push(const struct tapio_pool *pool, uint32_t index,
		       uint64_t want, uint64_t *stamp)
{
	struct view view;
	int err = look(pool, &view);

	if (tpi_unlikely(err))
		return err;
	*stamp = view.stamp;
	if (tpi_unlikely(view.count >= pool->cache))
		return view.count == pool->cache ? POOL_FULL : -EBADMSG;
	TPI_TESTPOINT("pool.put.P2");
	err = section_push(view.list, view.word, &pool->states[index],
			   view.stamp, want, index);
	if (tpi_likely(!err))
		TPI_TESTPOINT("pool.put.P3");
	return err;
}

/* The `count` topmost, in one section. POOL_OTHER also: there are fewer. */
static int pop_many(const struct tapio_pool *pool, uint32_t *indices,
		    uint32_t count)
{
	struct view view;
	uint32_t i;
	int err = look(pool, &view);

	if (err)
		return err;
	if (view.count < count || view.count > pool->cache)
		return POOL_OTHER;
	for (i = 0; i < count; i++) {
		indices[i] = tpi_load_relaxed(
			&view.list->entries[view.count - 1 - i]);
		if (indices[i] >= pool->count)
			return -EBADMSG;
	}
	TPI_TESTPOINT("pool.spill.G2");
	return section_pop_many(view.list, view.word, pool->states, view.stamp,
				indices, count);
}

/* D1 and D2 for objects that are in our hands. */
static void deposit_many(const struct tapio_pool *pool, const uint32_t *indices,
			 uint32_t count)
{
	uint64_t state = tpi_pool_state(my_name(pool), TPI_PLACE_DEPOT);
	uint32_t i, group = 0;
	uint64_t bits = 0;

	for (i = 0; i < count; i++) {
		/* D1. Relaxed: the bit publishes it. */
		tpi_store_relaxed(&pool->states[indices[i]], state);
		TPI_TESTPOINT("pool.spill.D1");
		if (bits && indices[i] / TAPIO_POOL_GROUP != group) {
			tpi_pool_deposit(pool, group, bits);
			bits = 0;
		}
		group = indices[i] / TAPIO_POOL_GROUP;
		bits |= UINT64_C(1) << indices[i] % TAPIO_POOL_GROUP;
	}
	if (bits)
		tpi_pool_deposit(pool, group, bits);
}

/*
 * Step P4: the top of the list goes to the depots. Killed on the way, the objects
 * that we have in hands are in our name.
 */
POOL_RARE static void spill(const struct tapio_pool *pool)
{
	uint32_t indices[TAPIO_POOL_GROUP];
	uint32_t n = pool->batch;

	tpi_pool_count(pool, TPI_POOL_SPILLS, 1);
	if (pop_many(pool, indices, n))
		for (n = 0; n < pool->batch; n++)
			if (pop(pool, &indices[n]))
				break;
	TPI_TESTPOINT("pool.spill.G3");
	deposit_many(pool, indices, n);
}

POOL_RARE static int refuse(const struct tapio_pool *pool, uint64_t state)
{
	bool foreign =
		TPI_STATE_PLACE(state) == TPI_PLACE_HELD && state != pool->held;

	tpi_pool_count(pool,
		       foreign ? TPI_POOL_FOREIGN_PUTS : TPI_POOL_DOUBLE_PUTS,
		       1);
	return foreign ? -EINVAL : -EALREADY;
}

/* Argument 2: after an abort of P3, the object is as it was, or is refused. */
static int take_back(const struct tapio_pool *pool, uint32_t index,
		     uint64_t want, uint64_t stamp)
{
	uint64_t state = tpi_load_relaxed(&pool->states[index]);

	if (state == want)
		return 0;
	if (state == stamp && tpi_pool_claim(pool, index, state, want))
		return 0;
	return refuse(pool, state);
}

/* P2 to P4, any number of times, or into the depot. */
__attribute__((noinline)) static int put_again(const struct tapio_pool *pool,
					       uint32_t index, uint64_t want,
					       int err, uint64_t stamp)
{
	uint32_t tries;
	int refused;

	for (tries = 0; tries < POOL_TRIES; tries++) {
		if (err <= 0)
			return err;
		if (err == POOL_NO_LIST)
			break;
		if (err == POOL_FULL) {
			spill(pool);
		} else {
			tpi_pool_count(pool, TPI_POOL_RESTARTS, 1);
			refused = take_back(pool, index, want, stamp);
			if (refused)
				return refused;
		}
		err = push(pool, index, want, &stamp);
	}
	if (err <= 0)
		return err;
	if (err != POOL_NO_LIST && err != POOL_FULL) {
		refused = take_back(pool, index, want, stamp);
		if (refused)
			return refused;
	}
	if (!tpi_pool_give_back(pool, index, want))
		return refuse(pool, tpi_load_relaxed(&pool->states[index]));
	return 0;
}

static inline int put_index(const struct tapio_pool *pool, uint32_t index,
			    uint64_t want)
{
	uint64_t stamp = 0;
	int err = push(pool, index, want, &stamp);

	if (tpi_likely(!err))
		return 0;
	return put_again(pool, index, want, err, stamp);
}

/* P2 and P3 for objects that were taken from a depot, in one section. */
static void put_many(const struct tapio_pool *pool, const uint32_t *indices,
		     uint32_t count)
{
	struct view view;
	int err = look(pool, &view);

	if (!err && view.count + count > pool->cache)
		err = POOL_FULL;
	TPI_TESTPOINT("pool.refill.P2");
	if (!err)
		err = section_push_many(view.list, view.word, pool->states,
					view.stamp, indices, count);
	/* Argument 2, for each of them. */
	while (err && count--)
		put_again(pool, indices[count], pool->held,
			  err == POOL_FULL ? POOL_MOVED : err, view.stamp);
}

static void swap_order(uint32_t *indices, uint32_t count)
{
	uint32_t i, index;

	for (i = 0; i < count / 2; i++) {
		index = indices[i];
		indices[i] = indices[count - 1 - i];
		indices[count - 1 - i] = index;
	}
}

/* Step G5. */
static int refill(const struct tapio_pool *pool, uint32_t *index,
		  uint32_t wanted)
{
	uint32_t indices[TAPIO_POOL_GROUP];
	uint32_t n = tpi_pool_take(pool, indices, wanted);

	if (!n) {
		tpi_pool_count(pool, TPI_POOL_EXHAUSTED, 1);
		return -EAGAIN;
	}
	*index = indices[0];
	if (n == 1)
		return 0;
	/* The lowest on top: neighbours are got one after the other. */
	swap_order(indices + 1, n - 1);
	put_many(pool, indices + 1, n - 1);
	TPI_TESTPOINT("pool.refill.P3");
	return 0;
}

/* G1 to G5, any number of times, or out of the depot. The object is HELD. */
static int get_index(const struct tapio_pool *pool, uint32_t *index, int err)
{
	uint32_t tries;

	for (tries = 0; tries < POOL_TRIES; tries++) {
		if (err < 0)
			return err;
		if (err == POOL_NO_LIST) {
			tpi_pool_look_for_lists(pool);
			break;
		}
		if (err == POOL_EMPTY) {
			tpi_pool_count(pool, TPI_POOL_REFILLS, 1);
			return refill(pool, index, pool->batch);
		}
		if (err == POOL_OTHER)
			drop_stale(pool);
		tpi_pool_count(pool, TPI_POOL_RESTARTS, 1);
		err = pop(pool, index);
		if (!err) {
			TPI_TESTPOINT("pool.get.G3");
			tpi_store_relaxed(&pool->states[*index], pool->held);
			return 0;
		}
	}
	return err < 0 ? err : refill(pool, index, 1);
}

static inline int got(const struct tapio_pool *pool, uint32_t index,
		      void **object)
{
	*object = tpi_pool_at(pool, index);
	TPI_TESTPOINT("pool.get.G4");
	if (tpi_unlikely(pool->zero_on_get))
		memset(*object, 0, pool->object_bytes);
	return 0;
}

POOL_RARE static int get_again(const struct tapio_pool *pool, void **object,
			       int err)
{
	uint32_t index = 0;

	err = get_index(pool, &index, err);
	if (!err)
		return got(pool, index, object);
	*object = NULL;
	return err;
}

int tapio_pool_get(struct tapio_pool *pool, void **object)
{
	uint32_t index;
	int err = pop(pool, &index);

	if (tpi_unlikely(err))
		return get_again(pool, object, err);
	TPI_TESTPOINT("pool.get.G3");
	/* G4. Relaxed: the object is ours. */
	tpi_store_relaxed(&pool->states[index], pool->held);
	return got(pool, index, object);
}

void tpi_pool_clean(const struct tapio_pool *pool, uint32_t index)
{
	void *object = tpi_pool_at(pool, index);

	if (!(pool->flags & (TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET)))
		memset(object, 0, pool->object_bytes);
	if (pool->reset)
		pool->reset(object, pool->argument);
}

/* P1 where there is something to do. */
__attribute__((noinline)) static int put_cleaned(const struct tapio_pool *pool,
						 uint32_t index)
{
	uint64_t state = pool->held;
	uint64_t want = state;

	if (!(pool->flags & TAPIO_POOL_LAX)) {
		TPI_TESTPOINT("pool.put.seen");
		want = tpi_pool_state(my_name(pool), TPI_PLACE_MOVING);
		/* Relaxed: list or depot pass it on to the next owner. */
		if (!tpi_cas_relaxed(&pool->states[index], &state, want))
			return refuse(pool, state);
	}
	TPI_TESTPOINT("pool.put.P1");
	tpi_pool_clean(pool, index);
	TPI_TESTPOINT("pool.put.cleaned");
	return put_index(pool, index, want);
}

POOL_RARE static int refuse_foreign(const struct tapio_pool *pool)
{
	tpi_pool_count(pool, TPI_POOL_FOREIGN_PUTS, 1);
	return -EINVAL;
}

int tapio_pool_put(struct tapio_pool *pool, void *object)
{
	uint64_t index = tpi_pool_index(pool, object);
	uint64_t state;

	if (tpi_unlikely(index >= pool->count))
		return refuse_foreign(pool);
	/* Relaxed: while it is ours, no other thread writes it. */
	state = tpi_load_relaxed(&pool->states[index]);
	if (tpi_unlikely(state != pool->held))
		return refuse(pool, state);
	TPI_TESTPOINT("pool.put.looked");
	if (pool->work_on_put)
		return put_cleaned(pool, (uint32_t)index);
	TPI_TESTPOINT("pool.put.P1");
	return put_index(pool, (uint32_t)index, state);
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
	return rename_object(pool, object, my_name(pool), to);
}

int tapio_pool_adopt(struct tapio_pool *pool, void *object, uint32_t from)
{
	return rename_object(pool, object, from, my_name(pool));
}
