/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching, and reading counts and maps of loaded programs. See programs.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <tpi_ebpf.skel.h>

#include "tools/collectors/ebpf/programs_inner.h"
#include "tools/common/tool.h"

bool tpi_ebpf_programs_have(const struct tpi_ebpf_programs *programs,
			    enum tpi_ebpf_source source)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (tpi_ebpf_programs[i].source == source && programs->loads[i])
			return true;
	return false;
}

int tpi_ebpf_programs_ring(const struct tpi_ebpf_programs *programs, int cpu,
			   int ring, int fd)
{
	uint32_t key = (uint32_t)(cpu * TPI_EBPF_RINGS + ring);

	return bpf_map_update_elem(bpf_map__fd(programs->skeleton->maps.rings),
				   &key, &fd, BPF_ANY)
		       ? -errno
		       : 0;
}

/* ---- attaching -------------------------------------------------------------------- */

static bool is_cgroup2(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Alone, or beside the older hierarchies. */
static const char *cgroup_root(const struct tpi_ebpf_values *values)
{
	static const char *const paths[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};

	if (values->cgroup_root)
		return values->cgroup_root;
	return is_cgroup2(paths[0]) ? paths[0] : paths[1];
}

static struct bpf_link *attach_cgroup(const struct tpi_ebpf_programs *programs,
				      int index)
{
	const char *root = cgroup_root(programs->values);
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct bpf_link *link = NULL;
	int err;

	if (fd < 0) {
		err = errno;
		tpi_say("cgroups at %s: %s", root, strerror(err));
		errno = err;
		return NULL;
	}
	link = bpf_program__attach_cgroup(tpi_ebpf_program_of(programs, index),
					  fd);
	err = errno;
	close(fd);
	errno = err;
	return link;
}

/* Iterators run when they are read: see tpi_ebpf_programs_iterate(). */
static void attach_one(struct tpi_ebpf_programs *programs, int index)
{
	const struct tpi_ebpf_program *program = &tpi_ebpf_programs[index];
	struct bpf_link *link;
	char why[160];

	if (program->source == TPI_EBPF_SOURCE_EXISTING)
		return;
	link = program->tracepoint
		       ? bpf_program__attach_trace(
				 tpi_ebpf_program_of(programs, index))
		       : attach_cgroup(programs, index);
	programs->links[index] = link;
	if (link)
		return;
	snprintf(why, sizeof(why), "it cannot be attached: %s%s",
		 strerror(errno),
		 errno == EPERM && !program->tracepoint
			 ? " (it takes CAP_NET_ADMIN)"
			 : "");
	tpi_ebpf_leave_out(programs, index, why);
}

int tpi_ebpf_programs_attach(struct tpi_ebpf_programs *programs)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (programs->loads[i])
			attach_one(programs, i);
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (programs->loads[i])
			return 0;
	return -ENOTSUP;
}

/*
 * Programs run where the kernel waits for nothing, so when each CPU has passed a place where it
 * could, none of them runs any more. Where the kernel has no such call, as with nohz_full, a
 * program may still run for a moment.
 */
static void wait_for_programs(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void tpi_ebpf_programs_detach(struct tpi_ebpf_programs *programs)
{
	bool any = false;

	for (int i = 0; i < tpi_ebpf_program_count; i++) {
		any |= programs->links[i] != NULL;
		bpf_link__destroy(programs->links[i]);
		programs->links[i] = NULL;
	}
	if (any)
		wait_for_programs();
}

void tpi_ebpf_programs_close(struct tpi_ebpf_programs *programs)
{
	tpi_ebpf_programs_detach(programs);
	tpi_ebpf_skeleton__destroy(programs->skeleton);
	programs->skeleton = NULL;
}

/* ---- counts ----------------------------------------------------------------------- */

int tpi_ebpf_programs_counts(const struct tpi_ebpf_programs *programs,
			     struct tpi_ebpf_count counts[TPI_EBPF_KINDS])
{
	const int map = bpf_map__fd(programs->skeleton->maps.counts);
	struct tpi_ebpf_count *each =
		calloc((size_t)programs->cpus, sizeof(*each));
	int err = each ? 0 : -ENOMEM;

	memset(counts, 0, TPI_EBPF_KINDS * sizeof(*counts));
	for (uint32_t kind = 0; !err && kind < TPI_EBPF_KINDS; kind++) {
		if (bpf_map_lookup_elem(map, &kind, each))
			err = -errno;
		for (int cpu = 0; !err && cpu < programs->cpus; cpu++) {
			counts[kind].seen += each[cpu].seen;
			counts[kind].refused += each[cpu].refused;
		}
	}
	free(each);
	return err;
}

static uint64_t missed_by(const struct tpi_ebpf_programs *programs, int index)
{
	struct bpf_prog_info info = {0};
	uint32_t bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(
		    bpf_program__fd(tpi_ebpf_program_of(programs, index)),
		    &info, &bytes))
		return 0;
	return info.recursion_misses;
}

uint64_t tpi_ebpf_programs_missed(const struct tpi_ebpf_programs *programs,
				  enum tpi_ebpf_kind kind)
{
	uint64_t sum = 0;

	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (programs->loads[i] && tpi_ebpf_programs[i].kind == kind)
			sum += missed_by(programs, i);
	return sum;
}

/* ---- iterators and maps ------------------------------------------------------------- */

static int iterate(struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	int fd;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	fd = fd < 0 ? -errno : fd;
	bpf_link__destroy(link); /* the descriptor holds what it needs */
	return fd;
}

int tpi_ebpf_programs_iterate(const struct tpi_ebpf_programs *programs,
			      const char *program)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (!strcmp(tpi_ebpf_programs[i].name, program))
			return programs->loads[i] ? iterate(tpi_ebpf_program_of(
							    programs, i))
						  : -ENOENT;
	return -ENOENT;
}

int tpi_ebpf_programs_map(const struct tpi_ebpf_programs *programs,
			  const char *map)
{
	int fd = bpf_object__find_map_fd_by_name(programs->skeleton->obj, map);

	return fd < 0 ? -ENOENT : fd;
}
