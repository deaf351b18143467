/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-test of rseq: does this kernel abort a section whose thread leaves its
 * CPU? Called once per process as a rule, by the first open (rseq.c).
 *
 *	victim, a thread of normal priority    caller
 *	  V1 section: cpu = its CPU              C1 waits until entered = stay
 *	     entered = stay                      C2 makes the kernel owe an abort
 *	     loops until flag >= stay            C3 flag = stay
 *	  V2 abort handler       -> proof        C4 waits for V2 or V3
 *	  V3 came out of the loop: next stay     (V3 -> the kernel owes and does
 *	                                          not pay)
 *
 * C2 is one of these. None depends on when anybody runs, or on an idle CPU:
 *
 *	displace   sched_setaffinity() takes the victim's CPU away from it. When the
 *	           call returns, the victim has left that CPU: it was preempted, and
 *	           migrated.
 *	visit      The caller may use one CPU only, and so may the victim. That the
 *	           caller runs at all, after C1, means that the victim does not: it was
 *	           preempted.
 *	barrier    membarrier(PRIVATE_EXPEDITED_RSEQ) aborts the sections of all running
 *	           threads of the process. A thread that does not run was preempted.
 *
 * Two orders of roles:
 *
 *	own        A program without threads is the victim itself, and the new thread is the
 *	           "caller" above: it makes a barrier, for which a process without threads
 *	           registers at once. The program never sleeps, and needs no CPU twice. It
 *	           waits for the first run of a thread, no more.
 *	other      In all other cases the new thread is the victim.
 *
 * The new thread begins on another CPU than the caller's. Else it begins behind a caller that
 * spins, or the caller sleeps behind a victim that spins, for a whole tick of the kernel
 * (4 ms), since neither may preempt the other before.
 *
 *  P1	The victim is in the section from its store of `entered` until V2 or V3. C1
 *	has seen that store. So the victim was in the section during C2, or it is at V2
 *	already: an abort for any reason is a proof.
 *  P2	V3 needs flag >= stay, which C3 stores after C2. So a victim that comes to V3
 *	was in the section before, during and after C2, and was not aborted.
 *  P3	V3 after a barrier is the verdict BROKEN. V3 after displace or visit is not yet:
 *	another program may set the affinities of all threads of this process in the
 *	same instant (taskset -ap), and undo C2 before it has an effect. It takes three
 *	of them in a row, without a membarrier that could settle it.
 *  P4	C1 and C4 have no time limit. A thread of normal priority gets to run sooner or
 *	later, on any machine and under any quota, and then the test has a verdict. So
 *	no load makes it INCONCLUSIVE. Where real-time threads use up all CPUs, an open
 *	waits for them.
 *
 * Where the new thread is the victim, displace comes first and then the barrier, because of
 * what they cost. A process that has threads waits 5 to 20 ms (an RCU grace period) when
 * it registers for this barrier. Affinity costs some microseconds, and the kernel does to
 * the victim exactly what lanes rely on.
 *
 * The affinity of the caller is the program's, so a caller is never displaced. A victim
 * must be preemptible: a new thread leaves SCHED_FIFO and SCHED_RR, where two threads of one
 * priority do not preempt each other, and a caller that sleeps there would not get its
 * only CPU back. A caller of such a class is never the victim: it would keep the other
 * thread from its CPU.
 *
 * SIGKILL: nothing is left. SIGSTOP stops both, and afterwards the abort is
 * owed all the same. Signal handlers: blocked in both threads. fork in another
 * thread: the child has neither of them, and a verdict only if there was one.
 * exec: the process is another. dlclose: the victim is joined before the open
 * returns.
 */
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/clock.h"
#include "lib/base/sys.h"
#include "lib/base/thread.h"
#include "lib/base/rseq.h"
#include "lib/base/rseq_proof.h"

/* From linux/membarrier.h, spelt here because old headers lack them. */
#define BARRIER_RSEQ          128
#define BARRIER_REGISTER_RSEQ 256

#define STAYS_MAX      3 /* P3 */
#define FLAG_END       UINT32_MAX
#define NAP_FIRST_NS   10000
#define NAP_LAST_NS    1000000
#define TIMER_SLACK_NS 1 /* else each nap takes 50 us more */
/* A wait that is shorter than this is spun: whoever sleeps on a busy CPU comes back late. */
#define SPIN_NS  100000
#define SLICE_NS 100000 /* the shortest that there is */

