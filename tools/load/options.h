/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of tapio-load. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "tools/common/tool.h"

#define LOAD_BATCH_MAX 64 /* the limit of tapio_reserve_batch */
#define LOAD_CPUS_MAX  1024

enum load_mode {
	LOAD_OUTPUT,
	LOAD_RESERVE,
	LOAD_BATCH,
	LOAD_MIX
};
enum load_sabotage {
	LOAD_HONEST,
	LOAD_LOSE,
	LOAD_DUPLICATE,
	LOAD_TAMPER,
};

struct load_options {
	struct tpi_connect connect;
	bool own_broker; /* no socket was named */
	const char *channel;
	const char *stamp; /* of an own broker's channel */
	uint32_t blocks;   /* of an own broker's lanes */
	uint32_t block_bytes;
	int64_t room_ns; /* how long producers of an own broker wait, or 0 */

	uint32_t producers;
	uint32_t groups;
	uint32_t members;
	uint32_t policies[TAPIO_GROUP_SLOTS]; /* TAPIO_GROUP_*, in turn */
	uint32_t policy_count;
	uint64_t events; /* per producer. 0: no limit */
	int64_t duration_ns;
	uint64_t rate; /* per producer and second. 0: as fast as it goes */
	uint32_t size_min;
	uint32_t size_max;
	enum load_mode mode;
	uint32_t batch;         /* events per call of a producer */
	uint32_t poll;          /* events per call of a consumer */
	uint32_t discard_every; /* reservations. 0: none */
	bool drop;              /* do not try again what was refused */
	bool check;
	uint64_t merge_ns; /* 0: lane by lane */
	uint32_t filter;   /* one event to be filtered after so many, or 0 */
	uint64_t seed;

	bool pin;
	uint32_t cpu_count;
	int cpus[LOAD_CPUS_MAX]; /* producers first, then consumers, in turn */

	uint64_t kills;
	uint64_t kills_consumers;
	uint64_t kills_broker;
	uint64_t broker_rate; /* of its kills, or the instance's, per second */
	bool broker_compare;  /* as long without kills first */
	uint64_t kills_keeper;
	uint64_t kills_instance; /* of both at once */
	uint64_t stops;
	int64_t still_ns; /* how long the first group is to stand still, or 0 */

	bool baseline;
	bool json;
	enum load_sabotage sabotage;
};

/* Parses. Wrong usage ends the program with TPI_EXIT_USAGE. */
void load_options_parse(struct load_options *options, int argc, char **argv);

/* TAPIO_GROUP_* of a group. */
uint32_t load_policy(const struct load_options *options, uint32_t group);
bool load_all_lossless(const struct load_options *options);

/* The broker, its keeper or both are to be killed: it is a program of its own. */
bool load_broker_dies(const struct load_options *options);

/* The CPU for the n-th process, producers first. -1: any. */
int load_cpu(const struct load_options *options, uint32_t n);

#endif
