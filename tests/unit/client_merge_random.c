/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A merge hands out exactly what a naive one does: of all lanes that have an event which
 * may be handed out, the earliest stamp first, and of equal stamps that of the lower lane.
 * Lanes, stamps, polls and releases are random, by fixed seeds: stamps are equal, have
 * gaps, are late, or lie months away, and lanes fall idle and come back.
 *
 * All is in one thread. So what is emitted before a poll is there for it, and stamps are
 * rewritten before a reader can see them.
 */
#include "tests/unit/client_fixture.h"

#define LANES  6
#define BLOCKS 1024
#define STEPS  (CHECK_SANITIZED ? 1500 : 6000)
#define MOST   8192 /* events of a lane */
#define SECOND UINT64_C(1000000000)
#define WAIT   (60 * SECOND)
#define OTHER  TAPIO_TAG(200, 5)

struct event {
	uint64_t stamp;
	uint32_t number;
	bool passes;
};

/* A lane as the naive merge has it. Lanes are in the order of their ids. */
struct model {
	struct tapio_producer *producer;
	const struct tpi_lane *lane;
	struct event *events;
	uint32_t count;
	uint32_t next;
	uint32_t released;
};

static struct model models[LANES];
static struct tapio_consumer *c;
static struct tapio_observer *o;
static uint64_t seed, began, newest, last, late, delivered, skipped;
static uint64_t ripe_key; /* no event above it is handed out, unless .. */
static uint32_t numbers;

static uint32_t chance(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % n;
}

/* Stamps as numbers with an order, whatever their distance from now. */
static uint64_t key_of(uint64_t stamp)
{
	return stamp - began + (UINT64_C(1) << 63);
}

/* ---- emitting -------------------------------------------------------------------- */

static uint64_t next_stamp(void)
{
	uint32_t kind = chance(100);

	if (kind < 2)
		return 1 + chance(3);
	if (kind < 4)
		return newest - (UINT64_C(1) << (54 + chance(6)));
	if (kind < 20)
		return newest - chance(1000);
	newest += kind < 25 ? 100000 : chance(3);
	return newest;
}

static void emit(struct model *m, uint64_t stamp)
{
	struct event *e = &m->events[m->count++];
	struct tapio_reservation r;
	uint32_t kind = chance(10);
	uint64_t at;

	*e = (struct event){stamp, numbers++, kind < 8};
	if (kind == 9) {
		ck_assert_int_eq(tapio_reserve(m->producer, TAG, 8, &r), 0);
		ck_assert_int_eq(tapio_discard(m->producer, &r), 0);
	} else {
		ck_assert_int_eq(tapio_output(m->producer,
					      kind < 8 ? TAG : OTHER,
					      &e->number, sizeof(e->number)),
				 0);
	}
	if (!m->lane)
		return;
	at = TAPIO_STATE_TAIL(tpi_lane_peek(m->lane)) - 1;
	m->lane->time[at & m->lane->mask] = stamp;
}

static int by_id(const void *a, const void *b)
{
	const struct model *x = a, *y = b;

	return (x->lane->id > y->lane->id) - (x->lane->id < y->lane->id);
}

/* Producers get their side lanes with their first event, which no reader sees. */
static void find_lanes(void)
{
	for (int i = 0; i < LANES; i++) {
		struct model *m = &models[i];
		uint32_t x = 0;

		m->producer = rig_producer_anywhere();
		m->producer->now->emit.cpus = 0;
		ck_assert_int_eq(tapio_output(m->producer, TAG, &x, sizeof(x)),
				 0);
		m->lane = m->producer->now->sides.lane[0];
		m->events = calloc(MOST, sizeof(*m->events));
	}
	qsort(models, LANES, sizeof(*models), by_id);
}

/* ---- the naive merge ---------------------------------------------------------------- */

