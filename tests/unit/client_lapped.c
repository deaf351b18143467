/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers that do not hold the ring and look at descriptors: filters, discards,
 * merges. The ring goes round under them at any moment, also between two loads of
 * one look. Then the events that they have looked at are lost. They are not skipped,
 * and the lane is not broken.
 *
 * Each producer works on a side lane of its own, so that positions are its events in
 * order, and a position says whether its event passes. The period of those does not
 * divide the ring, so that a lap later another kind of event lies in the slot.
 *
 * It fails on fddcec1: overwritten events counted as skipped, and a merging reader
 * left the lane for good.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#define PERIOD 3 /* of those that pass */
#define LANES  2
#define EVENTS (CHECK_SANITIZED ? 40000 : 400000) /* of each producer */
#define OTHER  TAPIO_TAG(200, 5)

#define UNHEARD   0
#define DELIVERED 1
#define LOST      2

static struct tapio_producer *producers[LANES];
static struct tapio_consumer *c;
/* By position: the reader's news of it. */
static uint8_t *fates[LANES];
/* Of a lane, and so the position of its first event. */
static uint64_t blocks;
static uint32_t lane_ids[LANES];

static bool passes(uint64_t position)
{
	return (position - blocks) % PERIOD == 0;
}

/*
 * Publishes what belongs there: an event that passes, another, or a discard. Also in a
 * signal handler, where a check that holds must not talk to Check.
 */
static void emit_at(struct tapio_producer *p, uint64_t position, bool discards)
{
	struct tapio_reservation r;

	if (passes(position)) {
		while (tapio_output(p, TAG, &position, sizeof(position)))
			sched_yield();
	} else if (discards) {
		while (tapio_reserve(p, TAG, sizeof(position), &r))
			sched_yield();
		if (tapio_discard(p, &r))
			ck_abort_msg("discard at %llu",
				     (unsigned long long)position);
	} else {
		while (tapio_output(p, OTHER, &position, sizeof(position)))
			sched_yield();
	}
}

/* The first period of each producer, with which it gets its lane. */
static void emit_first(bool discards)
{
	for (int i = 0; i < LANES; i++) {
		for (uint64_t k = 0; k < PERIOD; k++)
			emit_at(producers[i], blocks + k, discards);
		lane_ids[i] = producers[i]->now->sides.lane[0]->id;
	}
}

static void set_up(uint64_t count)
{
	char config[256];

	blocks = count;
	snprintf(config, sizeof(config),
		 "hugepages = never\n"
		 "channel t { stamp = \"tsc\"\n class main { block = 64\n"
		 "blocks = 64\n side_blocks = %u\n side_lanes = 4 } }\n",
		 (unsigned int)count);
	rig_start(config);
	for (int i = 0; i < LANES; i++) {
		producers[i] = rig_producer();
		producers[i]->now->emit.cpus = 0;
		fates[i] = calloc(EVENTS + blocks, 1);
	}
}

/* A merge takes longer for such a ring than a producer for a quarter of it. */
static void set_up_long(void)
{
	set_up(1024);
}

static void tear_down(void)
{
	tapio_consumer_close(c);
	for (int i = 0; i < LANES; i++) {
		tapio_producer_close(producers[i]);
		free(fates[i]);
	}
	rig_stop();
	c = NULL;
}

static struct tapio_consumer *open_reader(uint32_t policy, bool merge,
					  bool discards)
{
	static const uint16_t types[] = {100};
	struct tapio_consumer_options options = {
		.policy = policy,
		.merge_ns = merge ? 1 : 0,
		.types = types,
		.type_count = discards ? 0 : 1,
	};

	return rig_open(&options);
}

static uint8_t *fate_of(uint32_t lane)
{
	for (int i = 0; i < LANES; i++)
		if (lane_ids[i] == lane)
			return fates[i];
	ck_abort_msg("lane %u has no producer", lane);
	return NULL;
}

static void hear_gap(const struct tapio_gap *gap, uint8_t *fate)
{
	ck_assert_uint_eq(gap->cause, TAPIO_GAP_OVERRUN);
	ck_assert_uint_ge(gap->last - gap->first + 1, gap->count);
	for (uint64_t at = gap->first; at <= gap->last; at++)
		if (fate[at] == UNHEARD)
			fate[at] = LOST;
}

