/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The path of a file, as in its mount namespace. bpf_d_path() is not allowed in
 * tracepoints, so this walks from the file to the root, remembers the names, and writes
 * them in the opposite order. It takes no lock: a file that is renamed meanwhile may get a
 * path that it never had.
 */
#ifndef TPI_EBPF_PATH_H
#define TPI_EBPF_PATH_H

#include "tools/collectors/ebpf/kernel/probe.h"

#define PATH_DEPTH  32
#define MOUNT_DEPTH 8
#define NAME_BYTES  256

/*
 * Where a path is made: a name that begins before `path` ends has room behind it. The two
 * numbers are kept here and not in registers: the verifier knows nothing of what is in
 * memory, and so looks at each turn of the loops once, and not once for each value that
 * they may have then.
 */
struct path_room {
	const unsigned char *names[PATH_DEPTH];
	uint64_t depth;
	uint64_t length;
	uint32_t cut;
	char path[TPI_EBPF_PATH_BYTES + NAME_BYTES];
};

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* Stores the names from the file upwards. */
static __always_inline void
path_names(struct path_room *room, struct vfsmount *mnt, struct dentry *dentry)
{
	struct mount *mount = mount_of(mnt);

	room->depth = 0;
	room->cut = 1;
	for (int i = 0; i < PATH_DEPTH + MOUNT_DEPTH; i++) {
		struct dentry *root = BPF_CORE_READ(mount, mnt.mnt_root);
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		uint64_t depth = room->depth;

		if (dentry == root) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount) {
				room->cut = 0;
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		if (depth >= PATH_DEPTH)
			break;
		/* Of no directory: what is left of a tree, or a memfd, which has a name. */
		if (dentry == parent && depth) {
			room->cut = 0;
			break;
		}
		room->names[depth] = BPF_CORE_READ(dentry, d_name.name);
		room->depth = depth + 1;
		if (dentry == parent) {
			room->cut = 0;
			break;
		}
		dentry = parent;
	}
}

/* Appends a name. False: there is no room. */
static __always_inline bool path_append(struct path_room *room,
					const unsigned char *name)
{
	uint64_t at = room->length;
	long bytes;

	if (at >= TPI_EBPF_PATH_BYTES - 1)
		return false;
	room->path[at] = '/';
	bytes = bpf_probe_read_kernel_str(&room->path[at + 1], NAME_BYTES,
					  name);
	room->length = at + (bytes > 0 ? (uint64_t)bytes : 1);
	return true;
}

/*
 * Makes room->path, with its NUL. Returns its length with the NUL, at most
 * TPI_EBPF_PATH_BYTES.
 */
static __always_inline uint64_t path_make(struct path_room *room,
					  struct vfsmount *mnt,
					  struct dentry *dentry)
{
	uint64_t length;

	path_names(room, mnt, dentry);
	room->length = 0;
	for (uint64_t i = 0; i < PATH_DEPTH; i++) {
		uint64_t n = room->depth - 1 - i;

		if (n >= PATH_DEPTH)
			break;
		if (!path_append(room, room->names[n]))
			break;
	}
	length = room->length;
	if (!length)
		room->path[length++] = '/';
	if (length > TPI_EBPF_PATH_BYTES - 1) {
		length = TPI_EBPF_PATH_BYTES - 1;
		room->cut = 1;
	}
	room->path[length] = 0;
	return length + 1;
}

#endif
