/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the library in a process that is not the library's.
 *
 * Two things happen to a guest's descriptors. A program that was started with
 * descriptor 0, 1 or 2 closed gives these numbers to the next descriptor that is made,
 * and then its messages go there: into a socket, or into shared memory. And a program
 * that closes "all" descriptors (closefrom(3) of a daemon) closes ours too. Their
 * numbers go to files of its own, and then we would write into these.
 */
#ifndef TPI_OWN_FD_H
#define TPI_OWN_FD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * `fd` itself if it is above 2 (or -1, which passes with its errno). Else a copy that is
 * above 2 and CLOEXEC, with `fd` closed, or -1 with errno if there can be none. Between
 * the call that made `fd` and this one another thread may still write to the number.
 */
int tpi_fd_above_stdio(int fd);

/*
 * For programs, first in main(): whichever of 0, 1 and 2 is closed gets a descriptor
 * that can neither be read nor written. So nothing that is opened later has this number,
 * and reading or writing fails as before.
 */
void tpi_fd_occupy_stdio(void);

/*
 * A descriptor that stays open between calls, and the marks that tell it from another
 * file that got its number. The fields are private. The number is -1 where there is none.
 */
struct tpi_own_fd {
	int number;
	int tag;
	dev_t device;
	ino_t inode;
};
#define TPI_OWN_FD_NONE ((struct tpi_own_fd){.number = -1})

/*
 * Takes over `fd`, moves it above 2, and notes its marks. 0, or -errno with `fd` closed.
 *
 * A socket, a pipe or a file is known by device and inode. Descriptors without an inode
 * of their own (eventfd, timerfd) all have the same one, so they get a tag as well: the
 * signal that F_SETSIG stores in an open file. Nothing uses it there, because these files
 * never send one.
 */
int tpi_own_fd_keep(struct tpi_own_fd *kept, int fd);

/*
 * Its number, or -1 if there is none, or if the number is another file's by now. One or
 * two system calls. The caller MUST ask before each use. The program may still change
 * the number between the question and the use, and that cannot be noticed.
 */
int tpi_own_fd_number(const struct tpi_own_fd *kept);

/* Closes it, if it is still ours. */
void tpi_own_fd_close(struct tpi_own_fd *kept);

#endif
