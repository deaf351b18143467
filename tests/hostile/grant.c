/* SPDX-License-Identifier: Apache-2.0 */
/* See grant.h. */
#include "tests/hostile/grant.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/peer.h"

#define ANY_SEAL (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int result(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* Maps all of it, and unmaps it. */
static int map(int fd, off_t bytes, int protection)
{
	void *at = mmap(NULL, (size_t)bytes, protection, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, (size_t)bytes);
	return 0;
}

/* Maps it to read, and then asks for more. */
static int map_and_protect(int fd, off_t bytes)
{
	void *at = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
	int err;

	ck_assert_ptr_ne(at, MAP_FAILED);
	err = result(mprotect(at, (size_t)bytes, PROT_READ | PROT_WRITE));
	munmap(at, (size_t)bytes);
	return err;
}

/* The same file, opened anew. */
static int open_again(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	if (again < 0)
		return -errno;
	close(again);
	return 0;
}

/* Its length is fixed, whatever its pages are. */
static void length_is_fixed(int fd, off_t bytes)
{
	struct stat st;

	ck_assert_int_ne(ftruncate(fd, 0), 0);
	ck_assert_int_ne(ftruncate(fd, bytes / 2), 0);
	ck_assert_int_ne(ftruncate(fd, 2 * bytes), 0);
	ck_assert_int_ne(fallocate(fd, 0, bytes, bytes), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, bytes);
}

/* The mode is what keeps others from opening it again. */
static void modes_hold(int fd)
{
	ck_assert_int_eq(result(fchmod(fd, 0666)), -EPERM);
	ck_assert_int_ne(fchown(fd, getuid(), getgid()), 0);
	ck_assert_int_eq(open_again(fd, O_RDWR), -EACCES);
	ck_assert_int_eq(open_again(fd, O_WRONLY), -EACCES);
	ck_assert_int_eq(open_again(fd, O_RDWR | O_TRUNC), -EACCES);
}

void grant_check_fd(int fd, bool writable, bool owner)
{
	const char byte = 0;
	struct stat st;
	int mode;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_gt(st.st_size, 0);
	mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	ck_assert_int_eq(mode, writable ? O_RDWR : O_RDONLY);
	ck_assert_int_eq(map(fd, st.st_size, PROT_READ), 0);
	ck_assert_int_eq(map(fd, st.st_size, PROT_READ | PROT_WRITE),
			 writable ? 0 : -EACCES);
	ck_assert_int_eq(map_and_protect(fd, st.st_size),
			 writable ? 0 : -EACCES);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_RDWR | O_APPEND), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, mode);
	ck_assert_int_eq(result(fcntl(fd, F_ADD_SEALS, ANY_SEAL)), -EPERM);
	length_is_fixed(fd, st.st_size);
	if (!writable) {
		ck_assert_int_eq(result((int)pwrite(fd, &byte, 1, 0)), -EBADF);
		ck_assert_int_eq(result(fallocate(fd,
						  FALLOC_FL_PUNCH_HOLE |
							  FALLOC_FL_KEEP_SIZE,
						  0, st.st_size)),
				 -EBADF);
	}
	if (!owner)
		modes_hold(fd);
}

void grant_check(const struct peer *peer, uint32_t role, bool owner)
{
	const struct tpi_wire_attached *attached = &peer->attached;

	ck_assert_uint_gt(attached->segment_count, 0);
	ck_assert_uint_eq(attached->segment_count + attached->cursors_count,
			  peer->fd_count);
	if (role == TAPIO_ROLE_CONSUME)
		ck_assert_uint_eq(
			attached->cursors_count,
			1 + (attached->board != attached->group_slot + 1));
	for (uint32_t i = 0; i < peer->fd_count; i++) {
		bool cursors = i >= attached->segment_count;
		bool writable = cursors ? role == TAPIO_ROLE_CONSUME
					: role == TAPIO_ROLE_PRODUCE;

		grant_check_fd(peer->fds[i], writable, owner);
	}
}
