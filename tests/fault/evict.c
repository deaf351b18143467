/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers that write garbage into their own cursors: their group is evicted.
 * Producers, other groups and the ledger do not notice, and a group that only
 * stands still, or is overrun, or has a former member, never is.
 *
 * The library's own consumers, behind whose back the test writes what the process
 * may write. A look comes once a second, here twenty times, and an eviction takes three.
 * So tests wait for counters in the catalog, which say how many looks there have been, or
 * count the looks themselves.
 */
#include <pthread.h>
#include <signal.h>

#include "tests/unit/client_fixture.h"

extern uint64_t tpi_tick_ns; /* broker/broker.h */
extern void (*tpi_ticked)(void);

#define TICK_MS   50
#define EVENTS    20000
#define GIVE_UP_S 60
#define LIARS     5
#define LOOKS     3

/* Producers wait for the liar that holds them, and are freed. */
#define CONFIG                                                             \
	"channel t { stamp = \"none\" full = \"wait\" wait = \"50s\"\n"    \
	"class main { block = 64\n blocks = 64\n side_blocks = 64 }\n"     \
	"group audit { policy = lossless } }\n"                            \
	"channel u { class main { block = 64\n blocks = 64 } }\n"          \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless} }\n"

static struct tapio_producer *p;

static struct tapio_shm_broker *counters(void)
{
	return p->now->client.catalog.broker;
}

static void wait_for(const uint64_t *counter, uint64_t value)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (tpi_load_relaxed(counter) < value) {
		ck_assert_msg(time(NULL) < until, "%llu, not %llu",
			      (unsigned long long)tpi_load_relaxed(counter),
			      (unsigned long long)value);
		nap_ms(10);
	}
}

static uint32_t looks; /* that are over */
static void (*after_look)(void);

/* On the broker's thread. */
static void count_look(void)
{
	void (*act)(void) = tpi_load_acquire(&after_look);

	if (act)
		act();
	tpi_store_release(&looks, looks + 1);
}

/* So many whole ones: one may be under way. */
static void wait_looks(uint32_t count)
{
	time_t until = time(NULL) + GIVE_UP_S;
	uint32_t before = tpi_load_acquire(&looks);

	while (tpi_load_acquire(&looks) - before <= count) {
		ck_assert_msg(time(NULL) < until, "no look comes");
		nap_ms(1);
	}
}

/* Until so many were evicted, and the look that has counted the last one is over. */
static void wait_evicted(uint64_t value)
{
	wait_for(&counters()->evictions, value);
	wait_looks(0);
}

static uint32_t slot_of(const struct tapio_consumer *c)
{
	return c->now->client.granted.group_slot;
}

static uint32_t state_of(uint32_t slot)
{
	return TAPIO_SLOT_STATE(
		tpi_load_acquire(&p->now->client.groups[slot].slot));
}

static void assert_evicted(const struct tapio_consumer *c)
{
	uint32_t slot = slot_of(c);

	ck_assert_uint_eq(state_of(slot), TAPIO_SLOT_FREE);
	ck_assert(tpi_load_relaxed(&p->now->client.groups[slot].flags) &
		  TAPIO_GROUP_FLAG_EVICTED);
	ck_assert(!(tpi_load_relaxed(&p->now->client.shared->active) >> slot &
		    1));
}

