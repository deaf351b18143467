/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod on a host that is in its way: sockets and locks of other programs, a log
 * that is not read, a limit of file sizes, a full device. All of it fails on commit
 * fddcec1, unless a test says otherwise.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "tests/check_main.h"
#include "tests/cli/command.h"
#include "tests/cli/daemon.h"

#define PLAIN_UID 65534

static char lock_file[104];

/* Of tapiod. A test about the death or the stop of one process has no keeper. */
static const char *keeper = "--keeper=auto";

static void set_up(void)
{
	daemon_set_up();
	snprintf(lock_file, sizeof(lock_file), "%s.lock", daemon_socket);
}

/* In a child: tapiod, with its log to `log`. */
static void become_tapiod(int log)
{
	dup2(log, STDERR_FILENO);
	execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
	      "--log-level=debug", keeper, (char *)NULL);
	_exit(127);
}

static pid_t start(void)
{
	pid_t pid = fork();

	if (!pid)
		become_tapiod(open("/dev/null", O_WRONLY));
	ck_assert(daemon_comes());
	return pid;
}

/* tapiod refuses to serve, with this status and text. */
static void refuses(int status, const char *text)
{
	struct command command;

	command_run(&command, "tapiod", "--socket", daemon_socket, NULL);
	ck_assert_int_eq(command.status, status);
	ck_assert_msg(strstr(command.err, text) != NULL, "%s", command.err);
	command_free(&command);
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

/* ---- sockets and locks ----------------------------------------------------------- */

static int bind_there(int type, bool listens)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, daemon_socket);
	int fd = socket(AF_UNIX, type, 0);

	ck_assert_int_eq(bind(fd, (void *)&address, (socklen_t)length), 0);
	if (listens)
		ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(a_socket_of_another_kind_is_left_alone)
{
	int fd = bind_there(_i ? SOCK_STREAM : SOCK_DGRAM, _i);
	ino_t inode = inode_of(daemon_socket);

	refuses(4, "another kind");
	ck_assert_uint_eq(inode_of(daemon_socket), inode);
	close(fd);
}
END_TEST

/* It is not for us to know whether a program listens there. */
START_TEST(a_socket_that_cannot_be_asked_is_left_alone)
{
	int fd, log = open("/dev/null", O_WRONLY);
	ino_t inode;
	pid_t pid;

	if (geteuid()) {
		puts("not tried: it needs root, to be two users");
		return;
	}
	fd = bind_there(SOCK_SEQPACKET, true);
	inode = inode_of(daemon_socket);
	ck_assert_int_eq(chmod(daemon_socket, 0600), 0);
	ck_assert_int_eq(chmod(daemon_directory, 0777), 0);
	pid = fork();
	if (!pid) {
		int program = open(TAPIO_BIN "/tapiod", O_RDONLY | O_CLOEXEC);
		char *argv[] = {"tapiod", "--socket", daemon_socket, NULL};

		if (setgroups(0, NULL) || setgid(PLAIN_UID) ||
		    setuid(PLAIN_UID))
			_exit(126);
		dup2(log, STDERR_FILENO);
		fexecve(program, argv, environ);
		_exit(127);
	}
	ck_assert_int_eq(daemon_stop(pid, 0), 4);
	ck_assert_uint_eq(inode_of(daemon_socket), inode);
	close(log);
	close(fd);
}
END_TEST

/* As a broker leaves it that is killed before the mode is set. */
START_TEST(an_unfinished_socket_is_replaced)
{
	int fd = bind_there(SOCK_SEQPACKET, false);

	close(fd);
	ck_assert_int_eq(chmod(daemon_socket, 0), 0);
	ck_assert_int_eq(daemon_stop(start(), SIGTERM), 0);
	ck_assert_uint_eq(inode_of(daemon_socket), 0);
}
END_TEST

