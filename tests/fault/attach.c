/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open costs, counted: messages, waits, and processes that the broker makes. It is
 * one round trip, it goes on step by step where that cannot be, and no open waits for
 * what is only shown.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/observer.h>
#include <tapio/tapio.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"
#include "tests/check_main.h"
#include "tests/fault/peer.h"

#define CONFIG      "channel events { class main { block = 256 blocks = 64 } }\n"
#define PATIENCE_NS INT64_C(60000000000)
#define CLIENTS     20
#define TAG         TAPIO_TAG(1, 6)

/* Of the calling thread: the broker has one of its own. */
static __thread uint32_t sent, received, waits;

/* What the broker's children do when they read a start. */
enum reading {
	READS,
	RUNS_ON, /* until it is told to read */
	SLEEPS_ON
};

/* Shared by the test, its clients and the broker's children. */
static struct board {
	uint32_t children; /* that the broker has made */
	uint32_t reading;
	uint32_t slow; /* the client that it is about. 0: all */
	uint32_t in_read;
	uint32_t opened;
	uint32_t leave;
} * board;

ssize_t __real_sendmsg(int sock, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int sock, const struct msghdr *msg, int flags);
ssize_t __real_recvmsg(int sock, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int sock, struct msghdr *msg, int flags);
int __real_poll(struct pollfd *fds, nfds_t count, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int ms);
pid_t __real_tpi_child_fork(int *pidfd);
pid_t __wrap_tpi_child_fork(int *pidfd);
uint64_t __real_tpi_start_ticks(pid_t pid);
uint64_t __wrap_tpi_start_ticks(pid_t pid);

ssize_t __wrap_sendmsg(int sock, const struct msghdr *msg, int flags)
{
	sent++;
	return __real_sendmsg(sock, msg, flags);
}

ssize_t __wrap_recvmsg(int sock, struct msghdr *msg, int flags)
{
	received++;
	return __real_recvmsg(sock, msg, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int ms)
{
	waits++;
	return __real_poll(fds, count, ms);
}

pid_t __wrap_tpi_child_fork(int *pidfd)
{
	tpi_add_relaxed(&board->children, 1);
	return __real_tpi_child_fork(pidfd);
}

uint64_t __wrap_tpi_start_ticks(pid_t pid)
{
	uint32_t slow = tpi_load_relaxed(&board->slow);

	if (!slow || slow == (uint32_t)pid) {
		tpi_add_relaxed(&board->in_read, 1);
		while (tpi_load_relaxed(&board->reading) == RUNS_ON)
			;
		while (tpi_load_relaxed(&board->reading) == SLEEPS_ON)
			pause();
	}
	return __real_tpi_start_ticks(pid);
}

static void set_up(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(board, MAP_FAILED);
}

static struct tapio_options options_of(const struct tapio_broker *broker,
				       char *error, size_t bytes)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = tapio_broker_socket(broker),
		.connect_ns = PATIENCE_NS,
		.error = error,
		.error_bytes = bytes,
	};
}

static void count_from_here(void)
{
	sent = received = waits = 0;
}

/* ---- one round trip ------------------------------------------------------------------------ */

static void close_role(int role, void *handle)
{
	if (role == TAPIO_ROLE_PRODUCE)
		tapio_producer_close(handle);
	else if (role == TAPIO_ROLE_CONSUME)
		tapio_consumer_close(handle);
	else
		tapio_observer_close(handle);
}

static int open_role(int role, void **handle, const struct tapio_options *with)
{
	struct tapio_consumer_options consumer = {
		.size = sizeof(consumer), .broker = *with, .group = "all"};
	struct tapio_observer_options observer = {.size = sizeof(observer),
						  .broker = *with};

	if (role == TAPIO_ROLE_PRODUCE)
		return tapio_producer_open((struct tapio_producer **)handle,
					   "events", with);
	if (role == TAPIO_ROLE_CONSUME)
		return tapio_consumer_open((struct tapio_consumer **)handle,
					   "events", &consumer);
	return tapio_observer_open((struct tapio_observer **)handle, "events",
				   &observer);
}

START_TEST(an_open_is_one_round_trip)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	char error[256] = "";
	struct tapio_options options = options_of(broker, error, sizeof(error));
	void *handle;

	count_from_here();
	ck_assert_msg(!open_role(_i, &handle, &options), "%s", error);
	ck_assert_uint_eq(sent, 1);
	ck_assert_uint_eq(received, 1);
	ck_assert_uint_eq(waits, 1);
	close_role(_i, handle);
	tapio_broker_stop(broker);
}
END_TEST

