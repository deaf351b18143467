/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: many objects at a time. The calls for batches, and the way from a
 * CPU's list to the depots (step P4 of pool.c) and back (G5). The steps have the
 * names of pool.c, and so do the arguments:
 *
 * GET n	G1  the section begins: c = this CPU, height = its list's
 *	G2  the n topmost entries, or all of them
 *	G3  of each: place is LIST+c? state = {me, LIST+c}; then height: n less
 *						<- commit, and it ends
 *	G4  of each: state = {me, HELD}
 *	    too few: T1, T2 for the others (pool_depot.c)
 * PUT n	P1  of each, up to the first that is refused, by the check of the pool;
 *	    zero it, call reset. Where the look is all, P3 makes it
 *	P2  the section begins: c = this CPU, height = its list's, room = what it
 *	    has room for
 *	P3  of each that has room: state as in P1? entry, state = {me, LIST+c};
 *	    then height: so many more		<- commit, and it ends
 *	    for the others: D1 by compare-and-swap, D2
 *
 *  6	A batch is as many calls for one object, of which the sections were put
 *	together: each object by itself is in a place that its state names, or in
 *	the hands of the name in it, at each instruction. So a kill leaves some
 *	in the list and the others in hands, and reclaim finds them one by one
 *	(arguments 1, 2 and 4 hold for each of them). An abort leaves all of G3's
 *	in the list, and all of P3's in our hands.
 *  7	A section stamps in order, and ends at the first object that is not ours.
 *	So one that is twice in a batch is refused the second time. The section
 *	counts an object between its look and its store (argument 2), and tells
 *	how many it counted. The batch is then put one by one, up to the first
 *	that is refused. The others that were counted are taken back, for the
 *	caller still has them.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/kit/pool_list.h"

/* D2 for objects that lie side by side in `indices`: a group at a time. */
struct bits {
	uint32_t group;
	uint64_t set;
};

static void set_bit(const struct tapio_pool *pool, struct bits *bits,
		    uint32_t index)
{
	if (bits->set && index / TAPIO_POOL_GROUP != bits->group) {
		tpi_pool_deposit(pool, bits->group, bits->set);
		bits->set = 0;
	}
	bits->group = index / TAPIO_POOL_GROUP;
	bits->set |= UINT64_C(1) << index % TAPIO_POOL_GROUP;
}

/*
 * D1 and D2 for objects that are in our hands, in state `want`. How many: one that is
 * not in that state ends it, with an error.
 */
static uint32_t deposit_many(const struct tapio_pool *pool,
			     const uint32_t *indices, uint32_t count,
			     uint64_t want, int *err)
{
	const uint64_t state =
		tpi_pool_state(TPI_STATE_NAME(pool->held), TPI_PLACE_DEPOT);
	struct bits bits = {0, 0};
	uint64_t seen;
	uint32_t i;

	for (i = 0; i < count; i++) {
		seen = want;
		/*
		 * D1: exact against a second put, whatever the flags. ORDER
		 * pool.depot (release): as in tpi_pool_deposit().
		 */
		if (!tpi_cas_acq_rel(&pool->states[indices[i]], &seen, state)) {
			*err = tpi_pool_refuse(pool, seen);
			break;
		}
		TPI_TESTPOINT("pool.batch.D1");
		set_bit(pool, &bits, indices[i]);
	}
	if (bits.set)
		tpi_pool_deposit(pool, bits.group, bits.set);
	return i;
}

/* The same for objects that were popped, in any state that says so. */
static void deposit_popped(const struct tapio_pool *pool,
			   const uint32_t *indices, uint32_t count)
{
	const uint64_t state =
		tpi_pool_state(TPI_STATE_NAME(pool->held), TPI_PLACE_DEPOT);
	struct bits bits = {0, 0};
	uint32_t i;

	for (i = 0; i < count; i++) {
		/* D1. Relaxed: the bit publishes it. */
		tpi_store_relaxed(&pool->states[indices[i]], state);
		TPI_TESTPOINT("pool.spill.D1");
		set_bit(pool, &bits, indices[i]);
	}
	if (bits.set)
		tpi_pool_deposit(pool, bits.group, bits.set);
}

/* Killed on the way, the objects that we have in hands are in our name. */
POOL_RARE void tpi_pool_spill(const struct tapio_pool *pool)
{
	uint32_t indices[TAPIO_POOL_GROUP];
	int64_t top;
	uint64_t n;

	tpi_pool_count(pool, TPI_POOL_SPILLS, 1);
	n = section_pop_many(pool, pool->states, indices, pool->batch);
	/* Cut off, or an entry is stale: those that are above it. */
	if (!n)
		while (n < pool->batch && (top = tpi_pool_pop(pool)) >= 0)
			indices[n++] = (uint32_t)top;
	TPI_TESTPOINT("pool.spill.G3");
	deposit_popped(pool, indices, (uint32_t)n);
}

/* A batch of puts: objects in state `want`. */
struct put {
	const uint32_t *indices;
	uint32_t count;
	bool checked; /* may they be in another state? */
	uint64_t want;
};

