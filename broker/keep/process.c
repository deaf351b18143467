/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts and drops are records on the socket that keeper and broker share. A keeper that is
 * gone is made anew, as a child that executes tapiod again. It inherits all descriptors of
 * the table at once, over fork and exec, so that nothing has to fit into a queue.
 *
 * SIGKILL of the broker after a record was sent: the keeper reads it before the next start.
 * Between fork and exec of a new keeper: the child goes on, and has all. SIGSTOP of the
 * keeper: its queue fills up, and then it is killed and made anew. Its death before that is
 * waited for, a second at most, so that there are never two (keeper.c, K2). A restart of
 * the broker begins with the table of its keeper.
 */
#include "broker/keep/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "broker/keep/records.h"
#include "broker/loop/child.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"

#define PATIENCE_NS INT64_C(1000000000) /* for a keeper that runs */
#define NAP_NS      500000
#define DEATH_MS    1000
#define RETRY_NS    UINT64_C(1000000000)
#define NEW_BURST   8 /* new keepers within a second */

struct tpi_keep_process {
	struct tpi_keep keep;
	struct tpi_keep_table table; /* the broker's own, as they were put */
	int sock;                    /* -1: there is no keeper */
	int life[2];
	int pidfd; /* of the keeper. -1: it is buried */
	char **argv;
	struct tpi_log *log;
	struct tpi_loop *loop; /* NULL: not watched */
	struct tpi_watch watch;
	struct tpi_timer retry;
	bool ending;
	bool ready; /* a new keeper has to know it */
	uint32_t made;
	int64_t made_since_ns;
	void (*changed)(void *arg);
	void *arg;
};

static int replace(struct tpi_keep_process *p);

/* ---- records ------------------------------------------------------------------- */

/* Whether a process is stopped, by a signal or a debugger. */
static bool is_stopped(int pid)
{
	char text[256];
	const char *at = tpi_proc_stat(pid, text, sizeof(text));

	return at && (at[2] == 'T' || at[2] == 't');
}

/* The queue is full, or too many descriptors of this user are on their way. */
static bool is_full(ssize_t sent)
{
	return sent == -EAGAIN || sent == -ETOOMANYREFS;
}

/* 0, or -errno: this keeper will not have it. */
static int send_record(struct tpi_keep_process *p, uint32_t op,
		       struct tpi_keep_key key, int fd)
{
	const struct tpi_keeper_record record = {.op = op, .key = key};
	const struct timespec nap = {.tv_nsec = NAP_NS};
	int64_t until = 0;
	ssize_t sent;

	if (p->sock < 0)
		return -EPIPE;
	for (;;) {
		sent = tpi_send_fds(p->sock, &record, sizeof(record), &fd,
				    fd >= 0);
		if (!is_full(sent))
			return sent < 0 ? (int)sent : 0;
		if (!until)
			until = tpi_now_ns() + PATIENCE_NS;
		if (is_stopped(p->keep.pid) || tpi_now_ns() >= until)
			return (int)sent;
		nanosleep(&nap, NULL);
	}
}

static int put(struct tpi_keep *keep, struct tpi_keep_key key, int fd)
{
	struct tpi_keep_process *p = (struct tpi_keep_process *)keep;
	int old, err = tpi_keep_table_put(&p->table, key, fd, &old);

	if (!err && send_record(p, TPI_KEEPER_PUT, key, fd))
		err = replace(p);
	TPI_TESTPOINT("keep.put");
	return err;
}

static void drop(struct tpi_keep *keep, struct tpi_keep_key key)
{
	struct tpi_keep_process *p = (struct tpi_keep_process *)keep;

	if (tpi_keep_table_drop(&p->table, key) >= 0 &&
	    send_record(p, TPI_KEEPER_DROP, key, -1))
		(void)replace(p);
	TPI_TESTPOINT("keep.dropped");
}

static int hand(struct tpi_keep *keep, struct tpi_keep_hand *hand);
static int let_go(struct tpi_keep *keep);
static int hold_on(struct tpi_keep *keep);
static const struct tpi_keep_ops ops = {.put = put,
					.drop = drop,
					.hand = hand,
					.let_go = let_go,
					.hold_on = hold_on};

/* ---- a new keeper --------------------------------------------------------------- */

/* For its child, made before the fork: after it no memory may be had. */
struct birth {
	int pair[2];
	int table;
	int self; /* this broker's pidfd */
	char variable[96];
	char **environment;
};

static void close_birth(struct birth *birth)
{
	int *fds[] = {&birth->pair[0], &birth->pair[1], &birth->table,
		      &birth->self};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	free(birth->environment);
}

