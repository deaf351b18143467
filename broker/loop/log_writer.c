/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for stderr on a thread of their own. The reader of a log may stop: a pager, a
 * full disk of a log daemon, a terminal after Ctrl-S. Then write() waits, for how long
 * depends on another program. The broker's loop MUST NOT wait for it, so it only
 * copies lines here, and drops and counts those that find no room.
 *
 * O_NONBLOCK would be shorter. But it belongs to the open file, which the broker
 * shares with the program that started it.
 *
 * SIGKILL: lines that are not written yet are lost. SIGSTOP stops both threads. All
 * signals are blocked on the writer, so that they reach the loop's signalfd.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/loop/log_writer.h"

#define ROOM 65536u /* bytes, some 600 lines */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;  /* for the writer */
	pthread_cond_t empty; /* for tpi_log_writer_stop() */
	pthread_t thread;
	bool runs;
	bool writing; /* outside the lock */
	size_t used;
	uint64_t dropped; /* since the writer last said so */
	void (*say_dropped)(uint64_t lines);
	char text[ROOM];
} writer = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.empty = PTHREAD_COND_INITIALIZER,
};

/* All of it, however long it takes. What cannot be written is given up. */
static void write_all(const char *text, size_t bytes)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (bytes) {
		ssize_t n = write(STDERR_FILENO, text, bytes);

		if (n >= 0) {
			text += n;
			bytes -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return;
		}
	}
}

/* Takes all lines and the count of dropped ones. Waits for the first. */
static size_t take(char *text, uint64_t *dropped)
{
	size_t bytes;

	pthread_mutex_lock(&writer.lock);
	writer.writing = false;
	while (!writer.used && !writer.dropped) {
		pthread_cond_signal(&writer.empty);
		pthread_cond_wait(&writer.more, &writer.lock);
	}
	writer.writing = true;
	bytes = writer.used;
	memcpy(text, writer.text, bytes);
	writer.used = 0;
	*dropped = writer.dropped;
	writer.dropped = 0;
	pthread_mutex_unlock(&writer.lock);
	return bytes;
}

static void *run(void *arg)
{
	static char text[ROOM];
	uint64_t dropped;
	size_t bytes;

	(void)arg;
	pthread_setname_np(pthread_self(), "tapiod-log");
	for (;;) {
		bytes = take(text, &dropped);
		write_all(text, bytes);
		if (dropped)
			writer.say_dropped(dropped);
	}
	return NULL;
}

int tpi_log_writer_start(void (*say_dropped)(uint64_t lines))
{
	sigset_t all, old;
	int err;

	writer.say_dropped = say_dropped;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = pthread_create(&writer.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	writer.runs = !err;
	return -err;
}

void tpi_log_writer_put(const char *text, size_t bytes)
{
	if (!writer.runs) {
		write_all(text, bytes);
		return;
	}
	pthread_mutex_lock(&writer.lock);
	if (bytes <= ROOM - writer.used) {
		memcpy(writer.text + writer.used, text, bytes);
		writer.used += bytes;
	} else {
		writer.dropped++;
	}
	pthread_cond_signal(&writer.more);
	pthread_mutex_unlock(&writer.lock);
}

void tpi_log_writer_drain(unsigned int seconds)
{
	struct timespec until;

	if (!writer.runs)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&writer.lock);
	while (writer.used || writer.dropped || writer.writing)
		if (pthread_cond_timedwait(&writer.empty, &writer.lock, &until))
			break;
	pthread_mutex_unlock(&writer.lock);
}
