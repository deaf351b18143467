/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of isolated producers, which is sealed, drained and replaced
 * (broker/registry/isolation.h): nothing is believed before the seal, producers that never
 * map hold nothing, and over many producers in few segments each reader gets
 * each event once, or is told how many it has lost. The last tests are attacks by another
 * uid: a child that goes on writing after its parent's death, and one that keeps old
 * memory.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/fault/peer.h"
#include "tests/fault/uids.h"
#include "tests/unit/client_fixture.h"

#define CONFIG                                                             \
	"channel t { isolation = process\n producers_max = 2\n"            \
	"stamp = \"none\"\n class main { block = 64\n blocks = 64 }\n"     \
	"class big { block = 256\n blocks = 16 }}\n"                       \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless, durable} }\n"
#define MAIN      0
#define PRODUCERS 2
#define HOSTILE   6000
#define TICK_MS   10

extern uint64_t tpi_tick_ns; /* broker/broker.h */
extern int64_t tpi_isolation_give_up_ns;

static void set_up(void)
{
	tpi_tick_ns = TICK_MS * UINT64_C(1000000);
	rig_start(CONFIG);
	rig.options.answer_ns = RIG_ANSWER_NS;
}

static void tear_down(void)
{
	rig_stop();
}

static struct tapio_producer *producer(void)
{
	return rig_producer_anywhere();
}

static void emit(struct tapio_producer *p, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

/* A producer comes, emits, and goes. Its segment. */
static uint32_t emit_and_go(uint64_t first, uint64_t count)
{
	struct tapio_producer *p = producer();
	uint32_t own = p->now->client.granted.own_segment;

	emit(p, first, count);
	tapio_producer_close(p);
	return own;
}

/* The errors of an open that waits for an answer for a moment only. */
static int try_producer(void)
{
	struct tapio_options options = rig.options;
	struct tapio_producer *p;
	int err;

	options.answer_ns = 300000000;
	err = tapio_producer_open(&p, "t", &options);
	if (!err)
		tapio_producer_close(p);
	return err;
}

/* Waits for views, for as long as it takes. */
static unsigned int wait_for(struct tapio_consumer *c, struct tapio_view *views,
			     unsigned int max)
{
	int n = tapio_poll(c, views, max, PATIENCE * INT64_C(1000000000));

	ck_assert_int_gt(n, 0);
	return (unsigned int)n;
}

static uint64_t number_of(const struct tapio_view *view)
{
	uint64_t number;

	ck_assert_uint_eq(view->flags & TAPIO_VIEW_GAP, 0);
	ck_assert_uint_eq(view->length, sizeof(number));
	memcpy(&number, view->data, sizeof(number));
	return number;
}

/* The next `count` events are these numbers, in this order. */
static void expect_numbers(struct tapio_consumer *c, uint64_t first,
			   uint64_t count)
{
	struct tapio_view views[16];

	while (count) {
		unsigned int n = wait_for(c, views, 16);

		ck_assert_uint_le(n, count);
		for (unsigned int i = 0; i < n; i++)
			ck_assert_uint_eq(number_of(&views[i]), first++);
		ck_assert_int_eq(tapio_release(c), 0);
		count -= n;
	}
}

/*
 * There is nothing to read, and all memory is that of now. A holder of leases says then that
 * it has come to the end of producers that are gone.
 */
static void catch_up(struct tapio_consumer *c)
{
	struct tapio_view view;

	do
		ck_assert_uint_eq(look(c, &view, 1), 0);
	while (tpi_segments_changed(&c->now->client));
}

static uint32_t epoch_of(const struct tapio_consumer *c, uint32_t segment)
{
	return tpi_load_acquire(
		&c->now->client.segments.records[segment].epoch);
}

static int try_attach(struct peer *peer)
{
	peer_connect_to(peer, rig.options.socket);
	ck_assert_int_eq(peer_hello(peer), 0);
	peer->stays_open = true;
	return peer_attach(peer, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0);
}

/* Maps its segment, and does not say so yet. */
static void attach(struct peer *peer)
{
	ck_assert_int_eq(try_attach(peer), 0);
}

/* By hand, as any process that maps the lane can. */
static void publish(const struct tpi_lane *lane, uint64_t number)
{
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	uint32_t block = (uint32_t)(tail & lane->mask);

	memcpy(tpi_lane_block(lane, block), &number, sizeof(number));
	lane->desc[tail & lane->mask] =
		TAPIO_DESC_META(100, 5, sizeof(number)) | block;
	tpi_store_release(&lane->shm->state, TAPIO_STATE(tail + 1, 0));
}

/* ---- the seal --------------------------------------------------------------------------- */

START_TEST(nothing_is_believed_before_the_seal)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_observer *o = rig_observer(TAPIO_START_NEWEST);
	struct tapio_view views[16];
	struct peer peer;
	int n = 0;

	attach(&peer);
	publish(tpi_channel_own_lane(&peer.channel, MAIN,
				     peer.attached.own_segment),
		7);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(look(c, views, 16), 0);
		ck_assert_int_eq(tapio_observe(o, views, 16, 0), 0);
		nap_ms(1);
	}
	ck_assert_uint_eq(
		TAPIO_SEGMENT_PHASE(epoch_of(c, peer.attached.own_segment)),
		TAPIO_PHASE_FRESH);
	ck_assert_int_eq(peer_mapped(&peer), 0);
	expect_numbers(c, 7, 1);
	for (int i = 0; i < PATIENCE && !n; i++)
		n = tapio_observe(o, views, 16, 1000000000);
	ck_assert_int_eq(n, 1);
	ck_assert_uint_eq(number_of(&views[0]), 7);
	/* Once is enough. */
	ck_assert_int_eq(peer_mapped(&peer), -EINVAL);
	peer_close(&peer);
	tapio_observer_close(o);
	tapio_consumer_close(c);
}
END_TEST

