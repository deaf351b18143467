/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of /proc, or of a tree that looks like it, relative to an open directory.
 */
#ifndef TPI_PROC_FILE_H
#define TPI_PROC_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Long enough for a line of stat, status, io and so on, with room to spare. */
#define TPI_PROC_FILE_BYTES 8192

/*
 * Reads a small file with one read(), so that all of it is of one moment, and
 * ends it with NUL. Its length, cut to size - 1, or -errno (-ENOENT or -ESRCH:
 * the process has gone).
 */
ssize_t tpi_proc_read(int dir, const char *path, char *buffer, size_t size);

/*
 * Reads a file of any length into *buffer, which grows as needed (start with
 * NULL and 0, and free() it in the end). Its length or -errno.
 */
ssize_t tpi_proc_read_all(int dir, const char *path, char **buffer,
			  size_t *size);

/* Where a symbolic link points to, with a NUL. Its length or -errno. */
ssize_t tpi_proc_link(int dir, const char *path, char *buffer, size_t size);

#endif
