/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer that is not trusted writes noise into its own segment, and into the
 * doorbells, while others read. Whatever the words hold and however they change, no
 * reader crashes, no call of a reader goes on for ever, and the events of an honest
 * producer come once, in order, and whole. Counts and ledgers decide. The alarm of a
 * case is for a call that does not return.
 *
 * The files of consumer, reader and observer have testpoints here. Processes of other
 * uids and holes are the business of isolated.c.
 */
#include <pthread.h>

#include "tests/unit/client_fixture.h"

#define CONFIG                                                  \
	"channel t { isolation = process\n producers_max = 2\n" \
	"class main { block = 256\n blocks = 64 }\n"            \
	"class critical { block = 128\n blocks = 16\n priority = 1 }}\n"
#define BURST  12
#define ROUNDS (CHECK_SANITIZED ? 300 : 3000)
#define LOOKS  2000 /* so many polls bring what is there */
#define FAR    (UINT64_C(1) << 44)

static struct tapio_producer *honest, *hostile;

/* ---- noise -------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const struct tpi_lane *lane_of(const struct tapio_producer *p,
				      uint32_t klass)
{
	return tpi_producer_own_lane(p->now, klass);
}

/* Words that lie near the limits, and any other. */
static uint64_t bad_state(const struct tpi_lane *lane)
{
	uint64_t now = TAPIO_STATE_TAIL(tpi_load_relaxed(&lane->shm->state));
	uint32_t n = lane->mask + 1;

	switch (noise() % 8) {
	case 0:
		return noise();
	case 1:
		return TAPIO_STATE(now + noise() % (2 * n), 0);
	case 2:
		return TAPIO_STATE(now - noise() % (2 * n), 0);
	case 3:
		return TAPIO_STATE(now + FAR, noise() % (n + 2));
	case 4:
		return TAPIO_STATE(now - FAR, 0);
	case 5:
		return TAPIO_STATE(now + 1, noise() % (n + 2));
	case 6:
		return TAPIO_STATE(noise() % (2 * n), 0);
	default:
		return TAPIO_STATE(now + n / 2, 0);
	}
}

static uint64_t bad_desc(const struct tpi_lane *lane)
{
	uint64_t block = noise() & lane->mask;

	switch (noise() % 4) {
	case 0:
		return noise();
	case 1:
		return TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) | block;
	case 2:
		return TAPIO_DESC_META(7, 9, lane->block_bytes + 1) | block;
	default:
		return TAPIO_DESC_META(7, 3, noise() % lane->block_bytes) |
		       block;
	}
}

/* One word of a lane, of any of its arrays. */
static void scribble_word(const struct tpi_lane *lane)
{
	uint64_t *shm = (uint64_t *)lane->shm;
	uint64_t at = noise() & lane->mask;

	switch (noise() % 8) {
	case 0:
		tpi_store_relaxed(&lane->shm->state, bad_state(lane));
		break;
	case 1:
		tpi_store_relaxed(&lane->shm->gate, noise());
		break;
	case 2:
		tpi_store_relaxed(&lane->tickets[at], noise());
		break;
	case 3:
		tpi_store_relaxed(&lane->time[at],
				  noise() % 2 ? noise() : UINT64_MAX);
		break;
	case 4:
		tpi_store_relaxed(
			&shm[noise() % (sizeof(*lane->shm) / sizeof(*shm))],
			noise());
		break;
	default:
		tpi_store_relaxed(&lane->desc[at], bad_desc(lane));
	}
}

/* A whole lane of one kind of descriptor: a filter passes it over, or it is no event. */
static void scribble_all(const struct tpi_lane *lane)
{
	uint64_t desc = bad_desc(lane);

	for (uint32_t i = 0; i <= lane->mask; i++)
		tpi_store_relaxed(&lane->desc[i], desc);
	tpi_store_relaxed(&lane->shm->state, bad_state(lane));
}

static void scribble_bells(void)
{
	const struct tpi_map *map = &hostile->now->client.maps[0];
	uint32_t *words = (uint32_t *)map->base;

	tpi_store_relaxed(&words[noise() % (sizeof(struct tapio_shm_doorbells) /
					    sizeof(*words))],
			  (uint32_t)noise());
}

static void scribble(void)
{
	uint32_t words = 1 + noise() % 64;

	for (uint32_t k = 0; k < 2; k++) {
		if (noise() % 4 == 0)
			scribble_all(lane_of(hostile, k));
		for (uint32_t i = 0; i < words; i++)
			scribble_word(lane_of(hostile, k));
	}
	scribble_bells();
}

