/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer moves to another instance (client/producer/move.c). Brokers without a keeper run
 * in child processes, one after another, at one name. The test reads the memory of each
 * through an inspector's eyes, so it has a ledger of all instances: each event that was
 * accepted is there once.
 *
 * The library's producer and its lanes are compiled here with testpoints.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "lib/base/testpoint.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CLASS(name, extra)                                         \
	"channel " name " { stamp = none\n" extra                  \
	"class main { block = 64\n blocks = 4096\n side_blocks = " \
	"4096\n side_lanes = 8 }\n class big { block = 8192\n "    \
	"blocks = 32\n side_blocks = 32\n side_lanes = 8 } }\n"
#define CONFIG CLASS("t", "")
#define WAITS                                                         \
	"channel t { stamp = none\n full = wait wait = 600s\n class " \
	"main { block = 64\n blocks = 8\n side_blocks = 8\n "         \
	"side_lanes = 8 } }\n"

#define IDS        100000
#define GIVE_UP_MS 60000

/* ---- instances -------------------------------------------------------------------- */

static char name[64];
static struct instance {
	pid_t pid;
	int order; /* a byte stops it */
	struct peer eye;
} instances[80];
static unsigned int instance_count;

static void serve(const char *config, int order, int ready)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.socket = name,
	};
	struct tapio_broker *broker;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The last one's socket is closed a moment after its death. */
	while (tapio_broker_start(&broker, &options))
		usleep(1000);
	if (write(ready, "r", 1) != 1 || read(order, &byte, 1) != 1)
		_exit(1);
	tapio_broker_stop(broker);
	_exit(0);
}

static struct instance *newest(void)
{
	return &instances[instance_count - 1];
}

static void begin(const char *config)
{
	struct instance *i = &instances[instance_count++];
	int order[2], ready[2];
	char byte;

	ck_assert_int_eq(pipe2(order, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	i->pid = fork();
	ck_assert_int_ge(i->pid, 0);
	if (!i->pid) {
		tpi_testpoint_set(NULL);
		serve(config, order[0], ready[1]);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(order[0]);
	i->order = order[1];
	peer_connect_to(&i->eye, name);
	ck_assert_int_eq(peer_hello(&i->eye), 0);
	if (strstr(config, "channel t "))
		ck_assert_int_eq(peer_attach(&i->eye, TAPIO_ROLE_INSPECT, "t",
					     NULL, 0, 0, 0),
				 0);
}

enum how {
	KILLED,
	STOPPED
};

static void end(enum how how)
{
	struct instance *i = newest();

	if (how == KILLED)
		kill(i->pid, SIGKILL);
	else
		ck_assert_int_eq(write(i->order, "s", 1), 1);
	ck_assert_int_eq(waitpid(i->pid, NULL, 0), i->pid);
	close(i->order);
	close(i->eye.sock);
	while (i->eye.fd_count)
		close(i->eye.fds[--i->eye.fd_count]);
}

/* ---- the ledger ------------------------------------------------------------------- */

static uint32_t next_id;
static uint8_t accepted[IDS];
static uint8_t seen[IDS];

static void count_lane(const struct tpi_lane *lane, uint64_t *events)
{
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	uint64_t at, desc;

	/* Nothing was overwritten. */
	ck_assert_uint_le(tail, 2 * ((uint64_t)lane->mask + 1));
	for (at = lane->mask + 1; at < tail; at++) {
		uint32_t id;

		desc = lane->desc[at & lane->mask];
		if (TAPIO_DESC_TYPE(desc) == TAPIO_TYPE_DISCARD)
			continue;
		memcpy(&id, tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc)),
		       sizeof(id));
		ck_assert_uint_lt(id, IDS);
		seen[id]++;
		++*events;
	}
}

static uint64_t events_in(const struct instance *i)
{
	uint64_t events = 0;

	for (uint32_t k = 0; k < i->eye.channel.lane_count; k++)
		count_lane(&i->eye.channel.lanes[k], &events);
	return events;
}

/* Of all instances. */
static void assert_each_once(void)
{
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < instance_count; i++)
		events_in(&instances[i]);
	for (uint32_t id = 0; id < IDS; id++)
		ck_assert_msg(seen[id] == accepted[id],
			      "event %u: accepted %u, seen %u times", id,
			      accepted[id], seen[id]);
}

