/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members that sleep: one that has only opened keeps no lane, one that stands still
 * without events in its hands is relieved after a second and nothing comes twice, one
 * with events in its hands after `takeover`, and what it stores when it wakes up is no
 * news. A member that sleeps is a handle that is not called for a while.
 *
 * On fddcec1 the other member got nothing in each of the first three cases.
 */
#include <poll.h>

#include "tests/unit/client_fixture.h"

#define EVENTS_MAX 4096
#define GIVE_UP_NS INT64_C(30000000000)
#define SOON       INT64_C(200000000) /* a takeover that tests can wait for */

static struct tapio_producer *p;
static uint32_t sent;
static uint8_t came[EVENTS_MAX]; /* how often each event came */

static void start(const char *config)
{
	pin(0);
	rig_start(config);
	p = rig_producer();
}

static void set_up(void)
{
	start(RIG_CONFIG);
}

/* For members that merge. */
static void set_up_stamped(void)
{
	start("channel t { stamp = tsc\n" RIG_CLASS "}\n");
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

static struct tapio_consumer *open_member(int64_t takeover_ns)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.takeover_ns = takeover_ns,
	};

	return rig_open(&options);
}

static void emit(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, sent++)
		ck_assert_int_eq(tapio_output(p, TAG, &sent, sizeof(sent)), 0);
}

/* One look; notes what came. */
static unsigned int take(struct tapio_consumer *c, struct tapio_view *views,
			 unsigned int max)
{
	unsigned int n = look(c, views, max);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t number;

		ck_assert_uint_eq(views[i].flags, 0);
		memcpy(&number, views[i].data, sizeof(number));
		ck_assert_uint_lt(number, sent);
		came[number]++;
	}
	return n;
}

static unsigned int take_all(struct tapio_consumer *c)
{
	struct tapio_view views[64];
	unsigned int n, sum = 0;

	while ((n = take(c, views, 64))) {
		sum += n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	return sum;
}

/* Until so many came to a member. */
static void wait_for(struct tapio_consumer *c, unsigned int count)
{
	int64_t end = tpi_now_ns() + GIVE_UP_NS;

	while (count) {
		unsigned int n = take_all(c);

		ck_assert_uint_le(n, count);
		count -= n;
		ck_assert_msg(tpi_now_ns() < end, "%u did not come", count);
		nap_ms(1);
	}
}

static void assert_each_came(unsigned int least, unsigned int most)
{
	for (uint32_t i = 0; i < sent; i++)
		ck_assert_msg(came[i] >= least && came[i] <= most,
			      "event %u came %u times", i, came[i]);
}

/* The lane that the producer works on. */
static struct tpi_track *busy(struct tapio_consumer *c)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (TAPIO_STATE_TAIL(c->now->tracks[i].lane->shm->state) != 64)
			return &c->now->tracks[i];
	ck_abort_msg("no lane is in use");
	return NULL;
}

/* Its signs of life, in whatever cell. */
static uint32_t beats(const struct tapio_consumer *c)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (c->now->tracks[i].leased)
			sum += tpi_load_relaxed(&c->now->tracks[i].cell->beat);
	return sum;
}

/* Until another thread has shown that the member lives. */
static void wait_beat(const struct tapio_consumer *c)
{
	int64_t end = tpi_now_ns() + GIVE_UP_NS;
	uint32_t before = beats(c);

	while (beats(c) == before) {
		ck_assert_msg(tpi_now_ns() < end, "no sign of life");
		nap_ms(5);
	}
}

static uint32_t takeovers(struct tapio_consumer *c)
{
	return busy(c)->cursor->takeovers;
}

/* No cell is lost: one counts, and those of sleepers are their own. */
static void assert_cells(struct tapio_consumer *c, int sleepers)
{
	const struct tapio_shm_cursor *cursor = busy(c)->cursor;
	int used = 0;

	for (int i = 0; i < TAPIO_CELLS; i++)
		used += TAPIO_CELL_OWNER(cursor->cells[i].owner) != 0 ||
			cursor->cells[i].owner & TAPIO_CELL_GIVEN;
	ck_assert_int_eq(used, 1 + sleepers);
}

