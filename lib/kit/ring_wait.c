/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: waiting for room or for a value, and waking who waits.
 *
 * Consumers that found the ring empty wait at its tail, where values come in.
 * Producers that found it full wait at its head. The two are alike, so below
 * "mover" is who puts (gets), and "sleeper" who waits for that.
 *
 * THE SLEEPER (wait_more)            THE MOVER (wake in ring.c, tpi_ring_wake)
 *
 *	A1  b = bell                    W1  has moved n values; load answered, armed
 *	A2  armed + 1; full barrier         nothing if armed = answered
 *	A3  look once more              W2  bell + 1
 *	A4  sleep while bell = b,       W3  wake k = min(n, armed - answered) sleepers
 *	    SLEEP_NS at most            W4  swap answered for answered + k; for `armed` if
 *	    again from A1                   W3 woke fewer than k; once
 *
 * PROOF that no thread sleeps beside what it waits for
 *
 *  1  A move is seen by A3, or its W1 sees A2: both have a full barrier between
 *     their store and their load.
 *  2  Let an announcement be one A2, and `a` what W1 loaded of `armed`. When W3
 *     runs, an announcement counted in `a` belongs to a thread that is asleep,
 *     or that will not sleep under it: its A1 was before A2, so before W1 and
 *     W2, and A4 finds another bell.
 *  3  armed - answered is never less than the number of sleepers. A2 adds one to it
 *     before there can be one more. W4 takes off k when W3 ended k sleeps. When
 *     W3 woke fewer, no sleeper was left at that instant, by 2 none of those
 *     counted in `a` will be, and armed - a are all the later ones. W4 is tried
 *     once, and only from the value of W1, so what several movers do at the
 *     same time takes off as much as one of them: answered is never too large.
 *  4  So after a move either no thread sleeps, or W3 ends a sleep for each
 *     value (for each sleeper, if these are fewer). A thread that is woken, or
 *     finds another bell, looks again and then starts from A1.
 *  5  Killed or stopped between the move and W3, or after being woken and before
 *     getting (putting): another may sleep beside a value, until its SLEEP_NS
 *     are over. Killed between W3 and W4, or between A2 and the end of A4:
 *     armed - answered stays too large by that much, which costs a mover one system
 *     call, once: its W3 finds no sleeper and its W4 settles all of them.
 *
 * So the kernel is entered by movers at most once per announcement, and never
 * without a waiter. Idle sleepers announce themselves every SLEEP_NS, and by
 * the last rule of 3 a whole night of that is settled by one call.
 *
 * A move does not wake all sleepers and send all but one back to sleep.
 * tests/model/ring_wait.pml checks all of this, and that without the bell, the
 * look, the barrier, or with another W4, it does not hold.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include "lib/base/clock.h"
#include "lib/base/futex.h"
#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

/* A test compiles the ring with other values: it sleeps at once, and for long. */
#ifndef TPI_RING_LOOKS
/* Times to look before going to sleep: a few microseconds. */
#define TPI_RING_LOOKS 128u
/* The bounds of one sleep, for consumers and for producers. */
#define TPI_RING_SLEEP_VALUE_NS INT64_C(100000000)
#define TPI_RING_SLEEP_ROOM_NS  INT64_C(10000000)
#endif

struct wait {
	const struct tapio_ring *ring;
	struct tapio_shm_ring_wait *waiters;
	int64_t timeout_ns;
	int64_t sleep_ns; /* of one sleep, at most */
	int64_t deadline; /* CLOCK_MONOTONIC. Set when the first sleep is near */
	uint32_t looks;
	uint32_t bell;
	bool armed;
};

/* The rest of the time-out, at most one sleep. */
static int64_t time_left(const struct wait *wait)
{
	int64_t left;

	if (wait->timeout_ns < 0)
		return wait->sleep_ns;
	left = wait->deadline - tpi_now_ns();
	return left < wait->sleep_ns ? left : wait->sleep_ns;
}

/* A1 and A2. */
static void announce(struct wait *wait)
{
	/*
	 * ORDER ring.bell (acquire): the bell was read before the announcement.
	 * Pairs with the add in tpi_ring_wake().
	 */
	wait->bell = tpi_load_acquire(&wait->waiters->bell);
	tpi_add_relaxed(&wait->waiters->armed, 1);
	/*
	 * ORDER ring.armed (full): `armed` before the look at the ring. Pairs
	 * with wake() in ring.c.
	 */
	tpi_fence_full();
	wait->armed = true;
	TPI_TESTPOINT("ring.wait.A2");
}

/*
 * Called each time that nothing could be done. 0: look again (the look that
 * follows an announcement is A3). -EAGAIN, -ETIMEDOUT: give up.
 */
