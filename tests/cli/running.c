/* SPDX-License-Identifier: Apache-2.0 */
/* Commands beside a test. See the header. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/cli/running.h"

#define ARGUMENTS_MAX 40
#define LIMIT_MS      30000

/*
 * In the child, with signals blocked: Check's own handlers, which would end the
 * test's whole group, must be gone before a signal comes through.
 */
static void become(char **argv, const int out[2], const int err[2],
		   pid_t parent, const sigset_t *before)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, before, NULL);
	/* Gone with the test, also if the test is killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	execv(argv[0], argv);
	_exit(126);
}

void running_start(struct running *running, const char *name, ...)
{
	char path[4096], *argv[ARGUMENTS_MAX] = {path};
	int out[2], err[2], count = 1;
	pid_t parent = getpid();
	sigset_t all, before;
	va_list args;

	snprintf(path, sizeof(path), "%s/%s", TAPIO_BIN, name);
	va_start(args, name);
	while ((argv[count] = va_arg(args, char *)))
		ck_assert_int_lt(++count, ARGUMENTS_MAX);
	va_end(args);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	*running = (struct running){.out = out[0], .err = err[0]};
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	running->pid = fork();
	if (!running->pid)
		become(argv, out, err, parent, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_int_ge(running->pid, 0);
	close(out[1]);
	close(err[1]);
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int ready;

	do
		ready = poll(&poll_fd, 1, LIMIT_MS);
	while (ready < 0 && errno == EINTR);
	ck_assert_msg(ready == 1, "waited in vain for %s", what);
}

/* Takes the first `length` bytes, and what is behind them one byte on. */
static const char *take(struct running *running, size_t length)
{
	static char line[sizeof(running->text)];

	memcpy(line, running->text, length);
	line[length] = '\0';
	size_t gone = length < running->used ? length + 1 : length;
	running->used -= gone;
	memmove(running->text, running->text + gone, running->used);
	return line;
}

const char *running_line(struct running *running)
{
	for (;;) {
		char *newline = memchr(running->text, '\n', running->used);
		if (newline)
			return take(running, (size_t)(newline - running->text));
		if (running->out < 0)
			return running->used ? take(running, running->used)
					     : NULL;
		ck_assert_uint_lt(running->used, sizeof(running->text));
		wait_readable(running->out, "a line of output");
		ssize_t length =
			read(running->out, running->text + running->used,
			     sizeof(running->text) - running->used);
		if (length > 0) {
			running->used += (size_t)length;
			continue;
		}
		close(running->out);
		running->out = -1;
	}
}

bool running_ready(const struct running *running, int ms)
{
	struct pollfd poll_fd = {.fd = running->out, .events = POLLIN};

	return running->used || poll(&poll_fd, 1, ms) == 1;
}

int running_wait(struct running *running)
{
	int status = 0;
	pid_t pid;

	for (int ms = 0; ms < LIMIT_MS; ms++) {
		pid = waitpid(running->pid, &status, WNOHANG);
		if (pid)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	ck_assert_msg(pid == running->pid, "waited in vain for its end");
	running->pid = 0;
	if (running->out >= 0)
		close(running->out);
	running->out = -1;
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 126);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void running_errors(struct running *running, char *text, size_t size)
{
	size_t used = 0;
	ssize_t length;

	do {
		wait_readable(running->err, "messages");
		length = read(running->err, text + used, size - 1 - used);
		if (length > 0)
			used += (size_t)length;
	} while (length > 0 && used < size - 1);
	text[used] = '\0';
	close(running->err);
	running->err = -1;
}

int running_stop(struct running *running, int signal)
{
	ck_assert_int_eq(kill(running->pid, signal), 0);
	return running_wait(running);
}

/* ---- a broker ------------------------------------------------------------- */

static bool answers(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	int err = connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return !err;
}

/*
 * A killed broker's listening socket may outlive it for a moment: io_uring lets
 * go of it in a kernel worker. A client that connects then gets no answer.
 */
static void wait_for_silence(const struct test_broker *broker)
{
	for (int ms = 0; ms < LIMIT_MS && answers(broker->socket); ms++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_msg(!answers(broker->socket), "a dead broker answers");
}

void test_broker_restart(struct test_broker *broker)
{
	running_start(&broker->daemon, "tapiod", "--config", broker->config,
		      "--socket", broker->socket, "--log-level", "warning",
		      "--no-keeper", NULL);
	for (int ms = 0; ms < LIMIT_MS && !answers(broker->socket); ms++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_msg(answers(broker->socket), "tapiod does not answer");
}

void test_broker_start(struct test_broker *broker, const char *config)
{
	snprintf(broker->directory, sizeof(broker->directory),
		 "/tmp/tapio-cli-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(broker->directory));
	snprintf(broker->socket, sizeof(broker->socket), "%s/socket",
		 broker->directory);
	snprintf(broker->config, sizeof(broker->config), "%s/conf",
		 broker->directory);
	FILE *file = fopen(broker->config, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(config, file), 0);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(setenv("TAPIO_SOCKET", broker->socket, 1), 0);
	test_broker_restart(broker);
}

void test_broker_kill(struct test_broker *broker)
{
	ck_assert_int_eq(running_stop(&broker->daemon, SIGKILL), 128 + SIGKILL);
	close(broker->daemon.err);
	wait_for_silence(broker);
}

void test_broker_stop(struct test_broker *broker)
{
	char text[4096];

	if (broker->daemon.pid) {
		ck_assert_int_eq(running_stop(&broker->daemon, SIGTERM), 0);
		running_errors(&broker->daemon, text, sizeof(text));
	}
	snprintf(text, sizeof(text), "%s.lock", broker->socket);
	unlink(text); /* of a broker that was killed */
	unlink(broker->socket);
	unlink(broker->config);
	ck_assert_int_eq(rmdir(broker->directory), 0);
}
