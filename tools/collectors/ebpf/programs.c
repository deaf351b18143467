/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading. See the header.
 *
 * libbpf loads all programs or none. So where it fails for one of them, that one is left
 * out and all is opened and loaded again. Nothing is attached before, so a kernel that
 * refuses half of the programs costs time at the start and nothing else.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <tpi_ebpf.skel.h>

#include "tools/collectors/ebpf/programs_inner.h"
#include "tools/collectors/ebpf/said.h"
#include "tools/common/tool.h"

#define SOURCE(name) TPI_EBPF_SOURCE_##name

/* clang-format off */
const struct tpi_ebpf_program tpi_ebpf_programs[] = {
	{"process_exec", SOURCE(PROCESS), "sched_process_exec", TPI_EBPF_EXEC, NULL, false, NULL},
	{"process_fork", SOURCE(PROCESS), "sched_process_fork", TPI_EBPF_FORK, NULL, false, NULL},
	{"process_exit", SOURCE(PROCESS), "sched_process_exit", TPI_EBPF_EXIT,
	 tpi_ebpf_newer_exit, true, NULL},
	{"process_exit_old", SOURCE(PROCESS), "sched_process_exit", TPI_EBPF_EXIT,
	 tpi_ebpf_newer_exit, false, NULL},
	{"oom_victim", SOURCE(OOM), "mark_victim", TPI_EBPF_OOM,
	 tpi_ebpf_newer_victim, true, NULL},
	{"oom_victim_old", SOURCE(OOM), "mark_victim", TPI_EBPF_OOM,
	 tpi_ebpf_newer_victim, false, NULL},
	{"tcp_state", SOURCE(TCP), "inet_sock_set_state", TPI_EBPF_CONNECTION, NULL, false, NULL},
	{"tcp_retransmit", SOURCE(TCP), "tcp_retransmit_skb", TPI_EBPF_CONNECTION,
	 NULL, false, NULL},
	{"block_issue", SOURCE(BLOCK), "block_rq_issue", TPI_EBPF_BLOCK,
	 tpi_ebpf_newer_issue, true, NULL},
	{"block_issue_old", SOURCE(BLOCK), "block_rq_issue", TPI_EBPF_BLOCK,
	 tpi_ebpf_newer_issue, false, NULL},
	{"block_complete", SOURCE(BLOCK), "block_rq_complete", TPI_EBPF_BLOCK,
	 tpi_ebpf_newer_complete, true, NULL},
	{"block_complete_old", SOURCE(BLOCK), "block_rq_complete", TPI_EBPF_BLOCK,
	 tpi_ebpf_newer_complete, false, NULL},
	{"file_open", SOURCE(OPEN), "sys_exit", TPI_EBPF_OPEN, NULL, false, NULL},
	{"runqueue_wakeup", SOURCE(RUN_QUEUE), "sched_wakeup", TPI_EBPF_KINDS, NULL, false, NULL},
	{"runqueue_wakeup_new", SOURCE(RUN_QUEUE), "sched_wakeup_new", TPI_EBPF_KINDS,
	 NULL, false, NULL},
	{"runqueue_switch", SOURCE(RUN_QUEUE), "sched_switch", TPI_EBPF_KINDS, NULL, false, NULL},
	{"dns_query", SOURCE(DNS), NULL, TPI_EBPF_DNS, tpi_ebpf_newer_query, true, NULL},
	{"dns_query_old", SOURCE(DNS), NULL, TPI_EBPF_DNS, tpi_ebpf_newer_query, false, NULL},
	{"dns_answer", SOURCE(DNS), NULL, TPI_EBPF_DNS, NULL, false, NULL},
	{"existing_processes", SOURCE(EXISTING), NULL, TPI_EBPF_KINDS, NULL, false, NULL},
	{"existing_sockets", SOURCE(EXISTING), NULL, TPI_EBPF_KINDS, NULL, false, NULL},
	{"existing_sockets_own", SOURCE(EXISTING), NULL, TPI_EBPF_KINDS, NULL, false,
	 "existing_sockets"},
	{"existing_sockets_read", SOURCE(EXISTING), NULL, TPI_EBPF_KINDS, NULL, false,
	 "existing_sockets"},
};
/* clang-format on */
const int tpi_ebpf_program_count =
	sizeof(tpi_ebpf_programs) / sizeof(tpi_ebpf_programs[0]);
_Static_assert(sizeof(tpi_ebpf_programs) / sizeof(tpi_ebpf_programs[0]) <=
		       TPI_EBPF_PROGRAMS_MAX,
	       "TPI_EBPF_PROGRAMS_MAX");

