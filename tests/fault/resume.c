/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles come back by themselves (client/connection/revive.c): their connections are cut,
 * the memory and the attachments go on. No event is lost or doubled, no descriptor is
 * left, and no call waits for longer than it says. Each wait of a test ends with what it
 * waits for, or with the time-out of the test.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/wire/fdpass.h"
#include "tests/fault/cut_broker.h"
#include "tests/unit/client_fixture.h"

/* Like RIG_CONFIG, and a second channel on which producers wait for room. */
#define CONFIG                                                               \
	RIG_CONFIG                                                           \
	"channel w { stamp = \"none\"\n full = wait wait = 600s\n" RIG_CLASS \
	"}\n"

static char name[64];
static struct tapio_producer *p;
static struct tapio_consumer *c;

static void set_up(void)
{
	snprintf(name, sizeof(name), "@tapio-test-resume-%d", getpid());
	cut_broker_start(CONFIG, name);
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = name,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

/* All that are still there have come back, and leave nothing behind. */
static void tear_down(void)
{
	tapio_producer_close(p);
	tapio_consumer_close(c);
	ck_assert_uint_eq(cut_attached(), 0);
	ck_assert_uint_eq(cut_lingering(), 0);
	cut_broker_stop();
}

static bool is_back(const struct tpi_client *client, uint32_t connections)
{
	return tpi_load_acquire(&client->link.state) == TPI_LINK_UP &&
	       tpi_load_relaxed(&client->link.serial) == connections;
}

static bool is_lost(const struct tpi_client *client)
{
	return tpi_load_acquire(&client->link.state) == TPI_LINK_LOST;
}

static void until_connected(void)
{
	while (!tapio_producer_connected(p) || !tapio_consumer_connected(c))
		sched_yield();
}

/* Nothing that it waits for hangs on what the test does meanwhile. */
static void poll_until_back(uint32_t connections)
{
	struct tapio_view v;

	while (!is_back(&c->now->client, connections))
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000), 0);
}

/* ---- calls that ask -------------------------------------------------------------------- */

START_TEST(connected_is_one_again_after_a_restart)
{
	struct tapio_observer *o = rig_observer(TAPIO_START_NEWEST);

	for (int i = 0; i < 3; i++) {
		cut(_i);
		ck_assert_uint_eq(cut_lingering(), 3);
		until_connected();
		while (!tapio_observer_connected(o))
			sched_yield();
		ck_assert_uint_eq(cut_lingering(), 0);
		ck_assert_str_eq(tapio_producer_error(p), "");
	}
	ck_assert_uint_eq(cut_attached(), 3);
	tapio_observer_close(o);
}
END_TEST

START_TEST(close_says_so_to_the_broker_that_is_there_now)
{
	cut(_i);
	tapio_producer_close(p);
	ck_assert_uint_eq(cut_attached(), 1);
	tapio_consumer_close(c);
	ck_assert_uint_eq(cut_attached(), 0);
	p = NULL;
	c = NULL;
}
END_TEST

/* Which of them has to be asked for is said by the epoch. */
static void forget_slot(uint32_t slot)
{
	tpi_store_relaxed(&p->now->emit.gating.epochs[slot], 0);
	tpi_store_relaxed(&p->now->slots.heeded, ~UINT64_C(0));
}

static uint64_t emit_until_heard(uint32_t slot)
{
	const uint32_t *epoch = &p->now->emit.gating.epochs[slot];
	uint64_t accepted = 0;

	while (!tpi_load_relaxed(epoch)) {
		accepted += !tapio_output(p, TAG, "x", 1);
		drain(c);
	}
	return accepted;
}

START_TEST(memory_is_fetched_by_a_new_connection)
{
	uint32_t slot = c->now->client.granted.group_slot;
	uint64_t accepted = 0;

	pin(0);
	for (int i = 0; i < 20; i++) {
		cut(i % 2);
		forget_slot(slot);
		accepted += emit_until_heard(slot);
		ck_assert(p->now->client.link.serial);
	}
	assert_ledger(c, accepted, 0, 0);
}
END_TEST

static volatile sig_atomic_t handled;
static uint64_t emitted;

