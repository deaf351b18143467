/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels, containers and seccomp profiles that refuse a system call: each of
 * them ends in the next rung with its errno in the report, or in an error that
 * names the step, and never leaves an fd or a mapping behind.
 */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/memory/segment_place.h"
#include "lib/base/sys.h"
#include "tests/unit/segment_fixture.h"
#include "tests/check_main.h"

#ifndef TAPIO_TESTPOINTS
int main(void)
{
	puts("needs a build with TAPIO_TESTPOINTS, to make system calls fail");
	return 77;
}
#else

static void teardown(void)
{
	tpi_sys_fail_none();
}

/* The refused step of a ladder, and the result. */
static const int refusals[] = {EPERM, ENOSYS, ENOMEM, EINVAL};
#define REFUSALS (int)(sizeof(refusals) / sizeof(refusals[0]))

START_TEST(without_hugetlb_memfds_the_next_rung_is_taken)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_memfd_create, MFD_HUGETLB, refusals[_i], -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_gt(s.report.rung, TAPIO_RUNG_HUGETLB);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], refusals[_i]);
	assert_text("2 MiB pages: memfd_create of 2097152 bytes: ");
	assert_text(strerror(refusals[_i]));
	tpi_segment_destroy(&s);
	request.no_fallback = true;
	ck_assert_int_eq(create(&s, &request), -refusals[_i]);
	assert_text("2 MiB pages: memfd_create of 2097152 bytes: ");
	ck_assert_int_eq(s.fd, -1);
}
END_TEST

START_TEST(without_any_memfd_every_rung_says_so)
{
	struct tpi_segment_request request =
		request_of(4096, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;

	tpi_sys_fail(SYS_memfd_create, ENOSYS, -1);
	ck_assert_int_eq(create(&s, &request), -ENOSYS);
	for (int rung = 0; rung <= TAPIO_RUNG_PAGES; rung++)
		ck_assert_int_eq(s.report.rung_errno[rung], ENOSYS);
	assert_text("; shmem pages: memfd_create of 4096 bytes");
}
END_TEST

START_TEST(a_kernel_that_does_not_know_noexec_seals_is_asked_again)
{
	struct tpi_segment s;

	tpi_sys_fail(SYS_memfd_create, EINVAL, 1);
	create_plain(&s, 4096);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(without_mbind_the_segment_is_said_to_be_unbound)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	request.node = 0;
	tpi_sys_fail(SYS_mbind, refusals[_i], -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_UNBOUND);
	ck_assert_int_eq(s.report.placement_errno, refusals[_i]);
	tpi_segment_destroy(&s);
	/* and that errno is not hidden by the next refusal */
	tpi_sys_fail(SYS_move_pages, EBUSY, -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_UNBOUND);
	ck_assert_int_eq(s.report.placement_errno, refusals[_i]);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(without_move_pages_the_placement_is_unchecked)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	request.node = 0;
	tpi_sys_fail(SYS_move_pages, refusals[_i], -1);
	ck_assert_int_eq(create(&s, &request), 0);
	/* unless mbind is refused here for real, which comes first */
	if (s.report.placement != TAPIO_PLACED_UNBOUND) {
		ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_UNCHECKED);
		ck_assert_int_eq(s.report.placement_errno, refusals[_i]);
	}
	ck_assert_uint_eq(s.report.misplaced_pages, UINT64_MAX);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_check_that_stops_half_way_claims_nothing)
{
	struct tpi_segment_request request =
		request_of(8 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	/* Bound to no node that exists, and asked as if to node 1000. */
	request.node = 1000;
	ck_assert_int_eq(create(&s, &request), 0);
	if (s.report.misplaced_pages != UINT64_MAX) /* move_pages is allowed */
		ck_assert_uint_eq(s.report.misplaced_pages, (8 << 20) / 4096);
	tpi_segment_destroy(&s);
	tpi_sys_fail(SYS_mbind, EPERM, -1);
	tpi_sys_fail(SYS_move_pages, EPERM, 1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.misplaced_pages, UINT64_MAX);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(pages_on_another_node_are_counted_and_not_called_verified)
{
	struct tpi_segment s;

	create_plain(&s, 3 << 20);
	s.report.node = 63; /* where they are not */
	tpi_place_verify(&s.map, &s.report);
	if (s.report.placement == TAPIO_PLACED_UNCHECKED) {
		ck_assert_int_ne(s.report.placement_errno, 0);
	} else {
		ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_ELSEWHERE);
		ck_assert_uint_eq(s.report.misplaced_pages, (3 << 20) / 4096);
	}
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(an_old_kernel_without_populate_still_gives_every_page)
{
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EINVAL, -1);
	create_plain(&s, 3 << 20);
	ck_assert_uint_eq(resident_pages(&s.map), (3 << 20) / 4096);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(an_interrupted_populate_is_taken_up_again)
{
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EINTR, 3);
	create_plain(&s, 1 << 20);
	ck_assert_uint_eq(resident_pages(&s.map), (1 << 20) / 4096);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(what_would_have_been_a_sigbus_is_called_a_lack_of_memory)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EFAULT, -1);
	ck_assert_int_eq(create(&s, &request), -ENOMEM);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_PAGES], ENOMEM);
	assert_text("MADV_POPULATE_WRITE of 1048576 bytes: ");
}
END_TEST