/* Notes what came, and releases it. */
static void hear(const struct tapio_view *views, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t position = views[i].position, value;
		uint8_t *fate = fate_of(views[i].lane);
		int whole;

		if (views[i].flags & TAPIO_VIEW_GAP) {
			hear_gap(views[i].data, fate);
			continue;
		}
		memcpy(&value, views[i].data, sizeof(value));
		whole = tapio_view_intact(c, &views[i]);
		ck_assert_int_ge(whole, 0);
		if (whole) {
			ck_assert_uint_eq(value, position);
			ck_assert_int_ne(fate[position], DELIVERED);
		}
		fate[position] = whole ? DELIVERED : LOST;
	}
	ck_assert_int_ge(tapio_release(c), 0);
}

static void hear_all(void)
{
	struct tapio_view views[50];
	int n;

	while ((n = tapio_poll(c, views, 50, 0)) > 0)
		hear(views, n);
	ck_assert_int_eq(n, 0);
}

/* Each event that passes was delivered, or its loss was told. The ledger agrees. */
static void assert_all_heard(const uint64_t *ends)
{
	struct tapio_consumer_stats stats = group_stats(c);
	uint64_t delivered = 0, others = 0, all = 0;

	for (int i = 0; i < LANES; i++)
		for (uint64_t at = blocks; at < ends[i]; at++, all++) {
			if (passes(at) && fates[i][at] == UNHEARD)
				ck_abort_msg("nothing was heard of %llu",
					     (unsigned long long)at);
			delivered += fates[i][at] == DELIVERED;
			others += !passes(at);
		}
	assert_ledger(c, delivered, stats.skipped,
		      all - delivered - stats.skipped);
	ck_assert_uint_le(stats.skipped, others);
}

/* ---- as it comes ---------------------------------------------------------------- */

struct load {
	pthread_t thread;
	struct tapio_producer *producer;
	bool discards;
	uint32_t done;
};

static void *produce(void *arg)
{
	struct load *load = arg;

	for (uint64_t at = blocks + PERIOD; at < blocks + EVENTS; at++)
		emit_at(load->producer, at, load->discards);
	tpi_store_release(&load->done, 1);
	return NULL;
}

static bool are_done(const struct load *loads)
{
	for (int i = 0; i < LANES; i++)
		if (!tpi_load_acquire(&loads[i].done))
			return false;
	return true;
}

/* With and without a merge, filter or discards, by policy. */
START_TEST(every_event_is_delivered_or_told_to_be_lost)
{
	const uint64_t ends[LANES] = {blocks + EVENTS, blocks + EVENTS};
	static struct tapio_view views[1024];
	struct load loads[LANES];
	int n;

	c = open_reader(_i & 4 ? TAPIO_GROUP_LOSSY : TAPIO_GROUP_UNTIL, _i & 1,
			_i & 2);
	emit_first(_i & 2);
	for (int i = 0; i < LANES; i++) {
		loads[i] = (struct load){.producer = producers[i],
					 .discards = _i & 2};
		pthread_create(&loads[i].thread, NULL, produce, &loads[i]);
	}
	while (!are_done(loads)) {
		n = tapio_poll(c, views, 1024, 1000000);
		ck_assert_int_ge(n, 0);
		hear(views, n);
	}
	for (int i = 0; i < LANES; i++)
		pthread_join(loads[i].thread, NULL);
	hear_all();
	assert_all_heard(ends);
}
END_TEST

/* ---- at one instant of a look ------------------------------------------------------ */

/*
 * The reader maps the lane for itself. A page of its descriptors, or stamps, that may
 * not be read stops it at its first look at one of them: after the look at the state,
 * and for stamps after a look at the descriptor, too. There the ring goes round.
 */
static const struct instant {
	const char *where; /* a testpoint, or one of these */
	bool merge;
} instants[] = {
#define DESCRIPTOR "descriptor"
#define STAMP      "stamp"
#define OTHERS     "stamp of the other lane"
/* Once more, before it goes on behind what it has found overwritten. */
#define OVERRUN "poll.overrun"
	{DESCRIPTOR, false},    {DESCRIPTOR, true},
	{STAMP, true},          {OTHERS, true},
#ifdef TAPIO_TESTPOINTS
	{"poll.looked", false}, {"poll.walked", false},
	{"merge.looked", true}, {"merge.collected", true},
	{"merge.handed", true}, {OVERRUN, false},
	{OVERRUN, true},
#endif
};
#define INSTANTS (int)(sizeof(instants) / sizeof(instants[0]))

