/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments as memory: making sealed memfds on the best rung of the ladder that
 * this machine offers, and mapping them. Their contents are layout.h's.
 */
#ifndef TPI_SEGMENT_H
#define TPI_SEGMENT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>

struct tpi_cgroups;

/* A mapping. base is NULL when there is none. */
struct tpi_map {
	unsigned char *base;
	uint64_t bytes;
	bool writable;
	uint32_t page_bytes; /* of the file. 0: not a segment's mapping */
};

struct tpi_segment_request {
	const char *name; /* of the memfd, for /proc/PID/maps */
	uint64_t bytes;   /* wanted. The segment is rounded up to its page */
	int node;         /* bind to this NUMA node. -1: anywhere */
	/* First rung to try (TAPIO_RUNG_*). Cursors start at TAPIO_RUNG_PAGES:
	 * a hole punched in hugetlb is a SIGBUS, in shmem a zero. */
	unsigned int first_rung;
	bool no_fallback; /* the first rung or nothing */
	bool seals_later; /* only its length now: tpi_segment_seal() does the rest */
	/* Limits to keep to. NULL: none is looked at. */
	const struct tpi_cgroups *cgroups;
};

/* A segment as its maker holds it. */
struct tpi_segment {
	int fd;    /* read-write. Mode 0600 */
	int fd_ro; /* the same file opened O_RDONLY, to be handed out */
	struct tpi_map map;
	struct tapio_shm_segment report; /* rungs, seals, placement. No ids */
};

/*
 * Makes a segment: memfd, fchmod 0600, ftruncate, map, mbind, fault in every page
 * (MADV_POPULATE_WRITE, never fallocate), verify placement with move_pages, seal
 * SHRINK, GROW and SEAL, reopen read-only. A rung that fails leaves its errno in
 * the report and the next is tried. On error nothing is left open, and `error`
 * says which step failed for how many bytes (for hugetlb: and how many pages the
 * pool has free). On success it is empty, or says the same about the rungs that
 * were not reached. A node that cannot be bound is not an error: see `placement`
 * (TAPIO_PLACED_UNCHECKED with errno 0: node is -1, nothing was asked for).
 *
 * -ENOMEM no rung has the memory. -EDQUOT a cgroup's limit. -EINVAL the request. -EPERM, -EACCES, -ENOSYS
 * the kernel refuses memfds, seals or the read-only reopening. -EMFILE.
 */
int tpi_segment_create(struct tpi_segment *segment,
		       const struct tpi_segment_request *request, char *error,
		       size_t error_bytes);
/* Also of one that was destroyed, not obtained, or is all zero. */
void tpi_segment_destroy(struct tpi_segment *segment);

/*
 * 0 when what an fd allows is reading and its file's mode is 0600, so that it
 * may be handed out: checked by trying. -EACCES otherwise, with the reason.
 */
int tpi_fd_check_readonly(int fd, uint64_t bytes, char *error,
			  size_t error_bytes);

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

/* The seals of every segment that a process maps: its length stays. */
#define TPI_SEALS_LENGTH (F_SEAL_SHRINK | F_SEAL_GROW)
/* The seals that every segment has, but that of an isolated producer while it is FRESH. */
#define TPI_SEALS (TPI_SEALS_LENGTH | F_SEAL_SEAL)
/* The segment of an isolated producer, once that has mapped it. */
#define TPI_SEALS_OWN (TPI_SEALS | F_SEAL_FUTURE_WRITE)

/*
 * The last seals of a segment that was made without (seals_later). From then on no process,
 * this one included, can map it writable, write() to it or punch a hole in it. Mappings that
 * there are stay. -errno, also if the seals are not there afterwards.
 */
int tpi_segment_seal(struct tpi_segment *segment);

/*
 * Maps a received fd whole, MADV_DONTFORK and MADV_DONTDUMP. Checks that it is a
 * sealed memfd (SHRINK, GROW) and not larger than limit_bytes.
 * -EPERM it is not sealed. -EFBIG. -EACCES the fd does not allow `writable`.
 * -EBADMSG too short for a header, else what mmap or madvise said.
 */
int tpi_map_fd(struct tpi_map *map, int fd, bool writable, uint64_t limit_bytes,
	       char *error, size_t error_bytes);
void tpi_map_close(struct tpi_map *map);

/*
 * The same for several, with one call of the kernel for what lies side by side: a
 * producer maps the cursors of every group slot, and unmapping each by itself
 * interrupts the other CPUs each time. On an error nothing is left mapped.
 */
int tpi_map_fds(struct tpi_map *maps, const int *fds, unsigned int count,
		bool writable, uint64_t limit_bytes, char *error,
		size_t error_bytes);
void tpi_maps_close(struct tpi_map *maps, unsigned int count);

#endif