/* ---- calls, each with events of its own ---------------------------------------------- */

static struct tapio_producer *p;

static uint32_t new_id(void)
{
	uint32_t id = tpi_add_relaxed(&next_id, 1);

	ck_assert_uint_lt(id, IDS);
	return id;
}

static void by_output(void)
{
	uint32_t id = new_id();

	accepted[id] = !tapio_output(p, TAG, &id, sizeof(id));
}

static void by_large_output(void)
{
	static unsigned char bytes[8000];
	uint32_t id = new_id();

	memcpy(bytes, &id, sizeof(id));
	accepted[id] = !tapio_output(p, TAG, bytes, sizeof(bytes));
}

static void by_reserve(void)
{
	struct tapio_reservation r;
	uint32_t id = new_id();

	ck_assert_int_eq(tapio_reserve(p, TAG, sizeof(id), &r), 0);
	memcpy(r.data, &id, sizeof(id));
	accepted[id] = !tapio_submit(p, &r);
}

static void by_output_batch(void)
{
	struct tapio_item items[3];
	uint32_t ids[3];
	int n;

	for (int i = 0; i < 3; i++) {
		ids[i] = new_id();
		items[i] = (struct tapio_item){&ids[i], sizeof(ids[i]), TAG};
	}
	n = tapio_output_batch(p, items, 3);
	for (int i = 0; i < n; i++)
		accepted[ids[i]] = 1;
}

static void by_reserve_batch(void)
{
	struct tapio_reservation r[3];
	int n = tapio_reserve_batch(p, TAG, sizeof(uint32_t), r, 3), m;
	uint32_t ids[3];

	for (int i = 0; i < n; i++) {
		ids[i] = new_id();
		memcpy(r[i].data, &ids[i], sizeof(ids[i]));
	}
	m = n > 0 ? tapio_submit_batch(p, r, (unsigned int)n) : 0;
	for (int i = 0; i < m; i++)
		accepted[ids[i]] = 1;
}

static void on_signal(int signal)
{
	uint32_t id = tpi_add_relaxed(&next_id, 1);

	(void)signal;
	if (id < IDS)
		accepted[id] =
			!tapio_output(p, TAG | TAPIO_NO_WAIT, &id, sizeof(id));
}

static void by_signal(void)
{
	raise(SIGUSR1);
}

static void by_connected(void)
{
	tapio_producer_connected(p);
}

static void (*const calls[])(void) = {
	by_output,        by_large_output, by_reserve,   by_output_batch,
	by_reserve_batch, by_signal,       by_connected,
};
#define CALLS (int)(sizeof(calls) / sizeof(calls[0]))

/* A hundred looks or so, at one each millisecond. */
static void until_moved(void (*call)(void))
{
	const struct tpi_producer *was = tpi_producer_now(p);

	while (tpi_producer_now(p) == was) {
		call();
		usleep(5000);
	}
}

static void set_up(void)
{
	signal(SIGUSR1, on_signal);
	snprintf(name, sizeof(name), "@tapio-test-move-%d", getpid());
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = name,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	begin(CONFIG);
	p = rig_producer();
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	tapio_producer_close(p);
	end(STOPPED);
}

/* ---- each call --------------------------------------------------------------------- */

/* A child of the broker's, which it forks to look at something, has its socket, too, and
 * ends a moment after it. Until then something holds the socket. */
static void until_absent(void)
{
	int is;

	for (int i = 0; (is = tapio_producer_broker(p)) != TAPIO_LINK_ABSENT;
	     i++) {
		ck_assert_int_eq(is, TAPIO_LINK_RESTARTING);
		ck_assert_int_lt(i, GIVE_UP_MS);
		usleep(1000);
	}
}

START_TEST(each_call_moves_after_a_death_and_after_a_stop)
{
	void (*call)(void) = calls[_i % CALLS];
	enum how how = _i < CALLS ? KILLED : STOPPED;
	uint64_t before;

	by_output();
	end(how);
	/* Nobody serves. */
	for (int i = 0; i < 5; i++)
		call();
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	until_absent();
	ck_assert_ptr_null(p->now->former);
	begin(CONFIG);
	until_moved(call);
	ck_assert_int_eq(tapio_producer_connected(p), 1);
	ck_assert_int_eq(tapio_producer_broker(p), TAPIO_LINK_THERE);
	ck_assert_str_eq(tapio_producer_error(p), "");
	before = events_in(newest());
	by_output();
	ck_assert_uint_eq(events_in(newest()), before + 1);
	ck_assert(on_cpu_lanes(p) == !side_flavour());
	assert_each_once();
}
END_TEST