static bool is_filling(void)
{
	for (int i = 0; i < LANES; i++)
		if (models[i].count - models[i].released > BLOCKS / 4)
			return true;
	return false;
}

static struct model *earliest(void)
{
	struct model *first = NULL;

	for (int i = 0; i < LANES; i++) {
		struct model *m = &models[i];

		for (; m->next < m->count && !m->events[m->next].passes;
		     m->next++)
			skipped++;
		if (m->next < m->count &&
		    (!first ||
		     key_of(m->events[m->next].stamp) <
			     key_of(first->events[first->next].stamp)))
			first = m;
	}
	return first;
}

static const struct event *next_event(bool hurry)
{
	struct model *m = earliest();
	const struct event *e;

	if (!m)
		return NULL;
	e = &m->events[m->next];
	if (!hurry && key_of(e->stamp) > ripe_key)
		return NULL;
	m->next++;
	if (last && key_of(e->stamp) < key_of(last))
		late++;
	else
		last = e->stamp;
	return e;
}

/* ---- comparing ------------------------------------------------------------------------ */

static void release(void)
{
	if (o)
		return;
	ck_assert_int_eq(tapio_release(c), 0);
	for (int i = 0; i < LANES; i++)
		models[i].released = models[i].next;
}

static uint32_t poll_some(unsigned int max)
{
	struct tapio_view views[64];
	bool hurry = is_filling();
	uint32_t n = 0, number;
	const struct event *e;
	int got;

	got = c ? tapio_poll(c, views, max, 0)
		: tapio_observe(o, views, max, 0);
	ck_assert_int_ge(got, 0);
	for (; n < max && (e = next_event(hurry)); n++) {
		ck_assert_uint_lt(n, (unsigned int)got);
		ck_assert_uint_eq(views[n].flags, 0);
		memcpy(&number, views[n].data, sizeof(number));
		ck_assert_uint_eq(number, e->number);
		ck_assert_uint_eq(views[n].time, e->stamp);
	}
	ck_assert_uint_eq(n, (unsigned int)got);
	delivered += n;
	if (o)
		for (int i = 0; i < LANES; i++)
			models[i].released = models[i].next;
	return n;
}

static uint32_t room(void)
{
	uint32_t most = 0;

	for (int i = 0; i < LANES; i++)
		if (models[i].count - models[i].released > most)
			most = models[i].count - models[i].released;
	return BLOCKS - 8 > most ? BLOCKS - 8 - most : 0;
}

/* What one step does: emits to some of the lanes that are not idle now, polls, releases. */
static void step(uint32_t awake)
{
	static const unsigned int maxima[] = {1, 2, 3, 7, 32, 64};
	uint32_t i, count = chance(60), left = room();

	for (i = 0; i < count && i < left; i++) {
		struct model *m = &models[chance(LANES)];

		if (awake >> (m - models) & 1 && m->count < MOST)
			emit(m, next_stamp());
	}
	for (i = chance(4); i; i--) {
		poll_some(maxima[chance(6)]);
		if (chance(3))
			release();
	}
	if (!left)
		release();
}

static void run_randomly(void)
{
	uint32_t awake = ~0U;

	for (int i = 0; i < STEPS; i++) {
		if (chance(20) == 0)
			awake = chance(1 << LANES);
		if (chance(40) == 0)
			awake = ~0U;
		step(awake);
	}
	while (poll_some(64))
		release();
	release();
}

/* ---- the tests ----------------------------------------------------------------------- */

static void set_up(const char *stamp, int test)
{
	struct timespec t;
	char config[512];

	snprintf(config, sizeof(config),
		 "channel t { stamp = \"%s\"\n class main { block = 64\n"
		 "blocks = 64\n side_blocks = %u\n side_lanes = 8 } }\n",
		 stamp, BLOCKS);
	rig_start(config);
	find_lanes();
	clock_gettime(CLOCK_REALTIME, &t);
	began = strcmp(stamp, "tsc") ? (uint64_t)t.tv_sec * SECOND : tpi_tsc();
	/* So far back that all of it is ripe, and none is from the future. */
	newest = began - 200 * SECOND;
	ripe_key = UINT64_MAX;
	seed = (uint64_t)test * 7919 + 17;
	last = late = delivered = skipped = 0;
	numbers = 0;
}

