/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading files of /proc. Called by the collector's sources.
 *
 * The kernel makes up such a file as it is read, a page or so at a time: two
 * reads of one file may tell of two moments. A file about one process fits in
 * one read and gets just one. Lists (interfaces, disks) may be longer. Each of
 * their lines is of one moment, and the reader takes whole lines only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/collectors/proc_file.h"

static int open_file(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

static ssize_t read_some(int fd, char *buffer, size_t size)
{
	ssize_t length;

	do
		length = read(fd, buffer, size);
	while (length < 0 && errno == EINTR);
	return length < 0 ? -errno : length;
}

ssize_t tpi_proc_read(int dir, const char *path, char *buffer, size_t size)
{
	int fd = open_file(dir, path);

	buffer[0] = '\0';
	if (fd < 0)
		return fd;
	ssize_t length = read_some(fd, buffer, size - 1);
	close(fd);
	if (length >= 0)
		buffer[length] = '\0';
	return length;
}

static int grow(char **buffer, size_t *size)
{
	size_t larger = *size ? *size * 2 : TPI_PROC_FILE_BYTES;
	char *moved = realloc(*buffer, larger);

	if (!moved)
		return -ENOMEM;
	*buffer = moved;
	*size = larger;
	return 0;
}

ssize_t tpi_proc_read_all(int dir, const char *path, char **buffer,
			  size_t *size)
{
	int fd = open_file(dir, path);
	size_t used = 0;
	ssize_t length;

	if (fd < 0)
		return fd;
	do {
		length = 0;
		if (*size - used < 2)
			length = grow(buffer, size);
		if (length == 0)
			length =
				read_some(fd, *buffer + used, *size - used - 1);
		if (length > 0)
			used += (size_t)length;
	} while (length > 0);
	close(fd);
	if (length < 0)
		return length;
	(*buffer)[used] = '\0';
	return (ssize_t)used;
}

ssize_t tpi_proc_link(int dir, const char *path, char *buffer, size_t size)
{
	ssize_t length = readlinkat(dir, path, buffer, size - 1);

	if (length < 0)
		length = -errno;
	buffer[length > 0 ? length : 0] = '\0';
	return length;
}
