/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that wait, because others have not read their answers (broker/session/unread.c),
 * in a broker that may have one such answer in flight.
 */
#include <check.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/wire/fdpass.h"
#include "tests/check_main.h"
#include "tests/fault/peer.h"

#define CONFIG "channel events { class main { block = 256 blocks = 64 } }\n"
/* An answer to a producer has 66 descriptors, and 7/8 of it may be in flight. */
#define DESCRIPTORS 100
#define WAITING     20

static uint32_t is_limited;     /* the broker has a small limit */
static struct peer *reads_late; /* in the next tick, or NULL */
/* Ticks with WAITING connections that wait, and how often one was heard before them. */
static uint32_t ticks, heard;

int __real_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit);
void __real_tpi_sessions_tick(struct tpi_broker *broker);
void __wrap_tpi_sessions_tick(struct tpi_broker *broker);
int __real_tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch,
			   int fd);
int __wrap_tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch,
			   int fd);

int __wrap_tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch,
			   int fd)
{
	if (watch->ready == tpi_session_message)
		tpi_add_relaxed(&heard, 1);
	return __real_tpi_watch_start(loop, watch, fd);
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
	int err = __real_getrlimit(resource, limit);

	if (resource == RLIMIT_NOFILE && tpi_load_relaxed(&is_limited))
		limit->rlim_cur = DESCRIPTORS;
	return err;
}

static void read_answer(struct peer *peer)
{
	int fds[TPI_WIRE_WELCOME_FDS_MAX];
	unsigned int count = TPI_WIRE_WELCOME_FDS_MAX;
	union tpi_wire_message m;

	ck_assert_int_gt(tpi_recv_fds(peer->sock, &m, sizeof(m), fds, &count),
			 0);
	ck_assert_uint_eq(m.header.type, TPI_WIRE_WELCOME);
	while (count)
		close(fds[--count]);
}

static uint32_t count_waiting(const struct tpi_broker *broker)
{
	const struct tpi_session *session;
	uint32_t count = 0;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		count += session->waits;
	return count;
}

/* From the first tick on at which all of them wait. */
static void count_tick(const struct tpi_broker *broker)
{
	if (count_waiting(broker) != WAITING)
		return;
	if (!tpi_load_relaxed(&ticks))
		tpi_store_relaxed(&heard, 0);
	tpi_store_release(&ticks, ticks + 1);
}

/* 5 s are over, an answer is read, and look and tick are due at once. */
static void let_it_be_late(struct tpi_broker *broker, struct peer *peer)
{
	struct tpi_timer *look = &broker->server.unread_look;
	struct tpi_session *session;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		session->deadline_ns = 1;
	read_answer(peer);
	tpi_timer_stop(broker->loop, look);
	look->fire(look);
}

/* On the broker's thread. */
void __wrap_tpi_sessions_tick(struct tpi_broker *broker)
{
	/* Acquire: all that the test has written before. */
	struct peer *peer = tpi_load_acquire(&reads_late);

	count_tick(broker);
	if (peer && count_waiting(broker)) {
		let_it_be_late(broker, peer);
		tpi_store_relaxed(&reads_late, NULL);
	}
	__real_tpi_sessions_tick(broker);
}

/* HELLO with an ATTACH in it. */
static void ask(struct peer *peer)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.hello.abi_major = TAPIO_ABI_MAJOR;
	m.hello.abi_minor = TAPIO_ABI_MINOR;
	m.hello.attach.role = TAPIO_ROLE_PRODUCE;
	strcpy(m.hello.attach.channel, "events");
	ck_assert_int_eq(peer_send(peer, &m, m.header.length, NULL, 0), 0);
}

static void wait_for_answer(const struct peer *peer)
{
	struct pollfd answer = {.fd = peer->sock, .events = POLLIN};

	ck_assert_int_eq(poll(&answer, 1, 60000), 1);
}

/* Fails on commit 1ab11d0: the broker says that no HELLO has come. */
START_TEST(a_hello_that_waited_is_not_taken_for_silence)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	struct peer unread, waits;

	tpi_store_relaxed(&is_limited, 1);
	peer_connect(&unread, broker);
	ask(&unread);
	wait_for_answer(&unread);
	peer_connect(&waits, broker);
	ask(&waits);
	/* Release: for the broker's thread. */
	tpi_store_release(&reads_late, &unread);
	wait_for_answer(&waits);
	read_answer(&waits);
	close(unread.sock);
	close(waits.sock);
	tapio_broker_stop(broker);
}
END_TEST

/* One has its answer after the other, in any order. */
static void read_all(struct peer *waits)
{
	struct pollfd answers[WAITING];

	for (int i = 0; i < WAITING; i++)
		answers[i] =
			(struct pollfd){.fd = waits[i].sock, .events = POLLIN};
	for (int left = WAITING; left;) {
		ck_assert_int_gt(poll(answers, WAITING, 60000), 0);
		for (int i = 0; i < WAITING; i++) {
			if (!answers[i].revents)
				continue;
			read_answer(&waits[i]);
			close(waits[i].sock);
			answers[i].fd = -1;
			left--;
		}
	}
}

/*
 * Fails on commit 1ab11d0: every 2 ms each of them is heard, and looks at all others. So one
 * user with some hundred connections kept the broker busy all the time.
 */
START_TEST(those_that_wait_are_heard_when_there_is_room_and_no_sooner)
{
	struct tapio_broker *broker = broker_start(CONFIG);
	struct peer unread, waits[WAITING];

	tpi_store_relaxed(&is_limited, 1);
	peer_connect(&unread, broker);
	ask(&unread);
	wait_for_answer(&unread);
	for (int i = 0; i < WAITING; i++) {
		peer_connect(&waits[i], broker);
		ask(&waits[i]);
	}
	/* Acquire: the count of the tick. */
	while (tpi_load_acquire(&ticks) < 2)
		poll(NULL, 0, 1);
	ck_assert_uint_eq(tpi_load_relaxed(&heard), 0);
	read_answer(&unread);
	read_all(waits);
	close(unread.sock);
	tapio_broker_stop(broker);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("unread");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, a_hello_that_waited_is_not_taken_for_silence);
	tcase_add_test(
		c, those_that_wait_are_heard_when_there_is_room_and_no_sooner);
	return check_run_case("unread", c);
}
