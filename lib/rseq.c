/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the thread's rseq area is, and whether this kernel really restarts.
 *
 * Some emulators and sandboxes accept the registration and never abort a
 * section; on them a lane would be corrupted by the first preemption. So each
 * process proves it once. Two short-lived threads share one CPU:
 *
 *   victim (SCHED_IDLE)              rival
 *   section: spin on `flag`          sleep 50 us
 *                                    wakes, preempts the victim: the kernel owes
 *                                    it an abort; then flag = FLAG_RIVAL
 *   abort handler       -> proof
 *   flag seen inside    -> the kernel does not abort
 *
 * and once more with the victim moved to another CPU instead. The caller ends a
 * round after its share of 50 ms by flag = FLAG_END: inconclusive, and the
 * broker's verdict for this boot counts.
 *
 * The threads block every signal. SIGSTOP stops all of them; afterwards the
 * abort is owed all the same. fork in another thread copies neither.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <time.h>

#include <tapio/abi.h>

#include "lib/atomic.h"
#include "lib/rseq.h"

#define ROUND_NS       UINT64_C(16000000) /* three rounds in 50 ms */
#define RIVAL_SLEEP_NS 50000
#define VICTIM_STACK   65536

enum {
	FLAG_NONE,
	FLAG_RIVAL,
	FLAG_END
};
enum {
	SAW_ABORT = 1,
	SAW_RIVAL,
	SAW_END,
	SAW_NOTHING
};

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

__attribute__((constructor)) static void find_area(void)
{
	if (tpi_rseq_offset)
		return;
	if (&__rseq_offset && &__rseq_size && __rseq_size)
		tpi_rseq_offset = __rseq_offset;
	else
		tpi_rseq_offset = (char *)&unregistered -
				  (char *)__builtin_thread_pointer();
}

struct round {
	uint32_t flag;    /* relaxed everywhere: it carries no data */
	uint32_t started; /* the victim is inside */
	uint32_t result;  /* SAW_*, set by the victim */
	uint32_t users; /* threads that still look at it; the last one frees */
};

_Static_assert(offsetof(struct round, flag) == 0, "section: flag");
_Static_assert(offsetof(struct round, started) == 4, "section: started");

#if defined(__x86_64__)
/*
 * Spins inside a section until the flag is not 0. `started` is stored inside: an
 * earlier one would let the rival strike before there is anything to abort. In
 * this file and not beside the lane's sections because nothing else calls it;
 * static, so never merged.
 */
__attribute__((noinline)) static uint32_t spin_in_section(struct round *r)
{
	__asm__ __volatile__ goto(
		".pushsection __rseq_cs, \"aw\"\n\t"
		".balign 32\n"
		"3:\n\t"
		".long 0, 0\n\t"
		".quad 1f, 2f - 1f, 4f\n\t"
		".popsection\n\t"
		"leaq 3b(%%rip), %%rax\n\t"
		"movq %%rax, 8(%[rs])\n"
		"1:\n\t"
		"movl $1, 4(%[round])\n"
		"6:\n\t"
		"cmpl $0, (%[round])\n\t"
		"je 6b\n"
		"2:\n\t"
		"movq $0, 8(%[rs])\n\t"
		".pushsection .text.tapio_rseq_abort, \"ax\"\n\t"
		".byte 0x0f, 0xb9, 0x3d\n\t"
		".long 0x53053053\n"
		"4:\n\t"
		"jmp %l[aborted]\n\t"
		".popsection\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [round] "r"(r)
		: "memory", "cc", "rax"
		: aborted);
	return tpi_load_relaxed(&r->flag) == FLAG_RIVAL ? SAW_RIVAL : SAW_END;
aborted:
	return SAW_ABORT;
}
#elif defined(__aarch64__)
__attribute__((noinline)) static uint32_t spin_in_section(struct round *r)
{
	__asm__ __volatile__ goto(".pushsection __rseq_cs, \"aw\"\n\t"
				  ".balign 32\n"
				  "3:\n\t"
				  ".long 0, 0\n\t"
				  ".quad 1f, 2f - 1f, 4f\n\t"
				  ".popsection\n\t"
				  "adrp x9, 3b\n\t"
				  "add x9, x9, :lo12:3b\n\t"
				  "str x9, [%[rs], #8]\n"
				  "1:\n\t"
				  "mov w9, #1\n\t"
				  "str w9, [%[round], #4]\n"
				  "6:\n\t"
				  "ldr w9, [%[round]]\n\t"
				  "cbz w9, 6b\n"
				  "2:\n\t"
				  "str xzr, [%[rs], #8]\n\t"
				  "b 5f\n\t"
				  ".inst 0xd428bc00\n"
				  "4:\n\t"
				  "b %l[aborted]\n"
				  "5:\n\t"
				  : /* none */
				  : [rs] "r"(tpi_rseq_area()), [round] "r"(r)
				  : "memory", "cc", "x9"
				  : aborted);
	return tpi_load_relaxed(&r->flag) == FLAG_RIVAL ? SAW_RIVAL : SAW_END;
aborted:
	return SAW_ABORT;
}
#endif