static void set_up(void)
{
	tpi_tick_ns = TICK_MS * UINT64_C(1000000);
	tpi_ticked = count_look;
	rig_start(CONFIG);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

/* ---- lies -------------------------------------------------------------------- */

static void write_head(struct tpi_track *t, uint64_t position,
		       uint32_t incarnation, uint32_t record)
{
	tpi_store_release(&t->cell->head,
			  TAPIO_HEAD(position & TAPIO_POSITION_MASK,
				     incarnation, record));
}

/* One of each kind, on one lane. */
static void lie(struct tapio_consumer *c, int kind, struct tpi_track *t)
{
	uint64_t head = tpi_load_acquire(&t->cell->head);
	uint64_t position = TAPIO_HEAD_POSITION(head);
	uint32_t record = TAPIO_HEAD_RECORD(head);

	switch (kind) {
	case 0: /* beyond the tail */
		write_head(t, position + 1000000, c->now->incarnation, record);
		break;
	case 1: /* before the start: producers wait for it */
		write_head(t, t->cursor->start - 1, c->now->incarnation,
			   record);
		break;
	case 2: /* of another incarnation */
		write_head(t, position, c->now->incarnation + 1, record);
		break;
	case 3: /* before the gate */
		write_head(t, tpi_load_acquire(&t->lane->shm->gate) - 1,
			   c->now->incarnation, record);
		break;
	case 4: /* a record that cannot be */
		t->cell->tally[record].lost = UINT64_C(1) << 40;
	}
}

static struct tpi_track *busy_track(struct tapio_consumer *c)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++) {
		struct tpi_track *t = &c->now->tracks[i];

		if (t->next != t->cursor->start)
			return t;
	}
	ck_abort_msg("it has read nothing");
	return NULL;
}

/* ---- the honest ---------------------------------------------------------------- */

struct producer {
	pthread_t thread;
	uint64_t accepted;
};

static void *produce(void *arg)
{
	struct producer *s = arg;

	pin(0);
	for (; s->accepted < EVENTS; s->accepted++)
		if (tapio_output(p, TAG, &s->accepted, sizeof(s->accepted)))
			break;
	return NULL;
}

/* Reads so many events, which must come in order and complete. */
static void read_in_order(struct tapio_consumer *c, uint64_t *next,
			  uint64_t count)
{
	struct tapio_view views[16];
	time_t until = time(NULL) + GIVE_UP_S;

	while (*next < count && time(NULL) < until) {
		unsigned int max = count - *next < 16 ? count - *next : 16;
		int n = tapio_poll(c, views, max, 100000000);

		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert_uint_eq(*(const uint64_t *)views[i].data,
					  (*next)++);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(*next, count);
}

/* Stops itself with a batch in its hands. Then reads on to the last event. */
static int stand_still(void)
{
	struct tapio_view views[16];
	struct tapio_consumer *c = rig_consumer("still", TAPIO_GROUP_UNTIL);
	uint64_t last = 0;

	while (tapio_poll(c, views, 4, TAPIO_FOREVER) <= 0)
		;
	raise(SIGSTOP);
	do {
		int64_t vain = tapio_release(c);
		int n = tapio_poll(c, views, 16, 1000000000);

		if (n <= 0 || vain < 0)
			return 1;
		for (int i = 0; i < n; i++)
			if (!(views[i].flags & TAPIO_VIEW_GAP))
				last = *(const uint64_t *)views[i].data;
	} while (last != EVENTS - 1);
	if (tapio_release(c) < 0)
		return 2;
	assert_ledger(c, group_stats(c).delivered, 0, group_stats(c).lost);
	if (!group_stats(c).lost ||
	    group_stats(c).delivered + group_stats(c).lost != EVENTS)
		return 3;
	tapio_consumer_close(c);
	return 0;
}

static pid_t fork_still(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(stand_still());
	return pid;
}

static void wait_members(uint32_t slot, uint32_t members)
{
	while (tpi_load_relaxed(&p->now->client.groups[slot].members) !=
	       members)
		nap_ms(1);
}

/*
 * All at once: five liars, each in a lossless group of its own, a stopped and an
 * overrun group, a producer that waits, and one group that must get all of it.
 */
START_TEST(liars_are_evicted_and_nobody_else_notices)
{
	struct tapio_consumer *good, *overrun, *liars[LIARS];
	struct producer s = {0};
	uint64_t next = 0, evictions;
	uint32_t still_slot;
	pid_t still;
	int status;

	good = rig_consumer("good", TAPIO_GROUP_LOSSLESS);
	overrun = rig_consumer("overrun", TAPIO_GROUP_LOSSY);
	for (int i = 0; i < LIARS; i++)
		liars[i] = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
	still = fork_still();
	still_slot = slot_of(liars[LIARS - 1]) + 1;
	wait_members(still_slot, 1);
	pthread_create(&s.thread, NULL, produce, &s);
	/* The gate has moved on by then: a lie can be before it. */
	for (uint64_t n = 0; n < 300;) {
		read_in_order(good, &next, next + 10);
		n = next;
		for (int i = 0; i < LIARS; i++)
			drain(liars[i]);
	}
	ck_assert_int_eq(waitpid(still, &status, WUNTRACED), still);
	ck_assert(WIFSTOPPED(status));
	wait_looks(1); /* it finds them honest */
	for (int i = 0; i < LIARS; i++)
		lie(liars[i], i, busy_track(liars[i]));
	read_in_order(good, &next, EVENTS);
	pthread_join(s.thread, NULL);
	ck_assert_uint_eq(s.accepted, EVENTS);
	wait_evicted(LIARS);
	for (int i = 0; i < LIARS; i++) {
		struct tapio_view views[64];
		int n;

		assert_evicted(liars[i]);
		while ((n = tapio_poll(liars[i], views, 64, 0)) > 0)
			tapio_release(liars[i]); /* the rest */
		ck_assert_int_eq(n, -ENOTCONN);
	}
	/* Some more looks at those that only stand still. */
	evictions = tpi_load_relaxed(&counters()->evictions);
	wait_looks(4);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->evictions), evictions);
	ck_assert_uint_eq(evictions, LIARS);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->suspicions),
			  LOOKS * LIARS);
	ck_assert_uint_eq(state_of(still_slot), TAPIO_SLOT_ACTIVE);
	ck_assert_uint_eq(state_of(slot_of(overrun)), TAPIO_SLOT_ACTIVE);
	ck_assert_int_eq(kill(still, SIGCONT), 0);
	ck_assert(child_ok(still));
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	assert_ledger(good, EVENTS, 0, 0);
	for (int i = 0; i < LIARS; i++)
		tapio_consumer_close(liars[i]);
	tapio_consumer_close(overrun);
	tapio_consumer_close(good);
}
END_TEST

