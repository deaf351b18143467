/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that mean harm or are broken: none may stop the broker from serving the
 * others, make it keep anything, or get an attachment that outlives them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/sys.h"
#include "tests/fault/lingering.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static struct tapio_broker *broker;
static int fds_before;
static bool old_kernel; /* it has no SO_PASSRIGHTS, before Linux 6.16 */

/* Clients in other namespaces than the broker's are no owners. */
#define CONTAINERS \
	"\nallow containers { any = true role = {produce, inspect} }\n"

int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);

int __wrap_setsockopt(int sock, int level, int option, const void *value,
		      socklen_t length)
{
	if (old_kernel && option == SO_PASSRIGHTS) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(sock, level, option, value, length);
}

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void start(bool old)
{
	old_kernel = old;
	broker = broker_start("channel events { class main { block = 256 "
			      "blocks = 64 } }" CONTAINERS);
	fds_before = lowest_free_fd();
}

static void set_up(void)
{
	start(false);
}

static void set_up_on_old_kernel(void)
{
	start(true);
}

/* Whatever happened, an honest client is served, and nothing was kept. */
static void tear_down(void)
{
	struct peer honest;

	peer_open(&honest, broker, TAPIO_ROLE_PRODUCE, NULL);
	ck_assert_int_eq(peer_detach(&honest), 0);
	peer_close(&honest);
	for (int i = 0; i < 6000 && lowest_free_fd() != fds_before; i++)
		usleep(10000);
	ck_assert_int_eq(lowest_free_fd(), fds_before);
	tapio_broker_stop(broker);
}

/* Sends it raw. The broker must refuse with that error and hang up. */
static void refused_with(const void *bytes, size_t length, int error)
{
	union tpi_wire_message m;
	struct peer p;

	peer_connect(&p, broker);
	ck_assert_int_eq(peer_send(&p, bytes, length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&p, &m), TPI_WIRE_REFUSED);
	ck_assert_int_eq(m.refused.error, error);
	ck_assert(m.refused.text[0]);
	ck_assert_int_eq(peer_receive(&p, &m), 0);
	peer_close(&p);
}

START_TEST(malformed_messages_are_refused_and_the_connection_ends)
{
	unsigned char huge[4096] = {0};
	union tpi_wire_message m;

	refused_with("x", 1, -EBADMSG);
	refused_with(huge, 100, -EBADMSG);
	refused_with(huge, sizeof(huge), -EMSGSIZE);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	refused_with(&m, m.header.length - 1, -EBADMSG);
	refused_with(&m, m.header.length + 1, -EBADMSG);
	m.header.fd_count = 1;
	refused_with(&m, m.header.length, -EBADMSG);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.major = 2;
	refused_with(&m, m.header.length, -EPROTONOSUPPORT);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.hello.abi_major = TAPIO_ABI_MAJOR + 1;
	refused_with(&m, m.header.length, -EPROTONOSUPPORT);
	/* A minor number of before there was a rule. */
	m.hello.abi_major = TAPIO_ABI_MAJOR;
	m.hello.abi_minor = TAPIO_ABI_MINOR_LEAST - 1;
	refused_with(&m, m.header.length, -EPROTONOSUPPORT);
	for (int type = TPI_WIRE_WELCOME; type <= TPI_WIRE_REMOVED; type++) {
		int fd = dup(0), sent;
		struct peer p;

		tpi_wire_init(&m, (enum tpi_wire_type)type);
		m.header.fd_count =
			type == TPI_WIRE_WELCOME || type == TPI_WIRE_ATTACHED;
		m.attached.segment_count = m.header.fd_count;
		peer_connect(&p, broker);
		sent = peer_send(&p, &m, m.header.length, &fd,
				 m.header.fd_count);
		/* The kernel refuses it for the broker, from 6.16 on. */
		ck_assert(!sent ||
			  (sent == -EPERM && m.header.fd_count && !old_kernel));
		if (!sent)
			ck_assert_int_eq(peer_receive(&p, &m),
					 TPI_WIRE_REFUSED);
		peer_close(&p);
		close(fd);
	}
}
END_TEST