static void emit_in_handler(int signal)
{
	(void)signal;
	if (!tapio_output(p, TAG | TAPIO_NO_WAIT, "x", 1))
		tpi_add_relaxed(&emitted, 1);
	handled = 1;
}

/* No thread of the program emits: it is the handler that connects. */
START_TEST(a_signal_handler_comes_back)
{
	uint32_t slot = c->now->client.granted.group_slot;

	pin(0);
	emitted = 0;
	signal(SIGUSR1, emit_in_handler);
	for (uint32_t i = 1; i <= 20; i++) {
		cut(i % 2);
		forget_slot(slot);
		while (!tpi_load_relaxed(&p->now->emit.gating.epochs[slot])) {
			raise(SIGUSR1);
			drain(c);
		}
		ck_assert(is_back(&p->now->client, i));
	}
	ck_assert(handled);
	assert_ledger(c, tpi_load_relaxed(&emitted), 0, 0);
}
END_TEST

/* ---- by themselves ---------------------------------------------------------------------- */

START_TEST(an_idle_consumer_comes_back_without_being_asked)
{
	for (uint32_t i = 1; i <= 3; i++) {
		cut(true);
		poll_until_back(i);
		ck_assert_uint_eq(cut_lingering(), 1);
	}
}
END_TEST

/* Its thread waits for a descriptor, and is in no call of ours. */
START_TEST(a_consumer_behind_its_descriptor_comes_back)
{
	struct pollfd ready = {.fd = tapio_fd(c), .events = POLLIN};
	struct tapio_view v;

	ck_assert_int_ge(ready.fd, 0);
	ck_assert_int_eq(tapio_poll(c, &v, 1, 0), 0);
	cut(true);
	while (!is_back(&c->now->client, 1))
		poll(&ready, 1, 1);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	while (!drain(c))
		poll(&ready, 1, 1000);
}
END_TEST

START_TEST(an_observer_comes_back_without_being_asked)
{
	struct tapio_observer *o = rig_observer(TAPIO_START_NEWEST);
	struct tapio_view v;

	cut(true);
	ck_assert_uint_eq(cut_lingering(), 3);
	while (cut_lingering() == 3)
		ck_assert_int_eq(tapio_observe(o, &v, 1, 1000000), 0);
	ck_assert_uint_eq(cut_lingering(), 2);
	tapio_observer_close(o);
}
END_TEST

static struct tapio_producer *waiter;

static void *wait_for_room(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(tapio_output(waiter, TAG, "x", 1), 0);
	return NULL;
}

START_TEST(a_producer_that_waits_for_room_comes_back)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "w",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *reader;
	pthread_t thread;
	uint64_t n = 0;

	pin(0);
	ck_assert_int_eq(tapio_producer_open(&waiter, "w", &rig.options), 0);
	ck_assert_int_eq(tapio_consumer_open(&reader, "w", &options), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_room, NULL), 0);
	cut(true);
	while (!is_back(&waiter->now->client, 1))
		sched_yield();
	while (n < 100)
		n += drain(reader);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(n, 100);
	tapio_producer_close(waiter);
	tapio_consumer_close(reader);
}
END_TEST

/* ---- under load --------------------------------------------------------------------------- */

#define CUTS    200
#define THREADS 3

static uint32_t stop;

static void *emit_and_ask(void *unused)
{
	(void)unused;
	while (!tpi_load_relaxed(&stop)) {
		if (!tapio_output(p, TAG, "x", 1))
			tpi_add_relaxed(&emitted, 1);
		else
			sched_yield();
		tpi_store_relaxed(&p->now->slots.heeded, ~UINT64_C(0));
	}
	return NULL;
}

static void *cut_often(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < CUTS; i++) {
		cut(true);
		while (tpi_load_relaxed(&c->now->client.link.serial) <= i)
			sched_yield();
	}
	tpi_store_relaxed(&stop, 1);
	return NULL;
}