/* ---- what members see ------------------------------------------------------------- */

static void *sleep_on(void *arg)
{
	struct tapio_view view;

	return (void *)(intptr_t)tapio_poll(arg, &view, 1, TAPIO_FOREVER);
}

/* The bound of a sleep would tell them, too. */
static void wait_rung(const struct tapio_consumer *c, uint32_t before)
{
	for (int i = 0; tpi_wake_listen(c->now->doorbell) == before; i++) {
		ck_assert_int_lt(i, GIVE_UP_S * 100);
		nap_ms(10);
	}
}

START_TEST(a_sleeping_member_of_an_evicted_group_is_told)
{
	struct tapio_consumer *liar, *sleeper, *again;
	uint32_t slot, before;
	pthread_t thread;
	void *result;

	liar = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	sleeper = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	before = tpi_wake_listen(sleeper->now->doorbell);
	pthread_create(&thread, NULL, sleep_on, sleeper);
	lie(liar, 0, &liar->now->tracks[0]);
	pthread_join(thread, &result);
	ck_assert_int_eq((int)(intptr_t)result, -ENOTCONN);
	assert_evicted(liar);
	wait_rung(sleeper, before);
	slot = slot_of(liar);
	/* The name is free. The slot is not, as long as this process lives. */
	again = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_ne(slot_of(again), slot);
	ck_assert_uint_eq(again->now->client.granted.first, 1);
	tapio_consumer_close(sleeper);
	tapio_consumer_close(liar);
	tapio_consumer_close(again);
	again = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_ne(slot_of(again), slot);
	tapio_consumer_close(again);
}
END_TEST

static struct {
	struct tapio_consumer *c;
	uint64_t head;
	uint32_t step;
} wavering;

/* A lie for one look, the truth for one, and the lie for two. */
static void waver(void)
{
	struct tpi_track *t = &wavering.c->now->tracks[0];

	switch (wavering.step) {
	case 0:
	case 2:
		lie(wavering.c, 0, t);
		break;
	case 1:
	case 4:
		tpi_store_release(&t->cell->head, wavering.head);
	}
	wavering.step++;
}

