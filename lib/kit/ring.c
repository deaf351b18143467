/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: put and get. (ring_init.c makes and attaches rings, ring_seek.c
 * finds its ends, ring_peak.c notes the high water, ring_wait.c sleeps and wakes,
 * ring_stats.c counts.)
 *
 * WHAT IT IS. A cell holds {value, turn}. A put changes both by one 128-bit
 * compare-and-swap. Position p lives in cell p mod N, whose turn goes
 *
 *	    put p           get p              put p + N
 *	2p ------> 2p + 1 --------> 2(p + N) ------------> 2(p + N) + 1 ...
 *	empty      full             empty                  full
 *
 * and never takes a value twice. Let T be the number of puts whose swap has
 * happened and H the number of gets. These two, which no word holds, are the
 * state of the ring. tail.position and head.position are hints: T and H as
 * somebody knew them. A queue of N values, with no owner, no ticket that must be
 * honoured and no step that must be followed by another.
 *
 * ONE PUT (put_at, with the names P1.. of tests/model/ring.pml)
 *
 *	P1  t = tail.position
 *	P2  look at the turn of cell t; n = turn - 2t
 *	       n >= 1: t has been put. S: t = a position not known to be
 *	               put, all before it put. P2 again
 *	       n = 1 - 2N:    FULL
 *	       n = 0:         load the old value, and
 *	P3  swap {old value, 2t} for {value, 2t + 1}; failed: P2 again. DONE
 *	P4  tail.position = t + 1 (a plain store)
 *	P5  if this may be a new high water, look and note it
 *	P6  if somebody waits for a value, wake (W of ring_wait.c)
 *
 * ONE GET (get_at)
 *
 *	G1  h = head.position
 *	G2  look at the turn of cell h; n = turn - 2h
 *	       n >= 2N: h has been got. S: as above. G2 again
 *	       n = 0:         EMPTY
 *	       n = 1:         load the value, after that, and
 *	G3  swap the turn 2h + 1 for 2(h + N); failed: G2 again. DONE
 *	G4  head.position = h + 1 (a plain store)
 *	G6  if somebody waits for room, wake
 *
 * S (tpi_ring_seek) goes from a position that is known to be reached to the end
 * of what was put (got): doubling steps, each of which lands only behind a
 * position that it has seen to be passed. So a hint may be any number of
 * positions, or laps, too old. That costs a few loads, more with the logarithm.
 *
 * PROOF
 *
 *  1  A thread that tries P3 at t knows that all positions before t have been
 *     put. From P1: a hint is stored only by a thread that knew it (P4, by 3).
 *     From S: it went on only behind positions that it saw put, and by 2 all
 *     before them have been put.
 *  2  So positions are put in order without a hole: p + 1 is tried only when p
 *     has been put. Then T is the first position not put, and everything before
 *     it has been put. The same for gets and H.
 *  3  No hint is ever more than the truth: t + 1 is stored after t was put. It
 *     may be less, and may even go back (P4 by a thread that slept since P3);
 *     nothing depends on that.
 *  4  P3 succeeds only at t = T: the turn 2t says that t is not put, and by 1
 *     t <= T. It also says that t - N has been got, so T - H < N: the ring is
 *     never overfilled. G3 succeeds only at h = H, and only when h has been
 *     put, so H < T: values come out in the order of their puts, each once. A
 *     swap compares the lap: a thread that slept between P2 and P3 (G2 and G3)
 *     while the cell went round, to the same value even, fails.
 *     G3 need not compare the value: it was loaded while the turn was 2h + 1,
 *     and changes only with a turn that is even before. P3 must change both at
 *     once, or a kill between them would leave a cell that no thread may touch.
 *  5  FULL is true at the instant of P2's load: by 1 T >= t, and the turn
 *     2(t - N) + 1 says that t - N has not been got, so H <= t - N. Since
 *     T - H <= N, T = t and H = t - N. EMPTY is true at G2's: H >= h, and the
 *     turn 2h says that h has not been put, so T <= h <= H. So an old hint never
 *     makes a put fail in a ring with room, nor a get in one with values.
 *  6  Lock-free: P3 fails only because another put took effect since P2. S only
 *     moves forward, and no further than T. The same for gets.
 *
 * KILLED, STOPPED, MOVED, SIGNALLED at each step:
 *
 *	after P1, P2   nothing has been changed: the put has not happened. The
 *	               values read may be old when the thread goes on (1, 4,
 *	               5).
 *	after P3       it has happened, whole, for everybody. The hint is one
 *	               short: the next put finds t put, and S steps over it.
 *	after P4       as if it had returned, but for the high water (it may miss
 *	               this peak) and the wake: a sleeper's sleep is bounded
 *	               (ring_wait.c, 5).
 *	after P6       it returned.
 *	gets           the same, G for P. A value whose get took effect and whose
 *	               getter is killed before it used it is gone with the
 *	               getter, as it must be: it was got once.
 *
 * Migration changes nothing, as nothing is per CPU (the stripes of counters are
 * added to atomically). A signal handler that puts or gets between any two steps
 * is just another thread to the one that it interrupted. It waits for no other
 * thread.
 *
 * WHAT IF THE MEMORY LIES. Turns are checked to belong to their cell, every
 * index is masked, and by 4 a turn other than those above does not occur:
 * -EBADMSG, and nothing is changed. Each loop moves t forward, to a place that a
 * cell names, so memory that stands still is left after one lap at the latest.
 *
 * Spin checks P1 to G4 and S with two producers, two consumers and kills at every
 * step (tests/model/ring.pml), and that each of these rules is needed: a swap
 * that does not compare the lap, a hint that is stored before the swap, full or
 * empty told from the hints, a value put outside of the swap, or one loaded
 * before its turn breaks it. The C code is attacked at each of these steps by
 * tests/fault/ring.c (kills and stops) and tests/fault/ring_between.c (whatever
 * others do there), and by numbers in tests/stress/ring.c.
 */
