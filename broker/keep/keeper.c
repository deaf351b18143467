/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper process. It has descriptors, and no segment is mapped here. Once it runs it
 * allocates nothing, and reads nothing but records of its own broker, so there is little
 * that could end it.
 *
 * Only one broker lives at a time:
 *
 *   K1  A broker is started only by a keeper, and only after the pidfd of the broker
 *       before was readable: the kernel says that all its threads have ended.
 *   K2  A broker makes a new keeper only after the pidfd of the keeper before was
 *       readable (process.c). So there is one keeper at a time.
 *   K3  Between the death of a keeper and the new one there is none, so no broker is
 *       started then. If the broker dies there, both are gone, and the kernel closes all.
 *
 * SIGKILL of the keeper: K3. SIGSTOP: no broker is started until it goes on, and a broker
 * that needs it replaces it. Fork: a broker closes the keeper's own. Another uid has
 * no way to it: the socket has no name. A broker's death: its puts are in the
 * socket's queue, which is read before the next one starts.
 *
 * The keeper keeps both ends of the socket, so that a restart needs no new one.
 */
#include "broker/keep/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/keep/notify.h"
#include "broker/keep/records.h"
#include "broker/loop/log.h"
#include "lib/base/own_fd.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"

static struct {
	struct tpi_keep_table table;
	int sock;        /* its end */
	int broker_sock; /* the broker's */
	int life[2];
	struct tpi_keeper_former former; /* a program that is replaced */
	int signal_fd;
	int self;   /* its own pidfd, for brokers */
	int broker; /* the broker's pidfd. -1: there is none */
	pid_t broker_pid;
	bool reaped;
	int wait_status; /* of the broker, if `reaped` */
	int quit;        /* the exit status that the broker told. -1: none */
	bool ready;      /* the broker serves */
	bool stopping;   /* a signal to stop has come */
	int64_t started_ns;
	int64_t due_ns; /* of the next start */
	struct tpi_keeper_past past;
	struct tpi_keeper_policy policy;
} keeper = {.sock = -1,
	    .broker_sock = -1,
	    .life = {-1, -1},
	    .former = {-1, -1, -1, -1},
	    .signal_fd = -1,
	    .self = -1,
	    .broker = -1,
	    .quit = -1};

/* To stderr, unless that would wait. There is no thread that writes (log_writer.h). */
static void say(int level, const char *text)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&room, 1, 0) == 1)
		tpi_log_stderr(NULL, level, text);
}

/* ---- making it --------------------------------------------------------------- */

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	keeper.signal_fd = tpi_fd_above_stdio(
		signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	if (keeper.signal_fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would lose exit statuses */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int open_own(void)
{
	keeper.self = tpi_sys_pidfd_open(getpid(), 0);
	if (keeper.self < 0)
		return keeper.self;
	return open_signals();
}

static void close_own(void)
{
	close(keeper.self);
	close(keeper.signal_fd);
	close(keeper.sock);
	close(keeper.broker_sock);
	close(keeper.life[TPI_LIFE_READ]);
	close(keeper.life[TPI_LIFE_WRITE]);
}

static int take_table(const struct tpi_keep_table *table)
{
	int old, err = 0;

	for (uint32_t i = 1; i < table->fresh && !err; i++) {
		const struct tpi_kept *kept = &table->slots[i].kept;

		if (kept->key.kind)
			err = tpi_keep_table_put(&keeper.table, kept->key,
						 kept->fd, &old);
	}
	return err;
}

int tpi_keeper_create(const struct tpi_keep_table *table)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, pair))
		return -errno;
	keeper.sock = pair[0];
	keeper.broker_sock = pair[1];
	err = pipe2(keeper.life, O_CLOEXEC) ? -errno : open_own();
	if (!err)
		err = tpi_keep_table_create(&keeper.table, tpi_keeper_room());
	if (!err)
		err = take_table(table);
	if (err) {
		close_own();
		return err;
	}
	tpi_keeper_quiet_stdio();
	return 0;
}

/*
 * Each key has a number of its own here, since each is closed by itself. One that was met
 * before is CLOEXEC by now. -1: it is not open.
 */
static int own_number(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || flags & FD_CLOEXEC)
		return flags < 0 ? -1
				 : tpi_fd_above_stdio(
					   fcntl(fd, F_DUPFD_CLOEXEC, 0));
	return fcntl(fd, F_SETFD, FD_CLOEXEC) ? -1 : fd;
}

/* The table of a broker, as process.c has written it. */
static int read_table(int fd)
{
	struct tpi_kept kept;
	int old, err = 0;
	off_t at = 0;

	while (!err && pread(fd, &kept, sizeof(kept), at) == sizeof(kept)) {
		at += sizeof(kept);
		kept.fd = own_number(kept.fd);
		if (kept.fd < 0 || !tpi_keep_key_valid(kept.key))
			return -EBADF;
		err = tpi_keep_table_put(&keeper.table, kept.key, kept.fd,
					 &old);
	}
	close(fd);
	return err;
}

