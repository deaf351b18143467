/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors whose close waits, sent to a broker on a kernel that cannot refuse them:
 * tapiod stays responsive, ends on SIGTERM, and keeps the uid out that did it. A filter
 * of system calls makes the kernel an older one (no SO_PASSRIGHTS, which is Linux 6.16,
 * and no SO_PEERPIDFD, which is Linux 6.5).
 *
 * Fails on commit 2e5634a: the loop closes the descriptor, and waits.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "tests/check_main.h"
#include "tests/fault/lingering.h"
#include "tests/fault/peer.h"
#include "tests/hostile/world.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define CONFIG                                                        \
	"channel events { class main { block = 256 blocks = 64 } }\n" \
	"allow attacker { uid = {61006} role = {produce, consume, inspect}}\n"

static struct world world;

/* ---- older kernels ---------------------------------------------------------------- */

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* The low half of an argument: both platforms are little-endian. */
#define LOAD_OPTION LOAD(args[2])
#define SKIP_UNLESS(value, skip) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define FAIL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT)

static void become_older_kernel(bool knows_peers)
{
	struct sock_filter filter[] = {
		LOAD(nr),
		SKIP_UNLESS(SYS_setsockopt, 3),
		LOAD_OPTION,
		SKIP_UNLESS(SO_PASSRIGHTS, 1),
		FAIL,
		LOAD(nr),
		SKIP_UNLESS(SYS_getsockopt, 3),
		LOAD_OPTION,
		SKIP_UNLESS(knows_peers ? UINT32_MAX : SO_PEERPIDFD, 1),
		FAIL,
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program),
			 0);
}

static void set_up(void)
{
	become_older_kernel(true);
	world_start(&world, CONFIG);
}

static void set_up_before_6_5(void)
{
	become_older_kernel(false);
	world_start(&world, CONFIG);
}

static void tear_down(void)
{
	world_assert_serves(&world, "events");
	world_stop(&world);
}

/* ---- attacks ------------------------------------------------------------------------ */

/* In how many ways a descriptor gets into the queue of a connection. */
enum way {
	WITH_HELLO,
	WITH_A_LATER_MESSAGE,
	BEHIND_AN_EMPTY_MESSAGE,
	WITH_ITS_COPIES,
	WITH_A_MESSAGE_THAT_IS_TOO_LONG,
	WAYS
};

static void *close_it(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

/* The broker's may have been the first to go, and then this one waits. */
static void close_elsewhere(int fd)
{
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, close_it, (void *)(intptr_t)fd),
		0);
	pthread_detach(thread);
}

/* The last copy of it is the one that is on its way. */
static void send_in_a_way(enum way way, int fd)
{
	unsigned char bytes[1024] = {0};
	union tpi_wire_message m;
	unsigned int count = 1;
	size_t length;
	int fds[200];
	struct peer p;

	peer_connect_to(&p, world.socket);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	for (int i = 0; i < 200; i++)
		fds[i] = fd;
	length = m.header.length;
	if (way == WITH_A_LATER_MESSAGE)
		ck_assert_int_eq(peer_hello(&p), 0);
	if (way == BEHIND_AN_EMPTY_MESSAGE)
		peer_send(&p, bytes, 0, NULL, 0);
	if (way == WITH_ITS_COPIES)
		count = 200;
	if (way == WITH_A_MESSAGE_THAT_IS_TOO_LONG)
		length = sizeof(bytes);
	m.header.fd_count = count;
	memcpy(bytes, &m, sizeof(m));
	(void)peer_send(&p, bytes, length, fds, count);
	close_elsewhere(fd);
	/* Sometimes the connection ends first. */
	if (way % 2)
		peer_receive(&p, &m);
	peer_close(&p);
}

static void send_lingering_sockets(struct role *self)
{
	int other[WAYS * 2];

	for (int i = 0; i < WAYS * 2; i++)
		send_in_a_way((enum way)(i % WAYS),
			      lingering_socket(&other[i]));
	role_tell(self, 1);
	role_hear(self);
}

START_TEST(sockets_that_linger_do_not_delay_the_broker)
{
	struct role attacker;

	role_start_uid(&attacker, WORLD_ATTACKER, send_lingering_sockets, NULL);
	role_hear(&attacker);
	world_assert_serves(&world, "events");
	/* And SIGTERM ends it while the other ends still do not read. */
	tear_down();
	role_kill(&attacker);
}
END_TEST

static void flood_with_lingering_sockets(struct role *self)
{
	int other[45];

	for (int i = 0; i < 45; i++) {
		send_in_a_way((enum way)(i % WAYS),
			      lingering_socket(&other[i]));
		if (i == 15)
			role_tell(self, 1);
	}
	role_tell(self, 2);
	role_hear(self);
}