START_TEST(a_second_hello_is_a_protocol_error)
{
	struct peer p;

	peer_connect(&p, broker);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(peer_hello(&p), -EPROTO);
	peer_close(&p);
}
END_TEST

START_TEST(detaching_what_is_not_ones_own_changes_nothing)
{
	union tpi_wire_message m;
	struct peer a, b;

	peer_open(&a, broker, TAPIO_ROLE_PRODUCE, NULL);
	peer_open(&b, broker, TAPIO_ROLE_PRODUCE, NULL);
	tpi_wire_init(&m, TPI_WIRE_DETACH);
	m.detach.attachment = a.attached.attachment;
	ck_assert_int_eq(peer_send(&b, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&b, &m), TPI_WIRE_REFUSED);
	ck_assert_int_eq(m.refused.error, -ENOENT);
	ck_assert_uint_eq(peer_record(&a, a.attached.attachment)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	ck_assert_int_eq(peer_detach(&a), 0);
	b.fd_count = 0;
	ck_assert_int_eq(peer_detach(&b), 0);
	peer_close(&a);
	peer_close(&b);
}
END_TEST

START_TEST(a_flood_of_descriptors_is_closed)
{
	union tpi_wire_message m;
	int fds[250];

	for (int i = 0; i < 250; i++)
		fds[i] = 0;
	for (int round = 0; round < 20; round++) {
		struct peer p;

		peer_connect(&p, broker);
		tpi_wire_init(&m, TPI_WIRE_HELLO);
		m.header.fd_count = 250;
		ck_assert_int_eq(peer_send(&p, &m, m.header.length, fds, 250),
				 0);
		ck_assert_int_eq(peer_receive(&p, &m), TPI_WIRE_REFUSED);
		ck_assert_int_eq(m.refused.error, -EMSGSIZE);
		peer_close(&p);
	}
}
END_TEST

/* Fails on commit fddcec1: it arrives, and the broker waits when it closes it. */
START_TEST(a_descriptor_whose_close_waits_does_not_reach_the_broker)
{
	const int off = 0;
	union tpi_wire_message m;
	struct peer p;
	int fd, other, probe = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	if (setsockopt(probe, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off))) {
		puts("not tried: needs SO_PASSRIGHTS (Linux 6.16)");
		close(probe);
		return;
	}
	close(probe);
	fd = lingering_socket(&other);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.header.fd_count = 1;
	peer_connect(&p, broker);
	ck_assert_int_eq(peer_send(&p, &m, m.header.length, &fd, 1), -EPERM);
	ck_assert_int_eq(peer_hello(&p), 0);
	/* Also later, and with any message. */
	ck_assert_int_eq(peer_send(&p, &m, m.header.length, &fd, 1), -EPERM);
	peer_close(&p);
	shutdown(other, SHUT_RDWR);
	close(other);
	close(fd);
}
END_TEST

START_TEST(who_does_not_read_is_closed_and_blocks_nobody)
{
	union tpi_wire_message m;
	struct peer deaf;
	int sent = 0, err = 0;
	bool gone = false;

	peer_connect(&deaf, broker);
	ck_assert_int_eq(peer_hello(&deaf), 0);
	ck_assert_int_eq(fcntl(deaf.sock, F_SETFL, O_NONBLOCK), 0);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.attach.role = TAPIO_ROLE_INSPECT;
	strcpy(m.attach.channel, "nowhere");
	for (int tries = 0; tries < 60000 && !gone; tries++) {
		err = peer_send(&deaf, &m, m.header.length, NULL, 0);
		sent += !err;
		if (err == -EAGAIN)
			usleep(1000);
		/* Which of the two depends on what it left unread. */
		gone = err == -EPIPE || err == -ECONNRESET;
	}
	ck_assert(gone);
	ck_assert_int_gt(sent, 1);
	ck_assert(broker_said("does not read"));
	peer_close(&deaf);
}
END_TEST

