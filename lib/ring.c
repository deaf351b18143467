/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: put and get. (ring_init.c makes and attaches rings, ring_wait.c
 * sleeps and wakes, ring_stats.c counts.)
 *
 * WHAT IT IS. A slot holds {value, turn} and changes by one 128-bit
 * compare-and-swap. Position p lives in slot p mod N, whose turn goes
 *
 *	    put p           get p              put p + N
 *	2p ------> 2p + 1 --------> 2(p + N) ------------> 2(p + N) + 1 ...
 *	empty      full             empty                  full
 *
 * and never takes a value twice. Let T be the number of puts whose swap has
 * happened and H the number of gets; these two, which no word holds, are the
 * state of the ring. tail.position and head.position are hints: T and H as
 * somebody knew them. A queue of N values, with no owner, no ticket that must be
 * honoured and no step that must be followed by another.
 *
 * ONE PUT (tpi_ring_put_at; the names P1.. are those of tests/model/ring.pml)
 *
 *	P1  t = tail.position
 *	P2  look at the turn of slot t; n = turn - 2t
 *	       n >= 1: t has been put. S: t = a position not known to be
 *	               put, all before it put; P2 again
 *	       n = 1 - 2N:    FULL
 *	       n = 0:         load the old value, and
 *	P3  swap {old value, 2t} for {value, 2t + 1}; failed: P2 again. DONE
 *	P4  tail.position = t + 1 (a plain store)
 *	P5  if this may be a new high water, look and note it
 *	P6  if somebody waits for a value, wake (W of ring_wait.c)
 *
 * ONE GET (tpi_ring_get_at)
 *
 *	G1  h = head.position
 *	G2  look at the turn of slot h; n = turn - 2h
 *	       n >= 2N: h has been got. S: as above; G2 again
 *	       n = 0:         EMPTY
 *	       n = 1:         load the value, and
 *	G3  swap {value, 2h + 1} for {0, 2(h + N)}; failed: G2 again. DONE
 *	G4  head.position = h + 1 (a plain store)
 *	G6  if somebody waits for room, wake
 *
 * S (tpi_ring_seek) goes from a position that is known to be reached to the end
 * of what was put (got): doubling steps, each of which lands only behind a
 * position that it has seen to be passed. So a hint may be any number of
 * positions, or laps, too old; that costs a few loads, more with the logarithm.
 *
 * PROOF
 *
 *  1  Whoever tries P3 at t knows that all positions before t have been put.
 *     From P1: a hint is stored only by who knew that (P4, by 3). From S: it
 *     went on only behind positions that it saw put, and by 2 what lies before
 *     them has been put.
 *  2  So positions are put in order without a hole: p + 1 is tried only when p
 *     has been put. Then T is the first position not put, and everything before
 *     it has been put. The same for gets and H.
 *  3  No hint is ever more than the truth: t + 1 is stored after t was put. It
 *     may be less, and may even go back (P4 by a thread that slept since P3);
 *     nothing depends on that.
 *  4  P3 succeeds only at t = T: the turn 2t says that t is not put, and by 1
 *     t <= T. It also says that t - N has been got, so T - H < N: the ring is
 *     never overfilled. G3 succeeds only at h = H, and only when h has been
 *     put, so H < T: values come out in the order of their puts, each once. The
 *     swap compares the lap, not only the value: a thread that slept between P2
 *     and P3 while the slot went round, to the same value even, fails.
 *  5  FULL is true at the instant of P2's load: by 1 T >= t, and the turn
 *     2(t - N) + 1 says that t - N has not been got, so H <= t - N; since
 *     T - H <= N, T = t and H = t - N. EMPTY is true at G2's: H >= h, and the
 *     turn 2h says that h has not been put, so T <= h <= H. So an old hint never
 *     makes a put fail in a ring with room, nor a get in one with values.
 *  6  Lock-free: P3 fails only because another put took effect since P2; S only
 *     moves forward, and no further than T; the same for gets.
 *
 * KILLED, STOPPED, MOVED, SIGNALLED at each step:
 *
 *	after P1, P2   nothing has been changed: the put has not happened. What
 *	               was read may be old when the thread goes on (1, 4, 5).
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
 * is just another thread to the one that it interrupted; it waits for nobody.
 *
 * WHAT IF THE MEMORY LIES. Turns are checked to belong to their slot, every
 * index is masked, and by 4 a turn other than those above does not occur:
 * -EBADMSG, and nothing is changed. Each loop moves t forward, to a place that a
 * slot names, so memory that stands still is left after one lap at the latest.
 *
 * Spin checks P1 to G4 and S with two producers, two consumers and kills at every
 * step (tests/model/ring.pml), and that each of these rules is needed: a swap
 * that does not compare the lap, a hint that is stored before the swap, full or
 * empty told from the hints, or a value outside of the swap breaks it.
 */
#include <errno.h>

#include "lib/ring.h"
#include "lib/testpoint.h"

/* Hints are stored, and sleepers woken, at least once per so many values. */
#define RING_CHUNK 64

#define PASSED_TAIL 1

static inline uint64_t passed_head(const struct tapio_ring *ring)
{
	return 2 * (ring->mask + 1);
}