/*
 * Argument 7: one by one, after a section that was cut off. How many were put before the
 * first that is refused, of which *err is the reason then.
 */
POOL_RARE static uint32_t push_each(const struct tapio_pool *pool,
				    const struct put *put, uint64_t stamped,
				    int *err)
{
	uint32_t i, n;

	for (n = 0; n < put->count; n++) {
		*err = tpi_pool_put_again(pool, put->indices[n], put->want,
					  n < stamped);
		if (*err)
			break;
	}
	for (i = n + 1; i < stamped; i++)
		tpi_pool_take_back(pool, put->indices[i], put->want);
	return n;
}

/* P2 and P3 for as many as there is room for. How many. *err: one was refused. */
static inline uint32_t push_many(const struct tapio_pool *pool,
				 const struct put *put, int *err)
{
	uint64_t stamped;
	uint64_t n;
	int why;

	*err = 0;
	if (put->checked)
		n = section_push_many(pool, pool->states, put->want,
				      put->indices, put->count, &stamped);
	else
		n = section_push_many_unchecked(pool, pool->states, put->want,
						put->indices, put->count,
						&stamped);
	if (tpi_likely(n)) {
		TPI_TESTPOINT("pool.batch.P3");
		return (uint32_t)n;
	}
	why = stamped ? POOL_MOVED : tpi_pool_why_not_push(pool);
	if (why == POOL_FULL || why == POOL_NO_LIST)
		return 0;
	return push_each(pool, put, stamped, err);
}

