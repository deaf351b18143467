/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards with real uids (broker/group/boards.c, lib/lane/wake.h): which one a member shares,
 * when it is taken away, and that another uid, or a member of an older library, keeps
 * nobody's bell from being rung.
 */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"
#include "tests/fault/slot_fixture.h"

#define OTHER (UIDS + 7)

static uint64_t boards(void)
{
	return tpi_load_relaxed(&p->now->client.shared->boards);
}

static uint32_t unboarded(void)
{
	return tpi_load_relaxed(&p->now->client.shared->unboarded);
}

static uint64_t bit(uint32_t slot)
{
	return UINT64_C(1) << slot;
}

static uint32_t board_of(const struct tapio_consumer *c)
{
	return c->now->client.granted.board - 1;
}

static bool has_news(uint32_t slot)
{
	return tpi_load_relaxed(p->now->emit.board[slot]) !=
	       tpi_load_relaxed(p->now->emit.board_seen[slot]);
}

static uint32_t bell(uint32_t slot)
{
	return tpi_load_relaxed(
		&p->now->client.channel.doorbells->slots[slot].doorbell);
}

static void emit(void)
{
	nap_ms(1); /* no bell is rung twice within microseconds */
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
}

/* The one that is announced is rung, by any of the boards. */
static void assert_hears(struct tapio_consumer *c)
{
	uint32_t before = bell(slot_of(c));

	tpi_announce(c->now);
	emit();
	ck_assert_uint_eq(bell(slot_of(c)), before + 1);
}

/* ---- another uid, in a child: says its slot, and stays until it is told ------------------ */

struct stranger {
	pid_t pid;
	int in, out;
	uint32_t slot;
};

static int child_in, child_out;

static void wait_for_word(void)
{
	char word;

	if (read(child_in, &word, 1) != 1)
		_exit(0);
}

static int stay(int groups)
{
	static struct peer peers[4];
	unsigned char slot;

	for (int i = 0; i < groups; i++) {
		char group[8];

		snprintf(group, sizeof(group), "s%d", i);
		if (join(&peers[i], group))
			return 1;
	}
	slot = (unsigned char)peers[0].attached.group_slot;
	if (write(child_out, &slot, 1) != 1)
		return 2;
	wait_for_word();
	return 0;
}

/* Each word that it is told makes all its boards look as if they had no news. */
static int silence(int unused)
{
	struct peer peer;
	unsigned char slot;

	(void)unused;
	if (join(&peer, "s0"))
		return 1;
	slot = (unsigned char)peer.attached.group_slot;
	for (;;) {
		tpi_store_relaxed(
			&peer.cursors.control->board,
			tpi_load_relaxed(&peer.channel.doorbells->slots[slot]
						  .board_seen));
		if (write(child_out, &slot, 1) != 1)
			return 2;
		wait_for_word();
	}
}

static void stranger_start(struct stranger *s, int (*body)(int), int arg)
{
	int in[2], out[2];
	unsigned char slot = 255;

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	child_in = in[0];
	child_out = out[1];
	s->pid = start_as(OTHER, body, arg);
	s->in = in[1];
	s->out = out[0];
	ck_assert_int_eq(read(s->out, &slot, 1), 1);
	close(in[0]);
	close(out[1]);
	s->slot = slot;
}

static void stranger_end(struct stranger *s)
{
	kill(s->pid, SIGKILL);
	ck_assert_int_eq(waitpid(s->pid, NULL, 0), s->pid);
	close(s->in);
	close(s->out);
}

/* ---- sharing ------------------------------------------------------------------------------ */

START_TEST(groups_of_one_uid_share_a_board)
{
	struct tapio_consumer *c[5];
	char group[8];

	ck_assert_uint_eq(boards(), 0);
	for (uint32_t i = 0; i < 5; i++) {
		snprintf(group, sizeof(group), "g%u", i);
		c[i] = open_consumer(group, TAPIO_GROUP_LOSSY);
		ck_assert_uint_eq(board_of(c[i]), slot_of(c[0]));
		ck_assert(!c[i]->now->client.board == !i);
		ck_assert_uint_eq(boards(), bit(slot_of(c[0])));
	}
	for (uint32_t i = 0; i < 5; i++)
		assert_hears(c[i]);
	ck_assert(!has_news(slot_of(c[0])));
	/* The slot that lends it may be without a group. */
	tapio_consumer_close(c[0]);
	ck_assert_uint_eq(boards(), bit(board_of(c[1])));
	assert_hears(c[4]);
	for (uint32_t i = 1; i < 5; i++)
		tapio_consumer_close(c[i]);
	ck_assert_uint_eq(boards(), 0);
}
END_TEST

/* And the first one that a producer looks at is not the only one. */
START_TEST(another_uid_has_another_board)
{
	struct tapio_consumer *c;
	struct stranger s;

	stranger_start(&s, stay, 2);
	c = open_consumer("g", TAPIO_GROUP_LOSSY);
	emit();
	ck_assert(!has_news(s.slot));
	ck_assert_uint_ne(s.slot, slot_of(c));
	ck_assert_uint_eq(boards(), bit(slot_of(c)) | bit(s.slot));
	assert_hears(c);
	stranger_end(&s);
	tapio_consumer_close(c);
}
END_TEST

