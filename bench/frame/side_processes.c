/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that measure: forked, pinned, watched, and ended together.
 *
 *  - A side dies with the frame: PR_SET_PDEATHSIG, and a look whether it was
 *    already too late for that.
 *  - The first side that fails ends all others: they would wait for it for ever.
 *    Its reason is the one that is passed on.
 *  - The frame sleeps on their pidfds meanwhile, so that it takes no time from
 *    them, and wakes for a signal or when they take too long.
 *  - Only these children are waited for: peers may have daemons of their own.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/frame/frame.h"
#include "lib/base/atomic.h"
#include "tools/common/tool.h"

/* No measurement takes this long. One that does hangs. */
#define LIMIT_NS INT64_C(60000000000)
/* Of bench_ready: then the awaited side may be one that shares the CPU. */
#define SPINS_BEFORE_YIELD 2000

struct measurement {
	struct bench_shared shared; /* first: the sides see it */
	int result[BENCH_SIDES_MAX];
};

struct watch {
	struct measurement *m;
	int epoll;
	int limit; /* sides that were started */
	unsigned int running;
	pid_t pid[BENCH_SIDES_MAX];
	int pidfd[BENCH_SIDES_MAX];
	int err; /* of the first that failed */
	char why[BENCH_WHY_BYTES];
};

static void fail(struct watch *w, int err, const char *why)
{
	if (w->err)
		return;
	w->err = err;
	snprintf(w->why, sizeof(w->why), "%s", why);
}

static int run_side(const struct bench_side *side, struct bench_shared *shared,
		    unsigned int index)
{
	int err = side->cpu < 0 ? 0 : bench_pin(side->cpu);

	if (err)
		return err;
	bench_memory_touch();
	return side->run(side->arg, shared, index);
}

static _Noreturn void be_side(struct measurement *m,
			      const struct bench_side *side, unsigned int index,
			      pid_t frame)
{
	static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

	for (unsigned int i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		signal(ours[i], SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != frame)
		_exit(1);
	bench_why_into(m->shared.side[index].why,
		       sizeof(m->shared.side[index].why));
	m->result[index] = run_side(side, &m->shared, index);
	/* Not exit(): only the frame may take down what it set up. */
	_exit(m->result[index] ? 1 : 0);
}

static int start_side(struct watch *w, const struct bench_side *side,
		      unsigned int index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
	pid_t frame = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		be_side(w->m, side, index, frame);
	if (pid < 0)
		return -errno;
	w->pid[index] = pid;
	w->running++;
	w->pidfd[index] = (int)syscall(SYS_pidfd_open, pid, 0);
	if (w->pidfd[index] < 0 ||
	    epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->pidfd[index], &event))
		return -errno;
	return 0;
}

static void kill_all(struct watch *w)
{
	for (int i = 0; i < w->limit; i++)
		if (w->pid[i] > 0)
			kill(w->pid[i], SIGKILL);
}

/* A side has ended: how? */
static void judge(struct watch *w, int index, int status)
{
	const char *why = w->m->shared.side[index].why;
	char text[BENCH_WHY_BYTES];
	int result = w->m->result[index];

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return;
	if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "process %d died of %s%s%s",
			 index + 1, strsignal(WTERMSIG(status)),
			 *why ? ": " : "", why);
		result = -ECHILD;
	} else {
		snprintf(text, sizeof(text), "%s", why);
		if (!*why)
			snprintf(text, sizeof(text), "process %d returned %d",
				 index + 1, result);
	}
	fail(w, result ? result : -ECHILD, text);
}

static void reap(struct watch *w, int index, int flags)
{
	int status = 0;

	if (w->pid[index] <= 0 ||
	    waitpid(w->pid[index], &status, flags) != w->pid[index])
		return;
	w->pid[index] = 0;
	w->running--;
	if (w->pidfd[index] >= 0)
		close(w->pidfd[index]); /* which takes it from the epoll, too */
	judge(w, index, status);
}

static void watch_sides(struct watch *w)
{
	const int64_t deadline_ns = tpi_monotonic_ns() + LIMIT_NS;
	struct epoll_event event;

	while (w->running && !w->err) {
		int ready = tpi_wait_until(w->epoll, deadline_ns);

		if (ready == -EINTR)
			fail(w, -EINTR, "stopped");
		else if (!ready)
			fail(w, -ETIMEDOUT, "not done after a minute");
		else if (epoll_wait(w->epoll, &event, 1, 0) == 1)
			reap(w, (int)event.data.u32, WNOHANG);
	}
	kill_all(w);
	for (int i = 0; i < w->limit; i++)
		reap(w, i, 0);
}

static int run_all(struct watch *w, const struct bench_side *sides,
		   unsigned int count)
{
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0) {
		bench_why("epoll: %s", strerror(errno));
		return -errno;
	}
	for (unsigned int i = 0; i < count && !w->err; i++) {
		int err = start_side(w, &sides[i], i);

		w->limit++;
		if (err)
			fail(w, err, strerror(-err));
	}
	watch_sides(w);
	close(w->epoll);
	if (w->err)
		bench_why("%s", w->why);
	return w->err;
}

int bench_sides_run(const struct bench_side *sides, unsigned int count,
		    struct bench_shared *shared)
{
	struct watch w = {0};
	int err;

	if (!count || count > BENCH_SIDES_MAX) {
		bench_why("%u processes where 1 to %d can be", count,
			  BENCH_SIDES_MAX);
		return -EINVAL;
	}
	w.m = mmap(NULL, sizeof(*w.m), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w.m == MAP_FAILED) {
		bench_why("no memory: %s", strerror(errno));
		return -ENOMEM;
	}
	w.m->shared.sides = count;
	err = run_all(&w, sides, count);
	if (shared)
		*shared = w.m->shared;
	munmap(w.m, sizeof(*w.m));
	return err;
}

void bench_ready(struct bench_shared *shared)
{
	uint32_t calls, wanted;

	/*
	 * ORDER bench.frame.ready (acq_rel): all that a side did before it came
	 * here. Pairs with the acquire below, on the other sides.
	 */
	calls = tpi_add_acq_rel(&shared->ready, 1);
	wanted = (calls / shared->sides + 1) * shared->sides;
	/* ORDER bench.frame.ready (acquire): pairs with the add of all others. */
	for (unsigned int spins = 0;
	     (int32_t)(tpi_load_acquire(&shared->ready) - wanted) < 0;
	     spins++) {
		tpi_cpu_relax();
		if (spins >= SPINS_BEFORE_YIELD)
			sched_yield();
	}
}

double bench_span_ns(const struct bench_shared *shared)
{
	uint64_t start_ns = UINT64_MAX, end_ns = 0;

	for (uint32_t i = 0; i < shared->sides && i < BENCH_SIDES_MAX; i++) {
		const struct bench_side_result *r = &shared->side[i];

		if (r->start_ns && r->start_ns < start_ns)
			start_ns = r->start_ns;
		if (r->end_ns > end_ns)
			end_ns = r->end_ns;
	}
	return end_ns > start_ns ? (double)(end_ns - start_ns) : 0;
}