/* It lets go of nothing but its former connection. */
START_TEST(a_move_leaves_no_descriptor_behind)
{
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = 0;
		for (int fd = 0; fd < 256; fd++)
			fds[i] += fcntl(fd, F_GETFD) >= 0;
		end(KILLED);
		begin(CONFIG);
		until_moved(by_output);
	}
	ck_assert_int_eq(fds[1], fds[0]);
	ck_assert_int_eq(fds[2], fds[0]);
	ck_assert_int_eq(p->now->former->client.handle.sock.number, -1);
	assert_each_once();
}
END_TEST

static void *emit_and_wait(void *unused)
{
	(void)unused;
	for (int i = 0; i < 12; i++) {
		uint32_t id = new_id();

		ck_assert_int_eq(tapio_output(p, TAG, &id, sizeof(id)), 0);
		accepted[id] = 1;
	}
	return NULL;
}

/* It has waited for room where a group does not read, and no one comes to read. */
START_TEST(a_call_that_waits_for_room_goes_on_in_the_other_memory)
{
	struct tapio_consumer *c;
	pthread_t thread;

	end(STOPPED);
	begin(WAITS);
	tapio_producer_close(p);
	pin(0);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_and_wait, NULL), 0);
	while (events_in(newest()) < 8)
		usleep(1000);
	end(KILLED);
	begin(CONFIG);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(events_in(newest()), 4);
	assert_each_once();
	tapio_consumer_close(c);
}
END_TEST

/* ---- refused -------------------------------------------------------------------------- */

static void sleep_and_emit(int times)
{
	while (times--) {
		by_output();
		usleep(2000);
	}
}

START_TEST(a_move_that_is_refused_is_tried_again)
{
	end(KILLED);
	begin(CLASS("other", ""));
	while (!strstr(tapio_producer_error(p), "cannot move"))
		sleep_and_emit(1);
	/* In the broker's words. */
	ck_assert_ptr_nonnull(strstr(tapio_producer_error(p), "\"t\""));
	ck_assert_ptr_null(p->now->former);
	ck_assert_int_eq(tapio_producer_connected(p), 0);
	ck_assert_int_eq(tapio_producer_broker(p), TAPIO_LINK_REFUSED);
	sleep_and_emit(20);
	/* What was left of the attempt is gone, and its memory with it. */
	ck_assert_ptr_eq(p->handle.beside, &p->now->client.handle);
	end(KILLED);
	begin(CONFIG);
	until_moved(by_output);
	assert_each_once();
}
END_TEST

/* ---- reservations over a move ---------------------------------------------------------- */

static struct tapio_reservation reserve(uint32_t id)
{
	struct tapio_reservation r;

	ck_assert_int_eq(tapio_reserve(p, TAG, sizeof(id), &r), 0);
	memcpy(r.data, &id, sizeof(id));
	return r;
}

START_TEST(a_reservation_outlives_its_instance)
{
	uint32_t ids[4];
	struct tapio_reservation r[4], here, copy;

	pin(0);
	for (int i = 0; i < 4; i++) {
		ids[i] = new_id();
		r[i] = reserve(ids[i]);
	}
	end(KILLED);
	begin(CONFIG);
	until_moved(by_connected);
	/* The same lane, block and ticket, and another memory. */
	here = reserve(new_id());
	ck_assert_ptr_ne(here.data, r[0].data);
	ck_assert_uint_eq(here.block, r[0].block);
	ck_assert_uint_eq(here.ticket, r[0].ticket);
	ck_assert_uint_ne(here.lane, r[0].lane);
	copy = r[0];
	ck_assert_int_eq(tapio_submit(p, &r[0]), 0);
	ck_assert_int_eq(tapio_submit(p, &copy), -EINVAL);
	accepted[ids[0]] = 1;
	copy = r[1];
	ck_assert_int_eq(tapio_discard(p, &r[1]), 0);
	ck_assert_int_eq(tapio_discard(p, &copy), -EINVAL);
	ck_assert_int_eq(tapio_submit_batch(p, &r[2], 2), 2);
	accepted[ids[2]] = accepted[ids[3]] = 1;
	ck_assert_int_eq(tapio_discard(p, &here), 0);
	assert_each_once();
}
END_TEST