/* The catalog, the segment, and four times the cursors of 16 slots. */
static void open_with_few_descriptors(const struct tapio_options *options)
{
	int first = dup(0);
	const struct rlimit few = {(rlim_t)first + 1 + 24,
				   (rlim_t)first + 1 + 24};
	struct tapio_producer *producer;
	int err;

	close(first);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	count_from_here();
	err = tapio_producer_open(&producer, "events", options);
	ck_assert_msg(!err, "%s", options->error);
	ck_assert_uint_eq(sent, 1 + 1 + 1 + 4);
	ck_assert_int_eq(tapio_output(producer, TAG, "x", 1), 0);
	tapio_producer_close(producer);
}

static void assert_ends_well(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(where_descriptors_are_short_it_goes_on_by_steps)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	char error[256] = "";
	struct tapio_options options = options_of(broker, error, sizeof(error));
	pid_t pid = fork();

	if (!pid) {
		open_with_few_descriptors(&options);
		_exit(0);
	}
	assert_ends_well(pid);
	tapio_broker_stop(broker);
}
END_TEST

/* ---- the broker's side, message by message ------------------------------------------------- */

static void fill_hello(union tpi_wire_message *m, uint32_t role,
		       const char *channel)
{
	tpi_wire_init(m, TPI_WIRE_HELLO);
	m->hello.abi_major = TAPIO_ABI_MAJOR;
	m->hello.abi_minor = TAPIO_ABI_MINOR;
	m->hello.attach.role = role;
	strcpy(m->hello.attach.channel, channel);
}

/* What came instead of HELLO's answer, with its descriptors. */
static int ask(struct peer *peer, union tpi_wire_message *m, int *fds,
	       unsigned int *count)
{
	struct pollfd p = {.fd = peer->sock, .events = POLLIN};
	char why[256];
	ssize_t got;

	ck_assert_int_eq(peer_send(peer, m, m->header.length, NULL, 0), 0);
	while (!poll(&p, 1, 1000))
		;
	got = tpi_recv_fds(peer->sock, m, sizeof(*m), fds, count);
	ck_assert_int_gt(got, 0);
	ck_assert_msg(!tpi_wire_check(m, (size_t)got, *count, why, sizeof(why)),
		      "%s", why);
	return m->header.type;
}

static int access_of(int fd)
{
	return fcntl(fd, F_GETFL) & O_ACCMODE;
}

START_TEST(a_welcome_gives_what_the_role_may_have)
{
	static const struct {
		uint32_t role;
		int segment, own;
		unsigned int fds;
	} roles[] = {
		{TAPIO_ROLE_PRODUCE, O_RDWR, -1, 2 + TAPIO_GROUP_SLOTS},
		{TAPIO_ROLE_CONSUME, O_RDONLY, O_RDWR, 3},
		{TAPIO_ROLE_INSPECT, O_RDONLY, -1, 2},
	};
	struct tapio_broker *broker = broker_start(CONFIG);
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count = TPI_WIRE_WELCOME_FDS_MAX;
	union tpi_wire_message m;
	struct peer peer;
	bool slots = roles[_i].role == TAPIO_ROLE_PRODUCE;

	peer_connect(&peer, broker);
	fill_hello(&m, roles[_i].role, "events");
	ck_assert_int_eq(ask(&peer, &m, fds, &count), TPI_WIRE_WELCOME);
	ck_assert_uint_eq(count, roles[_i].fds);
	ck_assert_uint_ne(m.welcome.attached.attachment, 0);
	ck_assert_uint_eq(m.welcome.attached.segment_count, 1);
	ck_assert_uint_eq(m.welcome.attached.cursors_count, roles[_i].own >= 0);
	ck_assert_uint_eq(m.welcome.slots, slots ? UINT64_MAX : 0);
	ck_assert_int_eq(access_of(fds[0]), O_RDONLY);
	ck_assert_int_eq(access_of(fds[1]), roles[_i].segment);
	for (unsigned int i = 2; i < count; i++)
		ck_assert_int_eq(access_of(fds[i]),
				 slots ? O_RDONLY : roles[_i].own);
	for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		ck_assert_uint_eq(m.welcome.epochs[slot], slots);
	while (count)
		close(fds[--count]);
	close(peer.sock);
	tapio_broker_stop(broker);
}
END_TEST