/* Looks count in a row: one, and after a good one two more. */
START_TEST(a_group_that_is_right_again_is_not_suspected_any_more)
{
	struct tapio_consumer *c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	uint64_t before = tpi_load_relaxed(&counters()->suspicions);

	drain(c);
	wavering.c = c;
	wavering.head = tpi_load_acquire(&c->now->tracks[0].cell->head);
	tpi_store_release(&after_look, waver);
	wait_looks(7);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->suspicions),
			  before + 3);
	ck_assert_uint_eq(state_of(slot_of(c)), TAPIO_SLOT_ACTIVE);
	/* The handle is not looked at after its end. */
	tpi_store_release(&after_look, NULL);
	wait_looks(1);
	tapio_consumer_close(c);
}
END_TEST

/* Joins, lies, and lives on (or not). */
static pid_t fork_liar(const char *group, int kind, bool lives)
{
	int in[2];
	pid_t pid;
	char byte;

	ck_assert_int_eq(pipe(in), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct tapio_consumer *c = rig_consumer(group, 0);

		drain(c);
		lie(c, kind, &c->now->tracks[0]);
		if (write(in[1], "x", 1) != 1)
			_exit(1);
		while (lives)
			pause();
		_exit(0);
	}
	ck_assert_int_eq(read(in[0], &byte, 1), 1);
	close(in[0]);
	close(in[1]);
	return pid;
}

START_TEST(a_configured_group_begins_anew_while_the_liar_lives)
{
	uint32_t slot = 0, after;
	struct tapio_consumer *c;
	pid_t pid;

	ck_assert_str_eq(p->now->client.groups[slot].name, "audit");
	pid = fork_liar("audit", 0, true);
	wait_evicted(1);
	ck_assert_uint_eq(state_of(slot), TAPIO_SLOT_FREE);
	c = rig_consumer("audit", TAPIO_GROUP_DEFAULT);
	after = slot_of(c);
	ck_assert_uint_ne(after, slot);
	ck_assert_uint_eq(c->now->client.granted.first, 0);
	ck_assert_uint_eq(c->now->client.granted.policy, TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(drain(c), 1);
	assert_ledger(c, 1, 0, 0);
	tapio_consumer_close(c);
	ck_assert_uint_eq(state_of(after), TAPIO_SLOT_ACTIVE);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* The events that it had not released are still there for the next member. */
START_TEST(a_durable_group_whose_liar_is_dead_is_put_right)
{
	const bool two = cpu_count() > 1;
	struct tapio_reservation r;
	struct tapio_consumer *c;
	struct tpi_track *t;
	pid_t pid;

	/* On a lane about which it does not lie, it has passed a discard. */
	pin(two);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	ck_assert_int_eq(tapio_discard(p, &r), 0);
	pin(0);
	pid = fork_liar("audit", _i, false);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	wait_looks(2);
	c = rig_consumer("audit", TAPIO_GROUP_DEFAULT);
	ck_assert_uint_eq(slot_of(c), 0);
	t = &c->now->tracks[0];
	ck_assert_uint_eq(TAPIO_HEAD_INCARNATION(t->cell->head),
			  c->now->incarnation);
	ck_assert_uint_eq(drain(c), 10);
	if (two)
		assert_ledger(c, 10, 1, 0);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->evictions), 0);
	tapio_consumer_close(c);
}
END_TEST

/* They have heeded the end of its liar, and no group joins or ends after that. */
START_TEST(producers_hear_of_a_group_that_is_put_right)
{
	const uint32_t *epoch = &p->now->client.groups[0].epoch;
	const uint32_t *heard = &p->now->emit.gating.epochs[0];
	pid_t pid = fork_liar("audit", 2, false);

	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	wait_members(0, 0);
	pin(0);
	while (tpi_load_relaxed(epoch) == 1)
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	for (int i = 0; i < 1000000 && *heard == 1; i++)
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(*heard, 2);
	ck_assert_uint_eq(tpi_load_relaxed(epoch), 2);
}
END_TEST

