/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring in shared memory, and processes at both of its ends that may be killed
 * or stopped at any time. Before and after each call they write down what they
 * are about, so that the one call that was cut short is known, and counts as
 * either.
 */
#ifndef FAULT_RING_WORLD_H
#define FAULT_RING_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/ring.h>

enum role {
	PRODUCER,
	CONSUMER
};

/* How a worker calls the ring. */
enum style {
	TRIES,   /* single values, never waiting */
	WAITS,   /* single values, waiting */
	BATCHES, /* up to RING_WORLD_BATCH values at once */
	STYLES
};
#define RING_WORLD_BATCH 8

/* The notes of one worker. A value is (number of its producer, 0, 1, ..). */
struct record {
	uint64_t begun; /* producer: values below may have been put */
	uint64_t done;  /* producer: values below have been put */
	uint64_t asked; /* consumer: values that the call may have got */
	uint32_t role;
	uint32_t reserved[9];
};

struct world {
	struct tapio_ring *ring;
	uint32_t workers_max;
	uint32_t workers; /* numbers given so far */
	uint64_t limit;   /* values of one producer */
	uint32_t go[2];   /* per role: may begin */
	uint32_t quit;    /* producers: stop */
	uint32_t closing; /* consumers: stop when the ring is empty */
	uint32_t failures;
	struct record *records;
	uint8_t *seen; /* how often value (producer, i) was got */
	size_t bytes[3];
	void *memory;
};

struct world *world_new(uint32_t capacity, uint32_t workers_max,
			uint64_t limit);
void world_free(struct world *world);

/*
 * Forks a worker, which begins when its role may go, or at once with `prepare`,
 * which runs in it first. It exits with 0 when it has put its limit, or its role
 * was told to stop. It dies with its parent.
 */
pid_t world_start(struct world *world, enum role role, enum style style,
		  void (*prepare)(const void *argument), const void *argument);

void world_go(struct world *world, enum role role);
/* Producers stop at once, consumers when the ring is empty. */
void world_stop(struct world *world, enum role role);

/* Waits, 10 s at most, until that many sleeps have begun. */
void world_until_asleep(struct world *world, uint64_t sleeps);
/* The same, until that many more values have been got. */
void world_until_got(struct world *world, uint64_t more);

/* Waits for a worker, which must exit with 0. */
void world_join(pid_t pid);

/* The calls that were cut short, over all workers. */
struct cut {
	uint64_t puts; /* values that may have been put, or not */
	uint64_t gets; /* values that may have been got and lost */
};
struct cut world_cut(const struct world *world);

/*
 * With all workers gone and the ring empty: exactly `put` of the values that
 * were cut short took effect, `lost` values were got by a worker that was
 * killed before it could say so, and every other value was got once. -1: any
 * number up to what was cut. -2, -3, ...: the same, 1, 2, ... at least.
 */
void world_judge(struct world *world, int put, int lost);

#endif