static int resume(const char *text)
{
	int table, fds[5], err;

	if (sscanf(text, TPI_KEEPER_FORMAT, &keeper.sock, &keeper.broker_sock,
		   &table, &keeper.broker, &keeper.broker_pid, &keeper.life[0],
		   &keeper.life[1]) != 7)
		return -EINVAL;
	fds[0] = keeper.sock;
	fds[1] = keeper.broker_sock;
	fds[2] = keeper.broker;
	fds[3] = keeper.life[0];
	fds[4] = keeper.life[1];
	for (int i = 0; i < 5; i++)
		if (fcntl(fds[i], F_SETFD, FD_CLOEXEC))
			return -errno;
	err = open_own();
	if (!err)
		err = tpi_keep_table_create(&keeper.table, tpi_keeper_room());
	if (!err)
		err = read_table(table);
	keeper.started_ns = tpi_now_ns();
	return err;
}

bool tpi_keeper_is_called(void)
{
	return getenv(TPI_KEEPER_VARIABLE) != NULL;
}

bool tpi_keeper_resume(int *err)
{
	const char *text = getenv(TPI_KEEPER_VARIABLE);

	if (!text)
		return false;
	*err = resume(text);
	unsetenv(TPI_KEEPER_VARIABLE);
	return true;
}

void tpi_keeper_succeeds(const struct tpi_keeper_former *former)
{
	keeper.former = *former;
}

bool tpi_keeper_has_former(void)
{
	return keeper.former.life >= 0;
}