START_TEST(strangers_make_room_for_strangers)
{
	static struct peer crowd[300];
	struct peer honest;
	union tpi_wire_message m;

	for (int i = 0; i < 300; i++)
		peer_connect(&crowd[i], broker);
	peer_open(&honest, broker, TAPIO_ROLE_PRODUCE, NULL);
	/* The oldest was asked to leave, with a reason. */
	ck_assert_int_eq(peer_receive(&crowd[0], &m), TPI_WIRE_REFUSED);
	ck_assert_int_eq(m.refused.error, -EAGAIN);
	ck_assert_int_eq(peer_detach(&honest), 0);
	peer_close(&honest);
	for (int i = 0; i < 300; i++)
		peer_close(&crowd[i]);
}
END_TEST

/* ---- who is it ----------------------------------------------------------------------- */

START_TEST(a_pidfd_of_somebody_else_is_refused)
{
	const uint8_t *image = (const uint8_t *)getauxval(AT_RANDOM);
	int pidfd = tpi_sys_pidfd_open(getppid(), 0), other = dup(0);
	struct peer p;

	ck_assert_int_ge(pidfd, 0);
	peer_connect(&p, broker);
	ck_assert_int_eq(peer_hello_with(&p, pidfd, image), -EPERM);
	ck_assert_ptr_nonnull(strstr(p.refused.text, "made this connection"));
	peer_close(&p);
	peer_connect(&p, broker);
	ck_assert_int_eq(peer_hello_with(&p, other, image), -EBADF);
	peer_close(&p);
	close(pidfd);
	close(other);
}
END_TEST

START_TEST(no_pidfd_is_fine_where_the_kernel_knows_who_it_is)
{
	struct peer p;

	peer_connect(&p, broker);
	ck_assert_int_eq(
		peer_hello_with(&p, -1, (const uint8_t *)getauxval(AT_RANDOM)),
		0);
	peer_close(&p);
}
END_TEST