START_TEST(a_lock_of_the_directory_delays_nothing)
{
	int fd = open(daemon_directory, O_RDONLY | O_DIRECTORY);

	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(daemon_stop(start(), SIGTERM), 0);
	close(fd);
}
END_TEST

START_TEST(the_lock_is_closed_to_others_and_goes_with_the_broker)
{
	pid_t pid = start();
	struct stat st;

	ck_assert_int_eq(stat(lock_file, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	ck_assert_int_eq(access(lock_file, F_OK), -1);
}
END_TEST

START_TEST(a_lock_that_others_may_open_is_refused)
{
	int fd = open(lock_file, O_RDWR | O_CREAT, 0600);

	ck_assert_int_eq(fchmod(fd, 0644), 0);
	refuses(4, "mode 0600");
	close(fd);
}
END_TEST

START_TEST(the_living_are_named_and_not_harmed)
{
	char text[32];
	ino_t inode;
	pid_t pid;

	keeper = "--no-keeper";
	pid = start();
	inode = inode_of(daemon_socket);
	snprintf(text, sizeof(text), "process %d ", pid);
	refuses(4, text);
	ck_assert_uint_eq(inode_of(daemon_socket), inode);
	/* Stopped, it cannot answer. It lives. */
	kill(pid, SIGSTOP);
	refuses(4, text);
	ck_assert_uint_eq(inode_of(daemon_socket), inode);
	kill(pid, SIGCONT);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
}
END_TEST

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* Whether the kernel gives a pidfd of a peer that was reaped, as from Linux 6.16 on. */
static bool knows_the_reaped(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, daemon_socket);
	int listener = bind_there(SOCK_SEQPACKET, true), pidfd = -1, sock;
	socklen_t bytes = sizeof(pidfd);
	pid_t pid = fork();

	if (!pid) {
		sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		_exit(connect(sock, (void *)&address, (socklen_t)length) != 0);
	}
	ck_assert_int_eq(daemon_stop(pid, 0), 0);
	sock = accept(listener, NULL, NULL);
	ck_assert_int_ge(sock, 0);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &bytes))
		pidfd = -1;
	if (pidfd >= 0)
		close(pidfd);
	close(sock);
	close(listener);
	unlink(daemon_socket);
	return pidfd >= 0;
}

/* A tool that gave up while the broker was stopped: its message is still there. The log
 * said on commit 1ab11d0 that root is in another namespace, and which rules it needs. */
START_TEST(an_owner_that_has_ended_is_refused_with_that_reason)
{
	char path[sizeof(daemon_socket) + 8], text[8192];
	struct command command;
	pid_t pid;
	int log;

	if (!knows_the_reaped()) {
		puts("not tried: it needs Linux 6.16");
		return;
	}
	snprintf(path, sizeof(path), "%s.log", daemon_socket);
	log = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	ck_assert_int_ge(log, 0);
	keeper = "--no-keeper";
	pid = fork();
	if (!pid)
		become_tapiod(log);
	ck_assert(daemon_comes());
	kill(pid, SIGSTOP);
	command_run(&command, "tapio-shmstat", "--socket", daemon_socket,
		    "--timeout=100ms", NULL);
	command_free(&command);
	kill(pid, SIGCONT);
	/* The broker serves those that came before first. */
	command_run(&command, "tapio-group", "-s", daemon_socket, "list", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	command_free(&command);
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	memset(text, 0, sizeof(text));
	ck_assert_int_gt(pread(log, text, sizeof(text) - 1, 0), 0);
	ck_assert_msg(strstr(text, "has ended, so trust_owner") != NULL, "%s",
		      text);
	ck_assert_msg(!strstr(text, "namespace"), "%s", text);
	ck_assert_msg(!strstr(text, "allow rules that grant"), "%s", text);
	close(log);
	unlink(path);
}
END_TEST

/* Eight at once, after one that was killed: one serves, and the others say so. */
START_TEST(of_many_that_start_at_once_one_serves)
{
	int served = 0, refused = 0;
	pid_t pids[8];

	keeper = "--no-keeper";
	daemon_stop(start(), SIGKILL);
	keeper = "--keeper=auto";
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (!pids[i])
			become_tapiod(open("/dev/null", O_WRONLY));
	}
	for (int i = 0; i < 7; i++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		refused += WIFEXITED(status) && WEXITSTATUS(status) == 4;
	}
	ck_assert_int_eq(refused, 7);
	ck_assert(daemon_comes());
	for (int i = 0; i < 8; i++)
		if (!kill(pids[i], SIGTERM))
			served += !daemon_stop(pids[i], 0);
	ck_assert_int_eq(served, 1);
	ck_assert_uint_eq(inode_of(daemon_socket), 0);
	ck_assert_uint_eq(inode_of(lock_file), 0);
}
END_TEST

