/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups of the host for containers: to pause one, and to limit its memory. */
#ifndef TEST_CONTAINER_CGROUP_H
#define TEST_CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct container_cgroup {
	char directory[128];
	int version; /* of cgroups, 1 or 2. 0: this machine has none that can be made */
};

/* A cgroup of that name with a freezer, or with a limit of memory. */
bool cgroup_freezer(struct container_cgroup *cgroup, const char *name);
bool cgroup_memory(struct container_cgroup *cgroup, const char *name,
		   uint64_t limit_bytes);
/* After its last process has ended. */
void cgroup_remove(struct container_cgroup *cgroup);

/* All processes in it. Returns when it is done. */
void cgroup_freeze(const struct container_cgroup *cgroup, bool frozen);
/* The most that it has used. */
uint64_t cgroup_used(const struct container_cgroup *cgroup);

#endif