START_TEST(one_that_never_maps_holds_nothing)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct peer peers[PRODUCERS];

	tpi_isolation_give_up_ns = 50000000;
	for (int i = 0; i < PRODUCERS; i++) {
		attach(&peers[i]);
		publish(tpi_channel_own_lane(&peers[i].channel, MAIN,
					     peers[i].attached.own_segment),
			7);
	}
	for (int i = 0; i < PRODUCERS; i++)
		ck_assert(wait_state(&peers[i], peers[i].attached.attachment,
				     TAPIO_ATTACHMENT_FREE));
	ck_assert_int_eq(peer_mapped(&peers[0]), -ENOENT);
	tpi_isolation_give_up_ns = PATIENCE * INT64_C(1000000000);
	emit_and_go(1, 3);
	expect_numbers(c, 1, 3);
	assert_ledger(c, 3, 0, 0);
	for (int i = 0; i < PRODUCERS; i++)
		peer_close(&peers[i]);
	tapio_consumer_close(c);
}
END_TEST

/* F_SEAL_SEAL comes too early: then the last seal cannot be had. */
START_TEST(one_that_cannot_be_sealed_has_nothing)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct peer peer;

	attach(&peer);
	ck_assert_int_eq(fcntl(peer_fd(&peer, peer.attached.own_segment),
			       F_ADD_SEALS, F_SEAL_SEAL),
			 0);
	ck_assert_int_eq(peer_mapped(&peer), -EPERM);
	ck_assert_msg(strstr(peer.refused.text, "cannot be sealed") != NULL,
		      "%s", peer.refused.text);
	ck_assert(wait_state(&peer, peer.attached.attachment,
			     TAPIO_ATTACHMENT_FREE));
	emit_and_go(1, 3);
	expect_numbers(c, 1, 3);
	peer_close(&peer);
	tapio_consumer_close(c);
}
END_TEST

START_TEST(a_client_that_cannot_follow_is_refused)
{
	union tpi_wire_message m;
	struct peer peer;

	peer_connect_to(&peer, rig.options.socket);
	ck_assert_int_eq(peer_hello(&peer), 0);
	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.header.minor = TPI_WIRE_MINOR_SEALED - 1;
	m.attach.role = (uint32_t)_i;
	strcpy(m.attach.channel, "t");
	ck_assert_int_eq(peer_send(&peer, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&peer, &m), TPI_WIRE_REFUSED);
	ck_assert_int_eq(peer.refused.error, -EPROTONOSUPPORT);
	ck_assert_msg(strstr(peer.refused.text, "1.4") != NULL, "%s",
		      peer.refused.text);
	peer_close(&peer);
}
END_TEST

/* ---- one after another ---------------------------------------------------------------- */

#define RESTARTS 200
#define EACH     10

static void *restart(void *unused)
{
	(void)unused;
	for (uint64_t i = 0; i < RESTARTS; i++)
		emit_and_go(i * EACH, EACH);
	return NULL;
}

