/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See place.h. Between the frame and the daemon stands a process, the keeper, that
 * makes the place, starts the daemon, and ends it and whatever it has started when
 * it is told to, or the frame has died. It ends when the last of them has, which
 * are all in one process group and fall to it when their parents die. The mounts
 * go with them.
 *
 * There is no PID namespace, which would be surer: LTTng's daemon compares what
 * number a process says it has with what the kernel says.
 *
 * Without the rights of root the place has a user namespace, too, in which
 * everybody is who they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/frame/bench.h"
#include "bench/peers/place.h"
#include "lib/base/sys.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET)
#define MADE_OF    "a mount and a network namespace of its own"
#define LINE_BYTES 120

struct making {
	const char *const *covers;
	const char *const *daemon;
	int keep;
	int log;
	int ready; /* written to when the daemon has been started */
	bool user;
	uid_t uid;
	gid_t gid;
};

/* The keeper's message: 0, or the error of the step that failed. */
struct made {
	int err;
	char what[64];
};

/* Input from nowhere, output to the log, and no other descriptor but `keep`. */
static void redirect(int log, int keep)
{
	int nowhere = open("/dev/null", O_RDONLY);
	unsigned int after = keep < 3 ? 3 : (unsigned int)keep + 1;

	dup2(nowhere, 0);
	dup2(log, 1);
	dup2(log, 2);
	if (keep > 3)
		close_range(3, (unsigned int)keep - 1, 0);
	close_range(after, ~0U, 0);
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	for (int i = 1; i < SIGSYS; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Dies with its parent, if that has not died yet. */
static _Noreturn void become(const char *const *command, pid_t parent, int log,
			     int keep)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	redirect(log, keep);
	reset_signals();
	execvp(command[0], (char *const *)(uintptr_t)command);
	dprintf(1, "%s: %s\n", command[0], strerror(errno));
	_exit(127);
}

/* ---- in the keeper ------------------------------------------------------- */

static _Noreturn void cannot(const struct making *making, const char *what)
{
	struct made made = {.err = errno};

	snprintf(made.what, sizeof(made.what), "%s", what);
	_exit(write(making->ready, &made, sizeof(made)) > 0);
}

static bool write_file(const char *path, const char *format, ...)
{
	char text[64];
	va_list args;
	ssize_t length;
	bool written;
	int fd;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, (size_t)length) == length;
	close(fd);
	return written;
}

static void stay_who_we_are(const struct making *making)
{
	if (!write_file("/proc/self/setgroups", "deny") ||
	    !write_file("/proc/self/uid_map", "%u %u 1", making->uid,
			making->uid) ||
	    !write_file("/proc/self/gid_map", "%u %u 1", making->gid,
			making->gid))
		cannot(making, "a user namespace");
}

static void cover(const struct making *making)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		cannot(making, "mounts of its own");
	for (const char *const *path = making->covers; *path; path++)
		if (mount("tmpfs", *path, "tmpfs", MS_NOSUID | MS_NODEV,
			  "mode=1777"))
			cannot(making, *path);
}

