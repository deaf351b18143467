/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots while the memory changes at the worst moment: the test changes it between two steps of
 * the copy (the numbers are those of tools/inspect/snapshot_take.c). The file must show a
 * state that was, or say that it does not know.
 */
#include "tests/starts.h"
#include "tests/unit/client_fixture.h"
#include "lib/base/testpoint.h"
#include "tools/inspect/check.h"
#include "tools/inspect/snapshot.h"

#define BLOCKS 8

static const char config[] = "hugepages = never\n"
			     "channel t { stamp = none class main { block = 64 "
			     "blocks = 8 side_blocks = 8 side_lanes = 4 } }\n";

static struct tapio_producer *p, *guest;
static struct tapio_consumer *c;
static struct tpi_inspect *inspect;
static char file[64];

/* An act, its place, from which passing on, and how often it was and may be done. */
static const char *where;
static void (*act)(void);
static int passed, first, times, most;

static void on_testpoint(const char *name)
{
	if (!where || strcmp(name, where) != 0 || passed++ < first ||
	    times == most)
		return;
	times++;
	act();
}

static void plan(const char *name, int count, void (*how)(void))
{
	where = name;
	act = how;
	passed = first = times = 0;
	most = count;
}

static void find(const struct tpi_inspect *look, uint32_t *lane,
		 uint32_t *slot);

/* Once, when the lane on which the test works is copied: each lane passes there. */
static void plan_on_lane(const char *name, void (*how)(void))
{
	uint32_t lane, slot;

	plan(name, 1, how);
	find(inspect, &lane, &slot);
	first = (int)lane;
}

