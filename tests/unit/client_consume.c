/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as a consumer gets them: filters, groups, priorities, overruns, the
 * history, and values that it MUST NOT believe. The ledger balances at the end
 * of each.
 */
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;

static void set_up(const char *config)
{
	pin(0);
	rig_start(config);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

static void emit(uint32_t tag, uint64_t value)
{
	ck_assert_int_eq(tapio_output(p, tag, &value, sizeof(value)), 0);
}

static uint64_t value_of(const struct tapio_view *v)
{
	uint64_t value;

	ck_assert_uint_eq(v->length, sizeof(value));
	memcpy(&value, v->data, sizeof(value));
	return value;
}

/* The events that a reader has got so far. */
struct got {
	uint64_t events;
	uint64_t gaps; /* records */
	uint64_t lost; /* positions in them */
	uint64_t last; /* value */
	uint32_t cause;
};

/* Reads until nothing comes, releasing each time (or never). */
static void read_all(struct tapio_consumer *c, struct got *got, bool release)
{
	struct tapio_view views[64];
	unsigned int n;

	while ((n = look(c, views, 64))) {
		for (unsigned int k = 0; k < n; k++) {
			const struct tapio_gap *gap = views[k].data;

			if (!(views[k].flags & TAPIO_VIEW_GAP)) {
				got->last = value_of(&views[k]);
				got->events++;
				continue;
			}
			got->gaps++;
			got->lost += gap->count;
			got->cause = gap->cause;
		}
		if (release)
			ck_assert_int_eq(tapio_release(c), 0);
	}
}

START_TEST(every_group_sees_every_event_in_order)
{
	struct tapio_consumer *c[3];
	struct tapio_view views[10];
	uint64_t i, next;
	unsigned int g, n, k;

	set_up(RIG_CONFIG);
	for (g = 0; g < 3; g++)
		c[g] = rig_consumer(g == 2 ? NULL
				    : g    ? "b"
					   : "a",
				    TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 60; i++)
		emit(TAG, i);
	for (g = 0; g < 3; g++) {
		for (next = 0; (n = look(c[g], views, 7));) {
			for (k = 0; k < n; k++)
				ck_assert_uint_eq(value_of(&views[k]), next++);
			ck_assert_int_eq(tapio_release(c[g]), 0);
		}
		ck_assert_uint_eq(next, 60);
		assert_ledger(c[g], 60, 0, 0);
		tapio_consumer_close(c[g]);
	}
	tear_down();
}
END_TEST

START_TEST(the_slowest_lossless_group_holds_and_its_release_frees)
{
	struct tapio_consumer *fast, *slow;
	uint64_t i, x = 0;

	set_up(RIG_CONFIG);
	fast = rig_consumer("fast", TAPIO_GROUP_LOSSLESS);
	slow = rig_consumer("slow", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 64; i++)
		emit(TAG, i);
	ck_assert_uint_eq(drain(fast), 64);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), -EAGAIN);
	ck_assert_uint_eq(drain(slow), 64);
	emit(TAG, 64);
	ck_assert_uint_eq(drain(fast), 1);
	/* A consumer that left holds no producer. */
	tapio_consumer_close(slow);
	for (i = 0; i < 1000; i++) {
		emit(TAG, i);
		ck_assert_uint_eq(drain(fast), 1);
	}
	assert_ledger(fast, 1065, 0, 0);
	tapio_consumer_close(fast);
	tear_down();
}
END_TEST

START_TEST(polling_again_hands_out_more_and_one_release_is_for_all)
{
	struct tapio_consumer *c;
	struct tapio_view views[64];
	uint64_t i, x = 0;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 64; i++)
		emit(TAG, i);
	for (i = 0; i < 64; i += 16)
		ck_assert_uint_eq(look(c, views + i, 16), 16);
	ck_assert_uint_eq(look(c, views, 16), 0);
	for (i = 0; i < 64; i++)
		ck_assert_uint_eq(value_of(&views[i]), i);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), -EAGAIN);
	ck_assert_uint_eq(group_stats(c).in_flight, 64);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, 64, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- filters --------------------------------------------------------------------- */

