/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of looks for a system. A producer and a consumer pass events on,
 * while tapio-shmstat, a process of its own as operators run it, takes ten looks a second at
 * all of the memory, or none. It maps that memory once, reads it, and does nothing else to
 * the system. Its reading takes cache lines away for a moment, and itself needs time on a
 * CPU, which matters where the others need them all: that is a figure, too.
 *
 * rate: at full speed. latency: events at a steady pace, each from its clock reading by the
 * producer to that by the consumer, which looks all the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/questions/goals.h"
#include "bench/questions/rig.h"
#include "lib/base/atomic.h"

#define VIEWS  64
#define PAUSES 64 /* where there is nothing to take */
#define WARM   (2 * RIG_BLOCKS_64)
#define GAP_NS 10000 /* between events, for the latency */

struct passing {
	struct rig rig;
	uint64_t events; /* those to warm up with, too */
	uint64_t warm;
	uint64_t gap_ns; /* 0: as fast as they come */
	const char *interval;
};

/* ---- producer and consumer -------------------------------------------------------- */

static int emit_at_pace(const struct passing *p,
			struct tapio_producer *producer)
{
	struct stream_event event = {0};
	uint64_t due = bench_now_ns();
	int err = 0;

	for (uint64_t i = 0; !err && i < p->events; i++) {
		while (bench_now_ns() < due)
			;
		due += p->gap_ns;
		event.word[0] = i;
		event.word[1] = bench_now_ns();
		err = tapio_output(producer, RIG_TAG, &event, 64);
		if (err)
			bench_why("tapio_output: %s", strerror(-err));
	}
	return err;
}

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct passing *p = arg;
	struct tapio_producer *producer = rig_producer(&p->rig);
	int err;

	if (!producer)
		return -1;
	bench_ready(shared);
	shared->side[index].start_ns = bench_now_ns();
	err = p->gap_ns ? emit_at_pace(p, producer)
			: rig_emit(producer, RIG_PLAIN, 0, p->events);
	if (!err)
		err = rig_on_cpu_lanes(producer);
	tapio_producer_close(producer);
	return err;
}

struct taken {
	uint64_t events;
	double *ns; /* of each. NULL: at full speed */
};

static int take(const struct passing *p, struct tapio_consumer *consumer,
		struct taken *t)
{
	struct tapio_view views[VIEWS];
	int n = tapio_poll(consumer, views, VIEWS, 0);

	for (int i = 0; i < n; i++, t->events++) {
		const uint64_t *word = views[i].data;

		if (word[0] != t->events) {
			bench_why("event %llu came, %llu was due",
				  (unsigned long long)word[0],
				  (unsigned long long)t->events);
			return -1;
		}
		if (t->ns && t->events >= p->warm)
			t->ns[t->events - p->warm] =
				(double)(bench_now_ns() - word[1]);
	}
	/* One that looks all the time takes the line away from the producer. */
	for (int i = 0; n == 0 && !p->gap_ns && i < PAUSES; i++)
		tpi_cpu_relax();
	if (n < 0)
		bench_why("tapio_poll: %s", strerror(-n));
	return n < 0 ? n : tapio_release(consumer);
}

static int consume(void *arg, struct bench_shared *shared, unsigned int index)
{
	static const double quantiles[] = {0.5, 0.99, 0.999};
	const struct passing *p = arg;
	struct tapio_consumer *consumer = rig_consumer(&p->rig, NULL);
	struct bench_side_result *mine = &shared->side[index];
	size_t count = p->events - p->warm;
	struct taken t = {0};
	int err = consumer ? 0 : -1;

	if (p->gap_ns) {
		t.ns = calloc(count, sizeof(*t.ns));
		if (!t.ns)
			return -1;
		memset(t.ns, 0xff, count * sizeof(*t.ns)); /* no faults later */
	}
	if (!err)
		bench_ready(shared);
	while (!err && t.events < p->events)
		err = take(p, consumer, &t);
	mine->end_ns = bench_now_ns();
	/* ORDER bench.passed (release): all was taken. Pairs with the acquire in
	 * look_on(). */
	tpi_store_release(&shared->stop, 1);
	for (int i = 0; !err && t.ns && i < 3; i++)
		mine->value[i] = bench_quantile(t.ns, count, quantiles[i]);
	if (consumer)
		tapio_consumer_close(consumer);
	free(t.ns);
	return err;
}

/* ---- the looks -------------------------------------------------------------------- */

