/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel refuses a program that it finds wrong or does not know the tracepoint of,
 * a user without rights, a kernel without BTF. Each has a message that says which and why.
 */
#include <check.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tests/check_main.h"
#include "tests/cli/ebpf_break.h"
#include "tests/cli/ebpf_rig.h"
#include "tools/collectors/ebpf/variants.h"

static struct tpi_ebpf_programs programs;
static struct tpi_ebpf_values values;
static char said[4096];

/* Loads with standard error in `said`. */
static int load_with(const struct tpi_ebpf_values *with, uint32_t sources,
		     void (*adjust)(struct bpf_object *))
{
	int pipe_fds[2], old = dup(2), err;
	ssize_t n;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	values = *with;
	values.sources = sources;
	programs.adjust = adjust;
	dup2(pipe_fds[1], 2);
	err = tpi_ebpf_programs_load(&programs, &values);
	dup2(old, 2);
	close(old);
	close(pipe_fds[1]);
	n = read(pipe_fds[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
	return err;
}

static int load(uint32_t sources, void (*adjust)(struct bpf_object *))
{
	return load_with(&tpi_ebpf_defaults, sources, adjust);
}

static void says(const char *text)
{
	ck_assert_msg(strstr(said, text) != NULL, "no '%s' in: %s", text, said);
}

static void break_fork(struct bpf_object *object)
{
	ebpf_break(object, "process_fork");
}

START_TEST(a_program_that_the_verifier_refuses_is_left_out_and_named)
{
	ck_assert_int_eq(load(1U << TPI_EBPF_SOURCE_PROCESS, break_fork), 0);
	says("program 'process_fork' (process) is left out: the kernel refuses it");
	says("R7 !read_ok"); /* the end of the verifier's log */
	ck_assert_ptr_null(strstr(said, "process_exec"));
	ck_assert(tpi_ebpf_programs_have(&programs, TPI_EBPF_SOURCE_PROCESS));
	tpi_ebpf_programs_close(&programs);
}
END_TEST

START_TEST(a_kernel_without_btf_is_named)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
			 0);
	ck_assert_int_eq(mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL), 0);
	ck_assert_int_lt(load(1U << TPI_EBPF_SOURCE_PROCESS, NULL), 0);
	says("/sys/kernel/btf/vmlinux");
	says("CONFIG_DEBUG_INFO_BTF");
}
END_TEST

/* ---- rights --------------------------------------------------------------------------- */

#define BIT(capability) (UINT64_C(1) << (capability))

/* Another user, with these capabilities and no others. */
static void become(uint64_t capabilities)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3,
						  0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)capabilities, (uint32_t)capabilities, 0},
		{(uint32_t)(capabilities >> 32), (uint32_t)(capabilities >> 32),
		 0},
	};

	ck_assert_int_eq(prctl(PR_SET_KEEPCAPS, 1), 0);
	ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
	ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

START_TEST(a_user_without_rights_is_told_which_it_takes)
{
	become(0);
	ck_assert_int_eq(load(1U << TPI_EBPF_SOURCE_PROCESS, NULL), -EPERM);
	says("CAP_BPF");
	says("CAP_PERFMON");
}
END_TEST

START_TEST(two_capabilities_are_enough_for_all_but_dns)
{
	become(BIT(CAP_BPF) | BIT(CAP_PERFMON));
	ck_assert_msg(
		load((1U << TPI_EBPF_SOURCES) - 1 - (1U << TPI_EBPF_SOURCE_DNS),
		     NULL) == 0,
		"%s", said);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(tpi_ebpf_programs_attach(&programs), 0);
	for (int i = 0; i < TPI_EBPF_SOURCES; i++)
		ck_assert(i == TPI_EBPF_SOURCE_DNS ||
			  tpi_ebpf_programs_have(&programs, i));
	tpi_ebpf_programs_close(&programs);
}
END_TEST

START_TEST(a_root_that_is_no_cgroup_is_named)
{
	struct tpi_ebpf_values with = tpi_ebpf_defaults;

	with.cgroup_root = "/tmp";
	ck_assert_int_eq(load_with(&with, 1U << TPI_EBPF_SOURCE_DNS, NULL),
			 -EINVAL);
	says("cgroup-root '/tmp' is no cgroup of version 2");
	with.cgroup_root = "/nonexistent";
	ck_assert_int_eq(load_with(&with, 1U << TPI_EBPF_SOURCE_DNS, NULL),
			 -ENOENT);
	says("cgroup-root '/nonexistent': No such file or directory");
}
END_TEST

START_TEST(dns_takes_a_third_one)
{
	become(BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_NET_ADMIN));
	ck_assert_msg(load(1U << TPI_EBPF_SOURCE_DNS, NULL) == 0, "%s", said);
	ck_assert_int_eq(tpi_ebpf_programs_attach(&programs), 0);
	ck_assert(tpi_ebpf_programs_have(&programs, TPI_EBPF_SOURCE_DNS));
	tpi_ebpf_programs_close(&programs);
}
END_TEST