START_TEST(a_connection_passed_on_to_a_child_does_not_make_the_child_a_client)
{
	const uint8_t *image = (const uint8_t *)getauxval(AT_RANDOM);
	struct peer p;
	int status;
	pid_t pid;

	peer_connect(&p, broker);
	pid = fork();
	if (!pid) {
		int own = tpi_sys_pidfd_open(getpid(), 0);

		_exit(peer_hello_with(&p, own, image) == -EPERM ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	peer_close(&p);
}
END_TEST

/* A client in a PID namespace of its own: its pid there means nothing here. */
static int in_namespace(void)
{
	struct peer p;
	int err;

	peer_connect(&p, broker);
	err = peer_hello(&p);
	if (!err)
		err = peer_attach(&p, TAPIO_ROLE_PRODUCE, "events", NULL, 0, 0,
				  0);
	if (err)
		fprintf(stderr, "%d %s\n", err, p.refused.text);
	return err ? 1 : 0;
}

START_TEST(a_client_in_another_pid_namespace_is_known_by_its_pidfd)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		pid_t inner;

		if (unshare(CLONE_NEWPID))
			_exit(77);
		inner = fork();
		if (!inner)
			_exit(in_namespace());
		waitpid(inner, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		fprintf(stderr, "skipped: no right to a PID namespace\n");
	else
		ck_assert_int_eq(status, 0);
}
END_TEST

/* And the other way round: a broker that sees its clients as pid 0. */
static void serve_in_namespace(int out)
{
	struct tapio_broker *inner;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	inner = broker_start("channel events { class m { block = 64 blocks = "
			     "16 } }" CONTAINERS);
	if (write(out, tapio_broker_socket(inner),
		  strlen(tapio_broker_socket(inner)) + 1) < 0)
		_exit(1);
	for (;;)
		pause();
}

START_TEST(a_broker_that_sees_no_pids_still_sees_who_lives)
{
	char name[128] = "";
	int out[2], status;
	pid_t outer, client;
	struct peer watcher;
	uint32_t report;
	int fds[2];

	ck_assert_int_eq(pipe(out), 0);
	ck_assert_int_eq(pipe(fds), 0);
	outer = fork();
	if (!outer) {
		if (unshare(CLONE_NEWPID))
			_exit(77);
		if (!fork())
			serve_in_namespace(out[1]);
		for (;;)
			pause();
	}
	close(out[1]);
	if (read(out[0], name, sizeof(name)) <= 0) {
		waitpid(outer, &status, 0);
		fprintf(stderr, "skipped: no right to a PID namespace\n");
		close(out[0]);
		close(fds[0]);
		close(fds[1]);
		return;
	}
	peer_connect_to(&watcher, name);
	ck_assert_int_eq(peer_hello(&watcher), 0);
	client = fork();
	if (!client) {
		struct peer me;

		peer_connect_to(&me, name);
		if (peer_hello(&me) || peer_attach(&me, TAPIO_ROLE_PRODUCE,
						   "events", NULL, 0, 0, 0))
			_exit(1);
		report = me.attached.attachment;
		if (write(fds[1], &report, sizeof(report)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(fds[0], &report, sizeof(report)), sizeof(report));
	ck_assert_uint_eq(peer_record(&watcher, report)->pid, 0);
	usleep(1200000);
	ck_assert_uint_eq(peer_record(&watcher, report)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	ck_assert(wait_state(&watcher, report, TAPIO_ATTACHMENT_FREE));
	peer_close(&watcher);
	kill(outer, SIGKILL);
	waitpid(outer, NULL, 0);
	close(out[0]);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* ---- anything at all -------------------------------------------------------------------- */

START_TEST(random_messages_never_stop_the_broker)
{
	unsigned int seed = 99, answered = 0;
	union tpi_wire_message m;

	for (int round = 0; round < 400; round++) {
		struct peer p;
		int tries = 1 + rand_r(&seed) % 4, err;

		peer_connect(&p, broker);
		err = rand_r(&seed) % 2 ? peer_hello(&p) : 0;
		ck_assert_msg(!err, "an honest hello was refused: %d %s", err,
			      p.refused.text);
		while (tries--) {
			tpi_wire_init(
				&m,
				(enum tpi_wire_type)(
					1 + rand_r(&seed) % TPI_WIRE_REMOVED));
			for (int n = rand_r(&seed) % 6; n > 0; n--)
				m.bytes[rand_r(&seed) % 160] ^=
					(unsigned char)(1u
							<< rand_r(&seed) % 8);
			if (peer_send(&p, &m, 16 + (size_t)rand_r(&seed) % 300,
				      NULL, 0))
				break;
			answered += peer_receive(&p, &m) > 0;
			for (unsigned int i = 0; i < p.fd_count; i++)
				close(p.fds[i]);
			p.fd_count = 0;
		}
		p.fd_count = 0;
		peer_close(&p);
	}
	ck_assert_uint_gt(answered, 100);
}
END_TEST

static void add_tests(TCase *c)
{
	tcase_set_timeout(c, 30);
	tcase_add_test(c,
		       malformed_messages_are_refused_and_the_connection_ends);
	tcase_add_test(c, a_second_hello_is_a_protocol_error);
	tcase_add_test(c, detaching_what_is_not_ones_own_changes_nothing);
	tcase_add_test(c, who_does_not_read_is_closed_and_blocks_nobody);
	tcase_add_test(c, strangers_make_room_for_strangers);
	tcase_add_test(c, no_pidfd_is_fine_where_the_kernel_knows_who_it_is);
	tcase_add_test(
		c,
		a_connection_passed_on_to_a_child_does_not_make_the_child_a_client);
	tcase_add_test(c,
		       a_client_in_another_pid_namespace_is_known_by_its_pidfd);
	tcase_add_test(c, a_broker_that_sees_no_pids_still_sees_who_lives);
	tcase_add_test(c, random_messages_never_stop_the_broker);
}

int main(void)
{
	Suite *suite = suite_create("broker_hostile");
	TCase *c = tcase_create("hostile"), *old = tcase_create("old kernel");

	tcase_add_checked_fixture(c, set_up, tear_down);
	add_tests(c);
	tcase_add_test(
		c, a_descriptor_whose_close_waits_does_not_reach_the_broker);
	suite_add_tcase(suite, c);
	tcase_add_checked_fixture(old, set_up_on_old_kernel, tear_down);
	add_tests(old);
	tcase_add_test(old, a_flood_of_descriptors_is_closed);
	tcase_add_test(old, a_pidfd_of_somebody_else_is_refused);
	suite_add_tcase(suite, old);
	return check_run(suite);
}