START_TEST(nothing_is_lost_or_doubled_over_many_restarts)
{
	pthread_t threads[THREADS], cutter;
	struct tapio_view views[64];
	uint64_t read = 0;
	int n;

	emitted = stop = 0;
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, emit_and_ask, NULL),
			0);
	ck_assert_int_eq(pthread_create(&cutter, NULL, cut_often, NULL), 0);
	while (!tpi_load_relaxed(&stop)) {
		n = tapio_poll(c, views, 64, 1000000);
		ck_assert_int_ge(n, 0);
		read += (unsigned int)n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(cutter, NULL);
	read += drain(c);
	ck_assert_uint_eq(read, tpi_load_relaxed(&emitted));
	assert_ledger(c, read, 0, 0);
	until_connected();
	ck_assert_uint_ge(p->now->client.link.serial, 1);
	assert_nothing_held(p);
}
END_TEST

/* At each one the broker reads the maps, and of those TSan makes many. */
#ifdef __SANITIZE_THREAD__
#define RESTARTS 100
#else
#define RESTARTS 1000
#endif

START_TEST(no_descriptor_is_left_by_a_thousand_restarts)
{
	int before;

	until_connected();
	before = rig_open_fds();
	for (uint32_t i = 1; i <= RESTARTS; i++) {
		cut(i % 2);
		until_connected();
		ck_assert(is_back(&p->now->client, i));
		ck_assert(is_back(&c->now->client, i));
	}
	rig_assert_fds(before);
}
END_TEST

/* ---- fork ----------------------------------------------------------------------------------- */

static int child(void)
{
	if (tapio_producer_connected(p) || tapio_consumer_connected(c))
		return 1;
	if (tapio_output(p, TAG, "x", 1) != -ECHILD)
		return 2;
	if (fcntl(p->now->client.handle.sock.number, F_GETFD) >= 0 ||
	    fcntl(p->now->client.handle.coming.number, F_GETFD) >= 0)
		return 3;
	tapio_producer_close(p);
	tapio_consumer_close(c);
	return 0;
}

/* The broker does not answer, so the child is made in the middle of it. */
static void listen_mutely(int *sock)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, name);

	*sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* The loop's last question to the broker's socket may not be over yet. */
	while (bind(*sock, (struct sockaddr *)&address, (socklen_t)length)) {
		ck_assert_int_eq(errno, EADDRINUSE);
		sched_yield();
	}
	ck_assert_int_eq(listen(*sock, 8), 0);
}

START_TEST(a_child_has_no_part_in_it)
{
	int sock;
	pid_t pid;

	cut_broker_hide();
	listen_mutely(&sock);
	cut(true);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_uint_eq(p->now->client.link.state, TPI_LINK_HELLO);
	pid = fork();
	if (!pid)
		_exit(child());
	ck_assert(child_ok(pid));
	close(sock);
	cut_broker_show();
	until_connected();
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(drain(c), 1);
}
END_TEST

/* ---- other brokers ---------------------------------------------------------------------------- */

/* It is waited for within bounds, and the one that answers is found. */
START_TEST(a_broker_that_does_not_answer_stops_no_call)
{
	struct tapio_view v;
	int sock;

	cut_broker_hide();
	listen_mutely(&sock);
	cut(true);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_ptr_nonnull(strstr(tapio_producer_error(p), "by itself"));
	ck_assert_int_eq(tapio_producer_broker(p), TAPIO_LINK_RESTARTING);
	ck_assert_int_eq(tapio_consumer_broker(c), TAPIO_LINK_RESTARTING);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000), 0);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		ck_assert_uint_eq(drain(c), 1);
	}
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	close(sock);
	cut_broker_show();
	until_connected();
	ck_assert_str_eq(tapio_producer_error(p), "");
	assert_ledger(c, 20, 0, 0);
}
END_TEST

/* It gives up at the time that was given for an answer, and begins again. */
START_TEST(an_answer_that_never_comes_is_given_up)
{
	struct tapio_producer *mine;
	int sock;

	ck_assert_int_eq(tapio_producer_open(&mine, "t", &rig.options), 0);
	mine->now->client.link.answer_ns = 1000000;
	cut_broker_hide();
	listen_mutely(&sock);
	cut(false);
	do
		ck_assert_int_eq(tapio_producer_connected(mine), 0);
	while (mine->now->client.link.state != TPI_LINK_DOWN);
	ck_assert_int_eq(mine->now->client.handle.coming.number, -1);
	/* close() waits for a second, and then goes on. */
	tapio_producer_close(mine);
	close(sock);
	cut_broker_show();
	until_connected();
}
END_TEST

