/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding segments in /proc: for a broker that does not answer because it is
 * stopped, wedged or dead.
 *
 * A process that holds a segment's descriptor (the broker, its keeper) shows it
 * in /proc/PID/fd. One that only maps it shows it in /proc/PID/map_files, which
 * root may open. Opening either gives a descriptor of our own, O_RDONLY, and
 * asks nothing of the process.
 *
 * Nothing in there is believed for its name. The file is looked into if it belongs to
 * a user that we believe, and if all of it is there. So what is mapped and made of it
 * in our memory is bounded by what its owner has paid for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/inspect/segment_set.h"

/* How links to memfds of Tapio begin (the broker names them tapio-...). */
#define LINK_PREFIX "/memfd:tapio"

#define STAT_BLOCK_BYTES 512 /* of st_blocks, whatever the file system */

/* A catalog is measured before anything is made of it in our memory. The others are
 * mapped to be read: a hole costs us nothing, and a client may punch one into its own. */
static bool is_believed(struct tpi_segment_set *set, int fd, bool catalog)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return false;
	for (uint32_t i = 0; i < set->believed_count; i++) {
		if (set->believed[i] != st.st_uid)
			continue;
		if (!catalog || st.st_size / STAT_BLOCK_BYTES <= st.st_blocks)
			return true;
		set->sparse++;
		return false;
	}
	set->foreign++;
	set->foreign_uid = st.st_uid;
	return false;
}

/* Adds what one link of a folder in /proc leads to. */
static int add_link(struct tpi_segment_set *set, int dir, const char *name,
		    pid_t pid)
{
	char target[sizeof(LINK_PREFIX)];
	int fd, err = 0;

	if (readlinkat(dir, name, target, sizeof(target) - 1) <
		    (ssize_t)strlen(LINK_PREFIX) ||
	    memcmp(target, LINK_PREFIX, strlen(LINK_PREFIX)))
		return 0;
	/* It may be a pipe of that name. */
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno == EACCES || errno == EPERM)
			set->denied = true;
		return 0;
	}
	if (is_believed(set, fd, tpi_segment_set_has_catalog_name(fd)))
		err = tpi_segment_set_add(set, fd, pid);
	close(fd);
	return err;
}

static int add_folder(struct tpi_segment_set *set, pid_t pid,
		      const char *folder)
{
	struct dirent *entry;
	char path[64];
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, folder);
	dir = opendir(path);
	if (!dir) {
		if (errno == EACCES || errno == EPERM)
			set->denied = true;
		return errno == ENOMEM ? -ENOMEM : 0;
	}
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = add_link(set, dirfd(dir), entry->d_name, pid);
	closedir(dir);
	return err;
}

int tpi_segment_set_from_fds(struct tpi_segment_set *set, pid_t pid)
{
	return add_folder(set, pid, "fd");
}

int tpi_segment_set_from_map_files(struct tpi_segment_set *set, pid_t pid)
{
	return add_folder(set, pid, "map_files");
}

int tpi_segment_set_from_all(struct tpi_segment_set *set,
			     int (*from)(struct tpi_segment_set *set,
					 pid_t pid))
{
	struct dirent *entry;
	int err = 0;
	char *end;
	long pid;
	DIR *proc = opendir("/proc");

	if (!proc)
		return -errno;
	while (!err && (entry = readdir(proc))) {
		pid = strtol(entry->d_name, &end, 10);
		if (*end || pid <= 0 || pid > INT_MAX || pid == getpid())
			continue;
		err = from(set, (pid_t)pid);
	}
	closedir(proc);
	return err;
}
