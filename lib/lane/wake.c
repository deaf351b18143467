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

void tpi_wake_all(uint32_t *word)
{
	/*
	 * ORDER wake.word (release): all that the waker published before. Pairs
	 * with the load in tpi_wake_listen(). An atomic add, since any number
	 * of wakers ring at once and two rings must not leave the value of one.
	 */
	tpi_add_acq_rel(word, 1);
	tpi_futex_wake(word, INT_MAX);
}

void tpi_wake_group(struct tapio_shm_doorbells *doorbells, uint32_t slot,
		    uint32_t armed)
{
	uint32_t *answered = &doorbells->answered[slot];

	/* SIGKILL here: the broker rings for the dead. */
	TPI_TESTPOINT("ring.wanted");
	tpi_wake_all(&doorbells->slots[slot].doorbell);
	/* SIGKILL here: `answered` stays old, the next producer rings again. */
	TPI_TESTPOINT("ring.woken");
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

int64_t tpi_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