struct bpf_program *
tpi_ebpf_program_of(const struct tpi_ebpf_programs *programs, int index)
{
	return bpf_object__find_program_by_name(programs->skeleton->obj,
						tpi_ebpf_programs[index].name);
}

void tpi_ebpf_leave_out(struct tpi_ebpf_programs *programs, int index,
			const char *why)
{
	programs->loads[index] = false;
	tpi_say("program '%s' (%s) is left out: %s",
		tpi_ebpf_programs[index].name,
		tpi_ebpf_source_names[tpi_ebpf_programs[index].source], why);
}

/* ---- which ------------------------------------------------------------------------ */

/* Sockets that exist belong to TCP, processes that exist to processes. */
static bool is_wanted(const struct tpi_ebpf_program *program,
		      const struct tpi_ebpf_values *values)
{
	if (program->source != TPI_EBPF_SOURCE_EXISTING)
		return tpi_ebpf_wants(values, program->source);
	return tpi_ebpf_wants(values, TPI_EBPF_SOURCE_EXISTING) &&
	       tpi_ebpf_wants(values,
			      strcmp(program->name, "existing_processes")
				      ? TPI_EBPF_SOURCE_TCP
				      : TPI_EBPF_SOURCE_PROCESS);
}

static void choose(struct tpi_ebpf_programs *programs, int index,
		   const struct btf *btf)
{
	const struct tpi_ebpf_program *program = &tpi_ebpf_programs[index];
	char why[160];

	if (!is_wanted(program, programs->values) || program->instead_of ||
	    (program->newer && program->newer(btf) != program->is_newer))
		return;
	programs->loads[index] = true;
	if (!program->tracepoint ||
	    tpi_ebpf_has_tracepoint(btf, program->tracepoint))
		return;
	snprintf(why, sizeof(why), "this kernel has no tracepoint '%s'",
		 program->tracepoint);
	tpi_ebpf_leave_out(programs, index, why);
}

static void choose_all(struct tpi_ebpf_programs *programs,
		       const struct btf *btf)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		choose(programs, i, btf);
}

static int choose_by_kernel(struct tpi_ebpf_programs *programs)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int err = btf ? 0 : -errno;

	if (err) {
		tpi_say("the kernel says nothing of its types "
			"(/sys/kernel/btf/vmlinux: %s): it needs "
			"CONFIG_DEBUG_INFO_BTF",
			strerror(-err));
		return err;
	}
	choose_all(programs, programs->kernel ? programs->kernel : btf);
	btf__free(btf);
	return 0;
}

/* ---- loading ---------------------------------------------------------------------- */

static bool loads(const struct tpi_ebpf_programs *programs, const char *name)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (!strcmp(tpi_ebpf_programs[i].name, name))
			return programs->loads[i];
	return false;
}

/* Their tables take some megabytes, which most kernels need not give. */
static int size_owners(struct tpi_ebpf_skeleton *s)
{
	int err;

	if (s->rodata->owners_by_address)
		return 0;
	err = bpf_map__set_max_entries(s->maps.former_owners, 1);
	return err ? err
		   : bpf_map__set_max_entries(s->maps.former_listeners, 1);
}

static int open_skeleton(struct tpi_ebpf_programs *programs)
{
	struct tpi_ebpf_skeleton *s = tpi_ebpf_skeleton__open();
	int err;

	if (!s)
		return -errno;
	programs->skeleton = s;
	s->rodata->own_pid = (uint32_t)getpid();
	s->rodata->block_threshold_ns = (uint64_t)programs->values->slow_io_ns;
	s->rodata->open_by_cgroup = programs->values->open_cgroups.count > 0;
	s->rodata->owners_by_address = loads(programs, "existing_sockets_read");
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		bpf_program__set_autoload(tpi_ebpf_program_of(programs, i),
					  programs->loads[i]);
	if (programs->adjust)
		programs->adjust(s->obj);
	err = size_owners(s);
	return err ? err
		   : bpf_map__set_max_entries(s->maps.rings,
					      (uint32_t)programs->cpus *
						      TPI_EBPF_RINGS);
}

static int load_once(struct tpi_ebpf_programs *programs)
{
	int err;

	tpi_ebpf_said_clear();
	err = open_skeleton(programs);
	if (!err)
		err = tpi_ebpf_skeleton__load(programs->skeleton);
	if (err) {
		tpi_ebpf_skeleton__destroy(programs->skeleton);
		programs->skeleton = NULL;
	}
	return err;
}