START_TEST(without_a_broker_all_goes_on)
{
	struct tapio_view v;

	cut_broker_hide();
	cut(true);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(tapio_producer_connected(p), 0);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		ck_assert_uint_eq(drain(c), 1);
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000), 0);
	}
	cut_broker_show();
	/* It tries again, a tenth of a second later. */
	poll_until_back(1);
	until_connected();
	assert_ledger(c, 50, 0, 0);
}
END_TEST

static struct tapio_broker *start_other(const char *config)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.socket = name,
	};
	struct tapio_broker *other;

	cut_broker_hide();
	while (tapio_broker_start(&other, &options))
		sched_yield(); /* as in listen_mutely() */
	return other;
}

/* As a call that finds nothing looks. It does not move. */
static void go_elsewhere(void)
{
	while (!tpi_client_elsewhere(&c->now->client)) {
		tpi_client_look(&c->now->client);
		sched_yield();
	}
}

/* Until it moves, it works on with what it has, and it is not lost. */
START_TEST(a_broker_with_other_memory_is_elsewhere)
{
	struct tapio_broker *other = start_other(CONFIG);

	cut(true);
	go_elsewhere();
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	ck_assert_ptr_nonnull(strstr(tapio_consumer_error(c), "other memory"));
	ck_assert_ptr_nonnull(strstr(tapio_consumer_error(c), name));
	ck_assert_int_eq(c->now->client.handle.coming.number, -1);
	tapio_broker_stop(other);
}
END_TEST

/* With the turn, as a role whose attempt has failed. */
static void stays(struct tpi_client *client, const char *words, int err)
{
	struct tpi_turn turn;

	ck_assert(tpi_client_enter(client, &turn));
	ck_assert(tpi_client_may_move(client));
	tpi_client_stays(client, words, err);
	ck_assert(!tpi_client_may_move(client));
	tpi_client_leave(client, &turn);
}

START_TEST(a_move_that_fails_is_tried_again)
{
	struct tapio_broker *other = start_other(CONFIG);

	cut(true);
	go_elsewhere();
	stays(&c->now->client, "no such channel", -ENOENT);
	ck_assert(tpi_client_elsewhere(&c->now->client));
	ck_assert_ptr_nonnull(
		strstr(tapio_consumer_error(c), ": no such channel"));
	c->now->client.link.again_ns = 0;
	stays(&c->now->client, "", -EMFILE);
	ck_assert_ptr_nonnull(strstr(tapio_consumer_error(c), "errno 24"));
	c->now->client.link.again_ns = 0;
	/* It has ended meanwhile: its memory may be anyone's next. */
	stays(&c->now->client, "", -ECONNREFUSED);
	ck_assert_uint_eq(c->now->client.link.state, TPI_LINK_DOWN);
	go_elsewhere();
	tapio_broker_stop(other);
}
END_TEST

/* The first one is there again: a handle that has not moved is its own. */
START_TEST(the_first_broker_is_found_again)
{
	struct tapio_broker *other = start_other(CONFIG);

	cut(true);
	go_elsewhere();
	tapio_broker_stop(other);
	stays(&c->now->client, "", -ECONNREFUSED);
	cut_broker_show();
	poll_until_back(1);
}
END_TEST

/* One that is opened anew is as the first one, and has no words of its own. */
START_TEST(a_role_opens_anew_from_what_it_asked_for)
{
	struct tapio_broker *other = start_other(CONFIG);
	const struct tpi_request request = {.role = TAPIO_ROLE_PRODUCE,
					    .channel = "t"};
	const struct tpi_request missing = {.role = TAPIO_ROLE_PRODUCE,
					    .channel = "none"};
	struct tpi_producer *mine = tpi_handle_new(
		sizeof(*mine), offsetof(struct tpi_producer, client.handle));
	struct tpi_client *anew = &mine->client;

	cut(true);
	go_elsewhere();
	anew->mute = true;
	ck_assert_int_eq(tpi_client_open_again(anew, &missing, &c->now->client),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(anew->error, "none"));
	ck_assert_int_eq(anew->handle.sock.number, -1);
	ck_assert_int_eq(tpi_client_open_again(anew, &request, &c->now->client),
			 0);
	ck_assert_uint_eq(anew->link.state, TPI_LINK_UP);
	ck_assert_str_eq(anew->link.name.text, c->now->client.link.name.text);
	ck_assert_int_eq(anew->link.answer_ns, c->now->client.link.answer_ns);
	ck_assert(!tpi_client_called(anew));
	ck_assert_int_ne(memcmp(anew->catalog.instance,
				c->now->client.catalog.instance, 16),
			 0);
	tpi_client_close(anew);
	/* Of another uid than the one before, it is none. */
	c->now->client.link.broker_uid++;
	ck_assert_int_eq(tpi_client_open_again(anew, &request, &c->now->client),
			 -EPERM);
	c->now->client.link.broker_uid--;
	tpi_handle_free(&anew->handle);
	tapio_broker_stop(other);
}
END_TEST

