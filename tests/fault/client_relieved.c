/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A takeover between any two steps of the member that sleeps, and the other way round:
 * client/consumer/lease.h has the steps, and why each of these ends well. Testpoints
 * stop one member in the middle, and another one acts there, each time.
 *
 * The consumers' code and the gate are compiled here with testpoints, whatever the rest
 * is built with.
 */
#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#define BLOCKS 64
#define OTHER  TAPIO_TAG(7, 1) /* does not pass */

#define CONFIG(policy)                                         \
	"channel t { stamp = tsc\n class main { block = 64\n"  \
	" blocks = 64\n side_blocks = 64\n side_lanes = 4 }\n" \
	" group g { policy = " policy " takeover = 10s } }\n"

static struct tapio_producer *p;
static struct tapio_consumer *a, *b, *c;
static struct tapio_view views[BLOCKS], others[BLOCKS];
static uint32_t sent, skipped;
static uint8_t came[4096];

/* Does `act` at the first time that `point` is reached, outside of itself. */
static struct {
	const char *point;
	void (*act)(void);
	bool acted;
} plot;

static void hook(const char *name)
{
	if (plot.acted || strcmp(name, plot.point))
		return;
	plot.acted = true;
	plot.act();
}

static void plan(const char *point, void (*act)(void))
{
	plot.point = point;
	plot.act = act;
	plot.acted = false;
	tpi_testpoint_hook = hook;
}

static void assert_acted(void)
{
	ck_assert_msg(plot.acted, "%s was not reached", plot.point);
	tpi_testpoint_hook = NULL;
}

/* ---- the barrier: A2 ------------------------------------------------------------- */

static int barrier_fails;

int __real_tpi_barrier(void);
int __wrap_tpi_barrier(void);
int __wrap_tpi_barrier(void)
{
	if (tpi_testpoint_hook)
		tpi_testpoint_hook("barrier");
	return barrier_fails ? -EPERM : __real_tpi_barrier();
}

/* ---- the members ---------------------------------------------------------------- */

static struct tapio_consumer *open_member(uint64_t merge_ns)
{
	static const uint16_t types[] = {100};
	struct tapio_consumer_options options = {
		.group = "g",
		.types = types,
		.type_count = 1,
		.merge_ns = merge_ns,
	};

	return rig_open(&options);
}

static void start(const char *config)
{
	rig_start(config);
	pin(0);
	p = rig_producer();
	/* Of each second case, one that merges. */
	a = open_member(0);
	b = open_member(0);
	c = open_member(0);
	sent = skipped = 0;
	barrier_fails = 0;
	memset(came, 0, sizeof(came));
}

static void set_up(void)
{
	start(CONFIG("lossless"));
}

static void set_up_lossy(void)
{
	start(CONFIG("lossy"));
}

static void tear_down(void)
{
	tpi_testpoint_hook = NULL;
	tapio_consumer_close(a);
	tapio_consumer_close(b);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}

/* Events, and as many that do not pass. */
static void emit(uint32_t count)
{
	for (; count; count--) {
		ck_assert_int_eq(tapio_output(p, TAG, &sent, sizeof(sent)), 0);
		ck_assert_int_eq(tapio_output(p, OTHER, &sent, sizeof(sent)),
				 0);
		sent++;
		skipped++;
	}
}

static unsigned int take(struct tapio_consumer *m, struct tapio_view *v)
{
	unsigned int n = look(m, v, BLOCKS);

	for (unsigned int i = 0; i < n; i++)
		came[*(const uint32_t *)v[i].data]++;
	return n;
}

static unsigned int take_and_release(struct tapio_consumer *m,
				     struct tapio_view *v)
{
	unsigned int n = take(m, v);

	ck_assert_int_eq(tapio_release(m), 0);
	return n;
}

static struct tpi_track *busy(struct tapio_consumer *m)
{
	for (uint32_t i = 0; i < m->now->lane_count; i++)
		if (TAPIO_STATE_TAIL(m->now->tracks[i].lane->shm->state) !=
		    BLOCKS)
			return &m->now->tracks[i];
	ck_abort_msg("no lane is in use");
	return NULL;
}

/* A survey, and another one `ns` later in which all others have not moved. */
static void survey_after(struct tapio_consumer *m, int64_t ns)
{
	struct tpi_survey *s;

	m->now->balanced_ns = 0;
	tpi_lease_balance(m->now);
	s = &m->now->surveys[m->now->turn];
	for (uint32_t i = 0; i < s->count; i++)
		s->holders[i].since -= ns;
	m->now->balanced_ns = 0;
	tpi_lease_balance(m->now);
}

/* Long enough for a lane without events in hand, and for one with. */
#define IDLE   INT64_C(1500000000)
#define ASLEEP INT64_C(15000000000)

static void b_asks(void)
{
	survey_after(b, IDLE);
}

static void b_relieves(void)
{
	survey_after(b, ASLEEP);
}

static void b_relieves_and_reads(void)
{
	survey_after(b, ASLEEP);
	ck_assert(busy(b)->leased);
	take_and_release(b, others);
}

static void c_relieves_and_reads(void)
{
	survey_after(c, IDLE); /* the taker has nothing in its hands */
	ck_assert(busy(c)->leased);
	take_and_release(c, others);
}

static void nothing(void)
{
}

static void a_looks(void)
{
	take(a, views);
}

static void a_reads(void)
{
	take_and_release(a, views);
}

static void a_releases(void)
{
	ck_assert_int_eq(tapio_release(a), 0);
}

/* ---- what must be so in the end --------------------------------------------------- */