static void tear_down(void)
{
	for (int i = 0; i < LANES; i++) {
		tapio_producer_close(models[i].producer);
		free(models[i].events);
		models[i] = (struct model){0};
	}
	tapio_consumer_close(c);
	tapio_observer_close(o);
	c = NULL;
	o = NULL;
	rig_stop();
}

static const uint16_t types[] = {100};

static void open_consumer(uint64_t merge_ns)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = merge_ns,
		.types = types,
		.type_count = 1,
	};
	struct tapio_view view;

	c = rig_open(&options);
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 0); /* takes the lanes */
}

START_TEST(a_consumer_hands_out_what_a_naive_merge_does)
{
	set_up(_i % 2 ? "tsc" : "clock", _i);
	open_consumer(1);
	run_randomly();
	ck_assert_uint_gt(delivered, STEPS);
	ck_assert_uint_eq(group_stats(c).late, late);
	ck_assert_uint_gt(late, 0);
	assert_ledger(c, delivered, skipped, 0);
	tear_down();
}
END_TEST

START_TEST(an_observer_hands_out_what_a_naive_merge_does)
{
	struct tapio_observer_stats stats = {.size = sizeof(stats)};
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.merge_ns = 1,
		.types = types,
		.type_count = 1,
	};

	set_up(_i % 2 ? "tsc" : "clock", _i);
	options.broker = rig.options;
	ck_assert_int_eq(tapio_observer_open(&o, "t", &options), 0);
	run_randomly();
	ck_assert_int_eq(tapio_observer_stats_read(o, &stats), 0);
	ck_assert_uint_eq(stats.late, late);
	ck_assert_uint_eq(stats.seen, delivered);
	ck_assert_uint_eq(stats.skipped, skipped);
	tear_down();
}
END_TEST

/*
 * Some events are ripe, others not for as long as the test takes. These hold what lies
 * behind them on their lanes, until a lane is a quarter full.
 */
START_TEST(what_must_wait_holds_its_lane_alone_until_one_fills_up)
{
	uint32_t before;

	set_up("clock", _i);
	ripe_key = key_of(began - WAIT);
	open_consumer(WAIT);
	for (int turn = 0; turn < 200; turn++) {
		struct model *m = &models[chance(LANES)];

		for (uint32_t i = chance(20); i; i--) {
			uint64_t stamp =
				began - (chance(10) ? 200 : 5) * SECOND;

			if (m->count - m->released < BLOCKS / 4)
				emit(m, stamp + chance(50));
		}
		poll_some(1 + chance(64));
		release();
	}
	while (poll_some(64)) /* the rest must wait */
		release();
	ck_assert_uint_gt(numbers, delivered + skipped);
	before = (uint32_t)delivered;
	while (models[0].count - models[0].released <= BLOCKS / 4)
		emit(&models[0], began - 5 * SECOND);
	poll_some(64);
	ck_assert_uint_eq(delivered - before, 64);
	release();
	while (is_filling()) {
		poll_some(64);
		release();
	}
	while (poll_some(64)) /* the rest must wait again */
		release();
	ck_assert_uint_gt(models[0].count - models[0].released, 0);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client merge, random");
	TCase *t = tcase_create("merge");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_consumer_hands_out_what_a_naive_merge_does, 0,
			    8);
	tcase_add_loop_test(t, an_observer_hands_out_what_a_naive_merge_does, 0,
			    4);
	tcase_add_loop_test(
		t, what_must_wait_holds_its_lane_alone_until_one_fills_up, 0,
		6);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
