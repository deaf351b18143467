/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The honest pair: a producer and a consumer of a lossless group, each a process of
 * its own user, through libtapio. Each event carries its number and a checksum of a
 * payload that follows from the number. Whatever attackers do beside them, the ledger
 * is exact: every accepted event is delivered, once, whole, and nothing is lost.
 */
#ifndef TEST_HOSTILE_HONEST_H
#define TEST_HOSTILE_HONEST_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/hostile/role.h"
#include "tests/hostile/world.h"

/* In memory that the two roles and the test share. */
struct honest_count {
	uint64_t accepted; /* by the producer's calls */
	uint64_t refused;  /* tried again until accepted */
	uint64_t received; /* in full and the first time */
	uint64_t foreign;  /* of other pairs on the channel, and whole */
	uint64_t duplicated;
	uint64_t corrupt;
	/* Of the group's ledger, at the end. */
	uint64_t delivered;
	uint64_t skipped;
	uint64_t lost;
	/* CPU time of the two processes so far, and their context switches. */
	uint64_t producer_ns;
	uint64_t consumer_ns;
	uint32_t stop; /* the producer ends, and then the consumer */
	uint32_t ended;
};

struct honest {
	const struct world *world;
	struct honest_count *count;
	struct role producer;
	struct role consumer;
	/* Set by the test before the start, or zero. */
	const char *channel; /* NULL: "events" */
	const char *group;   /* NULL: "honest" */
	uint64_t pair;       /* its number, set by honest_start */
	uint32_t pace;       /* events a millisecond. 0: as fast as it can */
	uid_t producer_uid;  /* 0: WORLD_PRODUCER */
	uid_t consumer_uid;  /* 0: WORLD_LOSSLESS */
};

/* The configuration of a channel "events", and the pair's rights. */
#define HONEST_CHANNEL                                            \
	"channel events { full = wait\n"                          \
	"class main { block = 256  blocks = 1024  side_blocks = " \
	"256  side_lanes = 8 } }\n"
#define HONEST_RULES                                           \
	"allow producer { uid = {61001}  role = {produce} }\n" \
	"allow consumer { uid = {61003}  role = {consume, lossless} }\n"

/* Starts both and waits until events go through. */
void honest_start(struct honest *honest, const struct world *world);
/* Waits until so many more events have been received. */
void honest_receive(const struct honest *honest, uint64_t events);
/* Ends both, and asserts the ledger. Their `count` stays until free. */
void honest_end(struct honest *honest);
void honest_free(struct honest *honest);

/* One number of the count, now. */
uint64_t honest_now(const uint64_t *number);

#endif
