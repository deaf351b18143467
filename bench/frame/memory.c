/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for rings and tables that is on the same kind of pages as Tapio's
 * segments: huge ones from the pool, else transparent huge ones, else plain
 * ones. A peer MUST NOT lose against Tapio by its page size.
 *
 * A forked process has the mappings but not their pages, and would take a fault
 * for each while the clock runs. So every side maps them before it begins.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/frame/frame.h"

#define HUGE_BYTES  (UINT64_C(2) << 20)
#define REGIONS_MAX 64

static struct {
	void *memory;
	uint64_t bytes;
} regions[REGIONS_MAX];

/* Memory of less than a quarter of a huge page does not ask for one. */
static bool is_large(uint64_t bytes)
{
	return bytes >= HUGE_BYTES / 4;
}

static uint64_t mapped_bytes(uint64_t bytes)
{
	return is_large(bytes) ? (bytes + HUGE_BYTES - 1) & -HUGE_BYTES : bytes;
}

static void *map(void *at, uint64_t bytes, int flags)
{
	void *memory = mmap(at, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* At a multiple of a huge page, or the kernel cannot use one. */
static void *map_aligned(uint64_t bytes)
{
	const uint64_t reserved = bytes + HUGE_BYTES;
	unsigned char *all, *memory, *end;

	all = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (all == MAP_FAILED)
		return NULL;
	memory = all + (-(uintptr_t)all & (HUGE_BYTES - 1));
	end = memory + bytes;
	if (memory > all)
		munmap(all, (size_t)(memory - all));
	if (end < all + reserved)
		munmap(end, (size_t)(all + reserved - end));
	if (!map(memory, bytes, MAP_FIXED)) {
		munmap(memory, bytes);
		return NULL;
	}
	madvise(memory, bytes, MADV_HUGEPAGE);
	return memory;
}

static bool remember(void *memory, uint64_t bytes)
{
	for (int i = 0; i < REGIONS_MAX; i++)
		if (!regions[i].memory) {
			regions[i].memory = memory;
			regions[i].bytes = bytes;
			return true;
		}
	return false;
}

void *bench_memory(uint64_t bytes)
{
	const uint64_t mapped = mapped_bytes(bytes);
	void *memory = NULL;

	if (is_large(bytes)) {
		memory = map(NULL, mapped, MAP_HUGETLB);
		if (!memory)
			memory = map_aligned(mapped);
	} else if (bytes) {
		memory = map(NULL, mapped, 0);
	}
	if (memory && !madvise(memory, mapped, MADV_POPULATE_WRITE) &&
	    remember(memory, mapped))
		return memory;
	bench_why("no memory for %llu bytes: %s", (unsigned long long)bytes,
		  strerror(errno));
	if (memory)
		munmap(memory, mapped);
	return NULL;
}

void bench_memory_free(void *memory, uint64_t bytes)
{
	for (int i = 0; memory && i < REGIONS_MAX; i++)
		if (regions[i].memory == memory)
			regions[i].memory = NULL;
	if (memory)
		munmap(memory, mapped_bytes(bytes));
}

void bench_memory_touch(void)
{
	for (int i = 0; i < REGIONS_MAX; i++)
		if (regions[i].memory)
			madvise(regions[i].memory, regions[i].bytes,
				MADV_POPULATE_WRITE);
}