/* The events of one producer are in order, and those of the lanes come once. */
START_TEST(a_slow_lossless_group_gets_all_of_two_hundred_producers)
{
	static uint8_t seen[RESTARTS * EACH];
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_observer *o = rig_observer(TAPIO_START_NEWEST);
	struct tapio_observer_stats observed = {.size = sizeof(observed)};
	struct tapio_view views[7], copies[64];
	uint64_t got = 0, last[PRODUCERS * 2] = {0};
	pthread_t thread;

	memset(seen, 0, sizeof(seen));
	ck_assert_int_eq(pthread_create(&thread, NULL, restart, NULL), 0);
	while (got < RESTARTS * EACH) {
		unsigned int n = wait_for(c, views, 7);

		ck_assert_int_ge(tapio_observe(o, copies, 64, 0), 0);
		if (got % 3 == 0)
			nap_ms(1);
		for (unsigned int i = 0; i < n; i++) {
			uint64_t number = number_of(&views[i]);

			ck_assert_uint_lt(number, RESTARTS * EACH);
			ck_assert_uint_eq(seen[number]++, 0);
			ck_assert_uint_ge(number, last[views[i].lane]);
			last[views[i].lane] = number;
		}
		got += n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	pthread_join(thread, NULL);
	assert_ledger(c, RESTARTS * EACH, 0, 0);
	/* Each memory was drained before it went, so the observer has what it saw and what it
	 * was told that it missed. */
	for (int i = 0; i < 20; i++)
		ck_assert_int_ge(tapio_observe(o, copies, 64, 5000000), 0);
	ck_assert_int_eq(tapio_observer_stats_read(o, &observed), 0);
	ck_assert_uint_eq(observed.seen + observed.lost, RESTARTS * EACH);
	tapio_observer_close(o);
	tapio_consumer_close(c);
}
END_TEST

/* Members of one group share the lanes, and each follows by itself. */
START_TEST(members_of_a_group_hand_lanes_over_between_memories)
{
	struct tapio_consumer *a = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *b = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	uint64_t next = 0;

	for (int i = 0; i < 30; i++) {
		struct tapio_consumer *reads = i % 3 ? a : b;
		struct tapio_consumer *rests = i % 3 ? b : a;

		tpi_lease_leave(rests->now);
		emit_and_go(next, 5);
		expect_numbers(reads, next, 5);
		catch_up(reads);
		next += 5;
	}
	catch_up(a);
	catch_up(b);
	assert_ledger(a, next, 0, 0);
	assert_ledger(b, next, 0, 0);
	tapio_consumer_close(b);
	tapio_consumer_close(a);
}
END_TEST

START_TEST(unread_memory_holds_producers_of_a_lossless_group)
{
	struct tapio_consumer *c = rig_consumer("slow", TAPIO_GROUP_LOSSLESS);

	for (uint64_t i = 0; i < PRODUCERS; i++)
		emit_and_go(i * 5, 5);
	ck_assert_int_eq(try_producer(), -EAGAIN);
	ck_assert_msg(strstr(rig.error, "0 are in use, and 2 wait") &&
			      strstr(rig.error, "\"slow\" has 5 events") &&
			      strstr(rig.error, "producers_max"),
		      "%s", rig.error);
	expect_numbers(c, 0, 10);
	catch_up(c);
	emit_and_go(10, 5);
	expect_numbers(c, 10, 5);
	assert_ledger(c, 15, 0, 0);
	tapio_consumer_close(c);
}
END_TEST

/*
 * A group that does not hold producers for ever is waited for as long as there is other memory.
 * Then what it has not read is lost, exactly.
 */
START_TEST(unread_memory_holds_no_producer_for_others)
{
	struct tapio_consumer *c =
		rig_consumer("g", _i ? TAPIO_GROUP_UNTIL : TAPIO_GROUP_LOSSY);
	struct tapio_view views[16];
	struct tapio_consumer_stats stats;
	uint64_t got = 0, lost = 0;

	for (uint64_t i = 0; i < PRODUCERS + 1; i++)
		emit_and_go(i * 5, 5);
	while (got + lost < 5 * (PRODUCERS + 1)) {
		unsigned int n = wait_for(c, views, 16);

		for (unsigned int i = 0; i < n; i++)
			if (views[i].flags & TAPIO_VIEW_GAP)
				lost += ((const struct tapio_gap *)views[i]
						 .data)
						->count;
			else
				got++;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(lost, 5);
	ck_assert_uint_eq(got, 5 * PRODUCERS);
	stats = group_stats(c);
	ck_assert_uint_eq(stats.delivered, got);
	ck_assert_uint_eq(stats.lost, lost);
	ck_assert_uint_eq(stats.in_flight, 0);
	tapio_consumer_close(c);
}
END_TEST

/* The memory of views goes when they are released, and that of others before. */
START_TEST(views_in_hand_keep_their_memory)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	struct tapio_producer *p = producer();
	uint32_t own = p->now->client.granted.own_segment;
	struct tapio_view view, other;

	emit(p, 1, 1);
	ck_assert_uint_eq(wait_for(c, &view, 1), 1);
	tapio_producer_close(p);
	/* All segments are used again, this one by an overrun. */
	for (uint64_t i = 0; i < 2 * PRODUCERS; i++)
		emit_and_go(100 + i, 1);
	ck_assert_uint_gt(TAPIO_SEGMENT_MEMORY(epoch_of(c, own)), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(tapio_poll(c, &other, 1, 0), 0);
	ck_assert_uint_eq(number_of(&view), 1);
	ck_assert_uint_eq(c->now->client.segments.epochs[own] >> 2, 0);
	ck_assert_int_ge(tapio_release(c), 0);
	for (int i = 0; i < PATIENCE * 100 &&
			c->now->client.segments.epochs[own] >> 2 == 0;
	     i++) {
		ck_assert_int_ge(tapio_poll(c, &other, 1, 10000000), 0);
		ck_assert_int_ge(tapio_release(c), 0);
	}
	ck_assert_uint_gt(c->now->client.segments.epochs[own] >> 2, 0);
	tapio_consumer_close(c);
}
END_TEST

/* A program that waits with epoll is told that there is memory to be fetched. */
START_TEST(the_descriptor_is_raised_for_new_memory)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct pollfd ready = {.fd = tapio_fd(c), .events = POLLIN};
	struct tapio_view views[4];
	uint64_t next = 0;

	for (int i = 0; i < 6; i++) {
		while (look(c, views, 4))
			;
		emit_and_go(next, 1);
		/* A look would fetch it by itself. */
		do
			ck_assert_int_eq(poll(&ready, 1, PATIENCE * 1000), 1);
		while (!look(c, views, 4));
		ck_assert_uint_eq(number_of(&views[0]), next++);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	tapio_consumer_close(c);
}
END_TEST

/* ---- attacks ------------------------------------------------------------------------- */

static pid_t *left_behind; /* shared with the children */

/* A producer whose mapping is inherited by a child. The child's part is `body`. */
static int leave_a_child(struct peer *peer, void (*body)(struct tpi_map *map))
{
	int err = try_attach(peer);
	struct tpi_map *map;
	pid_t child;

	if (err)
		return err;
	map = &peer->maps[peer->attached.own_segment];
	MUST(!madvise(map->base, map->bytes, MADV_DOFORK));
	MUST(!peer_mapped(peer));
	child = fork();
	MUST(child >= 0);
	if (child) {
		*left_behind = child;
		return 0;
	}
	alarm(PATIENCE);
	close(peer->sock);
	close(peer_fd(peer, 0));
	close(peer_fd(peer, peer->attached.own_segment));
	body(map);
	return 0;
}

/* Every word, for ever. Half of the noise goes where the states are. */
static void scribble(struct tpi_map *map)
{
	uint64_t *words = (uint64_t *)(void *)map->base;
	uint64_t count = map->bytes / sizeof(*words);
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	for (uint64_t i = 0;; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		tpi_store_relaxed(&words[i % 2 ? seed % count : seed % 64],
				  i % 3 ? seed : seed % (1 << 24));
	}
}

static int leave_a_scribbler(void)
{
	struct peer peer;

	MUST(!leave_a_child(&peer, scribble));
	publish(tpi_channel_own_lane(&peer.channel, MAIN,
				     peer.attached.own_segment),
		1);
	return DONE;
}

static void share_pid(void)
{
	left_behind = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(left_behind != MAP_FAILED);
}

#define LATER 20 /* producers in the segment that was the hostile one's */

static void *follow_the_hostile_one(void *other)
{
	for (uint64_t i = 0; i < LATER; i++)
		if (emit_and_go(1000 + i * EACH, EACH) == *(uint32_t *)other)
			return other;
	return NULL;
}

/* Of the honest ones each number, once, in order. */
static void take_numbers(struct tapio_consumer *c, uint64_t *next)
{
	struct tapio_view views[16];
	int n = tapio_poll(c, views, 16, 1000000);

	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		uint64_t number = 0;

		if (views[i].flags & TAPIO_VIEW_GAP ||
		    views[i].length != sizeof(number))
			continue;
		memcpy(&number, views[i].data, sizeof(number));
		if (number < 1000 || number >= 1000 + LATER * EACH)
			continue;
		ck_assert_uint_eq(number, *next);
		++*next;
	}
	ck_assert_int_ge(tapio_release(c), 0);
}

/* They come one after another in the segment that was the hostile one's. */
START_TEST(a_child_that_writes_on_hurts_no_later_producer)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *u = rig_consumer("u", TAPIO_GROUP_UNTIL);
	struct tapio_producer *p = producer();
	uint32_t other = p->now->client.granted.own_segment;
	const uint64_t end = 1000 + LATER * EACH;
	uint64_t next[2] = {1000, 1000};
	pthread_t thread;
	void *wrong;

	need_root();
	share_pid();
	ck_assert_int_eq(run_as(HOSTILE, leave_a_scribbler), DONE);
	ck_assert_int_eq(
		pthread_create(&thread, NULL, follow_the_hostile_one, &other),
		0);
	while (next[0] < end || next[1] < end) {
		take_numbers(c, &next[0]);
		take_numbers(u, &next[1]);
	}
	pthread_join(thread, &wrong);
	ck_assert_ptr_null(wrong);
	ck_assert(!c->now->ended && !u->now->ended);
	kill(*left_behind, SIGKILL);
	tapio_producer_close(p);
	tapio_consumer_close(u);
	tapio_consumer_close(c);
}
END_TEST