#define PAGE 4096

/* The reader. The broker's thread passes testpoints, too. */
static __thread bool is_reader;
static const char *lap_at; /* where the ring goes round, once */
static unsigned char *trap;
static uint64_t next_positions[LANES];
static uint64_t lap_length;
static bool discarding;

static void emit_more(uint64_t count)
{
	for (; count; count--)
		emit_at(producers[0], next_positions[0]++, discarding);
}

static void go_round(const char *where)
{
	if (!is_reader || !lap_at || strcmp(where, lap_at) != 0)
		return;
	lap_at = NULL;
	emit_more(lap_length);
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	unsigned char *at = info->si_addr;

	(void)sig;
	(void)context;
	if (!trap || at < trap || at >= trap + PAGE)
		abort();
	mprotect(trap, PAGE, PROT_READ);
	trap = NULL;
	go_round(lap_at);
}

/* For what the reader loads of the position that it is to read next. */
static void set_trap(const char *where)
{
	bool others = !strcmp(where, OTHERS);
	const struct tpi_track *track = &c->now->tracks[lane_ids[others]];
	const struct tpi_lane *lane = track->lane;
	uint64_t slot = track->next & lane->mask;
	uintptr_t at = 0;

	if (!strcmp(where, DESCRIPTOR))
		at = (uintptr_t)&lane->desc[slot];
	else if (others || !strcmp(where, STAMP))
		at = (uintptr_t)&lane->time[slot];
	if (!at)
		return;
	trap = (unsigned char *)(at & ~(uintptr_t)(PAGE - 1));
	ck_assert_int_eq(mprotect(trap, PAGE, PROT_NONE), 0);
}

static void set_up_traps(void)
{
	struct sigaction action = {.sa_sigaction = on_trap,
				   .sa_flags = SA_SIGINFO};

	set_up_long();
	is_reader = true;
	sigaction(SIGSEGV, &action, NULL);
#ifdef TAPIO_TESTPOINTS
	tpi_testpoint_set(go_round);
#endif
}

/* Each instant, with a filter and with discards, for both policies. */
START_TEST(a_lap_inside_a_look_loses_what_it_overwrites_and_no_more)
{
	static const uint64_t laps[] = {1,    512,  800,  1000, 1023, 1024,
					1025, 1500, 3000, 9000, 2};
	const struct instant *instant = &instants[_i % INSTANTS];
	static struct tapio_view views[1024];
	int n;

	discarding = _i / INSTANTS & 1;
	c = open_reader(_i / INSTANTS & 2 ? TAPIO_GROUP_LOSSY
					  : TAPIO_GROUP_UNTIL,
			instant->merge, discarding);
	emit_first(discarding);
	next_positions[0] = next_positions[1] = blocks + PERIOD;
	for (size_t i = 0; i < sizeof(laps) / sizeof(laps[0]); i++) {
		emit_more(strcmp(instant->where, OVERRUN) ? 100 : 1500);
		/* The first of these passes. */
		for (int k = 0; k < PERIOD; k++)
			emit_at(producers[1], next_positions[1]++, discarding);
		lap_length = laps[i];
		lap_at = instant->where;
		set_trap(instant->where);
		n = tapio_poll(c, views, 1024, 0);
		ck_assert_int_ge(n, 0);
		ck_assert_ptr_null(lap_at);
		hear(views, n);
		hear_all();
		assert_all_heard(next_positions);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client lapped");
	TCase *t = tcase_create("load");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_long, tear_down);
	tcase_add_loop_test(t, every_event_is_delivered_or_told_to_be_lost, 0,
			    8);
	suite_add_tcase(suite, t);
	t = tcase_create("instants");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_traps, tear_down);
	tcase_add_loop_test(
		t, a_lap_inside_a_look_loses_what_it_overwrites_and_no_more, 0,
		4 * INSTANTS);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
