/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat beside files that are no segments, though they are named and filled as
 * such: it believes no user without a reason, and what it maps
 * and allocates is bounded by what is really there.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "lib/base/atomic.h"
#include "lib/memory/layout.h"
#include "tests/check_main.h"

#define STRANGER 4321
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define PAGE     4096u
/* Of a catalog whose every channel would be looked at. */
#define ABSURD 100000u

static const uint8_t instance[16] = "fake instance";
static struct command run;

/* A catalog in private memory, as far as it is written at all. */
static struct tpi_map build(uint32_t channels)
{
	struct tpi_catalog_size size = {
		.clients_max = 8, .segments = 4, .channels = channels};
	uint64_t bytes = tpi_catalog_bytes(&size) + PAGE - 1;
	struct tpi_map map = {.bytes = bytes - bytes % PAGE, .writable = true};
	struct tpi_catalog catalog;

	map.base = mmap(NULL, map.bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(map.base, MAP_FAILED);
	ck_assert_int_eq(tpi_catalog_build(&map, &size, instance), 0);
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &map, NULL, 0), 0);
	catalog.broker->state = TAPIO_BROKER_RUNNING;
	strcpy(catalog.broker->version, "6.6.6");
	return map;
}

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* The file of that map, made by `uid`: whole, or only the pages that are not zero. */
static int make_file(const struct tpi_map *map, uid_t uid, bool whole)
{
	const unsigned char *from = (const unsigned char *)map->base;
	int fd;

	ck_assert_int_eq(seteuid(uid), 0);
	fd = memfd_create("tapio-catalog", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)map->bytes), 0);
	for (uint64_t at = 0; at < map->bytes; at += PAGE)
		if (whole || !is_zero(from + at))
			ck_assert_int_eq(pwrite(fd, from + at, PAGE, (off_t)at),
					 PAGE);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

static int fake(uint32_t channels, uid_t uid, bool whole)
{
	struct tpi_map map = build(channels);
	int fd = make_file(&map, uid, whole);

	munmap(map.base, map.bytes);
	return fd;
}

static struct stat stat_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st;
}

static char pid[16];

static bool unfit(void)
{
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (!getuid())
		return false;
	fprintf(stderr, "skipped: files of another uid need root\n");
	return true;
}

/* The file is as it was: to look at a hole would have made a page of it. */
static void assert_untouched(int fd, const struct stat *before)
{
	struct stat after = stat_of(fd);

	ck_assert_int_eq(after.st_blocks, before->st_blocks);
	ck_assert_int_lt(after.st_blocks * 512, after.st_size / 10);
}

/*
 * Fails on commit fddcec1, which maps the file and walks over all its channels. It was
 * made to allocate 370 MB by such a file.
 */
START_TEST(a_file_with_holes_is_no_segment_whoever_made_it)
{
	static const uid_t makers[] = {STRANGER, 0};
	struct stat before;
	int fd;

	if (unfit())
		return;
	fd = fake(ABSURD, makers[_i], false);
	before = stat_of(fd);
	ck_assert_int_gt(before.st_size, 500 << 20);
	command_run(&run, "tapio-shmstat", "--owner", "4321", "--pid", pid,
		    NULL);
	ck_assert_int_eq(run.status, 3);
	ck_assert_ptr_nonnull(strstr(run.err, "1 file named as segments has "
					      "holes"));
	assert_untouched(fd, &before);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--scan", "--socket",
		    "@nobody-listens-here", "--owner", "4321", NULL);
	ck_assert_ptr_null(strstr(run.out, "6.6.6"));
	assert_untouched(fd, &before);
	command_free(&run);
	close(fd);
}
END_TEST

START_TEST(a_strangers_file_is_not_believed_unless_it_is_asked_for)
{
	int fd;

	if (unfit())
		return;
	fd = fake(1, STRANGER, true);
	command_run(&run, "tapio-shmstat", "--pid", pid, "broker", NULL);
	ck_assert_int_eq(run.status, 3);
	ck_assert_ptr_nonnull(strstr(run.err, "uid 4321"));
	ck_assert_ptr_nonnull(strstr(run.err, "--owner 4321 believes it"));
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, "--owner", "4321",
		    "broker", NULL);
	ck_assert_msg(strstr(run.out, "6.6.6"), "%s\n%s", run.out, run.err);
	command_free(&run);
	close(fd);
}
END_TEST

/* Beside a true one a fake would make two brokers of it, and no tool would choose. */
START_TEST(a_strangers_file_hides_no_broker)
{
	int fake_fd, fd;

	if (unfit())
		return;
	fake_fd = fake(1, STRANGER, true);
	fd = fake(1, 0, true);
	command_run(&run, "tapio-shmstat", "--pid", pid, "broker", NULL);
	ck_assert_ptr_null(strstr(run.err, "several brokers"));
	ck_assert_msg(strstr(run.out, "6.6.6"), "%s\n%s", run.out, run.err);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, "--owner", "4321",
		    "broker", NULL);
	ck_assert_int_eq(run.status, 3);
	ck_assert_ptr_nonnull(strstr(run.err, "several brokers"));
	command_free(&run);
	close(fake_fd);
	close(fd);
}
END_TEST

/* What is allocated for it: less than the file itself has, which its owner has paid. */
START_TEST(counts_that_are_too_large_are_refused_before_memory_is_taken)
{
	struct rlimit all, some = {256 << 20, RLIM_INFINITY};
	struct tpi_map map = build(1);
	struct tapio_shm_header *header = (struct tapio_shm_header *)map.base;
	struct tapio_shm_region *regions;
	int fd;

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	regions = (struct tapio_shm_region *)(map.base + header->region_offset);
	for (uint32_t i = 0; i < header->region_count; i++)
		if (regions[i].kind == TAPIO_REGION_CHANNELS ||
		    regions[i].kind == TAPIO_REGION_GROUPS)
			regions[i].count = UINT32_MAX >> 7;
	fd = make_file(&map, geteuid(), true);
	munmap(map.base, map.bytes);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &all), 0);
	some.rlim_max = all.rlim_max;
	/* Shadow memory is address space, too. */
	if (!CHECK_SANITIZED)
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &some), 0);
	command_run(&run, "tapio-shmstat", "--pid", pid, NULL);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &all), 0);
	ck_assert_int_eq(run.status, 6);
	ck_assert_ptr_null(strstr(run.err, "memory"));
	command_free(&run);
	close(fd);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_fake");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_file_with_holes_is_no_segment_whoever_made_it,
			    0, 2);
	tcase_add_test(c,
		       a_strangers_file_is_not_believed_unless_it_is_asked_for);
	tcase_add_test(c, a_strangers_file_hides_no_broker);
	tcase_add_test(
		c,
		counts_that_are_too_large_are_refused_before_memory_is_taken);
	return check_run_case("shmstat_fake", c);
}
