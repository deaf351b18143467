/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_owner ends where the broker's own user and PID namespace end: real processes in
 * namespaces of their own, with kernels that give a process's namespaces by its pidfd,
 * and with those that do not.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/deny.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define KEEPER 4321 /* made the group "d" */
#define CONFIG                                                       \
	"channel events { class main { block = 64 blocks = 64 } }\n" \
	"allow keeper { uid = {\"4321\"} role = {consume, durable} }\n"

/* Exit statuses of the children. Others are the errno of a client. */
#define CANNOT 97
#define WRONG  98

static struct tapio_broker *broker;
static const char *broker_name;

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return CANNOT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

/* ---- kernels without these ways -------------------------------------------------- */

static bool no_peerpidfd;

int __real_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_getsockopt(int, int, int, void *, socklen_t *);

int __wrap_getsockopt(int sock, int level, int option, void *value,
		      socklen_t *length)
{
	if (no_peerpidfd && level == SOL_SOCKET && option == SO_PEERPIDFD) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_getsockopt(sock, level, option, value, length);
}

/* 0 the newest, 1 without namespaces by a pidfd, 2 without SO_PEERPIDFD, too. */
#define KERNELS 3

static bool become_kernel(int age)
{
	no_peerpidfd = age > 1;
	return !age || deny_syscall(SYS_ioctl, ENOTTY);
}

static bool unfit(int age)
{
	if (getuid()) {
		fprintf(stderr, "skipped: namespaces and uids need root\n");
		return true;
	}
	if (!become_kernel(age)) {
		fprintf(stderr,
			"skipped: this kernel has no seccomp filters\n");
		return true;
	}
	return false;
}

/* ---- what a process may do there ---------------------------------------------------- */

static int produce(void)
{
	struct peer peer;
	int err;

	peer_connect_to(&peer, broker_name);
	err = peer_hello(&peer);
	if (!err)
		err = peer_attach(&peer, TAPIO_ROLE_PRODUCE, "events", NULL, 0,
				  0, 0);
	if (err == -EACCES && !strstr(peer.refused.text, "PID namespace"))
		return WRONG;
	peer_close(&peer);
	return -err;
}

static int make_d(void)
{
	struct peer peer;
	int err;

	if (setgid(KEEPER) || setuid(KEEPER))
		return CANNOT;
	peer_connect_to(&peer, broker_name);
	err = peer_hello(&peer);
	if (!err)
		err = peer_attach(&peer, TAPIO_ROLE_CONSUME, "events", "d",
				  TAPIO_GROUP_UNTIL, 8, TPI_ATTACH_DURABLE);
	if (!err)
		err = peer_detach(&peer);
	peer_close(&peer);
	return -err;
}

static int remove_d(void)
{
	struct peer peer;
	int err;

	peer_connect_to(&peer, broker_name);
	err = peer_hello(&peer);
	if (!err)
		err = peer_remove(&peer, "events", "d");
	peer_close(&peer);
	return -err;
}

static int join_d(void)
{
	struct peer peer;
	int err;

	peer_connect_to(&peer, broker_name);
	err = peer_hello(&peer);
	if (!err)
		err = peer_attach(&peer, TAPIO_ROLE_CONSUME, "events", "d", 0,
				  0, 0);
	peer_close(&peer);
	return -err;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 &&
		    write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}

/* Into the namespaces, with uid 0 there and for everybody. */
static bool enter(int flags)
{
	if (unshare(flags))
		return false;
	return !(flags & CLONE_NEWUSER) ||
	       (write_file("/proc/self/setgroups", "deny") &&
		write_file("/proc/self/uid_map", "0 0 1") &&
		write_file("/proc/self/gid_map", "0 0 1"));
}

/* The result of `body` in a process that has those namespaces. */
static int run_in(int flags, int (*body)(void))
{
	pid_t pid = fork();

	if (!pid) {
		if (!enter(flags))
			_exit(CANNOT);
		/* A PID namespace is that of the next child. */
		pid = fork();
		if (!pid)
			_exit(body());
		_exit(status_of(pid));
	}
	return status_of(pid);
}