/* Their helpers end when they are killed, so no uid is shut out for ever. */
START_TEST(a_flood_of_sockets_that_linger_is_survived)
{
	struct role attacker;

	role_start_uid(&attacker, WORLD_ATTACKER, flood_with_lingering_sockets,
		       NULL);
	role_hear(&attacker);
	world_assert_serves(&world, "events");
	role_hear(&attacker);
	world_assert_serves(&world, "events");
	role_kill(&attacker);
	tear_down();
}
END_TEST

/* With a message before it, for which the connection is refused. */
static void queue_behind_another(bool junk)
{
	union tpi_wire_message m;
	int other, fd = lingering_socket(&other);
	struct peer p;

	peer_connect_to(&p, world.socket);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.fd_count = 1;
	if (junk)
		ck_assert_int_eq(peer_send(&p, "x", 1, NULL, 0), 0);
	ck_assert_int_eq(peer_send(&p, &m, m.header.length, &fd, 1), 0);
	/* The last one is in the queue, for tapiod is stopped. */
	close(fd);
}

static void queue_some(struct role *self)
{
	for (int i = 0; i < 4; i++)
		queue_behind_another(true);
	role_tell(self, 1);
	role_hear(self);
	/* More than tapiod accepts in one turn. */
	for (int i = 0; i < 24; i++)
		queue_behind_another(false);
	role_tell(self, 2);
	role_hear(self);
}

/* Messages that are never read, and connections that are never accepted. */
START_TEST(what_lies_in_a_queue_is_not_dropped_by_the_broker)
{
	struct role attacker;

	kill(world.pid, SIGSTOP);
	role_start_uid(&attacker, WORLD_ATTACKER, queue_some, NULL);
	role_hear(&attacker);
	kill(world.pid, SIGCONT);
	world_assert_serves(&world, "events");
	kill(world.pid, SIGSTOP);
	role_tell(&attacker, 1);
	role_hear(&attacker);
	/* It finds both when it goes on, and stops with a backlog. */
	kill(world.pid, SIGTERM);
	kill(world.pid, SIGCONT);
	world_stop(&world);
	role_kill(&attacker);
}
END_TEST

/* ---- a file system of one's own ------------------------------------------------------ */

static void reply(int dev, uint64_t unique, const void *body, size_t bytes)
{
	unsigned char out[256];
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + bytes),
		.unique = unique,
	};

	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), body, bytes);
	(void)!write(dev, out, sizeof(header) + bytes);
}

/* One regular file, at the root. Its FLUSH is never answered. */
static void serve_file(int dev)
{
	static char in[1 << 17];
	const struct fuse_in_header *h = (const void *)in;

	while (read(dev, in, sizeof(in)) > 0) {
		struct fuse_init_out init = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_write = 4096,
		};
		struct fuse_attr_out attr = {
			.attr = {.ino = 1, .mode = S_IFREG | 0666, .nlink = 1},
		};
		struct fuse_open_out open = {.fh = 1};

		if (h->opcode == FUSE_INIT)
			reply(dev, h->unique, &init, sizeof(init));
		else if (h->opcode == FUSE_GETATTR)
			reply(dev, h->unique, &attr, sizeof(attr));
		else if (h->opcode == FUSE_OPEN)
			reply(dev, h->unique, &open, sizeof(open));
		else if (h->opcode != FUSE_FLUSH && h->opcode != FUSE_INTERRUPT)
			reply(dev, h->unique, NULL, 0);
	}
}

static char mount_point[64];

/*
 * The file that lies at the root of the file system, in a mount namespace of its own.
 * The server is another process: all that hangs in a FLUSH ends when it is killed.
 */
static int open_own_file(pid_t *server)
{
	char options[128];
	int dev, fd;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(dev, 0);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=100666,user_id=0,group_id=0", dev);
	ck_assert_msg(!mount("hostile", mount_point, "fuse",
			     MS_NOSUID | MS_NODEV, options),
		      "mount: %s", strerror(errno));
	*server = fork();
	if (!*server) {
		alarm(120); /* also if the test ends before it kills us */
		serve_file(dev);
		_exit(0);
	}
	close(dev);
	fd = open(mount_point, O_RDWR | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "open: %s", strerror(errno));
	return fd;
}

/* 0, or why the kernel refuses the connection. */
static int say_hello_with(int fd)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, world.socket), err = 0;
	union tpi_wire_message m;
	struct peer p = {.sock = socket(AF_UNIX, SOCK_SEQPACKET, 0)};

	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.fd_count = 1;
	if (connect(p.sock, (void *)&address, (socklen_t)length))
		err = -errno;
	else if (!peer_send(&p, &m, m.header.length, &fd, 1))
		peer_receive(&p, &m);
	close(p.sock);
	return err;
}

/* Its own close of the file would wait, so it never closes it. */
static void send_own_file(struct role *self)
{
	pid_t server;
	int fd = open_own_file(&server);

	for (int i = 0; i < 3; i++)
		say_hello_with(fd);
	role_tell(self, 1);
	role_hear(self);
	/* It is barred now, and so cannot fill any list. */
	for (int i = 0; i < 500; i++)
		ck_assert_int_eq(say_hello_with(fd), -EACCES);
	role_tell(self, 2);
	role_hear(self);
	kill(server, SIGKILL);
}

