/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a pod to its cgroups. See the header.
 *
 * Uid and class come from the API server and become part of a path. So they are checked: a
 * uid with a slash, or with a dot, names no pod.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "tools/collectors/kubernetes/cgroup.h"

#define UID_BYTES 64

static int open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int tpi_kube_cgroup_open(const char *path)
{
	static const char *const paths[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};

	if (path)
		return open_dir(AT_FDCWD, path);
	for (int i = 0; i < 2; i++) {
		struct statfs fs;
		int fd = open_dir(AT_FDCWD, paths[i]);

		if (fd < 0)
			continue;
		if (!fstatfs(fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
			return fd;
		close(fd);
	}
	return -ENOENT;
}

/* A copy with another character for each dash. False: it is no uid. */
static bool copy_uid(struct tpi_kube_span uid, char dash, char *out)
{
	if (!uid.length || uid.length >= UID_BYTES)
		return false;
	for (size_t i = 0; i < uid.length; i++) {
		char c = uid.at[i];

		if (!isalnum((unsigned char)c) && c != '-')
			return false;
		out[i] = c == '-' ? dash : c;
	}
	out[uid.length] = '\0';
	return true;
}

/* "burstable", "besteffort", or "" for Guaranteed. NULL: it is not known. */
static const char *class_of(struct tpi_kube_span qos)
{
	static const char *const names[] = {"Guaranteed", "Burstable",
					    "BestEffort"};
	static const char *const classes[] = {"", "burstable", "besteffort"};

	for (int i = 0; i < 3; i++)
		if (qos.length == strlen(names[i]) &&
		    !memcmp(qos.at, names[i], qos.length))
			return classes[i];
	return NULL;
}

static int open_pod(int root, const struct tpi_kube_object *pod)
{
	char path[512], uid[UID_BYTES];
	const char *class = class_of(pod->qos);

	if (!class || !copy_uid(pod->cgroup_uid, '_', uid))
		return -ENOENT;
	if (*class)
		snprintf(path, sizeof(path),
			 "kubepods.slice/kubepods-%s.slice/"
			 "kubepods-%s-pod%s.slice",
			 class, class, uid);
	else
		snprintf(path, sizeof(path),
			 "kubepods.slice/kubepods-pod%s.slice", uid);
	int fd = open_dir(root, path);
	if (fd >= 0)
		return fd;
	copy_uid(pod->cgroup_uid, '-', uid);
	snprintf(path, sizeof(path), "kubepods/%s%spod%s", class,
		 *class ? "/" : "", uid);
	return open_dir(root, path);
}

/* Whether a directory is a container's: ID, RUNTIME-ID.scope, RUNTIME-ID. */
static bool is_of(const char *name, struct tpi_kube_span id)
{
	const char *at =
		id.length ? memmem(name, strlen(name), id.at, id.length) : NULL;

	if (!at || (at > name && at[-1] != '-'))
		return false;
	return !at[id.length] || !strcmp(at + id.length, ".scope");
}

static void look_at(DIR *directory, const struct tpi_kube_object *pod,
		    const char *name, struct tpi_kube_cgroups *out)
{
	struct stat st;

	for (size_t i = 0; i < pod->container_count; i++) {
		if (!is_of(name, pod->containers[i].id))
			continue;
		if (!fstatat(dirfd(directory), name, &st,
			     AT_SYMLINK_NOFOLLOW) &&
		    S_ISDIR(st.st_mode))
			out->containers[i] = st.st_ino;
	}
}

void tpi_kube_cgroup_find(int root, const struct tpi_kube_object *pod,
			  struct tpi_kube_cgroups *out)
{
	struct dirent *entry;
	struct stat st;

	memset(out, 0, sizeof(*out));
	int fd = open_pod(root, pod);
	if (fd < 0)
		return;
	if (!fstat(fd, &st))
		out->pod = st.st_ino;
	DIR *directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return;
	}
	while ((entry = readdir(directory)) != NULL)
		look_at(directory, pod, entry->d_name, out);
	closedir(directory);
}