/* ---- readers ------------------------------------------------------------------------ */

static uint64_t emitted; /* by the honest producer, on each class */

/* A reader, and how far it has got on the honest lanes. */
struct reader {
	const char *name;
	struct tapio_consumer *c;
	struct tapio_observer *o;
	uint64_t next[2];
};

#define READERS 8
static struct reader readers[READERS];

static struct reader consumer(const char *name, uint32_t policy,
			      uint64_t merge_ns, uint32_t severity_min)
{
	struct tapio_consumer_options options = {
		.group = name,
		.policy = policy,
		.merge_ns = merge_ns,
		.severity_min = severity_min,
	};

	return (struct reader){.name = name, .c = rig_open(&options)};
}

static struct reader observer(const char *name, uint64_t merge_ns,
			      uint32_t severity_min)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.merge_ns = merge_ns,
		.severity_min = severity_min,
		.start = TAPIO_START_OLDEST,
	};
	struct reader r = {.name = name};

	ck_assert_int_eq(tapio_observer_open(&r.o, "t", &options), 0);
	return r;
}

static void set_up(void)
{
	rig_start(CONFIG);
	honest = rig_producer_anywhere();
	hostile = rig_producer_anywhere();
	emitted = 0;
	readers[0] = consumer("lossless", TAPIO_GROUP_LOSSLESS, 0, 0);
	readers[1] = consumer("until", TAPIO_GROUP_UNTIL, 0, 0);
	readers[2] = consumer("merged", TAPIO_GROUP_UNTIL, 1, 0);
	readers[3] = consumer("ordered", TAPIO_GROUP_LOSSLESS, 1, 4);
	readers[4] = consumer("severe", TAPIO_GROUP_UNTIL, 0, 4);
	readers[5] = observer("observer", 0, 4);
	readers[6] = observer("watcher", 1, 0);
	readers[7] = observer("filter", 1, 4);
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	for (int i = 0; i < READERS; i++) {
		tapio_consumer_close(readers[i].c);
		tapio_observer_close(readers[i].o);
	}
	tapio_producer_close(hostile);
	tapio_producer_close(honest);
	rig_stop();
}

struct event {
	uint64_t number;
	uint64_t check;
	uint64_t fill[10];
};

static void emit_burst(void)
{
	struct event e;

	for (int i = 0; i < BURST; i++, emitted++) {
		e.number = emitted;
		e.check = ~emitted;
		for (int k = 0; k < 10; k++)
			e.fill[k] = emitted * 31 + (uint64_t)k;
		ck_assert_int_eq(tapio_output(honest, TAG, &e, sizeof(e)), 0);
		ck_assert_int_eq(tapio_output(honest,
					      TAPIO_TAG_CLASS(100, 5, 0), &e,
					      sizeof(e)),
				 0);
	}
}

/* Every byte can be read, and those of the honest producer are what it wrote. */
static void take(struct reader *r, const struct tapio_view *view)
{
	volatile unsigned char sum = 0;
	struct event e;

	for (uint32_t i = 0; i < view->length; i++)
		sum ^= ((const unsigned char *)view->data)[i];
	for (uint32_t k = 0; k < 2; k++) {
		if (view->lane != lane_of(honest, k)->id)
			continue;
		ck_assert_msg(!(view->flags & TAPIO_VIEW_GAP),
			      "%s: gap of %llu, cause %u", r->name,
			      (unsigned long long)((const struct tapio_gap *)
							   view->data)
				      ->count,
			      ((const struct tapio_gap *)view->data)->cause);
		ck_assert_uint_eq(view->length, sizeof(e));
		memcpy(&e, view->data, sizeof(e));
		ck_assert_msg(e.number == r->next[k], "%s: %llu after %llu",
			      r->name, (unsigned long long)e.number,
			      (unsigned long long)r->next[k]);
		ck_assert_uint_eq(e.check, ~e.number);
		for (int i = 0; i < 10; i++)
			ck_assert_uint_eq(e.fill[i],
					  e.number * 31 + (uint64_t)i);
		r->next[k]++;
	}
}

static void look_once(struct reader *r)
{
	struct tapio_view views[16];
	int n = r->c ? tapio_poll(r->c, views, 16, 0)
		     : tapio_observe(r->o, views, 16, 0);

	ck_assert_msg(n >= 0, "%s: %s", r->name, strerror(-n));
	for (int i = 0; i < n; i++)
		take(r, &views[i]);
	if (r->c)
		ck_assert_int_ge(tapio_release(r->c), 0);
}