/* Until it has died, or it is time to end it. */
static void watch(pid_t daemon, const sigset_t *signals)
{
	int signal_number = 0;

	while (waitpid(daemon, NULL, WNOHANG) == 0)
		if (!sigwait(signals, &signal_number) &&
		    signal_number == SIGTERM)
			break;
	kill(-daemon, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

static void run_daemon(const struct making *making, const sigset_t *signals)
{
	const struct made made = {.err = 0};
	pid_t keeper = getpid(), daemon = fork();

	if (daemon < 0)
		cannot(making, "fork");
	if (!daemon) {
		setpgid(0, 0);
		become(making->daemon, keeper, making->log, making->keep);
	}
	setpgid(daemon, daemon);
	if (write(making->ready, &made, sizeof(made)) == sizeof(made))
		redirect(making->log, -1);
	else
		kill(daemon, SIGKILL);
	watch(daemon, signals);
}

static _Noreturn void be_keeper(const struct making *making, pid_t frame)
{
	sigset_t signals;

	reset_signals();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != frame)
		_exit(1);
	setsid(); /* a terminal's ^C is for the frame, which ends this in order */
	if (making->user)
		stay_who_we_are(making);
	cover(making);
	run_daemon(making, &signals);
	_exit(0);
}

/* ---- in the frame's process ---------------------------------------------- */

/* As fork(), into new namespaces. */
static pid_t fork_keeper(struct making *making)
{
	const unsigned long flags = NAMESPACES | SIGCHLD;
	pid_t pid;

	fflush(NULL);
	pid = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
	if (pid < 0 && errno == EPERM) {
		making->user = true;
		pid = (pid_t)syscall(SYS_clone, flags | CLONE_NEWUSER, 0, 0, 0,
				     0);
	}
	return pid;
}

static int start_keeper(struct place *place, struct making *making,
			const int pipe_fds[2])
{
	pid_t frame = getpid();
	struct made made;

	place->keeper = fork_keeper(making);
	if (!place->keeper) {
		close(pipe_fds[0]);
		be_keeper(making, frame);
	}
	if (place->keeper < 0) {
		bench_why("the daemon needs " MADE_OF ": %s", strerror(errno));
		return -EPERM;
	}
	place->user = making->user;
	place->keeper_fd = tpi_sys_pidfd_open(place->keeper, 0);
	close(pipe_fds[1]);
	making->ready = -1;
	if (read(pipe_fds[0], &made, sizeof(made)) != sizeof(made)) {
		bench_why("the keeper of the daemon's place died");
		return -ECHILD;
	}
	if (made.err)
		bench_why("the daemon needs " MADE_OF ": %s: %s", made.what,
			  strerror(made.err));
	return -made.err;
}

int place_make(struct place *place, const char *const *covers,
	       const char *const *daemon, int keep)
{
	struct making making = {
		.covers = covers,
		.daemon = daemon,
		.keep = keep,
		.uid = geteuid(),
		.gid = getegid(),
	};
	int pipe_fds[2], err;

	*place = PLACE_NONE;
	if (pipe2(pipe_fds, O_CLOEXEC)) {
		bench_why("pipe: %s", strerror(errno));
		return -errno;
	}
	place->log = tpi_sys_memfd_create("tapio-bench-log", MFD_CLOEXEC);
	making.log = place->log;
	making.ready = pipe_fds[1];
	err = start_keeper(place, &making, pipe_fds);
	close(pipe_fds[0]);
	if (making.ready >= 0)
		close(making.ready);
	if (err)
		place_end(place);
	return err;
}

void place_end(struct place *place)
{
	if (place->keeper > 0) {
		kill(place->keeper, SIGTERM);
		/* Which ends after the last process in there. */
		while (waitpid(place->keeper, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (place->keeper_fd >= 0)
		close(place->keeper_fd);
	if (place->log >= 0)
		close(place->log);
	*place = PLACE_NONE;
}

bool place_lives(const struct place *place)
{
	struct pollfd fd = {.fd = place->keeper_fd, .events = POLLIN};

	return place->keeper_fd >= 0 && poll(&fd, 1, 0) == 0;
}

void place_why(const struct place *place, const char *name)
{
	char text[4096], *end, *line;
	off_t size = lseek(place->log, 0, SEEK_END);
	off_t from =
		size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0;
	ssize_t n = pread(place->log, text, sizeof(text) - 1, from);

	end = text + (n > 0 ? n : 0);
	while (end > text && end[-1] == '\n')
		end--;
	*end = 0;
	line = strrchr(text, '\n');
	bench_why("%s: %.*s", name, LINE_BYTES, line ? line + 1 : text);
}

/* ---- others -------------------------------------------------------------- */

int place_enter(struct place *place)
{
	int kinds = CLONE_NEWNS | (place->user ? CLONE_NEWUSER : 0);

	if (!place_lives(place)) {
		place_why(place, "the daemon has died");
		return -ESRCH;
	}
	if (place->inside)
		return 0;
	if (!setns(place->keeper_fd, kinds)) {
		place->inside = true;
		return 0;
	}
	bench_why("no way into the daemon's place: %s", strerror(errno));
	return -errno;
}

int place_command(const struct place *place, const char *const *command)
{
	pid_t us = getpid(), pid = fork();
	int status = 0;

	if (!pid)
		become(command, us, place->log, -1);
	if (pid < 0) {
		bench_why("fork: %s", strerror(errno));
		return -errno;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		place_why(place, command[0]);
	return status ? -ECHILD : 0;
}
