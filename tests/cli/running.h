/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that run beside the test: brokers, collectors, readers. Whatever a
 * test waits for, it waits 30 s at most, and fails. Commands that still run
 * when the test ends are killed with it.
 */
#ifndef TEST_RUNNING_H
#define TEST_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct running {
	pid_t pid;
	int out; /* its standard output. -1: closed */
	int err;
	char text[65536]; /* of out, read and not taken yet */
	size_t used;
};

/* Starts build/bin/NAME with the arguments, up to a NULL. */
void running_start(struct running *running, const char *name, ...)
	__attribute__((sentinel));

/*
 * The next line of its standard output without the newline, valid until the next
 * call. NULL at the end of it.
 */
const char *running_line(struct running *running);

/* Whether there is something to read within so many milliseconds. */
bool running_ready(const struct running *running, int ms);

/* Waits for its end. Its exit status, or 128 + the signal that ended it. */
int running_wait(struct running *running);

/* All that it wrote to standard error, up to its end. */
void running_errors(struct running *running, char *text, size_t size);

/* A signal, and then the end of it. */
int running_stop(struct running *running, int signal);

/* ---- a broker ------------------------------------------------------------- */

struct test_broker {
	char directory[64];
	char socket[96];
	char config[96];
	struct running daemon;
};

/*
 * Starts tapiod with that configuration, without a keeper, so that its death is the end of its
 * memory. TAPIO_SOCKET is its socket.
 */
void test_broker_start(struct test_broker *broker, const char *config);
/* Again, at the same socket. */
void test_broker_restart(struct test_broker *broker);
void test_broker_kill(struct test_broker *broker);
/* Ends it, and removes what it left. */
void test_broker_stop(struct test_broker *broker);

#endif
