/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers in child processes, one after another, that take over from each other. The test
 * is the keeper: each broker sends its descriptors through a socket, as to the real one,
 * and the next one inherits them. A broker can be told to die at the n-th testpoint.
 */
#ifndef TEST_ADOPT_WORLD_H
#define TEST_ADOPT_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/keep/keep.h"

#define WORLD_NUMBERS (1u << 22)
#define WORLD_POINTS  256
#define WORLD_PASSES  2 /* of one testpoint in one broker that count */

/* Shared by all processes of a test. */
struct world {
	char socket[64];
	const char *config;
	/* Passes of testpoints until the broker dies. 0: it does not. */
	uint32_t countdown;
	/* It dies at the first pass at which none has died yet. */
	uint32_t fresh;
	char died_at[48]; /* the name */
	uint8_t deaths[WORLD_POINTS][WORLD_PASSES];
	char names[WORLD_POINTS][48];
	char log[65536];
	uint32_t log_used;
	char error[1024]; /* why a broker did not start */
	const char *next; /* the configuration of the next reload */
	char said[512];   /* its answer. Empty: none */
	uint32_t full;    /* the keeper has no room */
	/* The live producer and the live consumer. */
	uint32_t stop;
	uint32_t accepted;
	uint32_t released;
	uint32_t isolated_accepted;
	uint8_t seen[WORLD_NUMBERS];
};
extern struct world *world;

/* The keeper's descriptors. The test may spoil them while no broker runs. */
extern struct tpi_kept world_kept[4096];
extern uint32_t world_kept_count;
extern bool world_discards; /* the next broker is told to begin anew */

void world_begin(const char *config);
/*
 * Starts the next broker, again if the socket of the last one is still there, and waits until it serves (true), or has ended (false): it has
 * died at a testpoint, or world->error says why it did not start.
 */
bool world_start(void);
/* SIGKILL, and waits until its last descriptors are in. */
void world_kill(void);
/* SIGTERM's way: the broker says goodbye. */
void world_stop(void);
/* The broker has died. Waits for it. */
void world_died(void);
pid_t world_broker(void);
/* For poll(): readable when the broker is dead. */
int world_pidfd(void);
/* Tells the broker to mend the group "d" (m), evict "x" (e), spend free slots (s), or
 * reload (r). False: it has died. */
bool world_tell(char command);
/* Waits until so many clients are attached. False: the broker has died. */
bool world_settles(uint32_t attached);
bool world_said(const char *words);
/* Waits until the keeper has all that the broker has sent. */
void world_flush(void);
/* Index of the kept descriptor under a key, or -1. */
int world_find(uint32_t kind, uint32_t number);

#endif
