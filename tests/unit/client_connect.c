/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing: brokers that are absent, late, mute or gone, names and
 * options that are wrong. Each with its error and a text that says what.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/memory/policy.h"
#include "lib/wire/fdpass.h"
#include "tests/unit/client_fixture.h"

static char socket_name[64];

static void name_socket(void)
{
	snprintf(socket_name, sizeof(socket_name), "@tapio-test-connect-%d",
		 getpid());
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = socket_name,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
	};
}

static int try_producer(const char *channel)
{
	struct tapio_producer *p = (void *)1;
	int err = tapio_producer_open(&p, channel, &rig.options);

	if (err)
		ck_assert_ptr_null(p);
	tapio_producer_close(p);
	return err;
}

static void assert_says(const char *text)
{
	ck_assert_msg(strstr(rig.error, text), "\"%s\" says nothing of \"%s\"",
		      rig.error, text);
}

START_TEST(without_a_broker_the_error_names_the_socket)
{
	int fds = rig_open_fds();

	name_socket();
	ck_assert_int_eq(try_producer("t"), -ECONNREFUSED);
	assert_says(socket_name);
	/* On commit fddcec1: -ENOENT, as for a channel that is not there. */
	rig.options.socket = "/nonexistent/tapio.sock";
	ck_assert_int_eq(try_producer("t"), -ECONNREFUSED);
	assert_says("/nonexistent/tapio.sock");
	rig_assert_fds(fds);
}
END_TEST

START_TEST(the_environment_says_where_the_broker_is)
{
	struct tapio_producer *p;
	int err;

	setenv("TAPIO_SOCKET", "/nonexistent/from-environment", 1);
	name_socket();
	rig.options.socket = NULL;
	ck_assert_int_eq(try_producer("t"), -ECONNREFUSED);
	assert_says("/nonexistent/from-environment");
	rig_start(RIG_CONFIG);
	setenv("TAPIO_SOCKET", tapio_broker_socket(rig.broker), 1);
	/* Without options it waits no longer than is usual, and a busy broker may need more. */
	do
		err = tapio_producer_open(&p, "t", NULL);
	while (err == -ETIMEDOUT);
	ck_assert_int_eq(err, 0);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(waiting_for_a_broker_ends_when_the_time_is_over)
{
	int64_t before = tpi_now_ns();

	name_socket();
	rig.options.connect_ns = 50000000;
	ck_assert_int_eq(try_producer("t"), -ECONNREFUSED);
	ck_assert_int_ge(tpi_now_ns() - before, 50000000);
}
END_TEST

static void *start_later(void *arg)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = RIG_CONFIG,
		.socket = socket_name,
	};

	nap_ms(100);
	ck_assert_int_eq(tapio_broker_start(arg, &options), 0);
	return NULL;
}

START_TEST(a_client_may_start_before_its_broker)
{
	struct tapio_broker *broker = NULL;
	struct tapio_producer *p;
	pthread_t thread;

	name_socket();
	rig.options.connect_ns = _i ? TAPIO_FOREVER : INT64_C(20000000000);
	ck_assert_int_eq(pthread_create(&thread, NULL, start_later, &broker),
			 0);
	ck_assert_int_eq(tapio_producer_open(&p, "t", &rig.options), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_str_eq(tapio_producer_error(p), "");
	tapio_producer_close(p);
	tapio_broker_stop(broker);
}
END_TEST

/* Somebody who listens and is no broker. */
static int listener(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, socket_name);
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(
		bind(sock, (struct sockaddr *)&address, (socklen_t)length), 0);
	ck_assert_int_eq(listen(sock, 8), 0);
	return sock;
}

static void *answer_rubbish(void *arg)
{
	int sock = accept(*(int *)arg, NULL, NULL);
	char buffer[512];

	ck_assert_int_gt((int)recv(sock, buffer, sizeof(buffer), 0), 0);
	ck_assert_int_eq((int)send(sock, "hello yourself", 14, 0), 14);
	close(sock);
	return NULL;
}

