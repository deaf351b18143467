/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a broker's memory from outside: its segments, mapped read-only,
 * whether the broker answers, is stopped, or is dead. Used by tapio-shmstat and
 * by tapio-load.
 *
 * Nothing of what is mapped is trusted: it is attached as clients do it
 * (lib/memory/layout.h), and what does not pass is left out, with the reason.
 */
#ifndef TPI_INSPECT_H
#define TPI_INSPECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/memory/layout.h"
#include "lib/lane/ledger.h"

/* Where the segments came from. */
enum tpi_inspect_source {
	TPI_SOURCE_SOCKET,    /* the broker sent them */
	TPI_SOURCE_FD,        /* /proc/PID/fd of a process that holds them */
	TPI_SOURCE_MAP_FILES, /* /proc/PID/map_files of one that maps them */
};
const char *tpi_inspect_source_name(enum tpi_inspect_source source);

struct tpi_inspect_options {
	const char *socket; /* NULL: do not ask a broker */
	int64_t timeout_ns; /* for each answer of the broker */
	pid_t pid;          /* look in this process instead. 0: none */
	bool scan;          /* without an answer look in every process */
};

/* One channel. Its index is that in the catalog. */
struct tpi_inspect_channel {
	struct tpi_channel channel; /* lane_count 0: see why */
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS]; /* NULL: not had */
	struct tpi_map maps[TAPIO_NODES_MAX];
	uint32_t map_count;
	char why[256]; /* which part is missing and why, or empty */
};

struct tpi_segment_set;

struct tpi_inspect {
	struct tpi_catalog catalog;
	struct tpi_inspect_channel *channels; /* [catalog.channel_count] */
	enum tpi_inspect_source source;
	pid_t pid;      /* of the process that they came from. 0: the socket */
	char note[256]; /* why not from the socket, or empty */
	struct tpi_segment_set *set;
};

/*
 * -ENOENT no broker was found. -EPROTONOSUPPORT one of another version (both
 * are named in `error`). -EACCES no right. -ENOTUNIQ several were found (named);
 * -EBADMSG what was found is no catalog. -ENOMEM.
 */
int tpi_inspect_open(struct tpi_inspect **out,
		     const struct tpi_inspect_options *options, char *error,
		     size_t error_bytes);
void tpi_inspect_close(struct tpi_inspect *inspect);

/* The groups array of a channel, [TAPIO_GROUP_SLOTS]. */
static inline const struct tapio_shm_group *
tpi_inspect_groups(const struct tpi_inspect *inspect, uint32_t channel)
{
	return inspect->catalog.groups + (size_t)channel * TAPIO_GROUP_SLOTS;
}

/*
 * The policy that a group was made with. The slot's word has the one in force: a
 * lossless group without a member holds producers as `until` does.
 */
static inline uint32_t tpi_inspect_policy(const struct tapio_shm_group *group,
					  uint64_t slot)
{
	/* Relaxed: written while the slot was FREE. 0: by an older broker. */
	uint32_t policy = tpi_load_relaxed(&group->policy);

	return policy ? policy : TAPIO_SLOT_POLICY(slot);
}

/* From where the gate of a channel's lanes is computed, as by a producer. */
void tpi_inspect_gating(const struct tpi_inspect *inspect, uint32_t channel,
			struct tpi_gating *gating);

/* The ledger of a slot on a lane. -ENOENT also when its cursors are not had. */
int tpi_inspect_ledger(const struct tpi_inspect *inspect, uint32_t channel,
		       uint32_t lane, uint32_t slot, struct tpi_ledger *ledger);

#endif