#include <errno.h>

#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

/* Hints are stored, and sleepers woken, at least once per so many values. */
#define CHUNK 64

/* P3. */
static inline bool swap_put(struct tpi_pair *cell, struct tpi_pair was,
			    uint64_t value, uint64_t t)
{
	const struct tpi_pair is = {value, tpi_ring_turn_full(t)};
	bool done;

	TPI_TESTPOINT("ring.put.P2");
	/*
	 * ORDER ring.cell (release): all that the caller wrote before it put
	 * this value. Pairs with tpi_ring_turn().
	 */
	done = tpi_cas128_acq_rel(cell, was, is);
	if (done)
		TPI_TESTPOINT("ring.put.P3");
	return done;
}

/* G3. */
static inline bool swap_get(const struct tapio_ring *ring,
			    struct tpi_pair *cell, uint64_t h)
{
	uint64_t turn = tpi_ring_turn_full(h);
	bool done;

	TPI_TESTPOINT("ring.get.G2");
	/*
	 * ORDER ring.cell (release): this consumer has loaded the value. Pairs
	 * with tpi_ring_turn().
	 */
	done = tpi_cas_acq_rel(&cell->high, &turn,
			       tpi_ring_turn_empty(h + ring->mask + 1));
	if (done)
		TPI_TESTPOINT("ring.get.G3");
	return done;
}

/*
 * P2 and P3: one put at *t or after. *t becomes the position after it. A full
 * ring leaves the true tail there.
 */
static int put_at(const struct tapio_ring *ring, uint64_t *t, uint64_t value,
		  uint32_t *retries)
{
	struct tpi_pair *cell, was;
	int64_t ahead;
	int err;

	for (;;) {
		cell = tpi_ring_cell(ring, *t);
		was.high = tpi_ring_turn(cell);
		/* Relaxed: the swap compares it. */
		was.low = tpi_load_relaxed(&cell->low);
		ahead = (int64_t)(was.high - tpi_ring_turn_empty(*t));
		if (tpi_likely(ahead == 0)) {
			if (tpi_likely(swap_put(cell, was, value, *t)))
				break;
		} else if (ahead > 0) {
			err = tpi_ring_seek(ring, TPI_RING_PUT, *t, t);
			if (err)
				return err;
		} else if (ahead == 1 - (int64_t)TPI_RING_GOT(ring)) {
			return -EAGAIN;
		} else {
			return -EBADMSG;
		}
		++*retries;
	}
	++*t;
	return 0;
}

