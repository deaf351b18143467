/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upper rungs, and modes against another uid. Only root can set them up.
 *
 * The pool of 2 MiB pages and shmem_enabled are global: the program saves both,
 * sets what it needs and puts them back. It MUST run alone (ctest does that). Somebody else on the
 * machine may still take pages of the pool meanwhile, so what compares counts is
 * tried again when they do not match, and must match in the end: see eventually().
 *
 * Containers have /proc/sys or /sys mounted read-only, also for root. Tests
 * that need them are left out there, and the program counts as skipped, with
 * the reason.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/memory/segment_place.h"
#include "lib/base/sys.h"
#include "tests/unit/segment_fixture.h"
#include "tests/check_main.h"

#define POOL       "/proc/sys/vm/nr_hugepages"
#define OVERCOMMIT "/proc/sys/vm/nr_overcommit_hugepages"
#define SHMEM_THP  "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define PAGES      8
#define MIB2       (UINT64_C(2) << 20)

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

static char old_pool[32], old_overcommit[32], old_thp[128];

static bool read_text(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(text, (int)bytes, file);

	if (file)
		fclose(file);
	return ok;
}

/* False with errno set. */
static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
	int err = errno;

	if (fd >= 0)
		close(fd);
	errno = err;
	return ok;
}

static const char *cannot_set(const char *path)
{
	static char reason[160];

	snprintf(reason, sizeof(reason), "cannot set %s: %s", path,
		 strerror(errno));
	return reason;
}

/* "always [never]" to "never". */
static void pick_chosen(char *text)
{
	char *open = strchr(text, '['), *close = strchr(text, ']');

	if (!open || !close)
		return;
	*close = '\0';
	memmove(text, open + 1, strlen(open + 1) + 1);
}

static pid_t owner;

/* Runs at the exit of each test's process too. Only the last one is ours. */
static void restore(void)
{
	if (getpid() != owner)
		return;
	write_text(POOL, old_pool);
	write_text(OVERCOMMIT, old_overcommit);
	if (old_thp[0])
		write_text(SHMEM_THP, old_thp);
}

/* Leaves a pool with PAGES free pages, or says why not. */
static const char *prepare(void)
{
	char text[32];

	if (geteuid())
		return "needs root, to set " POOL;
	if (!read_text(POOL, old_pool, sizeof(old_pool)) ||
	    !read_text(OVERCOMMIT, old_overcommit, sizeof(old_overcommit)))
		return "no hugetlb in this kernel: no " POOL;
	if (read_text(SHMEM_THP, old_thp, sizeof(old_thp)))
		pick_chosen(old_thp);
	owner = getpid();
	atexit(restore);
	snprintf(text, sizeof(text), "%ld", atol(old_pool) + PAGES);
	if (!write_text(OVERCOMMIT, "0"))
		return cannot_set(OVERCOMMIT);
	if (!write_text(POOL, text))
		return cannot_set(POOL);
	if (tpi_place_pool_free(-1) < PAGES)
		return "memory is too fragmented for 8 pages of 2 MiB";
	return NULL;
}

/* Whether huge shmem can be switched off and on, or why not. */
static const char *check_shmem(void)
{
	if (!old_thp[0])
		return "no huge shmem in this kernel: no " SHMEM_THP;
	return write_text(SHMEM_THP, old_thp) ? NULL : cannot_set(SHMEM_THP);
}

/* Runs a trial until its counts match. A fault of its own aborts. */
static void eventually(bool (*trial)(void))
{
	for (int i = 0; i < 1000; i++) {
		if (trial())
			return;
		usleep(30000);
	}
	ck_abort_msg("the counts never matched; last error: %s", error);
}