START_TEST(without_huge_shmem_plain_pages_are_taken)
{
	struct tpi_segment_request request =
		request_of(4 << 20, TAPIO_RUNG_THP);
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_HUGEPAGE, EINVAL, -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_PAGES);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_THP], EINVAL);
	assert_text("huge shmem pages: MADV_HUGEPAGE of 4194304 bytes");
	tpi_segment_destroy(&s);
}
END_TEST

/* Steps without which there is no segment. */
static const struct {
	long number, argument;
	int error;
	const char *text;
} fatal[] = {
	{SYS_fchmod, TPI_SYS_ANY, EPERM, "fchmod 0600 of 4096 bytes"},
	{SYS_ftruncate, TPI_SYS_ANY, ENOMEM, "ftruncate of 4096 bytes"},
	{SYS_mmap, TPI_SYS_ANY, ENOMEM, "mmap of 4096 bytes"},
	{SYS_madvise, MADV_POPULATE_WRITE, ENOMEM, "MADV_POPULATE_WRITE"},
	{SYS_fcntl, F_ADD_SEALS, EPERM, "F_ADD_SEALS of 4096 bytes"},
	{SYS_fcntl, F_GET_SEALS, EPERM, "F_GET_SEALS of 4096 bytes"},
	{SYS_openat, TPI_SYS_ANY, ENOENT, "read-only reopening through /proc"},
	{SYS_openat, TPI_SYS_ANY, EMFILE, "read-only reopening through /proc"},
};
#define FATAL    (int)(sizeof(fatal) / sizeof(fatal[0]))

START_TEST(a_step_that_must_not_fail_is_named_and_leaves_nothing)
{
	struct tpi_segment_request request = request_of(100, TAPIO_RUNG_PAGES);
	unsigned int fds = open_fds();
	struct tpi_segment s;

	tpi_sys_fail_argument(fatal[_i].number, fatal[_i].argument,
			      fatal[_i].error, -1);
	ck_assert_int_eq(create(&s, &request), -fatal[_i].error);
	assert_text("segment `" SEGMENT_NAME "`: shmem pages: ");
	assert_text(fatal[_i].text);
	assert_text(strerror(fatal[_i].error));
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_PAGES],
			 fatal[_i].error);
	tpi_sys_fail_none();
	ck_assert_uint_eq(open_fds(), fds);
	ck_assert_uint_eq(mapped_segments(), 0);
}
END_TEST

START_TEST(a_client_mapping_that_would_be_inherited_is_given_up)
{
	struct tpi_segment s;
	struct tpi_map map;

	create_plain(&s, 4096);
	tpi_sys_fail_argument(SYS_madvise, MADV_DONTFORK, ENOSYS, -1);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, 4096, error, sizeof(error)),
		-ENOSYS);
	assert_text("MADV_DONTFORK");
	ck_assert_ptr_null(map.base);
	ck_assert_uint_eq(mapped_segments(), 1);
	tpi_sys_fail_none();
	/* Longer core dumps are no reason to refuse a client. */
	tpi_sys_fail_argument(SYS_madvise, MADV_DONTDUMP, ENOSYS, -1);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, 4096, error, sizeof(error)),
		0);
	tpi_map_close(&map);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_client_mapping_that_is_refused_says_its_size)
{
	struct tpi_segment s;
	struct tpi_map map;

	create_plain(&s, 4096);
	tpi_sys_fail(SYS_mmap, ENOMEM, 1);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, 4096, error, sizeof(error)),
		-ENOMEM);
	assert_text("mmap of 4096 bytes: ");
	tpi_sys_fail_argument(SYS_fcntl, F_GET_SEALS, ENOSYS, 1);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, 4096, error, sizeof(error)),
		-ENOSYS);
	assert_text("seals of fd");
	tpi_segment_destroy(&s);
}
END_TEST

/* ---- the wrappers and the shim itself --------------------------------------- */

