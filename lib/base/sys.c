/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers of sys.h: one system call each, errors as -errno. Every function
 * that can be refused asks sys_fail.c first, which is empty without testpoints.
 */
#include "lib/base/sys.h"
#include "lib/base/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns from the caller when a test wants this call to fail. */
#define INJECT(number, argument)                                   \
	do {                                                       \
		int injected = tpi_sys_injected(number, argument); \
		if (injected)                                      \
			return -injected;                          \
	} while (0)

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

/* A program's output MUST NOT go into a segment. */
static int new_fd(int fd)
{
	return result(tpi_fd_above_stdio(fd));
}

int tpi_sys_memfd_create(const char *name, unsigned int flags)
{
	INJECT(SYS_memfd_create, (long)(flags & MFD_HUGETLB));
	return new_fd((int)syscall(SYS_memfd_create, name, flags));
}

/* A limit of file sizes raises SIGXFSZ, which would end the caller's program. So it is
 * asked for first. */
int tpi_sys_ftruncate(int fd, uint64_t bytes)
{
	struct rlimit limit;

	INJECT(SYS_ftruncate, TPI_SYS_ANY);
	if (bytes > INT64_MAX)
		return -EFBIG;
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < bytes)
		return -EFBIG;
	return result(ftruncate(fd, (off_t)bytes));
}

int tpi_sys_fchmod(int fd, unsigned int mode)
{
	INJECT(SYS_fchmod, TPI_SYS_ANY);
	return result(fchmod(fd, (mode_t)mode));
}

int tpi_sys_add_seals(int fd, int seals)
{
	INJECT(SYS_fcntl, F_ADD_SEALS);
	return result(fcntl(fd, F_ADD_SEALS, seals));
}

int tpi_sys_get_seals(int fd)
{
	INJECT(SYS_fcntl, F_GET_SEALS);
	return result(fcntl(fd, F_GET_SEALS));
}

int tpi_sys_reopen(int fd, int flags)
{
	char path[32];

	INJECT(SYS_openat, TPI_SYS_ANY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return new_fd(open(path, flags | O_CLOEXEC));
}

int tpi_sys_mmap(void **base, uint64_t bytes, int prot, int fd)
{
	void *at;

	*base = NULL;
	INJECT(SYS_mmap, TPI_SYS_ANY);
	if (bytes > SIZE_MAX)
		return -ENOMEM;
	at = mmap(NULL, (size_t)bytes, prot, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*base = at;
	return 0;
}

int tpi_sys_mremap_onto(void *from, uint64_t bytes, void *onto)
{
	INJECT(SYS_mremap, TPI_SYS_ANY);
	if (mremap(from, (size_t)bytes, (size_t)bytes,
		   MREMAP_MAYMOVE | MREMAP_FIXED, onto) == MAP_FAILED)
		return -errno;
	return 0;
}

int tpi_sys_madvise(void *base, uint64_t bytes, int advice)
{
	INJECT(SYS_madvise, advice);
	return result(madvise(base, (size_t)bytes, advice));
}

int tpi_sys_mbind(void *base, uint64_t bytes, unsigned int node)
{
	unsigned long mask[1024 / (8 * sizeof(unsigned long))];
	const unsigned int bits = 8 * sizeof(mask[0]);

	INJECT(SYS_mbind, TPI_SYS_ANY);
	if (node >= 1024)
		return -EINVAL;
	memset(mask, 0, sizeof(mask));
	mask[node / bits] = 1UL << node % bits;
	/* The kernel reads one bit less than it is told. */
	return result(syscall(SYS_mbind, base, (unsigned long)bytes, MPOL_BIND,
			      mask, 1024UL + 1, 0UL));
}

bool tpi_sys_may_use_node(int node)
{
	unsigned long mask[1024 / (8 * sizeof(unsigned long))] = {0};
	const int bits = 8 * sizeof(mask[0]);

	if (node < 0 || node >= 1024 ||
	    syscall(SYS_get_mempolicy, NULL, mask, 1024UL + 1, NULL,
		    (unsigned long)MPOL_F_MEMS_ALLOWED))
		return true;
	return mask[node / bits] >> node % bits & 1;
}

int tpi_sys_node(unsigned int *node)
{
	unsigned int cpu;

	/* glibc's makes no system call. Others have none. */
#ifdef __GLIBC__
	return result(getcpu(&cpu, node));
#else
	return result(syscall(SYS_getcpu, &cpu, node, NULL));
#endif
}

int tpi_sys_page_nodes(void **pages, int *status, size_t count)
{
	INJECT(SYS_move_pages, TPI_SYS_ANY);
	return result(
		syscall(SYS_move_pages, 0, count, pages, NULL, status, 0));
}

int tpi_sys_get_affinity(struct tpi_cpu_set *set)
{
	int err;

	INJECT(SYS_sched_getaffinity, TPI_SYS_ANY);
	memset(set, 0, sizeof(*set));
	err = result(syscall(SYS_sched_getaffinity, 0, sizeof(*set), set));
	return err < 0 ? err : 0;
}

int tpi_sys_set_affinity(pid_t tid, const struct tpi_cpu_set *set)
{
	INJECT(SYS_sched_setaffinity, TPI_SYS_ANY);
	return result(syscall(SYS_sched_setaffinity, tid, sizeof(*set), set));
}

int tpi_sys_get_sched(struct tpi_sched *sched)
{
	INJECT(SYS_sched_getattr, TPI_SYS_ANY);
	memset(sched, 0, sizeof(*sched));
	return result(syscall(SYS_sched_getattr, 0, sched, sizeof(*sched), 0));
}

int tpi_sys_set_sched(const struct tpi_sched *sched)
{
	INJECT(SYS_sched_setattr, TPI_SYS_ANY);
	return result(syscall(SYS_sched_setattr, 0, sched, 0));
}

int tpi_sys_membarrier(int command)
{
	INJECT(SYS_membarrier, command);
	return result(syscall(SYS_membarrier, command, 0, 0));
}

int tpi_sys_pidfd_open(pid_t pid, unsigned int flags)
{
	INJECT(SYS_pidfd_open, TPI_SYS_ANY);
	return new_fd((int)syscall(SYS_pidfd_open, pid, flags));
}

int tpi_sys_pidfd_namespace(int pidfd, unsigned int command)
{
	INJECT(SYS_ioctl, (long)command);
	return new_fd(ioctl(pidfd, command, 0));
}

uint64_t tpi_sys_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

int tpi_sys_futex_wait(const uint32_t *word, uint32_t expected,
		       const struct timespec *timeout)
{
	INJECT(SYS_futex, FUTEX_WAIT);
	return result(syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout,
			      NULL, 0));
}

int tpi_sys_futex_wake(const uint32_t *word, int count)
{
	INJECT(SYS_futex, FUTEX_WAKE);
	return result(
		syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0));
}

int tpi_sys_set_robust_list(struct robust_list_head *list)
{
	INJECT(SYS_set_robust_list, TPI_SYS_ANY);
	return result(syscall(SYS_set_robust_list, list, sizeof(*list)));
}

int tpi_sys_get_robust_list(struct robust_list_head **list)
{
	size_t bytes;

	INJECT(SYS_get_robust_list, TPI_SYS_ANY);
	return result(syscall(SYS_get_robust_list, 0, list, &bytes));
}