static struct peer leaver;

static const struct tpi_lane *lane_of_leaver(void)
{
	return tpi_channel_own_lane(&leaver.channel, MAIN,
				    leaver.attached.own_segment);
}

/* Waits for the word, publishes, and answers. */
static void publish_later(struct tpi_map *map)
{
	(void)map;
	while (!tpi_load_acquire(&left_behind[1]))
		nap_ms(1);
	publish(lane_of_leaver(), 2);
	tpi_store_release(&left_behind[1], 0);
	for (;;)
		pause();
}

static int leave_a_late_publisher(void)
{
	MUST(!leave_a_child(&leaver, publish_later));
	publish(lane_of_leaver(), 1);
	left_behind[2] = (pid_t)leaver.attached.own_segment;
	return DONE;
}

/* A group that reads nothing keeps the memory, so the reader could go on in it. */
START_TEST(nothing_is_read_behind_the_end_of_a_producer)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *slow = rig_consumer("s", TAPIO_GROUP_LOSSLESS);
	struct tapio_view views[4];
	uint32_t own;

	need_root();
	share_pid();
	ck_assert_int_eq(run_as(HOSTILE, leave_a_late_publisher), DONE);
	own = (uint32_t)left_behind[2];
	expect_numbers(c, 1, 1);
	for (int i = 0;
	     i < PATIENCE * 1000 &&
	     TAPIO_SEGMENT_PHASE(epoch_of(c, own)) != TAPIO_PHASE_ENDED;
	     i++)
		nap_ms(1);
	catch_up(c);
	tpi_store_release(&left_behind[1], 1);
	while (tpi_load_acquire(&left_behind[1]))
		nap_ms(1);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(look(c, views, 4), 0);
	ck_assert_uint_eq(group_stats(c).delivered, 1);
	expect_numbers(slow, 1, 1);
	ck_assert_uint_eq(look(slow, views, 4), 0);
	kill(left_behind[0], SIGKILL);
	tapio_consumer_close(slow);
	tapio_consumer_close(c);
}
END_TEST