/* ---- output ----------------------------------------------------------------------- */

/* A pipe that takes not one byte more. */
static void make_full_pipe(int ends[2])
{
	char zero[4096] = {0};

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], zero, sizeof(zero)) > 0)
		;
	while (write(ends[1], zero, 1) > 0)
		;
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
}

START_TEST(a_log_that_is_not_read_stops_nothing)
{
	int ends[2];
	pid_t pid;

	make_full_pipe(ends);
	pid = fork();
	if (!pid)
		become_tapiod(ends[1]);
	ck_assert(daemon_comes());
	ck_assert_int_eq(daemon_stop(pid, SIGTERM), 0);
	ck_assert_uint_eq(inode_of(daemon_socket), 0);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_limit_of_file_sizes_is_named)
{
	const struct rlimit limit = {.rlim_cur = 65536, .rlim_max = 65536};

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	refuses(3, "RLIMIT_FSIZE (ulimit -f) allows files of 65536 bytes");
}
END_TEST

static const char *const printing[][3] = {
	{"tapiod", "--print-config"},     {"tapiod", "--check", "/dev/null"},
	{"tapiod", "--version"},          {"tapiod", "--help"},
	{"tapio-shmstat", "--version"},   {"tapio-tail", "--list-types"},
	{"tapio-group", "--help"},        {"tapio-load", "--version"},
	{"tapio-collect-proc", "--help"},
};
#define PRINTING ((int)(sizeof(printing) / sizeof(printing[0])))

START_TEST(output_that_is_lost_is_a_failure)
{
	const char *const *c = printing[_i];
	char path[128], text[256] = "";
	int ends[2];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", TAPIO_BIN, c[0]);
	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execl(path, c[0], c[1], c[2], (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	ck_assert_int_gt(read(ends[0], text, sizeof(text) - 1), 0);
	ck_assert_msg(strstr(text, "cannot write standard output") != NULL,
		      "%s", text);
	ck_assert_int_eq(daemon_stop(pid, 0), strcmp(c[0], "tapiod") ? 1 : 6);
	close(ends[0]);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("host");

	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, daemon_tear_down);
	tcase_add_loop_test(c, a_socket_of_another_kind_is_left_alone, 0, 2);
	tcase_add_test(c, a_socket_that_cannot_be_asked_is_left_alone);
	tcase_add_test(c, an_unfinished_socket_is_replaced);
	tcase_add_test(c, a_lock_of_the_directory_delays_nothing);
	tcase_add_test(c,
		       the_lock_is_closed_to_others_and_goes_with_the_broker);
	tcase_add_test(c, a_lock_that_others_may_open_is_refused);
	tcase_add_test(c, the_living_are_named_and_not_harmed);
	tcase_add_test(c, an_owner_that_has_ended_is_refused_with_that_reason);
	tcase_add_test(c, of_many_that_start_at_once_one_serves);
	tcase_add_test(c, a_log_that_is_not_read_stops_nothing);
	tcase_add_test(c, a_limit_of_file_sizes_is_named);
	tcase_add_loop_test(c, output_that_is_lost_is_a_failure, 0, PRINTING);
	return check_run_case("tapiod_host", c);
}