/* ---- leases ------------------------------------------------------------------------- */

START_TEST(a_lease_of_nobody_is_cleared_and_a_members_is_not)
{
	struct tapio_consumer *a = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *b = rig_consumer("other", TAPIO_GROUP_LOSSLESS);
	struct tpi_track *t = &a->now->tracks[0];
	uint64_t cleared = tpi_load_relaxed(&counters()->leases_cleared);
	uint32_t names[] = {b->now->me, 0x12345678, TAPIO_ABANDONED}, before;

	drain(a); /* it takes the lanes when it first looks */
	ck_assert_uint_eq(tpi_cursor_holder(t->cursor), a->now->me);
	for (int i = 0; i < 3; i++) {
		before = tpi_wake_listen(a->now->doorbell);
		tpi_store_release(&t->cursor->lease,
				  tpi_lease_next(t->lease, names[i], 0));
		wait_for(&counters()->leases_cleared, cleared + 1 + i);
		wait_rung(a, before);
		ck_assert_uint_eq(tpi_cursor_holder(t->cursor), TAPIO_NOBODY);
	}
	/* Its holder finds out when it releases, and takes it again. */
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	for (int i = 0; i < 6000 && group_stats(a).in_flight; i++) {
		drain(a);
		nap_ms(10);
	}
	assert_ledger(a, 1, 0, 0);
	for (uint32_t i = 1; i < a->now->lane_count; i++)
		ck_assert_uint_eq(tpi_cursor_holder(a->now->tracks[i].cursor),
				  a->now->me);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->leases_cleared),
			  cleared + 3);
	ck_assert_uint_eq(tpi_load_relaxed(&counters()->suspicions), 0);
	tapio_consumer_close(b);
	tapio_consumer_close(a);
}
END_TEST

/* ---- their memory ---------------------------------------------------------------------- */

#define ROUNDS 9 /* of 8 slots: more than there are */

/* On commit fddcec1 the slots of eight liars that live on are lost. */
START_TEST(slots_of_the_evicted_serve_others_with_other_memory)
{
	struct tapio_consumer *c, *liars[ROUNDS][8];

	tpi_store_relaxed(&tpi_tick_ns, TICK_MS / 2 * UINT64_C(1000000));
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 8; i++) {
			liars[round][i] = rig_consumer(NULL, TAPIO_GROUP_LOSSY);
			lie(liars[round][i], 2,
			    &liars[round][i]->now->tracks[0]);
		}
		wait_evicted(8 * ((uint64_t)round + 1));
	}
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_gt(p->now->client.groups[slot_of(c)].epoch, 1);
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < 8; i++)
			lie(liars[round][i], 0,
			    &liars[round][i]->now->tracks[0]);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
		ck_assert_uint_eq(drain(c), 1);
	}
	/* One of them was evicted from the slot. It was no member since. */
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < 8; i++)
			tapio_consumer_close(liars[round][i]);
	ck_assert_uint_eq(state_of(slot_of(c)), TAPIO_SLOT_ACTIVE);
	ck_assert_uint_eq(p->now->client.groups[slot_of(c)].members, 1);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_uint_eq(drain(c), 1);
	assert_ledger(c, 1001, 0, 0);
	tapio_consumer_close(c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("evict");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, liars_are_evicted_and_nobody_else_notices);
	tcase_add_test(t, a_sleeping_member_of_an_evicted_group_is_told);
	tcase_add_test(t, a_configured_group_begins_anew_while_the_liar_lives);
	tcase_add_loop_test(t, a_durable_group_whose_liar_is_dead_is_put_right,
			    0, 3);
	tcase_add_test(t, producers_hear_of_a_group_that_is_put_right);
	tcase_add_test(t, a_lease_of_nobody_is_cleared_and_a_members_is_not);
	tcase_add_test(t, slots_of_the_evicted_serve_others_with_other_memory);
	tcase_add_test(t,
		       a_group_that_is_right_again_is_not_suspected_any_more);
	return check_run_case("evict", t);
}