START_TEST(who_answers_rubbish_is_no_broker)
{
	pthread_t thread;
	int sock;

	name_socket();
	sock = listener();
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_rubbish, &sock),
			 0);
	ck_assert_int_eq(try_producer("t"), -EPROTO);
	pthread_join(thread, NULL);
	close(sock);
}
END_TEST

static void *hang_up_twice(void *arg)
{
	int i;

	for (i = 0; i < 2; i++)
		close(accept(*(int *)arg, NULL, NULL));
	close(*(int *)arg);
	return NULL;
}

START_TEST(a_broker_that_dies_while_it_is_asked_is_waited_for)
{
	pthread_t thread;
	int sock;

	name_socket();
	sock = listener();
	rig.options.connect_ns = 200000000;
	ck_assert_int_eq(pthread_create(&thread, NULL, hang_up_twice, &sock),
			 0);
	/* On commit fddcec1 also -ECONNRESET or -EPIPE, as it happens. */
	ck_assert_int_eq(try_producer("t"), -ECONNREFUSED);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(what_is_asked_for_wrongly_is_refused_with_the_reason)
{
	struct tapio_consumer_options options = {.size = sizeof(options)};
	struct tapio_consumer *c;
	char name[100];
	int fds;

	rig_start(RIG_CONFIG);
	fds = rig_open_fds();
	options.broker = rig.options;
	ck_assert_int_eq(try_producer("nosuch"), -ENOENT);
	assert_says("nosuch");
	/* A channel that is not there is an answer: the client does not
	 * wait. */
	rig.options.connect_ns = TAPIO_FOREVER;
	ck_assert_int_eq(try_producer("nosuch"), -ENOENT);
	rig.options.connect_ns = 0;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(try_producer(name), -ENAMETOOLONG);
	assert_says("name of the channel is longer than 63 bytes");
	ck_assert_int_eq(try_producer(""), -EINVAL);
	assert_says("name of the channel is empty");
	ck_assert_int_eq(try_producer("a b"), -EINVAL);
	assert_says("name of the channel has a byte");
	ck_assert_int_eq(try_producer(NULL), -EINVAL);
	assert_says("name of the channel is NULL");
	options.group = "";
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("name of the group is empty");
	options.group = NULL;

	options.policy = TAPIO_GROUP_LOSSLESS + 1;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("policy 4");
	options.policy = TAPIO_GROUP_LOSSY;
	options.lag = 3;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("lag 3");
	options.lag = 0;
	options.severity_min = 16;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("severity_min 16");
	options.severity_min = 0;
	options.type_count = 1;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("types is NULL");
	options.type_count = 0;
	options.broker.connect_ns = -2;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	assert_says("connect_ns is -2");
	ck_assert_ptr_null(c);
	rig_assert_fds(fds);
	rig_stop();
}
END_TEST

START_TEST(a_group_is_joined_on_its_own_terms)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.group = "g",
		.policy = TAPIO_GROUP_LOSSY,
	};
	struct tapio_consumer *a, *b;

	rig_start(RIG_CONFIG);
	options.broker = rig.options;
	a = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), -EBUSY);
	assert_says("\"g\"");
	options.policy = TAPIO_GROUP_DEFAULT;
	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
	rig_stop();
}
END_TEST

/* On commit fddcec1 the slot and the answer say 0, 1, 2 for 1, 2, 3. */
START_TEST(a_policy_is_one_number_from_the_options_to_the_slot)
{
	uint32_t policy;

	rig_start(RIG_CONFIG);
	for (policy = TAPIO_GROUP_LOSSY; policy <= TAPIO_GROUP_LOSSLESS;
	     policy++) {
		struct tapio_consumer *c = rig_consumer(NULL, policy);
		uint32_t slot = c->now->client.granted.group_slot;

		ck_assert_uint_eq(c->now->client.granted.policy, policy);
		/* ORDER group.slot (acquire): pairs with the broker's join. */
		ck_assert_uint_eq(TAPIO_SLOT_POLICY(tpi_load_acquire(
					  &c->now->client.groups[slot].slot)),
				  policy);
		ck_assert_uint_eq(tpi_policy_parse(tpi_policy_name(policy)),
				  policy);
		tapio_consumer_close(c);
	}
	ck_assert_str_eq(tpi_policy_name(TAPIO_GROUP_DEFAULT), "?");
	ck_assert_str_eq(tpi_policy_name(TAPIO_GROUP_LOSSLESS + 1), "?");
	ck_assert_uint_eq(tpi_policy_parse("strict"), TAPIO_GROUP_DEFAULT);
	rig_stop();
}
END_TEST

