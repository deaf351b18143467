/* SPDX-License-Identifier: Apache-2.0 */
/* Children that are other users. For tests that run as root. */
#ifndef TEST_UIDS_H
#define TEST_UIDS_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define DONE     77
#define PATIENCE 300 /* seconds, for what must end */

/* In a child: ends it where something does not hold. */
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, \
				#condition, strerror(errno));                  \
			_exit(1);                                              \
		}                                                              \
	} while (0)

static inline void need_root(void)
{
	if (!getuid())
		return;
	fprintf(stderr, "skipped: becoming another uid needs root\n");
	_exit(77);
}

/* Runs `body` in a child of another uid. Its pid. */
static inline pid_t start_as(uid_t uid, int (*body)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		alarm(PATIENCE);
		if (setgid(uid) || setuid(uid))
			_exit(99);
		_exit(body());
	}
	return pid;
}

static inline int end_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : 1000 + WTERMSIG(status);
}

static inline int run_as(uid_t uid, int (*body)(void))
{
	return end_of(start_as(uid, body));
}

/* Where a child says that it has come so far. */
static int ready_out;

static inline void say_ready(void)
{
	MUST(write(ready_out, "x", 1) == 1);
}

/* Starts one and waits until it is ready. */
static inline pid_t start_ready(uid_t uid, int (*body)(void))
{
	int pipes[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	ready_out = pipes[1];
	pid = start_as(uid, body);
	close(pipes[1]);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	return pid;
}

#endif