static bool obtain_two(void)
{
	struct tpi_segment_request request =
		request_of(MIB2 + 1, TAPIO_RUNG_HUGETLB);
	int64_t before = tpi_place_pool_free(-1), between;
	struct tpi_segment s;
	struct stat st;

	request.node = 0;
	request.no_fallback = true;
	if (create(&s, &request))
		return false;
	ck_assert_str_eq(error, "");
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_HUGETLB);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], 0);
	ck_assert_uint_eq(s.report.page_bytes, MIB2);
	ck_assert_uint_eq(s.report.length_bytes, 2 * MIB2);
	ck_assert_uint_eq(s.report.huge_bytes, 2 * MIB2);
	ck_assert_uint_eq(s.report.seals & TPI_SEALS, TPI_SEALS);
	ck_assert_int_eq(fstat(s.fd, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_blksize, MIB2);
	ck_assert_uint_eq((uint64_t)st.st_size, 2 * MIB2);
	between = tpi_place_pool_free(-1);
	if (s.report.placement == TAPIO_PLACED_VERIFIED)
		ck_assert_uint_eq(s.report.misplaced_pages, 0);
	else
		ck_assert_int_ne(s.report.placement_errno, 0);
	tpi_segment_destroy(&s);
	return between == before - 2 && tpi_place_pool_free(-1) == before;
}

START_TEST(hugetlb_is_obtained_whole_and_reported_as_measured)
{
	eventually(obtain_two);
}
END_TEST

static bool map_one(void)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;
	struct tpi_map map;

	request.no_fallback = true;
	if (create(&s, &request))
		return false;
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, MIB2, error, sizeof(error)),
		0);
	ck_assert_uint_eq(map.page_bytes, MIB2);
	ck_assert_uint_eq(map.bytes, MIB2);
	s.map.base[MIB2 - 1] = 9;
	ck_assert_uint_eq(map.base[MIB2 - 1], 9);
	ck_assert(has_flag(map.base, "dd"));
	ck_assert(has_flag(map.base, "dc"));
	tpi_map_close(&map);
	tpi_segment_destroy(&s);
	return true;
}

START_TEST(a_hugetlb_segment_is_mapped_by_others_with_its_page_size)
{
	eventually(map_one);
}
END_TEST

/* Others have given pages back meanwhile: it is to be tried again. */
static bool given_back(struct tpi_segment *s)
{
	tpi_segment_destroy(s);
	return false;
}

static bool want_four_too_many(void)
{
	int64_t unused = tpi_place_pool_free(-1);
	struct tpi_segment_request request =
		request_of(((uint64_t)unused + 4) * MIB2, TAPIO_RUNG_HUGETLB);
	unsigned int fds = open_fds();
	struct tpi_segment s;
	char text[96];
	int err;

	snprintf(text, sizeof(text),
		 "2 MiB pages: %" PRId64 " wanted, %" PRId64
		 " free in the pool (mmap: ",
		 unused + 4, unused);
	ck_assert_int_eq(create(&s, &request), 0);
	if (s.report.rung == TAPIO_RUNG_HUGETLB)
		return given_back(&s);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], ENOMEM);
	tpi_segment_destroy(&s);
	if (!strstr(error, text))
		return false;
	request.no_fallback = true;
	err = create(&s, &request);
	if (!err)
		return given_back(&s);
	ck_assert_int_eq(err, -ENOMEM);
	ck_assert_uint_eq(open_fds(), fds);
	return strstr(error, text) && tpi_place_pool_free(-1) == unused;
}

START_TEST(a_pool_that_is_too_small_is_told_with_both_numbers)
{
	eventually(want_four_too_many);
}
END_TEST

static bool empty_and_fill(void)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	int64_t unused = tpi_place_pool_free(-1);
	int64_t all = unused < 64 ? unused : 64;
	struct tpi_segment s[64];
	int made, most = 0;

	request.no_fallback = true;
	for (int round = 0; round < 20; round++) {
		for (made = 0; made < 64; made++)
			if (create(&s[made], &request))
				break;
		most = made;
		while (made)
			tpi_segment_destroy(&s[--made]);
		if (most != all || tpi_place_pool_free(-1) != unused)
			return false;
	}
	return all > 0;
}

START_TEST(the_pool_can_be_emptied_and_filled_again_without_a_loss)
{
	eventually(empty_and_fill);
}
END_TEST

static bool reserve_one(void)
{
	int64_t unused = tpi_place_pool_free(-1), left;
	int fd = memfd_create(SEGMENT_NAME,
			      MFD_HUGETLB | MFD_HUGE_2MB | MFD_CLOEXEC);
	void *base;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, MIB2), 0);
	base = mmap(NULL, MIB2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	left = tpi_place_pool_free(-1);
	if (base != MAP_FAILED)
		munmap(base, MIB2);
	close(fd);
	return base != MAP_FAILED && left == unused - 1 &&
	       tpi_place_pool_free(-1) == unused;
}