static int wait_more(struct wait *wait)
{
	int64_t left;

	if (wait->timeout_ns == 0)
		return -EAGAIN;
	if (wait->looks == 0 && wait->timeout_ns > 0 &&
	    __builtin_add_overflow(tpi_now_ns(), wait->timeout_ns,
				   &wait->deadline))
		wait->deadline = INT64_MAX;
	if (wait->looks < TPI_RING_LOOKS) {
		wait->looks++;
		tpi_cpu_relax();
		return 0;
	}
	if (!wait->armed) {
		announce(wait);
		return 0;
	}
	wait->armed = false;
	left = time_left(wait);
	if (left <= 0)
		return -ETIMEDOUT;
	tpi_ring_count(wait->ring, TPI_RING_SLEEPS, 1);
	tpi_futex_wait(&wait->waiters->bell, wait->bell, left); /* A4 */
	TPI_TESTPOINT("ring.wait.A4");
	return 0;
}

/* W1 to W4. */
void tpi_ring_wake(const struct tapio_ring *ring,
		   struct tapio_shm_ring_wait *waiters, uint32_t moved)
{
	/*
	 * Relaxed: the barrier is in may_be_awaited(). Were `armed` older than
	 * `answered`, the difference would be huge: a call for nothing, no harm.
	 */
	uint32_t answered = tpi_load_relaxed(&waiters->answered);
	uint32_t armed = tpi_load_relaxed(&waiters->armed);
	uint32_t pending = armed - answered;
	uint32_t upto;
	int woken;

	if (!pending)
		return;
	if (moved > pending)
		moved = pending;
	/*
	 * ORDER ring.bell (acq_rel): the loads above before this. Pairs with
	 * the load in announce().
	 */
	tpi_add_acq_rel(&waiters->bell, 1);
	TPI_TESTPOINT("ring.wake.W2");
	woken = tpi_futex_wake(&waiters->bell, moved);
	TPI_TESTPOINT("ring.wake.W3");
	if (woken < 0)
		return; /* futexes are refused: the sleeps end by themselves */
	upto = (uint32_t)woken < moved ? armed : answered + moved;
	tpi_cas_relaxed(&waiters->answered, &answered, upto);
	TPI_TESTPOINT("ring.wake.W4");
	tpi_ring_count(ring, TPI_RING_WAKES, 1);
}

/* Accounts for a call that moved nothing. */
static int refused(const struct tapio_ring *ring, int err,
		   enum tpi_ring_count now, enum tpi_ring_count timed_out)
{
	if (err == -EAGAIN)
		tpi_ring_count(ring, now, 1);
	else if (err == -ETIMEDOUT)
		tpi_ring_count(ring, timed_out, 1);
	return err;
}

int tapio_ring_put_batch(struct tapio_ring *ring, const uint64_t *values,
			 size_t count, int64_t timeout_ns)
{
	struct wait wait = {
		.ring = ring,
		.waiters = &ring->shm->head.waiters,
		.timeout_ns = timeout_ns,
		.sleep_ns = TPI_RING_SLEEP_ROOM_NS,
	};
	uint32_t most = count > INT_MAX ? INT_MAX : (uint32_t)count;
	uint32_t done = 0;
	int n, err = 0;

	while (done < most && !err) {
		n = tpi_ring_put_now(ring, values + done, most - done);
		if (n > 0)
			done += (uint32_t)n;
		else
			err = n == -EAGAIN ? wait_more(&wait) : n;
	}
	if (done || !most)
		return (int)done;
	return refused(ring, err, TPI_RING_REFUSED_FULL,
		       TPI_RING_TIMED_OUT_FULL);
}

int tapio_ring_get_batch(struct tapio_ring *ring, uint64_t *values,
			 size_t count, int64_t timeout_ns)
{
	struct wait wait = {
		.ring = ring,
		.waiters = &ring->shm->tail.waiters,
		.timeout_ns = timeout_ns,
		.sleep_ns = TPI_RING_SLEEP_VALUE_NS,
	};
	uint32_t most = count > INT_MAX ? INT_MAX : (uint32_t)count;
	int n, err = 0;

	if (!most)
		return 0;
	while (!err) {
		n = tpi_ring_get_now(ring, values, most);
		if (n > 0)
			return n;
		err = n == -EAGAIN ? wait_more(&wait) : n;
	}
	return refused(ring, err, TPI_RING_REFUSED_EMPTY,
		       TPI_RING_TIMED_OUT_EMPTY);
}

int tapio_ring_put(struct tapio_ring *ring, uint64_t value, int64_t timeout_ns)
{
	int n = tapio_ring_put_batch(ring, &value, 1, timeout_ns);

	return n < 0 ? n : 0;
}

int tapio_ring_get(struct tapio_ring *ring, uint64_t *value, int64_t timeout_ns)
{
	int n;

	*value = 0;
	n = tapio_ring_get_batch(ring, value, 1, timeout_ns);
	return n < 0 ? n : 0;
}

int64_t tapio_ring_drain(struct tapio_ring *ring,
			 void (*each)(uint64_t value, void *argument),
			 void *argument)
{
	uint64_t values[64];
	uint64_t left = tapio_ring_size(ring);
	int64_t done = 0;
	int i, n;

	while (left) {
		n = tpi_ring_get_now(ring, values, left < 64 ? left : 64);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return done ? done : n;
		for (i = 0; each && i < n; i++)
			each(values[i], argument);
		done += n;
		left -= (uint32_t)n;
	}
	return done;
}