/* All that was put, for tpi_keeper_resume(). */
static int write_table(struct birth *birth, const struct tpi_keep_table *table)
{
	birth->table =
		tpi_fd_above_stdio(memfd_create("tapio-keeper", MFD_CLOEXEC));
	if (birth->table < 0)
		return -errno;
	for (uint32_t i = 1; i < table->fresh; i++) {
		const struct tpi_kept *kept = &table->slots[i].kept;

		if (kept->key.kind &&
		    write(birth->table, kept, sizeof(*kept)) != sizeof(*kept))
			return -ENOSPC;
	}
	return 0;
}

static int make_environment(struct birth *birth, const int *life)
{
	size_t count = 0;

	while (environ[count])
		count++;
	birth->environment = calloc(count + 2, sizeof(char *));
	if (!birth->environment)
		return -ENOMEM;
	memcpy(birth->environment, environ, count * sizeof(char *));
	birth->environment[count] = birth->variable;
	snprintf(birth->variable, sizeof(birth->variable),
		 TPI_KEEPER_VARIABLE "=" TPI_KEEPER_FORMAT, birth->pair[0],
		 birth->pair[1], birth->table, birth->self, getpid(),
		 life[TPI_LIFE_READ], life[TPI_LIFE_WRITE]);
	return 0;
}

static int conceive(struct birth *birth, const struct tpi_keep_table *table,
		    const int *life)
{
	int err;

	*birth = (struct birth){.pair = {-1, -1}, .table = -1, .self = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, birth->pair))
		return -errno;
	birth->self = tpi_sys_pidfd_open(getpid(), 0);
	if (birth->self < 0)
		return birth->self;
	err = write_table(birth, table);
	return err ? err : make_environment(birth, life);
}

/* In the child. Only calls that a child of a process with threads may make. */
static void become_keeper(const struct tpi_keep_process *p,
			  const struct birth *birth)
{
	const struct tpi_keep_table *table = &p->table;

	fcntl(birth->pair[0], F_SETFD, 0);
	fcntl(birth->pair[1], F_SETFD, 0);
	fcntl(birth->table, F_SETFD, 0);
	fcntl(birth->self, F_SETFD, 0);
	fcntl(p->life[TPI_LIFE_READ], F_SETFD, 0);
	fcntl(p->life[TPI_LIFE_WRITE], F_SETFD, 0);
	for (uint32_t i = 1; i < table->fresh; i++)
		if (table->slots[i].kept.key.kind)
			fcntl(table->slots[i].kept.fd, F_SETFD, 0);
	execve("/proc/self/exe", p->argv, birth->environment);
	_exit(127);
}

static int bear(struct tpi_keep_process *p)
{
	struct birth birth;
	int pidfd = -1, err = conceive(&birth, &p->table, p->life);
	pid_t pid = 0;

	if (!err) {
		pid = tpi_child_fork(&pidfd);
		if (!pid)
			become_keeper(p, &birth);
		err = pid < 0 ? -errno : 0;
	}
	if (!err) {
		p->sock = birth.pair[1];
		p->pidfd = tpi_fd_above_stdio(pidfd);
		p->keep.pid = pid;
		birth.pair[1] = -1;
		TPI_TESTPOINT("keep.born");
	}
	close_birth(&birth);
	return err;
}

/* ---- in place of a dead one --------------------------------------------------------- */

static void stop_watch(struct tpi_keep_process *p)
{
	if (p->loop)
		tpi_watch_stop(p->loop, &p->watch);
}

/* The old one MUST be dead before there is a new one. -ETIMEDOUT: it hangs in the kernel. */
static int bury(struct tpi_keep_process *p)
{
	struct pollfd end = {.fd = p->pidfd, .events = POLLIN};

	if (p->sock >= 0) {
		stop_watch(p);
		close(p->sock);
		p->sock = -1;
	}
	if (p->pidfd < 0)
		return 0;
	tpi_child_kill(p->pidfd);
	if (poll(&end, 1, DEATH_MS) != 1)
		return -ETIMEDOUT;
	tpi_child_reap(p->pidfd); /* if it was made by this process */
	close(p->pidfd);
	p->pidfd = -1;
	TPI_TESTPOINT("keep.buried");
	return 0;
}

/* A keeper that cannot run would be made for ever. */
static bool too_often(struct tpi_keep_process *p)
{
	int64_t now = tpi_now_ns();

	if (now - p->made_since_ns >= (int64_t)RETRY_NS) {
		p->made_since_ns = now;
		p->made = 0;
	}
	return p->made++ >= NEW_BURST;
}

static int start_watch(struct tpi_keep_process *p)
{
	return p->loop ? tpi_watch_start(p->loop, &p->watch, p->sock) : 0;
}

static void try_later(struct tpi_keep_process *p, int err)
{
	tpi_log(p->log, TAPIO_LOG_ERROR,
		"there is no keeper now, and none can be made: %s. The death "
		"of the broker would lose its memory. It is tried again in a "
		"second",
		strerror(-err));
	if (p->loop)
		tpi_timer_start(p->loop, &p->retry, RETRY_NS);
}