static void end_of_producer(struct tpi_broker *broker, void *id)
{
	uint32_t index = TAPIO_ATTACHMENT_INDEX(*(uint32_t *)id);

	ck_assert_uint_eq(tpi_attachment_end(
				  broker, &broker->registry.attachments[index]),
			  0);
}

START_TEST(an_attachment_that_has_ended_is_not_asked_for_again)
{
	uint32_t id = p->now->client.granted.attachment;

	cut_broker_hide();
	cut(true);
	cut_broker_do(end_of_producer, &id);
	cut_broker_show();
	while (!is_lost(&p->now->client))
		ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_ptr_nonnull(
		strstr(tapio_producer_error(p), "open a new handle"));
	ck_assert_int_eq(tapio_producer_connected(p), 0);
}
END_TEST

/* Of an abstract name anyone can be the next listener. */
START_TEST(another_uid_is_no_broker_of_ours)
{
	int sock;

	if (geteuid()) {
		fprintf(stderr, "skipped: becoming another uid needs root\n");
		return;
	}
	cut_broker_hide();
	ck_assert_int_eq(seteuid(65533), 0);
	listen_mutely(&sock);
	ck_assert_int_eq(seteuid(0), 0);
	cut(true);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_uint_eq(p->now->client.link.state, TPI_LINK_DOWN);
	ck_assert_int_eq(p->now->client.handle.coming.number, -1);
	close(sock);
	cut_broker_show();
	until_connected();
}
END_TEST

/* A broker that stops has said goodbye, and the next one is looked for. */
START_TEST(the_successor_of_a_broker_that_has_stopped_is_found)
{
	struct tapio_broker *other = start_other(CONFIG);
	struct tapio_view v;

	tapio_consumer_close(c);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	tapio_broker_stop(other);
	/* Within 100 ms of each call, and no call waits for it. */
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	while (c->now->client.link.state != TPI_LINK_DOWN)
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000), 0);
	ck_assert_uint_eq(c->now->client.link.serial, 0);
	cut_broker_show();
	go_elsewhere();
}
END_TEST

/*
 * The program closes it. The broker's thread may get the number next, and the library then
 * looks at a file of it: ThreadSanitizer, to which a descriptor is memory, calls that a
 * race. There the program keeps the number.
 */
static void give_up_number(int number)
{
#ifdef __SANITIZE_THREAD__
	ck_assert_int_eq(dup2(STDIN_FILENO, number), number);
#else
	close(number);
#endif
}

/* Closing it was the program's wish. */
START_TEST(a_connection_that_the_program_has_closed_stays_closed)
{
	give_up_number(p->now->client.handle.sock.number);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_ptr_nonnull(
		strstr(tapio_producer_error(p), "this program has closed"));
	cut(true);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(drain(c), 1);
}
END_TEST

/* ---- what the broker hears ------------------------------------------------------------------- */

static void mend(struct tpi_broker *broker, void *slot)
{
	struct tpi_host *host = &broker->registry.hosts[0];

	tpi_group_mend(broker, host, &host->groups[*(uint32_t *)slot]);
}

/* As one that has just taken over, and knows of nothing that clients map. */
static void forget_heard(struct tpi_broker *broker, void *slot)
{
	struct tpi_attachment *a;

	TAILQ_FOREACH (a, &broker->registry.living, living)
		if (a->role == TAPIO_ROLE_PRODUCE)
			memset(a->heard, 0xff, sizeof(a->heard));
	tpi_group_heard(broker, &broker->registry.hosts[0], *(uint32_t *)slot);
}