bool tpi_life_ended(int life, int wait_ms)
{
	struct pollfd end = {.fd = life}; /* POLLHUP comes unasked */
	int n;

	do {
		n = poll(&end, 1, wait_ms);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

/* ---- records ------------------------------------------------------------------- */

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void put(struct tpi_keep_key key, int fd)
{
	int old = -1;

	if (tpi_keep_table_put(&keeper.table, key, fd, &old))
		close(fd);
	close_if_open(old);
	TPI_TESTPOINT("keeper.put");
}

static void forget_former(void)
{
	close_if_open(keeper.former.life);
	close_if_open(keeper.former.sock);
	close_if_open(keeper.former.keeper);
	close_if_open(keeper.former.broker);
	keeper.former = (struct tpi_keeper_former){-1, -1, -1, -1};
}

static void note(uint32_t number)
{
	if (number >= TPI_NOTES)
		return;
	if (number == TPI_NOTE_READY) {
		keeper.ready = true;
		forget_former();
	}
	tpi_notify((enum tpi_note)number);
	TPI_TESTPOINT("keeper.noted");
}

static void handle(const struct tpi_keeper_record *record, int fd)
{
	bool puts = record->op == TPI_KEEPER_PUT;
	bool drops = record->op == TPI_KEEPER_DROP;

	if ((puts || drops) && !tpi_keep_key_valid(record->key))
		puts = drops = false;
	if (puts && fd >= 0) {
		put(record->key, fd);
		return;
	}
	close_if_open(fd);
	if (drops) {
		close_if_open(tpi_keep_table_drop(&keeper.table, record->key));
		TPI_TESTPOINT("keeper.dropped");
	} else if (record->op == TPI_KEEPER_QUIT)
		keeper.quit = (int)(record->key.number & 0xff);
	else if (record->op == TPI_KEEPER_NOTE)
		note(record->key.number);
}

/* All that is in the queue. */
static void receive(void)
{
	struct tpi_keeper_record record;
	ssize_t got;

	for (;;) {
		unsigned int count = 1;
		int fd = -1;

		got = tpi_recv_fds(keeper.sock, &record, sizeof(record), &fd,
				   &count);
		if (got == -EMSGSIZE || got == -EMFILE || got == -EPERM)
			continue;
		if (got <= 0)
			return;
		if (!count)
			fd = -1;
		if (got == sizeof(record))
			handle(&record, fd);
		else
			close_if_open(fd);
	}
}

/* ---- a broker's life ------------------------------------------------------------- */

/* Takes every child that has ended: as process 1 of a container it has strangers, too. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid != keeper.broker_pid)
			continue;
		keeper.reaped = true;
		keeper.wait_status = status;
	}
}

static void become_broker(struct tpi_keeper_side *side)
{
	sigset_t set;

	close(keeper.sock);
	close(keeper.signal_fd);
	prctl(PR_SET_NAME, program_invocation_short_name);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	*side = (struct tpi_keeper_side){
		.sock = keeper.broker_sock,
		.life = {keeper.life[0], keeper.life[1]},
		.pidfd = keeper.self,
		.pid = getppid(),
		.table = keeper.table,
		.past = keeper.past,
	};
}

/* The pid, 0 in the broker, or -errno. */
static pid_t fork_broker(void)
{
	pid_t pid = fork();

	if (pid <= 0)
		return pid ? -errno : 0;
	keeper.broker = tpi_sys_pidfd_open(pid, 0);
	if (keeper.broker >= 0)
		return pid;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return keeper.broker;
}

static void plan(int delay_ms)
{
	keeper.past.delay_ms = (uint32_t)delay_ms;
	keeper.due_ns = tpi_now_ns() + delay_ms * INT64_C(1000000);
}

/* True in the broker. */
static bool start(struct tpi_keeper_side *side)
{
	pid_t pid = fork_broker();

	if (!pid) {
		become_broker(side);
		return true;
	}
	keeper.started_ns = tpi_now_ns();
	if (pid < 0) {
		keeper.broker = -1;
		plan(tpi_keeper_delay(&keeper.policy, 0, false, 0));
		return false;
	}
	keeper.broker_pid = pid;
	keeper.reaped = false;
	keeper.ready = false;
	TPI_TESTPOINT("keeper.started");
	return false;
}

/* The signal that ended the broker. 0: another, or it is not known. */
static int end_signal(void)
{
	return keeper.reaped && WIFSIGNALED(keeper.wait_status)
		       ? WTERMSIG(keeper.wait_status)
		       : 0;
}

static int give_up(int failure)
{
	char text[200];

	snprintf(text, sizeof(text),
		 "%d brokers in a row ended by a fault before they served, the "
		 "last one by signal %d: the keeper gives up, and the memory "
		 "that it kept ends with the last client",
		 TPI_KEEPER_CRASHES, end_signal());
	say(TAPIO_LOG_ERROR, text);
	return failure;
}

/* The status with which the broker has ended by itself. -1: it did not. */
static int end_status(void)
{
	if (keeper.quit >= 0)
		return keeper.quit;
	return keeper.reaped && WIFEXITED(keeper.wait_status)
		       ? WEXITSTATUS(keeper.wait_status)
		       : -1;
}

/* No other program has the memory. */
static bool is_owner(void)
{
	return !tpi_keeper_has_former() ||
	       tpi_life_ended(keeper.former.life, 0);
}

/*
 * In the place of one that served, and it could not begin: its configuration has changed,
 * for example. The end of the keeper would be the end of the memory, for a cause that an
 * operator can repair.
 */
static bool is_tried_again(int status)
{
	char text[240];

	if (!status || keeper.ready || keeper.stopping || !is_owner() ||
	    !(keeper.past.restarts || tpi_keeper_has_former()))
		return false;
	snprintf(text, sizeof(text),
		 "the broker that was started in the place of another one "
		 "ended with status %d before it served. Its memory is kept, "
		 "events go on, and the start is tried again: repair the cause "
		 "above, or stop the keeper, process %d",
		 status, getpid());
	say(TAPIO_LOG_ERROR, text);
	return true;
}

/* The broker has ended. The exit status, or -1: another one is to be started. */
static int ended(int failure)
{
	int64_t lived = tpi_now_ns() - keeper.started_ns;
	int delay, status;

	receive();
	reap();
	close(keeper.broker);
	keeper.broker = -1;
	status = end_status();
	if (status >= 0 && !is_tried_again(status))
		return status;
	if (keeper.stopping)
		return failure;
	keeper.quit = -1;
	delay = tpi_keeper_delay(&keeper.policy, status < 0 ? end_signal() : -1,
				 keeper.ready, lived);
	if (delay < 0)
		return give_up(failure);
	keeper.past.pid = keeper.broker_pid;
	keeper.past.signal = end_signal();
	keeper.past.restarts++;
	keeper.broker_pid = 0;
	plan(delay);
	return -1;
}

static void pass_signals(void)
{
	struct signalfd_siginfo info;

	while (read(keeper.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			reap();
			continue;
		}
		if (info.ssi_signo != SIGHUP)
			keeper.stopping = true;
		if (keeper.broker >= 0)
			syscall(SYS_pidfd_send_signal, keeper.broker,
				(int)info.ssi_signo, NULL, 0);
	}
}

/* Milliseconds until a broker is to be started. -1: one lives. */
static int wait_ms(void)
{
	int64_t left = keeper.due_ns - tpi_now_ns();

	if (keeper.broker >= 0)
		return -1;
	return left > 0 ? (int)((left + 999999) / 1000000) : 0;
}

int tpi_keeper_run(struct tpi_keeper_side *side, int failure)
{
	int status;

	prctl(PR_SET_NAME, "tapiod-keeper");
	for (;;) {
		struct pollfd fds[] = {
			{.fd = keeper.signal_fd, .events = POLLIN},
			{.fd = keeper.sock, .events = POLLIN},
			{.fd = keeper.broker, .events = POLLIN},
		};

		if (!wait_ms() && start(side))
			return -1;
		fds[2].fd = keeper.broker;
		if (poll(fds, 3, wait_ms()) < 0 && errno != EINTR)
			return failure;
		if (fds[0].revents)
			pass_signals();
		if (fds[1].revents)
			receive();
		status = fds[2].revents ? ended(failure) : -1;
		if (status >= 0)
			return status;
		if (keeper.stopping && keeper.broker < 0)
			return 0;
	}
}