/*
 * On the caller's stack. `entered` and `end` are the victim's. Relaxed everywhere: each word says all by itself, and what
 * orders the steps are the system calls of C2.
 */
struct trial {
	uint32_t flag;
	uint32_t end; /* TPI_PROOF_* as the victim knows it; 0: it goes on */
	uint64_t entered; /* stay:32 | cpu:32, of the stay begun last */
	pid_t tid;        /* the victim's; 0: it has not begun */
	pthread_t thread;
	struct tpi_cpu_set allowed; /* to both threads */
	bool alone;                 /* that is one CPU */
	bool by_barrier;            /* how C2 was done in this stay */
	uint32_t barred;            /* own: 1: the barrier was made */
};

_Static_assert(offsetof(struct trial, flag) == 0, "section: flag");
_Static_assert(offsetof(struct trial, entered) == 8, "section: entered");

/*
 * V1. True: it came out of the loop (V3). False: it was aborted (V2). `entered`
 * is stored inside, because before there is nothing to abort. In this file and
 * not beside the lane's sections, because this file alone calls it. Not
 * inlined, so that its descriptor exists once.
 */
#if defined(__x86_64__)
__attribute__((noinline)) static bool stay_inside(struct trial *t,
						  uint32_t stay)
{
	__asm__ __volatile__ goto(
		".pushsection __rseq_cs, \"aw\"\n\t"
		".balign 32\n\t"
		"3:\n\t"
		".long 0, 0\n\t"
		".quad 1f, 2f - 1f, 4f\n\t"
		".popsection\n\t"
		"leaq 3b(%%rip), %%rax\n\t"
		"movq %%rax, 8(%[rs])\n"
		"1:\n\t"
		"movl 4(%[rs]), %%eax\n\t"
		"orq %[high], %%rax\n\t"
		"movq %%rax, 8(%[trial])\n"
		"6:\n\t"
		"pause\n\t"
		"cmpl %[stay], (%[trial])\n\t"
		"jb 6b\n"
		"2:\n\t"
		"movq $0, 8(%[rs])\n\t"
		".pushsection .text.tapio_rseq_abort, \"ax\"\n\t"
		".byte 0x0f, 0xb9, 0x3d\n\t"
		".long 0x53053053\n"
		"4:\n\t"
		"jmp %l[aborted]\n\t"
		".popsection\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [trial] "r"(t), [stay] "r"(stay),
		  [high] "r"((uint64_t)stay << 32)
		: "memory", "cc", "rax"
		: aborted);
	return true;
aborted:
	return false;
}
#elif defined(__aarch64__)
__attribute__((noinline)) static bool stay_inside(struct trial *t,
						  uint32_t stay)
{
	__asm__ __volatile__ goto(
		".pushsection __rseq_cs, \"aw\"\n\t"
		".balign 32\n\t"
		"3:\n\t"
		".long 0, 0\n\t"
		".quad 1f, 2f - 1f, 4f\n\t"
		".popsection\n\t"
		"adrp x9, 3b\n\t"
		"add x9, x9, :lo12:3b\n\t"
		"str x9, [%[rs], #8]\n"
		"1:\n\t"
		"ldr w9, [%[rs], #4]\n\t"
		"orr x9, x9, %[high]\n\t"
		"str x9, [%[trial], #8]\n"
		"6:\n\t"
		"ldr w9, [%[trial]]\n\t"
		"cmp w9, %w[stay]\n\t"
		"b.lo 6b\n"
		"2:\n\t"
		"str xzr, [%[rs], #8]\n\t"
		"b 5f\n\t"
		".inst 0xd428bc00\n"
		"4:\n\t"
		"b %l[aborted]\n"
		"5:\n\t"
		: /* none */
		: [rs] "r"(tpi_rseq_area()), [trial] "r"(t), [stay] "r"(stay),
		  [high] "r"((uint64_t)stay << 32)
		: "memory", "cc", "x9"
		: aborted);
	return true;
aborted:
	return false;
}
#endif

/* ---- the victim ----------------------------------------------------------- */