static void emit(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static void set_up(void)
{
	struct tpi_inspect_options options = {.timeout_ns = RIG_ANSWER_NS};
	char why[512];

	pin(0);
	rig_start(config);
	p = rig_producer_anywhere();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(BLOCKS - 1);
	options.socket = rig.options.socket;
	ck_assert_msg(!tpi_inspect_open(&inspect, &options, why, sizeof(why)),
		      "%s", why);
	/* The broker writes them into the catalog, and then it is copied again. */
	wait_for_known_starts(&inspect->catalog);
	snprintf(file, sizeof(file), "/tmp/tapio-between-%d", (int)getpid());
	plan(NULL, 0, NULL);
	tpi_testpoint_set(on_testpoint);
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	tpi_inspect_close(inspect);
	if (guest)
		tapio_producer_close(guest);
	guest = NULL;
	tapio_producer_close(p);
	tapio_consumer_close(c);
	unlink(file);
	rig_stop();
}

static int take(void)
{
	const struct tpi_snapshot_options how = {.force = true};
	struct tpi_snapshot_report report;
	char why[512] = "";
	int err = tpi_snapshot_write(inspect, file, &how, &report, why,
				     sizeof(why));

	ck_assert_msg(!err || err == -ESTALE, "%s", why);
	return err;
}

static struct tpi_inspect *open_file(void)
{
	const struct tpi_inspect_options options = {.file = file};
	struct tpi_inspect *look;
	char why[512];

	ck_assert_msg(!tpi_inspect_open(&look, &options, why, sizeof(why)),
		      "%s", why);
	return look;
}

/* The lane on which the test works, and its slot. */
static void find(const struct tpi_inspect *look, uint32_t *lane, uint32_t *slot)
{
	const struct tpi_channel *ch = &look->channels[0].channel;

	for (*lane = 0; *lane < ch->lane_count; ++*lane)
		if (TAPIO_STATE_TAIL(ch->lanes[*lane].shm->state) > BLOCKS)
			break;
	ck_assert_uint_lt(*lane, ch->lane_count);
	for (*slot = 0; *slot < TAPIO_GROUP_SLOTS; ++*slot)
		if (!strcmp(tpi_inspect_groups(look, 0)[*slot].name, "g"))
			break;
	ck_assert_uint_lt(*slot, TAPIO_GROUP_SLOTS);
}

/* The marks of the lane. Its positions must fit. */
static uint32_t expect_positions(uint64_t published)
{
	struct tpi_inspect *look = open_file();
	struct tpi_ledger l;
	uint32_t lane, slot, marks;

	find(look, &lane, &slot);
	marks = tpi_snapshot_lane(look->snapshot, 0, lane);
	ck_assert(marks & TPI_LANE_WHOLE);
	ck_assert_int_eq(tpi_inspect_ledger(look, 0, lane, slot, &l), 0);
	ck_assert_uint_eq(l.faults, 0);
	ck_assert_uint_eq(l.tail - BLOCKS, published);
	ck_assert_uint_le(l.gate, l.head);
	ck_assert_uint_le(l.head, l.tail);
	ck_assert_uint_le(tpi_lane_reap(&look->channels[0].channel.lanes[lane],
					TAPIO_STATE(l.tail, l.held)),
			  l.gate);
	tpi_inspect_close(look);
	return marks;
}

static void expect_clean(uint32_t unsettled)
{
	struct tpi_inspect *look = open_file();
	struct tpi_check_report report;
	char text[512] = "";

	ck_assert_int_eq(
		tpi_check(look, &(struct tpi_check_options){.processes = true},
			  &report),
		0);
	if (report.count)
		tpi_finding_print(look, &report.findings[0], text,
				  sizeof(text));
	ck_assert_msg(!report.of[TPI_BROKEN] && !report.of[TPI_SUSPICIOUS],
		      "%s", text);
	ck_assert_msg(report.of[TPI_UNSETTLED] == unsettled, "%s", text);
	tpi_check_free(&report);
	tpi_inspect_close(look);
}

START_TEST(nothing_happens)
{
	ck_assert_int_eq(take(), 0);
	ck_assert_uint_eq(expect_positions(BLOCKS - 1),
			  TPI_LANE_WHOLE | TPI_LANE_TICKETS | TPI_LANE_STILL);
	expect_clean(0);
}
END_TEST

/* So that a producer raises the gate above the head that was copied. */
static void go_round(void)
{
	drain(c);
	emit(BLOCKS - 1);
}

START_TEST(the_gate_passes_heads_that_were_copied)
{
	plan_on_lane("snapshot.heads", go_round);
	ck_assert_int_eq(take(), 0);
	ck_assert_int_eq(times, 1);
	expect_positions(2 * (BLOCKS - 1));
	expect_clean(0);
}
END_TEST

static void fill_up(void)
{
	drain(c);
	emit(1);
}

/* Each attempt finds another gate, so the file does not say that the lane is whole. */
START_TEST(the_gate_never_stands_still)
{
	struct tpi_inspect *look;
	uint32_t lane, slot;

	plan("snapshot.heads", -1, go_round);
	ck_assert_int_eq(take(), 0);
	ck_assert_int_gt(times, 64);
	look = open_file();
	find(look, &lane, &slot);
	ck_assert_uint_eq(tpi_snapshot_lane(look->snapshot, 0, lane), 0);
	tpi_inspect_close(look);
}
END_TEST

START_TEST(events_come_while_the_ring_is_copied)
{
	plan_on_lane("snapshot.heads", fill_up);
	ck_assert_int_eq(take(), 0);
	ck_assert_int_eq(times, 1);
	expect_positions(BLOCKS);
	expect_clean(0);
}
END_TEST

static void reserve_and_submit(void)
{
	struct tapio_reservation r;

	drain(c);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	memset(r.data, 7, 8);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
}

/* Which block is whose was copied before the state. */
START_TEST(tickets_are_of_another_state)
{
	plan_on_lane("snapshot.tickets", reserve_and_submit);
	ck_assert_int_eq(take(), 0);
	ck_assert_int_eq(times, 1);
	ck_assert_uint_eq(expect_positions(BLOCKS) & TPI_LANE_TICKETS, 0);
	expect_clean(0);
}
END_TEST

static void come(void)
{
	struct tapio_reservation r;

	guest = rig_producer_anywhere();
	drain(c);
	ck_assert_int_eq(tapio_reserve(guest, TAG, 8, &r), 0);
	ck_assert_int_eq(tapio_discard(guest, &r), 0);
}

/* It is in the file with its record, or neither is. */
START_TEST(a_producer_comes_while_lanes_are_copied)
{
	struct tpi_inspect *look;
	int found = 0;

	plan("snapshot.lanes", 1, come);
	ck_assert_int_eq(take(), 0);
	ck_assert_int_eq(times, 1);
	look = open_file();
	ck_assert_uint_eq(look->snapshot->facts.attempts, 2);
	ck_assert(look->snapshot->facts.flags & TPI_SNAPSHOT_CATALOG_WHOLE);
	for (uint32_t i = 2; i < look->catalog.attachment_count; i++)
		found += look->catalog.attachments[i].state ==
			 TAPIO_ATTACHMENT_ALIVE;
	ck_assert_int_eq(found, 3);
	tpi_inspect_close(look);
	expect_clean(0);
}
END_TEST

static struct tapio_consumer *strangers[3];

static void join_another(void)
{
	char name[16];

	snprintf(name, sizeof(name), "other%d", times);
	tapio_consumer_close(strangers[times % 3]);
	strangers[times % 3] = rig_consumer(name, TAPIO_GROUP_LOSSY);
}

/* Then no finding about it is a fact. */
START_TEST(the_catalog_changes_during_each_attempt)
{
	struct tpi_inspect *look;

	memset(strangers, 0, sizeof(strangers));
	plan("snapshot.lanes", -1, join_another);
	ck_assert_int_eq(take(), 0);
	look = open_file();
	ck_assert_uint_eq(look->snapshot->facts.attempts, (uint32_t)times);
	ck_assert(!(look->snapshot->facts.flags & TPI_SNAPSHOT_CATALOG_WHOLE));
	tpi_inspect_close(look);
	for (int i = 0; i < 3; i++)
		tapio_consumer_close(strangers[i]);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("between");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, nothing_happens);
	tcase_add_test(t, the_gate_passes_heads_that_were_copied);
	tcase_add_test(t, the_gate_never_stands_still);
	tcase_add_test(t, events_come_while_the_ring_is_copied);
	tcase_add_test(t, tickets_are_of_another_state);
	tcase_add_test(t, a_producer_comes_while_lanes_are_copied);
	tcase_add_test(t, the_catalog_changes_during_each_attempt);
	return check_run_case("snapshot_between", t);
}