/* P2 to D2. How many, up to the first that is refused. */
static inline uint32_t put_many(const struct tapio_pool *pool,
				const struct put *put, int *err)
{
	uint32_t n = push_many(pool, put, err);

	if (tpi_likely(n == put->count) || *err)
		return n;
	if (pool->fast_cpus)
		tpi_pool_count(pool, TPI_POOL_SPILLS, 1);
	return n + deposit_many(pool, put->indices + n, put->count - n,
				put->want, err);
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

int tpi_pool_refill(const struct tapio_pool *pool, uint64_t *index,
		    uint32_t wanted)
{
	uint32_t indices[TAPIO_POOL_GROUP];
	uint32_t n = tpi_pool_take(pool, indices, wanted);
	struct put rest = {.indices = indices + 1, .want = pool->held};
	int err;

	if (!n) {
		tpi_pool_count(pool, TPI_POOL_EXHAUSTED, 1);
		return -EAGAIN;
	}
	*index = indices[0];
	if (n == 1)
		return 0;
	/* The lowest on top: neighbours are got one after the other. */
	swap_order(indices + 1, n - 1);
	rest.count = n - 1;
	put_many(pool, &rest, &err);
	TPI_TESTPOINT("pool.refill.P3");
	return 0;
}

/* ---- the calls for batches -------------------------------------------------------- */

/* G4 for `count` that were popped, of which the top is the last. */
static inline void hand_out(const struct tapio_pool *pool, const uint32_t *end,
			    uint64_t count, void **objects)
{
	const uint64_t held = pool->held;
	uint64_t *const states = pool->states;
	const size_t stride = pool->stride;
	unsigned char *const first = pool->objects;
	uint64_t i;

	for (i = 0; i < count; i++) {
		/* Relaxed: the object is ours. */
		tpi_store_relaxed(&states[end[-1 - (int64_t)i]], held);
		TPI_TESTPOINT("pool.batch.G4");
	}
	for (i = 0; i < count; i++)
		objects[i] = first + end[-1 - (int64_t)i] * stride;
}

/* Out of the depots, or an aborted section again. How many, or -errno. */
POOL_RARE static int take_many(const struct tapio_pool *pool, void **objects,
			       uint32_t wanted)
{
	int why = tpi_pool_why_not_pop(pool), err;
	uint32_t indices[TAPIO_POOL_GROUP], i, n;
	uint64_t index;

	if (why < 0)
		return why;
	if (why == POOL_NO_LIST) {
		tpi_pool_look_for_lists(pool);
	} else if (why == POOL_EMPTY) {
		tpi_pool_count(pool, TPI_POOL_REFILLS, 1);
	} else {
		err = tpi_pool_get_again(pool, &index);
		if (err)
			return err;
		objects[0] = tpi_pool_at(pool, index);
		return 1;
	}
	n = tpi_pool_take(pool, indices, wanted);
	for (i = 0; i < n; i++)
		objects[i] = tpi_pool_at(pool, indices[i]);
	if (n)
		return (int)n;
	tpi_pool_count(pool, TPI_POOL_EXHAUSTED, 1);
	return -EAGAIN;
}

/* One section, or one look at the depots. How many (at most 64), or -errno. */
static inline int get_some(const struct tapio_pool *pool, void **objects,
			   uint32_t wanted)
{
	uint32_t indices[TAPIO_POOL_GROUP], i;
	int n = (int)section_pop_many(pool, pool->states, indices, wanted);

	if (tpi_likely(n)) {
		TPI_TESTPOINT("pool.batch.G3");
		hand_out(pool, indices + n, (uint32_t)n, objects);
	} else {
		n = take_many(pool, objects, wanted);
	}
	for (i = 0; tpi_unlikely(pool->zero_on_get) && (int)i < n; i++)
		memset(objects[i], 0, pool->object_bytes);
	return n;
}

int tapio_pool_get_batch(struct tapio_pool *pool, void **objects, size_t count)
{
	size_t done = 0, wanted;
	int n;

	if (count > INT_MAX)
		count = INT_MAX;
	while (done < count) {
		wanted = count - done;
		if (wanted > TAPIO_POOL_GROUP)
			wanted = TAPIO_POOL_GROUP;
		n = get_some(pool, objects + done, (uint32_t)wanted);
		if (tpi_unlikely(n < 0))
			return done ? (int)done : n;
		done += (uint32_t)n;
	}
	return (int)done;
}

POOL_RARE static int refuse_foreign(const struct tapio_pool *pool)
{
	tpi_pool_count(pool, TPI_POOL_FOREIGN_PUTS, 1);
	return -EINVAL;
}

/* P1 and the work of a put. */
static int work_on(const struct tapio_pool *pool, uint32_t index)
{
	int err = tpi_pool_begin_put(pool, index);

	if (err)
		return err;
	TPI_TESTPOINT("pool.batch.P1");
	tpi_pool_clean(pool, index);
	TPI_TESTPOINT("pool.batch.cleaned");
	return 0;
}

/*
 * The numbers of objects, where the section makes P1's look, or there is none. How many,
 * up to the first that is no object. The fields of the handle are loaded before the
 * loop, whose stores could be to any memory.
 */
static inline uint32_t begin_all(const struct tapio_pool *pool,
				 void *const *objects, uint32_t count,
				 uint32_t *indices, int *err)
{
	const struct tapio_pool own = {.objects = pool->objects,
				       .inverse = pool->inverse,
				       .shift = pool->shift,
				       .count = pool->count};
	uint64_t index;
	uint32_t i;

	for (i = 0; i < count; i++) {
		index = tpi_pool_index(&own, objects[i]);
		if (tpi_unlikely(index >= own.count)) {
			*err = refuse_foreign(pool);
			break;
		}
		indices[i] = (uint32_t)index;
	}
	return i;
}

/* The same where objects are worked on, or swapped. */
static uint32_t begin_each(const struct tapio_pool *pool, void *const *objects,
			   uint32_t count, uint32_t *indices, int *err)
{
	uint64_t index;
	uint32_t i;

	for (i = 0; i < count; i++) {
		index = tpi_pool_index(pool, objects[i]);
		*err = index < pool->count ? work_on(pool, (uint32_t)index)
					   : refuse_foreign(pool);
		if (*err)
			break;
		indices[i] = (uint32_t)index;
	}
	return i;
}

static inline uint32_t begin_some(const struct tapio_pool *pool,
				  void *const *objects, uint32_t count,
				  uint32_t *indices, int *err)
{
	if (pool->put_way == TPI_PUT_IN_STEPS)
		return begin_each(pool, objects, count, indices, err);
	return begin_all(pool, objects, count, indices, err);
}

/* P1 taken back: objects that were not put are the caller's as they were. */
POOL_RARE static void hold_again(const struct tapio_pool *pool,
				 const struct put *put, uint32_t from)
{
	uint64_t seen;

	for (; from < put->count; from++) {
		seen = put->want;
		/* Relaxed: it was ours all the time. */
		tpi_cas_relaxed(&pool->states[put->indices[from]], &seen,
				pool->held);
	}
}

/* Up to 64, of which the first that is refused ends it with its error. */
static inline uint32_t put_some(const struct tapio_pool *pool,
				void *const *objects, uint32_t count, int *err)
{
	uint32_t indices[TAPIO_POOL_GROUP];
	struct put put = {
		.indices = indices,
		.checked = !(pool->flags & TAPIO_POOL_UNCHECKED),
		.want = tpi_pool_begun(pool),
	};
	uint32_t n;
	int refused;

	put.count = begin_some(pool, objects, count, indices, err);
	if (tpi_unlikely(!put.count))
		return 0;
	n = put_many(pool, &put, &refused);
	if (tpi_unlikely(n < put.count)) {
		hold_again(pool, &put, n);
		*err = refused;
	}
	return n;
}

int tapio_pool_put_batch(struct tapio_pool *pool, void *const *objects,
			 size_t count)
{
	size_t done = 0, wanted;
	uint32_t n;
	int err = 0;

	if (count > INT_MAX)
		count = INT_MAX;
	while (done < count) {
		wanted = count - done;
		if (wanted > TAPIO_POOL_GROUP)
			wanted = TAPIO_POOL_GROUP;
		n = put_some(pool, objects + done, (uint32_t)wanted, &err);
		done += n;
		if (tpi_unlikely(n < wanted))
			break;
	}
	return done ? (int)done : err;
}