/* G2 and G3: one get at *h or after. *h becomes the position after it. */
static int get_at(const struct tapio_ring *ring, uint64_t *h, uint64_t *value,
		  uint32_t *retries)
{
	struct tpi_pair *cell;
	uint64_t found;
	int64_t ahead;
	int err;

	for (;;) {
		cell = tpi_ring_cell(ring, *h);
		ahead = (int64_t)(tpi_ring_turn(cell) -
				  tpi_ring_turn_empty(*h));
		/* Relaxed: after the acquire, and good if the swap succeeds. */
		found = tpi_load_relaxed(&cell->low);
		if (tpi_likely(ahead == 1)) {
			if (tpi_likely(swap_get(ring, cell, *h)))
				break;
		} else if (ahead >= (int64_t)TPI_RING_GOT(ring)) {
			err = tpi_ring_seek(ring, TPI_RING_GOT(ring), *h, h);
			if (err)
				return err;
		} else {
			return ahead == 0 ? -EAGAIN : -EBADMSG;
		}
		++*retries;
	}
	++*h;
	*value = found;
	return 0;
}

/* Up to this high water, P5 looks at the cell in question itself. */
#define LOW_PEAK 4

/*
 * P5: may there be a new high water, with the tail at t? Not if by the head that
 * was last seen, which is at most the true one, there is none, nor if what was
 * put `peak` positions before the last one has been got.
 */
static inline bool may_be_peak(const struct tapio_ring *ring, uint64_t t)
{
	const struct tapio_shm_ring_end *tail = &ring->shm->tail;
	/* Relaxed, both: tpi_ring_note_peak() looks again. */
	uint64_t peak = tpi_load_relaxed(&tail->peak);
	uint64_t seen = tpi_load_relaxed(&tail->other_seen);

	if (tpi_likely((int64_t)(t - seen) <= (int64_t)peak))
		return false;
	return peak > LOW_PEAK || !tpi_ring_is_got(ring, t - 1 - peak);
}

/* P6, G6: may somebody be waiting for what was just done? */
static inline bool may_be_awaited(const struct tapio_shm_ring_end *end)
{
	/*
	 * ORDER ring.armed (full): the swap before the load of `armed`. Pairs
	 * with the fence in announce().
	 */
	tpi_fence_after_cas();
	return tpi_load_relaxed(&end->waiters.armed) !=
	       tpi_load_relaxed(&end->waiters.answered);
}

/* P5 and P6 when something is to be done, which is rare. */
static __attribute__((noinline)) int attend_put(const struct tapio_ring *ring,
						uint64_t t, uint32_t done)
{
	struct tapio_shm_ring_end *tail = &ring->shm->tail;

	if (may_be_peak(ring, t))
		tpi_ring_note_peak(ring, t);
	if (may_be_awaited(tail))
		tpi_ring_wake(ring, &tail->waiters, done);
	return 0;
}

static __attribute__((noinline)) int attend_get(const struct tapio_ring *ring,
						uint32_t done)
{
	struct tapio_shm_ring_end *head = &ring->shm->head;

	tpi_ring_wake(ring, &head->waiters, done);
	return 0;
}