/* Mappings of shared memory in this process. */
static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int n = 0;

	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:") != NULL;
	fclose(maps);
	return n;
}

static void move_again(void)
{
	end(KILLED);
	begin(CONFIG);
	until_moved(by_connected);
}

/* And where none is open, the memory before the former one is given back. */
START_TEST(memory_with_a_reservation_is_kept)
{
	struct tapio_reservation r;
	uint32_t id = new_id();

	if (tpi_rseq_restart_all()) {
		fprintf(stderr, "skipped: no membarrier for sections\n");
		return;
	}
	r = reserve(id);
	for (int i = 0; i < 3; i++)
		move_again();
	ck_assert_uint_eq(p->now->former->former->spent, 1);
	ck_assert_uint_eq(p->now->former->former->former->spent, 0);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	accepted[id] = 1;
	move_again();
	ck_assert_uint_eq(p->now->former->former->former->former->spent, 1);
	ck_assert_uint_eq(p->now->former->spent, 0);
	by_output();
}
END_TEST

START_TEST(spent_memory_is_not_mapped)
{
	unsigned int before, now;

	if (tpi_rseq_restart_all())
		return; /* as above */
	move_again();
	before = mappings();
	for (int i = 0; i < 3; i++)
		move_again();
	/* The eyes of the test stay. */
	now = mappings();
	ck_assert_uint_lt(now, before + 3 * before / 2);
	ck_assert_uint_eq(p->now->former->former->spent, 1);
	ck_assert_uint_eq(p->now->former->former->former->spent, 1);
}
END_TEST

/* ---- a thread that comes late ---------------------------------------------------------------- */

static __thread bool late;
static uint32_t halted, go_on;

static void halt_at(const char *point, const char *at)
{
	if (!late || strcmp(point, at))
		return;
	late = false;
	tpi_store_release(&halted, 1);
	while (!tpi_load_acquire(&go_on))
		usleep(1000);
}

static void halt_in_output(const char *point)
{
	halt_at(point, "output.looked");
}

static void halt_in_reserve(const char *point)
{
	halt_at(point, "reserve.looked");
}

static void *come_late(void *call)
{
	void (*f)(void);

	memcpy(&f, &call, sizeof(f));
	late = true;
	f();
	return NULL;
}

/*
 * It has looked at a lane, and the handle moves meanwhile, once or thrice: its event is
 * where the handle is, and the memory that it looks at may be gone by then.
 */
static void be_late(void (*hook)(const char *), void (*call)(void), int moves)
{
	uint64_t former = events_in(newest());
	const struct instance *first = newest();
	pthread_t thread;
	void *argument;

	memcpy(&argument, &call, sizeof(argument));
	tpi_store_relaxed(&halted, 0);
	tpi_store_relaxed(&go_on, 0);
	tpi_testpoint_set(hook);
	ck_assert_int_eq(pthread_create(&thread, NULL, come_late, argument), 0);
	while (!tpi_load_acquire(&halted))
		usleep(1000);
	for (int i = 0; i < moves; i++) {
		end(KILLED);
		begin(CONFIG);
		until_moved(by_connected);
	}
	tpi_store_release(&go_on, 1);
	pthread_join(thread, NULL);
	tpi_testpoint_set(NULL);
	ck_assert_uint_eq(events_in(first), former);
	ck_assert_uint_eq(events_in(newest()), 1);
	assert_each_once();
}

START_TEST(a_thread_that_comes_late_emits_where_the_handle_is)
{
	if (tpi_rseq_restart_all())
		return;     /* as above */
	if (side_flavour()) /* inside of its mutex, so the move waits */
		return;
	be_late(halt_in_output, by_output, _i ? 3 : 1);
	be_late(halt_in_reserve, by_reserve, _i ? 3 : 1);
}
END_TEST

