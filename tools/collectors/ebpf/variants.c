/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tracepoint `x` is there as the type `btf_trace_x`, a pointer to a function whose first
 * argument is not the tracepoint's own.
 */
#include <linux/bpf.h>
#include <stdio.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tools/collectors/ebpf/variants.h"

static const struct btf_type *type_of(const struct btf *btf, const char *name)
{
	char full[96];
	const struct btf_type *type;
	int id;

	snprintf(full, sizeof(full), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, full, BTF_KIND_TYPEDEF);
	if (id < 0)
		return NULL;
	type = btf__type_by_id(btf, btf__type_by_id(btf, (__u32)id)->type);
	if (!type || !btf_is_ptr(type))
		return NULL;
	type = btf__type_by_id(btf, type->type);
	return type && btf_is_func_proto(type) ? type : NULL;
}

bool tpi_ebpf_has_tracepoint(const struct btf *btf, const char *name)
{
	return type_of(btf, name) != NULL;
}

bool tpi_ebpf_has_iterator(const struct btf *btf, const char *name)
{
	char full[96];

	snprintf(full, sizeof(full), "bpf_iter_%s", name);
	return btf__find_by_name_kind(btf, full, BTF_KIND_FUNC) > 0;
}

/* The number of arguments. */
static int arguments(const struct btf *btf, const char *name)
{
	const struct btf_type *type = type_of(btf, name);

	return type ? (int)btf_vlen(type) - 1 : 0;
}

/* Argument n, from 0, without the names and qualifiers of its type. */
static const struct btf_type *argument(const struct btf *btf, const char *name,
				       int n)
{
	const struct btf_type *type = type_of(btf, name);

	if (!type || btf_vlen(type) < n + 2)
		return NULL;
	type = btf__type_by_id(btf, btf_params(type)[n + 1].type);
	while (type && (btf_is_typedef(type) || btf_is_mod(type)))
		type = btf__type_by_id(btf, type->type);
	return type;
}

bool tpi_ebpf_newer_exit(const struct btf *btf)
{
	return arguments(btf, "sched_process_exit") >= 2;
}

bool tpi_ebpf_newer_victim(const struct btf *btf)
{
	const struct btf_type *first = argument(btf, "mark_victim", 0);

	return first && btf_is_ptr(first);
}

bool tpi_ebpf_newer_issue(const struct btf *btf)
{
	return arguments(btf, "block_rq_issue") == 1;
}

bool tpi_ebpf_newer_complete(const struct btf *btf)
{
	const struct btf_type *status = argument(btf, "block_rq_complete", 1);

	return status && btf_is_int(status) && status->size == 1;
}

/* No tracepoint: whether a program in the way of packets may ask whose they are. */
bool tpi_ebpf_newer_query(const struct btf *btf)
{
	(void)btf;
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB,
				       BPF_FUNC_get_current_pid_tgid,
				       NULL) == 1 &&
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB,
				       BPF_FUNC_get_current_comm, NULL) == 1;
}
