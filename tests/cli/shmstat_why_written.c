/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults that take a process that writes what no honest one writes: a group that is evicted, a
 * lane that is quarantined. And misplaced pages, whose record is written by hand, since this
 * machine may have one node (tests/numa/placement.c has real ones).
 */
#include "why_rig.h"

#include "check_world.h"
#include "lib/base/atomic.h"

static struct check_world w;

static void set_up(void)
{
	check_world_open(&w);
	memset(source, 0, sizeof(source));
	look_into(w.broker.daemon.pid);
}

static void tear_down(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
	check_world_close(&w);
}

/* It is stopped while the test writes. */
static void go_on(void)
{
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGCONT), 0);
	source[0] = "--timeout=30s";
	source[1] = NULL;
}

static uint32_t slot_of_witness(void)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (!strcmp(tpi_inspect_groups(w.inspect, 0)[i].name,
			    "witness"))
			return i;
	ck_abort_msg("no group");
}

static struct tapio_shm_cursor *cursor_of_witness(void)
{
	return check_world_writable(&w, &w.inspect->channels[0]
						 .cursors[slot_of_witness()]
						 .cursors[w.busy->id]);
}

/* A member that says it has read what was never published. */
START_TEST(an_evicted_group_is_named_until_its_slot_is_used_again)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(w.inspect, 0)[slot_of_witness()];
	struct tapio_shm_cursor *cursor = cursor_of_witness();
	uint64_t head = cursor->cells[0].head;

	for (int i = 0; i < TAPIO_CELLS; i++)
		cursor->cells[i].head = head + (UINT64_C(1000000) << 16);
	go_on();
	for (int i = 0; i < 3000 && !(tpi_load_relaxed(&group->flags) &
				      TAPIO_GROUP_FLAG_EVICTED);
	     i++)
		usleep(10000);
	expect_fault("group-evicted",
		     "group witness of channel events was evicted");
}
END_TEST

/* A producer that has put a block into its ring that no lane has. */
START_TEST(a_lane_that_a_member_has_passed_over_is_quarantined)
{
	struct tapio_view views[32];
	const json_t *numbers;
	uint64_t *desc;
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(w.busy));
	int n;

	desc = check_world_writable(
		&w, (const void *)&w.busy->desc[(tail - 1) & w.busy->mask]);
	*desc |= TAPIO_DESC_BLOCK_MASK;
	go_on();
	/* 20 were left of 30, and the last one is none. */
	n = tapio_poll(w.consumer, views, 32, 0);
	ck_assert_int_ge(n, 19);
	ck_assert_int_ge(tapio_release(w.consumer), 0);
	n = tapio_poll(w.consumer, views, 32, 0);
	ck_assert_int_ge(tapio_release(w.consumer), 0);
	/* And later, when the ring has gone round and shows nothing of it. */
	for (int i = 0; i < 200; i++) {
		tapio_output(w.producer, TAG, &i, sizeof(i));
		if (tapio_poll(w.consumer, views, 32, 0) > 0)
			tapio_release(w.consumer);
	}
	numbers = expect_fault(
		"lane-quarantined",
		"has passed over what is impossible (descriptor) on 1 lane");
	ck_assert_int_ge(count_in(numbers, "lost"), 1);
	ck_assert_int_eq(count_in(numbers, "lane"), w.busy->id);
}
END_TEST

START_TEST(a_ledger_that_contradicts_itself_is_named)
{
	const json_t *numbers;
	struct tapio_shm_cursor *cursor = cursor_of_witness();
	uint64_t head = cursor->cells[0].head;

	/* The broker is stopped: it would evict the group. */
	for (int i = 0; i < TAPIO_CELLS; i++)
		cursor->cells[i].head = head + (UINT64_C(1000000) << 16);
	numbers = expect_fault(
		"impossible-words",
		"of channel events, group witness, has words that contradict "
		"each other: head");
	ck_assert_int_eq(count_in(numbers, "lane"), w.busy->id);
	shmstat("--json", "--interval=1ms", "why", NULL);
	expect_said("rules-broken", "fault", "not hold in the memory");
}
END_TEST

START_TEST(pages_on_another_node_are_misplaced)
{
	const json_t *numbers;
	struct tapio_shm_segment *s;

	for (uint32_t i = 0; i < w.inspect->catalog.segment_count; i++) {
		if (w.inspect->catalog.segments[i].kind !=
		    TAPIO_SEGMENT_CHANNEL)
			continue;
		s = check_world_writable(&w, &w.inspect->catalog.segments[i]);
		s->misplaced_pages = 7;
		s->placement = TAPIO_PLACED_ELSEWHERE;
		break;
	}
	go_on();
	numbers = expect_fault(
		"misplaced-pages",
		"of the memory of channel events for node 0, 7 pages lie on other nodes");
	ck_assert_int_eq(count_in(numbers, "pages"), 7);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("shmstat_why_written");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc,
		       an_evicted_group_is_named_until_its_slot_is_used_again);
	tcase_add_test(tc, a_lane_that_a_member_has_passed_over_is_quarantined);
	tcase_add_test(tc, a_ledger_that_contradicts_itself_is_named);
	tcase_add_test(tc, pages_on_another_node_are_misplaced);
	return check_run_case("shmstat_why_written", tc);
}