/* ---- three ways to sleep ------------------------------------------------------------ */

START_TEST(a_member_that_has_only_opened_keeps_nothing)
{
	struct tapio_consumer *a = open_member(0), *b = open_member(0);

	emit(60);
	ck_assert_uint_eq(take_all(b), 60);
	assert_each_came(1, 1);
	ck_assert_uint_eq(group_stats(a).lanes, 0);
	assert_ledger(b, 60, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

START_TEST(a_member_that_stands_still_is_relieved_and_nothing_comes_twice)
{
	struct tapio_consumer *a = open_member(_i ? TAPIO_FOREVER : 0);
	struct tapio_consumer *b = open_member(0);
	struct tapio_view views[64];

	emit(10);
	ck_assert_uint_eq(take_all(a), 10);
	ck_assert_uint_eq(take_all(b), 0);
	emit(50);
	wait_for(b, 50);
	ck_assert_uint_eq(takeovers(b), 1);
	assert_cells(b, 1);
	/* It wakes up, finds that the lane has gone, and gives its cell back. */
	emit(20);
	ck_assert_uint_eq(group_stats(a).relieved, 0); /* not noticed yet */
	ck_assert_uint_eq(take(a, views, 64), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_cells(b, 0);
	wait_for(b, 20);
	ck_assert_uint_eq(group_stats(b).relieved, 0);
	assert_each_came(1, 1);
	assert_ledger(b, 80, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

START_TEST(a_member_that_is_stuck_in_a_batch_is_relieved_after_the_takeover)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	struct tapio_view views[64];

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	wait_for(b, 10);
	ck_assert_uint_eq(takeovers(b), 1);
	assert_ledger(b, 10, 0, 0);
	/* Nothing was overwritten, so what it has read is good; it is no news. */
	ck_assert_int_eq(tapio_view_intact(a, &views[3]), 1);
	ck_assert_int_eq(tapio_release(a), 0);
	assert_ledger(b, 10, 0, 0);
	assert_cells(b, 0);
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_uint_eq(came[i], 2);
	emit(30);
	wait_for(b, 30);
	assert_ledger(b, 40, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* The ring goes round under a batch that is not the member's any more. */
START_TEST(a_member_that_was_relieved_is_told_that_its_views_were_overwritten)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	struct tapio_view views[64];

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	wait_for(b, 10);
	for (int i = 0; i < 5; i++) {
		emit(60);
		wait_for(b, 60);
	}
	ck_assert_int_eq(tapio_view_intact(a, &views[0]), 0);
	ck_assert_int_eq(tapio_release(a), 10);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_ledger(b, 310, 0, 0); /* lossless: it lost nothing */
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* A survey of a member's own making. */
static void survey(struct tapio_consumer *c)
{
	c->now->balanced_ns = 0;
	tpi_lease_balance(c->now);
}

/*
 * Both members were stopped, as a shell stops a job. The one that runs first does not take the
 * time that it has slept itself for the other one's sleep. On bfdaa873 it relieved the other
 * one at once, and the events came twice.
 */
START_TEST(who_has_slept_itself_leaves_the_others_time_to_wake_up)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	struct tapio_view views[64];
	int64_t end;

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	survey(b);
	nap_ms(5 * (int)(SOON / 1000000));
	survey(b);
	ck_assert_uint_eq(takeovers(b), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	assert_ledger(a, 10, 0, 0);
	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	survey(b);
	/* It is relieved all the same when it does not wake up. */
	end = tpi_now_ns() + GIVE_UP_NS;
	while (!takeovers(b)) {
		ck_assert(tpi_now_ns() < end);
		nap_ms(3 * (int)(SOON / 1000000));
		survey(b);
	}
	wait_for(b, 10);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

START_TEST(who_says_never_is_never_relieved_of_a_batch)
{
	struct tapio_consumer *a = open_member(TAPIO_FOREVER);
	struct tapio_consumer *b = open_member(0);
	struct tapio_view views[64];
	int64_t end;

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	end = tpi_now_ns() + 1500000000;
	while (tpi_now_ns() < end) {
		ck_assert_uint_eq(take_all(b), 0);
		nap_ms(5);
	}
	ck_assert_uint_eq(takeovers(b), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	assert_each_came(1, 1);
	assert_ledger(a, 10, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* Looks are signs of life, also those that find nothing, and so are releases. */
START_TEST(a_member_that_lives_keeps_its_lanes)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	struct tapio_view views[64], none;
	int64_t end;

	emit(30);
	ck_assert_uint_eq(take(a, views, 8), 8); /* and more is unread */
	end = tpi_now_ns() + 1500000000;
	while (tpi_now_ns() < end) {
		ck_assert_int_ge(tapio_poll(a, &none, 0, 0), 0);
		ck_assert_uint_eq(take_all(b), 0);
		nap_ms(5);
	}
	ck_assert_uint_eq(takeovers(b), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(take_all(a), 22);
	assert_each_came(1, 1);
	assert_ledger(a, 30, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/*
 * It waits by its descriptor for more than is there, as it may. Its helper thread shows
 * that it lives.
 */
START_TEST(a_member_that_waits_for_many_keeps_its_lanes)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = 32,
		.wake_ns = INT64_C(20000000000),
	};
	struct tapio_consumer *a = rig_open(&options), *b = rig_open(&options);
	int64_t end;

	emit(5);
	ck_assert_uint_eq(take_all(a), 5);
	ck_assert_int_ge(tapio_fd(a), 0);
	ck_assert_uint_eq(take_all(a), 0);
	emit(20);
	end = tpi_now_ns() + INT64_C(1800000000);
	while (tpi_now_ns() < end) {
		wait_beat(a);
		ck_assert_uint_eq(take_all(b), 0);
	}
	ck_assert_uint_eq(takeovers(b), 0);
	emit(12);
	ck_assert_uint_eq(take_all(a), 32);
	assert_each_came(1, 1);
	assert_ledger(b, 37, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

static bool readable(struct tapio_consumer *c)
{
	struct pollfd poll_fd = {.fd = tapio_fd(c), .events = POLLIN};

	ck_assert_int_ge(poll_fd.fd, 0);
	return poll(&poll_fd, 1, 1000) == 1;
}

/*
 * The descriptor waits for news of a lane of which the member had all in its hands. The lane
 * goes to another one and comes back: then there are events from before. On bfdaa873 the
 * helper still counted from where the member had been.
 */
START_TEST(a_lane_that_comes_back_makes_the_descriptor_readable)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	int64_t end = tpi_now_ns() + GIVE_UP_NS;
	struct tapio_view views[64];

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	ck_assert(readable(a)); /* at first */
	ck_assert_uint_eq(take(a, views + 10, 54), 0);
	while (!busy(b)->leased) {
		ck_assert(tpi_now_ns() < end);
		nap_ms(10);
		tpi_lease_balance(b->now);
	}
	ck_assert_int_eq(tapio_release(a), 0);
	tpi_lease_give(b->now, busy(b));
	busy(a)->free_before = true;
	tpi_lease_free(a->now);
	ck_assert(busy(a)->leased);
	ck_assert_uint_eq(take(a, views, 4), 4);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert(readable(a));
	ck_assert_uint_eq(take_all(a), 6);
	assert_ledger(a, 10, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* ---- late stores ---------------------------------------------------------------------- */

/* As if it had stopped between R0 and R1, and had gone on after the takeover. */
static void release_late(struct tapio_shm_cell *cell, uint64_t position,
			 uint32_t incarnation)
{
	uint64_t head = tpi_load_acquire(&cell->head);
	uint32_t record = !TAPIO_HEAD_RECORD(head);

	cell->tally[record] = (struct tapio_shm_tally){1000, 1000};
	tpi_store_release(&cell->head,
			  TAPIO_HEAD(position, incarnation, record));
}

/* Producers, the ledger and the new holder do not look at the sleeper's cell. */
START_TEST(a_late_release_is_no_news)
{
	struct tapio_consumer *a = open_member(SOON), *b = open_member(0);
	struct tapio_view views[64];
	struct tapio_shm_cell *cell;
	uint64_t next, x = 0;

	emit(10);
	ck_assert_uint_eq(take(a, views, 64), 10);
	cell = busy(a)->cell;
	next = busy(a)->next;
	wait_for(b, 4 + 6);
	emit(30);
	ck_assert_uint_eq(take(b, views, 64), 30);
	release_late(cell, next + 30, a->now->incarnation);
	/* b has 30 in its hands, and 34 of 64 positions are free. */
	for (int i = 0; i < 34; i++)
		emit(1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), -EAGAIN);
	ck_assert_int_eq(tapio_release(b), 0);
	wait_for(b, 34);
	assert_ledger(b, 74, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* ---- the steps of lease.h, one by one ------------------------------------------------- */

START_TEST(a_holder_that_is_asked_keeps_the_lane_by_handing_out)
{
	struct tapio_consumer *a = open_member(0), *b = open_member(0);
	struct tapio_view views[64];
	struct tpi_track *t;
	uint64_t asked, before;

	emit(5);
	ck_assert_uint_eq(take_all(a), 5);
	t = busy(a);
	before = t->lease;
	asked = before | TAPIO_LEASE_ASKED;
	tpi_store_release(&t->cursor->lease, asked); /* A1, by b */
	emit(5);
	ck_assert_uint_eq(take(a, views, 64), 5);
	ck_assert_uint_ne(t->lease, before);
	ck_assert(!tpi_lease_take(b->now, busy(b), asked)); /* T1 */
	ck_assert_int_eq(tapio_release(a), 0);
	/* A release alone leaves the question, and counts. */
	emit(5);
	ck_assert_uint_eq(take(a, views, 64), 5);
	tpi_store_release(&t->cursor->lease, t->lease | TAPIO_LEASE_ASKED);
	ck_assert_int_eq(tapio_release(a), 0);
	assert_ledger(a, 15, 0, 0);
	/* Now T1 comes first: what a finds is not handed out. */
	asked = t->lease | TAPIO_LEASE_ASKED;
	emit(5);
	ck_assert(tpi_lease_take(b->now, busy(b), asked));
	ck_assert_uint_eq(take(a, views, 64), 0);
	wait_for(b, 5);
	assert_each_came(1, 1);
	assert_cells(b, 0);
	assert_ledger(b, 20, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/* A taker that stopped, or died, after T1. The gate stays; the third one goes on. */
START_TEST(a_lane_that_is_moving_is_no_news_and_is_taken_over)
{
	struct tapio_consumer *a = open_member(0), *b = open_member(0);
	struct tapio_consumer *c = open_member(0);
	struct tpi_track *t;
	uint32_t taker = _i ? c->now->me : TAPIO_NOBODY;
	uint64_t gate, x = 0;
	int n;

	emit(10);
	ck_assert_uint_eq(take_all(a), 10);
	t = busy(a);
	gate = tpi_load_relaxed(&t->lane->shm->gate) & TAPIO_POSITION_MASK;
	tpi_store_release(&t->cursor->lease,
			  tpi_lease_next(t->lease, taker, TAPIO_LEASE_MOVING));
	/* What a has released frees no block now: its head is no news. */
	for (n = 0; !tapio_output(p, TAG, &sent, sizeof(sent)); n++)
		sent++;
	ck_assert_int_eq(n, 64 - 10);
	ck_assert_uint_eq(tpi_load_relaxed(&t->lane->shm->gate) &
				  TAPIO_POSITION_MASK,
			  gate);
	wait_for(b, 54);
	assert_each_came(1, 1);
	assert_cells(b, 1); /* a sleeps */
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	ck_assert_uint_eq(look(b, &(struct tapio_view){0}, 1), 1);
	ck_assert_int_eq(tapio_release(b), 0);
	assert_ledger(b, 65, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
	tapio_consumer_close(c);
}
END_TEST

/* Each that sleeps with a batch keeps a cell. A third one is not relieved. */
START_TEST(two_sleepers_are_relieved_and_a_third_when_one_of_them_wakes_up)
{
	struct tapio_consumer *m[4];
	struct tapio_view views[64];
	int64_t end;

	for (int i = 0; i < 4; i++)
		m[i] = open_member(i ? 0 : SOON);
	emit(10);
	for (int i = 0; i < 3; i++) {
		end = tpi_now_ns() + GIVE_UP_NS;
		while (!take(m[i], views, 64)) {
			ck_assert(tpi_now_ns() < end);
			nap_ms(1);
		}
	}
	assert_cells(m[3], 2);
	end = tpi_now_ns() + 3 * SOON;
	while (tpi_now_ns() < end) {
		ck_assert_uint_eq(take_all(m[3]), 0);
		nap_ms(5);
	}
	ck_assert(tpi_lease_held(busy(m[2])));
	ck_assert_int_eq(tapio_release(m[0]), 0); /* no news, but a cell */
	assert_cells(m[3], 1);
	wait_for(m[3], 10);
	ck_assert_uint_eq(takeovers(m[3]), 3);
	/* A close gives the cell back, too. */
	tapio_consumer_close(m[1]);
	ck_assert_int_eq(tapio_release(m[2]), 0);
	assert_cells(m[3], 0);
	assert_ledger(m[3], 10, 0, 0);
	tapio_consumer_close(m[0]);
	tapio_consumer_close(m[2]);
	tapio_consumer_close(m[3]);
}
END_TEST

/* Events that pass no filter are in nobody's hands. */
START_TEST(what_a_sleeper_has_skipped_is_counted_once)
{
	static const uint16_t types[] = {100};
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.types = types,
		.type_count = 1,
	};
	struct tapio_consumer *a = rig_open(&options), *b = rig_open(&options);

	for (uint32_t i = 0; i < 20; i++) {
		ck_assert_int_eq(tapio_output(p, TAPIO_TAG(7, 1), "x", 1), 0);
		emit(1);
	}
	ck_assert_uint_eq(take_all(a), 20);
	for (uint32_t i = 0; i < 20; i++) {
		ck_assert_int_eq(tapio_output(p, TAPIO_TAG(7, 1), "x", 1), 0);
		emit(1);
	}
	wait_for(b, 20);
	take_all(a);
	assert_each_came(1, 1);
	assert_ledger(b, 40, 40, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/*
 * A taker that was killed between T4 and L2 has left a cell that its last owner, who
 * lives, has given. When it is reaped the broker gives the cell back.
 */
START_TEST(a_cell_that_a_dead_taker_has_left_is_used_again)
{
	struct tapio_consumer *a = open_member(0), *b = open_member(0);
	struct tapio_shm_cell *left;
	struct tpi_track *t;

	emit(10);
	ck_assert_uint_eq(take_all(a), 10);
	t = busy(a);
	left = &t->cursor->cells[t->cell == t->cursor->cells];
	tpi_store_release(&left->owner,
			  TAPIO_CELL_TAKE(left->owner, a->now->me) |
				  TAPIO_CELL_GIVEN);
	assert_cells(a, 1);
	tapio_consumer_close(b);
	assert_cells(a, 0);
	emit(10);
	ck_assert_uint_eq(take_all(a), 10);
	assert_ledger(a, 20, 0, 0);
	tapio_consumer_close(a);
}
END_TEST

START_TEST(members_agree_on_the_takeover)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = "g",
		.takeover_ns = SOON + 1,
	};
	struct tapio_consumer *a = open_member(SOON), *b;

	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), -EBUSY);
	ck_assert_ptr_nonnull(strstr(rig.error, "takeover"));
	options.takeover_ns = -2;
	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig.error, "takeover"));
	options.takeover_ns = SOON;
	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), 0);
	tapio_consumer_close(b);
	options.group = NULL;
	options.takeover_ns = 0;
	ck_assert_int_eq(tapio_consumer_open(&b, "t", &options), 0);
	ck_assert_uint_eq(b->now->group->takeover_ns, UINT64_C(30000000000));
	tapio_consumer_close(b);
	tapio_consumer_close(a);
}
END_TEST

/* ---- awake when the ring has gone round ---------------------------------------------- */

/* The other member reads more than a ring holds. */
static void pass_the_ring(struct tapio_consumer *b, unsigned int unread)
{
	if (unread)
		wait_for(b, unread);
	for (int i = 0; i < 3; i++) {
		emit(60);
		wait_for(b, 60);
	}
}

/*
 * A look that finds that the lane has gone leaves nothing to hand out. The second time
 * the member has read a part of what it had seen, and looks in the middle of its round.
 * On c86d6e5 what lay in the ring by then was handed out in both.
 */
START_TEST(a_merging_member_that_wakes_up_behind_the_ring_hands_nothing_out)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.takeover_ns = TAPIO_FOREVER,
		.merge_ns = 1000000,
	};
	struct tapio_consumer *a = rig_open(&options), *b = open_member(0);
	struct tapio_view views[64];

	emit(30);
	if (_i) {
		nap_ms(5);
		ck_assert_uint_eq(take(a, views, 8), 8);
		ck_assert_int_eq(tapio_release(a), 0);
	} else {
		wait_for(a, 30);
		emit(10);
	}
	pass_the_ring(b, _i ? 22 : 10);
	ck_assert_uint_eq(takeovers(b), 1);
	nap_ms(5);
	ck_assert_uint_eq(take(a, views, 64), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_each_came(1, 1);
	assert_ledger(b, sent, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

/*
 * A member that may be overrun would miss events on a lane that has gone. They were another's.
 * On c86d6e5 a member that takes one event at a time told it as lost.
 */
START_TEST(a_member_that_wakes_up_behind_the_ring_tells_no_loss_of_the_other)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSY,
		.takeover_ns = TAPIO_FOREVER,
		.merge_ns = _i ? 1000000 : 0,
	};
	struct tapio_consumer *a = rig_open(&options), *b = rig_open(&options);
	struct tapio_view views[64];

	emit(30);
	wait_for(a, 30);
	emit(10);
	pass_the_ring(b, 10);
	ck_assert_uint_eq(takeovers(b), 1);
	nap_ms(5);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(take(a, views, 1), 0);
		ck_assert_int_eq(tapio_release(a), 0);
	}
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_each_came(1, 1);
	assert_ledger(b, sent, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client takeover");
	TCase *t = tcase_create("takeover");

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_member_that_has_only_opened_keeps_nothing);
	tcase_add_loop_test(
		t,
		a_member_that_stands_still_is_relieved_and_nothing_comes_twice,
		0, 2);
	tcase_add_test(
		t,
		a_member_that_is_stuck_in_a_batch_is_relieved_after_the_takeover);
	tcase_add_test(
		t,
		a_member_that_was_relieved_is_told_that_its_views_were_overwritten);
	tcase_add_test(t,
		       who_has_slept_itself_leaves_the_others_time_to_wake_up);
	tcase_add_test(t, who_says_never_is_never_relieved_of_a_batch);
	tcase_add_test(t, a_member_that_lives_keeps_its_lanes);
	tcase_add_test(t, a_member_that_waits_for_many_keeps_its_lanes);
	tcase_add_test(t, a_lane_that_comes_back_makes_the_descriptor_readable);
	tcase_add_test(t, a_late_release_is_no_news);
	tcase_add_test(t, a_holder_that_is_asked_keeps_the_lane_by_handing_out);
	tcase_add_loop_test(
		t, a_lane_that_is_moving_is_no_news_and_is_taken_over, 0, 2);
	tcase_add_test(
		t,
		two_sleepers_are_relieved_and_a_third_when_one_of_them_wakes_up);
	tcase_add_test(t, what_a_sleeper_has_skipped_is_counted_once);
	tcase_add_test(t, a_cell_that_a_dead_taker_has_left_is_used_again);
	tcase_add_test(t, members_agree_on_the_takeover);
	suite_add_tcase(suite, t);
	t = tcase_create("late");
	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, set_up_stamped, tear_down);
	tcase_add_loop_test(
		t,
		a_merging_member_that_wakes_up_behind_the_ring_hands_nothing_out,
		0, 2);
	tcase_add_loop_test(
		t,
		a_member_that_wakes_up_behind_the_ring_tells_no_loss_of_the_other,
		0, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
