/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes at the other end: their identity, whether they live, and their
 * mappings. A process is named by its pidfd. Numbers are for people.
 */
#ifndef TPI_BROKER_PROCESS_H
#define TPI_BROKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "broker/loop/loop.h"
#include "broker/session/rights.h"
#include "lib/wire/wire.h"

struct tpi_broker;
struct tpi_attachment;

/*
 * One image of one process: after an execve the same process is another one of
 * these. Lives as long as somebody refers to it: connections, attachments, and
 * group slots whose writable cursors it was given.
 */
struct tpi_process {
	struct tpi_watch watch; /* the pidfd: readable when it is dead */
	struct tpi_broker *broker;
	int pidfd;
	bool dead; /* the process, or this image of it */
	bool inode_valid;
	uint64_t inode; /* of the pidfd, where the kernel gives each its own */
	pid_t pid;      /* in our namespace. 0: not visible there */
	uint64_t start_ticks; /* 0: not known, or not yet (starts.h) */
	bool start_asked;     /* and it is not asked for again */
	uid_t uid;
	gid_t gid;
	uint8_t at_random[16];
	uint32_t rseq_verdict;
	char comm[16];
	uint32_t refs;
	TAILQ_HEAD(, tpi_attachment) attachments;
	TAILQ_ENTRY(tpi_process) link;
};
TAILQ_HEAD(tpi_process_list, tpi_process);

/*
 * Finds or makes the process behind a connection, with one reference for the
 * caller. `pidfd` is the one that the client sent, or -1. It is closed or kept
 * in every case. accepted_ns (CLOCK_BOOTTIME) is when the connection was made.
 * -EPERM the pidfd is of somebody else. -EBADF it is none. -ESRCH no process
 * there, or no way to know. -ENOMEM.
 */
int tpi_process_identify(struct tpi_broker *broker, struct tpi_process **out,
			 int sock, int pidfd, const struct tpi_cred *cred,
			 const struct tpi_wire_hello *hello,
			 uint64_t accepted_ns, char *error, size_t error_bytes);

/*
 * The process of an attachment that a former broker has left, with one reference for the
 * caller. `pidfd` is closed or kept, or -1: it is looked for by `pid` and `inode` or `start_ticks`. A
 * process that is not found is dead (tpi_process_is_dead()). -ENOMEM, or no watch.
 */
struct tpi_former {
	pid_t pid;
	uint64_t start_ticks;
	uint32_t inode; /* tpi_process_inode(). 0: not known */
	uid_t uid;
	gid_t gid;
	uint32_t rseq_verdict;
	const uint8_t *at_random; /* [16] */
	const char *comm;         /* [16] */
};
int tpi_process_adopt(struct tpi_broker *broker, struct tpi_process **out,
		      int pidfd, const struct tpi_former *former);
/* The inode of its pidfds, without its upper half, for a successor. 0: it has none. */
uint32_t tpi_process_inode(const struct tpi_process *process);
/* The same image of the same process. */
bool tpi_process_same(const struct tpi_process *a, const struct tpi_process *b);

void tpi_process_get(struct tpi_process *process);
void tpi_process_put(struct tpi_process *process);

/* Asks /proc. Also for helpers (session/helper.c). */
bool tpi_is_pidfd(int fd);

/* Whether its pidfd says now that it is dead. */
bool tpi_process_is_dead(const struct tpi_process *process);

/*
 * Whether the process maps one of `count` files (device, inode). 1, 0, or -errno
 * when it cannot be known: -EACCES, -ESRCH not visible from here, -EFBIG more
 * mappings than we care to read.
 */
struct tpi_file {
	uint64_t device;
	uint64_t inode;
};
int tpi_process_maps(const struct tpi_process *process,
		     const struct tpi_file *files, uint32_t count);

/* A pidfd of the process that made a connection, for the caller to close. -errno. */
int tpi_process_peer(int sock, const struct tpi_cred *cred,
		     uint64_t accepted_ns);

/* The process of a pidfd as this /proc numbers it: 0 not visible, -1 dead. */
int tpi_pidfd_pid(int pidfd, pid_t *pid);

/* Field 22 of /proc/PID/stat: when it started, in clock ticks. 0 on error. */
uint64_t tpi_start_ticks(pid_t pid);

/*
 * Whether a process waits or is stopped, as field 3 there says, or this cannot be known.
 * False: it has ended, or only a CPU keeps it. For children of the broker: the reader of a
 * client's file may have to wait (ask.h).
 */
bool tpi_is_asleep(int pidfd);

#endif