static void halt_in_look(const char *point)
{
	halt_at(point, "move.looked");
}

/* It has seen that it is to look, and another thread is quicker. */
START_TEST(a_thread_that_looks_late_does_not_move_again)
{
	const struct tpi_producer *first = p->now, *second;
	void (*call)(void) = by_output;
	pthread_t thread;
	void *argument;

	memcpy(&argument, &call, sizeof(argument));
	end(KILLED);
	begin(CONFIG);
	tpi_testpoint_set(halt_in_look);
	ck_assert_int_eq(pthread_create(&thread, NULL, come_late, argument), 0);
	while (!tpi_load_acquire(&halted))
		usleep(1000);
	until_moved(by_connected);
	second = p->now;
	tpi_store_release(&go_on, 1);
	pthread_join(thread, NULL);
	ck_assert_ptr_eq(p->now, second);
	ck_assert_ptr_eq(p->now->former, first);
	ck_assert_uint_eq(events_in(newest()), 1);
	assert_each_once();
}
END_TEST

/* ---- at each step of the move ------------------------------------------------------------------ */

static const char *const steps[] = {
	"move.made",  "move.opened", "move.moved",
	"move.sides", "move.left",   "move.spent",
};
#define STEPS (int)(sizeof(steps) / sizeof(steps[0]))

static const char *step;
static void (*act)(void);
static int acted;

static void at_step(const char *point)
{
	if (!step || strcmp(point, step))
		return;
	step = NULL;
	act();
	acted++;
}

static bool comes_by(const char *point)
{
	return strcmp(point, "move.spent") || !tpi_rseq_restart_all();
}

static void kill_newest(void)
{
	kill(newest()->pid, SIGKILL);
}

START_TEST(a_broker_that_dies_in_the_middle_of_a_move_is_followed_by_the_next)
{
	end(KILLED);
	begin(CONFIG);
	until_moved(by_output);
	end(KILLED);
	begin(CONFIG);
	act = kill_newest;
	step = steps[_i];
	tpi_testpoint_set(at_step);
	while (step && comes_by(step))
		sleep_and_emit(1);
	ck_assert_int_eq(acted, comes_by(steps[_i]));
	end(KILLED);
	begin(CONFIG);
	while (!tapio_producer_connected(p))
		sleep_and_emit(1);
	by_output();
	ck_assert_uint_ge(events_in(newest()), 1);
	assert_each_once();
}
END_TEST

/* As another thread does, which finds the turn taken. */
START_TEST(one_that_emits_at_each_step_is_not_in_the_way)
{
	end(KILLED);
	begin(CONFIG);
	until_moved(by_output);
	end(KILLED);
	begin(CONFIG);
	act = by_output;
	step = steps[_i];
	tpi_testpoint_set(at_step);
	while (step)
		sleep_and_emit(1);
	ck_assert_int_eq(acted, 1);
	by_output();
	assert_each_once();
}
END_TEST

static int child(void)
{
	uint32_t x = 0;

	if (tapio_output(p, TAG, &x, sizeof(x)) != -ECHILD)
		return 1;
	for (const struct tpi_producer *q = p->now; q; q = q->former)
		if (q->client.handle.sock.number >= 0 || q->hot.alive)
			return 2;
	tapio_producer_close(p);
	return 0;
}

static void fork_there(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(child());
	ck_assert(child_ok(pid));
}

START_TEST(a_child_of_each_step_has_no_part_in_it)
{
	end(KILLED);
	begin(CONFIG);
	until_moved(by_output);
	end(KILLED);
	begin(CONFIG);
	act = fork_there;
	step = steps[_i];
	tpi_testpoint_set(at_step);
	while (step && comes_by(step))
		sleep_and_emit(1);
	ck_assert_int_eq(acted, comes_by(steps[_i]));
	assert_each_once();
}
END_TEST

static void die(void)
{
	kill(getpid(), SIGKILL);
}

static int told[2], dies_at;

static void tell(void)
{
	ck_assert_int_eq(write(told[1], "t", 1), 1);
}

static void hear(void)
{
	char byte;

	ck_assert_int_eq(read(told[0], &byte, 1), 1);
}

