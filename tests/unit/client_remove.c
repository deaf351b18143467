/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a group that a client had asked for: by the call, at brokers that can,
 * cannot, will not, or are not there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/wire/fdpass.h"
#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;

static void set_up(void)
{
	rig_start(RIG_CONFIG);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

static struct tapio_consumer *durable(void)
{
	struct tapio_consumer_options options = {
		.group = "audit",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};

	return rig_open(&options);
}

static int remove_audit(void)
{
	return tapio_group_remove(&rig.options, "t", "audit");
}

START_TEST(a_group_that_nobody_is_in_goes_and_holds_nobody)
{
	struct tapio_consumer *c = durable();
	uint64_t refused = 0;
	int before;

	ck_assert_int_eq(remove_audit(), -EBUSY);
	ck_assert_ptr_nonnull(strstr(rig.error, "1 member"));
	tapio_consumer_close(c);
	/* It is still there, and what it has not read waits for it. */
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
	c = durable();
	ck_assert_uint_eq(c->now->client.granted.first, 0);
	ck_assert_uint_eq(group_stats(c).in_flight, 20);
	tapio_consumer_close(c);
	before = rig_open_fds();
	ck_assert_int_eq(remove_audit(), 0);
	/* On commit fddcec1: -ENOENT, as for a channel that is not there. */
	ck_assert_int_eq(remove_audit(), -ENXIO);
	ck_assert_ptr_nonnull(strstr(rig.error, "no group \"audit\""));
	rig_assert_fds(before);
	for (int i = 0; i < 1000; i++)
		refused += tapio_output(p, TAG, &i, sizeof(i)) != 0;
	ck_assert_uint_eq(refused, 0);
	c = durable();
	ck_assert_uint_eq(c->now->client.granted.first, 1);
	assert_ledger(c, 0, 0, 0);
	tapio_consumer_close(c);
}
END_TEST

START_TEST(what_is_asked_for_wrongly_is_refused)
{
	char name[TAPIO_NAME_BYTES + 1];
	struct tapio_options nowhere = {.size = sizeof(nowhere),
					.socket = "@tapio-test-nobody"};

	memset(name, 'n', sizeof(name));
	name[TAPIO_NAME_BYTES] = '\0';
	/* On commit fddcec1 no text says which of the two names it is. */
	ck_assert_int_eq(tapio_group_remove(&rig.options, "t", NULL), -EINVAL);
	ck_assert_str_eq(rig.error, "the name of the group is NULL");
	ck_assert_int_eq(tapio_group_remove(&rig.options, NULL, "g"), -EINVAL);
	ck_assert_str_eq(rig.error, "the name of the channel is NULL");
	ck_assert_int_eq(tapio_group_remove(&rig.options, "t", ""), -EINVAL);
	ck_assert_str_eq(rig.error, "the name of the group is empty");
	ck_assert_int_eq(tapio_group_remove(&rig.options, "", "g"), -EINVAL);
	ck_assert_str_eq(rig.error, "the name of the channel is empty");
	ck_assert_int_eq(tapio_group_remove(&rig.options, "t", name),
			 -ENAMETOOLONG);
	ck_assert_str_eq(rig.error,
			 "the name of the group is longer than 63 bytes");
	ck_assert_int_eq(tapio_group_remove(&rig.options, "x", "g"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(rig.error, "no channel \"x\""));
	ck_assert_int_eq(tapio_group_remove(&nowhere, "t", "g"), -ECONNREFUSED);
	nowhere.socket = "/nonexistent/tapio.sock";
	ck_assert_int_eq(tapio_group_remove(&nowhere, "t", "g"), -ECONNREFUSED);
}
END_TEST

/* ---- an older broker --------------------------------------------------------- */

struct relay {
	int listener;
	uint8_t minor;  /* that it says it speaks */
	ssize_t second; /* bytes of what came after the hello. 0: nothing */
};

/* Says hello for the client to the real broker, and passes its answer on. */
static void *relay_hello(void *arg)
{
	struct relay *relay = arg;
	union tpi_wire_message m;
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, rig.options.socket);
	int client = accept(relay->listener, NULL, NULL);
	int broker = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd;
	unsigned int fds = 1;
	ssize_t n;

	ck_assert_int_eq(
		connect(broker, (struct sockaddr *)&address, (socklen_t)length),
		0);
	n = tpi_recv_fds(client, &m, sizeof(m), &fd, &fds);
	ck_assert_int_gt((int)n, 0);
	/* Without the descriptor: a broker may refuse it. */
	m.header.fd_count = 0;
	ck_assert_int_eq((int)tpi_send_fds(broker, &m, (size_t)n, NULL, 0),
			 (int)n);
	if (fds)
		close(fd);
	fds = 1;
	n = tpi_recv_fds(broker, &m, sizeof(m), &fd, &fds);
	ck_assert_int_gt((int)n, 0);
	ck_assert_uint_eq(fds, 1);
	m.header.minor = relay->minor;
	ck_assert_int_eq((int)tpi_send_fds(client, &m, (size_t)n, &fd, fds),
			 (int)n);
	close(fd);
	relay->second = recv(client, &m, sizeof(m), 0);
	close(client);
	close(broker);
	return NULL;
}

/* One that would end the connection is not asked what it does not know. */
START_TEST(a_broker_that_is_too_old_is_not_asked)
{
	struct tapio_options options = rig.options;
	struct relay relay = {.minor = (uint8_t)_i};
	struct sockaddr_un address;
	pthread_t thread;
	char name[64];
	int length, err;

	snprintf(name, sizeof(name), "@tapio-test-remove-%d", getpid());
	options.socket = name;
	length = tpi_socket_address(&address, name);
	relay.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(relay.listener, (struct sockaddr *)&address,
			      (socklen_t)length),
			 0);
	ck_assert_int_eq(listen(relay.listener, 1), 0);
	pthread_create(&thread, NULL, relay_hello, &relay);
	err = tapio_group_remove(&options, "t", "audit");
	pthread_join(thread, NULL);
	close(relay.listener);
	if (_i < TPI_WIRE_MINOR_REMOVE) {
		ck_assert_int_eq(err, -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(rig.error, "protocol 1.0"));
		ck_assert_int_le((int)relay.second, 0);
	} else {
		ck_assert_int_eq((int)relay.second,
				 (int)sizeof(struct tpi_wire_remove));
		ck_assert_int_lt(err, 0); /* the relay leaves */
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_remove");
	TCase *t = tcase_create("remove");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_group_that_nobody_is_in_goes_and_holds_nobody);
	tcase_add_test(t, what_is_asked_for_wrongly_is_refused);
	tcase_add_loop_test(t, a_broker_that_is_too_old_is_not_asked, 0, 3);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