START_TEST(pages_that_somebody_has_reserved_are_not_said_to_be_free)
{
	eventually(reserve_one);
}
END_TEST

START_TEST(huge_shmem_is_measured_and_not_assumed)
{
	struct tpi_segment_request request =
		request_of(8 * MIB2, TAPIO_RUNG_THP);
	struct tpi_segment s;

	ck_assert(write_text(SHMEM_THP, "never"));
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_PAGES);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_THP], EOPNOTSUPP);
	ck_assert_uint_eq(s.report.huge_bytes, 0);
	assert_text("huge shmem pages: 0 of 16777216 bytes are huge");
	tpi_segment_destroy(&s);
	request.no_fallback = true;
	ck_assert_int_eq(create(&s, &request), -EOPNOTSUPP);
	ck_assert(write_text(SHMEM_THP, "advise"));
	request.no_fallback = false;
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.page_bytes, 4096);
	/* Memory may be too fragmented, but then this must not say THP. */
	ck_assert_uint_eq(s.report.rung, s.report.huge_bytes
						 ? TAPIO_RUNG_THP
						 : TAPIO_RUNG_PAGES);
	ck_assert_uint_le(s.report.huge_bytes, s.report.length_bytes);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(another_uid_cannot_reopen_what_it_was_handed_for_writing)
{
	struct tpi_segment s;
	char path[64];
	int status, fd;
	pid_t child;

	create_plain(&s, 4096);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s.fd_ro);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0); /* its own uid is not held by modes */
	close(fd);
	child = fork();
	if (child == 0) {
		/* So that a refusal below is the file's and not /proc's. */
		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (open("/proc/self/fd", O_RDONLY | O_CLOEXEC) < 0)
			_exit(3);
		fd = open(path, O_RDWR | O_CLOEXEC);
		_exit(fd < 0 && errno == EACCES ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	tpi_segment_destroy(&s);
}
END_TEST

#ifdef TAPIO_TESTPOINTS
static bool populate_fails(void)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	int64_t unused = tpi_place_pool_free(-1);
	const char *step = "(MADV_POPULATE_WRITE";
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EINVAL, -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_gt(s.report.rung, TAPIO_RUNG_HUGETLB);
	assert_text("2 MiB pages: 1 wanted, ");
	if (strstr(error, step))
		ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB],
				 EINVAL);
	tpi_segment_destroy(&s);
	if (!strstr(error, step))
		return false; /* not even reserved: somebody has the pool */
	/* and a pool that runs out half way is a lack of memory */
	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EFAULT, 1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], ENOMEM);
	tpi_segment_destroy(&s);
	tpi_sys_fail_none();
	return strstr(error, step) && tpi_place_pool_free(-1) == unused;
}

START_TEST(hugetlb_that_cannot_be_populated_cleanly_is_never_touched)
{
	eventually(populate_fails);
}
END_TEST
#endif

int main(void)
{
	const char *reason = prepare();
	int failed;
	TCase *t;

	if (reason) {
		puts(reason);
		return 77;
	}
	t = tcase_create("huge");
	tcase_add_test(t, hugetlb_is_obtained_whole_and_reported_as_measured);
	tcase_add_test(
		t, a_hugetlb_segment_is_mapped_by_others_with_its_page_size);
	tcase_add_test(t, a_pool_that_is_too_small_is_told_with_both_numbers);
	tcase_add_test(t,
		       the_pool_can_be_emptied_and_filled_again_without_a_loss);
	tcase_add_test(
		t, pages_that_somebody_has_reserved_are_not_said_to_be_free);
	reason = check_shmem();
	if (!reason)
		tcase_add_test(t, huge_shmem_is_measured_and_not_assumed);
	tcase_add_test(
		t, another_uid_cannot_reopen_what_it_was_handed_for_writing);
#ifdef TAPIO_TESTPOINTS
	tcase_add_test(
		t, hugetlb_that_cannot_be_populated_cleanly_is_never_touched);
#endif
	failed = check_run_case("segment huge", t);
	if (failed || !reason)
		return failed;
	printf("%s; what needs the pool alone has passed\n", reason);
	return 77;
}