static int put_chunk(const struct tapio_ring *ring, const uint64_t *values,
		     uint32_t count, uint32_t retries)
{
	struct tapio_shm_ring_end *tail = &ring->shm->tail;
	uint64_t hint = tpi_ring_load_hint(tail); /* P1 */
	uint64_t t = hint;
	uint32_t done = 0;
	int err;

	do {
		err = put_at(ring, &t, values[done], &retries);
	} while (!err && ++done < count);
	if (t != hint) {
		tpi_ring_store_hint(tail, t); /* P4 */
		TPI_TESTPOINT("ring.put.P4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_PUT_RETRIES, retries);
	if (!done)
		return err;
	if (tpi_unlikely(may_be_peak(ring, t) || may_be_awaited(tail)))
		attend_put(ring, t, done);
	return (int)done;
}

static int get_chunk(const struct tapio_ring *ring, uint64_t *values,
		     uint32_t count, uint32_t retries)
{
	struct tapio_shm_ring_end *head = &ring->shm->head;
	uint64_t hint = tpi_ring_load_hint(head); /* G1 */
	uint64_t h = hint;
	uint32_t done = 0;
	int err;

	do {
		err = get_at(ring, &h, &values[done], &retries);
	} while (!err && ++done < count);
	if (h != hint) {
		tpi_ring_store_hint(head, h); /* G4 */
		TPI_TESTPOINT("ring.get.G4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_GET_RETRIES, retries);
	if (!done)
		return err;
	if (tpi_unlikely(may_be_awaited(head)))
		attend_get(ring, done);
	return (int)done;
}

/* Takes up what the short ways below left undone. A swap of theirs may have
 * failed. */
static __attribute__((noinline)) int try_put_again(struct tapio_ring *ring,
						   uint64_t value, bool failed)
{
	int done = put_chunk(ring, &value, 1, failed);

	if (done == -EAGAIN)
		tpi_ring_count(ring, TPI_RING_REFUSED_FULL, 1);
	return done < 0 ? done : 0;
}

static __attribute__((noinline)) int try_get_again(struct tapio_ring *ring,
						   uint64_t *value, bool failed)
{
	int done = get_chunk(ring, value, 1, failed);

	if (done < 0)
		*value = 0;
	if (done == -EAGAIN)
		tpi_ring_count(ring, TPI_RING_REFUSED_EMPTY, 1);
	return done < 0 ? done : 0;
}

/*
 * The same steps as put_chunk() for one value and a hint that is right, without
 * a loop. All loads that can come before the swap do: loads after it wait for
 * it.
 */
int tapio_ring_try_put(struct tapio_ring *ring, uint64_t value)
{
	struct tapio_shm_ring_end *tail = &ring->shm->tail;
	uint64_t t = tpi_ring_load_hint(tail); /* P1 */
	struct tpi_pair *cell = tpi_ring_cell(ring, t);
	struct tpi_pair was;
	bool peak = may_be_peak(ring, t + 1);

	was.high = tpi_ring_turn(cell); /* P2 */
	was.low = tpi_load_relaxed(&cell->low);
	if (tpi_unlikely(was.high != tpi_ring_turn_empty(t)))
		return try_put_again(ring, value, false);
	if (tpi_unlikely(!swap_put(cell, was, value, t)))
		return try_put_again(ring, value, true);
	tpi_ring_store_hint(tail, t + 1); /* P4 */
	TPI_TESTPOINT("ring.put.P4");
	if (tpi_unlikely(peak | may_be_awaited(tail)))
		return attend_put(ring, t + 1, 1);
	return 0;
}

int tapio_ring_try_get(struct tapio_ring *ring, uint64_t *value)
{
	struct tapio_shm_ring_end *head = &ring->shm->head;
	uint64_t h = tpi_ring_load_hint(head); /* G1 */
	struct tpi_pair *cell = tpi_ring_cell(ring, h);
	uint64_t turn = tpi_ring_turn(cell); /* G2 */
	uint64_t found = tpi_load_relaxed(&cell->low);

	if (tpi_unlikely(turn != tpi_ring_turn_full(h)))
		return try_get_again(ring, value, false);
	if (tpi_unlikely(!swap_get(ring, cell, h)))
		return try_get_again(ring, value, true);
	tpi_ring_store_hint(head, h + 1); /* G4 */
	TPI_TESTPOINT("ring.get.G4");
	*value = found;
	if (tpi_unlikely(may_be_awaited(head)))
		return attend_get(ring, 1);
	return 0;
}

int tpi_ring_put_now(struct tapio_ring *ring, const uint64_t *values,
		     uint32_t count)
{
	uint32_t done = 0;
	uint32_t chunk;
	int n;

	while (done < count) {
		chunk = count - done < CHUNK ? count - done : CHUNK;
		n = put_chunk(ring, values + done, chunk, 0);
		if (n < 0)
			return done ? (int)done : n;
		done += (uint32_t)n;
		if ((uint32_t)n < chunk)
			break;
	}
	return (int)done;
}

int tpi_ring_get_now(struct tapio_ring *ring, uint64_t *values, uint32_t count)
{
	uint32_t done = 0;
	uint32_t chunk;
	int n;

	while (done < count) {
		chunk = count - done < CHUNK ? count - done : CHUNK;
		n = get_chunk(ring, values + done, chunk, 0);
		if (n < 0)
			return done ? (int)done : n;
		done += (uint32_t)n;
		if ((uint32_t)n < chunk)
			break;
	}
	return (int)done;
}
