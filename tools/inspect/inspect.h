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
	TPI_SOURCE_FILE,      /* a snapshot (snapshot.h): no live memory */
};
const char *tpi_inspect_source_name(enum tpi_inspect_source source);

struct tpi_inspect_options {
	const char *socket; /* NULL: do not ask a broker */
	int64_t timeout_ns; /* for each answer of the broker */
	pid_t pid;          /* look in this process instead. 0: none */
	bool scan;          /* without an answer look in every process */
	/* Only memory whose instance begins with these hex digits, in `pid` or in every
	 * process. No broker is asked. NULL: any. */
	const char *instance;
	/* Files in /proc of this user are looked into, too (NULL: no more than those
	 * of root, ourselves, the owner of the socket, and of `pid`). */
	const uid_t *owner;
	/* A snapshot. No broker is asked, and no process is looked into. NULL: none. */
	const char *file;
	uint64_t
		file_limit_bytes; /* of its data in memory. 0: half of what there is */
};

/* One entry of CHANNELS. Its index is that in the catalog. */
struct tpi_inspect_channel {
	bool there;                 /* it has a channel */
	uint32_t epoch;             /* of the entry, when it was looked at */
	struct tpi_channel channel; /* lane_count 0: see why */
	struct tpi_cursors cursors[TAPIO_GROUP_SLOTS]; /* NULL: not had */
	uint32_t epochs[TAPIO_GROUP_SLOTS];            /* of their memory */
	struct tpi_map maps[TAPIO_NODES_MAX];
	uint32_t map_count;
	/* Of isolated producers, by number: the record, and the memory that is mapped. */
	const struct tapio_shm_segment *own[TAPIO_NODES_MAX];
	uint32_t memories[TAPIO_NODES_MAX];
	uint64_t rests; /* a bit for each that is not had: lanes at rest */
	bool denied;    /* the broker does not let us: see why */
	char why[256];  /* which part is missing and why, or empty */
};

struct tpi_segment_set;
struct tpi_snapshot;

/*
 * Bounds of work and memory for a snapshot, which anybody can have written: both follow
 * from the data that it has, and not from the numbers in it. Live memory has no bounds.
 */
struct tpi_inspect_bounds {
	uint64_t lane_bytes;   /* of records and descriptors of all lanes */
	uint64_t rest_bytes;   /* of lanes at rest */
	uint64_t record_steps; /* to find segments */
};

struct tpi_inspect {
	struct tpi_catalog catalog;
	struct tpi_inspect_channel *channels; /* [catalog.channel_count] */
	enum tpi_inspect_source source;
	pid_t pid;      /* of the process that they came from. 0: the socket */
	char note[256]; /* why not from the socket, or empty */
	struct tpi_segment_set *set;
	struct tpi_snapshot *snapshot; /* NULL: the memory is live */
	struct tpi_inspect_bounds bounds;
};

/*
 * -ENOENT no broker was found. -EPROTONOSUPPORT one of another version (both
 * are named in `error`). -EACCES no right. -ENOTUNIQ several were found (named);
 * -EBADMSG what was found is no catalog, or the file no snapshot. -EFBIG it needs more
 * memory than there is. -ENOMEM.
 */
int tpi_inspect_open(struct tpi_inspect **out,
		     const struct tpi_inspect_options *options, char *error,
		     size_t error_bytes);
void tpi_inspect_close(struct tpi_inspect *inspect);

/*
 * Whether an entry still is what it was when it was opened: a channel may be given back,
 * and its entry may become another one's, since a look holds no attachment.
 */
bool tpi_inspect_same(const struct tpi_inspect *inspect, uint32_t channel);

/* Whether some channel was left out for want of a right. */
bool tpi_inspect_denied(const struct tpi_inspect *inspect);

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

/* A copy of a record of SEGMENTS. False: there is none, or it is being changed. */
bool tpi_inspect_segment(const struct tpi_inspect *inspect, uint32_t i,
			 struct tapio_shm_segment *copy);

/*
 * Whether a lane that is mapped is the one at work. Of an isolated producer: its memory was
 * not replaced, and *phase is its TAPIO_PHASE_*. Of others: SEALED. Asked after words of the
 * lane and of cursors were loaded, it speaks of the lane that they were of.
 */
bool tpi_inspect_has_lane(const struct tpi_inspect *inspect, uint32_t channel,
			  uint32_t lane, uint32_t *phase);

/* From where the gate of a channel's lanes is computed, as by a producer. */
void tpi_inspect_gating(const struct tpi_inspect *inspect, uint32_t channel,
			struct tpi_gating *gating);

/* The ledger of a slot on a lane. -ENOENT also when its cursors are not had. */
int tpi_inspect_ledger(const struct tpi_inspect *inspect, uint32_t channel,
		       uint32_t lane, uint32_t slot, struct tpi_ledger *ledger);

/*
 * A process, other than this one, that holds a descriptor of the catalog: a broker, or a
 * keeper of its memory. Clients only map it. 0: there is none, or there is no right to see
 * it. A walk through all of /proc.
 */
pid_t tpi_inspect_holder(const struct tpi_inspect *inspect);

#endif
