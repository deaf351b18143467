/* SPDX-License-Identifier: Apache-2.0 */
/* See adopt_world.h. */
#include "tests/fault/adopt_world.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/wire/fdpass.h"

#define TICK_NS UINT64_C(20000000)

struct world *world;
struct tpi_kept world_kept[4096];
uint32_t world_kept_count;
bool world_discards;

/* ---- the keeper --------------------------------------------------------------------- */

struct letter {
	struct tpi_keep_key key;
	uint32_t put;
};

static int keeper_sock; /* the test's end */
static pthread_t keeper;
static pid_t broker_pid;
static int broker_pidfd = -1, command_fd;

int world_find(uint32_t kind, uint32_t number)
{
	for (uint32_t i = 0; i < world_kept_count; i++)
		if (world_kept[i].key.kind == kind &&
		    world_kept[i].key.number == number)
			return (int)i;
	return -1;
}

static uint32_t world_filed;

static void file_letter(const struct letter *letter, int fd)
{
	int at = world_find(letter->key.kind, letter->key.number);

	if (at >= 0) {
		close(world_kept[at].fd);
		world_kept[at] = world_kept[--world_kept_count];
	}
	if (!letter->put)
		return;
	if (world_kept_count == 4096)
		abort();
	world_kept[world_kept_count++] = (struct tpi_kept){letter->key, fd};
}

static void *be_keeper(void *unused)
{
	struct letter letter;

	(void)unused;
	for (;;) {
		int fd = -1;
		unsigned int count = 1;
		ssize_t got = tpi_recv_fds(keeper_sock, &letter, sizeof(letter),
					   &fd, &count);

		if (got == -EAGAIN || got == -EINTR)
			continue;
		if (got != sizeof(letter))
			return NULL; /* the broker is dead */
		file_letter(&letter, count ? fd : -1);
		tpi_add_relaxed(&world_filed, 1);
	}
}

/* In the broker. */
static int broker_sock;

static int put(struct tpi_keep *keep, struct tpi_keep_key key, int fd)
{
	struct letter letter = {key, 1};
	ssize_t sent;

	(void)keep;
	if (tpi_load_relaxed(&world->full))
		return -ENOSPC;
	do
		sent = tpi_send_fds(broker_sock, &letter, sizeof(letter), &fd,
				    1);
	while (sent == -EAGAIN &&
	       poll(&(struct pollfd){.fd = broker_sock, .events = POLLOUT}, 1,
		    -1) >= 0);
	return sent < 0 ? (int)sent : 0;
}

static void drop(struct tpi_keep *keep, struct tpi_keep_key key)
{
	struct letter letter = {key, 0};

	(void)keep;
	while (tpi_send_fds(broker_sock, &letter, sizeof(letter), NULL, 0) ==
	       -EAGAIN)
		poll(&(struct pollfd){.fd = broker_sock, .events = POLLOUT}, 1,
		     -1);
}

/* ---- the broker ------------------------------------------------------------------------ */

/* One broker lives at a time, and its sweeping thread passes while the loop waits. */
static int index_of(const char *name)
{
	for (int i = 0; i < WORLD_POINTS; i++) {
		if (!world->names[i][0])
			snprintf(world->names[i], sizeof(world->names[i]), "%s",
				 name);
		if (!strcmp(world->names[i], name))
			return i;
	}
	abort();
}

static bool dies_here(const char *name)
{
	static uint32_t passes[WORLD_POINTS];
	int at = index_of(name);
	uint32_t pass = passes[at]++;

	if (pass >= WORLD_PASSES)
		return false;
	if (tpi_load_relaxed(&world->countdown))
		return tpi_add_relaxed(&world->countdown, -1) == 1;
	if (world->deaths[at][pass])
		return false;
	world->deaths[at][pass] = 1;
	return true;
}

