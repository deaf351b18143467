/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: put and get. (ring_chunk.c gets chunks, ring_log.c puts them,
 * ring_init.c makes and attaches rings, ring_seek.c finds its ends, ring_peak.c notes
 * the high water, ring_wait.c sleeps and wakes, ring_stats.c counts.)
 *
 * WHAT IT IS. A cell holds {value, turn}. A put changes both by one 128-bit
 * compare-and-swap. Position p lives in cell p mod N, whose turn goes
 *
 *	      put p         get p                put p + N
 *	EMPTY p ---> FULL p -----> EMPTY (p + N) ---------> FULL (p + N) ...
 *
 * and never takes a value twice. Let T be the number of values whose put has happened
 * and H that of the values got. These two, which no word holds, are the state of the
 * ring. tail.position and head.position are hints: T and H as somebody knew them. A
 * queue of N values, with no owner, no ticket that must be honoured and no step that
 * must be followed by another.
 *
 * CHUNKS. A batch would pay a swap for each value. So n values, 4 to 64, may be put by
 * one swap: they lie in a log that is written to by one CPU alone (ring_log.c), and the
 * cell of the first, p, holds {ref to them, CHUNK p}. The chunk takes the positions p
 * to p + n. The cells of the others keep what they held. So not every position has a
 * cell: a START is a position at which a put began or will begin.
 *
 *	         all of it is got (K1)                      any put at p + N
 *	CHUNK p ----------------------> GOT (p + N) ------------------> ...
 *	    |                                                   ^
 *	    |    less is wanted (K2)                            | if the head is behind p
 *	    +--------------------------> PARTED p --------------+
 *
 * Of a PARTED chunk the values are got by way of head.parted = {ref, position}, which
 * says how far that is (K3, K4). So the cell is free for position p + N as soon as the
 * first value is got: a ring has room as soon as a value is got.
 *
 * ONE PUT (put_at, with the names P1.. of tests/model/ring.pml)
 *
 *	P1  t = tail.position
 *	P2  look at the turn of cell t
 *	       t or later was put: S: t = a start not known to be put, all before
 *	               it put. P2 again
 *	       t - N, unread: FULL
 *	       EMPTY t:       load the old value, and as P3
 *	       else:          what was there was no value. H is looked for (floor,
 *	               head.parted, S). H <= t - N: FULL. Else P3, with FULL_2
 *	P3  swap {old value, turn} for {value, FULL t}; failed: P2 again. DONE
 *	P4  tail.position = t + 1 (a plain store)
 *	P5  if this may be a new high water, look and note it
 *	P6  if somebody waits for a value, wake (W of ring_wait.c)
 *
 * ONE GET (get_at, ring_chunk.c)
 *
 *	G1  h = head.position
 *	G2  look at the turn of cell h
 *	       FULL h:        load the value, after that, and
 *	       else:          S. In the middle of head.parted: K4. At a start h that
 *	               was not put: EMPTY. CHUNK or PARTED: K1 to K3
 *	G3  swap the turn for EMPTY (h + N); failed: G2 again. DONE
 *	G4  head.position = h + 1 (a plain store)
 *	G6  if somebody waits for room, wake
 *
 * S (ring_seek.c) goes from a start that is known to be reached to the end of what was
 * put (got). A turn tells how far its put went (a chunk's length stays in its cell), so
 * the next start is known. It tries doubling steps, too. So a hint may be any number of
 * positions, or laps, too old. That costs loads: one for each put in the ring at worst.
 *
 * FLOOR. What tells S, for the head, that it may step over p, and how far, is in cell p.
 * The put of p + N destroys it. Where it is EMPTY that was p + 1, and FULL says so a lap
 * later. For all else a put first makes sure that tail.floor, a start that grows only,
 * or head.parted is behind t - N. A get that finds its start overwritten by
 * FULL_2 or a chunk goes on from there. It MUST look at both after it has seen that: an
 * older copy of head.parted may be from before the first value of p was got.
 *
 * PROOF
 *
 *  1  A thread that tries P3 at t knows that t is a start, and all before it were put.
 *     From P1: a hint is stored only by a thread that knew it (P4, by 3). From S: it
 *     went on only from starts that it saw put, to the start after them.
 *  2  So starts are put in order without a hole. T is the first start not put. The
 *     same for gets and H, which may be inside of one chunk, that of head.parted.
 *  3  No hint is ever more than the truth: it is stored after all before it was put
 *     (got). It may be less, and may even go back (P4 by a thread that slept since P3);
 *     nothing depends on that. Floor and the position of head.parted only grow.
 *  4  P3 (and L3) succeed only at t = T: the turn says that t is not put, and by 1
 *     t <= T. Room was seen: the turn EMPTY t says that t - N was got, else H was
 *     looked for, and it only grows. So the ring is never overfilled.
 *     G3 and K1 succeed only at h = H, and only when h has been put: values come out in
 *     the order of their puts, each once. A swap compares the lap: a thread that slept
 *     between P2 and P3 (G2 and G3) while the cell went round, to the same value even,
 *     fails. G3 need not compare the value: it was loaded while the turn was that of h,
 *     and changes only with a turn that changes, too. P3 must change both at once, or a
 *     kill between them would leave a cell that no thread may touch.
 *     K2 gets nothing. It takes the chunk away from K1, so that there is one place
 *     where its values are got. K3 succeeds only if head.parted is as it was while
 *     nothing was left in it and it was not behind h: so h = H. K4 only at H.
 *  5  FULL is true at an instant of P2: by 1 T >= t, and the unread turn of t - N says
 *     that H <= t - N, or H was looked for after t was known. Since T - H <= N, T = t
 *     and H = t - N. EMPTY is true at G2's load: all before h is got, and h has not been
 *     put, so T <= h <= H. So an old hint never makes a put fail in a ring with room,
 *     nor a get in one with values.
 *  6  Lock-free: P3 fails only because another put took effect since P2, G3, K1, K3 and
 *     K4 only because of another get, or of a K2, of which there is one for a chunk. S
 *     only moves forward, and no further than T. A section may be aborted by any
 *     signal, and is tried three times before values are put one by one.
 *
 * KILLED, STOPPED, MOVED, SIGNALLED at each step:
 *
 *	after P1, P2   nothing has been changed: the put has not happened. The
 *	               values read may be old when the thread goes on (1, 4,
 *	               5). Floor may have been raised, to a truth.
 *	L1 to L3       ring_log.c.
 *	after P3, L3   it has happened, whole, for everybody. The hint is
 *	               short: the next put finds t put, and S steps over it.
 *	after P4       as if it had returned, but for the high water (it may miss
 *	               this peak) and the wake: a sleeper's sleep is bounded
 *	               (ring_wait.c, 5).
 *	after P6       it returned.
 *	after K2       nothing was got. The next get finds PARTED and does K3, however
 *	               many values it wants.
 *	gets           the same, G for P. A value whose get took effect and whose
 *	               getter is killed before it used it is gone with the
 *	               getter, as it must be: it was got once. Of a chunk, all that
 *	               the call took by this swap.
 *
 * Migration changes nothing but inside L3, as nothing else is per CPU (the stripes of
 * counters are added to atomically). A signal handler that puts or gets between any two
 * steps is just another thread to the one that it interrupted. It waits for no other
 * thread. fork: nothing is kept per thread or process. Another uid: whoever maps the
 * ring writable is trusted with its values, and nothing else. No broker takes part.
 *
 * WHAT IF THE MEMORY LIES. Turns are checked to belong to their cell, refs to stay in
 * their log, every index is masked, and a turn other than those above is -EBADMSG, and
 * nothing is changed. Each loop moves its position forward, to a place that a cell
 * names, so memory that stands still is left after one lap at the latest.
 *
 * Spin checks single values (tests/model/ring.pml) and chunks (ring_chunk.pml) with
 * kills at every step, and that each of these rules is needed: a swap
 * that does not compare the lap, a hint that is stored before the swap, full or
 * empty told from the hints, a value put outside of the swap, or one loaded
 * before its turn breaks it, and so does each of a dozen broken rules of chunks. The C
 * code is attacked at each of these steps by tests/fault/ring.c (kills and stops) and
 * tests/fault/ring_between.c (whatever others do there), and by numbers in
 * tests/stress/ring.c.
 */
#include <errno.h>

#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

/* Hints are stored, and sleepers woken, at least once per so many values. */
#define RUN 64

/* P3. */
static inline bool swap_put(struct tpi_pair *cell, struct tpi_pair was,
			    uint64_t value, uint64_t t, enum tpi_ring_state as)
{
	const struct tpi_pair is = {value, tpi_ring_turn_of(t, as)};
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
	enum tpi_ring_state as = TPI_RING_FULL;
	struct tpi_pair *cell, was;
	uint64_t room;
	int err;

	for (;; ++*retries) {
		cell = tpi_ring_cell(ring, *t);
		was.high = tpi_ring_turn(cell);
		/* Relaxed: the swap compares it. */
		was.low = tpi_load_relaxed(&cell->low);
		as = TPI_RING_FULL;
		if (tpi_unlikely(was.high != tpi_ring_turn_empty(*t))) {
			as = TPI_RING_FULL_2;
			err = tpi_ring_room(ring, t, was.high, 1, &room);
			if (err < 0)
				return err;
			if (!err)
				continue;
		}
		if (tpi_likely(swap_put(cell, was, value, *t, as)))
			break;
	}
	++*t;
	return 0;
}

/*
 * G2 and G3: a get of up to `count` values at *h or after. *h becomes a start
 * after it, or the one that it was got from. How many.
 */
static int get_at(const struct tapio_ring *ring, uint64_t *h, uint64_t *values,
		  uint32_t count, uint32_t *retries)
{
	struct tpi_pair *cell;
	uint64_t found;
	int n;

	for (;; ++*retries) {
		cell = tpi_ring_cell(ring, *h);
		if (tpi_likely(tpi_ring_turn(cell) == tpi_ring_turn_full(*h))) {
			/* Relaxed: after the acquire, and good if the swap
			 * succeeds. */
			found = tpi_load_relaxed(&cell->low);
			if (tpi_likely(swap_get(ring, cell, *h)))
				break;
			continue;
		}
		n = tpi_ring_get_hard(ring, h, values, count);
		if (n)
			return n;
	}
	++*h;
	*values = found;
	return 1;
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
	int n = 0;

	/* A chunk while it can be had, then one by one. */
	if (count >= TPI_RING_CHUNK_MIN)
		n = tpi_ring_put_log(ring, &t, values, count, &retries);
	while (n > 0 && (done += (uint32_t)n) + TPI_RING_CHUNK_MIN <= count)
		n = tpi_ring_put_log(ring, &t, values + done, count - done,
				     &retries);
	while (n >= 0 && done < count) {
		n = put_at(ring, &t, values[done], &retries);
		done += n == 0;
	}
	if (t != hint) {
		tpi_ring_store_hint(tail, t); /* P4 */
		TPI_TESTPOINT("ring.put.P4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_PUT_RETRIES, retries);
	if (!done)
		return n;
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
	int n;

	do {
		n = get_at(ring, &h, values + done, count - done, &retries);
	} while (n > 0 && (done += (uint32_t)n) < count);
	if (h != hint) {
		tpi_ring_store_hint(head, h); /* G4 */
		TPI_TESTPOINT("ring.get.G4");
	}
	if (tpi_unlikely(retries))
		tpi_ring_count(ring, TPI_RING_GET_RETRIES, retries);
	if (!done)
		return n;
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
	if (tpi_unlikely(!swap_put(cell, was, value, t, TPI_RING_FULL)))
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
		chunk = count - done < RUN ? count - done : RUN;
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
		chunk = count - done < RUN ? count - done : RUN;
		n = get_chunk(ring, values + done, chunk, 0);
		if (n < 0)
			return done ? (int)done : n;
		done += (uint32_t)n;
		if ((uint32_t)n < chunk)
			break;
	}
	return (int)done;
}