/* It is built and installed beside this program. */
static int tool_path(char *path, size_t bytes)
{
	char self[PATH_MAX], *end;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = 0;
	end = strrchr(self, '/');
	if (end)
		*end = 0;
	n = snprintf(path, bytes, "%s/tapio-shmstat", self);
	if (n < 0 || (size_t)n >= bytes)
		return -ENAMETOOLONG;
	return access(path, X_OK) ? -errno : 0;
}

static pid_t start_tool(const struct passing *p, const char *path)
{
	pid_t pid = fork();
	int null;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDOUT_FILENO);
	execl(path, path, "--socket", p->rig.socket, "--json", "--interval",
	      p->interval, "all", (char *)NULL);
	_exit(127);
}

static int look_on(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	const struct passing *p = arg;
	struct rusage used;
	char path[PATH_MAX];
	int status = 0;
	pid_t pid;

	if (tool_path(path, sizeof(path))) {
		bench_why("%s: it is not there", path);
		return BENCH_ABSENT;
	}
	pid = start_tool(p, path);
	bench_ready(shared);
	/* ORDER bench.passed (acquire): pairs with the release in consume(). */
	while (pid > 0 && !tpi_load_acquire(&shared->stop)) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			pid = -1;
		nanosleep(&nap, NULL);
	}
	if (pid < 0) {
		bench_why("tapio-shmstat ended with status %#x",
			  (unsigned int)status);
		return -1;
	}
	kill(pid, SIGKILL);
	if (wait4(pid, &status, 0, &used) == pid)
		shared->side[index].cpu_ns = (uint64_t)(used.ru_utime.tv_sec +
							used.ru_stime.tv_sec) *
						     1000000000 +
					     (uint64_t)(used.ru_utime.tv_usec +
							used.ru_stime.tv_usec) *
						     1000;
	return 0;
}

/* ---- one turn --------------------------------------------------------------------- */

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	bool paced = run->of->param;
	struct passing p = {
		.warm = paced ? 1000 : WARM,
		.gap_ns = paced ? GAP_NS : 0,
		.interval = subject->arg,
	};
	/* Where there is a CPU that the pair does not use, it is the tool's. */
	const struct bench_side sides[] = {
		{run->cpus[0], produce, &p},
		{run->cpus[1 % run->cpu_count], consume, &p},
		{run->cpu_count > 2 ? run->cpus[2] : -1, look_on, &p},
	};
	struct bench_shared shared;
	double span;
	int err;

	p.events = run->events + p.warm;
	err = rig_start(&p.rig, "channel " RIG_CHANNEL
				" { class main { block = 64 blocks = 16384 } "
				"stamp = none }\n");
	if (err)
		return err;
	err = bench_sides_run(sides, p.interval ? 3 : 2, &shared);
	rig_stop(&p.rig);
	span = (double)(shared.side[1].end_ns - shared.side[0].start_ns);
	if (paced)
		memcpy(figures, shared.side[1].value, 3 * sizeof(*figures));
	else
		figures[0] = (double)p.events / span * 1e9;
	figures[paced ? 3 : 1] = 100 * (double)shared.side[2].cpu_ns / span;
	return err;
}

static const struct bench_subject ten = {RIG_PEER, "10 looks a second", run,
					 "100ms"};
static const struct bench_subject none = {RIG_PEER, "no looks", run, NULL};
static const struct bench_subject *const subjects[] = {&ten, &none, NULL};

static const struct bench_case cases[] = {
	{
		.name = "stat/10/rate",
		.title = "64 bytes, a pair at full speed, looked at",
		.bytes = 64,
		.batch = 1,
		.events = 10000000,
		.quick_events = 100000,
		.figures = {{"passed", "events/s", true},
			    {"CPU of the looks", "%", false}},
		.subjects = subjects,
		.goals = {GOAL_OVER("at least 0.97 of that without looks", NULL,
				    "Tapio, no looks", 0, 0.97)},
	},
	{
		.name = "stat/10/latency",
		.title = "64 bytes, 100,000 events/s, looked at",
		.bytes = 64,
		.batch = 1,
		.param = 1,
		.events = 200000,
		.quick_events = 5000,
		.figures = {{"p50", "ns", false},
			    {"p99", "ns", false},
			    {"p99.9", "ns", false},
			    {"CPU of the looks", "%", false}},
		.subjects = subjects,
		.goals = {GOAL_OVER("p50 at most 1.05 x that without looks",
				    NULL, "Tapio, no looks", 0, 1.05)},
	},
	{.name = NULL},
};

const struct bench_question bench_question_look = {
	.number = 10,
	.text = "What does it cost a system that tapio-shmstat looks at it?",
	.cases = cases,
};
