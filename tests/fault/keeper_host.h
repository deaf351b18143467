/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host of a keeper without a broker in it: in place of the broker a loop that puts and
 * drops descriptors, and journals it in memory that it shares with the test.
 */
#ifndef TEST_KEEPER_HOST_H
#define TEST_KEEPER_HOST_H

#include <stdint.h>
#include <sys/types.h>

#define HOST_KEYS 64

/* What a host does in place of a broker. */
enum host_mode {
	HOST_WORK,  /* puts and drops, until it is told to end */
	HOST_CRASH, /* ends by SIGABRT before it is ready */
	HOST_EXIT,  /* ends with host->status, and tells the keeper nothing */
};

/* The words are atomic. */
struct host {
	uint32_t mode; /* enum host_mode */
	uint32_t status;
	uint32_t quit;       /* the loop is to end, with the status */
	uint32_t pause;      /* the loop is to wait, with nothing put */
	uint32_t paused;     /* it does */
	uint32_t generation; /* of brokers: it has found all that was kept */
	uint32_t broker, keeper; /* pids */
	uint64_t steps;
	uint32_t failed; /* the line where a broker has found a fault */
	/* A key is at `now`, 0 if it is dropped. `next` was begun, and perhaps came. */
	struct {
		uint32_t now, next;
	} key[HOST_KEYS];
};

/* Main of the host: its argument is the file of a struct host. */
int host_main(char **argv);

#endif