/* 0: a new keeper has all that was put. */
static int replace(struct tpi_keep_process *p)
{
	int old = p->keep.pid, err;

	if (p->ending)
		return -ECANCELED;
	err = bury(p);
	if (!err)
		err = too_often(p) ? -EAGAIN : bear(p);
	if (!err)
		err = start_watch(p);
	if (err) {
		try_later(p, err);
		return err;
	}
	if (p->ready)
		tpi_keep_process_note(p, TPI_NOTE_READY);
	tpi_log(p->log, TAPIO_LOG_WARNING,
		"the keeper, process %d, has ended or was stopped: process %d "
		"is the new one, and has %u descriptor%s",
		old, p->keep.pid, p->table.used, TPI_PLURAL(p->table.used));
	if (p->changed)
		p->changed(p->arg);
	return 0;
}

/* The keeper says nothing, so it is its end. */
static void on_end(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_keep_process *p =
		(struct tpi_keep_process *)((char *)watch -
					    offsetof(struct tpi_keep_process,
						     watch));

	(void)events;
	(void)replace(p);
}

static void on_retry(struct tpi_timer *timer)
{
	struct tpi_keep_process *p =
		(struct tpi_keep_process *)((char *)timer -
					    offsetof(struct tpi_keep_process,
						     retry));

	if (p->sock < 0)
		(void)replace(p);
}

/* ---- for another program ------------------------------------------------------------- */

static int hand(struct tpi_keep *keep, struct tpi_keep_hand *hand)
{
	struct tpi_keep_process *p = (struct tpi_keep_process *)keep;

	if (p->ending || p->sock < 0)
		return -EAGAIN;
	*hand = (struct tpi_keep_hand){
		.kept = calloc(p->table.used + 1, sizeof(*hand->kept)),
		.count = p->table.used,
		.life = p->life[TPI_LIFE_READ],
		.keeper = p->pidfd};
	if (!hand->kept)
		return -ENOMEM;
	tpi_keep_table_list(&p->table, hand->kept);
	return 0;
}

/* One that ends by itself has the exit status 0. One that cannot be told is killed. */
static int let_go(struct tpi_keep *keep)
{
	struct tpi_keep_process *p = (struct tpi_keep_process *)keep;
	const struct tpi_keep_key key = {.number = 0};
	int err;

	p->ending = true;
	if (!send_record(p, TPI_KEEPER_QUIT, key, -1))
		return 0;
	err = bury(p);
	p->ending = !err;
	return err;
}

static int hold_on(struct tpi_keep *keep)
{
	struct tpi_keep_process *p = (struct tpi_keep_process *)keep;

	p->ending = false;
	return replace(p);
}

/* ---- the interface ------------------------------------------------------------------ */

struct tpi_keep_process *
tpi_keep_process_create(const struct tpi_keeper_side *side, char **argv,
			struct tpi_log *log)
{
	struct tpi_keep_process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->keep.ops = &ops;
	p->keep.pid = side->pid;
	p->table = side->table;
	p->sock = side->sock;
	memcpy(p->life, side->life, sizeof(p->life));
	p->pidfd = side->pidfd;
	p->argv = argv;
	p->log = log;
	p->watch.ready = on_end;
	p->retry.fire = on_retry;
	if (tpi_keep_inherit(&p->keep, &p->table)) {
		free(p);
		return NULL;
	}
	return p;
}

struct tpi_keep *tpi_keep_process_keep(struct tpi_keep_process *process)
{
	return &process->keep;
}

int tpi_keep_process_watch(struct tpi_keep_process *process,
			   struct tpi_loop *loop, void (*changed)(void *arg),
			   void *arg)
{
	process->loop = loop;
	process->changed = changed;
	process->arg = arg;
	if (process->sock < 0) {
		tpi_timer_start(loop, &process->retry, RETRY_NS);
		return 0;
	}
	return start_watch(process);
}

void tpi_keep_process_unwatch(struct tpi_keep_process *process)
{
	process->ending = true;
	if (!process->loop)
		return;
	stop_watch(process);
	tpi_timer_stop(process->loop, &process->retry);
	process->loop = NULL;
}

void tpi_keep_process_note(struct tpi_keep_process *process, enum tpi_note note)
{
	struct tpi_keep_key key = {.number = note};

	process->ready |= note == TPI_NOTE_READY;
	if (send_record(process, TPI_KEEPER_NOTE, key, -1) &&
	    note != TPI_NOTE_READY)
		(void)replace(process);
}

void tpi_keep_process_quit(struct tpi_keep_process *process, int status)
{
	struct tpi_keep_key key = {.number = (uint32_t)status};

	process->ending = true;
	(void)send_record(process, TPI_KEEPER_QUIT, key, -1);
}