static bool is_preemptible(void)
{
	static const struct sched_param none;
	int policy = sched_getscheduler(0);

	return policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE ||
	       !sched_setscheduler(0, SCHED_OTHER, &none);
}

/* V1 to V3. */
static uint32_t be_victim(struct trial *t)
{
	uint32_t stay;

	/* Relaxed: its own area, written only by the kernel. */
	if (tpi_load_relaxed(&tpi_rseq_area()->cpu_id) >= UINT32_C(1) << 31)
		return TPI_PROOF_ABSENT;
	if (!is_preemptible())
		return TPI_PROOF_REALTIME;
	for (stay = 1; tpi_load_relaxed(&t->flag) != FLAG_END; stay++)
		if (!stay_inside(t, stay))
			return TPI_PROOF_ABORTED;
	return TPI_PROOF_NO_MEANS;
}

static void *victim_main(void *arg)
{
	struct trial *t = arg;

	tpi_store_relaxed(&t->tid, gettid());
	tpi_store_relaxed(&t->end, be_victim(t));
	/* It does not exit, and its id is its own, as long as the caller uses it. */
	while (tpi_load_relaxed(&t->flag) != FLAG_END)
		sched_yield();
	return NULL;
}

/* ---- the caller ----------------------------------------------------------- */

static void nap(long *ns)
{
	struct timespec t = {.tv_nsec = *ns};

	nanosleep(&t, NULL);
	if (*ns < NAP_LAST_NS)
		*ns *= 2;
}

/* C1 and C4. True: the victim is inside for the stay-th time. False: it is at
 *    its end. */
static bool is_inside(struct trial *t, uint32_t stay, int64_t spin_ns)
{
	int64_t spin_until = tpi_now_ns() + spin_ns;
	long nap_ns = NAP_FIRST_NS;

	for (;;) {
		if (tpi_load_relaxed(&t->end))
			return false;
		if (tpi_load_relaxed(&t->tid) &&
		    tpi_load_relaxed(&t->entered) >> 32 >= stay)
			return true;
		if (tpi_now_ns() > spin_until)
			nap(&nap_ns);
	}
}

static bool displace(const struct trial *t)
{
	struct tpi_cpu_set others = t->allowed;
	uint32_t cpu = (uint32_t)tpi_load_relaxed(&t->entered);

	if (t->alone)
		return true; /* a visit */
	if (cpu >= TPI_CPU_SET_CPUS)
		return false;
	others.bits[cpu / 64] &= ~(UINT64_C(1) << cpu % 64);
	return !tpi_sys_set_affinity(tpi_load_relaxed(&t->tid), &others);
}

static bool barrier(void)
{
	return tpi_sys_membarrier(BARRIER_REGISTER_RSEQ) >= 0 &&
	       tpi_sys_membarrier(BARRIER_RSEQ) >= 0;
}

/* C2. The second stay is for the barrier, which settles it. False: nothing
 * helped. */
static bool owe_abort(struct trial *t, uint32_t stay)
{
	if (stay != 2 && displace(t))
		return true;
	t->by_barrier = barrier();
	return t->by_barrier || (stay == 2 && displace(t));
}

static uint32_t play(struct trial *t)
{
	uint32_t stay;

	for (stay = 1; is_inside(t, stay, SPIN_NS); stay++) {
		if (t->by_barrier || stay > STAYS_MAX)
			return TPI_PROOF_OUTRAN;
		if (!owe_abort(t, stay)) {
			uint32_t end = tpi_load_relaxed(&t->end);

			return end ? end : TPI_PROOF_NO_MEANS;
		}
		tpi_store_relaxed(&t->flag, stay);
	}
	return tpi_load_relaxed(&t->end);
}

static void learn_cpus(struct trial *t)
{
	uint32_t i, count = 0;

	/* Unknown: none to displace the victim to, and the barrier must do. */
	if (tpi_sys_get_affinity(&t->allowed))
		return;
	for (i = 0; i < TPI_CPU_SET_CPUS / 64; i++)
		count += (uint32_t)__builtin_popcountll(t->allowed.bits[i]);
	t->alone = count == 1;
}

/* ---- the thread ----------------------------------------------------------- */

