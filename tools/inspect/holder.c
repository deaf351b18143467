/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is there a process that keeps a memory for the next broker? It holds the descriptors; clients
 * close theirs once they have mapped them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/segment_set.h"

static bool is_held_by(const struct tpi_segment_set_entry *catalog, pid_t pid)
{
	struct dirent *entry;
	bool found = false;
	char path[64];
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)))
		found = !fstatat(dirfd(dir), entry->d_name, &st, 0) &&
			st.st_dev == catalog->device &&
			st.st_ino == catalog->inode;
	closedir(dir);
	return found;
}

static pid_t find(const struct tpi_segment_set_entry *catalog)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;
	char *end;
	long pid;

	if (!proc)
		return 0;
	while (!found && (entry = readdir(proc))) {
		pid = strtol(entry->d_name, &end, 10);
		if (!*end && pid > 0 && pid <= INT_MAX && pid != getpid() &&
		    is_held_by(catalog, (pid_t)pid))
			found = (pid_t)pid;
	}
	closedir(proc);
	return found;
}

pid_t tpi_inspect_holder(const struct tpi_inspect *inspect)
{
	const struct tpi_segment_set *set = inspect->set;

	for (uint32_t i = 0; i < set->count; i++)
		if (set->entries[i].map.base == inspect->catalog.map.base)
			return find(&set->entries[i]);
	return 0;
}