static const int containers[] = {CLONE_NEWPID, CLONE_NEWUSER,
				 CLONE_NEWUSER | CLONE_NEWPID};
#define CONTAINERS (sizeof(containers) / sizeof(containers[0]))

/* ---- the host's broker --------------------------------------------------------------- */

static void serve(void)
{
	broker = broker_start(CONFIG);
	broker_name = tapio_broker_socket(broker);
}

/* Fails on commit fddcec1: the root of each container may do everything. */
START_TEST(a_root_of_a_container_is_not_root_for_the_broker)
{
	if (unfit(_i))
		return;
	serve();
	ck_assert_int_eq(run_in(0, produce), 0);
	ck_assert(!broker_said("not trusted as an owner"));
	for (size_t i = 0; i < CONTAINERS; i++)
		ck_assert_int_eq(run_in(containers[i], produce), EACCES);
	ck_assert(broker_said("not trusted as an owner: its user or PID "
			      "namespace is not the broker's"));
	tapio_broker_stop(broker);
}
END_TEST

START_TEST(a_root_of_a_container_owns_no_group_of_others)
{
	if (unfit(_i))
		return;
	broker = broker_start(CONFIG
			      "allow all { any = true role = {consume} }\n");
	broker_name = tapio_broker_socket(broker);
	ck_assert_int_eq(run_in(0, make_d), 0);
	for (size_t i = 0; i < CONTAINERS; i++) {
		ck_assert_int_eq(run_in(containers[i], join_d), EACCES);
		ck_assert_int_eq(run_in(containers[i], remove_d), EACCES);
	}
	ck_assert_int_eq(run_in(0, join_d), 0);
	/* Its end is seen when its pidfd is: the slot may have a member until then. */
	for (int i = 0; i < 6000 && run_in(0, remove_d) == EBUSY; i++)
		usleep(10000);
	ck_assert_int_eq(run_in(0, remove_d), ENXIO);
	tapio_broker_stop(broker);
}
END_TEST

START_TEST(the_process_of_an_embedded_broker_is_its_owner)
{
	if (unfit(_i))
		return;
	serve();
	ck_assert_int_eq(produce(), 0);
	tapio_broker_stop(broker);
}
END_TEST

/* ---- a broker in a container ------------------------------------------------------- */

/* In the container: an embedded broker, whose name goes out through a pipe. */
static int pipe_out[2], pipe_in[2];

static int serve_inside(void)
{
	char byte;
	int err;

	serve();
	err = run_in(0, produce);
	if (!err && run_in(CLONE_NEWPID, produce) != EACCES)
		err = WRONG;
	if (write(pipe_out[1], broker_name, strlen(broker_name) + 1) < 0 ||
	    read(pipe_in[0], &byte, 1) != 1)
		return CANNOT;
	tapio_broker_stop(broker);
	return err;
}

START_TEST(a_broker_in_a_container_has_the_root_of_the_container_for_owner)
{
	static char name[128];
	pid_t pid;

	if (unfit(_i))
		return;
	ck_assert_int_eq(pipe(pipe_out), 0);
	ck_assert_int_eq(pipe(pipe_in), 0);
	pid = fork();
	if (!pid)
		_exit(run_in(CLONE_NEWPID, serve_inside));
	ck_assert_int_gt(read(pipe_out[0], name, sizeof(name)), 0);
	broker_name = name;
	/* The host is another world for it. */
	ck_assert_int_eq(run_in(0, produce), EACCES);
	ck_assert_int_eq(write(pipe_in[1], "x", 1), 1);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("owner");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_root_of_a_container_is_not_root_for_the_broker,
			    0, KERNELS);
	tcase_add_loop_test(c, a_root_of_a_container_owns_no_group_of_others, 0,
			    KERNELS);
	tcase_add_loop_test(c, the_process_of_an_embedded_broker_is_its_owner,
			    0, KERNELS);
	tcase_add_loop_test(
		c,
		a_broker_in_a_container_has_the_root_of_the_container_for_owner,
		0, KERNELS);
	return check_run_case("owner", c);
}
