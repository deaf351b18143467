/* SPDX-License-Identifier: Apache-2.0 */
/* See container_cgroup.h. */
#include "tests/fault/container_cgroup.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool put(const struct container_cgroup *cgroup, const char *file,
		const char *text)
{
	ssize_t length = (ssize_t)strlen(text);
	char path[192];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup->directory, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, text, (size_t)length) == length;
	if (fd >= 0)
		close(fd);
	return done;
}

static const char *get(const struct container_cgroup *cgroup, const char *file)
{
	static char text[256];
	char path[192];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup->directory, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* It counts if it has that file. */
static bool make(struct container_cgroup *cgroup, int version, const char *top,
		 const char *name, const char *file)
{
	char path[192];

	snprintf(cgroup->directory, sizeof(cgroup->directory), "%s/tapio-%s-%d",
		 top, name, getpid());
	if (mkdir(cgroup->directory, 0755))
		return false;
	snprintf(path, sizeof(path), "%s/%s", cgroup->directory, file);
	cgroup->version = access(path, W_OK) ? 0 : version;
	if (!cgroup->version)
		rmdir(cgroup->directory);
	return cgroup->version;
}

static bool find(struct container_cgroup *cgroup, const char *name,
		 const char *first, const char *file_1, const char *file_2)
{
	*cgroup = (struct container_cgroup){.version = 0};
	if (make(cgroup, 1, first, name, file_1) ||
	    make(cgroup, 2, "/sys/fs/cgroup", name, file_2) ||
	    make(cgroup, 2, "/sys/fs/cgroup/unified", name, file_2))
		return true;
	fprintf(stderr, "skipped: no cgroup with %s or %s can be made\n",
		file_1, file_2);
	return false;
}

bool cgroup_freezer(struct container_cgroup *cgroup, const char *name)
{
	return find(cgroup, name, "/sys/fs/cgroup/freezer", "freezer.state",
		    "cgroup.freeze");
}

bool cgroup_memory(struct container_cgroup *cgroup, const char *name,
		   uint64_t limit_bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, limit_bytes);
	if (!find(cgroup, name, "/sys/fs/cgroup/memory",
		  "memory.limit_in_bytes", "memory.max"))
		return false;
	ck_assert(put(cgroup,
		      cgroup->version == 1 ? "memory.limit_in_bytes"
					   : "memory.max",
		      text));
	return true;
}

void cgroup_remove(struct container_cgroup *cgroup)
{
	for (int i = 0; i < 500 && rmdir(cgroup->directory); i++)
		usleep(10000);
	ck_assert_int_ne(access(cgroup->directory, F_OK), 0);
}

static bool is_frozen(const struct container_cgroup *cgroup, bool frozen)
{
	if (cgroup->version == 1)
		return !strcmp(get(cgroup, "freezer.state"),
			       frozen ? "FROZEN\n" : "THAWED\n");
	return strstr(get(cgroup, "cgroup.events"),
		      frozen ? "frozen 1" : "frozen 0") != NULL;
}

void cgroup_freeze(const struct container_cgroup *cgroup, bool frozen)
{
	if (cgroup->version == 1)
		ck_assert(put(cgroup, "freezer.state",
			      frozen ? "FROZEN" : "THAWED"));
	else
		ck_assert(put(cgroup, "cgroup.freeze", frozen ? "1" : "0"));
	for (int i = 0; i < 1000 && !is_frozen(cgroup, frozen); i++)
		usleep(10000);
	ck_assert(is_frozen(cgroup, frozen));
}

uint64_t cgroup_used(const struct container_cgroup *cgroup)
{
	return strtoull(get(cgroup, cgroup->version == 1
					    ? "memory.max_usage_in_bytes"
					    : "memory.peak"),
			NULL, 10);
}
