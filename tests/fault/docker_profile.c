/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See docker_profile.h. The filter is a test of each number in turn: it is made
 * once in the life of a process, and the tests do not measure it.
 */
#include "tests/fault/docker_profile.h"

#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/atomic.h"

#ifdef __x86_64__

#include "tests/fault/docker_calls.h"

/* Bits of clone(2) that make namespaces. They need CAP_SYS_ADMIN. */
#define NAMESPACE_FLAGS                                                \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define VSOCK 40

#define STATEMENTS 1024

struct program {
	struct sock_filter code[STATEMENTS];
	unsigned short length;
};

static void add(struct program *program, struct sock_filter statement)
{
	ck_assert_uint_lt(program->length, STATEMENTS);
	program->code[program->length++] = statement;
}

#define ADD(program, ...) add(program, (struct sock_filter)__VA_ARGS__)

static void load(struct program *program, size_t offset)
{
	ADD(program, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void finish(struct program *program, uint32_t action)
{
	ADD(program, BPF_STMT(BPF_RET | BPF_K, action));
}

/* For that number: the action. */
static void decide(struct program *program, int number, uint32_t action)
{
	ADD(program,
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1));
	finish(program, action);
}

static void allow(struct program *program, const int *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		decide(program, numbers[i], SECCOMP_RET_ALLOW);
}
#define ALLOW(program, list) \
	allow(program, list, sizeof(list) / sizeof(*(list)))

/* The call that is decided by its first argument: allowed if `test` jumps by `yes`. */
static void allow_if(struct program *program, int number,
		     struct sock_filter test)
{
	ADD(program,
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4));
	load(program, offsetof(struct seccomp_data, args[0]));
	add(program, test);
	finish(program, SECCOMP_RET_ALLOW);
	finish(program, SECCOMP_RET_USER_NOTIF);
}

static void compile(struct program *program, enum docker_version version)
{
	const int newest =
		version == DOCKER_20 ? SYS_futex_waitv : NR_FUTEX_REQUEUE;

	program->length = 0;
	load(program, offsetof(struct seccomp_data, nr));
	/* The runtime says ENOSYS for all that is newer than its profile. */
	ADD(program,
	    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)newest, 0, 1));
	finish(program, SECCOMP_RET_ERRNO | ENOSYS);
	decide(program, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	allow_if(program, SYS_clone,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
					      NAMESPACE_FLAGS, 1, 0));
	if (version != DOCKER_20)
		allow_if(program, SYS_socket,
			 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						      VSOCK, 1, 0));
	ALLOW(program, allowed);
	if (version == DOCKER_20)
		ALLOW(program, allowed_20);
	else
		ALLOW(program, allowed_28);
	finish(program, SECCOMP_RET_USER_NOTIF);
}

int docker_profile_enter(enum docker_version version)
{
	static struct program program;
	struct sock_fprog filter = {.filter = program.code};

	compile(&program, version);
	filter.len = program.length;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

#else

int docker_profile_enter(enum docker_version version)
{
	(void)version;
	return -ENOSYS;
}

#endif

/* ---- the supervisor ------------------------------------------------------------------ */

static void answer(struct docker_supervisor *supervisor)
{
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	int number;

	memset(&request, 0, sizeof(request));
	/* The process may have died meanwhile. */
	if (ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
		return;
	number = request.data.nr;
	if (number >= 0 && number < DOCKER_CALLS)
		tpi_store_relaxed(&supervisor->refused[number], true);
	response =
		(struct seccomp_notif_resp){.id = request.id, .error = -EPERM};
	(void)ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* Until the last process with the filter has ended. */
static void *supervise(void *arg)
{
	struct docker_supervisor *supervisor = arg;
	struct pollfd news = {.fd = supervisor->listener, .events = POLLIN};

	while (!(news.revents & POLLHUP)) {
		poll(&news, 1, -1);
		if (news.revents & POLLIN)
			answer(supervisor);
	}
	return NULL;
}

void docker_supervise(struct docker_supervisor *supervisor, int listener)
{
	supervisor->listener = listener;
	memset(supervisor->refused, 0, sizeof(supervisor->refused));
	ck_assert_int_eq(pthread_create(&supervisor->thread, NULL, supervise,
					supervisor),
			 0);
}

void docker_supervise_end(struct docker_supervisor *supervisor)
{
	pthread_join(supervisor->thread, NULL);
	close(supervisor->listener);
}

bool docker_refused(const struct docker_supervisor *supervisor, long number)
{
	return tpi_load_relaxed(&supervisor->refused[number]);
}