static void catch_up(struct reader *r)
{
	for (int i = 0; i < LOOKS; i++) {
		look_once(r);
		if (r->next[0] == emitted && r->next[1] == emitted)
			return;
	}
	ck_abort_msg("%s: %llu and %llu of %llu events came", r->name,
		     (unsigned long long)r->next[0],
		     (unsigned long long)r->next[1],
		     (unsigned long long)emitted);
}

/* A group begins in the middle of it, reads what was there, sleeps, and ends. */
static void come_and_go(uint64_t merge_ns, uint32_t wake_events)
{
	struct tapio_consumer_options options = {
		.start = TAPIO_START_OLDEST,
		.merge_ns = merge_ns,
		.wake_events = wake_events,
		.wake_ns = 1000,
	};
	struct tapio_consumer *c = rig_open(&options);
	struct tapio_view views[16];

	for (int i = 0; i < 20; i++) {
		ck_assert_int_ge(tapio_poll(c, views, 16, 1000), 0);
		ck_assert_int_ge(tapio_release(c), 0);
	}
	ck_assert_int_ge(tapio_fd(c), 0);
	ck_assert_int_ge(tapio_poll(c, views, 16, 0), 0);
	ck_assert_int_ge(tapio_release(c), 0);
	tapio_consumer_close(c);
}

/* All that reads lanes without being a reader of events. */
static void look_at_all(void)
{
	struct tapio_producer_stats produced = {.size = sizeof(produced)};
	char text[512];

	come_and_go(0, 0);
	come_and_go(1, 0);
	come_and_go(0, 4);
	ck_assert_int_eq(tapio_producer_stats_read(honest, &produced), 0);
	tapio_producer_explain(hostile, -EAGAIN, TAG, 1, text, sizeof(text));
	for (int i = 0; i < READERS; i++) {
		struct tapio_observer_stats seen = {.size = sizeof(seen)};

		if (readers[i].c)
			group_stats(readers[i].c);
		else
			tapio_observer_stats_read(readers[i].o, &seen);
	}
}

/* The honest lanes in the ledger of a group. */
static void assert_honest_ledger(const struct reader *r)
{
	const struct tapio_consumer *c = r->c;
	struct tpi_ledger ledger;

	for (uint32_t k = 0; k < 2; k++) {
		uint32_t id = lane_of(honest, k)->id;

		ck_assert_int_eq(
			tpi_ledger_read(c->now->tracks[id].lane, c->now->group,
					c->now->tracks[id].cursor, &ledger),
			0);
		ck_assert_msg(!ledger.faults, "%s: faults 0x%x", r->name,
			      ledger.faults);
		ck_assert_uint_eq(ledger.delivered, emitted);
		ck_assert_uint_eq(
			ledger.skipped + ledger.lost + ledger.in_flight, 0);
	}
}

static void assert_nobody_is_hurt(void)
{
	const struct tapio_shm_broker *broker =
		honest->now->client.catalog.broker;

	for (int i = 0; i < READERS; i++)
		if (readers[i].c) {
			ck_assert(!readers[i].c->now->ended);
			assert_honest_ledger(&readers[i]);
		}
	ck_assert_uint_eq(tpi_load_relaxed(&broker->suspicions), 0);
	ck_assert_uint_eq(tpi_load_relaxed(&broker->evictions), 0);
	/* Of its own lanes: it maps no others. */
	ck_assert_uint_eq(dropped(honest, TAPIO_DROP_FULL), 0);
}

START_TEST(noise_in_one_segment_changes_nothing_of_another)
{
	for (int round = 0; round < ROUNDS; round++) {
		seed = UINT64_C(0x9e3779b97f4a7c15) *
		       (uint64_t)(round + 1 + _i * ROUNDS);
		scribble();
		emit_burst();
		for (int i = 0; i < READERS; i++) {
			catch_up(&readers[i]);
			if (noise() % 4 == 0)
				scribble();
		}
		if (round % 64 == 0)
			look_at_all();
	}
	assert_nobody_is_hurt();
}
END_TEST

/* ---- noise at the same time ------------------------------------------------------------ */

static uint32_t stop;

static void *scribbler(void *unused)
{
	(void)unused;
	seed = 88172645463325252;
	while (!tpi_load_relaxed(&stop))
		scribble();
	return NULL;
}