static void move_and_die(void)
{
	tapio_producer_close(p);
	p = rig_producer();
	tell();
	act = die;
	step = steps[dies_at];
	tpi_testpoint_set(at_step);
	/* Its first move spends nothing. */
	for (int i = 0; i < 3; i++) {
		until_moved(by_output);
		tell();
	}
	_exit(1);
}

/* The new broker takes back what a dead one had. */
START_TEST(a_process_that_is_killed_in_the_middle_leaves_nothing)
{
	const struct tapio_shm_broker *broker;
	int status, moves = strcmp(steps[_i], "move.spent") ? 1 : 2;
	pid_t pid;

	if (!comes_by(steps[_i]))
		return;
	ck_assert_int_eq(pipe(told), 0);
	dies_at = _i;
	pid = fork();
	if (!pid)
		move_and_die();
	for (int i = 0; i < moves; i++) {
		hear();
		end(KILLED);
		begin(CONFIG);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	broker = newest()->eye.catalog.broker;
	/* At the first step it has not attached there yet. */
	while (_i && !tpi_load_relaxed(&broker->deaths))
		usleep(1000);
}
END_TEST

/* ---- all at once ----------------------------------------------------------------------------- */

#define THREADS 3
#ifdef __SANITIZE_THREAD__
#define ROUNDS 10
#else
#define ROUNDS 50
#endif

static uint32_t stop;
static pthread_t emitters[THREADS];

static void *emit_on(void *which)
{
	void (*call)(void) = calls[(intptr_t)which];

	while (!tpi_load_relaxed(&stop)) {
		call();
		usleep(10000);
	}
	return NULL;
}

START_TEST(nothing_is_lost_or_doubled_over_many_instances)
{
	tpi_store_relaxed(&stop, 0);
	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&emitters[i], NULL, emit_on,
						(void *)(i * 2)),
				 0);
	for (int i = 0; i < ROUNDS; i++) {
		const struct tpi_producer *was = tpi_producer_now(p);

		end(i % 2 ? STOPPED : KILLED);
		begin(CONFIG);
		while (tpi_producer_now(p) == was) {
			pthread_kill(emitters[i % THREADS], SIGUSR1);
			usleep(5000);
		}
		/* Not in step with the moves. */
		usleep((useconds_t)(i * 977 % 5000));
	}
	tpi_store_relaxed(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(emitters[i], NULL);
	assert_each_once();
	ck_assert_uint_gt(events_in(&instances[instance_count / 2]), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("producer move");
	TCase *moves = tcase_create("moves"), *steps_of = tcase_create("steps");

	tcase_set_timeout(moves, 60);
	tcase_set_timeout(steps_of, 60);
	tcase_add_checked_fixture(moves, set_up, tear_down);
	tcase_add_checked_fixture(steps_of, set_up, tear_down);
	tcase_add_loop_test(moves,
			    each_call_moves_after_a_death_and_after_a_stop, 0,
			    2 * CALLS);
	tcase_add_test(moves, a_move_leaves_no_descriptor_behind);
	tcase_add_test(moves,
		       a_call_that_waits_for_room_goes_on_in_the_other_memory);
	tcase_add_test(moves, a_move_that_is_refused_is_tried_again);
	tcase_add_test(moves, a_reservation_outlives_its_instance);
	tcase_add_test(moves, memory_with_a_reservation_is_kept);
	tcase_add_test(moves, spent_memory_is_not_mapped);
	tcase_add_loop_test(moves,
			    a_thread_that_comes_late_emits_where_the_handle_is,
			    0, 2);
	tcase_add_test(moves, a_thread_that_looks_late_does_not_move_again);
	tcase_add_test(moves, nothing_is_lost_or_doubled_over_many_instances);
	tcase_add_loop_test(
		steps_of,
		a_broker_that_dies_in_the_middle_of_a_move_is_followed_by_the_next,
		0, STEPS);
	tcase_add_loop_test(
		steps_of, one_that_emits_at_each_step_is_not_in_the_way, 0, 3);
	tcase_add_loop_test(steps_of, a_child_of_each_step_has_no_part_in_it, 0,
			    STEPS);
	tcase_add_loop_test(
		steps_of, a_process_that_is_killed_in_the_middle_leaves_nothing,
		0, STEPS);
	suite_add_tcase(suite, moves);
	suite_add_tcase(suite, steps_of);
	return check_run(suite);
}
