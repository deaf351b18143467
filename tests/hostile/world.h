/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real tapiod under a user of its own, as the shipped unit runs it, and its clients:
 * each a process with a real uid (role.h). Nothing of it runs as root but the test.
 */
#ifndef TEST_HOSTILE_WORLD_H
#define TEST_HOSTILE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/common.h>

#include "tests/hostile/role.h"

/* Users of the tests. No host has them: they need no entry anywhere. */
enum {
	WORLD_BROKER = 61000,
	WORLD_PRODUCER, /* the honest pair */
	WORLD_CONSUMER,
	WORLD_LOSSLESS,
	WORLD_INSPECTOR,
	WORLD_NO_RIGHT,
	WORLD_ATTACKER, /* and those that follow */
};

struct world {
	char directory[64];
	char socket[96];
	char config[96];
	char log[96];
	pid_t pid;
	/* For a broker in a user namespace: the text of its uid_map. NULL: none. */
	const char *uid_map;
	uid_t uid; /* of the broker, as the test sees it. 0: WORLD_BROKER */
	/* Without the capability that the shipped unit gives it (CAP_SYS_PTRACE). */
	bool bare;
	unsigned int files; /* its RLIMIT_NOFILE. 0: the test's */
};

/*
 * Starts tapiod with that text as its configuration, behind `socket_mode = "0666"` if
 * it does not name that option. The world MUST be zeroed, but for uid_map and uid. Fails the test if it cannot.
 */
void world_start(struct world *world, const char *config);
/* SIGTERM, on which tapiod MUST end with status 0. Removes what it left. */
void world_stop(struct world *world);

/* Whether it has logged these words up to now. Waits up to 5 s for them. */
bool world_said(const struct world *world, const char *words);
/* The log, with a NUL. Free it. */
char *world_log(const struct world *world);

/* How to open a handle at it. `error` gets the reason of a failure. */
struct tapio_options world_options(const struct world *world, char *error,
				   size_t error_bytes);

/*
 * Whatever happened: tapiod lives, and serves the broker's own user, who opens an
 * observer on that channel.
 */
void world_assert_serves(const struct world *world, const char *channel);

/* The sum of the CPU ticks (user and system) of a process. */
uint64_t world_cpu_ticks(pid_t pid);
/* How many descriptors a process has open. */
unsigned int world_fd_count(pid_t pid);

#endif
