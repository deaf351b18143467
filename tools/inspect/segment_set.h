/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of segments: those that a source found, mapped read-only and known by
 * their files. A set may hold segments of several brokers.
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
	uint32_t seals;    /* F_SEAL_* */
	uint32_t mode;     /* of the file */
	bool received;     /* from the broker .. */
	bool writable;     /* .. and not read-only */
	bool catalog;      /* of this version */
	char instance[33]; /* of a catalog, in hex */
	pid_t pid;         /* whose it was */
};

/* A channel that the broker does not let us inspect, and what it said. */
struct tpi_segment_refusal {
	char channel[TAPIO_NAME_BYTES];
	char why[192];
};

#define TPI_BELIEVED_MAX 8

struct tpi_segment_set {
	struct tpi_segment_set_entry *entries;
	uint32_t count;
	uint32_t room;
	/* The one that is looked for, as it begins, or NULL. */
	const char *instance;
	/* Whose files in /proc are looked into. Anybody can make a memfd with the
	 * name of a segment and any numbers in it. */
	uid_t believed[TPI_BELIEVED_MAX];
	uint32_t believed_count;
	uint32_t
		foreign; /* files that were passed over: of the uid below, .. */
	uid_t foreign_uid;
	uint32_t sparse; /* .. and with pages that are not there */
	bool denied;     /* some process did not let itself be looked into */
	struct tpi_segment_refusal *refusals;
	uint32_t refusal_count;
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

/* Adds one that is mapped already, and is the set's from then on. Its maker says whether
 * it had the name of a catalog. -ENOMEM. */
int tpi_segment_set_put(struct tpi_segment_set *set,
			const struct tpi_segment_set_entry *entry,
			bool catalog);

/* Notes one. -ENOMEM. */
int tpi_segment_set_refuse(struct tpi_segment_set *set, const char *channel,
			   const char *why);
/* Why that channel was refused. NULL: it was not. */
const char *tpi_segment_set_refusal(const struct tpi_segment_set *set,
				    const char *channel);

/* The segment that a record of the catalog names. NULL when the set has it not. */
struct tpi_segment_set_entry *
tpi_segment_set_find(const struct tpi_segment_set *set,
		     const struct tapio_shm_segment *record);

/* Whether it is a catalog, and of the instance that is looked for. */
bool tpi_segment_set_wants(const struct tpi_segment_set *set,
			   const struct tpi_segment_set_entry *entry);

/* The only one of these. -ENOENT there is none. -ENOTUNIQ there are several. */
int tpi_segment_set_catalog(const struct tpi_segment_set *set,
			    struct tpi_segment_set_entry **out);

/* Whether a file has the name of a catalog. No other segment has it, and the name of a
 * memfd cannot be changed. */
bool tpi_segment_set_has_catalog_name(int fd);

void tpi_segment_set_empty(struct tpi_segment_set *set);

/* Those that the options name, of PID and of the socket, root and ourselves (inspect.c). */
struct tpi_inspect_options;
void tpi_inspect_believe(struct tpi_segment_set *set,
			 const struct tpi_inspect_options *options);

/* Files of that user are looked into. */
void tpi_segment_set_believe(struct tpi_segment_set *set, uid_t uid);

/* ---- sources ------------------------------------------------------------- */

/*
 * Asks the broker: the catalog and, of each channel that it lets us inspect,
 * all segments. `peer` gets the pid that listens, if connecting worked, else 0.
 * Its user is believed from then on, also if it does not answer.
 * -errno and why: -ETIMEDOUT no answer, -ECONNREFUSED and -ENOENT no broker
 * there.
 */
int tpi_segment_set_from_socket(struct tpi_segment_set *set, const char *socket,
				int64_t timeout_ns, pid_t *peer, char *error,
				size_t error_bytes);

/*
 * Adds what /proc/PID/fd, or /proc/PID/map_files, holds, of files that belong to a
 * user that is believed. All pages of a segment are there from the start, so a file
 * that has holes is passed over, too: to look at a hole would make a page.
 */
int tpi_segment_set_from_fds(struct tpi_segment_set *set, pid_t pid);
int tpi_segment_set_from_map_files(struct tpi_segment_set *set, pid_t pid);

/* Calls one of the two for every process but this one. */
int tpi_segment_set_from_all(struct tpi_segment_set *set,
			     int (*from)(struct tpi_segment_set *set,
					 pid_t pid));

#endif
