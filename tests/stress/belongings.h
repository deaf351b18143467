/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Belongings of processes, seen from outside, in /proc: descriptors by their kind, and the
 * memory of segments, which a process has by a descriptor or by a mapping.
 */
#ifndef TEST_BELONGINGS_H
#define TEST_BELONGINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BELONGINGS_KINDS    64
#define BELONGINGS_SEGMENTS 16384

/* Descriptors of a process, by the text of their link without its numbers. */
struct descriptors {
	struct {
		char kind[64];
		uint32_t count;
	} of[BELONGINGS_KINDS];
	uint32_t kinds;
	uint32_t count;
};
void descriptors_read(struct descriptors *d, pid_t pid);
/* Prints both, if they differ. */
bool descriptors_same(const struct descriptors *a, const struct descriptors *b,
		      const char *whose);

/* Segments of a broker, by the numbers of their files. */
struct segments {
	struct segment {
		uint64_t file;  /* device and inode */
		uint64_t bytes; /* that the kernel has given to it */
		bool huge;
	} of[BELONGINGS_SEGMENTS];
	uint32_t count;
};
/* Adds those that the process has a descriptor of, or (mapped) maps. */
void segments_add(struct segments *s, pid_t pid, bool mapped);
uint64_t segments_bytes(const struct segments *s, bool huge);
bool segments_have(const struct segments *s, uint64_t file);
/*
 * Adds to `found` those of `ever` that any process of the machine has. How many
 * processes have some of it. `except`: processes that are not looked at.
 */
uint32_t segments_search(struct segments *found, const struct segments *ever,
			 const pid_t *except, uint32_t except_count);
/* Whether another process than this one maps huge pages. */
bool others_use_huge_pages(pid_t pid);

/* A line "name: number" of a file, or 0. */
uint64_t proc_number(const char *path, const char *name);
/* Descendants of this process with that name. */
uint32_t descendants(const char *name, pid_t *pids, uint32_t max);
/* Names in a folder, in their order, one a line. The caller frees it. */
char *folder_names(const char *path);

#endif