START_TEST(a_filter_passes_exactly_what_it_names_and_releases_the_rest)
{
	static const uint16_t types[] = {2, 3, 65535};
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.severity_min = 4,
		.types = types,
		.type_count = 3,
	};
	struct tapio_consumer *c, *all;
	struct tapio_view views[64];
	unsigned int round, type, severity, n, k, passed = 0, sent = 0;

	set_up(RIG_CONFIG);
	c = rig_open(&options);
	all = rig_consumer("all", TAPIO_GROUP_LOSSLESS);
	for (round = 0; round < 30; round++) {
		for (type = 1; type <= 4; type++)
			for (severity = 2; severity <= 6; severity += 2, sent++)
				emit(TAPIO_TAG(type == 4 ? 65535 : type,
					       severity),
				     sent);
		n = look(c, views, 64);
		for (k = 0; k < n; k++) {
			ck_assert(views[k].type == 2 || views[k].type == 3 ||
				  views[k].type == 65535);
			ck_assert_uint_ge(views[k].severity, 4);
		}
		passed += n;
		tapio_release(c);
		ck_assert_uint_eq(drain(all), 12);
	}
	ck_assert_uint_eq(passed, 30 * 6);
	assert_ledger(c, passed, sent - passed, 0);
	assert_ledger(all, sent, 0, 0);
	tapio_consumer_close(c);
	tapio_consumer_close(all);
	tear_down();
}
END_TEST

