/* SPDX-License-Identifier: Apache-2.0 */
/* Running Tapio's commands from tests and reading what they say. */
#ifndef TEST_COMMAND_H
#define TEST_COMMAND_H

#include <stddef.h>

struct command {
	int status; /* exit status. 128 + n: killed by signal n */
	char *out;  /* stdout and stderr, each with a final NUL */
	char *err;
};

/*
 * Runs build/bin/NAME with the arguments, up to a NULL. Killed after 60 s.
 * Fails the test when it cannot be started. Free with command_free().
 */
void command_run(struct command *command, const char *name, ...)
	__attribute__((sentinel));
void command_free(struct command *command);

/* Asserts that those (up to three) arguments are refused as usage, and why. */
void command_refuses(const char *name, const char *const *arguments,
		     const char *why);

/* The last line of a text, without its newline. Points into it. */
const char *command_last_line(char *text);

#endif