START_TEST(a_rule_fails_exactly_as_many_calls_as_it_says)
{
	uint32_t word = 1;

	tpi_sys_fail(SYS_futex, EPERM, 2);
	ck_assert_int_eq(tpi_sys_futex_wake(&word, 1), -EPERM);
	ck_assert_int_eq(tpi_sys_futex_wake(&word, 1), -EPERM);
	ck_assert_int_eq(tpi_sys_futex_wake(&word, 1), 0);
	tpi_sys_fail_argument(SYS_futex, FUTEX_WAIT, ENOSYS, -1);
	ck_assert_int_eq(tpi_sys_futex_wake(&word, 1), 0);
	ck_assert_int_eq(tpi_sys_futex_wait(&word, 0, NULL), -ENOSYS);
	tpi_sys_fail_none();
	ck_assert_int_eq(tpi_sys_futex_wait(&word, 0, NULL), -EAGAIN);
}
END_TEST

START_TEST(wrappers_return_what_the_kernel_says)
{
	const struct timespec millisecond = {0, 1000000};
	uint32_t word = 7;
	int fd, commands;

	ck_assert_int_eq(tpi_sys_futex_wait(&word, 8, NULL), -EAGAIN);
	ck_assert_int_eq(tpi_sys_futex_wait(&word, 7, &millisecond),
			 -ETIMEDOUT);
	commands = tpi_sys_membarrier(MEMBARRIER_CMD_QUERY);
	ck_assert(commands >= 0 || commands == -ENOSYS || commands == -EPERM);
	ck_assert_int_lt(tpi_sys_membarrier(-1), 0);
	fd = tpi_sys_pidfd_open(getpid(), 0);
	ck_assert(fd >= 0 || fd == -ENOSYS || fd == -EPERM);
	if (fd >= 0)
		close(fd);
	ck_assert_int_lt(tpi_sys_pidfd_open(-1, 0), 0);
	ck_assert_int_eq(tpi_sys_get_seals(-1), -EBADF);
}
END_TEST

static char *self;

/* Runs this program again as `probe` with rules in the environment. */
static int probe(const char *rules)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		setenv("TAPIO_SYS_FAIL", rules, 1);
		execl(self, self, "probe", (char *)NULL);
		_exit(126);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

START_TEST(rules_from_the_environment_are_obeyed_and_typing_errors_are_not)
{
	ck_assert_int_eq(probe("membarrier=ENOSYS,mbind=EPERM"), ENOSYS);
	ck_assert_int_eq(probe("mbind=ENOSYS,membarrier=EPERM"), EPERM);
	ck_assert_int_eq(probe("membarier=EPERM"), 128);
	ck_assert_int_eq(probe("membarrier=EPREM"), 128);
	ck_assert_int_eq(probe("membarrier"), 128);
}
END_TEST

static void add_ladder(TCase *t)
{
	tcase_add_loop_test(t, without_hugetlb_memfds_the_next_rung_is_taken, 0,
			    REFUSALS);
	tcase_add_test(t, without_any_memfd_every_rung_says_so);
	tcase_add_test(t,
		       a_kernel_that_does_not_know_noexec_seals_is_asked_again);
	tcase_add_loop_test(t, without_mbind_the_segment_is_said_to_be_unbound,
			    0, REFUSALS);
	tcase_add_loop_test(t, without_move_pages_the_placement_is_unchecked, 0,
			    REFUSALS);
	tcase_add_test(t, a_check_that_stops_half_way_claims_nothing);
	tcase_add_test(
		t, pages_on_another_node_are_counted_and_not_called_verified);
	tcase_add_test(t,
		       an_old_kernel_without_populate_still_gives_every_page);
	tcase_add_test(t, an_interrupted_populate_is_taken_up_again);
	tcase_add_test(
		t, what_would_have_been_a_sigbus_is_called_a_lack_of_memory);
	tcase_add_test(t, without_huge_shmem_plain_pages_are_taken);
	tcase_add_loop_test(
		t, a_step_that_must_not_fail_is_named_and_leaves_nothing, 0,
		FATAL);
}

int main(int argc, char **argv)
{
	TCase *t;

	if (argc > 1 && !strcmp(argv[1], "probe"))
		return -tpi_sys_membarrier(MEMBARRIER_CMD_QUERY);
	self = argv[0];
	t = tcase_create("denied");
	tcase_add_checked_fixture(t, NULL, teardown);
	add_ladder(t);
	tcase_add_test(t, a_client_mapping_that_would_be_inherited_is_given_up);
	tcase_add_test(t, a_client_mapping_that_is_refused_says_its_size);
	tcase_add_test(t, a_rule_fails_exactly_as_many_calls_as_it_says);
	tcase_add_test(t, wrappers_return_what_the_kernel_says);
	tcase_add_test(
		t,
		rules_from_the_environment_are_obeyed_and_typing_errors_are_not);
	return check_run_case("segment denied", t);
}
#endif