static void leave(struct round *r)
{
	/* ORDER rseq.round (release): our looks at it before we leave it. Pairs
	 * with the same step of whoever comes last, who frees it. */
	if (tpi_add_acq_rel(&r->users, (uint32_t)-1) != 1)
		return;
	/* ORDER rseq.round (acquire): the others' looks before. Pairs with
	 * their step above. */
	free(r);
}

static void *victim_main(void *arg)
{
	struct sched_param idle = {0};
	struct round *r = arg;

	/* Best effort: a victim of normal priority may not be preempted in time,
	 * and the round is then inconclusive. */
	sched_setscheduler(0, SCHED_IDLE, &idle);
	tpi_store_relaxed(&r->result, spin_in_section(r));
	leave(r);
	return NULL;
}

static void *rival_main(void *arg)
{
	struct timespec nap = {.tv_nsec = RIVAL_SLEEP_NS};
	struct round *r = arg;

	while (!tpi_load_relaxed(&r->started) &&
	       tpi_load_relaxed(&r->flag) == FLAG_NONE)
		nanosleep(&nap, NULL);
	nanosleep(&nap, NULL);
	tpi_store_relaxed(&r->flag, FLAG_RIVAL);
	leave(r);
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int start_on(pthread_t *thread, int cpu, void *(*run)(void *),
		    struct round *r)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VICTIM_STACK);
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!err)
		err = pthread_create(thread, &attr, run, r);
	pthread_attr_destroy(&attr);
	return err;
}

/* Another CPU that this process may use, or -1. */
static int other_cpu(const cpu_set_t *allowed, int cpu)
{
	int i;

	for (i = 0; i < CPU_SETSIZE; i++)
		if (i != cpu && CPU_ISSET(i, allowed))
			return i;
	return -1;
}

/* Waits for the victim's verdict, moving it to `target` if that is not -1. */
static void watch(struct round *r, pthread_t victim, int target)
{
	struct timespec nap = {.tv_nsec = 20000};
	uint64_t end = now_ns() + ROUND_NS;
	cpu_set_t set;

	while (!tpi_load_relaxed(&r->result) && now_ns() < end) {
		nanosleep(&nap, NULL);
		if (target >= 0 && tpi_load_relaxed(&r->started)) {
			CPU_ZERO(&set);
			CPU_SET(target, &set);
			pthread_setaffinity_np(victim, sizeof(set), &set);
			/* It has moved when this returns. */
			tpi_store_relaxed(&r->flag, FLAG_RIVAL);
			target = -1;
		}
	}
	if (tpi_load_relaxed(&r->flag) == FLAG_NONE)
		tpi_store_relaxed(&r->flag, FLAG_END);
}

/*
 * One round. The threads are not waited for: on a busy machine a SCHED_IDLE
 * thread may not run for long, and may not leave that class without a right.
 */
static uint32_t play(int cpu, int target)
{
	struct round *r = calloc(1, sizeof(*r));
	uint32_t result = SAW_NOTHING;
	pthread_t victim, rival;

	if (!r)
		return SAW_NOTHING;
	r->users = 3;
	if (start_on(&victim, cpu, victim_main, r)) {
		free(r);
		return SAW_NOTHING;
	}
	if (target >= 0 || start_on(&rival, cpu, rival_main, r))
		leave(r); /* in the place of a rival */
	else
		pthread_detach(rival);
	watch(r, victim, target);
	result = tpi_load_relaxed(&r->result);
	pthread_detach(victim);
	leave(r);
	return result ? result : SAW_NOTHING;
}

static uint32_t judge(const char **reason)
{
	uint32_t saw[3] = {SAW_NOTHING, SAW_NOTHING, SAW_NOTHING};
	cpu_set_t allowed;
	int i, cpu, target;

	if (tpi_rseq_area()->cpu_id >= UINT32_C(1) << 31) {
		*reason = "not registered by libc or refused by the kernel";
		return TAPIO_RSEQ_ABSENT;
	}
	if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
		*reason = "the CPUs of this process cannot be read";
		return TAPIO_RSEQ_INCONCLUSIVE;
	}
	cpu = sched_getcpu();
	target = other_cpu(&allowed, cpu);
	saw[0] = play(cpu, -1);
	saw[1] = play(cpu, -1);
	if (target >= 0)
		saw[2] = play(cpu, target);
	for (i = 0; i < 3; i++)
		if (saw[i] == SAW_RIVAL) {
			*reason = "a section went on across a preemption";
			return TAPIO_RSEQ_BROKEN;
		}
	for (i = 0; i < 3; i++)
		if (saw[i] == SAW_ABORT) {
			*reason = "aborts on preemption and migration seen";
			return TAPIO_RSEQ_PROVEN;
		}
	*reason = "no abort within 50 ms";
	return TAPIO_RSEQ_INCONCLUSIVE;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t verdict;
static const char *verdict_reason;

static void judge_once(void)
{
	sigset_t all, before;

	find_area();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	verdict = judge(&verdict_reason);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint32_t tpi_rseq_selftest(const char **reason)
{
	pthread_once(&once, judge_once);
	if (reason)
		*reason = verdict_reason;
	return verdict;
}
