/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the leader and all its children. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tools/load/run.h"

#define PATIENCE_NS INT64_C(30000000000)

void load_fail(struct load_run *run, const char *format, ...)
{
	va_list args;

	if (run->failed)
		return;
	run->failed = true;
	va_start(args, format);
	vsnprintf(run->why, sizeof(run->why), format, args);
	va_end(args);
}

void load_group_name(const struct load_run *run, uint32_t group,
		     char name[TAPIO_NAME_BYTES])
{
	snprintf(name, TAPIO_NAME_BYTES, "load-%d-%u", (int)run->leader, group);
}

static void leave_signals_to_the_leader(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

pid_t load_fork(struct load_run *run,
		int (*work)(struct load_run *run, uint32_t index),
		uint32_t index)
{
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != run->leader)
		_exit(1); /* it died before the line above */
	leave_signals_to_the_leader();
	_exit(work(run, index));
}

void load_pin(const struct load_run *run, uint32_t n)
{
	int cpu = load_cpu(&run->options, n);
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* A CPU that is not there was refused when the run began. */
	sched_setaffinity(0, sizeof(set), &set);
}

void load_wait_for_go(const struct load_scoreboard *scoreboard)
{
	const struct timespec nap = {.tv_nsec = 100000};

	/* relaxed: all that it needs was set up before the forks */
	while (!tpi_load_relaxed(&scoreboard->go) &&
	       !tpi_load_relaxed(&scoreboard->stop))
		nanosleep(&nap, NULL);
}

/* Of a broker that is killed at the time, and of a machine that has much to do. */
struct tapio_options load_broker(const struct load_run *run, char *why,
				 size_t why_bytes)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = run->socket,
		.connect_ns = PATIENCE_NS,
		.answer_ns = PATIENCE_NS,
		.error = why,
		.error_bytes = why_bytes,
	};
}

int load_place_failed(struct load_place *place, int err, const char *what,
		      const char *detail)
{
	snprintf(place->why, sizeof(place->why), "%s: %s%s%s", what,
		 strerror(-err), detail && *detail ? ": " : "",
		 detail ? detail : "");
	/*
	 * ORDER load_place.state (release): `why` is written. Pairs with the
	 * leader's acquire.
	 */
	tpi_store_release(&place->state, LOAD_FAILED);
	return 1;
}

void load_end(struct load_run *run, struct load_place *place, const char *who,
	      int64_t patience_ns)
{
	const struct timespec nap = {.tv_nsec = 2000000};
	int64_t until = tpi_monotonic_ns() + patience_ns;
	int status = 0;
	pid_t done = 0;

	if (place->pid <= 0)
		return;
	while (!(done = waitpid(place->pid, &status, WNOHANG)) &&
	       tpi_monotonic_ns() < until)
		nanosleep(&nap, NULL);
	if (!done) {
		run->stuck++;
		kill(place->pid, SIGKILL);
		waitpid(place->pid, &status, 0);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		load_fail(run, "%s: %s", who,
			  *place->why ? place->why : "it does not end well");
	place->pid = 0;
}

void load_longest_gaps(const struct load_run *run, uint64_t *quiet_ns,
		       uint64_t *kills_ns)
{
	const struct load_scoreboard *scoreboard = run->scoreboard;

	*quiet_ns = *kills_ns = 0;
	for (uint32_t i = 0; i < scoreboard->shape.producers; i++) {
		const uint64_t *gap = scoreboard->producer[i].gap_ns;

		if (gap[0] > *quiet_ns)
			*quiet_ns = gap[0];
		if (gap[1] > *kills_ns)
			*kills_ns = gap[1];
	}
}
