/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that control groups set to the memory of this process.
 *
 * Memory that a process takes is charged to its cgroup and to every one above it. A
 * limit of memory that is reached ends in the OOM killer and one of huge pages in a
 * SIGBUS, so the broker asks before it takes memory. Version 1, version 2 and both at
 * once are read: a controller is in one of them.
 */
#ifndef TPI_CGROUP_H
#define TPI_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tpi_cgroup_kind {
	TPI_CGROUP_MEMORY, /* beyond it the OOM killer comes */
	TPI_CGROUP_HIGH,   /* beyond it a process is slowed down. Version 2 */
	TPI_CGROUP_HUGE,   /* pages of 2 MiB that are in use */
	TPI_CGROUP_HUGE_RSVD, /* the same, as soon as they are mapped */
	TPI_CGROUP_KINDS
};

/* Where the cgroup of this process is, for one controller. */
struct tpi_cgroup_place {
	char *directory; /* NULL: unknown, or there is none */
	size_t top;  /* so much of `directory` is the root that can be seen */
	int version; /* 1 or 2 */
	/* Why the place is unknown. NULL: it is known, or this kernel has no such
	 * controller, and so no limit. */
	const char *unknown;
};

struct tpi_cgroups {
	struct tpi_cgroup_place memory;
	struct tpi_cgroup_place hugetlb;
	bool memory_has_huge; /* memory.max counts huge pages too */
};

/* The limit that leaves the least room. */
struct tpi_cgroup_limit {
	uint64_t limit_bytes; /* UINT64_MAX: there is none */
	uint64_t used_bytes;  /* without the page cache, which gives way */
	uint64_t room_bytes;  /* UINT64_MAX: no limit */
	bool unreadable; /* a file could not be read: there may be a lower one */
	char file[256];  /* that has the limit, or could not be read */
};

/*
 * Finds the cgroups of this process. `root` is "" unless a test made a tree of its
 * own. A group that is not found is `unknown`, with the reason, and has no limit. -ENOMEM.
 */
int tpi_cgroups_find(struct tpi_cgroups *cgroups, const char *root);
void tpi_cgroups_free(struct tpi_cgroups *cgroups);

/* Reads the limits of the cgroup and of all above it, as they are now. */
void tpi_cgroup_read(const struct tpi_cgroups *cgroups,
		     enum tpi_cgroup_kind kind, struct tpi_cgroup_limit *limit);

/* Of the two limits of huge pages, the one with less room. */
void tpi_cgroup_read_huge(const struct tpi_cgroups *cgroups,
			  struct tpi_cgroup_limit *limit);

#endif
