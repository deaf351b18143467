/* SPDX-License-Identifier: Apache-2.0 */
/* The end of memory: of a real cgroup, with a process that takes more than it may. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "tests/cli/ebpf_rig.h"
#include "tools/collectors/ebpf/variants.h"

#define LIMIT_BYTES (8 << 20)

static struct ebpf_rig rig;
static char cgroup[128];

static bool write_text(const char *name, const char *text)
{
	char path[192];
	int file;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	n = file < 0 ? -1 : write(file, text, strlen(text));
	if (file >= 0)
		close(file);
	return n == (ssize_t)strlen(text);
}

/* A group with that much memory for its processes, and none of its pages on a swap. */
static bool make_cgroup(void)
{
	static const struct {
		const char *root, *limit, *swap, *no_swap;
	} kinds[] = {
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
		 "memory.swappiness", "0"},
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max", "0"},
		{"/sys/fs/cgroup/unified", "memory.max", "memory.swap.max",
		 "0"},
	};
	char limit[16];

	snprintf(limit, sizeof(limit), "%d", LIMIT_BYTES);
	for (int i = 0; i < 3; i++) {
		snprintf(cgroup, sizeof(cgroup), "%s/tapio-ebpf-%d",
			 kinds[i].root, getpid());
		if (mkdir(cgroup, 0755))
			continue;
		/* Where there is no swap there is no such file either. */
		(void)write_text(kinds[i].swap, kinds[i].no_swap);
		if (write_text(kinds[i].limit, limit))
			return true;
		rmdir(cgroup);
	}
	printf("no cgroup with a limit of memory can be made here: %s\n",
	       strerror(errno));
	return false;
}

/* Written by the victim: what its resident memory of no file is, page by page. */
static struct {
	uint64_t before_bytes;
	uint64_t eaten_bytes;
} * victim;

/*
 * By a walk through its page tables, so exactly. Without memory of the heap, whose locks other
 * threads may have had at the fork.
 */
static uint64_t anonymous_now(void)
{
	int in = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	char text[4096] = "";
	const char *at;
	ssize_t n = in < 0 ? -1 : read(in, text, sizeof(text) - 1);

	if (in >= 0)
		close(in);
	at = n > 0 ? strstr(text, "Anonymous:") : NULL;
	if (!at)
		_exit(4);
	return strtoull(at + strlen("Anonymous:"), NULL, 10) * 1024;
}

static void eat(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, 64 << 20, MADV_NOHUGEPAGE))
		_exit(2);
	victim->before_bytes = anonymous_now();
	for (size_t at = 0; at < 64 << 20; at += page) {
		p[at] = 1;
		victim->eaten_bytes += page;
	}
	_exit(3);
}

static pid_t eat_memory(void)
{
	pid_t pid;
	int status;

	victim = mmap(NULL, sizeof(*victim), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(victim != MAP_FAILED);
	pid = fork();
	if (!pid) {
		if (!write_text("cgroup.procs", "0"))
			_exit(1);
		eat();
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "it ended otherwise: %#x", status);
	return pid;
}

/* Older kernels only say which process it was. */
static bool memory_is_known(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool newer = tpi_ebpf_newer_victim(btf);

	btf__free(btf);
	return newer;
}

static void check_memory(const struct tapio_event_process_oom *oom)
{
	if (!memory_is_known()) {
		ck_assert_uint_eq(oom->virtual_bytes, UINT64_MAX);
		ck_assert_uint_eq(oom->anonymous_bytes, UINT64_MAX);
		return;
	}
	ck_assert_uint_ge(oom->virtual_bytes, LIMIT_BYTES);
	ck_assert_uint_lt(oom->virtual_bytes, UINT64_C(1) << 47);
	ck_assert_uint_ge(oom->page_table_bytes, 4096);
	/* Exactly, but for the page that it asked for, and one of its stack. */
	ck_assert_uint_ge(oom->anonymous_bytes,
			  victim->before_bytes + victim->eaten_bytes);
	ck_assert_uint_le(oom->anonymous_bytes,
			  victim->before_bytes + victim->eaten_bytes +
				  3 * (uint64_t)sysconf(_SC_PAGESIZE));
	ck_assert_uint_gt(oom->file_bytes, 0); /* its program */
	ck_assert_uint_lt(oom->file_bytes, UINT64_C(1) << 30);
	ck_assert_uint_lt(oom->shared_bytes, UINT64_C(1) << 30);
	ck_assert_uint_eq(oom->swap_bytes, 0);
}

START_TEST(the_victim_of_a_full_cgroup_is_told_of)
{
	const struct tapio_event_process_oom *oom;
	const struct tapio_event_view *view;
	size_t at = 0;
	pid_t pid;

	ebpf_rig_open(&rig, 1024);
	rig.values.sources = 1U << TPI_EBPF_SOURCE_OOM;
	ebpf_rig_begin(&rig);
	ebpf_rig_read(&rig);
	pid = eat_memory();
	ebpf_rig_end(&rig);
	view = ebpf_next(&rig, &at, TAPIO_EVENT_PROCESS_OOM, (uint32_t)pid);
	ck_assert_ptr_nonnull(view);
	ck_assert_uint_eq(view->header.severity, TAPIO_SEVERITY_CRITICAL);
	oom = tapio_event_view_fields(view, TAPIO_EVENT_PROCESS_OOM);
	ck_assert_uint_eq(oom->trigger_pid, (uint32_t)pid);
	check_memory(oom);
	if (memory_is_known())
		ck_assert_str_eq(ebpf_text(&oom->comm), "test_cli_ebpf_o");
	ebpf_rig_close(&rig);
}
END_TEST

int main(void)
{
	TCase *tests;
	int status;

	if (!ebpf_load(1U << TPI_EBPF_SOURCE_OOM) || !make_cgroup())
		return 77;
	tests = tcase_create("oom");
	tcase_add_test(tests, the_victim_of_a_full_cgroup_is_told_of);
	status = ebpf_run_case("ebpf_oom", tests);
	rmdir(cgroup);
	return status;
}
