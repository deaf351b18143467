/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of segments: a request, and the open files of a
 * process. */
#ifndef TAPIO_TESTS_SEGMENT_FIXTURE_H
#define TAPIO_TESTS_SEGMENT_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/segment.h"
#include "tests/check_main.h"

/* As segments are named here, so that they can be found in /proc/self/maps. */
#define SEGMENT_NAME "tapio-test"

static char error[1024];

static inline struct tpi_segment_request request_of(uint64_t bytes,
						    unsigned int first_rung)
{
	struct tpi_segment_request request = {
		.name = SEGMENT_NAME,
		.bytes = bytes,
		.node = -1,
		.first_rung = first_rung,
	};

	return request;
}

static inline int create(struct tpi_segment *segment,
			 const struct tpi_segment_request *request)
{
	strcpy(error, "untouched");
	return tpi_segment_create(segment, request, error, sizeof(error));
}

/* Plain pages, which every machine has. */
static inline void create_plain(struct tpi_segment *segment, uint64_t bytes)
{
	struct tpi_segment_request request =
		request_of(bytes, TAPIO_RUNG_PAGES);
	int err = create(segment, &request);

	ck_assert_msg(err == 0, "%d: %s", err, error);
	ck_assert_str_eq(error, "");
}

static inline void assert_text(const char *part)
{
	ck_assert_msg(strstr(error, part) != NULL, "no \"%s\" in \"%s\"", part,
		      error);
}

static inline unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static inline unsigned int mapped_segments(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, SEGMENT_NAME) != NULL;
	fclose(file);
	return count;
}

/* True when /proc/self/smaps gives the mapping that flag of two letters. */
static inline bool has_flag(const void *base, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool ours = false, found = false;
	uint64_t from, to;
	char line[512], rights[8], *at;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to,
			   rights) == 3)
			ours = from == (uintptr_t)base;
		at = ours && !strncmp(line, "VmFlags:", 8)
			     ? strstr(line + 8, flag)
			     : NULL;
		found |= at && at[-1] == ' ' && strchr(" \n", at[2]);
	}
	fclose(file);
	return found;
}

static inline uint64_t resident_pages(const struct tpi_map *map)
{
	uint64_t pages = map->bytes / 4096, count = 0;
	unsigned char *seen = malloc(pages);

	ck_assert_ptr_nonnull(seen);
	ck_assert_int_eq(mincore(map->base, map->bytes, seen), 0);
	for (uint64_t i = 0; i < pages; i++)
		count += seen[i] & 1;
	free(seen);
	return count;
}

#endif
