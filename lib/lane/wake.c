/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's part in sleeping and waking. The protocol is in wake.h. All of
 * it may be called from signal handlers and leaves errno alone, because
 * tapio_output may be called there.
 */
#include "lib/lane/wake.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

#include "lib/base/futex.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

#ifdef TAPIO_TESTPOINTS
int64_t tpi_sleep_bound_ns;
int64_t tpi_ring_apart_ns;
#endif

/* linux/membarrier.h. Spelt here because old headers lack them. */
#define BARRIER_GLOBAL_EXPEDITED          2
#define BARRIER_REGISTER_GLOBAL_EXPEDITED 4

int tpi_barrier_register(void)
{
	int saved = errno;
	int err = tpi_sys_membarrier(BARRIER_REGISTER_GLOBAL_EXPEDITED);

	errno = saved;
	return err < 0 ? err : 0;
}

int tpi_barrier(void)
{
	int saved = errno;
	int err;

	/*
	 * ORDER wake.barrier (full): an announcement before is seen by every
	 * publication after, and every publication before is seen after. Pairs
	 * with the loads without a fence that follow a commit, in
	 * tpi_ring_if_armed() (lib/lane/emit.h), and a release, in
	 * tpi_wake_producers() (client/consumer/release.c). The fences are for
	 * the caller, whom the kernel need not interrupt.
	 */
	tpi_fence_full();
	err = tpi_sys_membarrier(BARRIER_GLOBAL_EXPEDITED);
	tpi_fence_full();
	TPI_TESTPOINT("wake.barrier");
	errno = saved;
	return err < 0 ? err : 0;
}

static void wake_by(uint32_t *word, uint32_t step)
{
	/*
	 * ORDER wake.word (release): all that the waker published before. Pairs
	 * with the load in tpi_wake_listen(). An atomic add, since any number
	 * of wakers ring at once and two rings must not leave the value of one.
	 */
	tpi_add_acq_rel(word, step);
	tpi_futex_wake(word, INT_MAX);
	TPI_TESTPOINT("wake.all");
}

void tpi_wake_all(uint32_t *word)
{
	wake_by(word, 1);
}

void tpi_wake_anew(uint32_t *word)
{
	wake_by(word, TPI_RING_ROUNDS);
}

/* ---- the window of a ring -------------------------------------------------------- */

static bool is_in_window(const struct tapio_shm_doorbell *bell)
{
	/*
	 * ORDER wake.rung (acquire): that ring has woken everybody. Pairs with
	 * the release in note_ring().
	 */
	uint64_t rung = tpi_load_acquire(&bell->rung);

	/* Of a time to come, by a clock that differs: not in the window. */
	return (uint64_t)tpi_now_ns() - rung < (uint64_t)TPI_RING_APART_NS;
}

bool tpi_wake_rung(const struct tapio_shm_doorbells *doorbells, uint32_t slot)
{
	const struct tapio_shm_doorbell *bell = &doorbells->slots[slot];

	if (!is_in_window(bell))
		return false;
	TPI_TESTPOINT("ring.window");
	/*
	 * ORDER wake.window (full): the commit before the clock. Pairs with the look of a
	 * sleeper that has announced itself before (S4), which drains nothing.
	 */
	tpi_fence_full();
	return is_in_window(bell);
}

/* `began`: the time before W4. */
static void note_ring(struct tapio_shm_doorbell *bell, int64_t began)
{
	/* ORDER wake.rung (release): the ring. Pairs with the acquire in
	 * tpi_wake_rung(). */
	tpi_store_release(&bell->rung, (uint64_t)began);
}

/* Swaps in vain before a ring does not say when it began. */
#define SWAPS 3

/* A time as `begun` has it. */
static uint32_t begun_units(int64_t ns)
{
	return (uint32_t)((uint64_t)ns >> TPI_BEGUN_SHIFT);
}

int64_t tpi_wake_begun(const struct tapio_shm_doorbell *bell, uint32_t heard,
		       int64_t since, int64_t now)
{
	/* Relaxed: it says of itself whether it belongs to the bell that was heard. */
	uint64_t begun = tpi_load_relaxed(&bell->begun);
	int32_t ago = (int32_t)(begun_units(now) - (uint32_t)(begun >> 32));
	int64_t ns;

	if ((uint32_t)begun != heard)
		return now;
	/* The end of its unit. One to come is later than now. */
	ns = now - ((int64_t)ago - 1) * (1 << TPI_BEGUN_SHIFT);
	return ns >= since && ns < now ? ns : now;
}

/* W4 but for the wake. Returns a time before the bell moved. *made: its number since. */
static int64_t move_bell(struct tapio_shm_doorbell *bell, uint32_t *made)
{
	uint32_t number = tpi_load_acquire(&bell->doorbell);
	int64_t began = tpi_now_ns();

	for (int i = 0; i < SWAPS; i++) {
		/* SIGKILL here: the broker rings for the dead. */
		TPI_TESTPOINT("ring.wanted");
		/* ORDER wake.word (release): as in tpi_wake_all(). */
		if (tpi_cas_acq_rel(&bell->doorbell, &number, number + 1)) {
			TPI_TESTPOINT("ring.moved");
			/* Relaxed: as it is loaded. */
			tpi_store_relaxed(&bell->begun,
					  (uint64_t)begun_units(began) << 32 |
						  (uint32_t)(number + 1));
			*made = number + 1;
			return began;
		}
		began = tpi_now_ns(); /* N5: after the load of `number` */
	}
	*made = tpi_add_acq_rel(&bell->doorbell, 1) + 1;
	return began;
}

void tpi_wake_group(struct tapio_shm_doorbells *doorbells, uint32_t slot,
		    uint32_t armed, bool rounds)
{
	struct tapio_shm_doorbell *bell = &doorbells->slots[slot];
	uint32_t *answered = &doorbells->answered[slot], number;
	int64_t began = move_bell(bell, &number);

	TPI_TESTPOINT("ring.waking");
	tpi_wake_nudge(&bell->doorbell);
	/* SIGKILL here: `answered` and the note stay old, the next producer rings
	 * again. */
	TPI_TESTPOINT("ring.woken");
	note_ring(bell, began);
	TPI_TESTPOINT("ring.noted");
	/* ORDER wake.woken (release): FUTEX_WAKE before it. Pairs with the acquire in
	 * tpi_wake_asked(). */
	if (rounds)
		tpi_store_release(&bell->woken, number);
	TPI_TESTPOINT("ring.told");
	/* Relaxed: a reader of it has made its own commit before and needs no
	 * order with ours. A newer answer that is lost rings once more. */
	if (tpi_wake_wanted(armed, tpi_load_relaxed(answered)))
		tpi_store_relaxed(answered, armed);
}

int tpi_wake_wait(const uint32_t *word, uint32_t heard, int64_t ns)
{
	int err;

	if (ns <= 0)
		return -ETIMEDOUT;
	err = tpi_futex_wait(word, heard, ns);
	return err == -EAGAIN ? 0 : err;
}

void tpi_wake_nudge(const uint32_t *word)
{
	tpi_futex_wake(word, INT_MAX);
}