static bool files_can_be_mounted(void)
{
	const struct role_as as = {.uid = WORLD_ATTACKER, .user_ns = true};
	int fd;

	if (access("/dev/fuse", R_OK | W_OK) || !role_may_unshare(as.uid)) {
		puts("not tried: needs /dev/fuse and user namespaces");
		return false;
	}
	snprintf(mount_point, sizeof(mount_point), "/tmp/tapio-hostile-%d",
		 getpid());
	fd = open(mount_point, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
	ck_assert_int_ge(fd, 0);
	close(fd);
	return true;
}

START_TEST(a_file_whose_close_never_returns_bars_its_uid_and_no_other)
{
	const struct role_as as = {.uid = WORLD_ATTACKER, .user_ns = true};
	struct role attacker;

	if (!files_can_be_mounted())
		return;
	role_start(&attacker, &as, send_own_file, NULL);
	role_hear(&attacker);
	world_assert_serves(&world, "events");
	ck_assert(world_said(&world, "until it has ended that uid cannot"));
	role_tell(&attacker, 1);
	role_hear(&attacker);
	world_assert_serves(&world, "events");
	/* SIGTERM ends tapiod, though helpers hang. They end with the server. */
	world_stop(&world);
	role_tell(&attacker, 2);
	role_end(&attacker);
	unlink(mount_point);
}
END_TEST

/*
 * An execve closes the file while it holds a lock for which a reader of /proc/PID waits:
 * so the broker must not read there itself.
 */
static void exec_with_own_file(struct role *self)
{
	pid_t server;
	struct peer p;

	open_own_file(&server);
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(
		peer_attach(&p, TAPIO_ROLE_INSPECT, "events", NULL, 0, 0, 0),
		0);
	role_tell(self, (uint64_t)server);
	close(p.sock);
	execl("/bin/true", "true", NULL);
}

/* Fails where the loop reads the maps: it waits in state D, and SIGTERM ends nothing. */
START_TEST(an_execve_that_never_ends_holds_no_broker)
{
	const struct role_as as = {.uid = WORLD_ATTACKER, .user_ns = true};
	struct role attacker;
	pid_t server;

	if (!files_can_be_mounted())
		return;
	role_start(&attacker, &as, exec_with_own_file, NULL);
	server = (pid_t)role_hear(&attacker);
	for (int i = 0; i < 30; i++) { /* some ticks of the broker */
		world_assert_serves(&world, "events");
		usleep(100000);
	}
	world_stop(&world);
	kill(server, SIGKILL);
	role_kill(&attacker);
	unlink(mount_point);
}
END_TEST

/* ---- honest clients ------------------------------------------------------------------- */

static void be_honest(struct role *self)
{
	struct peer p;

	(void)self;
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(
		peer_attach(&p, TAPIO_ROLE_INSPECT, "events", NULL, 0, 0, 0),
		0);
	ck_assert_int_eq(peer_detach(&p), 0);
	peer_close(&p);
}

/* The pidfd that it sends with HELLO comes through a helper. */
START_TEST(an_honest_client_is_known_by_its_pidfd)
{
	const struct role_as cases[] = {
		{.uid = WORLD_ATTACKER},
		{.uid = WORLD_ATTACKER, .pid_ns = true},
	};

	role_run(&cases[_i], be_honest, NULL);
	tear_down();
}
END_TEST

START_TEST(more_honest_clients_at_a_time_than_helpers)
{
	struct role roles[30];

	for (int i = 0; i < 30; i++)
		role_start_uid(&roles[i], WORLD_ATTACKER, be_honest, NULL);
	for (int i = 0; i < 30; i++)
		role_end(&roles[i]);
	tear_down();
}
END_TEST

static void add_tests(Suite *suite, const char *name, void (*begin)(void))
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, begin, NULL);
	tcase_add_loop_test(c, an_honest_client_is_known_by_its_pidfd, 0, 2);
	tcase_add_test(c, more_honest_clients_at_a_time_than_helpers);
	tcase_add_test(c, sockets_that_linger_do_not_delay_the_broker);
	tcase_add_test(c, what_lies_in_a_queue_is_not_dropped_by_the_broker);
	tcase_add_test(c, a_flood_of_sockets_that_linger_is_survived);
	tcase_add_test(
		c, a_file_whose_close_never_returns_bars_its_uid_and_no_other);
	tcase_add_test(c, an_execve_that_never_ends_holds_no_broker);
	suite_add_tcase(suite, c);
}

int main(void)
{
	const char *reason = role_reason();
	Suite *suite;

	if (reason) {
		puts(reason);
		return 77;
	}
	suite = suite_create("descriptor");
	add_tests(suite, "before Linux 6.16", set_up);
	add_tests(suite, "before Linux 6.5", set_up_before_6_5);
	return check_run(suite);
}
