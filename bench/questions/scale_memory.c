/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a broker's process, as the kernel counts it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/questions/scale.h"

uint64_t scale_own_bytes(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
	uint64_t kib = 0;
	char line[256];

	if (!rollup)
		return 0;
	while (fgets(line, sizeof(line), rollup))
		if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1)
			break;
	fclose(rollup);
	return kib << 10;
}

uint64_t scale_memfd_bytes(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t from, to, sum = 0;
	char line[512], *at;

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		at = strstr(line, "/memfd:");
		if (at && !strncmp(at + 7, name, strlen(name)) &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2)
			sum += to - from;
	}
	fclose(maps);
	return sum;
}

int scale_need_fds(uint64_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max >= count)
		return 0;
	bench_why("needs %" PRIu64 " descriptors, the hard limit is %" PRIu64,
		  count, (uint64_t)limit.rlim_max);
	return BENCH_ABSENT;
}
