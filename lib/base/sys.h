/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that may be missing or refused, each in one place.
 *
 * Thin wrappers that return a value or -errno. Callers: segment.c, and all that
 * needs membarrier, futexes or pidfds. They are functions of our own for two
 * reasons: glibc has no names for several of them, and a test must be able to
 * see what a kernel or a seccomp profile without them does to us. In builds
 * with TAPIO_TESTPOINTS each of them first asks whether it is to fail.
 */
#ifndef TPI_SYS_H
#define TPI_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* An fd above 2, or -errno; and so for all that make one. */
int tpi_sys_memfd_create(const char *name, unsigned int flags);
int tpi_sys_ftruncate(int fd, uint64_t bytes);
int tpi_sys_fchmod(int fd, unsigned int mode);
int tpi_sys_add_seals(int fd, int seals);
/* The seals, or -errno (-EINVAL: not a file that can be sealed). */
int tpi_sys_get_seals(int fd);
/* A new fd on the same file, CLOEXEC, by way of /proc. `flags` as of open. */
int tpi_sys_reopen(int fd, int flags);

/* MAP_SHARED at offset 0. *base is NULL on error. */
int tpi_sys_mmap(void **base, uint64_t bytes, int prot, int fd);
/* Moves a mapping onto another one of the same length, which it replaces at once: a
 * thread that reads there sees one of the two. */
int tpi_sys_mremap_onto(void *from, uint64_t bytes, void *onto);
int tpi_sys_madvise(void *base, uint64_t bytes, int advice);
/* Binds a range to one node (MPOL_BIND); node < 1024. */
int tpi_sys_mbind(void *base, uint64_t bytes, unsigned int node);
/* May this process take memory of that node? True where that cannot be known. */
bool tpi_sys_may_use_node(int node);
/* The node that the calling thread runs on. 0 or -errno. */
int tpi_sys_node(unsigned int *node);
/* Asks where pages are: status[i] is a node or -errno. Moves nothing. */
int tpi_sys_page_nodes(void **pages, int *status, size_t count);

/*
 * The CPUs that a thread may use, by id. The size is fixed: a kernel can be built
 * for at most 8,192 CPUs. (A cpu_set_t holds 1,024.)
 */
#define TPI_CPU_SET_CPUS 8192
struct tpi_cpu_set {
	uint64_t bits[TPI_CPU_SET_CPUS / 64];
};
/* The calling thread's set. 0 or -errno. */
int tpi_sys_get_affinity(struct tpi_cpu_set *set);
/* Of a thread of this process by its kernel id, 0: the calling thread. */
int tpi_sys_set_affinity(pid_t tid, const struct tpi_cpu_set *set);

/*
 * How the calling thread is scheduled, as sched_setattr(2) has it. slice_ns: how long it runs
 * before others have their turn, which threads and processes that it makes inherit. The
 * shorter it is, the sooner a thread that wakes up runs on a CPU that is busy. 0: the kernel
 * does not know it (before 6.12). 0 or -errno.
 */
struct tpi_sched {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t slice_ns;
	uint64_t deadline;
	uint64_t period;
};
int tpi_sys_get_sched(struct tpi_sched *sched);
int tpi_sys_set_sched(const struct tpi_sched *sched);

/* The result of the command, or -errno. */
int tpi_sys_membarrier(int command);
/* An fd, or -errno. */
int tpi_sys_pidfd_open(pid_t pid, unsigned int flags);
/* A namespace of the process, by PIDFD_GET_..._NAMESPACE. -ENOTTY before 6.11. */
int tpi_sys_pidfd_namespace(int pidfd, unsigned int command);
/* The name of this process's own PID namespace: an inode. 0: it cannot be known. */
uint64_t tpi_sys_pid_namespace(void);
/*
 * Futexes that work between processes. wait: 0 woken, -EAGAIN the word was not
 * `expected`, -ETIMEDOUT, -EINTR. A read-only mapping is enough. `timeout` is
 * relative, NULL for ever. wake: how many were woken.
 */
int tpi_sys_futex_wait(const uint32_t *word, uint32_t expected,
		       const struct timespec *timeout);
int tpi_sys_futex_wake(const uint32_t *word, int count);
/* The words that the kernel marks when the calling thread ends. NULL: none. */
struct robust_list_head;
int tpi_sys_set_robust_list(struct robust_list_head *list);
/* The one that is set. */
int tpi_sys_get_robust_list(struct robust_list_head **list);

/*
 * For tests: the next `count` calls of `number` (SYS_...) fail with `error`;
 * count < 0: all. A second rule for the same call and argument replaces the
 * first. `argument` narrows it: the advice of madvise, the command of fcntl, of
 * memfd_create MFD_HUGETLB or 0.
 *
 * The same from outside: TAPIO_SYS_FAIL="mbind=EPERM,membarrier=ENOSYS" in the
 * environment, read when the program starts. memfd_hugetlb, populate and
 * hugepage name those uses of memfd_create and madvise.
 */
#define TPI_SYS_ANY (-1L)
#ifdef TAPIO_TESTPOINTS
void tpi_sys_fail(long number, int error, int count);
void tpi_sys_fail_argument(long number, long argument, int error, int count);
void tpi_sys_fail_none(void);
/* How many calls the rule for this call and argument has made fail. */
unsigned int tpi_sys_failed(long number, long argument);
/* 0, or the errno with which this call has to fail (it is counted). */
int tpi_sys_injected(long number, long argument);
#else
static inline int tpi_sys_injected(long number, long argument)
{
	(void)number;
	(void)argument;
	return 0;
}
#endif

#endif