START_TEST(options_of_other_versions_are_understood_as_far_as_they_go)
{
	struct {
		struct tapio_options options;
		uint64_t later;
	} newer = {0};
	struct tapio_producer *p;

	rig_start(RIG_CONFIG);
	/* An older caller knows no more than the socket. */
	newer.options = rig.options;
	newer.options.size = offsetof(struct tapio_options, connect_ns);
	newer.options.connect_ns = -77;
	ck_assert_int_eq(tapio_producer_open(&p, "t", &newer.options), 0);
	tapio_producer_close(p);
	/* A newer one may say more, as long as it is nothing. */
	newer.options = rig.options;
	newer.options.size = sizeof(newer);
	ck_assert_int_eq(tapio_producer_open(&p, "t", &newer.options), 0);
	tapio_producer_close(p);
	newer.later = 1;
	ck_assert_int_eq(tapio_producer_open(&p, "t", &newer.options), -EINVAL);
	newer.options.size = 0;
	ck_assert_int_eq(tapio_producer_open(&p, "t", &newer.options), -EINVAL);
	rig_stop();
}
END_TEST

START_TEST(statistics_fill_what_the_caller_knows_and_no_more)
{
	struct {
		struct tapio_producer_stats stats;
		uint64_t later;
	} s;
	struct tapio_producer *p;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	memset(&s, 0xee, sizeof(s));
	s.stats.size = offsetof(struct tapio_producer_stats, dropped);
	ck_assert_int_eq(tapio_producer_stats_read(p, &s.stats), 0);
	ck_assert_uint_eq(s.stats.published, 1);
	ck_assert_uint_eq(s.stats.dropped, UINT64_C(0xeeeeeeeeeeeeeeee));
	s.stats.size = sizeof(s);
	ck_assert_int_eq(tapio_producer_stats_read(p, &s.stats), 0);
	ck_assert_uint_eq(s.stats.dropped, 0);
	ck_assert_uint_eq(s.later, 0);
	s.stats.size = 0;
	ck_assert_int_eq(tapio_producer_stats_read(p, &s.stats), -EINVAL);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(when_the_broker_has_gone_events_still_flow)
{
	struct tapio_producer *p;
	struct tapio_consumer *c;
	struct tapio_observer *o;
	struct tapio_view v;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	o = rig_observer(TAPIO_START_NEWEST);
	ck_assert_int_eq(tapio_consumer_connected(c), 1);
	ck_assert_int_eq(tapio_observer_connected(o), 1);
	rig_stop();
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	ck_assert_int_eq(tapio_observer_connected(o), 0);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000000), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_int_eq(tapio_observe(o, &v, 1, 1000000000), 1);
	assert_ledger(c, 1, 0, 0);
	tapio_observer_close(o);
	tapio_consumer_close(c);
	tapio_producer_close(p);
}
END_TEST

START_TEST(opening_and_closing_leaves_nothing_open)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	int i, fds = 0;

	rig_start(RIG_CONFIG);
	for (i = 0; i < 100; i++) {
		p = rig_producer();
		c = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
		if (i % 10 == 0)
			ck_assert_int_ge(tapio_fd(c), 0);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		ck_assert_uint_eq(drain(c), 1);
		tapio_observer_close(rig_observer(TAPIO_START_OLDEST));
		tapio_consumer_close(c);
		tapio_producer_close(p);
		if (i == 0)
			fds = rig_open_fds();
	}
	rig_assert_fds(fds);
	tapio_producer_close(NULL);
	tapio_consumer_close(NULL);
	tapio_observer_close(NULL);
	rig_stop();
}
END_TEST