static void keep_mapping(struct tpi_map *map)
{
	(void)map;
	for (;;)
		pause();
}

/*
 * Each child keeps one memory. The share, and a set of segments more, and then no more. A busy
 * broker sees late that a producer has gone, and refuses until then: one that is refused tries
 * again, until the children's memory is all that stands in the way.
 */
static int hoard(void)
{
	const int most = 1 + PRODUCERS;
	pid_t kept[1 + PRODUCERS];
	struct peer peer;
	char reason[64];
	int count = 0, err, times = 0;
	bool all = false;

	snprintf(reason, sizeof(reason), "and %d that other processes keep",
		 most);
	for (; !all && times < PATIENCE * 1000 / TICK_MS; times++) {
		err = leave_a_child(&peer, keep_mapping);
		if (!err) {
			MUST(count < most);
			kept[count++] = *left_behind;
		} else {
			MUST(err == -EAGAIN || err == -EDQUOT);
			all = err == -EDQUOT &&
			      strstr(peer.refused.text, reason);
		}
		peer_close(&peer);
		nap_ms(err ? TICK_MS : 0);
	}
	for (int i = 0; i < count; i++)
		kill(kept[i], SIGKILL);
	MUST(all && count == most);
	return DONE;
}

START_TEST(one_uid_does_not_hoard_old_memory)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);

	need_root();
	share_pid();
	ck_assert_int_eq(run_as(HOSTILE, hoard), DONE);
	/* And it may come again when they are gone. */
	for (int i = 0; i < 20; i++)
		nap_ms(TICK_MS);
	emit_and_go(0, 5);
	expect_numbers(c, 0, 5);
	tapio_consumer_close(c);
}
END_TEST