START_TEST(what_nobody_wants_frees_its_room_without_a_release)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.severity_min = 15,
	};
	struct tapio_consumer *c;
	struct tapio_view v;
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_open(&options);
	for (i = 0; i < 1000; i++) {
		emit(TAG, i);
		if (i % 50 == 49)
			ck_assert_uint_eq(look(c, &v, 1), 0);
	}
	assert_ledger(c, 0, 1000, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

#define TWO_CLASSES                                                      \
	"channel t { stamp = \"none\"\n"                                 \
	"class critical { block = 64\n blocks = 64\n side_blocks = 64\n" \
	"priority = 2 }\n"                                               \
	"class bulk { block = 64\n blocks = 64\n side_blocks = 64 }\n}\n"

START_TEST(a_class_mask_passes_over_whole_lanes)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *c;
	uint32_t critical;
	uint64_t i;

	set_up(TWO_CLASSES);
	critical = (uint32_t)tapio_producer_class(p, "critical");
	options.class_mask = 1u << critical;
	c = rig_open(&options);
	for (i = 0; i < 640; i++) {
		emit(TAG, i);
		if (i % 10 == 0)
			emit(TAPIO_TAG_CLASS(9, 9, critical), i);
		if (i % 32 == 31)
			drain(c);
	}
	assert_ledger(c, 64, 640, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(critical_events_come_first_and_do_not_starve_the_others)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	uint32_t critical;
	uint64_t i, first = 0, bulk = 0;

	set_up(TWO_CLASSES);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	critical = (uint32_t)tapio_producer_class(p, "critical");
	for (i = 0; i < 64; i++) {
		emit(TAG, i);
		emit(TAPIO_TAG_CLASS(9, 9, critical), i);
	}
	/* A flood: whatever is taken of the critical ones comes again. */
	for (i = 0; i < 64; i++) {
		ck_assert_uint_eq(look(c, &v, 1), 1);
		tapio_release(c);
		if (v.klass == critical) {
			first++;
			emit(TAPIO_TAG_CLASS(9, 9, critical), i);
		} else {
			bulk++;
		}
	}
	ck_assert_uint_ge(first, 48);
	ck_assert_uint_ge(bulk, 4);
	drain(c);
	assert_ledger(c, 128 + first, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/*
 * Of eight batches that are full one begins below the highest priority, each of the
 * others in its turn. Fails on fddcec1: between two that are flooded the middle one
 * got nothing.
 */
START_TEST(the_middle_of_three_priorities_gets_its_share)
{
	struct tapio_consumer *c;
	struct tapio_view views[16];
	uint64_t seen[3] = {0}, middle = 0;
	uint32_t hi, mid, lo;
	unsigned int n, batch;

	set_up("channel t { stamp = \"none\"\n"
	       "class hi { block = 64\n blocks = 64\n side_blocks = 64\n"
	       "priority = 9 }\n"
	       "class mid { block = 64\n blocks = 64\n side_blocks = 64\n"
	       "priority = 5 }\n"
	       "class lo { block = 64\n blocks = 64\n side_blocks = 64 } }\n");
	hi = (uint32_t)tapio_producer_class(p, "hi");
	mid = (uint32_t)tapio_producer_class(p, "mid");
	lo = (uint32_t)tapio_producer_class(p, "lo");
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (batch = 0; batch < 160; batch++) {
		/* More of both than one batch takes, at any time. */
		while (!tapio_output(p, TAPIO_TAG_CLASS(100, 5, hi), "x", 1))
			;
		while (!tapio_output(p, TAPIO_TAG_CLASS(100, 5, lo), "x", 1))
			;
		middle +=
			!tapio_output(p, TAPIO_TAG_CLASS(100, 5, mid), "x", 1);
		n = look(c, views, 16);
		ck_assert_uint_eq(n, 16);
		for (unsigned int k = 0; k < n; k++)
			seen[views[k].klass]++;
		ck_assert_int_eq(tapio_release(c), 0);
		/* Each of the two others has had one of 16 batches. */
		if (batch % 16 == 15) {
			ck_assert_uint_ge(seen[mid], middle - 9);
			ck_assert_uint_ge(seen[lo], (batch + 1) / 16 * 15);
		}
	}
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_lane_that_is_never_empty_does_not_starve_its_neighbours)
{
	static const char config[] =
		"channel t { stamp = \"none\"\n"
		"class one { block = 64\n blocks = 64\n side_blocks = 64 }\n"
		"class two { block = 64\n blocks = 64\n side_blocks = 64 }\n"
		"}\n";
	struct tapio_consumer *c;
	struct tapio_view views[4];
	unsigned int i, k, n, row = 0, longest = 0, last = 9;
	uint64_t sent = 128;

	set_up(config);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 64; i++)
		for (k = 0; k < 2; k++)
			emit(TAPIO_TAG_CLASS(9, 9, k), i);
	/* Events taken of either come again, so that they fill every look. */
	for (i = 0; i < 200; i++) {
		n = look(c, views, 4);
		ck_assert_uint_eq(n, 4);
		tapio_release(c);
		for (k = 0; k < n; k++, sent++) {
			ck_assert_uint_eq(views[k].klass, views[0].klass);
			emit(TAPIO_TAG_CLASS(9, 9, views[0].klass), i);
		}
		row = views[0].klass == last ? row + 1 : 1;
		longest = row > longest ? row : longest;
		last = views[0].klass;
	}
	ck_assert_uint_le(longest, 8);
	drain(c);
	assert_ledger(c, sent, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- overruns --------------------------------------------------------------------- */

START_TEST(a_lossy_group_gets_gap_records_that_sum_exactly)
{
	struct tapio_consumer *c;
	struct tapio_view views[16];
	uint64_t sent = 0, got = 0, gaps = 0, next = 0, burst;
	unsigned int n, k;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	for (burst = 1; burst < 400; burst += 13) {
		for (k = 0; k < burst; k++)
			emit(TAG, sent++);
		while ((n = look(c, views, 16))) {
			for (k = 0; k < n; k++) {
				const struct tapio_gap *gap = views[k].data;

				if (!(views[k].flags & TAPIO_VIEW_GAP)) {
					ck_assert_uint_eq(value_of(&views[k]),
							  next++);
					got++;
					continue;
				}
				ck_assert_uint_eq(gap->cause,
						  TAPIO_GAP_OVERRUN);
				ck_assert_uint_eq(gap->last - gap->first + 1,
						  gap->count);
				next += gap->count;
				gaps += gap->count;
			}
			ck_assert_int_eq(tapio_release(c), 0);
		}
		ck_assert_uint_eq(next, sent);
	}
	ck_assert_uint_gt(gaps, 0);
	ck_assert_uint_eq(got + gaps, sent);
	assert_ledger(c, got, 0, gaps);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/*
 * Fails on fddcec1: after a gap nothing more came before a release, for ever. Now all
 * that is missed meanwhile is told by one record afterwards.
 */
START_TEST(polling_again_after_a_gap_hands_out_more)
{
	struct got got = {0};
	struct tapio_consumer *c;
	uint64_t i, sent = 0;
	int64_t vain;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	for (int round = 0; round < 4; round++) {
		struct got before = got;

		for (i = 0; i < 200; i++)
			emit(TAG, sent++);
		read_all(c, &got, false);
		ck_assert_uint_gt(got.events, before.events);
		ck_assert_uint_eq(got.last, sent - 1);
		ck_assert_uint_eq(got.gaps, 1);
	}
	vain = tapio_release(c);
	ck_assert_int_gt(vain, 0); /* all batches but the last */
	read_all(c, &got, true);
	ck_assert_uint_eq(got.gaps, 2);
	ck_assert_uint_eq(got.events + got.lost, sent);
	assert_ledger(c, got.events - (uint64_t)vain, 0,
		      got.lost + (uint64_t)vain);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(what_was_overwritten_while_it_was_read_is_reported_at_release)
{
	struct tapio_consumer *c;
	struct tapio_view views[8];
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	for (i = 0; i < 8; i++)
		emit(TAG, i);
	ck_assert_uint_eq(look(c, views, 8), 8);
	/* 64 blocks: the 56 others, then the first of ours is next. */
	for (i = 0; i < 55; i++)
		emit(TAG, i);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(drain(c), 55);

	for (i = 0; i < 8; i++)
		emit(TAG, i);
	ck_assert_uint_eq(look(c, views, 8), 8);
	for (i = 0; i < 58; i++)
		emit(TAG, i);
	ck_assert_int_eq(tapio_release(c), 8);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(drain(c), 58);
	assert_ledger(c, 8 + 55 + 58, 0, 8);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_group_until_a_lag_loses_only_what_lies_beyond_it)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_UNTIL,
		.lag = 48,
	};
	struct tapio_consumer *c;
	struct tapio_view views[64];
	uint64_t i, lost = 0, got = 0;
	unsigned int n, k;

	set_up(RIG_CONFIG);
	c = rig_open(&options);
	for (i = 0; i < 48; i++)
		emit(TAG, i);
	ck_assert_uint_eq(drain(c), 48);
	/* Held at 48, and overrun from there on, event by event. */
	for (i = 0; i < 200; i++)
		emit(TAG, i);
	while ((n = look(c, views, 64))) {
		for (k = 0; k < n; k++) {
			const struct tapio_gap *gap = views[k].data;

			if (views[k].flags & TAPIO_VIEW_GAP)
				lost += gap->count;
			else
				got++;
		}
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(got + lost, 200);
	ck_assert_uint_ge(got, 47);
	assert_ledger(c, 48 + got, 0, lost);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_group_that_holds_the_whole_lane_up_to_its_lag_loses_nothing)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_UNTIL,
		.lag = 63,
	};
	struct tapio_consumer *c, *holder;
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_open(&options);
	holder = rig_consumer("holder", TAPIO_GROUP_LOSSLESS);
	/* Full to the last block: its head stands at reap, and is not lost. */
	for (i = 0; i < 64; i++)
		emit(TAG, i);
	ck_assert_uint_eq(drain(c), 64);
	ck_assert_uint_eq(drain(holder), 64);
	assert_ledger(c, 64, 0, 0);
	tapio_consumer_close(holder);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- the past ---------------------------------------------------------------------- */

START_TEST(the_first_member_of_a_group_gets_what_the_lanes_still_hold)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.start = TAPIO_START_OLDEST,
	};
	struct tapio_consumer *c, *second;
	struct tapio_view views[100];
	uint64_t i, next;
	unsigned int n, k;

	set_up(RIG_CONFIG);
	for (i = 0; i < 100; i++)
		emit(TAG, i);
	c = rig_open(&options);
	second = rig_open(&options);
	/* 64 blocks, less the one that may be under the pen, or, where `_i` new
	 * events have overwritten the oldest, from a quarter of the ring on. */
	next = _i ? 100 - 64 + (unsigned int)_i + 16 : 100 - 63;
	for (; i < 100 + (unsigned int)_i; i++)
		emit(TAG, i);
	if (!_i) {
		n = look(c, views, 10);
		ck_assert_uint_eq(n, 10);
		ck_assert_uint_eq(value_of(&views[0]), next);
		next += n;
		for (; i < 101; i++)
			emit(TAG, i);
	}
	while ((n = look(c, views, 10))) {
		for (k = 0; k < n; k++)
			ck_assert_uint_eq(value_of(&views[k]), next++);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(next, i);
	ck_assert_uint_eq(drain(second), 0);
	/* The past is not in the group's ledger. */
	assert_ledger(c, i - 100, 0, 0);
	tapio_consumer_close(second);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(the_past_obeys_the_filter_and_waits_for_room_in_the_buffer)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.start = TAPIO_START_OLDEST,
		.severity_min = 5,
	};
	static unsigned char bytes[60000];
	struct tapio_consumer *c;
	struct tapio_view views[100];
	unsigned int n, k, got = 0;
	int i;

	set_up("channel t { stamp = \"none\"\n class main { block = 65536\n"
	       "blocks = 16\n side_blocks = 16 } }\n");
	for (i = 0; i < 15; i++) {
		memset(bytes, i, sizeof(bytes));
		ck_assert_int_eq(tapio_output(p, TAPIO_TAG(1, i % 3 ? 6 : 2),
					      bytes, sizeof(bytes)),
				 0);
	}
	c = rig_open(&options);
	/* 256 KiB hold four of them. */
	for (i = 1; (n = look(c, views, 100)); got += n) {
		ck_assert_uint_le(n, 4);
		ck_assert_uint_eq(look(c, views + n, 100), 0);
		for (k = 0; k < n; k++, i++) {
			i += i % 3 == 0;
			ck_assert_uint_eq(
				((const unsigned char *)views[k].data)[59999],
				(unsigned char)i);
		}
		tapio_release(c);
	}
	ck_assert_uint_eq(got, 10);
	assert_ledger(c, 0, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- what must not be believed -------------------------------------------------------- */

/* The lane that the producer works on. */
static const struct tpi_lane *lane_in_use(void)
{
	uint32_t i;

	for (i = 0; i < p->now->emit.lane_count; i++)
		if (TAPIO_STATE_TAIL(p->now->emit.lanes[i].shm->state) != 64)
			return &p->now->emit.lanes[i];
	ck_abort_msg("no lane is in use");
	return NULL;
}

static void spoil_held(const struct tpi_lane *lane)
{
	lane->shm->state = TAPIO_STATE(TAPIO_STATE_TAIL(lane->shm->state), 65);
}

static void spoil_tail(const struct tpi_lane *lane)
{
	lane->shm->state += TAPIO_STATE(1000, 0);
}

static void spoil_tail_back(const struct tpi_lane *lane)
{
	lane->shm->state -= TAPIO_STATE(10, 0);
}

static void spoil_block(const struct tpi_lane *lane)
{
	lane->desc[5] |= 0xfff00;
}

static void spoil_length(const struct tpi_lane *lane)
{
	lane->desc[5] |= UINT64_C(0xfffff) << 20;
}

static void spoil_tail_far(const struct tpi_lane *lane)
{
	lane->shm->state += TAPIO_STATE(UINT64_C(1) << 46, 0);
}

/* Each, and which fault the cursor shows then. */
static const struct spoiler {
	void (*spoil)(const struct tpi_lane *lane);
	uint32_t fault;
	bool events_lost; /* that were there before */
} spoilers[] = {
	{spoil_held, TPI_FAULT_STATE, true},
	{spoil_tail, TPI_FAULT_STATE, true},
	{spoil_tail_far, TPI_FAULT_STATE, true},
	{spoil_tail_back, TPI_FAULT_STATE, true},
	{spoil_block, TPI_FAULT_DESCRIPTOR, false},
	{spoil_length, TPI_FAULT_DESCRIPTOR, false},
};
#define SPOILERS (int)(sizeof(spoilers) / sizeof(spoilers[0]))

static const uint32_t all_policies[] = {TAPIO_GROUP_LOSSLESS, TAPIO_GROUP_UNTIL,
					TAPIO_GROUP_LOSSY};

/* The ledger of one lane, which balances; faults are members' findings at most. */
static struct tpi_ledger ledger_of(const struct tapio_consumer *c,
				   uint32_t lane)
{
	const struct tpi_track *t = &c->now->tracks[lane];
	struct tpi_ledger ledger;

	ck_assert_int_eq(
		tpi_ledger_read(
			t->lane,
			&c->now->client
				 .groups[c->now->client.granted.group_slot],
			t->cursor, &ledger),
		0);
	ck_assert_uint_eq(ledger.published, ledger.delivered + ledger.skipped +
						    ledger.lost +
						    ledger.in_flight);
	return ledger;
}

/*
 * Fails on fddcec1: the lane was not read any more, and its events stood in no
 * count. With a tail that is 2^46 away and the default policy one tapio_poll went
 * through them one by one, and did not return.
 */
START_TEST(an_impossible_lane_is_passed_over_and_read_on)
{
	const struct spoiler *s = &spoilers[_i % SPOILERS];
	const struct tpi_lane *lane;
	struct tapio_consumer *c;
	struct tpi_ledger ledger;
	struct got got = {0};
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", all_policies[_i / SPOILERS]);
	for (i = 0; i < 3; i++)
		emit(TAG, i);
	ck_assert_uint_eq(drain(c), 3);
	for (; i < 8; i++)
		emit(TAG, i);
	lane = lane_in_use();
	s->spoil(lane);
	read_all(c, &got, true);
	ck_assert_uint_eq(got.events, s->events_lost ? 0 : 4);
	ck_assert_uint_eq(got.gaps, 1);
	ck_assert_uint_eq(got.cause, TAPIO_GAP_CORRUPT);
	ledger = ledger_of(c, lane->id);
	ck_assert_uint_eq(ledger.faults & TPI_FAULTS_FOUND, s->fault);
	ck_assert_uint_eq(ledger.lost, got.lost);
	ck_assert_uint_eq(ledger.in_flight, 0);
	if (s->spoil != spoil_held) {
		/* The events that producers publish on that lane from now on
		 * come. */
		for (i = 100; i < 300; i++) {
			emit(TAG, i);
			read_all(c, &got, true);
			ck_assert_uint_eq(got.last, i);
		}
		ledger = ledger_of(c, lane->id);
		ck_assert_uint_eq(ledger.faults, s->fault);
	}
	ck_assert_uint_eq(got.gaps, 1);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* One position more than the ring holds is impossible where producers wait. */
START_TEST(a_tail_that_is_just_too_far_is_impossible)
{
	const struct tpi_lane *lane;
	struct tapio_consumer *c;
	struct got got = {0};
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 8; i++)
		emit(TAG, i);
	lane = lane_in_use();
	lane->shm->state += TAPIO_STATE(lane->mask + 2 - 8, 0);
	read_all(c, &got, true);
	ck_assert_uint_eq(got.events, 0);
	ck_assert_uint_eq(got.cause, TAPIO_GAP_CORRUPT);
	ck_assert_uint_eq(got.lost, lane->mask + 2);
	ck_assert_uint_eq(ledger_of(c, lane->id).faults, TPI_FAULT_STATE);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* Whole runs of them among good events: each is counted, each event comes. */
START_TEST(runs_of_bad_descriptors_are_told_by_one_record_each)
{
	const struct tpi_lane *lane;
	struct tapio_consumer *c;
	struct got got = {0};
	uint64_t i, bad = 0;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", all_policies[_i / 2]);
	emit(TAG, 0);
	ck_assert_uint_eq(drain(c), 1);
	for (i = 0; i < 30; i++)
		emit(TAG, i);
	lane = lane_in_use();
	for (i = 1; i < 31; i++)
		if (i % 5 < 2) {
			lane->desc[i] |= 0xfff00;
			bad++;
		}
	/* Once with a release each time, once with one for all. */
	read_all(c, &got, _i % 2);
	if (!(_i % 2)) {
		ck_assert_uint_eq(got.gaps, 1);
		ck_assert_int_eq(tapio_release(c), 0);
		read_all(c, &got, true);
		ck_assert_uint_eq(got.gaps, 2); /* all others in one */
	}
	ck_assert_uint_eq(got.events, 30 - bad);
	ck_assert_uint_eq(got.lost, bad);
	ck_assert_uint_eq(ledger_of(c, lane->id).lost, bad);
	ck_assert_uint_eq(ledger_of(c, lane->id).in_flight, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(views_point_into_memory_that_the_consumer_cannot_write)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	int status;
	pid_t pid;

	set_up(RIG_CONFIG);
	pid = fork();
	if (!pid) {
		/* A process of its own, as consumers are. */
		uint64_t sent = 7;
		struct tapio_producer *q;

		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		q = rig_producer();
		if (tapio_output(q, TAG, &sent, sizeof(sent)) ||
		    look(c, &v, 1) != 1 || *(const uint64_t *)v.data != 7)
			_exit(1);
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint64_t *)(uintptr_t)v.data = 8;
		_exit(2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		      "status 0x%x", status);
	tear_down();
}
END_TEST

START_TEST(nobody_can_make_a_consumers_mapping_writable)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	uintptr_t page;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(TAG, 1);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	page = (uintptr_t)v.data & ~(uintptr_t)4095;
	ck_assert_int_eq(mprotect((void *)page, 4096, PROT_READ | PROT_WRITE),
			 -1);
	ck_assert_int_eq(errno, EACCES);
	tapio_release(c);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(an_ended_group_is_read_to_its_end_and_then_not_connected)
{
	struct tapio_consumer *c;
	struct tapio_view views[8];
	uint64_t i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(look(c, views, 8), 0); /* it has the lanes */
	for (i = 0; i < 10; i++)
		emit(TAG, i);
	/* The slot's incarnation is another: so it looks when it was given
	 * away. */
	c->now->incarnation ^= 1;
	ck_assert_uint_eq(look(c, views, 8), 8);
	emit(TAG, i);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(look(c, views, 8), 2);
	ck_assert_uint_eq(value_of(&views[1]), 9);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_int_eq(tapio_poll(c, views, 8, 0), -ENOTCONN);
	ck_assert_int_eq(tapio_poll(c, views, 8, TAPIO_FOREVER), -ENOTCONN);
	/* Its cursors are as they were: they are another group's now. */
	c->now->incarnation ^= 1;
	c->now->ended = false;
	ck_assert_uint_eq(group_stats(c).in_flight, 11);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_member_goes_on_from_the_gate_when_its_head_is_a_strangers)
{
	struct tapio_consumer *c, *next;
	struct tapio_view views[64];
	uint64_t i;
	unsigned int n;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	next = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 20; i++)
		emit(TAG, i);
	/* A former member of another incarnation woke up and wrote its head,
	 * beyond what we have read, into every cursor. */
	for (i = 0; i < c->now->lane_count; i++)
		c->now->tracks[i].cell->head =
			TAPIO_HEAD(64 + 20, c->now->incarnation ^ 1, 0);
	tapio_consumer_close(c);
	n = look(next, views, 64);
	if (!n)
		n = (unsigned int)tapio_poll(next, views, 64, 1000000000);
	/* At least all that is unread, and all that the gate had not passed. */
	ck_assert_uint_ge(n, 20);
	ck_assert_uint_eq(value_of(&views[n - 1]), 19);
	tapio_release(next);
	for (i = 0; i < 500; i++) {
		emit(TAG, i);
		ck_assert_uint_ge(drain(next), 1);
	}
	tapio_consumer_close(next);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client consume");
	TCase *t = tcase_create("consume");

	tcase_add_test(t, every_group_sees_every_event_in_order);
	tcase_add_test(t,
		       the_slowest_lossless_group_holds_and_its_release_frees);
	tcase_add_test(t,
		       polling_again_hands_out_more_and_one_release_is_for_all);
	tcase_add_test(
		t, a_filter_passes_exactly_what_it_names_and_releases_the_rest);
	tcase_add_test(t, what_nobody_wants_frees_its_room_without_a_release);
	tcase_add_test(t, a_class_mask_passes_over_whole_lanes);
	tcase_add_test(t,
		       critical_events_come_first_and_do_not_starve_the_others);
	tcase_add_test(t, the_middle_of_three_priorities_gets_its_share);
	tcase_add_test(
		t, a_lane_that_is_never_empty_does_not_starve_its_neighbours);
	tcase_add_test(t, a_lossy_group_gets_gap_records_that_sum_exactly);
	tcase_add_test(t, polling_again_after_a_gap_hands_out_more);
	tcase_add_test(
		t,
		what_was_overwritten_while_it_was_read_is_reported_at_release);
	tcase_add_test(t, a_group_until_a_lag_loses_only_what_lies_beyond_it);
	tcase_add_test(
		t,
		a_group_that_holds_the_whole_lane_up_to_its_lag_loses_nothing);
	tcase_add_loop_test(
		t, the_first_member_of_a_group_gets_what_the_lanes_still_hold,
		0, 8);
	tcase_add_test(
		t, the_past_obeys_the_filter_and_waits_for_room_in_the_buffer);
	tcase_add_loop_test(t, an_impossible_lane_is_passed_over_and_read_on, 0,
			    3 * SPOILERS);
	tcase_add_test(t, a_tail_that_is_just_too_far_is_impossible);
	tcase_add_loop_test(
		t, runs_of_bad_descriptors_are_told_by_one_record_each, 0, 6);
	tcase_add_test(t,
		       views_point_into_memory_that_the_consumer_cannot_write);
	tcase_add_test(t, nobody_can_make_a_consumers_mapping_writable);
	tcase_add_test(
		t, an_ended_group_is_read_to_its_end_and_then_not_connected);
	tcase_add_test(
		t, a_member_goes_on_from_the_gate_when_its_head_is_a_strangers);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
