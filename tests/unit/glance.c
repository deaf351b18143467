/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle lanes cost a reader one word each (client/consumer/poll.c, tpi_glance), and no event
 * is overlooked for that.
 */
#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[64];

static void set_up(void)
{
	rig_start(RIG_CONFIG);
	pin(0);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_consumer_close(c);
	tapio_producer_close(p);
	c = NULL;
	rig_stop();
}

static void emit(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

/* How many leased lanes are known to be idle; each of them is. */
static uint32_t known(void)
{
	const struct tpi_consumer *now = c->now;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < now->levels[0].count; i++) {
		const struct tpi_track *t = now->levels[0].tracks[i];
		const struct tpi_glance *glance = &now->levels[0].glances[i];

		if (glance->state != &t->lane->shm->state)
			continue;
		ck_assert_uint_eq(TAPIO_STATE_TAIL(glance->idle), t->next);
		sum++;
	}
	return sum;
}

static uint32_t lanes(void)
{
	return c->now->levels[0].count;
}

START_TEST(idle_lanes_are_known_after_one_look)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(look(c, views, 64), 0);
	ck_assert_uint_gt(lanes(), 1);
	ck_assert_uint_eq(known(), lanes());
	emit(3);
	ck_assert_uint_eq(look(c, views, 2), 2);
	/* The one that has given something. */
	ck_assert_uint_eq(known(), lanes() - 1);
	ck_assert_uint_eq(look(c, views, 64), 1);
	ck_assert_uint_eq(known(), lanes() - 1);
	ck_assert_uint_eq(look(c, views, 64), 0);
	ck_assert_uint_eq(known(), lanes());
	ck_assert_int_eq(tapio_release(c), 0);
	emit(1);
	ck_assert_uint_eq(look(c, views, 64), 1);
}
END_TEST

/* A lane that is not read now, for it is to be given away, is not idle. */
START_TEST(a_lane_that_waits_for_its_release_is_not_idle)
{
	struct tpi_track *t = NULL;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(1);
	while (!look(c, views, 64))
		;
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (c->now->tracks[i].handed)
			t = &c->now->tracks[i];
	ck_assert_ptr_nonnull(t);
	t->giving = true;
	emit(1);
	ck_assert_uint_eq(look(c, views, 64), 0);
	ck_assert_uint_eq(known(), lanes() - 1);
	t->giving = false; /* it stays ours */
	ck_assert_uint_eq(look(c, views, 64), 1);
}
END_TEST

/* As when the lane has been another member's, which released nothing. */
START_TEST(a_lane_that_comes_back_begins_at_its_head)
{
	struct tpi_track *t = NULL;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(1);
	while (!look(c, views, 64))
		;
	ck_assert_uint_eq(look(c, views, 64), 0);
	ck_assert_uint_eq(known(), lanes());
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (c->now->tracks[i].handed)
			t = &c->now->tracks[i];
	ck_assert_ptr_nonnull(t);
	t->next = t->seen = t->head;
	t->handed = 0;
	c->now->stale = true; /* as after each change of a lease */
	ck_assert_uint_eq(look(c, views, 64), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("glance");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, idle_lanes_are_known_after_one_look);
	tcase_add_test(tc, a_lane_that_waits_for_its_release_is_not_idle);
	tcase_add_test(tc, a_lane_that_comes_back_begins_at_its_head);
	suite_add_tcase(s, tc);
	return rig_run(s);
}