/*
 * Is position p passed? If so, *next is the first position that the slot's turn
 * does not show to be passed: p + 1, or laps further. A turn of position q says
 * that q - N was got, and put before; a full one that q was put, too.
 */
static int look(const struct tapio_ring *ring, uint64_t passed, uint64_t p,
		uint64_t *next)
{
	uint64_t turn = tpi_ring_turn(tpi_ring_slot(ring, p));
	uint64_t q = turn >> 1;

	/* In a true ring, no position comes near 2^62: nothing wraps below. */
	if (p >> 62 || turn >> 63)
		return -EBADMSG;
	if (turn < 2 * p + passed)
		return 0;
	if ((q ^ p) & ring->mask)
		return -EBADMSG;
	*next = q + 1;
	if (passed != PASSED_TAIL || !(turn & 1))
		*next -= ring->mask + 1;
	return 1;
}

int tpi_ring_seek(const struct tapio_ring *ring, uint64_t passed, uint64_t from,
		  uint64_t *position)
{
	uint64_t step;
	uint64_t p = from;
	int found;

	while ((found = look(ring, passed, p, &p)) > 0) {
		for (step = 2; step <= ring->mask; step *= 2) {
			found = look(ring, passed, p + step - 1, &p);
			if (found <= 0)
				break;
		}
		if (found < 0)
			break;
	}
	*position = p;
	return found;
}

/* S of a put or get, after P2 or G2 saw `at` passed. */
static int step_over(const struct tapio_ring *ring, uint64_t passed,
		     uint64_t *at, uint32_t *retries)
{
	++*retries;
	return tpi_ring_seek(ring, passed, *at, at);
}

/*
 * P2 and P3: one put at *t or after; *t becomes the position after it. A full
 * ring leaves the true tail there.
 */
static inline int tpi_ring_put_at(const struct tapio_ring *ring, uint64_t *t,
				  uint64_t value, uint32_t *retries)
{
	struct tpi_pair *slot, was, is;
	int64_t ahead;
	int err;

	for (;;) {
		slot = tpi_ring_slot(ring, *t);
		was.high = tpi_ring_turn(slot);
		ahead = (int64_t)(was.high - tpi_ring_turn_empty(*t));
		if (tpi_likely(ahead == 0)) {
			TPI_TESTPOINT("ring.put.P2");
			/* Relaxed: the swap compares it. */
			was.low = tpi_load_relaxed(&slot->low);
			is.low = value;
			is.high = was.high + 1;
			/*
			 * ORDER ring.slot (release): what the caller wrote
			 * before it put this value. Pairs with tpi_ring_turn().
			 */
			if (tpi_likely(tpi_cas128_acq_rel(slot, was, is))) {
				TPI_TESTPOINT("ring.put.P3");
				++*t;
				return 0;
			}
			++*retries;
		} else if (ahead > 0) {
			err = step_over(ring, PASSED_TAIL, t, retries);
			if (err)
				return err;
		} else {
			return ahead == 1 - (int64_t)passed_head(ring)
				       ? -EAGAIN
				       : -EBADMSG;
		}
	}
}

/* G2 and G3: one get at *h or after; *h becomes the position after it. */
static inline int tpi_ring_get_at(const struct tapio_ring *ring, uint64_t *h,
				  uint64_t *value, uint32_t *retries)
{
	struct tpi_pair *slot, was, is;
	int64_t ahead;
	int err;

	for (;;) {
		slot = tpi_ring_slot(ring, *h);
		was.high = tpi_ring_turn(slot);
		ahead = (int64_t)(was.high - tpi_ring_turn_empty(*h));
		if (tpi_likely(ahead == 1)) {
			TPI_TESTPOINT("ring.get.G2");
			/* Relaxed: the swap compares it. */
			was.low = tpi_load_relaxed(&slot->low);
			is.low = 0;
			is.high = tpi_ring_turn_empty(*h + ring->mask + 1);
			/*
			 * ORDER ring.slot (release): this consumer is done with
			 * the slot. Pairs with tpi_ring_turn().
			 */
			if (tpi_likely(tpi_cas128_acq_rel(slot, was, is))) {
				TPI_TESTPOINT("ring.get.G3");
				*value = was.low;
				++*h;
				return 0;
			}
			++*retries;
		} else if (ahead >= (int64_t)passed_head(ring)) {
			err = step_over(ring, passed_head(ring), h, retries);
			if (err)
				return err;
		} else {
			return ahead == 0 ? -EAGAIN : -EBADMSG;
		}
	}
}

static inline uint64_t load_hint(const struct tapio_shm_ring_end *end)
{
	/*
	 * ORDER ring.hint (acquire): all positions before the hint are seen to
	 * be passed. Pairs with store_hint().
	 */
	return tpi_load_acquire(&end->position);
}

static inline void store_hint(struct tapio_shm_ring_end *end, uint64_t position)
{
	/*
	 * ORDER ring.hint (release): that this thread has seen every position
	 * before this one passed. Pairs with load_hint().
	 */
	tpi_store_release(&end->position, position);
}