START_TEST(noise_that_changes_under_a_look_changes_nothing_of_another)
{
	pthread_t thread;

	tpi_store_relaxed(&stop, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, scribbler, NULL), 0);
	for (int round = 0; round < ROUNDS / 3; round++) {
		emit_burst();
		for (int i = 0; i < READERS; i++)
			catch_up(&readers[i]);
		if (round % 64 == 0)
			look_at_all();
	}
	tpi_store_relaxed(&stop, 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	assert_nobody_is_hurt();
}
END_TEST

/* ---- one word that changes between two loads --------------------------------------------- */

static const char *point;
static uint64_t later; /* the state from that point on */
static uint32_t acted;

static void change_state(const char *name)
{
	if (strcmp(name, point))
		return;
	acted++;
	tpi_store_relaxed(&lane_of(hostile, 1)->shm->state, later);
}

/* A lane full of discards, whose tail is far ahead and then is not any more. */
static void plan(const char *at)
{
	const struct tpi_lane *lane = lane_of(hostile, 1);
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));

	for (uint32_t i = 0; i <= lane->mask; i++)
		tpi_store_relaxed(&lane->desc[i],
				  TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) |
					  i);
	later = TAPIO_STATE(tail, 0);
	point = at;
	acted = 0;
	tpi_store_relaxed(&lane->shm->gate, tail + FAR);
	tpi_store_relaxed(&lane->shm->state, TAPIO_STATE(tail + FAR, 0));
	tpi_testpoint_set(change_state);
}

/* Fails without the second check in look() of poll.c: it walks 2^44 positions. */
START_TEST(a_tail_that_goes_back_after_the_look_is_no_place_to_walk_to)
{
	struct reader *r = &readers[_i];

	look_once(r);
	plan("poll.overrun");
	look_once(r);
	ck_assert_uint_eq(acted, 1);
	tpi_testpoint_set(NULL);
	emit_burst();
	catch_up(r);
}
END_TEST

/* Fails without is_far() in copy.c. */
START_TEST(a_copy_goes_no_further_than_a_lap)
{
	const struct tpi_lane *lane = lane_of(hostile, 1);
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	uint64_t next = (tail - 1) & TAPIO_POSITION_MASK, from = next;
	struct tapio_view views[4];
	struct tpi_copies copies;
	struct tpi_filter all = {0};
	uint64_t skipped = 0;

	ck_assert_int_eq(tpi_copies_init(&copies, 4096,
					 &honest->now->client.channel.info),
			 0);
	ck_assert_int_eq(tpi_copy_skip(&all, lane, &next, next + FAR, &skipped),
			 -EOVERFLOW);
	ck_assert_int_eq(tpi_copy_events(&copies, &all, lane, &next, next + FAR,
					 views, 4, &skipped),
			 -EOVERFLOW);
	ck_assert_uint_eq(next, from);
	ck_assert_uint_eq(skipped, 0);
	tpi_copies_fini(&copies);
}
END_TEST

/* Fails without the look at the tail in tpi_drained(): the call returns 0 for ever. */
START_TEST(a_group_that_ended_does_not_wait_for_a_tail_that_went_back)
{
	const struct tpi_lane *lane = lane_of(hostile, 1);
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	struct tapio_consumer *c = readers[1].c;
	const uint64_t nobody = 0;
	struct tapio_view views[16];
	int n = 0;

	look_once(&readers[1]);
	tpi_store_relaxed(&lane->shm->state, TAPIO_STATE(tail + FAR, 0));
	c->now->slot = &nobody;
	tpi_check_slot(c->now);
	tpi_store_relaxed(&lane->shm->state, TAPIO_STATE(tail, 0));
	for (int i = 0; i < LOOKS && n >= 0; i++) {
		n = tapio_poll(c, views, 16, 1000);
		tapio_release(c);
	}
	ck_assert_int_eq(n, -ENOTCONN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scribbled");
	TCase *tc = tcase_create("noise");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, noise_in_one_segment_changes_nothing_of_another,
			    0, 4);
	tcase_add_test(
		tc, noise_that_changes_under_a_look_changes_nothing_of_another);
	suite_add_tcase(suite, tc);
	tc = tcase_create("one word");
	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(
		tc, a_tail_that_goes_back_after_the_look_is_no_place_to_walk_to,
		1, 3);
	tcase_add_test(tc, a_copy_goes_no_further_than_a_lap);
	tcase_add_test(
		tc, a_group_that_ended_does_not_wait_for_a_tail_that_went_back);
	suite_add_tcase(suite, tc);
	return rig_run(suite);
}