static void assert_cells(int sleepers)
{
	const struct tapio_shm_cursor *cursor = busy(b)->cursor;
	int used = 0;

	for (int i = 0; i < TAPIO_CELLS; i++)
		used += TAPIO_CELL_OWNER(cursor->cells[i].owner) != 0 ||
			cursor->cells[i].owner & TAPIO_CELL_GIVEN;
	ck_assert_int_eq(used, 1 + sleepers);
}

/* All that is left goes to whoever gets it; each event came, so many times at most. */
static void finish(unsigned int most)
{
	struct tapio_consumer *const all[] = {a, b, c};
	uint32_t i, k;

	assert_acted();
	for (i = 0; i < 3; i++)
		tapio_release(all[i]);
	emit(1); /* a member notices that it has lost a lane when there is news */
	for (k = 0; k < 4; k++)
		for (i = 0; i < 3; i++) {
			tpi_lease_free(all[i]->now);
			take_and_release(all[i], others);
		}
	for (i = 0; i < sent; i++)
		ck_assert_msg(came[i] && came[i] <= most,
			      "event %u came %u times", i, came[i]);
	assert_ledger(b, sent, skipped, 0);
	assert_cells(0);
}

/* ---- a holder without events in its hands ------------------------------------------ */

/* b comes between H1 and H2: it sees the announcement, and leaves a alone. */
START_TEST(who_has_announced_events_is_not_relieved)
{
	emit(5);
	a_reads();
	emit(5);
	plan("lease.announced", b_asks);
	ck_assert_uint_eq(take(a, views), 5);
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->takeovers, 0);
	finish(1);
	ck_assert_uint_eq(group_stats(a).relieved, 0);
}
END_TEST

/*
 * a looks, or reads all, while b is at A1 or past A3: either way a has kept the lane,
 * and T1 fails. (After `reads` nothing is in its hands again, so A3 alone would not
 * tell.)
 */
START_TEST(who_keeps_the_lane_when_asked_is_not_relieved)
{
	static const struct {
		const char *point;
		void (*act)(void);
	} cases[] = {
		{"takeover.asked", a_looks},  {"takeover.asked", a_reads},
		{"barrier", a_looks},         {"barrier", a_reads},
		{"takeover.proven", a_looks}, {"takeover.proven", a_reads},
	};

	emit(5);
	a_reads();
	emit(5);
	plan(cases[_i].point, cases[_i].act);
	_i % 2 ? b_asks() : b_relieves();
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->takeovers, 0);
	ck_assert(tpi_lease_held(busy(a)));
	finish(1);
	ck_assert_uint_eq(group_stats(a).relieved, 0);
}
END_TEST

static uint64_t asked_word;

static void c_asks(void)
{
	asked_word = tpi_load_relaxed(&busy(c)->cursor->lease);
	ck_assert(asked_word & TAPIO_LEASE_ASKED);
	a_reads();
	/* c asks anew, and b must not take that question for its own. */
	tpi_or_relaxed((uint32_t *)&busy(c)->cursor->lease + 1,
		       (uint32_t)(TAPIO_LEASE_ASKED >> 32));
	emit(3);
	a_looks();
	tpi_or_relaxed((uint32_t *)&busy(c)->cursor->lease + 1,
		       (uint32_t)(TAPIO_LEASE_ASKED >> 32));
}

START_TEST(the_question_of_another_member_is_not_ones_own)
{
	emit(5);
	a_reads();
	emit(5);
	plan("takeover.proven", c_asks);
	b_asks();
	ck_assert(!busy(b)->leased);
	finish(1);
}
END_TEST

/* b comes before H1, at each place where a has looked and handed out nothing yet. */
static const char *const before_announcing[] = {"poll.looked", "poll.walked",
						"poll.handed"};

START_TEST(what_a_relieved_member_has_looked_at_is_not_handed_out)
{
	emit(5);
	a_reads();
	emit(5);
	plan(before_announcing[_i], b_relieves_and_reads);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	ck_assert_int_eq(tapio_release(a), 0);
	finish(1);
}
END_TEST

/* The same for a member that merges, also with the lane's first event. */
START_TEST(what_a_merging_member_has_looked_at_is_not_handed_out)
{
	static const char *const points[] = {"merge.looked", "merge.collected",
					     "merge.handed"};
	struct tapio_consumer *plain = a;

	tapio_consumer_close(plain);
	a = open_member(1000000);
	emit(5);
	nap_ms(5);
	a_reads();
	emit(5);
	nap_ms(5);
	plan(points[_i], b_relieves_and_reads);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	finish(1);
}
END_TEST

/*
 * A hostile producer has made what lies there impossible. That is no fault that the member may
 * tell, and it does not keep it from finding that the lane has gone. On bfdaa873 it looked
 * there again and again, and kept the cell; with a watermark it did not sleep any more.
 */
START_TEST(who_finds_an_impossible_descriptor_notices_that_the_lane_has_gone)
{
	struct tpi_track *t;

	if (_i) {
		tapio_consumer_close(a);
		a = open_member(1000000);
	}
	emit(5);
	nap_ms(5);
	a_reads();
	emit(5);
	nap_ms(5);
	t = busy(a);
	plan("takeover.proven", nothing);
	b_asks();
	assert_acted();
	ck_assert(busy(b)->leased);
	/* It passes the filter, and is longer than any block. */
	p->now->emit.lanes[t->lane->id].desc[t->next & t->lane->mask] =
		TAPIO_DESC_META(100, 5, 0xfffff);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_cells(0);
	ck_assert_uint_eq(t->cursor->faults, 0);
}
END_TEST

