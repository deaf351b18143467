/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments as they are on any machine, without rights: sealed, whole, read-only
 * where they should be, measured, and gone without a trace. Tests that need
 * root are in segment_huge.c, refusals by the kernel in segment_denied.c.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/unit/segment_fixture.h"
#include "tests/check_main.h"

START_TEST(a_segment_is_zeroed_and_rounded_up_to_its_page_only)
{
	struct tpi_segment s;

	create_plain(&s, 4097);
	ck_assert_uint_eq(s.map.bytes, 8192);
	ck_assert_uint_eq(s.map.page_bytes, 4096);
	ck_assert(s.map.writable);
	ck_assert_uint_eq(s.report.length_bytes, 8192);
	ck_assert_uint_eq(s.report.page_bytes, 4096);
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_PAGES);
	for (uint64_t i = 0; i < s.map.bytes; i++)
		ck_assert_uint_eq(s.map.base[i], 0);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(every_page_is_there_before_anyone_gets_the_fd)
{
	struct tpi_segment s;

	create_plain(&s, 3 << 20);
	ck_assert_uint_eq(resident_pages(&s.map), (3 << 20) / 4096);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(nobody_can_shrink_grow_or_seal_it_further)
{
	struct tpi_segment s;

	create_plain(&s, 8192);
	ck_assert_uint_eq(s.report.seals & TPI_SEALS, TPI_SEALS);
	ck_assert_int_eq(fcntl(s.fd_ro, F_GET_SEALS), (int)s.report.seals);
	ck_assert_int_eq(ftruncate(s.fd, 4096), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(s.fd, 16384), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(s.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert_int_eq(errno, EPERM);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(the_read_only_fd_gives_nobody_a_writable_mapping)
{
	struct tpi_segment s;
	struct stat st;
	void *base;

	create_plain(&s, 8192);
	ck_assert_int_eq(fstat(s.fd_ro, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_ptr_eq(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED,
			      s.fd_ro, 0),
			 MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	base = mmap(NULL, 8192, PROT_READ, MAP_SHARED, s.fd_ro, 0);
	ck_assert_ptr_ne(base, MAP_FAILED);
	ck_assert_int_eq(mprotect(base, 8192, PROT_READ | PROT_WRITE), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq((int)pwrite(s.fd_ro, "x", 1, 0), -1);
	ck_assert_int_eq(errno, EBADF);
	/* the same memory all the same */
	s.map.base[5000] = 42;
	ck_assert_uint_eq(((unsigned char *)base)[5000], 42);
	munmap(base, 8192);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_writable_fd_or_a_wide_mode_is_seen_before_it_is_handed_out)
{
	struct tpi_segment s;

	create_plain(&s, 8192);
	ck_assert_int_eq(
		tpi_fd_check_readonly(s.fd_ro, 8192, error, sizeof(error)), 0);
	ck_assert_int_eq(
		tpi_fd_check_readonly(s.fd, 8192, error, sizeof(error)),
		-EACCES);
	assert_text("could be mapped writable");
	ck_assert_int_eq(fchmod(s.fd, 0640), 0);
	ck_assert_int_eq(
		tpi_fd_check_readonly(s.fd_ro, 8192, error, sizeof(error)),
		-EACCES);
	assert_text("mode 0640, must be 0600");
	ck_assert_int_eq(tpi_fd_check_readonly(-1, 8192, error, sizeof(error)),
			 -EBADF);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(fds_do_not_survive_exec)
{
	struct tpi_segment s;

	create_plain(&s, 4096);
	ck_assert_int_eq(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(s.fd_ro, F_GETFD), FD_CLOEXEC);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(segments_are_left_out_of_core_dumps)
{
	struct tpi_segment s;
	struct tpi_map map;

	create_plain(&s, 8192);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, 8192, error, sizeof(error)),
		0);
	ck_assert(has_flag(s.map.base, "dd"));
	ck_assert(has_flag(map.base, "dd"));
	tpi_map_close(&map);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_forked_child_has_no_client_mapping)
{
	struct tpi_segment s;
	struct tpi_map map;
	unsigned char seen[2];
	int status;
	pid_t child;

	create_plain(&s, 8192);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd, true, 8192, error, sizeof(error)), 0);
	ck_assert_int_eq(mincore(map.base, 8192, seen), 0);
	child = fork();
	if (child == 0)
		_exit(mincore(map.base, 8192, seen) == -1 && errno == ENOMEM
			      ? 0
			      : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	tpi_map_close(&map);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(destroyed_segments_leave_no_fd_and_no_mapping)
{
	unsigned int fds = open_fds();
	struct tpi_segment s;

	for (int i = 0; i < 50; i++) {
		create_plain(&s, 8192);
		ck_assert_uint_eq(open_fds(), fds + 2);
		ck_assert_uint_eq(mapped_segments(), 1);
		tpi_segment_destroy(&s);
		ck_assert_int_eq(s.fd, -1);
		ck_assert_ptr_null(s.map.base);
		tpi_segment_destroy(&s);
	}
	ck_assert_uint_eq(open_fds(), fds);
	ck_assert_uint_eq(mapped_segments(), 0);
}
END_TEST

START_TEST(destroying_a_segment_of_zeros_does_not_close_fd_0)
{
	struct tpi_segment s = {0};

	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
	tpi_segment_destroy(&s);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
}
END_TEST

START_TEST(a_rung_that_was_not_reached_is_reported_with_its_reason)
{
	struct tpi_segment_request request =
		request_of(UINT64_C(1) << 20, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;
	const struct tapio_shm_segment *r = &s.report;

	ck_assert_int_eq(create(&s, &request), 0);
	/* Whatever this machine has: no silence above the rung obtained. */
	for (unsigned int rung = 0; rung < r->rung; rung++)
		ck_assert_int_ne(r->rung_errno[rung], 0);
	for (unsigned int rung = r->rung; rung < TAPIO_RUNGS; rung++)
		ck_assert_int_eq(r->rung_errno[rung], 0);
	ck_assert_int_eq(error[0] != '\0', r->rung != TAPIO_RUNG_HUGETLB);
	if (r->rung > TAPIO_RUNG_HUGETLB)
		assert_text("segment `" SEGMENT_NAME "`: 2 MiB pages: ");
	if (r->rung > TAPIO_RUNG_THP)
		assert_text("huge shmem pages: ");
	ck_assert_uint_eq(r->huge_bytes != 0, r->rung < TAPIO_RUNG_PAGES);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_request_that_makes_no_sense_is_refused_with_its_numbers)
{
	unsigned int fds = open_fds();
	struct tpi_segment_request request = request_of(0, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	ck_assert_int_eq(create(&s, &request), -EINVAL);
	assert_text("0 bytes");
	request = request_of(4096, TAPIO_RUNG_PAGES + 1);
	ck_assert_int_eq(create(&s, &request), -EINVAL);
	assert_text("first rung 3 of 0..2");
	request = request_of(4096, TAPIO_RUNG_PAGES);
	request.node = -2;
	ck_assert_int_eq(create(&s, &request), -EINVAL);
	assert_text("node -2");
	request = request_of(UINT64_MAX, TAPIO_RUNG_HUGETLB);
	ck_assert_int_eq(create(&s, &request), -EFBIG);
	assert_text("18446744073709551615 bytes wanted");
	ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(more_than_the_machine_has_is_refused_and_nobody_is_killed)
{
	struct tpi_segment_request request =
		request_of(UINT64_C(1) << 46, TAPIO_RUNG_HUGETLB);
	unsigned int fds = open_fds();
	struct tpi_segment s;

	ck_assert_int_eq(create(&s, &request), -ENOMEM);
	assert_text("2 MiB pages: 33554432 wanted, ");
	assert_text("shmem pages: 70368744177664 bytes wanted, ");
	assert_text(" available");
	for (int rung = 0; rung <= TAPIO_RUNG_PAGES; rung++)
		ck_assert_int_eq(s.report.rung_errno[rung], ENOMEM);
	ck_assert_int_eq(s.fd, -1);
	ck_assert_int_eq(s.fd_ro, -1);
	ck_assert_uint_eq(open_fds(), fds);
	ck_assert_uint_eq(mapped_segments(), 0);
}
END_TEST

START_TEST(the_first_rung_or_nothing_means_it)
{
	struct tpi_segment_request request =
		request_of(UINT64_C(1) << 46, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;

	request.no_fallback = true;
	ck_assert_int_eq(create(&s, &request), -ENOMEM);
	ck_assert_ptr_null(strstr(error, "shmem"));
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], ENOMEM);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_THP], 0);
}
END_TEST

START_TEST(pages_asked_for_on_a_node_are_verified_or_the_reason_is_given)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	request.node = 0;
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.node, 0);
	if (s.report.placement == TAPIO_PLACED_VERIFIED) {
		ck_assert_int_eq(s.report.placement_errno, 0);
		ck_assert_uint_eq(s.report.misplaced_pages, 0);
	} else {
		/* a seccomp profile without mbind or move_pages */
		ck_assert_uint_ne(s.report.placement, TAPIO_PLACED_ELSEWHERE);
		ck_assert_int_ne(s.report.placement_errno, 0);
	}
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_node_that_is_not_there_is_reported_as_not_bound)
{
	struct tpi_segment_request request =
		request_of(1 << 20, TAPIO_RUNG_PAGES);
	struct tpi_segment s;

	request.node = 1000;
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_UNBOUND);
	ck_assert_int_ne(s.report.placement_errno, 0);
	ck_assert_uint_eq(s.report.node, 1000);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(pages_of_no_node_are_not_said_to_be_placed)
{
	struct tpi_segment s;

	create_plain(&s, 8192);
	ck_assert_uint_eq(s.report.node, UINT32_MAX);
	ck_assert_uint_eq(s.report.placement, TAPIO_PLACED_UNCHECKED);
	ck_assert_int_eq(s.report.placement_errno, 0);
	tpi_segment_destroy(&s);
}
END_TEST

/* ---- mapping what came from elsewhere -------------------------------------- */

static int map(struct tpi_map *m, int fd, bool writable, uint64_t limit)
{
	int err;

	strcpy(error, "untouched");
	err = tpi_map_fd(m, fd, writable, limit, error, sizeof(error));
	if (err) {
		ck_assert_ptr_null(m->base);
		ck_assert_uint_eq(mapped_segments(), 0);
	}
	return err;
}

START_TEST(a_mapping_is_whole_and_as_writable_as_was_asked)
{
	struct tpi_segment s;
	struct tpi_map m;

	create_plain(&s, 12288);
	ck_assert_int_eq(map(&m, s.fd, false, 12288), 0);
	ck_assert(!m.writable);
	ck_assert(!has_flag(m.base, "wr"));
	tpi_map_close(&m);
	ck_assert_int_eq(map(&m, s.fd, true, 12288), 0);
	ck_assert_uint_eq(m.bytes, 12288);
	ck_assert_uint_eq(m.page_bytes, 4096);
	ck_assert(m.writable);
	m.base[12287] = 1;
	ck_assert_uint_eq(s.map.base[12287], 1);
	tpi_map_close(&m);
	ck_assert_ptr_null(m.base);
	tpi_map_close(&m);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(several_mappings_are_made_and_closed_as_one_would_be)
{
	struct tpi_segment s[3];
	struct tpi_map m[3];
	int fds[3];

	for (int i = 0; i < 3; i++) {
		create_plain(&s[i], 4096 * (uint64_t)(i + 1));
		tpi_map_close(&s[i].map);
		fds[i] = s[i].fd_ro;
	}
	ck_assert_int_eq(
		tpi_map_fds(m, fds, 3, false, 12288, error, sizeof(error)), 0);
	ck_assert_uint_eq(mapped_segments(), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(m[i].bytes, 4096 * (uint64_t)(i + 1));
		/* Not copied by fork, not dumped, not writable. */
		ck_assert(has_flag(m[i].base, "dc"));
		ck_assert(has_flag(m[i].base, "dd"));
		ck_assert(!has_flag(m[i].base, "wr"));
	}
	/* One that has gone already, and its neighbours. */
	tpi_map_close(&m[1]);
	ck_assert_uint_eq(mapped_segments(), 2);
	tpi_maps_close(m, 3);
	ck_assert_uint_eq(mapped_segments(), 0);
	ck_assert_ptr_null(m[0].base);
	tpi_maps_close(m, 3);
	/* The last one is too long. */
	ck_assert_int_eq(
		tpi_map_fds(m, fds, 3, false, 8192, error, sizeof(error)),
		-EFBIG);
	ck_assert_uint_eq(mapped_segments(), 0);
	for (int i = 0; i < 3; i++)
		tpi_segment_destroy(&s[i]);
}
END_TEST

/* A memfd that could be sealed, with these seals. */
static int memfd_with(int seals, off_t bytes)
{
	int fd = memfd_create(SEGMENT_NAME, MFD_ALLOW_SEALING | MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

START_TEST(an_fd_that_could_shrink_under_us_is_not_mapped)
{
	static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_GROW,
				    F_SEAL_SHRINK | F_SEAL_SEAL,
				    F_SEAL_GROW | F_SEAL_SEAL};
	char text[64];
	struct tpi_map m;

	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		int fd = memfd_with(seals[i], 4096);

		ck_assert_int_eq(map(&m, fd, false, UINT64_MAX), -EPERM);
		snprintf(text, sizeof(text), "seals 0x%x, needed 0x6",
			 (unsigned int)seals[i]);
		assert_text(text);
		close(fd);
	}
}
END_TEST

START_TEST(an_fd_that_is_no_memfd_is_not_mapped)
{
	int fds[2], zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct tpi_map m;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(map(&m, zero, true, UINT64_MAX), -EPERM);
	assert_text("not a memfd");
	ck_assert_int_eq(map(&m, fds[0], false, UINT64_MAX), -EPERM);
	close(zero);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(map(&m, fds[0], false, UINT64_MAX), -EBADF);
}
END_TEST

START_TEST(a_segment_that_is_too_long_or_too_short_is_not_mapped)
{
	int fd = memfd_with(TPI_SEALS, 127);
	struct tpi_segment s;
	struct tpi_map m;

	create_plain(&s, 8192);
	tpi_map_close(&s.map);
	ck_assert_int_eq(map(&m, s.fd_ro, false, 8191), -EFBIG);
	assert_text("8192 bytes, the limit is 8191");
	ck_assert_int_eq(map(&m, fd, false, UINT64_MAX), -EBADMSG);
	assert_text("127 bytes, a segment has at least 128");
	close(fd);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_read_only_fd_is_not_mapped_writable)
{
	struct tpi_segment s;
	struct tpi_map m;

	create_plain(&s, 8192);
	tpi_map_close(&s.map);
	ck_assert_int_eq(map(&m, s.fd_ro, true, UINT64_MAX), -EACCES);
	assert_text("is read-only, and the role needs to write");
	tpi_segment_destroy(&s);
}
END_TEST

static void add_making(TCase *t)
{
	tcase_add_test(t, a_segment_is_zeroed_and_rounded_up_to_its_page_only);
	tcase_add_test(t, every_page_is_there_before_anyone_gets_the_fd);
	tcase_add_test(t, nobody_can_shrink_grow_or_seal_it_further);
	tcase_add_test(t, the_read_only_fd_gives_nobody_a_writable_mapping);
	tcase_add_test(
		t,
		a_writable_fd_or_a_wide_mode_is_seen_before_it_is_handed_out);
	tcase_add_test(t, fds_do_not_survive_exec);
	tcase_add_test(t, segments_are_left_out_of_core_dumps);
	tcase_add_test(t, destroyed_segments_leave_no_fd_and_no_mapping);
	tcase_add_test(t, destroying_a_segment_of_zeros_does_not_close_fd_0);
	tcase_add_test(t,
		       a_rung_that_was_not_reached_is_reported_with_its_reason);
	tcase_add_test(
		t, a_request_that_makes_no_sense_is_refused_with_its_numbers);
	tcase_add_test(
		t, more_than_the_machine_has_is_refused_and_nobody_is_killed);
	tcase_add_test(t, the_first_rung_or_nothing_means_it);
	tcase_add_test(
		t,
		pages_asked_for_on_a_node_are_verified_or_the_reason_is_given);
	tcase_add_test(t, a_node_that_is_not_there_is_reported_as_not_bound);
	tcase_add_test(t, pages_of_no_node_are_not_said_to_be_placed);
}

int main(void)
{
	TCase *t = tcase_create("segment");

	add_making(t);
	tcase_add_test(t, a_forked_child_has_no_client_mapping);
	tcase_add_test(t, a_mapping_is_whole_and_as_writable_as_was_asked);
	tcase_add_test(t, several_mappings_are_made_and_closed_as_one_would_be);
	tcase_add_test(t, an_fd_that_could_shrink_under_us_is_not_mapped);
	tcase_add_test(t, an_fd_that_is_no_memfd_is_not_mapped);
	tcase_add_test(t,
		       a_segment_that_is_too_long_or_too_short_is_not_mapped);
	tcase_add_test(t, a_read_only_fd_is_not_mapped_writable);
	return check_run_case("segment", t);
}
