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
 * twice, and once more with the victim moved to another CPU and back instead. The
 * rounds are played at the same time, since most of each is waiting: a victim that
 * was preempted inside is owed an abort whoever preempted it. After 50 ms the caller
 * ends what is not over by flag = FLAG_END: inconclusive, and if that is so in every
 * round, the broker's verdict for this boot counts.
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
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <time.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "lib/base/rseq.h"

#define ROUNDS         3
#define ROUNDS_NS      UINT64_C(50000000)
#define RIVAL_SLEEP_NS 50000
#define WATCH_SLEEP_NS 20000
#define TIMER_SLACK_NS 1 /* or each of these takes 50 us more */
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

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
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

/*
 * One round as its caller sees it. `target` is where the victim is moved to, or
 * -1 where a rival preempts it.
 */
struct trial {
	struct round *round; /* NULL: it could not be begun */
	pthread_t victim;
	int home;
	int target;
	bool moved;
};

static void begin(struct trial *t, int cpu, int target)
{
	struct round *r = calloc(1, sizeof(*r));
	pthread_t rival;

	*t = (struct trial){.home = cpu, .target = target};
	if (!r)
		return;
	r->users = 3;
	if (start_on(&t->victim, cpu, victim_main, r)) {
		free(r);
		return;
	}
	t->round = r;
	if (target >= 0 || start_on(&rival, cpu, rival_main, r))
		leave(r); /* in the place of a rival */
	else
		pthread_detach(rival);
}

static int pin_victim(const struct trial *t, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return pthread_setaffinity_np(t->victim, sizeof(set), &set);
}

/*
 * There, and back again: a SCHED_IDLE thread might wait for long on a CPU that
 * somebody else is using, while ours is free when we sleep.
 */
static void move_victim(struct trial *t)
{
	t->moved = true;
	/* It has moved when this returns; or, refused, shows nothing. */
	if (pin_victim(t, t->target)) {
		tpi_store_relaxed(&t->round->flag, FLAG_END);
		return;
	}
	tpi_store_relaxed(&t->round->flag, FLAG_RIVAL);
	pin_victim(t, t->home);
}

static bool is_over(struct trial *t)
{
	struct round *r = t->round;

	if (!r || tpi_load_relaxed(&r->result))
		return true;
	if (t->target >= 0 && !t->moved && tpi_load_relaxed(&r->started))
		move_victim(t);
	return false;
}

static bool are_over(struct trial *trials)
{
	bool first = is_over(&trials[0]), second = is_over(&trials[1]);
	bool moved = is_over(&trials[2]);

	return first && second && moved;
}

/* Until there are verdicts, or the time is over. */
static void watch(struct trial *trials)
{
	struct timespec nap = {.tv_nsec = WATCH_SLEEP_NS};
	uint64_t end = now_ns() + ROUNDS_NS;
	int slack = prctl(PR_GET_TIMERSLACK);

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	do {
		nanosleep(&nap, NULL);
	} while (!are_over(trials) && now_ns() < end);
	if (slack > 0)
		prctl(PR_SET_TIMERSLACK, slack);
}

/*
 * The threads are not waited for: on a busy machine a SCHED_IDLE thread may not run
 * for long, and may not leave that class without a right.
 */
static uint32_t finish(struct trial *t)
{
	struct round *r = t->round;
	uint32_t result;

	if (!r)
		return SAW_NOTHING;
	if (tpi_load_relaxed(&r->flag) == FLAG_NONE)
		tpi_store_relaxed(&r->flag, FLAG_END);
	result = tpi_load_relaxed(&r->result);
	pthread_detach(t->victim);
	leave(r);
	return result ? result : SAW_NOTHING;
}

static void play(uint32_t *saw, int cpu, int target)
{
	struct trial trials[ROUNDS] = {{.round = NULL}};
	int i;

	begin(&trials[0], cpu, -1);
	begin(&trials[1], cpu, -1);
	if (target >= 0)
		begin(&trials[2], cpu, target);
	watch(trials);
	for (i = 0; i < ROUNDS; i++)
		saw[i] = finish(&trials[i]);
}

static uint32_t judge(const char **reason)
{
	uint32_t saw[ROUNDS];
	cpu_set_t allowed;
	int i, cpu;

	if (tpi_rseq_area()->cpu_id >= UINT32_C(1) << 31) {
		*reason = "not registered by libc or refused by the kernel";
		return TAPIO_RSEQ_ABSENT;
	}
	if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
		*reason = "the CPUs of this process cannot be read";
		return TAPIO_RSEQ_INCONCLUSIVE;
	}
	cpu = sched_getcpu();
	play(saw, cpu, other_cpu(&allowed, cpu));
	for (i = 0; i < ROUNDS; i++)
		if (saw[i] == SAW_RIVAL) {
			*reason = "a section went on across a preemption";
			return TAPIO_RSEQ_BROKEN;
		}
	for (i = 0; i < ROUNDS; i++)
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
