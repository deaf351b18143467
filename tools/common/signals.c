/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping on request, for every tool.
 *
 * The handler only notes the signal. It is installed without SA_RESTART, so a
 * sleep in the library ends with -EINTR, and tpi_sleep_until keeps the signals
 * blocked between its look at the note and its sleep, so that none slips between
 * the two. The handler resets itself: a second signal ends the program at once.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/common/tool.h"

/* Relaxed, each access: other threads look at it again and again. */
static int stop_signal;

static const int stoppers[] = {SIGINT, SIGTERM, SIGHUP};
#define STOPPERS (sizeof(stoppers) / sizeof(stoppers[0]))

static void note(int number)
{
	tpi_store_relaxed(&stop_signal, number);
}

void tpi_signals_init(void)
{
	struct sigaction action = {.sa_handler = note,
				   .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < STOPPERS; i++) {
		struct sigaction before;

		sigaction(stoppers[i], NULL, &before);
		if (before.sa_handler != SIG_IGN) /* nohup, a shell's & */
			sigaction(stoppers[i], &action, NULL);
	}
	action = (struct sigaction){.sa_handler = SIG_IGN};
	sigaction(SIGPIPE, &action, NULL);
}

int tpi_stop_signal(void)
{
	return tpi_load_relaxed(&stop_signal);
}

int tpi_wait_until(int fd, int64_t deadline_ns)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	sigset_t block, before;
	int ready = 0;

	sigemptyset(&block);
	for (size_t i = 0; i < STOPPERS; i++)
		sigaddset(&block, stoppers[i]);
	sigprocmask(SIG_BLOCK, &block, &before);
	while (!tpi_stop_signal()) {
		int64_t left_ns = deadline_ns - tpi_monotonic_ns();

		if (left_ns < 0)
			left_ns = 0;
		struct timespec left = {.tv_sec = left_ns / 1000000000,
					.tv_nsec = left_ns % 1000000000};
		ready = ppoll(&poll_fd, 1, &left, &before);
		if (ready > 0 || !left_ns)
			break;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (tpi_stop_signal())
		return -EINTR;
	return ready > 0;
}

bool tpi_sleep_until(int64_t deadline_ns)
{
	return tpi_wait_until(-1, deadline_ns) == 0;
}