/* Not on this CPU. Where it is refused, the test takes longer. */
static void put_elsewhere(const struct trial *t)
{
	struct tpi_cpu_set others = t->allowed;
	int cpu = sched_getcpu();

	if (t->alone || cpu < 0 || cpu >= TPI_CPU_SET_CPUS)
		return;
	others.bits[cpu / 64] &= ~(UINT64_C(1) << cpu % 64);
	pthread_setaffinity_np(t->thread, sizeof(others),
			       (const cpu_set_t *)(const void *)&others);
}

/* Its last word comes some microseconds before its end. */
static void join(const struct trial *t)
{
	int64_t spin_until = tpi_now_ns() + SPIN_NS;

	while (tpi_now_ns() < spin_until)
		if (!pthread_tryjoin_np(t->thread, NULL))
			return;
	pthread_join(t->thread, NULL);
}

/* ---- own: the caller is the victim ---------------------------------------- */

/* Absent in older libcs. */
extern char __libc_single_threaded __attribute__((weak));

static bool may_be_victim(const struct trial *t)
{
	int policy = sched_getscheduler(0);

	return &__libc_single_threaded && __libc_single_threaded && !t->alone &&
	       (policy == SCHED_OTHER || policy == SCHED_BATCH) &&
	       tpi_sys_membarrier(BARRIER_REGISTER_RSEQ) >= 0;
}

/*
 * A thread with a short slice begins at once on a CPU that is busy. It has it from its maker,
 * which gets its own back. Where that is refused, the test may take a tick longer.
 */
static int start_soon(struct trial *t, void *(*run)(void *))
{
	struct tpi_sched own, soon;
	bool changed = false;
	int err;

	if (!tpi_sys_get_sched(&own) && own.slice_ns > SLICE_NS) {
		soon = own;
		soon.slice_ns = SLICE_NS;
		changed = !tpi_sys_set_sched(&soon);
	}
	err = tpi_thread_start(&t->thread, run, t);
	if (changed)
		(void)tpi_sys_set_sched(&own);
	if (!err)
		put_elsewhere(t);
	return err;
}

/* C1 to C3. */
static void *barrier_main(void *arg)
{
	struct trial *t = arg;

	tpi_store_relaxed(&t->tid, gettid());
	if (is_inside(t, 1, 0))
		tpi_store_relaxed(&t->barred,
				  tpi_sys_membarrier(BARRIER_RSEQ) >= 0);
	tpi_store_relaxed(&t->flag, 1);
	return NULL;
}

/* TPI_PROOF_NONE: it has not settled anything. */
static uint32_t prove_on_caller(struct trial *t)
{
	uint32_t proof = TPI_PROOF_ABORTED;

	if (tpi_load_relaxed(&tpi_rseq_area()->cpu_id) >= UINT32_C(1) << 31)
		return TPI_PROOF_ABSENT;
	if (start_soon(t, barrier_main))
		return TPI_PROOF_NO_THREAD;
	if (stay_inside(t, 1))
		proof = TPI_PROOF_NONE;
	tpi_store_relaxed(&t->end, TPI_PROOF_ABORTED);
	join(t);
	/* P3. */
	if (proof == TPI_PROOF_NONE && t->barred)
		proof = TPI_PROOF_OUTRAN;
	return proof;
}

/* ---- other ---------------------------------------------------------------- */

static uint32_t prove_on_thread(struct trial *t)
{
	int slack = prctl(PR_GET_TIMERSLACK);
	uint32_t proof;

	if (tpi_thread_start(&t->thread, victim_main, t))
		return TPI_PROOF_NO_THREAD;
	put_elsewhere(t);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	proof = play(t);
	tpi_store_relaxed(&t->flag, FLAG_END);
	join(t);
	if (slack > 0)
		prctl(PR_SET_TIMERSLACK, slack);
	return proof;
}

uint32_t tpi_rseq_prove(void)
{
	struct trial t;
	uint32_t proof;

	memset(&t, 0, sizeof(t));
	learn_cpus(&t);
	if (may_be_victim(&t)) {
		proof = prove_on_caller(&t);
		if (proof != TPI_PROOF_NONE)
			return proof;
		t.flag = t.end = t.barred = 0;
		t.entered = 0;
		t.tid = 0;
	}
	return prove_on_thread(&t);
}
