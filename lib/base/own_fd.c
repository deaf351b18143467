/* SPDX-License-Identifier: Apache-2.0 */
/* See own_fd.h. */
#include "lib/base/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/atomic.h"

/* Signals that can be a tag: 1 to TAGS. Two files differ unless TAGS lie between. */
#define TAGS 63

static uint32_t last_tag;

int tpi_fd_above_stdio(int fd)
{
	int up, saved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	saved = errno;
	close(fd);
	errno = saved;
	return up;
}

void tpi_fd_occupy_stdio(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The lowest number that is free is this one. The other way round,
		 * so that it is as good as closed. A root without a /dev will do. */
		if (open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
			(void)!open("/", O_PATH);
	}
}

static void set_tag(struct tpi_own_fd *kept)
{
	/* Relaxed: only that neighbours differ. */
	int tag = 1 + (int)(tpi_add_relaxed(&last_tag, 1) % TAGS);

	if (!fcntl(kept->number, F_SETSIG, tag))
		kept->tag = tag;
}

int tpi_own_fd_keep(struct tpi_own_fd *kept, int fd)
{
	struct stat st;
	int err;

	*kept = TPI_OWN_FD_NONE;
	fd = tpi_fd_above_stdio(fd);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		err = -errno;
		close(fd);
		return err;
	}
	kept->number = fd;
	kept->device = st.st_dev;
	kept->inode = st.st_ino;
	/* Files without a type are those that share one inode. */
	if (!(st.st_mode & S_IFMT))
		set_tag(kept);
	return 0;
}

int tpi_own_fd_number(const struct tpi_own_fd *kept)
{
	int saved = errno, number = -1;
	struct stat st;

	if (kept->number < 0)
		return -1;
	if (!fstat(kept->number, &st) && st.st_dev == kept->device &&
	    st.st_ino == kept->inode &&
	    (!kept->tag || fcntl(kept->number, F_GETSIG) == kept->tag))
		number = kept->number;
	errno = saved;
	return number;
}

void tpi_own_fd_close(struct tpi_own_fd *kept)
{
	int number = tpi_own_fd_number(kept);

	if (number >= 0)
		close(number);
	*kept = TPI_OWN_FD_NONE;
}
