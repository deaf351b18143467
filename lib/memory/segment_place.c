/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placing a segment's pages and finding out where they really are.
 *
 * Called by segment.c alone, between mmap and sealing. The request and the
 * result may differ on every kernel (a cpuset, a seccomp profile, an exhausted
 * node), so each step here ends in a fact for the report and not in an
 * assumption.
 */
#include "lib/memory/segment_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/sys.h"

#define CHUNK 512 /* pages per question to the kernel: 6 KiB of stack */

void tpi_place_bind(const struct tpi_map *map, struct tapio_shm_segment *report)
{
	int err;

	if (report->node == UINT32_MAX)
		return;
	err = tpi_sys_mbind(map->base, map->bytes, report->node);
	if (err) {
		report->placement = TAPIO_PLACED_UNBOUND;
		report->placement_errno = -err;
	}
}

/* For kernels before 5.14. Never on hugetlb: see below. */
static void touch(const struct tpi_map *map)
{
	for (uint64_t at = 0; at < map->bytes; at += map->page_bytes)
		*(volatile unsigned char *)(map->base + at) = 0;
}

int tpi_place_populate(const struct tpi_map *map, unsigned int rung)
{
	int err;

	do {
		err = tpi_sys_madvise(map->base, map->bytes,
				      MADV_POPULATE_WRITE);
	} while (err == -EINTR || err == -EAGAIN);
	/* A SIGBUS stands for a lack of pages. */
	if (err == -EFAULT)
		return -ENOMEM;
	/*
	 * Touching shmem cannot be refused. Touching hugetlb can, by a signal,
	 * when the pool or the cgroup's limit runs out half way. Without the
	 * call that fails cleanly there is no hugetlb.
	 */
	if (err == -EINVAL && rung != TAPIO_RUNG_HUGETLB) {
		touch(map);
		return 0;
	}
	return err;
}

/* Counts pages of a chunk that are not on the node (or nowhere at all). */
static int count_misplaced(const struct tpi_map *map, uint64_t at,
			   uint32_t node, uint64_t *misplaced, size_t *done)
{
	void *pages[CHUNK];
	int status[CHUNK];
	size_t n = 0;
	int err;

	for (; n < CHUNK && at < map->bytes; n++, at += map->page_bytes)
		pages[n] = map->base + at;
	err = tpi_sys_page_nodes(pages, status, n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		*misplaced += status[i] != (int)node;
	*done = n;
	return 0;
}

void tpi_place_verify(const struct tpi_map *map,
		      struct tapio_shm_segment *report)
{
	bool unbound = report->placement == TAPIO_PLACED_UNBOUND;
	uint64_t at = 0, misplaced = 0;
	size_t done;
	int err;

	if (report->node == UINT32_MAX)
		return;
	for (; at < map->bytes; at += done * map->page_bytes) {
		err = count_misplaced(map, at, report->node, &misplaced, &done);
		if (err < 0) {
			/* UNBOUND says more, and has its own errno. */
			if (!unbound)
				report->placement_errno = -err;
			report->misplaced_pages = UINT64_MAX;
			return;
		}
	}
	report->misplaced_pages = misplaced;
	if (!unbound)
		report->placement = misplaced ? TAPIO_PLACED_ELSEWHERE
					      : TAPIO_PLACED_VERIFIED;
}

uint64_t tpi_place_huge_bytes(const struct tpi_map *map)
{
	static const char key[] = "ShmemPmdMapped:";
	uint64_t from, to, kib, total = 0;
	const uint64_t base = (uintptr_t)map->base;
	bool ours = false;
	char line[512], permissions[8];
	FILE *file = fopen("/proc/self/smaps", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to,
			   permissions) == 3)
			ours = from >= base && from - base < map->bytes;
		else if (ours && !strncmp(line, key, sizeof(key) - 1) &&
			 sscanf(line + sizeof(key) - 1, "%" SCNu64, &kib) == 1)
			total += kib * 1024;
	}
	fclose(file);
	return total;
}

static int64_t read_number(const char *path)
{
	int64_t value = -1;
	FILE *file = fopen(path, "re");

	if (!file)
		return -1;
	if (fscanf(file, "%" SCNd64, &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

int64_t tpi_place_pool_free(int node)
{
	static const char pool[] = "/sys/kernel/mm/hugepages/hugepages-2048kB";
	int64_t unused, reserved;
	char path[128];

	if (node >= 0) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%d/hugepages/"
			 "hugepages-2048kB/free_hugepages",
			 node);
		return read_number(path);
	}
	snprintf(path, sizeof(path), "%s/free_hugepages", pool);
	unused = read_number(path);
	snprintf(path, sizeof(path), "%s/resv_hugepages", pool);
	reserved = read_number(path);
	return reserved > 0 && unused >= reserved ? unused - reserved : unused;
}

/* Adds up the KiB of the lines of a meminfo file that have one of the keys. */
static uint64_t sum_kib(const char *path, const char *const *keys)
{
	uint64_t kib, total = 0;
	bool found = false;
	char line[256];
	const char *at;
	FILE *file = fopen(path, "re");

	if (!file)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; keys[i]; i++) {
			at = strstr(line, keys[i]);
			if (!at ||
			    sscanf(at + strlen(keys[i]), "%" SCNu64, &kib) != 1)
				continue;
			total += kib;
			found = true;
		}
	fclose(file);
	return found ? total : UINT64_MAX;
}

uint64_t tpi_place_available(int node)
{
	static const char *const whole[] = {"MemAvailable:", NULL};
	static const char *const part[] = {
		" MemFree:", " Active(file):", " Inactive(file):",
		" SReclaimable:", NULL};
	uint64_t kib;
	char path[64];

	if (node < 0) {
		kib = sum_kib("/proc/meminfo", whole);
	} else {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%d/meminfo", node);
		kib = sum_kib(path, part);
	}
	return kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
}