/* It stops, or floods, its own board as it likes. */
START_TEST(another_uid_silences_nobody)
{
	struct tapio_consumer *c = open_consumer("g", TAPIO_GROUP_LOSSY);
	struct tapio_consumer *d = open_consumer("h", TAPIO_GROUP_LOSSY);
	struct stranger s;
	unsigned char byte;

	stranger_start(&s, silence, 0);
	for (int i = 0; i < 20; i++) {
		assert_hears(i % 2 ? c : d);
		ck_assert_int_eq(write(s.in, "x", 1), 1);
		ck_assert_int_eq(read(s.out, &byte, 1), 1);
	}
	stranger_end(&s);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
}
END_TEST

/* ---- parting -------------------------------------------------------------------------------- */

/*
 * The owner of everything joins a group of another uid, and so gets the memory whose board
 * another group of that uid shares.
 */
START_TEST(a_board_that_another_uid_gets_is_left)
{
	struct tapio_consumer *c;
	struct stranger s;
	uint32_t second, before;

	stranger_start(&s, stay, 2);
	ck_assert_uint_eq(boards(), bit(s.slot));
	second = (uint32_t)__builtin_ctzll(
		tpi_load_relaxed(&p->now->client.shared->active) &
		~bit(s.slot));
	before = bell(second);
	c = open_consumer("s0", 0);
	ck_assert_uint_eq(slot_of(c), s.slot);
	ck_assert_uint_eq(board_of(c), s.slot);
	ck_assert_uint_eq(boards(), bit(s.slot) | bit(second));
	/* No announcement that its members have made is good any more. */
	ck_assert_uint_eq(bell(second), before + TPI_RING_ROUNDS);
	assert_hears(c);
	tapio_consumer_close(c);
	/* Nor does the memory lend it again. */
	c = open_consumer("t", 0);
	ck_assert_uint_eq(board_of(c), slot_of(c));
	tapio_consumer_close(c);
	stranger_end(&s);
}
END_TEST

static struct tapio_consumer *members[TAPIO_GROUP_SLOTS];

/* As CONFIG, with room for a group in each slot. */
static void begin_with_all_slots(void)
{
	tapio_producer_close(p);
	rig_stop();
	rig_start(
		"channel events { stamp = \"none\"\n groups_max = 64\n"
		"class main { block = 64\n blocks = 64\n side_blocks = 64 }}\n"
		"allow anybody { any = true role = {produce, consume, \n"
		"inspect, lossless} }\n");
	p = open_producer();
}

/* All other slots are in use, so that memory is replaced whose board a group shares. */
START_TEST(a_board_in_memory_that_is_replaced_is_left)
{
	uint32_t lender, user = 1, before;
	struct stranger s;
	char group[8];

	begin_with_all_slots();
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		snprintf(group, sizeof(group), "g%u", i);
		members[i] = open_consumer(group, TAPIO_GROUP_LOSSY);
	}
	lender = slot_of(members[0]);
	ck_assert_uint_eq(boards(), bit(lender));
	before = bell(slot_of(members[user]));
	tapio_consumer_close(members[0]);
	stranger_start(&s, stay, 1);
	ck_assert_uint_eq(s.slot, lender);
	ck_assert_uint_eq(epoch_of(lender), 2);
	ck_assert_uint_eq(boards(), ~UINT64_C(0));
	ck_assert_uint_eq(bell(slot_of(members[user])),
			  before + TPI_RING_ROUNDS);
	for (uint32_t i = 1; i < TAPIO_GROUP_SLOTS; i++)
		assert_hears(members[i]);
	stranger_end(&s);
	for (uint32_t i = 1; i < TAPIO_GROUP_SLOTS; i++)
		tapio_consumer_close(members[i]);
}
END_TEST

/* The uid that stands for many shares nothing. */
static int join_twice(int unused)
{
	struct peer first, second;

	(void)unused;
	if (join(&first, NULL) || join(&second, NULL))
		return 1;
	return second.attached.board == second.attached.group_slot + 1 ? DONE
								       : 2;
}

START_TEST(the_uid_without_a_mapping_shares_no_board)
{
	ck_assert_int_eq(run_as(65534, join_twice, 0), DONE);
}
END_TEST

/* ---- producers and members that differ --------------------------------------------------- */

/* It does not see the board of memory that it has not got. */
START_TEST(memory_that_a_producer_has_not_got_lends_no_board)
{
	struct tapio_consumer *c, *d;

	use_up(0);
	c = open_consumer("g", TAPIO_GROUP_LOSSY);
	ck_assert(is_unheard(slot_of(c)));
	d = open_consumer("h", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(board_of(d), slot_of(d));
	tapio_consumer_close(c);
	tapio_consumer_close(d);
}
END_TEST

/* It has asked for it, goes on, and the answer is still in its socket. */
static void ask_and_go_on(uint32_t slot)
{
	int sock = p->now->client.handle.sock.number;
	struct pollfd answered = {.fd = sock, .events = POLLIN};
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_FETCH);
	m.fetch.attachment = p->now->client.granted.attachment;
	m.fetch.slots = bit(slot);
	ck_assert_int_eq(tpi_send_fds(sock, m.bytes, m.header.length, NULL, 0),
			 (int)m.header.length);
	p->now->slots.asked = true;
	ck_assert_int_eq(poll(&answered, 1, -1), 1);
}