START_TEST(the_broker_hears_which_memory_a_producer_maps)
{
	uint32_t slot = c->now->client.granted.group_slot;
	const uint32_t *flags = &p->now->client.groups[slot].flags;

	/* Its members are on their own from now on. */
	pin(0);
	cut_broker_do(mend, &slot);
	ck_assert(tpi_load_relaxed(flags) & TAPIO_GROUP_FLAG_UNHEARD);
	tpi_store_relaxed(&p->now->slots.heeded, ~UINT64_C(0));
	while (p->now->emit.gating.epochs[slot] != 2)
		tapio_output(p, TAG, "x", 1);
	while (tpi_load_relaxed(flags) & TAPIO_GROUP_FLAG_UNHEARD)
		sched_yield();
	cut(false);
	cut_broker_do(forget_heard, &slot);
	ck_assert(tpi_load_relaxed(flags) & TAPIO_GROUP_FLAG_UNHEARD);
	while (!tapio_producer_connected(p))
		sched_yield();
	ck_assert(!(tpi_load_relaxed(flags) & TAPIO_GROUP_FLAG_UNHEARD));
	/* One that maps nothing there says so. */
	cut(false);
	cut_broker_do(forget_heard, &slot);
	tpi_store_relaxed(&p->now->emit.gating.epochs[slot], 0);
	while (!tapio_producer_connected(p))
		sched_yield();
	ck_assert(tpi_load_relaxed(flags) & TAPIO_GROUP_FLAG_UNHEARD);
}
END_TEST

/* Those that are lost, or never had a connection again, are not in the broker's books. */
static void tear_down_lost(void)
{
	tapio_producer_close(p);
	tapio_consumer_close(c);
	cut_broker_stop();
}

int main(void)
{
	Suite *suite = suite_create("resume");
	TCase *back = tcase_create("back"), *lost = tcase_create("lost");

	tcase_set_timeout(back, 250);
	tcase_set_timeout(lost, 250);
	tcase_add_checked_fixture(back, set_up, tear_down);
	tcase_add_checked_fixture(lost, set_up, tear_down_lost);
	tcase_add_loop_test(back, connected_is_one_again_after_a_restart, 0, 2);
	tcase_add_loop_test(back, close_says_so_to_the_broker_that_is_there_now,
			    0, 2);
	tcase_add_test(back, memory_is_fetched_by_a_new_connection);
	tcase_add_test(back, a_signal_handler_comes_back);
	tcase_add_test(back, an_idle_consumer_comes_back_without_being_asked);
	tcase_add_test(back, a_consumer_behind_its_descriptor_comes_back);
	tcase_add_test(back, an_observer_comes_back_without_being_asked);
	tcase_add_test(back, a_producer_that_waits_for_room_comes_back);
	tcase_add_test(back, nothing_is_lost_or_doubled_over_many_restarts);
	tcase_add_test(back, no_descriptor_is_left_by_a_thousand_restarts);
	tcase_add_test(back, a_child_has_no_part_in_it);
	tcase_add_test(back, a_broker_that_does_not_answer_stops_no_call);
	tcase_add_test(back, without_a_broker_all_goes_on);
	tcase_add_test(back, another_uid_is_no_broker_of_ours);
	tcase_add_test(lost, an_answer_that_never_comes_is_given_up);
	tcase_add_test(lost, a_broker_with_other_memory_is_elsewhere);
	tcase_add_test(lost, a_move_that_fails_is_tried_again);
	tcase_add_test(lost, the_first_broker_is_found_again);
	tcase_add_test(lost, a_role_opens_anew_from_what_it_asked_for);
	tcase_add_test(lost,
		       an_attachment_that_has_ended_is_not_asked_for_again);
	tcase_add_test(lost,
		       the_successor_of_a_broker_that_has_stopped_is_found);
	tcase_add_test(lost,
		       a_connection_that_the_program_has_closed_stays_closed);
	tcase_add_test(lost, the_broker_hears_which_memory_a_producer_maps);
	suite_add_tcase(suite, back);
	suite_add_tcase(suite, lost);
	return check_run(suite);
}