/* Others take the place of a program that this kernel refuses. False: there are none. */
static bool replace(struct tpi_ebpf_programs *programs, int index)
{
	const char *name = tpi_ebpf_programs[index].name;
	bool any = false;

	for (int i = 0; i < tpi_ebpf_program_count; i++) {
		const char *other = tpi_ebpf_programs[i].instead_of;

		if (!other || strcmp(other, name))
			continue;
		programs->loads[i] = any = true;
	}
	if (any)
		programs->loads[index] = false;
	return any;
}

/* The program that libbpf names, if it is one that was to be loaded. -1: none. */
static int culprit(const struct tpi_ebpf_programs *programs)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (programs->loads[i] &&
		    !strcmp(tpi_ebpf_programs[i].name, tpi_ebpf_said_program()))
			return i;
	return -1;
}

static int refuse(int err)
{
	char end[600];

	tpi_ebpf_said_end(end, sizeof(end));
	if (err == -EPERM)
		tpi_say("no right to load programs into the kernel: it takes "
			"CAP_BPF and CAP_PERFMON, and CAP_NET_ADMIN for dns (or "
			"root)");
	else
		tpi_say("cannot load programs into the kernel: %s%s%s",
			strerror(-err), end[0] ? ": " : "", end);
	return err;
}

static int any(const struct tpi_ebpf_programs *programs)
{
	for (int i = 0; i < tpi_ebpf_program_count; i++)
		if (programs->loads[i])
			return 0;
	tpi_say("no program is left: this kernel has nothing that was asked for");
	return -ENOTSUP;
}

static int load(struct tpi_ebpf_programs *programs)
{
	for (;;) {
		int err = any(programs);
		char end[600], why[700];
		int index;

		if (err)
			return err;
		err = load_once(programs);
		if (!err)
			return 0;
		index = err == -EPERM ? -1 : culprit(programs);
		if (index < 0)
			return refuse(err);
		if (replace(programs, index))
			continue;
		tpi_ebpf_said_end(end, sizeof(end));
		snprintf(why, sizeof(why), "the kernel refuses it (%s): %s",
			 strerror(-err), end);
		tpi_ebpf_leave_out(programs, index, why);
	}
}

/* ---- filters ---------------------------------------------------------------------- */

static int add_prefixes(const struct tpi_ebpf_programs *programs)
{
	const struct tpi_list *list = &programs->values->open_prefixes;
	const uint32_t one = 1;

	for (size_t i = 0; i < list->count; i++) {
		struct tpi_ebpf_prefix prefix = {0};
		const size_t length = strlen(list->items[i]);

		prefix.bits = (uint32_t)length * 8;
		memcpy(prefix.path, list->items[i], length);
		if (bpf_map__update_elem(programs->skeleton->maps.open_prefixes,
					 &prefix, sizeof(prefix), &one,
					 sizeof(one), BPF_ANY)) {
			tpi_say("open-prefix '%s': %s", list->items[i],
				strerror(errno));
			return -errno;
		}
	}
	return 0;
}

/* The id of a cgroup is the number of its directory. */
static int add_cgroups(const struct tpi_ebpf_programs *programs)
{
	const struct tpi_list *list = &programs->values->open_cgroups;
	const uint32_t one = 1;

	for (size_t i = 0; i < list->count; i++) {
		struct stat st;
		uint64_t id;

		if (stat(list->items[i], &st)) {
			tpi_say("open-cgroup '%s': %s", list->items[i],
				strerror(errno));
			return -errno;
		}
		id = st.st_ino;
		if (bpf_map__update_elem(programs->skeleton->maps.open_cgroups,
					 &id, sizeof(id), &one, sizeof(one),
					 BPF_ANY))
			return -errno;
	}
	return 0;
}

static int check_root(const struct tpi_ebpf_values *values)
{
	const char *root = values->cgroup_root;
	struct statfs fs;

	if (!root || !tpi_ebpf_wants(values, TPI_EBPF_SOURCE_DNS))
		return 0;
	if (statfs(root, &fs)) {
		tpi_say("cgroup-root '%s': %s", root, strerror(errno));
		return -errno;
	}
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return 0;
	tpi_say("cgroup-root '%s' is no cgroup of version 2", root);
	return -EINVAL;
}

int tpi_ebpf_programs_load(struct tpi_ebpf_programs *programs,
			   const struct tpi_ebpf_values *values)
{
	int err;

	programs->values = values;
	programs->cpus = libbpf_num_possible_cpus();
	tpi_ebpf_said_init();
	err = check_root(values);
	if (!err)
		err = choose_by_kernel(programs);
	if (!err)
		err = load(programs);
	if (err)
		return err;
	err = add_prefixes(programs);
	if (!err)
		err = add_cgroups(programs);
	if (err)
		tpi_ebpf_programs_close(programs);
	return err;
}
