/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of a socket's name: "NAME.lock" beside the socket, held for as long as the
 * broker serves. It tells whether a broker lives, which a socket cannot: a socket of a
 * killed broker still takes connections until the kernel has closed its ring, and a
 * socket that refuses us may be another user's.
 *
 * The file is the broker's own, with mode 0600. Another user cannot open it, so no
 * other user can hold the lock.
 *
 * The holder removes the file before it lets go of the lock. So a process that gets
 * the lock asks whether the file still has its name, and begins again if not: then
 * another process may hold the lock of a new file.
 *
 * SIGKILL anywhere: the kernel lets go of the lock, and the file stays for the next
 * broker. SIGSTOP: the lock is held, and others are told by which process. A fork: the
 * child's copy is closed (broker/embed.c). A restart takes the lock of the file that is
 * there. With a keeper the lock outlives the broker, since both have the same open file: the
 * next broker is given it, and no other one can have it meanwhile.
 *
 * The file says for people which processes have it, and for the next broker which file the
 * socket is: "BROKER KEEPER DEVICE INODE".
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/session/name_lock.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/lane/wake.h"

/* A broker that was killed may need so long to be gone. */
#define DYING_NS INT64_C(1000000000)
#define NAP_NS   1000000

#define SIGNATURE_BYTES 80

static void lock_path(char *path, size_t bytes, const char *name)
{
	snprintf(path, bytes, "%s.lock", name);
}

/* The directory of the socket, if only the last part of it is missing. */
static int make_directory(const char *name, char *error, size_t error_bytes)
{
	char copy[TPI_NAME_LOCK_BYTES];
	const char *directory;

	snprintf(copy, sizeof(copy), "%s", name);
	directory = dirname(copy);
	if (!access(directory, F_OK) || !mkdir(directory, 0755) ||
	    errno == EEXIST)
		return 0;
	return tpi_fail(-errno, error, error_bytes,
			"socket \"%s\": cannot make the directory \"%s\": %s "
			"(another socket is chosen with --socket or in the "
			"configuration)",
			name, directory, strerror(errno));
}

/* Whether it is a file of ours that no other user can open. */
static int check_file(int fd, const char *path, char *error, size_t error_bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & 077))
		return 0;
	return tpi_fail(-EPERM, error, error_bytes,
			"lock \"%s\": it must be a file of uid %u with mode "
			"0600, and is one of uid %u with mode %04o: remove it, "
			"or choose another socket",
			path, geteuid(), st.st_uid, st.st_mode & 07777);
}

static int open_file(const char *path, char *error, size_t error_bytes)
{
	int fd = tpi_fd_above_stdio(
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
	int err;

	if (fd < 0)
		return tpi_fail(-errno, error, error_bytes,
				"lock \"%s\": cannot open or make it: %s "
				"(another socket is chosen with --socket or in "
				"the configuration)",
				path, strerror(errno));
	err = check_file(fd, path, error, error_bytes);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* Whether the file still has its name. */
static bool is_named(int fd, const char *path)
{
	struct stat ours, named;

	return !fstat(fd, &ours) && !lstat(path, &named) &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* The words of a holder. Zeros: nothing that can be read. */
static void read_signature(int fd, struct tpi_name_signature *signature)
{
	unsigned long long device = 0, inode = 0;
	char text[SIGNATURE_BYTES] = "";

	*signature = (struct tpi_name_signature){0};
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return;
	(void)sscanf(text, "%d %d %llu %llu", &signature->broker,
		     &signature->keeper, &device, &inode);
	signature->device = (dev_t)device;
	signature->inode = (ino_t)inode;
}

int tpi_name_sign(int fd, const struct tpi_name_signature *signature)
{
	char text[SIGNATURE_BYTES];
	int n = snprintf(text, sizeof(text), "%-10d %-10d %-20llu %-20llu\n",
			 signature->broker, signature->keeper,
			 (unsigned long long)signature->device,
			 (unsigned long long)signature->inode);

	return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -EIO;
}

bool tpi_name_lock_inherited(int fd, const char *name,
			     struct tpi_name_signature *signature)
{
	char path[TPI_NAME_LOCK_BYTES];

	lock_path(path, sizeof(path), name);
	if (flock(fd, LOCK_EX | LOCK_NB) || !is_named(fd, path))
		return false;
	read_signature(fd, signature);
	return true;
}

static int refuse(const char *name, const char *path,
		  const struct tpi_name_signature *by, char *error,
		  size_t error_bytes)
{
	if (by->keeper)
		return tpi_fail(-EADDRINUSE, error, error_bytes,
				"socket \"%s\": another broker serves there, "
				"process %d, with its keeper, process %d (they "
				"hold the lock \"%s\")",
				name, by->broker, by->keeper, path);
	return tpi_fail(-EADDRINUSE, error, error_bytes,
			"socket \"%s\": another broker serves there, process "
			"%d (it holds the lock \"%s\")",
			name, by->broker, path);
}

/* 0: ours. -EAGAIN: it is held, or the file has lost its name. */
static int try_lock(int fd, const char *path)
{
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EINTR ? -EAGAIN : -errno;
	return is_named(fd, path) ? 0 : -EAGAIN;
}

int tpi_name_lock(const char *name, char *error, size_t error_bytes)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	int64_t until = tpi_now_ns() + DYING_NS;
	struct tpi_name_signature by;
	char path[TPI_NAME_LOCK_BYTES];
	int fd, err;

	err = make_directory(name, error, error_bytes);
	if (err)
		return err;
	lock_path(path, sizeof(path), name);
	for (;;) {
		fd = open_file(path, error, error_bytes);
		if (fd < 0)
			return fd;
		err = try_lock(fd, path);
		if (!err)
			return fd;
		read_signature(fd, &by);
		close(fd);
		if (err != -EAGAIN)
			return tpi_fail(err, error, error_bytes,
					"lock \"%s\": %s", path,
					strerror(-err));
		if (tpi_now_ns() >= until)
			break;
		nanosleep(&nap, NULL);
	}
	return refuse(name, path, &by, error, error_bytes);
}

void tpi_name_unlock(int fd, const char *name)
{
	char path[TPI_NAME_LOCK_BYTES];

	if (fd < 0)
		return;
	lock_path(path, sizeof(path), name);
	if (is_named(fd, path))
		unlink(path);
	close(fd);
}
