/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which views were overwritten while they were read: asked one by one, and what
 * the release and the ledger make of the answers. A lane of 64 blocks that goes
 * round under the reader, to the position.
 */
#include "tests/unit/client_fixture.h"

#define BLOCKS 64
#define BATCH  8

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[BLOCKS];

static void set_up(void)
{
	pin(0);
	rig_start(RIG_CONFIG);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
	c = NULL;
}

static void emit(uint32_t tag, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		ck_assert_int_eq(tapio_output(p, tag, &i, sizeof(i)), 0);
}

/* A batch in hand, whose first `spoilt` views are overwritten by now. */
static void spoil(unsigned int spoilt)
{
	emit(TAG, BATCH);
	ck_assert_uint_eq(look(c, views, BATCH), BATCH);
	/* The block at reap may be under the pen, so it counts already. */
	emit(TAG, BLOCKS - BATCH - 1 + spoilt);
}

START_TEST(each_view_tells_whether_it_was_overwritten)
{
	/* The gate stands at the first as yet, so no producer writes there. */
	int spoilt = _i == 1 ? 0 : _i;
	uint64_t others;

	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	spoil((unsigned int)_i);
	for (int i = 0; i < BATCH; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), i >= spoilt);
	ck_assert_int_eq(tapio_release(c), spoilt);
	ck_assert_int_eq(tapio_release(c), 0);
	others = drain(c);
	ck_assert_uint_eq(others, (uint64_t)(BLOCKS - BATCH - 1 + _i));
	assert_ledger(c, (uint64_t)(BATCH - spoilt) + others, 0,
		      (uint64_t)spoilt);
}
END_TEST

START_TEST(what_was_whole_when_it_was_asked_about_is_delivered)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	spoil(0);
	for (int i = 0; i < BATCH; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	emit(TAG, 2); /* two of them are gone, and were used */
	ck_assert_int_eq(tapio_view_intact(c, &views[0]), 0);
	ck_assert_int_eq(tapio_view_intact(c, &views[1]), 0);
	ck_assert_int_eq(tapio_view_intact(c, &views[2]), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, BATCH + drain(c), 0, 0);
}
END_TEST

START_TEST(what_nobody_asked_about_is_judged_by_the_oldest_of_the_batch)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	spoil(0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	/* Out of order: an answer, but it is not what counts. */
	ck_assert_int_eq(tapio_view_intact(c, &views[6]), 1);
	ck_assert_int_eq(tapio_view_intact(c, &views[5]), 1);
	emit(TAG, 2);
	ck_assert_int_eq(tapio_release(c), 4);
	assert_ledger(c, 4 + drain(c), 0, 4);
}
END_TEST

START_TEST(answers_about_one_batch_say_nothing_of_the_next)
{
	uint64_t delivered;

	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	spoil(0);
	for (int i = 0; i < BATCH; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	delivered = BATCH + drain(c);
	spoil(1);
	ck_assert_int_eq(tapio_release(c), BATCH);
	delivered += drain(c);
	spoil(3);
	for (int i = 0; i < BATCH; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), i >= 3);
	ck_assert_int_eq(tapio_release(c), 3);
	delivered += BATCH - 3 + drain(c);
	assert_ledger(c, delivered, 0, BATCH + 3);
}
END_TEST

/* Events that the filter refuses lie between them, and are no views. */
START_TEST(skipped_events_do_not_count_among_the_answers)
{
	static const uint16_t wanted[] = {100};
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSY,
		.types = wanted,
		.type_count = 1,
	};

	c = rig_open(&options);
	for (int i = 0; i < BATCH / 2; i++) {
		emit(TAG, 1);
		emit(TAPIO_TAG(101, 5), 1);
	}
	ck_assert_uint_eq(look(c, views, BATCH), BATCH / 2);
	emit(TAPIO_TAG(101, 5), BLOCKS - BATCH - 1 + 3); /* two of ours */
	for (int i = 0; i < BATCH / 2; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), i >= 2);
	ck_assert_int_eq(tapio_release(c), 2);
	ck_assert_uint_eq(drain(c), 0);
	assert_ledger(c, 2, BATCH / 2 + BLOCKS - BATCH - 1 + 3, 2);
}
END_TEST

START_TEST(producers_wait_for_a_lossless_group_so_its_views_are_whole)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(TAG, BLOCKS);
	ck_assert_uint_eq(look(c, views, BLOCKS), BLOCKS);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), -EAGAIN);
	for (int i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, BLOCKS, 0, 0);
}
END_TEST

/* Its slot is not its any more, so no producer waits, but none has come by
 * yet. */
START_TEST(views_of_a_group_that_has_ended_are_whole_until_they_are_not)
{
	struct tapio_consumer *other;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(TAG, BLOCKS);
	ck_assert_uint_eq(look(c, views, BATCH), BATCH);
	other = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	c->now->incarnation ^= 1;
	/* The gate holds the oldest, which lies at reap. */
	for (int i = 0; i < BATCH; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	c->now->incarnation ^= 1;
	c->now->ended = false;
	tpi_check_slot(c->now);
	tapio_consumer_close(other);
}
END_TEST

START_TEST(records_and_copies_are_nobodys_to_overwrite)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSY,
		.start = TAPIO_START_OLDEST,
	};

	emit(TAG, 10);
	c = rig_open(&options);
	ck_assert_uint_eq(look(c, views, BLOCKS), 10);
	emit(TAG, 3 * BLOCKS);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
		ck_assert_uint_eq(*(const uint64_t *)views[i].data, i);
	}
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(look(c, views, 2), 2);
	ck_assert_uint_eq(views[0].flags, TAPIO_VIEW_GAP);
	ck_assert_int_eq(tapio_view_intact(c, &views[0]), 1);
	ck_assert_int_eq(tapio_release(c), 0);
}
END_TEST

START_TEST(what_is_no_view_is_refused)
{
	struct tapio_view view = {.data = views, .lane = UINT32_MAX};
	pid_t pid;

	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	ck_assert_int_eq(tapio_view_intact(c, &view), -EINVAL);
	view.lane = c->now->lane_count;
	ck_assert_int_eq(tapio_view_intact(c, &view), -EINVAL);
	/* Never handed out: whatever it answers, nothing is counted. */
	view = (struct tapio_view){.data = views, .position = 5};
	ck_assert_int_ge(tapio_view_intact(c, &view), 0);
	ck_assert_int_eq(tapio_release(c), 0);
	emit(TAG, 1);
	assert_ledger(c, drain(c), 0, 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(tapio_view_intact(c, &view) != -ECHILD);
	ck_assert(child_ok(pid));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_intact");
	TCase *t = tcase_create("intact");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, each_view_tells_whether_it_was_overwritten, 0,
			    BATCH + 1);
	tcase_add_test(t, what_was_whole_when_it_was_asked_about_is_delivered);
	tcase_add_test(
		t,
		what_nobody_asked_about_is_judged_by_the_oldest_of_the_batch);
	tcase_add_test(t, answers_about_one_batch_say_nothing_of_the_next);
	tcase_add_test(t, skipped_events_do_not_count_among_the_answers);
	tcase_add_test(
		t, producers_wait_for_a_lossless_group_so_its_views_are_whole);
	tcase_add_test(
		t,
		views_of_a_group_that_has_ended_are_whole_until_they_are_not);
	tcase_add_test(t, records_and_copies_are_nobodys_to_overwrite);
	tcase_add_test(t, what_is_no_view_is_refused);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