START_TEST(memory_that_a_producer_has_not_taken_lends_no_board)
{
	struct tapio_consumer *c, *d;
	uint32_t slot;

	for (int i = 1; i < TAPIO_GROUP_SLOTS; i++)
		ck_assert_int_ge(run_as(UIDS + (uid_t)i, join_and_leave, 0),
				 100);
	c = open_consumer("c", TAPIO_GROUP_LOSSY);
	d = open_consumer("d", TAPIO_GROUP_LOSSY);
	slot = slot_of(d);
	ck_assert_uint_lt(slot, slot_of(c));
	ck_assert_uint_eq(epoch_of(slot), 2);
	ask_and_go_on(slot);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
	d = open_consumer("d", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(slot_of(d), slot);
	ck_assert_uint_eq(board_of(d), slot);
	ck_assert(is_unheard(slot));
	c = open_consumer("c", TAPIO_GROUP_LOSSY);
	ck_assert_uint_eq(epoch_of(slot_of(c)), 1);
	assert_hears(c);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
}
END_TEST

/* It has no descriptor left when the answer comes, and the answer is gone. */
START_TEST(memory_that_a_producer_could_not_take_lends_no_board)
{
	struct tapio_consumer *c, *d;
	struct rlimit limit, low;
	uint32_t slot;

	for (int i = 1; i < TAPIO_GROUP_SLOTS; i++)
		ck_assert_int_ge(run_as(UIDS + (uid_t)i, join_and_leave, 0),
				 100);
	c = open_consumer("c", TAPIO_GROUP_LOSSY);
	d = open_consumer("d", TAPIO_GROUP_LOSSY);
	slot = slot_of(d);
	ck_assert_uint_eq(epoch_of(slot), 2);
	pin(0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 200; i++)
		emit();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_ne(p->now->emit.gating.epochs[slot], 2);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
	d = open_consumer("d", TAPIO_GROUP_LOSSY);
	c = open_consumer("c", TAPIO_GROUP_LOSSY);
	ck_assert_uint_lt(slot_of(d), slot_of(c));
	assert_hears(c);
	tapio_consumer_close(c);
	tapio_consumer_close(d);
}
END_TEST

/* Protocol 1.5: it announces itself on `armed` alone. */
START_TEST(a_member_of_an_older_library_is_rung_at_each_announcement)
{
	struct tapio_consumer *c = open_consumer("g", TAPIO_GROUP_LOSSY);
	struct peer peer;
	uint32_t slot, before;

	peer_connect_to(&peer, rig.options.socket);
	ck_assert_int_eq(peer_hello(&peer), 0);
	peer.minor = TPI_WIRE_MINOR_BOARDS - 1;
	ck_assert_int_eq(peer_attach(&peer, TAPIO_ROLE_CONSUME, "events", "old",
				     0, 0, 0),
			 0);
	ck_assert_uint_eq(peer.attached.board, 0);
	ck_assert_uint_eq(peer.attached.cursors_count, 1);
	slot = peer.attached.group_slot;
	ck_assert_uint_eq(unboarded(), 1);
	ck_assert_uint_eq(boards(), bit(slot) | bit(slot_of(c)));
	before = bell(slot);
	for (uint32_t i = 0; i < 5; i++) {
		tpi_add_relaxed(&peer.cursors.control->armed, 1);
		emit();
		ck_assert_uint_eq(bell(slot), before + 1 + i);
		ck_assert(has_news(slot));
		assert_hears(c);
	}
	ck_assert_int_eq(peer_detach(&peer), 0);
	ck_assert_uint_eq(unboarded(), 0);
	emit();
	ck_assert(!has_news(slot_of(c)));
	peer_close(&peer);
	tapio_consumer_close(c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("boards");

	if (getuid()) {
		printf("skipped: becoming another uid needs root\n");
		return 77;
	}
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, groups_of_one_uid_share_a_board);
	tcase_add_test(t, another_uid_has_another_board);
	tcase_add_test(t, another_uid_silences_nobody);
	tcase_add_test(t, a_board_that_another_uid_gets_is_left);
	tcase_add_test(t, a_board_in_memory_that_is_replaced_is_left);
	tcase_add_test(t, the_uid_without_a_mapping_shares_no_board);
	tcase_add_test(t, memory_that_a_producer_has_not_got_lends_no_board);
	tcase_add_test(t, memory_that_a_producer_has_not_taken_lends_no_board);
	tcase_add_test(t, memory_that_a_producer_could_not_take_lends_no_board);
	tcase_add_test(
		t, a_member_of_an_older_library_is_rung_at_each_announcement);
	return check_run_case("boards", t);
}