static int leave_memory(void)
{
	struct peer peer;

	MUST(!leave_a_child(&peer, keep_mapping));
	peer_close(&peer);
	return DONE;
}

/* A producer of this uid that emits and goes, and one that comes until it is told so. The
 * broker may see late that one has gone, and that one is its share then. */
static int be_unread(void)
{
	const char *reason = "1 more that groups have not read yet, and 1 that";
	struct peer peer;
	bool told;
	int err;

	MUST(!try_attach(&peer));
	MUST(!peer_mapped(&peer));
	publish(tpi_channel_own_lane(&peer.channel, MAIN,
				     peer.attached.own_segment),
		7);
	peer_close(&peer);
	for (int times = 0; times < PATIENCE * 1000 / TICK_MS; times++) {
		err = try_attach(&peer);
		told = err && strstr(peer.refused.text, reason);
		peer_close(&peer);
		if (told)
			return err == -EAGAIN ? DONE : -err;
		nap_ms(TICK_MS);
	}
	return 1;
}

static int come(void)
{
	struct peer peer;
	int err = try_attach(&peer);

	peer_close(&peer);
	return err ? -err : DONE;
}

/*
 * A refusal for good is for a share that is in use for good. Unread events are gone when the group
 * reads, also if another process keeps some memory besides. On a5a959c that is -EDQUOT, and
 * the library does not ask again.
 */
START_TEST(a_share_that_is_unread_is_refused_for_a_while)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);

	need_root();
	share_pid();
	ck_assert_int_eq(run_as(HOSTILE, leave_memory), DONE);
	for (int i = 0; i < 20; i++) {
		catch_up(c);
		nap_ms(TICK_MS);
	}
	ck_assert_int_eq(run_as(HOSTILE, be_unread), DONE);
	expect_numbers(c, 7, 1);
	for (int i = 0; i < 20; i++) {
		catch_up(c);
		nap_ms(TICK_MS);
	}
	ck_assert_int_eq(run_as(HOSTILE, come), DONE);
	kill(*left_behind, SIGKILL);
	tapio_consumer_close(c);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sealed");
	TCase *tc = tcase_create("seal");

	tcase_set_timeout(tc, PATIENCE);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_is_believed_before_the_seal);
	tcase_add_test(tc, one_that_never_maps_holds_nothing);
	tcase_add_test(tc, one_that_cannot_be_sealed_has_nothing);
	tcase_add_loop_test(tc, a_client_that_cannot_follow_is_refused,
			    TAPIO_ROLE_PRODUCE, TAPIO_ROLE_INSPECT + 1);
	suite_add_tcase(suite, tc);
	tc = tcase_create("memory");
	tcase_set_timeout(tc, PATIENCE);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc,
		       a_slow_lossless_group_gets_all_of_two_hundred_producers);
	tcase_add_test(tc, members_of_a_group_hand_lanes_over_between_memories);
	tcase_add_test(tc, unread_memory_holds_producers_of_a_lossless_group);
	tcase_add_loop_test(tc, unread_memory_holds_no_producer_for_others, 0,
			    2);
	tcase_add_test(tc, views_in_hand_keep_their_memory);
	tcase_add_test(tc, the_descriptor_is_raised_for_new_memory);
	suite_add_tcase(suite, tc);
	tc = tcase_create("attacks");
	tcase_set_timeout(tc, PATIENCE);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_child_that_writes_on_hurts_no_later_producer);
	tcase_add_test(tc, nothing_is_read_behind_the_end_of_a_producer);
	tcase_add_test(tc, one_uid_does_not_hoard_old_memory);
	tcase_add_test(tc, a_share_that_is_unread_is_refused_for_a_while);
	suite_add_tcase(suite, tc);
	return rig_run(suite);
}
