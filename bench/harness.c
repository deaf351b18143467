/* SPDX-License-Identifier: Apache-2.0 */
/* See harness.h. */
#include "bench/harness.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/atomic.h"

/* No measurement takes this long; one that does hangs. */
#define SIDE_SECONDS 120

static void usage(const struct bench_options *o, const char *about)
{
	printf("Usage: bench-%s [options]\n\n%s\n\n"
	       "  -r, --repeats N   turns (%u)\n"
	       "  -n, --events N    events per measurement (%llu)\n"
	       "  -c, --cpus A,B    the two CPUs (the first two allowed)\n"
	       "  -j, --json        one JSON object instead of a table\n"
	       "  -h, --help        this text\n",
	       o->name, about, o->repeats, (unsigned long long)o->events);
}

static void default_cpus(struct bench_options *options)
{
	cpu_set_t set;
	int found = 0;

	options->cpu[0] = options->cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			options->cpu[found++] = cpu;
}

static void option(struct bench_options *options, int letter, const char *about)
{
	switch (letter) {
	case 'r':
		options->repeats = (unsigned int)strtoul(optarg, NULL, 10);
		break;
	case 'n':
		options->events = strtoull(optarg, NULL, 10);
		break;
	case 'c':
		if (sscanf(optarg, "%d,%d", &options->cpu[0],
			   &options->cpu[1]) != 2)
			options->cpu[1] = -1;
		break;
	case 'j':
		options->json = true;
		break;
	case 'h':
		usage(options, about);
		exit(0);
	default:
		exit(2);
	}
}

void bench_options_parse(struct bench_options *options, int argc, char **argv,
			 const char *about)
{
	static const struct option longs[] = {
		{"repeats", required_argument, NULL, 'r'},
		{"events", required_argument, NULL, 'n'},
		{"cpus", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	default_cpus(options);
	while ((letter = getopt_long(argc, argv, "r:n:c:jh", longs, NULL)) !=
	       -1)
		option(options, letter, about);
	if (options->repeats < 1 || options->repeats > BENCH_REPEATS_MAX ||
	    options->events < 1) {
		fprintf(stderr, "bench-%s: 1 to %d repeats of 1 or more\n",
			options->name, BENCH_REPEATS_MAX);
		exit(2);
	}
	if (options->cpu[1] < 0) {
		printf("bench-%s needs two CPUs\n", options->name);
		exit(77);
	}
}

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		fprintf(stderr, "cannot run on CPU %d: %s\n", cpu,
			strerror(errno));
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(const double *values, unsigned int count)
{
	double sorted[BENCH_REPEATS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 ? sorted[count / 2]
			 : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void bench_ready(struct bench_pair *pair)
{
	uint32_t calls, wanted;

	/*
	 * ORDER bench.ready (acq_rel, acquire): what a side did before it came
	 * here. Pairs with itself on the other side.
	 */
	calls = tpi_add_acq_rel(&pair->ready, 1);
	wanted = (calls / pair->sides + 1) * pair->sides;
	while (tpi_load_acquire(&pair->ready) < wanted)
		tpi_cpu_relax();
}

static pid_t start(int cpu, bench_side side, void *arg, struct bench_pair *pair)
{
	pid_t pid;

	if (!side)
		return 0;
	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	/* A side whose partner failed would wait for it without end. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(SIDE_SECONDS);
	bench_pin(cpu);
	/* Not exit(): what the parent set up is the parent's to take down. */
	_exit(side(arg, pair) ? 1 : 0);
}

static void kill_all(const pid_t pids[2])
{
	for (int i = 0; i < 2; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
}

/* Waits for all; the first failure ends the other. True if all did well. */
static bool reap(pid_t pids[2])
{
	bool good = pids[0] >= 0 && pids[1] >= 0;

	while (pids[0] > 0 || pids[1] > 0) {
		int status = 0;
		pid_t pid;

		if (!good)
			kill_all(pids);
		pid = wait(&status);
		if (pid < 0)
			return false;
		pids[pid == pids[1]] = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			good = false;
	}
	return good;
}

double bench_pair_run(const struct bench_options *options, bench_side first,
		      bench_side second, void *arg)
{
	struct bench_pair *pair;
	pid_t pids[2];
	double ns = -1;

	pair = mmap(NULL, sizeof(*pair), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pair == MAP_FAILED)
		return -1;
	pair->sides = second ? 2 : 1;
	pids[0] = start(options->cpu[0], first, arg, pair);
	pids[1] = start(options->cpu[1], second, arg, pair);
	if (reap(pids))
		ns = (double)(pair->end_ns - pair->start_ns);
	munmap(pair, sizeof(*pair));
	return ns;
}

#define PINGPONG_ROUNDS 50000

static int ping(void *arg, struct bench_pair *pair)
{
	uint32_t *ball = arg;

	bench_ready(pair);
	pair->start_ns = bench_now_ns();
	for (uint32_t i = 0; i < PINGPONG_ROUNDS; i++) {
		/* Relaxed: the ball itself is all there is. */
		tpi_store_relaxed(ball, 2 * i + 1);
		while (tpi_load_relaxed(ball) != 2 * i + 2)
			;
	}
	return 0;
}

static int pong(void *arg, struct bench_pair *pair)
{
	uint32_t *ball = arg;

	bench_ready(pair);
	for (uint32_t i = 0; i < PINGPONG_ROUNDS; i++) {
		while (tpi_load_relaxed(ball) != 2 * i + 1)
			;
		tpi_store_relaxed(ball, 2 * i + 2);
	}
	pair->end_ns = bench_now_ns();
	return 0;
}

double bench_pingpong(const struct bench_options *options)
{
	double turns[5];
	uint32_t *ball;

	ball = mmap(NULL, sizeof(*ball), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ball == MAP_FAILED)
		return -1;
	for (unsigned int i = 0; i < 5; i++) {
		*ball = 0;
		turns[i] = bench_pair_run(options, ping, pong, ball) / 2 /
			   PINGPONG_ROUNDS;
	}
	munmap(ball, sizeof(*ball));
	return bench_median(turns, 5);
}
