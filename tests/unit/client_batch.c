/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of one tag and one length, which two sections take and publish: each event is
 * whole and in its order, wherever the ring ends, and whatever else is on the lane.
 */
#include "tests/unit/client_fixture.h"

#define BLOCKS 64
#define MOST   64

static struct tapio_producer *p;
static struct tapio_consumer *c;
static unsigned char bytes[MOST][64];
static struct tapio_item items[MOST];
static uint64_t sent, seen;

static void set_up(const char *config)
{
	pin(0);
	rig_start(config);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	sent = seen = 0;
}

static void tear_down(void)
{
	assert_nothing_held(p);
	assert_ledger(c, sent, 0, 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}

static unsigned char filling(uint64_t event, uint32_t at)
{
	return (unsigned char)(event * 37 + at * 11 + (event >> 8));
}

static void make_item(uint32_t i, uint64_t event, uint32_t length)
{
	uint32_t at;

	for (at = 0; at < length; at++)
		bytes[i][at] = filling(event, at);
	items[i] = (struct tapio_item){bytes[i], length, TAG};
}

static void make_items(uint32_t count, uint32_t length)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		make_item(i, sent + i, length);
}

static void check_event(const struct tapio_view *v, uint32_t length)
{
	const unsigned char *data = v->data;
	uint32_t at;

	ck_assert_uint_eq(v->length, length);
	ck_assert_uint_eq(v->type, TAPIO_TAG_TYPE(TAG));
	ck_assert_uint_eq(v->severity, TAPIO_TAG_SEVERITY(TAG));
	for (at = 0; at < length; at++)
		ck_assert_uint_eq(data[at], filling(seen, at));
	seen++;
}

/* Reads all there is: what was sent, each once. */
static void check_all(uint32_t length)
{
	struct tapio_view views[MOST];
	unsigned int n, i;

	while ((n = look(c, views, MOST))) {
		for (i = 0; i < n; i++)
			check_event(&views[i], length);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(seen, sent);
}

static void output_batch(uint32_t count, int accepted)
{
	ck_assert_int_eq(tapio_output_batch(p, items, count), accepted);
	if (accepted > 0)
		sent += (uint32_t)accepted;
}

/* The lane has its room again, and each block once. */
static void check_room(void)
{
	uint32_t i;

	for (i = 0; i < BLOCKS; i++) {
		make_item(0, sent, 40);
		ck_assert_int_eq(tapio_output(p, TAG, bytes[0], 40), 0);
		sent++;
	}
	ck_assert_int_eq(tapio_output(p, TAG, bytes[0], 40), -EAGAIN);
	check_all(40);
}

START_TEST(each_count_and_length_arrives_whole_wherever_the_ring_ends)
{
	uint32_t i, length, count;

	set_up(RIG_CONFIG);
	for (i = 0; i < 500; i++) {
		length = 32 + i % 33;
		count = 2 + i * 5 % 63;
		make_items(count, length);
		output_batch(count, (int)count);
		check_all(length);
	}
	check_room();
	tear_down();
}
END_TEST

START_TEST(a_batch_beside_a_reservation_arrives_whole)
{
	struct tapio_reservation r;
	uint32_t i;

	set_up(RIG_CONFIG);
	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(tapio_reserve(p, TAG, 48, &r), 0);
		make_items(5, 48);
		output_batch(5, 5);
		make_item(0, sent, 48);
		memcpy(r.data, bytes[0], 48);
		ck_assert_int_eq(tapio_submit(p, &r), 0);
		sent++;
		check_all(48);
	}
	check_room();
	tear_down();
}
END_TEST

START_TEST(a_batch_is_accepted_as_far_as_there_is_room)
{
	uint32_t room, i;

	set_up(RIG_CONFIG);
	for (room = 0; room < 20; room++) {
		for (i = 0; i < BLOCKS - room; i++) {
			make_item(0, sent, 40);
			ck_assert_int_eq(tapio_output(p, TAG, bytes[0], 40), 0);
			sent++;
		}
		make_items(20, 40);
		output_batch(20, room ? (int)room : -EAGAIN);
		check_all(40);
	}
	check_room();
	tear_down();
}
END_TEST

START_TEST(an_item_of_another_kind_in_a_batch_is_itself)
{
	struct tapio_view views[MOST];
	uint32_t other, i;

	set_up(RIG_CONFIG);
	for (other = 1; other < 7; other++) {
		make_items(8, 64);
		items[other].length = 33;
		items[other].tag = TAPIO_TAG(77, 2);
		output_batch(8, 8);
		ck_assert_uint_eq(look(c, views, MOST), 8);
		for (i = 0; i < 8; i++, seen++) {
			ck_assert_uint_eq(views[i].length, items[i].length);
			ck_assert_uint_eq(views[i].type,
					  TAPIO_TAG_TYPE(items[i].tag));
			ck_assert_mem_eq(views[i].data, bytes[i],
					 items[i].length);
		}
		ck_assert_int_eq(tapio_release(c), 0);
	}
	tear_down();
}
END_TEST

/* All stamps of a batch are of its own time, and the same. */
START_TEST(a_batch_has_one_stamp)
{
	const char *const configs[] = {
		"channel t { stamp = tsc\n class main { block = 64\n"
		"blocks = 64\n side_blocks = 64\n side_lanes = 2 } }",
		"channel t { stamp = clock\n class main { block = 64\n"
		"blocks = 64\n side_blocks = 64\n side_lanes = 2 } }"};
	struct tapio_view views[MOST];
	uint64_t last = 0;
	uint32_t i, round;

	set_up(configs[_i]);
	for (round = 0; round < 100; round++) {
		make_items(8, 64);
		output_batch(4, 4);
		ck_assert_uint_eq(look(c, views, MOST), 4);
		for (i = 0; i < 4; i++, seen++)
			ck_assert_uint_eq(views[i].time, views[0].time);
		ck_assert_uint_ge(views[0].time, last);
		ck_assert_uint_ne(views[0].time, 0);
		last = views[0].time;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client batch");
	TCase *t = tcase_create("batch");

	tcase_add_test(
		t, each_count_and_length_arrives_whole_wherever_the_ring_ends);
	tcase_add_test(t, a_batch_beside_a_reservation_arrives_whole);
	tcase_add_test(t, a_batch_is_accepted_as_far_as_there_is_room);
	tcase_add_test(t, an_item_of_another_kind_in_a_batch_is_itself);
	tcase_add_loop_test(t, a_batch_has_one_stamp, 0, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
