/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the leader and all its children. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tools/load/run.h"

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
