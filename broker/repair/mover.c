/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that goes from CPU to CPU. Called by sweeps.
 *
 * It is not the loop's own thread, because that could not come back: while a CPU is off
 * line the kernel takes no set with it (sched_setaffinity(2) leaves it out, as
 * sched_getaffinity(2) does). A thread that moved then would be kept off that CPU for
 * good. In a program that embeds the broker the set is not ours to change at all.
 *
 * The loop waits, so nothing that the work touches has a second user, and fork finds no
 * thread that holds a lock. A CPU that is off line, or that a cpuset or a seccomp profile
 * forbids, refuses the move. A CPU that goes off line after the move leaves the thread
 * elsewhere: sections notice that by themselves. SIGKILL ends both threads, SIGSTOP stops
 * both, and the thread blocks the signals that the loop's thread blocks.
 */
#include "broker/repair/mover.h"

#include <pthread.h>
#include <sched.h>

#include "lib/base/sys.h"

struct errand {
	void (*work)(void *arg, bool may_move);
	void *arg;
};

static void *run(void *arg)
{
	const struct errand *errand = arg;

	errand->work(errand->arg, true);
	return NULL;
}

void tpi_mover_run(void (*work)(void *arg, bool may_move), void *arg)
{
	struct errand errand = {work, arg};
	pthread_t thread;

	/* Too many threads, or too little memory. */
	if (pthread_create(&thread, NULL, run, &errand)) {
		work(arg, false);
		return;
	}
	pthread_setname_np(thread, "tapio-sweep");
	pthread_join(thread, NULL);
}

bool tpi_mover_go(uint32_t cpu)
{
	struct tpi_cpu_set only = {{0}};

	if (cpu >= TPI_CPU_SET_CPUS)
		return false;
	only.bits[cpu / 64] = UINT64_C(1) << cpu % 64;
	return !tpi_sys_set_affinity(0, &only) && sched_getcpu() == (int)cpu;
}
