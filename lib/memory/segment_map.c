/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping a segment that somebody else made.
 *
 * Called by clients and tools for what the broker sent, and by a new broker for
 * what the keeper held. The seals are looked at before the length: only of a
 * sealed file does the length stay what it was, and only there is a mapping safe
 * from a SIGBUS by truncation.
 */
#include "lib/memory/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/sys.h"

static int check_seals(int fd, char *error, size_t error_bytes)
{
	int seals = tpi_sys_get_seals(fd);

	if (seals == -EINVAL)
		return tpi_fail(-EPERM, error, error_bytes,
				"fd %d is not a memfd that can be sealed", fd);
	if (seals < 0)
		return tpi_fail(seals, error, error_bytes,
				"cannot read the seals of fd %d: %s", fd,
				strerror(-seals));
	if ((seals & TPI_SEALS_LENGTH) != TPI_SEALS_LENGTH)
		return tpi_fail(-EPERM, error, error_bytes,
				"fd %d is not sealed: seals 0x%x, needed 0x%x",
				fd, (unsigned int)seals,
				(unsigned int)TPI_SEALS_LENGTH);
	return 0;
}

static int check_access(int fd, bool writable, char *error, size_t error_bytes)
{
	int flags;

	if (!writable)
		return 0; /* whatever a descriptor of a memfd is, it can be read */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return tpi_fail(-errno, error, error_bytes,
				"cannot read the flags of fd %d: %s", fd,
				strerror(errno));
	if ((flags & O_ACCMODE) != O_RDWR)
		return tpi_fail(-EACCES, error, error_bytes,
				"fd %d is read-only, and the role needs to "
				"write",
				fd);
	return 0;
}

static int check_length(const struct stat *st, int fd, uint64_t limit_bytes,
			char *error, size_t error_bytes)
{
	const size_t least = sizeof(struct tapio_shm_header);

	if (st->st_size < (off_t)least)
		return tpi_fail(-EBADMSG, error, error_bytes,
				"fd %d: %" PRId64
				" bytes, a segment has at least %zu",
				fd, (int64_t)st->st_size, least);
	if ((uint64_t)st->st_size > limit_bytes)
		return tpi_fail(-EFBIG, error, error_bytes,
				"fd %d: %" PRId64
				" bytes, the limit is %" PRIu64,
				fd, (int64_t)st->st_size, limit_bytes);
	return 0;
}

/* All of tpi_map_fd() but what keep_apart() does. */
static int map_shared(struct tpi_map *map, int fd, bool writable,
		      uint64_t limit_bytes, char *error, size_t error_bytes)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	struct stat st;
	void *base;
	int err;

	*map = (struct tpi_map){0};
	err = check_seals(fd, error, error_bytes);
	if (!err)
		err = check_access(fd, writable, error, error_bytes);
	if (err)
		return err;
	if (fstat(fd, &st))
		return tpi_fail(-errno, error, error_bytes,
				"fstat of fd %d: %s", fd, strerror(errno));
	err = check_length(&st, fd, limit_bytes, error, error_bytes);
	if (err)
		return err;
	err = tpi_sys_mmap(&base, (uint64_t)st.st_size, prot, fd);
	if (err)
		return tpi_fail(err, error, error_bytes,
				"mmap of %" PRId64 " bytes: %s",
				(int64_t)st.st_size, strerror(-err));
	*map = (struct tpi_map){base, (uint64_t)st.st_size, writable,
				(uint32_t)st.st_blksize};
	return 0;
}

/*
 * The first stretch of mappings, from *next on, that lie side by side in the order
 * in which the kernel gives out addresses, from high to low. *next is then the one
 * after it.
 */
static struct tpi_map stretch(const struct tpi_map *maps, unsigned int count,
			      unsigned int *next)
{
	struct tpi_map all = maps[(*next)++];

	while (*next < count &&
	       (uintptr_t)maps[*next].base + maps[*next].bytes ==
		       (uintptr_t)all.base) {
		all.base = maps[*next].base;
		all.bytes += maps[(*next)++].bytes;
	}
	return all;
}

/* Out of forked children and core dumps. */
static int keep_apart(const struct tpi_map *maps, unsigned int count,
		      char *error, size_t error_bytes)
{
	unsigned int next = 0;
	struct tpi_map all;
	int err;

	while (next < count) {
		all = stretch(maps, count, &next);
		err = tpi_sys_madvise(all.base, all.bytes, MADV_DONTFORK);
		if (err)
			return tpi_fail(err, error, error_bytes,
					"MADV_DONTFORK: %s", strerror(-err));
		/* Where it is refused, core dumps are long. Nothing else is
		 * lost. */
		(void)tpi_sys_madvise(all.base, all.bytes, MADV_DONTDUMP);
	}
	return 0;
}

int tpi_map_fds(struct tpi_map *maps, const int *fds, unsigned int count,
		bool writable, uint64_t limit_bytes, char *error,
		size_t error_bytes)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < count && !err; i++)
		err = map_shared(&maps[i], fds[i], writable, limit_bytes, error,
				 error_bytes);
	if (err)
		i--; /* the one that failed */
	else
		err = keep_apart(maps, count, error, error_bytes);
	if (err)
		tpi_maps_close(maps, i);
	return err;
}

int tpi_map_fd(struct tpi_map *map, int fd, bool writable, uint64_t limit_bytes,
	       char *error, size_t error_bytes)
{
	return tpi_map_fds(map, &fd, 1, writable, limit_bytes, error,
			   error_bytes);
}

void tpi_maps_close(struct tpi_map *maps, unsigned int count)
{
	unsigned int next = 0, i;
	struct tpi_map all;

	while (next < count) {
		all = stretch(maps, count, &next);
		if (all.base)
			munmap(all.base, all.bytes);
	}
	for (i = 0; i < count; i++)
		maps[i] = (struct tpi_map){0};
}

void tpi_map_close(struct tpi_map *map)
{
	tpi_maps_close(map, 1);
}