/* The client has said hello, and may ask for something else. */
START_TEST(a_refused_request_leaves_the_hello)
{
	static const struct {
		uint32_t role;
		const char *channel;
		int err;
	} wrong[] = {
		{TAPIO_ROLE_PRODUCE, "other", -ENOENT},
		{4, "events", -EINVAL},
		{TAPIO_ROLE_PRODUCE, "", -EINVAL},
		{TAPIO_ROLE_CONSUME, "two words", -EINVAL},
	};
	struct tapio_broker *broker = broker_start(CONFIG);
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count = TPI_WIRE_WELCOME_FDS_MAX;
	union tpi_wire_message m;
	struct peer peer;

	peer_connect(&peer, broker);
	fill_hello(&m, wrong[_i].role, wrong[_i].channel);
	ck_assert_int_eq(ask(&peer, &m, fds, &count), TPI_WIRE_REFUSED);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(m.refused.error, wrong[_i].err);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.attach.role = TAPIO_ROLE_INSPECT;
	strcpy(m.attach.channel, "events");
	count = TPI_WIRE_WELCOME_FDS_MAX;
	ck_assert_int_eq(ask(&peer, &m, fds, &count), TPI_WIRE_ATTACHED);
	ck_assert_uint_eq(count, 1);
	close(fds[0]);
	close(peer.sock);
	tapio_broker_stop(broker);
}
END_TEST

/* As long as its messages were. */
START_TEST(a_client_of_minor_version_5_is_served_step_by_step)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count = TPI_WIRE_WELCOME_FDS_MAX;
	union tpi_wire_message m;
	struct peer peer;

	peer_connect(&peer, broker);
	fill_hello(&m, 0, "");
	m.header.minor = 5;
	m.header.length = offsetof(struct tpi_wire_hello, attach);
	ck_assert_int_eq(ask(&peer, &m, fds, &count), TPI_WIRE_WELCOME);
	ck_assert_uint_eq(count, 1);
	close(fds[0]);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.header.minor = 5;
	m.attach.role = TAPIO_ROLE_PRODUCE;
	strcpy(m.attach.channel, "events");
	count = TPI_WIRE_WELCOME_FDS_MAX;
	ck_assert_int_eq(ask(&peer, &m, fds, &count), TPI_WIRE_ATTACHED);
	ck_assert_uint_eq(count, 1);
	close(fds[0]);
	close(peer.sock);
	tapio_broker_stop(broker);
}
END_TEST

/* ---- starts -------------------------------------------------------------------------------- */

static void be_client(const struct tapio_broker *broker)
{
	struct tapio_options options = options_of(broker, NULL, 0);
	struct tapio_producer *producer;

	if (tapio_producer_open(&producer, "events", &options))
		_exit(1);
	tpi_add_relaxed(&board->opened, 1);
	while (!tpi_load_relaxed(&board->leave))
		usleep(1000);
	_exit(0);
}

static void wait_until(const uint32_t *word, uint32_t least)
{
	int64_t end = tpi_now_ns() + PATIENCE_NS;

	while (tpi_load_relaxed(word) < least) {
		ck_assert_int_lt(tpi_now_ns(), end);
		usleep(1000);
	}
}

/* Clients that have opened. */
static void more_clients(const struct tapio_broker *broker, pid_t *pids,
			 uint32_t count)
{
	uint32_t before = tpi_load_relaxed(&board->opened);

	for (uint32_t i = 0; i < count; i++) {
		pids[i] = fork();
		if (!pids[i])
			be_client(broker);
	}
	wait_until(&board->opened, before + count);
}

static const struct tapio_shm_attachment *record_of(const struct peer *peer,
						    pid_t pid)
{
	for (uint32_t i = 0; i < peer->catalog.attachment_count; i++)
		if (peer->catalog.attachments[i].pid == (uint32_t)pid)
			return &peer->catalog.attachments[i];
	ck_abort_msg("client %d has no record", pid);
}

static void wait_for_start(const struct peer *peer, pid_t pid)
{
	const struct tapio_shm_attachment *record = record_of(peer, pid);
	int64_t end = tpi_now_ns() + PATIENCE_NS;

	while (!tpi_load_relaxed(&record->start_time_ticks)) {
		ck_assert_int_lt(tpi_now_ns(), end);
		usleep(1000);
	}
	ck_assert_uint_eq(record->start_time_ticks,
			  __real_tpi_start_ticks(pid));
}

static void end_clients(const pid_t *pids, uint32_t count)
{
	tpi_store_relaxed(&board->leave, 1);
	for (uint32_t i = 0; i < count; i++)
		assert_ends_well(pids[i]);
}

/* Pidfds are files of their own from Linux 6.9 on. */
static bool has_inodes(void)
{
	int fd = tpi_sys_pidfd_open(getpid(), 0);
	struct statfs fs = {0};
	bool has = fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == 0x50494446;

	close(fd);
	return has;
}

