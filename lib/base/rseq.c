/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the thread's rseq area is, and what this process knows about it.
 *
 * Some emulators and sandboxes accept the registration and never abort a section.
 * On them the first preemption would corrupt a lane. So each process proves once
 * that sections are aborted (rseq_proof.c), and keeps what it found:
 *
 *	not known ---> PROVEN ---> BROKEN
 *	    |                        ^
 *	    +------------------------+
 *
 * Threads that test at the same time may each find something. BROKEN wins, because
 * one section that went on is enough. There is no lock: a fork in another thread
 * would leave it locked in the child for ever. Two tests at once cost time, no more.
 */
#include <errno.h>
#include <signal.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "lib/base/thread.h"
#include "lib/base/rseq.h"
#include "lib/base/rseq_proof.h"
#include "lib/base/sys.h"

/* Never registered: cpu_id says so, and every section fails at its check. */
static __thread struct tpi_rseq unregistered
	__attribute__((tls_model("initial-exec"))) = {
		.cpu_id_start = 0,
		.cpu_id = UINT32_MAX,
};

ptrdiff_t tpi_rseq_offset;

/* Absent in libcs that do not register rseq. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

/* __rseq_size is 0 where libc did not register: the kernel or a tunable said no. */
static bool libc_registers(void)
{
	return &__rseq_offset && &__rseq_size && __rseq_size;
}

__attribute__((constructor)) static void find_area(void)
{
	if (tpi_rseq_offset)
		return;
	if (libc_registers())
		tpi_rseq_offset = __rseq_offset;
	else
		tpi_rseq_offset = (char *)&unregistered -
				  (char *)__builtin_thread_pointer();
}

static const struct {
	uint32_t verdict;
	const char *reason; /* shorter than tapio_shm_broker.rseq_reason */
} proofs[] = {
	[TPI_PROOF_NONE] = {TAPIO_RSEQ_UNKNOWN, "not tested"},
	[TPI_PROOF_ABORTED] = {TAPIO_RSEQ_PROVEN, "a section was aborted"},
	[TPI_PROOF_ABSENT] = {TAPIO_RSEQ_ABSENT,
			      "not registered by libc or refused by the "
			      "kernel"},
	[TPI_PROOF_OUTRAN] = {TAPIO_RSEQ_BROKEN,
			      "a section went on across a preemption"},
	[TPI_PROOF_NO_THREAD] = {TAPIO_RSEQ_INCONCLUSIVE,
				 "no thread could be started for the test"},
	[TPI_PROOF_NO_MEANS] = {TAPIO_RSEQ_INCONCLUSIVE,
				"neither setaffinity nor membarrier is "
				"allowed"},
	[TPI_PROOF_REALTIME] = {TAPIO_RSEQ_INCONCLUSIVE,
				"the test may not leave its real-time class"},
};

/* A TPI_PROOF_*. Relaxed everywhere: a verdict stands for nothing but
 * itself. */
static uint32_t known;
/* 1: a broker of this boot has proved it. */
static uint32_t heard;

static void keep(uint32_t proof)
{
	uint32_t before = TPI_PROOF_NONE;

	if (proofs[proof].verdict == TAPIO_RSEQ_INCONCLUSIVE)
		return;
	if (!tpi_cas_relaxed(&known, &before, proof) &&
	    proof == TPI_PROOF_OUTRAN)
		tpi_store_relaxed(&known, proof);
}

/* Signals wait: a handler that leaves by longjmp would leave the thread behind. */
static uint32_t run_test(void)
{
	sigset_t all, signals;
	uint32_t proof;
	int cancel;

	if (!libc_registers())
		return TPI_PROOF_ABSENT;
	find_area(); /* another constructor may come before ours */
	cancel = tpi_cancel_off();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &signals);
	proof = tpi_rseq_prove();
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	tpi_cancel_restore(cancel);
	return proof;
}

const char *tpi_rseq_word(uint32_t verdict)
{
	static const char *const words[] = {"unknown", "proven", "absent",
					    "broken", "inconclusive"};

	return verdict < sizeof(words) / sizeof(words[0]) ? words[verdict]
							  : NULL;
}

uint32_t tpi_rseq_selftest(const char **reason)
{
	uint32_t proof = tpi_load_relaxed(&known);

	if (proof == TPI_PROOF_NONE) {
		proof = run_test();
		keep(proof);
	}
	if (reason)
		*reason = proofs[proof].reason;
	return proofs[proof].verdict;
}

uint32_t tpi_rseq_known(void)
{
	return proofs[tpi_load_relaxed(&known)].verdict;
}

void tpi_rseq_hear(uint32_t verdict)
{
	if (verdict == TAPIO_RSEQ_PROVEN)
		tpi_store_relaxed(&heard, 1);
}

bool tpi_rseq_holds(uint32_t verdict)
{
	bool open = verdict == TAPIO_RSEQ_UNKNOWN ||
		    verdict == TAPIO_RSEQ_INCONCLUSIVE;

	return verdict == TAPIO_RSEQ_PROVEN ||
	       (open && tpi_load_relaxed(&heard));
}

/* linux/membarrier.h. Spelt here because old headers lack them. */
#define BARRIER_RSEQ          128
#define BARRIER_REGISTER_RSEQ 256

int tpi_rseq_restart_all(void)
{
	int saved = errno, err;

	/* Needed once. To do it again costs a system call, and to know that it was
	 * done takes a word that a forked child would have to forget. */
	err = tpi_sys_membarrier(BARRIER_REGISTER_RSEQ);
	/* ORDER rseq.restart (full): the caller's stores, before the interrupt that
	 * restarts sections. Pairs with the comment in leave() of
	 * client/producer/move.c. */
	tpi_fence_full();
	if (err >= 0)
		err = tpi_sys_membarrier(BARRIER_RSEQ);
	errno = saved;
	return err < 0 ? err : 0;
}