uint64_t tpi_ring_tail(const struct tapio_ring *ring)
{
	uint64_t hint = load_hint(&ring->shm->tail);
	uint64_t t;

	return tpi_ring_seek(ring, PASSED_TAIL, hint, &t) ? hint : t;
}

uint64_t tpi_ring_head(const struct tapio_ring *ring)
{
	uint64_t hint = load_hint(&ring->shm->head);
	uint64_t h;

	return tpi_ring_seek(ring, passed_head(ring), hint, &h) ? hint : h;
}

/* P5, when the head that was last seen does not rule a new high water out. */
static __attribute__((noinline)) void note_peak(const struct tapio_ring *ring,
						struct tapio_shm_ring_end *tail,
						uint64_t t, uint64_t peak)
{
	uint64_t head, size;

	if (peak > ring->mask)
		return;
	head = tpi_ring_head(ring);
	/* Relaxed: an old one only means looking again sooner. */
	tpi_store_relaxed(&tail->other_seen, head);
	/* T was t or more when H was `head`. Gone already: it was one. */
	size = (int64_t)(t - head) < 1 ? 1 : t - head;
	if (size > ring->mask + 1)
		return;
	/* Relaxed: a number for people. */
	while (size > peak && !tpi_cas_relaxed(&tail->peak, &peak, size))
		;
	TPI_TESTPOINT("ring.put.P5");
}

/* P6, G6: somebody may wait for what was just done. */
static inline void wake(const struct tapio_ring *ring,
			struct tapio_shm_ring_wait *waiters, uint32_t moved)
{
	/*
	 * ORDER ring.armed (full): the swap before the load of `armed`. Pairs
	 * with the fence in sleep_once().
	 */
	tpi_fence_after_cas128();
	if (tpi_unlikely(tpi_load_relaxed(&waiters->armed) !=
			 tpi_load_relaxed(&waiters->rung)))
		tpi_ring_wake(ring, waiters, moved);
}

static inline __attribute__((always_inline)) int
put_chunk(const struct tapio_ring *ring, const uint64_t *values, uint32_t count)
{
	struct tapio_shm_ring_end *tail = &ring->shm->tail;
	uint64_t hint = load_hint(tail); /* P1 */
	uint64_t t = hint;
	uint64_t peak;
	uint32_t retries = 0;
	uint32_t done = 0;
	int err = 0;

	do {
		err = tpi_ring_put_at(ring, &t, values[done], &retries);
	} while (!err && ++done < count);
	if (tpi_likely(t != hint)) {
		store_hint(tail, t); /* P4 */
		TPI_TESTPOINT("ring.put.P4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_PUT_RETRIES, retries);
	if (tpi_unlikely(!done))
		return err;
	/* Relaxed: note_peak() looks again. */
	peak = tpi_load_relaxed(&tail->peak);
	if (tpi_unlikely((int64_t)(t - tpi_load_relaxed(&tail->other_seen)) >
			 (int64_t)peak))
		note_peak(ring, tail, t, peak);
	wake(ring, &tail->waiters, done);
	return (int)done;
}

static inline __attribute__((always_inline)) int
get_chunk(const struct tapio_ring *ring, uint64_t *values, uint32_t count)
{
	struct tapio_shm_ring_end *head = &ring->shm->head;
	uint64_t hint = load_hint(head); /* G1 */
	uint64_t h = hint;
	uint32_t retries = 0;
	uint32_t done = 0;
	int err = 0;

	do {
		err = tpi_ring_get_at(ring, &h, &values[done], &retries);
	} while (!err && ++done < count);
	if (tpi_likely(h != hint)) {
		store_hint(head, h); /* G4 */
		TPI_TESTPOINT("ring.get.G4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_GET_RETRIES, retries);
	if (tpi_unlikely(!done))
		return err;
	wake(ring, &head->waiters, done);
	return (int)done;
}

int tapio_ring_try_put(struct tapio_ring *ring, uint64_t value)
{
	int done = put_chunk(ring, &value, 1);

	if (tpi_likely(done == 1))
		return 0;
	if (done == -EAGAIN)
		tpi_ring_count(ring, TPI_RING_REFUSED_FULL, 1);
	return done;
}

int tapio_ring_try_get(struct tapio_ring *ring, uint64_t *value)
{
	int done = get_chunk(ring, value, 1);

	if (tpi_likely(done == 1))
		return 0;
	*value = 0;
	if (done == -EAGAIN)
		tpi_ring_count(ring, TPI_RING_REFUSED_EMPTY, 1);
	return done;
}

int tpi_ring_put_now(struct tapio_ring *ring, const uint64_t *values,
		     uint32_t count)
{
	uint32_t done = 0;
	uint32_t chunk;
	int n;

	while (done < count) {
		chunk = count - done < RING_CHUNK ? count - done : RING_CHUNK;
		n = put_chunk(ring, values + done, chunk);
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
		chunk = count - done < RING_CHUNK ? count - done : RING_CHUNK;
		n = get_chunk(ring, values + done, chunk);
		if (n < 0)
			return done ? (int)done : n;
		done += (uint32_t)n;
		if ((uint32_t)n < chunk)
			break;
	}
	return (int)done;
}