/* ---- older kernels, by a BTF of our own --------------------------------------------------- */

/* Adds btf_trace_NAME with arguments of these types. */
static void add_tracepoint(struct btf *btf, const char *name, const int *types,
			   int count)
{
	char full[64];
	int proto = btf__add_func_proto(btf, 0), pointer;

	ck_assert_int_eq(btf__add_func_param(btf, "data", 1), 0);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(btf__add_func_param(btf, "x", types[i]), 0);
	pointer = btf__add_ptr(btf, proto);
	snprintf(full, sizeof(full), "btf_trace_%s", name);
	ck_assert_int_gt(btf__add_typedef(btf, full, pointer), 0);
}

static struct btf *kernel_of(bool newer)
{
	struct btf *btf = btf__new_empty();
	int void_pointer = btf__add_ptr(btf, 0);
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int byte = btf__add_int(btf, "unsigned char", 1, 0);
	int status = btf__add_typedef(btf, "blk_status_t", byte);

	ck_assert_int_eq(void_pointer, 1);
	if (newer) {
		add_tracepoint(btf, "sched_process_exit", (int[]){1, byte}, 2);
		add_tracepoint(btf, "mark_victim", (int[]){1, number}, 2);
		add_tracepoint(btf, "block_rq_issue", (int[]){1}, 1);
		add_tracepoint(btf, "block_rq_complete",
			       (int[]){1, status, number}, 3);
	} else {
		add_tracepoint(btf, "sched_process_exit", (int[]){1}, 1);
		add_tracepoint(btf, "mark_victim", (int[]){number}, 1);
		add_tracepoint(btf, "block_rq_issue", (int[]){1, 1}, 2);
		add_tracepoint(btf, "block_rq_complete",
			       (int[]){1, number, number}, 3);
	}
	return btf;
}

START_TEST(the_program_fits_the_arguments_of_this_kernel)
{
	const bool newer = _i;
	struct btf *btf = kernel_of(newer);

	ck_assert_int_eq(tpi_ebpf_newer_exit(btf), newer);
	ck_assert_int_eq(tpi_ebpf_newer_victim(btf), newer);
	ck_assert_int_eq(tpi_ebpf_newer_issue(btf), newer);
	ck_assert_int_eq(tpi_ebpf_newer_complete(btf), newer);
	ck_assert(tpi_ebpf_has_tracepoint(btf, "mark_victim"));
	ck_assert(!tpi_ebpf_has_tracepoint(btf, "mark_victims"));
	btf__free(btf);
}
END_TEST

/* ---- kernels without a tracepoint ---------------------------------------------------------- */

START_TEST(a_kernel_without_the_tracepoint_goes_on_without_that_program)
{
	struct btf *btf = kernel_of(true);

	programs.kernel = btf; /* it has no fork */
	ck_assert_int_eq(
		load(1U << TPI_EBPF_SOURCE_PROCESS | 1U << TPI_EBPF_SOURCE_OOM,
		     NULL),
		0);
	says("program 'process_fork' (process) is left out: this kernel has no "
	     "tracepoint 'sched_process_fork'");
	ck_assert(tpi_ebpf_programs_have(&programs, TPI_EBPF_SOURCE_OOM));
	ck_assert(tpi_ebpf_programs_have(&programs, TPI_EBPF_SOURCE_PROCESS));
	tpi_ebpf_programs_close(&programs);
	btf__free(btf);
}
END_TEST

START_TEST(when_nothing_is_left_it_fails_and_says_so)
{
	struct btf *btf = kernel_of(true);

	programs.kernel = btf; /* it has no TCP */
	ck_assert_int_eq(load(1U << TPI_EBPF_SOURCE_TCP, NULL), -ENOTSUP);
	says("program 'tcp_state' (tcp) is left out");
	says("no program is left");
	btf__free(btf);
}
END_TEST

int main(void)
{
	TCase *tests;

	if (!ebpf_load(1U << TPI_EBPF_SOURCE_TCP))
		return 77;
	tests = tcase_create("programs");
	tcase_add_test(
		tests,
		a_program_that_the_verifier_refuses_is_left_out_and_named);
	tcase_add_test(
		tests,
		a_kernel_without_the_tracepoint_goes_on_without_that_program);
	tcase_add_test(tests, when_nothing_is_left_it_fails_and_says_so);
	tcase_add_test(tests, a_kernel_without_btf_is_named);
	tcase_add_test(tests, a_user_without_rights_is_told_which_it_takes);
	tcase_add_test(tests, two_capabilities_are_enough_for_all_but_dns);
	tcase_add_test(tests, a_root_that_is_no_cgroup_is_named);
	tcase_add_test(tests, dns_takes_a_third_one);
	tcase_add_loop_test(
		tests, the_program_fits_the_arguments_of_this_kernel, 0, 2);
	return ebpf_run_case("ebpf_programs", tests);
}