static void pass(const char *name)
{
	/* Relaxed: the test arms it while the broker waits for a message. */
	if (!tpi_load_relaxed(&world->countdown) &&
	    !tpi_load_relaxed(&world->fresh))
		return;
	if (!dies_here(name))
		return;
	snprintf(world->died_at, sizeof(world->died_at), "%s", name);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void keep_log(void *arg, int level, const char *message)
{
	int n = snprintf(world->log + world->log_used,
			 sizeof(world->log) - world->log_used, "%d %s\n", level,
			 message);

	(void)arg;
	if (n > 0 && (size_t)n < sizeof(world->log) - world->log_used)
		world->log_used += (uint32_t)n;
}

static struct tpi_broker *broker;
static struct tpi_watch commands;

static struct tpi_group *group_named(struct tpi_host *host, const char *name)
{
	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (host->groups[i].state == TAPIO_SLOT_ACTIVE &&
		    !strcmp(host->groups[i].name, name))
			return &host->groups[i];
	return NULL;
}

static void spend_free_slots(struct tpi_host *host)
{
	for (int i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		if (host->groups[i].state != TAPIO_SLOT_FREE)
			continue;
		host->memory[i].spent = true;
		tpi_slot_memory_note(&host->memory[i]);
	}
}

static void on_command(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_host *host = tpi_registry_find(&broker->registry, "u");
	struct tpi_group *group;
	char command;

	(void)events;
	if (read(watch->fd, &command, 1) != 1) {
		tpi_watch_stop(broker->loop, watch);
		tpi_loop_stop(broker->loop);
		return;
	}
	if (command == 'r')
		tpi_broker_reload(broker, world->next, world->said,
				  sizeof(world->said));
	group = group_named(host, command == 'm' ? "d" : "x");
	if (command == 's')
		spend_free_slots(host);
	else if (command == 'm' && group)
		tpi_group_mend(broker, host, group);
	else if (command == 'e' && group)
		tpi_group_evict(broker, host, group);
	if (command == 'w')
		(void)!write(watch->fd, &broker->registry.attached,
			     sizeof(broker->registry.attached));
	else
		(void)!write(watch->fd, "k", 1);
}

static void be_broker(int command, int ready)
{
	static const struct tpi_keep_ops ops = {.put = put, .drop = drop};
	struct tpi_keep keep = {.ops = &ops,
				.kept = world_kept,
				.kept_count = world_kept_count};
	struct tpi_broker_setup setup = {
		.config_text = world->config,
		.socket = world->socket,
		.log = {.level = TAPIO_LOG_INFO, .sink = keep_log},
		.keep = &keep,
		.discard_memory = world_discards,
	};
	enum tpi_stage stage;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	tpi_tick_ns = TICK_NS;
	tpi_testpoint_set(pass);
	if (tpi_broker_create(&broker, &setup, &stage, world->error,
			      sizeof(world->error)))
		_exit(3);
	/* From here on the test says when. */
	tpi_store_relaxed(&world->fresh, 0);
	commands.ready = on_command;
	if (tpi_watch_start(broker->loop, &commands, command) ||
	    write(ready, "r", 1) != 1)
		_exit(4);
	close(ready);
	tpi_broker_run(broker, NULL, NULL);
	tpi_broker_destroy(broker);
	_exit(0);
}

/* ---- for the test ------------------------------------------------------------------- */

void world_begin(const char *config)
{
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(world, MAP_FAILED);
	world->config = config;
	snprintf(world->socket, sizeof(world->socket), "@tapio-adopt-%d",
		 (int)getpid());
}

static void close_ends(const int *a, const int *b, const int *c)
{
	close(a[1]);
	close(b[1]);
	close(c[1]);
}

static bool start_once(void)
{
	int letters[2], orders[2], ready[2];
	char byte;
	bool serves;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, letters), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, orders), 0);
	ck_assert_int_eq(pipe(ready), 0);
	world->error[0] = world->died_at[0] = 0;
	broker_pid = fork();
	ck_assert_int_ge(broker_pid, 0);
	if (!broker_pid) {
		close(letters[0]);
		close(orders[0]);
		close(ready[0]);
		broker_sock = letters[1];
		be_broker(orders[1], ready[1]);
	}
	close_ends(letters, orders, ready);
	keeper_sock = letters[0];
	command_fd = orders[0];
	broker_pidfd = tpi_sys_pidfd_open(broker_pid, 0);
	ck_assert_int_ge(broker_pidfd, 0);
	ck_assert_int_eq(pthread_create(&keeper, NULL, be_keeper, NULL), 0);
	serves = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!serves)
		world_died();
	return serves;
}

/*
 * On a busy machine the kernel takes its time to close the socket of a broker that was
 * killed. A start that finds it there leaves the memory to the next one.
 */
bool world_start(void)
{
	for (int i = 0; i < 100; i++)
		if (start_once())
			return true;
		else if (!strstr(world->error, "uses this name"))
			return false;
	return false;
}

void world_died(void)
{
	ck_assert_int_eq(waitpid(broker_pid, NULL, 0), broker_pid);
	ck_assert_int_eq(pthread_join(keeper, NULL), 0);
	close(keeper_sock);
	close(command_fd);
	close(broker_pidfd);
}

void world_kill(void)
{
	kill(broker_pid, SIGKILL);
	world_died();
}

void world_stop(void)
{
	ck_assert_int_eq(shutdown(command_fd, SHUT_WR), 0);
	world_died();
}

pid_t world_broker(void)
{
	return broker_pid;
}

int world_pidfd(void)
{
	return broker_pidfd;
}

bool world_tell(char command)
{
	char byte;

	(void)!send(command_fd, &command, 1, MSG_NOSIGNAL);
	return read(command_fd, &byte, 1) == 1;
}

bool world_settles(uint32_t attached)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	uint32_t now;

	for (int i = 0; i < 60000; i++) {
		(void)!send(command_fd, "w", 1, MSG_NOSIGNAL);
		if (read(command_fd, &now, sizeof(now)) != sizeof(now))
			return false;
		if (now == attached)
			return true;
		nanosleep(&nap, NULL);
	}
	ck_abort_msg("%u clients are attached, not %u", now, attached);
}

/* The keeper reads in order, so an empty queue is one that was filed but for the last. */
void world_flush(void)
{
	const struct timespec nap = {.tv_nsec = 200000};
	uint32_t before;
	int queued;

	do {
		before = tpi_load_relaxed(&world_filed);
		ck_assert_int_eq(ioctl(keeper_sock, FIONREAD, &queued), 0);
		nanosleep(&nap, NULL);
	} while (queued || before != tpi_load_relaxed(&world_filed));
}

bool world_said(const char *words)
{
	return strstr(world->log, words) != NULL;
}
