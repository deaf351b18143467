/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping on request, for every tool.
 *
 * The handler only notes the signal. It is installed without SA_RESTART, so a
 * sleep in the library ends with -EINTR; and tpi_sleep_until keeps the signals
 * blocked between its look at the note and its sleep, so that none slips between
 * the two. The handler resets itself: whoever asks twice is not asked to wait.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "tools/common/tool.h"

static volatile sig_atomic_t stop_signal;

static const int stoppers[] = {SIGINT, SIGTERM, SIGHUP};
#define STOPPERS (sizeof(stoppers) / sizeof(stoppers[0]))

static void note(int number)
{
	stop_signal = number;
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
	return stop_signal;
}

bool tpi_sleep_until(int64_t deadline_ns)
{
	sigset_t block, before;

	sigemptyset(&block);
	for (size_t i = 0; i < STOPPERS; i++)
		sigaddset(&block, stoppers[i]);
	sigprocmask(SIG_BLOCK, &block, &before);
	while (!stop_signal) {
		int64_t left_ns = deadline_ns - tpi_now_ns();

		if (left_ns <= 0)
			break;
		struct timespec left = {.tv_sec = left_ns / 1000000000,
					.tv_nsec = left_ns % 1000000000};
		ppoll(NULL, 0, &left, &before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return !stop_signal;
}
