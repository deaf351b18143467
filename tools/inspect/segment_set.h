/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of segments: those that a source found, mapped read-only and known by
 * their headers. A set may hold segments of several brokers. The instance tells
 * them apart.
 */
#ifndef TPI_SEGMENT_SET_H
#define TPI_SEGMENT_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/abi.h>

#include "lib/memory/segment.h"

struct tpi_segment_set_entry {
	struct tpi_map map;
	uint64_t device; /* which file. Tells copies of one fd apart */
	uint64_t inode;
	uint8_t instance[16];
	uint32_t kind;
	uint32_t channel;
	uint32_t index;
	pid_t pid; /* whose it was */
};

struct tpi_segment_set {
	struct tpi_segment_set_entry *entries;
	uint32_t count;
	uint32_t room;
	bool denied; /* some process did not let itself be looked into */
	/* A segment of another version was met: nothing is wrong but that. */
	bool incompatible;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint64_t incompat; /* its feature bits */
};

/*
 * Maps what a descriptor names and adds it. The descriptor stays the caller's.
 * 0: added, or there already, or no segment of Tapio. -ENOMEM.
 */
int tpi_segment_set_add(struct tpi_segment_set *set, int fd, pid_t pid);

/* The entry of one segment. NULL when the set does not have it. */
struct tpi_segment_set_entry *
tpi_segment_set_find(const struct tpi_segment_set *set,
		     const uint8_t instance[16], uint32_t kind,
		     uint32_t channel, uint32_t index);

/* The only catalog. -ENOENT there is none. -ENOTUNIQ there are several. */
int tpi_segment_set_catalog(const struct tpi_segment_set *set,
			    struct tpi_segment_set_entry **out);

void tpi_segment_set_empty(struct tpi_segment_set *set);

/* ---- sources ------------------------------------------------------------- */

/*
 * Asks the broker: the catalog and, of each channel that it lets us inspect,
 * all segments. `peer` gets the pid that listens, if connecting worked, else 0.
 * -errno and why: -ETIMEDOUT no answer, -ECONNREFUSED and -ENOENT no broker
 * there.
 */
int tpi_segment_set_from_socket(struct tpi_segment_set *set, const char *socket,
				int64_t timeout_ns, pid_t *peer, char *error,
				size_t error_bytes);

/* Adds what /proc/PID/fd, or /proc/PID/map_files, holds. */
int tpi_segment_set_from_fds(struct tpi_segment_set *set, pid_t pid);
int tpi_segment_set_from_map_files(struct tpi_segment_set *set, pid_t pid);

/* Calls one of the two for every process but this one. */
int tpi_segment_set_from_all(struct tpi_segment_set *set,
			     int (*from)(struct tpi_segment_set *set,
					 pid_t pid));

#endif
