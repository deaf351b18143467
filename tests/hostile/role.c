/* SPDX-License-Identifier: Apache-2.0 */
/* See role.h. */
#include "tests/hostile/role.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A role that ends is heard at once. This is for one that hangs. */
#define PATIENCE_MS 600000

/* ---- becoming somebody else ------------------------------------------------------ */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length = (ssize_t)strlen(text);

	ck_assert_msg(fd >= 0 && write(fd, text, (size_t)length) == length,
		      "%s: %s", path, strerror(errno));
	close(fd);
}

static void become_root_inside(uid_t uid)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/gid_map", map);
}

/*
 * A process that has changed its ids counts as one that ran a setuid program: its
 * files in /proc are root's. An attacker has logged in, so this is undone.
 */
static void change_ids(uid_t uid)
{
	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresgid(uid, uid, uid), 0);
	ck_assert_int_eq(setresuid(uid, uid, uid), 0);
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
}

/* The first process of a PID namespace is a child of the one that made it. */
static void go_inside(void)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		return;
	/* After the change of ids, which would undo it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void become(const struct role_as *as)
{
	const struct sched_param none = {0};
	const bool own_users = as->user_ns || as->unmapped;

	if (as->idle)
		ck_assert_int_eq(sched_setscheduler(0, SCHED_IDLE, &none), 0);
	if (as->pid_ns && !own_users)
		ck_assert_int_eq(unshare(CLONE_NEWPID), 0);
	if (as->uid)
		change_ids(as->uid);
	if (own_users)
		ck_assert_int_eq(unshare(CLONE_NEWUSER |
					 (as->pid_ns ? CLONE_NEWPID : 0)),
				 0);
	if (as->user_ns)
		become_root_inside(as->uid);
	if (as->pid_ns)
		go_inside();
}

/* ---- in the test --------------------------------------------------------------------- */

static void play(struct role *self, const struct role_as *as, pid_t test,
		 void (*body)(struct role *self))
{
	/* Check's handlers would end the whole group of the test. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test)
		_exit(1);
	become(as);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	body(self);
	_exit(0);
}

void role_start(struct role *role, const struct role_as *as,
		void (*body)(struct role *self), void *arg)
{
	pid_t test = getpid();
	int ends[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	*role = (struct role){.line = ends[0], .arg = arg};
	role->pid = fork();
	ck_assert_int_ge(role->pid, 0);
	if (!role->pid) {
		close(ends[0]);
		role->line = ends[1];
		play(role, as, test, body);
	}
	close(ends[1]);
}

void role_start_uid(struct role *role, uid_t uid,
		    void (*body)(struct role *self), void *arg)
{
	const struct role_as as = {.uid = uid};

	role_start(role, &as, body, arg);
}

void role_tell(struct role *role, uint64_t number)
{
	ck_assert_int_eq(
		send(role->line, &number, sizeof(number), MSG_NOSIGNAL),
		sizeof(number));
}

bool role_has_news(const struct role *role, int ms)
{
	struct pollfd p = {.fd = role->line, .events = POLLIN};
	int ready;

	do
		ready = poll(&p, 1, ms);
	while (ready < 0 && errno == EINTR);
	return ready == 1;
}

uint64_t role_hear(struct role *role)
{
	uint64_t number;

	ck_assert_msg(role_has_news(role, PATIENCE_MS),
		      "waited in vain for process %d", role->pid);
	ck_assert_msg(recv(role->line, &number, sizeof(number), 0) ==
			      sizeof(number),
		      "process %d said nothing and ended", role->pid);
	return number;
}

static int wait_for(struct role *role)
{
	int status;

	ck_assert_int_gt(role->pid, 0);
	while (waitpid(role->pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	role->pid = 0;
	close(role->line);
	role->line = -1;
	return status;
}

void role_end(struct role *role)
{
	pid_t pid = role->pid;
	int status = wait_for(role);

	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status),
		      "process %d ended with wait status 0x%x", pid, status);
}

void role_kill(struct role *role)
{
	const struct sched_param none = {0};

	kill(role->pid, SIGKILL);
	/* Dying takes CPU time, of which an idle one gets none. */
	sched_setscheduler(role->pid, SCHED_OTHER, &none);
	wait_for(role);
}

void role_run(const struct role_as *as, void (*body)(struct role *self),
	      void *arg)
{
	struct role role;

	role_start(&role, as, body, arg);
	role_end(&role);
}

/* ---- may it ----------------------------------------------------------------------------- */

/* The exit status of a child that tries something. */
static bool try_in_child(int (*try)(uid_t uid), uid_t uid)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(try(uid) ? 1 : 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static int be(uid_t uid)
{
	return setgroups(0, NULL) || setresgid(uid, uid, uid) ||
	       setresuid(uid, uid, uid);
}

static int unshare_as(uid_t uid)
{
	return be(uid) || unshare(CLONE_NEWUSER | CLONE_NEWPID);
}

const char *role_reason(void)
{
	if (geteuid())
		return "needs root, to run as several users";
	if (!try_in_child(be, 61000))
		return "needs CAP_SETUID and CAP_SETGID, to run as several "
		       "users";
	return NULL;
}

bool role_may_unshare(uid_t uid)
{
	return try_in_child(unshare_as, uid);
}