START_TEST(time_stamps_are_clock_time_or_nothing)
{
	static const char *const policies[] = {"none", "clock", "tsc"};
	struct tapio_producer *p;
	struct tapio_consumer *c;
	struct timespec before, after;
	struct tapio_view v;
	uint64_t ns, slack;
	char config[300];

	snprintf(config, sizeof(config),
		 "channel t { stamp = \"%s\"\n" RIG_CLASS "}\n", policies[_i]);
	rig_start(config);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	clock_gettime(CLOCK_REALTIME, &before);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ns = tapio_consumer_time_ns(c, v.time);
	if (_i == 0) {
		ck_assert_uint_eq(v.time, 0);
		ck_assert_uint_eq(ns, 0);
	} else {
		/* The calibration of a broker that has just started is young. */
		slack = _i == 2 ? 1000000 : 0;
		ck_assert_uint_ge(ns + slack,
				  (uint64_t)before.tv_sec * 1000000000 +
					  (uint64_t)before.tv_nsec);
		ck_assert_uint_le(ns, (uint64_t)after.tv_sec * 1000000000 +
					      (uint64_t)after.tv_nsec + slack);
	}
	ck_assert_uint_eq(tapio_consumer_time_ns(c, 0), 0);
	tapio_release(c);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

static int start_simulated(uint32_t cpus, uint32_t nodes)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = RIG_CONFIG,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.simulate_cpus = cpus,
		.simulate_nodes = nodes,
	};
	int err = tapio_broker_start(&rig.broker, &options);

	rig.options = (struct tapio_options){.size = sizeof(rig.options)};
	if (!err)
		rig.options.socket = tapio_broker_socket(rig.broker);
	return err;
}

START_TEST(a_simulated_machine_has_lanes_for_each_of_its_cpus)
{
	static const struct {
		uint32_t cpus, nodes;
	} machines[] = {{512, 8}, {64, 0}, {1, 1}};
	const uint32_t cpus = machines[_i].cpus;
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};
	struct tapio_producer *p;
	struct tapio_consumer *c;
	struct tapio_view v;

	ck_assert_int_eq(start_simulated(cpus, machines[_i].nodes), 0);
	/* On a CPU that it has no lane for, if there is one. */
	pin(cpu_count() - 1);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_consumer_stats_read(c, &stats), 0);
	ck_assert_uint_eq(stats.lane_count, cpus + 8);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	tapio_release(c);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_machine_that_cannot_be_is_refused_with_its_size)
{
	ck_assert_int_eq(start_simulated(100000, 1), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig.error, "100000 CPUs"));
	ck_assert_int_eq(start_simulated(2, 4), -EINVAL);
	ck_assert_ptr_null(rig.broker);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client connect");
	TCase *t = tcase_create("connect");

	tcase_add_test(t, without_a_broker_the_error_names_the_socket);
	tcase_add_test(t, the_environment_says_where_the_broker_is);
	tcase_add_test(t, waiting_for_a_broker_ends_when_the_time_is_over);
	tcase_add_loop_test(t, a_client_may_start_before_its_broker, 0, 2);
	tcase_add_test(t, who_answers_rubbish_is_no_broker);
	tcase_add_test(t, a_broker_that_dies_while_it_is_asked_is_waited_for);
	tcase_add_test(t, what_is_asked_for_wrongly_is_refused_with_the_reason);
	tcase_add_test(t, a_group_is_joined_on_its_own_terms);
	tcase_add_test(t, a_policy_is_one_number_from_the_options_to_the_slot);
	tcase_add_test(
		t, options_of_other_versions_are_understood_as_far_as_they_go);
	tcase_add_test(t, statistics_fill_what_the_caller_knows_and_no_more);
	tcase_add_test(t, when_the_broker_has_gone_events_still_flow);
	tcase_add_test(t, opening_and_closing_leaves_nothing_open);
	tcase_add_loop_test(t, time_stamps_are_clock_time_or_nothing, 0, 3);
	tcase_add_loop_test(
		t, a_simulated_machine_has_lanes_for_each_of_its_cpus, 0, 3);
	tcase_add_test(t, a_machine_that_cannot_be_is_refused_with_its_size);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
