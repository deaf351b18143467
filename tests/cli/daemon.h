/* SPDX-License-Identifier: Apache-2.0 */
/* A tapiod that a test starts by hand, in a directory of its own. */
#ifndef TEST_DAEMON_H
#define TEST_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

/* Of the running test: the directory, the socket and the configuration in it. */
extern char daemon_directory[64];
extern char daemon_socket[96];
extern char daemon_config[80];

/* A checked fixture. */
void daemon_set_up(void);
void daemon_tear_down(void);

/* Whether a program takes connections at daemon_socket. */
bool daemon_answers(void);
/* The same within 5 s. */
bool daemon_comes(void);

/* A signal, unless it is 0, and the end. Its exit status, or 128 + the signal. */
int daemon_stop(pid_t pid, int signal);

#endif