/* A child of the broker is at it all the time, and the next one asks for all. */
START_TEST(no_open_waits_for_a_start_and_one_child_reads_many)
{
	struct tapio_broker *broker;
	pid_t pids[1 + CLIENTS];
	uint32_t before;
	struct peer peer;

	if (!has_inodes())
		return;
	broker = broker_start(CONFIG);
	peer_open(&peer, broker, TAPIO_ROLE_INSPECT, NULL);
	wait_for_start(&peer, getpid());
	before = tpi_load_relaxed(&board->children);
	tpi_store_relaxed(&board->in_read, 0);
	tpi_store_relaxed(&board->reading, RUNS_ON);
	more_clients(broker, pids, 1);
	wait_until(&board->in_read, 1);
	more_clients(broker, pids + 1, CLIENTS);
	ck_assert_uint_eq(record_of(&peer, pids[0])->start_time_ticks, 0);
	ck_assert_uint_eq(tpi_load_relaxed(&board->children), before + 1);
	tpi_store_relaxed(&board->reading, READS);
	for (int i = 0; i <= CLIENTS; i++)
		wait_for_start(&peer, pids[i]);
	ck_assert_uint_eq(tpi_load_relaxed(&board->children), before + 2);
	end_clients(pids, 1 + CLIENTS);
	peer_close(&peer);
	tapio_broker_stop(broker);
}
END_TEST

/* T4: it does not get its own start, and keeps no other one from theirs. */
START_TEST(a_client_that_holds_its_start_holds_no_other)
{
	struct tapio_broker *broker;
	struct peer peer;
	pid_t pids[3];

	if (!has_inodes())
		return;
	broker = broker_start(CONFIG);
	peer_open(&peer, broker, TAPIO_ROLE_INSPECT, NULL);
	wait_for_start(&peer, getpid());
	tpi_store_relaxed(&board->reading, RUNS_ON);
	more_clients(broker, pids, 1);
	tpi_store_relaxed(&board->slow, (uint32_t)pids[0]);
	tpi_store_relaxed(&board->reading, SLEEPS_ON);
	more_clients(broker, pids + 1, 2);
	wait_for_start(&peer, pids[1]);
	wait_for_start(&peer, pids[2]);
	ck_assert_uint_eq(record_of(&peer, pids[0])->start_time_ticks, 0);
	end_clients(pids, 3);
	peer_close(&peer);
	tapio_broker_stop(broker);
}
END_TEST

/* ---- what a successor knows ---------------------------------------------------------------- */

/* The process of an attachment whose pidfd the keeper has lost. */
static bool is_found(struct tpi_broker *broker, pid_t pid, uint64_t ticks,
		     uint32_t inode)
{
	const uint8_t at_random[16] = {0};
	const struct tpi_former former = {
		.pid = pid,
		.start_ticks = ticks,
		.inode = inode,
		.at_random = at_random,
		.comm = "a program, 16 b",
	};
	struct tpi_process *process;
	bool found;

	ck_assert_int_eq(tpi_process_adopt(broker, &process, -1, &former), 0);
	found = !tpi_process_is_dead(process);
	tpi_process_put(process);
	return found;
}

static uint32_t inode_of(pid_t pid)
{
	struct stat st;
	int fd = tpi_sys_pidfd_open(pid, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	close(fd);
	return (uint32_t)st.st_ino;
}

START_TEST(a_successor_finds_a_client_whose_start_was_not_known_yet)
{
	struct tpi_broker *broker = calloc(1, sizeof(*broker));
	pid_t pid = fork();
	char why[256];

	if (!pid)
		while (true)
			pause();
	ck_assert_int_eq(tpi_loop_create(&broker->loop, why, sizeof(why)), 0);
	TAILQ_INIT(&broker->processes);
	/* By the start alone, as of an older broker. */
	ck_assert(is_found(broker, pid, __real_tpi_start_ticks(pid), 0));
	ck_assert(!is_found(broker, pid, 1, 0));
	ck_assert(!is_found(broker, pid, 0, 0));
	if (has_inodes()) {
		ck_assert(is_found(broker, pid, 0, inode_of(pid)));
		ck_assert(!is_found(broker, pid, 0, inode_of(getpid())));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert(!is_found(broker, pid, 0, 1));
	tpi_loop_destroy(broker->loop);
	free(broker);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("attach");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, NULL);
	tcase_add_loop_test(c, an_open_is_one_round_trip, TAPIO_ROLE_PRODUCE,
			    TAPIO_ROLE_INSPECT + 1);
	tcase_add_test(c, where_descriptors_are_short_it_goes_on_by_steps);
	tcase_add_loop_test(c, a_welcome_gives_what_the_role_may_have, 0, 3);
	tcase_add_loop_test(c, a_refused_request_leaves_the_hello, 0, 4);
	tcase_add_test(c, a_client_of_minor_version_5_is_served_step_by_step);
	tcase_add_test(c, no_open_waits_for_a_start_and_one_child_reads_many);
	tcase_add_test(c, a_client_that_holds_its_start_holds_no_other);
	tcase_add_test(
		c, a_successor_finds_a_client_whose_start_was_not_known_yet);
	return check_run_case("attach", c);
}