static void b_relieves_and_reads_more_than_a_ring(void)
{
	b_relieves_and_reads();
	for (int i = 0; i < 5; i++) {
		emit(20);
		ck_assert_uint_eq(take_and_release(b, others), 20);
	}
}

/*
 * A merging member has passed over events that are not there any more when it asks, since
 * the new holder has read on. That is no loss. On c86d6e5 the member told it as one.
 */
START_TEST(what_a_merging_member_has_passed_over_is_not_told_as_lost)
{
	static const char *const points[] = {"merge.looked", "merge.collected",
					     "merge.handed"};

	tapio_consumer_close(a);
	a = open_member(1000000);
	emit(5);
	nap_ms(5);
	a_reads();
	for (int i = 0; i < 4; i++, skipped++)
		ck_assert_int_eq(tapio_output(p, OTHER, &sent, sizeof(sent)),
				 0);
	plan(points[_i], b_relieves_and_reads_more_than_a_ring);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	finish(1);
}
END_TEST

/* The same in place, when a record of an earlier loss is in its hands: none is owed. */
START_TEST(what_a_relieved_member_would_miss_is_not_owed)
{
	emit(50); /* the ring goes round */
	ck_assert_uint_eq(look(a, views, 1), 1);
	ck_assert_uint_eq(views[0].flags, 0);
	ck_assert_int_eq(tapio_release(a), 0);
	plan("poll.looked", b_relieves_and_reads_more_than_a_ring);
	ck_assert_uint_eq(look(a, views, 2), 1);
	ck_assert_uint_eq(views[0].flags, TAPIO_VIEW_GAP);
	assert_acted();
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(look(a, views, 2), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
}
END_TEST

/* Reads all there is; how many records. */
static unsigned int records_of(struct tapio_consumer *m)
{
	unsigned int records = 0, n;

	while ((n = look(m, views, BLOCKS))) {
		for (unsigned int i = 0; i < n; i++)
			records += views[i].flags & TAPIO_VIEW_GAP;
		ck_assert_int_eq(tapio_release(m), 0);
	}
	return records;
}

static void b_relieves_and_reads_on(void)
{
	survey_after(b, ASLEEP);
	ck_assert(busy(b)->leased);
	ck_assert_uint_eq(records_of(b), 1);
}

/*
 * A member that takes one view at a time owes the record of what it misses. Another one takes
 * the lane over before that loss is released: it finds the same loss, and tells it. So a
 * record that is owed for it is forgotten. Here a sleeps after it has asked whether the lane
 * is its own, and below with an event in its hands. On bfdaa873 both members told the loss.
 */
START_TEST(what_a_relieved_member_owes_is_not_told)
{
	emit(50);
	plan("poll.overrun", b_relieves_and_reads_on);
	ck_assert_uint_eq(look(a, views, 1), 0);
	assert_acted();
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(records_of(a), 0);
	ck_assert_uint_eq(a->now->owing, 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
}
END_TEST

START_TEST(
	what_a_member_owes_with_events_in_hand_is_not_told_when_it_is_relieved)
{
	emit(50);
	ck_assert_uint_eq(look(a, views, 1), 1);
	ck_assert_uint_eq(views[0].flags, 0);
	ck_assert_uint_eq(a->now->owing, 1);
	b_relieves_and_reads_on();
	if (_i) /* it looks again first */
		ck_assert_uint_eq(look(a, views + 1, BLOCKS - 1), 0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(records_of(a), 0);
	ck_assert_uint_eq(a->now->owing, 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
}
END_TEST

/* What was released before the lane has gone is told by nobody else. */
START_TEST(what_a_member_owes_and_has_released_is_told_when_it_is_relieved)
{
	emit(50);
	ck_assert_uint_eq(look(a, views, 1), 1);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(a->now->owing, 1);
	emit(1);
	survey_after(b, ASLEEP);
	ck_assert(busy(b)->leased);
	ck_assert_uint_eq(records_of(b), 0);
	ck_assert_uint_eq(look(a, views, BLOCKS), 1);
	ck_assert_uint_eq(views[0].flags, TAPIO_VIEW_GAP);
	ck_assert_uint_eq(((const struct tapio_gap *)views[0].data)->count,
			  group_stats(b).lost);
	ck_assert_int_eq(tapio_release(a), 0);
}
END_TEST

static void b_relieves_reads_and_gives(void)
{
	b_relieves_and_reads_on();
	tpi_lease_give(b->now, busy(b));
}

/*
 * A record was found and taken back, since the lane had gone. So nothing of the lane is in
 * the caller's hands, who has got nothing and releases nothing. The lane can come back. On
 * bfdaa873 it never did before a release.
 */
START_TEST(a_lane_whose_record_was_taken_back_can_come_back)
{
	if (_i) {
		tapio_consumer_close(a);
		a = open_member(1000000);
	}
	emit(50);
	nap_ms(5);
	plan("poll.overrun", b_relieves_reads_and_gives);
	ck_assert_uint_eq(look(a, views, BLOCKS), 0);
	assert_acted();
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	emit(2);
	nap_ms(5);
	tpi_lease_free(a->now);
	ck_assert(busy(a)->leased);
	ck_assert_uint_eq(look(a, views, BLOCKS), 2);
	ck_assert_int_eq(tapio_release(a), 0);
}
END_TEST

/* It only passes over what the filter refuses. Its late commit is no news. */
START_TEST(what_a_relieved_member_has_passed_over_is_counted_once)
{
	static const char *const points[] = {"poll.walked", "release.held",
					     "release.tallied",
					     "release.stored"};

	emit(5);
	a_reads();
	for (int i = 0; i < 4; i++, skipped++)
		ck_assert_int_eq(tapio_output(p, OTHER, &sent, sizeof(sent)),
				 0);
	/* Unread events make a takeover worth while. */
	plan(points[_i], b_asks);
	ck_assert_uint_eq(take(a, views), 0);
	/* Before R0 it notices at once. */
	ck_assert_uint_eq(group_stats(a).relieved, _i == 0);
	finish(1);
}
END_TEST

/* ---- when ------------------------------------------------------------------------ */

/* Nothing of that makes a takeover worth while, or right. */
START_TEST(who_has_nothing_to_read_is_not_relieved)
{
	emit(5);
	a_reads();
	survey_after(b, ASLEEP);
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->lease, busy(a)->lease);
	plan("barrier", nothing);
	emit(1);
	b_asks();
	ck_assert(busy(b)->leased);
	finish(1);
}
END_TEST

START_TEST(who_has_looked_a_moment_ago_is_not_relieved)
{
	emit(5);
	a_reads();
	emit(5);
	survey_after(b, IDLE / 2);
	ck_assert(!busy(b)->leased);
	/* Asleep for long, and it has looked since, though it found no news. */
	b->now->balanced_ns = 0;
	tpi_lease_balance(b->now);
	for (uint32_t i = 0; i < b->now->surveys[b->now->turn].count; i++)
		b->now->surveys[b->now->turn].holders[i].since -= ASLEEP;
	ck_assert_int_eq(tapio_poll(a, views, 0, 0), 0);
	b->now->balanced_ns = 0;
	tpi_lease_balance(b->now);
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->lease, busy(a)->lease);
	plan("takeover.asked", nothing);
	b_asks();
	ck_assert(busy(b)->leased);
	finish(1);
}
END_TEST

/* As if so much time had gone by since the last survey, in which nothing has moved. */
static void age(struct tapio_consumer *m, int64_t ns)
{
	struct tpi_survey *s = &m->now->surveys[m->now->turn];

	for (uint32_t i = 0; i < s->count; i++)
		s->holders[i].since -= ns;
	m->now->balanced_ns = 0;
	tpi_lease_balance(m->now);
}

/*
 * Its lanes without events in its hands go one after the other, as they get events. That is no
 * sign of life. On bfdaa873 the time until the takeover began anew with each of them.
 */
START_TEST(a_lane_that_goes_is_no_sign_of_life)
{
	struct tapio_producer *q;
	struct tpi_track *t;
	uint32_t x = 0;

	if (cpu_count() < 2 && !side_flavour())
		return; /* there is no other lane */
	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	t = busy(b);
	survey_after(b, ASLEEP / 3);
	ck_assert(!t->leased);
	if (!side_flavour())
		pin(1);
	q = rig_producer();
	ck_assert_int_eq(tapio_output(q, OTHER, &x, sizeof(x)), 0);
	skipped++;
	age(b, 0);
	ck_assert(!t->leased);
	ck_assert_uint_eq(group_stats(b).lanes, 1); /* the other one */
	age(b, ASLEEP / 3);
	age(b, ASLEEP / 3);
	ck_assert(t->leased);
	tapio_producer_close(q);
}
END_TEST

/*
 * It is awake, and has not released yet what it had in its hands. Its cell is not one of a
 * sleeper then, and the lane's signs of life are the new holder's. On bfdaa873 it noticed with
 * its release, or with the lane's next event.
 */
START_TEST(who_is_awake_notices_that_a_lane_has_gone)
{
	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	plan("lease.settled", nothing);
	b_relieves();
	ck_assert(busy(b)->leased);
	assert_cells(1);
	survey_after(a, 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_cells(0);
	ck_assert_int_eq(tapio_release(a), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	finish(2);
}
END_TEST

START_TEST(who_holds_events_is_relieved_after_the_takeover_only)
{
	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	emit(5);
	b_asks();
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->lease, busy(a)->lease);
	plan("lease.taken", nothing);
	b_relieves();
	ck_assert(busy(b)->leased);
	ck_assert_uint_eq(busy(b)->cursor->takeovers, 1);
	finish(2);
}
END_TEST

/* Then A2 proves nothing, and all wait for the takeover. */
START_TEST(without_a_barrier_all_takeovers_wait)
{
	emit(5);
	a_reads();
	emit(5);
	barrier_fails = 1;
	plan("barrier", nothing);
	b_asks();
	ck_assert(plot.acted);
	ck_assert(!busy(b)->leased);
	b_asks();
	ck_assert(!busy(b)->leased);
	plan("lease.taken", nothing);
	b_relieves();
	ck_assert(busy(b)->leased);
	finish(2);
}
END_TEST

/* ---- a holder with events in its hands ---------------------------------------------- */

/* Before R0 the release is refused. After it R1 and R2 come late: no news. */
START_TEST(a_release_after_a_takeover_counts_not)
{
	static const char *const points[] = {"release.held", "release.tallied"};
	uint64_t head;

	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan(points[_i], b_relieves_and_reads);
	ck_assert_int_eq(tapio_release(a), 0);
	head = TAPIO_HEAD_POSITION(tpi_cursor_cell(busy(b)->cursor)->head);
	ck_assert_uint_eq(head, BLOCKS + 12);
	emit(6);
	take_and_release(b, others);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq(came[i], 2);
	for (int i = 6; i < 12; i++)
		ck_assert_uint_eq(came[i], 1);
	finish(2);
}
END_TEST

/* A release that is complete when b looks counts, and what came before comes not. */
START_TEST(a_release_before_a_takeover_counts)
{
	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan("release.stored", b_relieves);
	ck_assert_int_eq(tapio_release(a), 0);
	emit(6);
	finish(1);
}
END_TEST

/*
 * The taker is between T1 and L2 when a finds that it has lost the lane (L1, L2). The
 * cell that a leaves is free in the end, whoever of the two came first.
 */
START_TEST(a_cell_is_free_when_both_have_left_it)
{
	static const char *const points[] = {"lease.taken", "lease.claimed",
					     "lease.filled", "lease.settled"};

	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan(points[_i], a_releases);
	b_relieves();
	ck_assert(busy(b)->leased);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	assert_cells(0);
	ck_assert_uint_eq(take_and_release(b, others), 6);
	finish(2);
}
END_TEST

/* And a third one may have taken it by then: L2 does not free what is in use again. */
static void a_releases_and_c_relieves(void)
{
	a_releases();
	c_relieves_and_reads();
}

START_TEST(a_cell_that_is_in_use_again_is_not_freed)
{
	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan("lease.settled", a_releases_and_c_relieves);
	b_relieves();
	ck_assert(tpi_lease_held(busy(c)));
	ck_assert_uint_eq(TAPIO_CELL_OWNER(busy(c)->cell->owner), c->now->me);
	emit(4);
	ck_assert_uint_eq(take(b, others), 0);
	ck_assert_uint_eq(group_stats(b).relieved, 1);
	ck_assert_uint_eq(take_and_release(c, others), 4);
	finish(2);
}
END_TEST

/* The taker itself sleeps between T1 and T4, and a third one relieves it. */
START_TEST(a_taker_that_sleeps_is_relieved)
{
	static const char *const points[] = {"lease.taken", "lease.claimed",
					     "lease.filled"};

	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan(points[_i], c_relieves_and_reads);
	b_relieves();
	ck_assert(!busy(b)->leased);
	ck_assert_uint_eq(group_stats(b).relieved, 1);
	ck_assert(tpi_lease_held(busy(c)));
	assert_cells(1); /* a still sleeps */
	emit(4);
	ck_assert_uint_eq(take_and_release(c, others), 4);
	finish(2);
}
END_TEST

/* Or the third one has given it by then: the cell that counts has no owner. */
static void c_relieves_reads_and_gives(void)
{
	c_relieves_and_reads();
	tpi_lease_give(c->now, busy(c));
}

START_TEST(a_taker_that_sleeps_leaves_a_given_cell_alone)
{
	uint64_t lease;

	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan("lease.taken", c_relieves_reads_and_gives);
	b_relieves();
	ck_assert(!busy(b)->leased);
	lease = busy(b)->cursor->lease;
	ck_assert_uint_eq(TAPIO_LEASE_HOLDER(lease), TAPIO_NOBODY);
	ck_assert(tpi_cursor_cell(busy(b)->cursor)->owner & TAPIO_CELL_GIVEN);
	ck_assert_uint_eq(
		TAPIO_CELL_OWNER(tpi_cursor_cell(busy(b)->cursor)->owner),
		c->now->me);
	finish(2);
}
END_TEST

/* Before the taker has stored anything of its own. */
START_TEST(the_tally_goes_with_the_head)
{
	struct tapio_consumer_stats stats;

	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	busy(a)->lost = 2; /* as if two of them had been overwritten */
	a_releases();
	emit(1);
	plan("lease.settled", nothing);
	b_asks();
	assert_acted();
	stats = group_stats(b);
	ck_assert_uint_eq(stats.delivered, 3);
	ck_assert_uint_eq(stats.skipped, 5);
	ck_assert_uint_eq(stats.lost, 2);
	ck_assert_uint_eq(stats.in_flight, 2);
}
END_TEST

/*
 * T3 is a swap. b finds a free cell, and before it claims it c has relieved b and has
 * taken that cell. So b takes another one, fills it, and finds that it is too late.
 */
START_TEST(a_cell_is_claimed_by_one_member)
{
	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan("cell.claim", c_relieves_and_reads);
	b_relieves();
	ck_assert(!busy(b)->leased);
	ck_assert(tpi_lease_held(busy(c)));
	ck_assert_uint_eq(TAPIO_CELL_OWNER(busy(c)->cell->owner), c->now->me);
	ck_assert_uint_eq(TAPIO_HEAD_POSITION(busy(c)->cell->head),
			  busy(c)->head);
	emit(4);
	ck_assert_uint_eq(take_and_release(c, others), 4);
	finish(2);
}
END_TEST

/*
 * L2 is a swap. b has found that a has given its cell. Before the swap a frees it, and
 * another member takes it, or a itself, which gives the lane with it.
 */
static struct tapio_shm_cell *left;
static uint64_t given;

/* As a's L2, which comes after T4. */
static void free_left(void)
{
	ck_assert_uint_eq(left->owner, given);
	left->owner = TAPIO_CELL_TAKE(given, TAPIO_NOBODY);
}

static void assert_is_left(struct tapio_consumer *m)
{
	ck_assert_int_eq(busy(m)->cell - busy(m)->cursor->cells,
			 left - busy(a)->cursor->cells);
}

static void cell_goes_to_c(void)
{
	free_left();
	c_relieves_and_reads();
	assert_is_left(c);
	given = left->owner;
}

static void cell_comes_back_to_a(void)
{
	free_left();
	survey_after(a, IDLE);
	assert_is_left(a);
	a_reads();
	tpi_lease_give(a->now, busy(a));
	given = left->owner;
}

static void (*next_act)(void);

/* L1, and its own L2, which is in vain: the lease still names the cell. */
static void a_loses(void)
{
	left = busy(a)->cell;
	a_releases();
	given = left->owner;
	ck_assert(given & TAPIO_CELL_GIVEN);
	plan("cell.release", next_act);
}

START_TEST(a_cell_is_freed_by_one_member)
{
	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	next_act = _i ? cell_comes_back_to_a : cell_goes_to_c;
	plan("lease.filled", a_loses);
	b_relieves();
	assert_acted();
	ck_assert_str_eq(plot.point, "cell.release");
	ck_assert_uint_eq(left->owner, given);
	finish(2);
}
END_TEST

/* ---- giving and taking --------------------------------------------------------------- */

/* Between G1 and G2, and after it. */
START_TEST(a_lane_that_is_given_may_be_taken_over_at_any_step)
{
	static const char *const points[] = {"lease.left", "lease.given"};

	emit(6);
	a_reads();
	emit(6);
	plan(points[_i], b_relieves_and_reads);
	tpi_lease_give(a->now, busy(a));
	ck_assert(tpi_lease_held(busy(b)));
	ck_assert_uint_eq(group_stats(a).relieved, _i == 0);
	assert_cells(0);
	finish(1);
}
END_TEST

/* Between K1 and K2 the next holder has not yet claimed the cell. */
START_TEST(a_lane_that_is_taken_may_be_taken_over_at_once)
{
	emit(6);
	a_reads();
	emit(6);
	tpi_lease_give(a->now, busy(a));
	plan("lease.taken", c_relieves_and_reads);
	tpi_lease_take(b->now, busy(b), busy(b)->cursor->lease);
	ck_assert(!busy(b)->leased);
	ck_assert(tpi_lease_held(busy(c)));
	assert_cells(0);
	finish(1);
}
END_TEST

/* A question does not keep it, nor is it left behind. */
START_TEST(a_lane_that_is_asked_for_may_be_given)
{
	struct tapio_shm_cursor *cursor;

	emit(6);
	a_reads();
	cursor = busy(a)->cursor;
	cursor->lease |= TAPIO_LEASE_ASKED;
	plan("lease.given", nothing);
	tpi_lease_give(a->now, busy(a));
	ck_assert_uint_eq(tpi_cursor_holder(cursor), TAPIO_NOBODY);
	ck_assert(!(cursor->lease & TAPIO_LEASE_ASKED));
	emit(3);
	ck_assert_uint_eq(take_and_release(b, others), 3);
	finish(1);
}
END_TEST

/* a has lost the lane with views in its hands. It takes it again when they are back. */
START_TEST(what_is_in_hand_is_released_before_the_lane_is_taken_again)
{
	emit(6);
	ck_assert_uint_eq(take(a, views), 6);
	plan("lease.taken", nothing);
	b_relieves_and_reads();
	emit(2);
	ck_assert_uint_eq(take(a, views + 6), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	tpi_lease_give(b->now, busy(b));
	busy(a)->free_before = true;
	tpi_lease_free(a->now);
	ck_assert(!busy(a)->leased);
	a_releases();
	tpi_lease_free(a->now);
	ck_assert_uint_eq(take_and_release(a, views), 2);
	finish(2);
}
END_TEST

/* a_looks, in two parts: it was asked, and b is first. */
static uint64_t question;

static void b_takes_what_it_asked_for(void)
{
	ck_assert(tpi_lease_take(b->now, busy(b), question));
	take_and_release(b, others);
}

START_TEST(who_answers_too_late_hands_out_nothing)
{
	emit(6);
	a_reads();
	emit(6);
	question = busy(a)->lease | TAPIO_LEASE_ASKED;
	busy(a)->cursor->lease = question;
	plan("lease.keep", b_takes_what_it_asked_for);
	ck_assert_uint_eq(take(a, views), 0);
	ck_assert(tpi_lease_held(busy(b)));
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	finish(1);
}
END_TEST

/* It reads no further on a lane that it is to give, whatever it knows to be there. */
START_TEST(a_lane_that_is_to_be_given_is_not_read_on)
{
	emit(6);
	ck_assert_uint_eq(look(a, views, 2), 2);
	came[0]++;
	came[1]++;
	for (int i = 0; i < 2; i++) { /* at first it is busy, and refuses */
		busy(a)->cursor->want = b->now->me;
		a->now->balanced_ns = 0;
		tpi_lease_balance(a->now);
	}
	ck_assert(busy(a)->giving);
	ck_assert_uint_eq(take(a, views + 2), 0);
	plan("lease.given", nothing);
	a_releases();
	ck_assert(!busy(a)->leased);
	tpi_lease_free(b->now);
	ck_assert_uint_eq(take_and_release(b, others), 4);
	finish(1);
}
END_TEST

/* ---- releases ----------------------------------------------------------------------- */

static void ledger_is_as_before(void)
{
	struct tapio_consumer_stats stats = group_stats(b);

	ck_assert_uint_eq(stats.delivered, 0);
	ck_assert_uint_eq(stats.skipped, 0);
	ck_assert_uint_eq(stats.in_flight, 10);
}

/* R1 writes the record that does not count, so a kill before R2 unbalances nothing. */
START_TEST(a_release_counts_nothing_before_its_head)
{
	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	plan("release.tallied", ledger_is_as_before);
	a_releases();
	finish(1);
}
END_TEST

static void a_reads_twice(void)
{
	for (int i = 0; i < 2; i++) {
		emit(3);
		ck_assert_uint_eq(take_and_release(a, views), 3);
	}
}

/* Between two loads of the ledger both records are written anew. */
START_TEST(a_ledger_is_of_one_moment)
{
	struct tpi_ledger ledger;
	struct tpi_track *t;

	emit(1);
	a_reads();
	t = busy(b);
	plan("ledger.head", a_reads_twice);
	ck_assert_int_eq(
		tpi_ledger_read(t->lane, b->now->group, t->cursor, &ledger), 0);
	ck_assert_uint_eq(ledger.faults, 0);
	ck_assert_uint_eq(ledger.delivered, ledger.skipped);
	ck_assert_uint_eq(ledger.published, 2 * ledger.delivered);
	finish(1);
}
END_TEST

/*
 * Answers about an earlier batch, of which the release asked nothing since producers
 * waited, are not for the views that another member has taken over.
 */
START_TEST(answers_about_an_earlier_batch_are_forgotten)
{
	unsigned int n, i;

	emit(5);
	n = take(a, views);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(tapio_view_intact(a, &views[i]), 1);
	a_releases();
	emit(5);
	ck_assert_uint_eq(take(a, views), 5);
	plan("lease.taken", nothing);
	b_relieves_and_reads();
	for (i = 0; i < 2 * BLOCKS / 8; i++) {
		emit(4);
		take_and_release(b, others);
	}
	ck_assert_int_eq(tapio_release(a), 5);
	finish(2);
}
END_TEST

/* A look that was in vain leaves the views of an earlier one as they were. */
START_TEST(views_of_an_earlier_look_are_counted_alone)
{
	emit(6);
	ck_assert_uint_eq(look(a, views, 2), 2);
	came[0]++;
	came[1]++;
	plan("poll.handed", b_relieves_and_reads);
	ck_assert_uint_eq(take(a, views + 2), 0);
	ck_assert_uint_eq(group_stats(a).relieved, 1);
	for (int i = 0; i < BLOCKS / 4; i++) {
		emit(4);
		take_and_release(b, others);
	}
	ck_assert_int_eq(tapio_release(a), 2);
	finish(2);
}
END_TEST

/* ---- a group that has ended ------------------------------------------------------------ */

static const uint64_t nobodys_slot;

/* The broker has taken a for dead, or has evicted its group. */
static void group_ends(void)
{
	a->now->slot = &nobodys_slot;
}

#define LANES_MAX 512

static struct tapio_shm_cursor before[LANES_MAX];

static size_t keep_cursors(void)
{
	size_t bytes = a->now->lane_count * sizeof(before[0]);

	ck_assert_uint_le(a->now->lane_count, LANES_MAX);
	memcpy(before, a->now->tracks[0].cursor, bytes);
	return bytes;
}

/*
 * What b has read is not handed out by a, which was relieved, and finds that its group has
 * ended before it finds that. On bfdaa873 it came a second time.
 */
START_TEST(what_a_relieved_member_had_is_not_read_when_its_group_has_ended)
{
	emit(5);
	a_reads();
	emit(5);
	b_relieves_and_reads();
	group_ends();
	ck_assert_int_eq(tapio_poll(a, views, BLOCKS, 0), -ENOTCONN);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(came[i], 1);
}
END_TEST

/*
 * The slot's memory may be another group's by now. On bfdaa873 a figure for the tools was
 * stored there, and signs of life, if the member had just taken a lane, or given one.
 */
START_TEST(a_member_of_an_ended_group_stores_nothing_there)
{
	struct tpi_track *t;
	size_t bytes;

	emit(5);
	a_reads();
	t = &a->now->tracks[busy(a) == a->now->tracks];
	ck_assert(t->leased);
	tpi_lease_give(a->now, t);
	emit(20);
	group_ends();
	bytes = keep_cursors();
	ck_assert_uint_eq(take_and_release(a, views), 20);
	for (int i = 0; i < 2 * TPI_BALANCE_POLLS; i++)
		ck_assert_int_eq(tapio_poll(a, views, BLOCKS, 0), -ENOTCONN);
	ck_assert_int_eq(memcmp(before, a->now->tracks[0].cursor, bytes), 0);
}
END_TEST

/*
 * A member that wakes up takes no lane of the group that has the slot by now. The second time
 * it sleeps right before its swap. On bfdaa873 it took them, handed out what lay there,
 * and kept them until it was closed.
 */
START_TEST(a_member_of_an_ended_group_takes_no_lane)
{
	emit(5);
	if (_i)
		plan("lease.taken", group_ends);
	else
		group_ends();
	ck_assert_int_eq(tapio_poll(a, views, BLOCKS, 0), -ENOTCONN);
	for (uint32_t i = 0; i < a->now->lane_count; i++) {
		ck_assert_uint_eq(tpi_cursor_holder(a->now->tracks[i].cursor),
				  TAPIO_NOBODY);
		ck_assert(!a->now->tracks[i].leased);
	}
	ck_assert_uint_eq(take_and_release(b, others), 5);
}
END_TEST

/* ---- the gate --------------------------------------------------------------------------- */

/* Between P1 and P2 the lane goes to b, who holds events, and a stores a later head. */
static void lane_moves_and_sleeper_stores(void)
{
	struct tapio_shm_cell *cell = busy(a)->cell;
	uint64_t next = busy(a)->next;

	b_relieves();
	ck_assert(tpi_lease_held(busy(b)));
	ck_assert_uint_gt(take(b, others), 0);
	tpi_store_release(&cell->head,
			  TAPIO_HEAD(next, a->now->incarnation, 0));
}

START_TEST(the_gate_does_not_follow_the_late_head_of_a_sleeper)
{
	uint32_t x = 0;
	int n;

	emit(16);
	ck_assert_uint_eq(take(a, views), 16);
	/* 32 of 64 blocks are left. The next event but those looks at the head. */
	for (n = 0; n < 32; n++, skipped++)
		ck_assert_int_eq(tapio_output(p, OTHER, &x, sizeof(x)), 0);
	plan("cursor.leased", lane_moves_and_sleeper_stores);
	ck_assert_int_eq(tapio_output(p, OTHER, &x, sizeof(x)), -EAGAIN);
	assert_acted();
	for (int i = 0; i < 16; i++)
		ck_assert_uint_eq(*(const uint32_t *)others[i].data,
				  (uint32_t)i);
	finish(2);
}
END_TEST

/* While the lane is MOVING nobody follows the cell that it names. */
static void sleeper_stores_and_producer_looks(void)
{
	struct tapio_shm_cell *cell = busy(a)->cell;
	uint32_t x = 0;

	cell->tally[1].skipped = 16; /* R1 */
	tpi_store_release(&cell->head,
			  TAPIO_HEAD(busy(a)->next, a->now->incarnation, 1));
	ck_assert_int_eq(tapio_output(p, OTHER, &x, sizeof(x)), -EAGAIN);
}

START_TEST(the_gate_stays_while_a_lane_is_moving)
{
	uint32_t x = 0;
	int n;

	emit(16);
	ck_assert_uint_eq(take(a, views), 16);
	for (n = 0; n < 32; n++, skipped++)
		ck_assert_int_eq(tapio_output(p, OTHER, &x, sizeof(x)), 0);
	plan("lease.taken", sleeper_stores_and_producer_looks);
	b_relieves();
	assert_acted();
	take_and_release(b, others);
	ck_assert_int_eq(tapio_output(p, OTHER, &x, sizeof(x)), 0);
	skipped++;
	finish(2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client relieved");
	TCase *t = tcase_create("steps");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, who_has_announced_events_is_not_relieved);
	tcase_add_loop_test(t, who_keeps_the_lane_when_asked_is_not_relieved, 0,
			    6);
	tcase_add_test(t, the_question_of_another_member_is_not_ones_own);
	tcase_add_loop_test(
		t, what_a_relieved_member_has_looked_at_is_not_handed_out, 0,
		3);
	tcase_add_loop_test(
		t, what_a_merging_member_has_looked_at_is_not_handed_out, 0, 3);
	tcase_add_loop_test(
		t,
		who_finds_an_impossible_descriptor_notices_that_the_lane_has_gone,
		0, 2);
	tcase_add_loop_test(
		t, what_a_relieved_member_has_passed_over_is_counted_once, 0,
		4);
	tcase_add_test(t, who_has_nothing_to_read_is_not_relieved);
	tcase_add_test(t, who_has_looked_a_moment_ago_is_not_relieved);
	tcase_add_test(t, a_lane_that_goes_is_no_sign_of_life);
	tcase_add_test(t, who_is_awake_notices_that_a_lane_has_gone);
	tcase_add_test(t, who_holds_events_is_relieved_after_the_takeover_only);
	tcase_add_test(t, without_a_barrier_all_takeovers_wait);
	tcase_add_test(t, a_cell_is_claimed_by_one_member);
	tcase_add_loop_test(t, a_cell_is_freed_by_one_member, 0, 2);
	tcase_add_test(t, a_lane_that_is_asked_for_may_be_given);
	tcase_add_test(
		t, what_is_in_hand_is_released_before_the_lane_is_taken_again);
	tcase_add_test(t, the_gate_stays_while_a_lane_is_moving);
	tcase_add_test(t, who_answers_too_late_hands_out_nothing);
	tcase_add_test(t, a_lane_that_is_to_be_given_is_not_read_on);
	tcase_add_test(t, a_release_counts_nothing_before_its_head);
	tcase_add_test(t, a_ledger_is_of_one_moment);
	tcase_add_test(t, answers_about_an_earlier_batch_are_forgotten);
	tcase_add_test(t, views_of_an_earlier_look_are_counted_alone);
	tcase_add_loop_test(t, a_release_after_a_takeover_counts_not, 0, 2);
	tcase_add_test(t, a_release_before_a_takeover_counts);
	tcase_add_loop_test(t, a_cell_is_free_when_both_have_left_it, 0, 4);
	tcase_add_test(t, a_cell_that_is_in_use_again_is_not_freed);
	tcase_add_test(t, a_taker_that_sleeps_leaves_a_given_cell_alone);
	tcase_add_test(t, the_tally_goes_with_the_head);
	tcase_add_loop_test(t, a_taker_that_sleeps_is_relieved, 0, 3);
	tcase_add_loop_test(
		t, a_lane_that_is_given_may_be_taken_over_at_any_step, 0, 2);
	tcase_add_test(t, a_lane_that_is_taken_may_be_taken_over_at_once);
	tcase_add_test(t, the_gate_does_not_follow_the_late_head_of_a_sleeper);
	tcase_add_test(
		t,
		what_a_relieved_member_had_is_not_read_when_its_group_has_ended);
	tcase_add_test(t, a_member_of_an_ended_group_stores_nothing_there);
	tcase_add_loop_test(t, a_member_of_an_ended_group_takes_no_lane, 0, 2);
	suite_add_tcase(suite, t);
	t = tcase_create("lossy");
	tcase_add_checked_fixture(t, set_up_lossy, tear_down);
	tcase_add_loop_test(
		t, what_a_merging_member_has_passed_over_is_not_told_as_lost, 0,
		3);
	tcase_add_test(t, what_a_relieved_member_would_miss_is_not_owed);
	tcase_add_test(t, what_a_relieved_member_owes_is_not_told);
	tcase_add_loop_test(
		t,
		what_a_member_owes_with_events_in_hand_is_not_told_when_it_is_relieved,
		0, 2);
	tcase_add_test(
		t,
		what_a_member_owes_and_has_released_is_told_when_it_is_relieved);
	tcase_add_loop_test(t, a_lane_whose_record_was_taken_back_can_come_back,
			    0, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
