/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups' histograms: three significant digits over their whole range, and what
 * consumers put in them.
 */
#include <fcntl.h>

#include "client_fixture.h"

#include "lib/lane/histogram.h"
#include "lib/base/tsc.h"

static struct tapio_shm_histogram h;
static struct tpi_histogram copy;

START_TEST(a_value_comes_back_within_a_thousandth)
{
	uint64_t value = (UINT64_C(1) << _i) + (UINT64_C(1) << _i) / 3, back;

	back = tpi_histogram_value(tpi_histogram_bucket(value));
	ck_assert_uint_le(back > value ? back - value : value - back,
			  value / 1000);
}
END_TEST

START_TEST(buckets_follow_each_other_without_hole_or_overlap)
{
	uint64_t value = 0, step;
	uint32_t i;

	/* In steps of each bucket's width, from its lower end. */
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++, value += step) {
		step = i < 1024 ? 1 : UINT64_C(1) << (i / 512 - 1);
		ck_assert_uint_eq(tpi_histogram_bucket(value), i);
		ck_assert_uint_eq(tpi_histogram_bucket(value + step - 1), i);
		ck_assert_uint_eq(tpi_histogram_bucket(tpi_histogram_value(i)),
				  i);
	}
	ck_assert_uint_eq(value, UINT64_C(1) << 34);
	ck_assert_uint_eq(tpi_histogram_bucket(value), i - 1);
	ck_assert_uint_eq(tpi_histogram_bucket(UINT64_MAX), i - 1);
}
END_TEST

START_TEST(quantiles_are_those_of_the_values)
{
	memset(&h, 0, sizeof(h));
	for (uint64_t v = 1; v <= 500; v++)
		tpi_histogram_add(&h, v * 1000, 2);
	tpi_histogram_read(&h, &copy);
	ck_assert_uint_eq(copy.count, 1000);
	ck_assert_uint_eq(copy.total, 1000);
	ck_assert_uint_eq(copy.max_ns, 500000);
	ck_assert_uint_eq(copy.mean_ns, 250500);
	ck_assert_uint_le(
		llabs((long long)tpi_histogram_quantile(&copy, 0.5) - 250000),
		250);
	ck_assert_uint_le(
		llabs((long long)tpi_histogram_quantile(&copy, 0.99) - 495000),
		495);
	ck_assert_uint_le(tpi_histogram_quantile(&copy, 1), 500000);
}
END_TEST

START_TEST(what_is_beyond_the_range_is_still_the_maximum)
{
	memset(&h, 0, sizeof(h));
	tpi_histogram_add(&h, UINT64_C(1) << 40, 1);
	tpi_histogram_read(&h, &copy);
	ck_assert_uint_eq(tpi_histogram_quantile(&copy, 0.5), UINT64_C(1)
								      << 40);
}
END_TEST

START_TEST(a_full_bucket_halves_all_and_keeps_proportions)
{
	memset(&h, 0, sizeof(h));
	tpi_histogram_add(&h, 100, 1000);
	h.bucket[200] = TPI_HISTOGRAM_FULL - 1;
	tpi_histogram_add(&h, 200, 1);
	ck_assert_uint_eq(h.halvings, 1);
	ck_assert_uint_eq(h.bucket[100], 500);
	ck_assert_uint_eq(h.bucket[200], TPI_HISTOGRAM_FULL / 2);
	ck_assert_uint_eq(h.count, 1001);
}
END_TEST

START_TEST(clearing_leaves_nothing)
{
	tpi_histogram_add(&h, 123456, 7);
	tpi_histogram_clear(&h);
	for (size_t i = 0; i < sizeof(h); i++)
		ck_assert_uint_eq(((unsigned char *)&h)[i], 0);
}
END_TEST

/* ---- what consumers record --------------------------------------------------- */

#define EVENTS 50

static void emit(struct tapio_producer *p, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static const struct tapio_shm_histogram *histogram(struct tapio_consumer *c)
{
	return c->now->client.cursors[c->now->client.granted.group_slot]
		.histogram;
}

static void start(const char *stamp)
{
	char config[256];

	snprintf(config, sizeof(config), "channel t { stamp = \"%s\"\n%s}\n",
		 stamp, RIG_CLASS);
	rig_start(config);
}

static const char *const stamps[] = {"tsc", "clock"};

START_TEST(every_event_is_counted_with_the_time_it_waited)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;

	start(stamps[_i]);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	pin(0);
	emit(p, EVENTS);
	nap_ms(20);
	ck_assert_uint_eq(drain(c), EVENTS);
	tpi_histogram_read(histogram(c), &copy);
	ck_assert_uint_eq(copy.count, EVENTS);
	ck_assert_uint_eq(copy.total, EVENTS);
	/* They all waited for the nap, and not as long as this test may. */
	ck_assert_uint_ge(tpi_histogram_quantile(&copy, 0.001), 19000000);
	ck_assert_uint_ge(copy.mean_ns, 19000000);
	ck_assert_uint_lt(copy.max_ns, UINT64_C(100000000000));
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_new_group_begins_with_an_empty_one)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;

	start("tsc");
	p = rig_producer();
	pin(0);
	for (int i = 0; i < 3; i++) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		ck_assert_uint_eq(histogram(c)->count, 0);
		emit(p, EVENTS);
		ck_assert_uint_eq(drain(c), EVENTS);
		ck_assert_uint_eq(histogram(c)->count, EVENTS);
		tapio_consumer_close(c);
	}
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* Without stamps there is nothing to measure. A consumer can turn it off. */
START_TEST(nothing_is_recorded_without_stamps_or_when_not_wanted)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.latency = _i ? TAPIO_LATENCY_OFF : TAPIO_LATENCY_RECORDED,
	};
	struct tapio_consumer *c;
	struct tapio_producer *p;

	start(_i ? "tsc" : "none");
	c = rig_open(&options);
	p = rig_producer();
	pin(0);
	emit(p, EVENTS);
	ck_assert_uint_eq(drain(c), EVENTS);
	ck_assert_uint_eq(histogram(c)->count, 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* The broker's own descriptor of its catalog: it is a thread of this process. */
static int catalog_fd(void)
{
	static const char name[] = "/memfd:tapio-catalog ";
	char path[64], target[64] = "";

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target)) > 0 &&
		    !strncmp(target, name, strlen(name)) &&
		    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR)
			return fd;
	}
	ck_abort_msg("no catalog");
	return -1;
}

/* As a broker that makes none says it, in the channel's record. */
static void say_no_histogram(const struct tapio_consumer *c)
{
	ptrdiff_t at = (const unsigned char *)c->now->client.shared -
		       c->now->client.catalog.map.base;
	struct tapio_shm_channel *record;
	struct tpi_map map;

	ck_assert_int_eq(
		tpi_map_fd(&map, catalog_fd(), true, UINT64_MAX, NULL, 0), 0);
	record = (struct tapio_shm_channel *)(void *)(map.base + at);
	ck_assert_uint_ne(record->histogram_offset, 0);
	record->histogram_offset = 0;
	tpi_map_close(&map);
}

/* The next members of the slot, and producers, attach without one. */
START_TEST(a_group_without_a_histogram_works_and_records_nothing)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = _i ? 1000 : 0,
	};
	struct tapio_consumer *c;
	struct tapio_observer *o;
	struct tapio_producer *p;
	uint32_t slot;

	start("tsc");
	c = rig_open(&options);
	slot = c->now->client.granted.group_slot;
	ck_assert_ptr_nonnull(histogram(c));
	say_no_histogram(c);
	tapio_consumer_close(c);
	p = rig_producer();
	ck_assert_ptr_null(p->now->client.cursors[slot].histogram);
	o = rig_observer(TAPIO_START_NEWEST);
	c = rig_open(&options);
	ck_assert_uint_eq(c->now->client.granted.group_slot, slot);
	ck_assert_ptr_null(histogram(c));
	pin(0);
	emit(p, EVENTS);
	nap_ms(5); /* ripe */
	ck_assert_uint_eq(drain(c), EVENTS);
	assert_ledger(c, EVENTS, 0, 0);
	tapio_consumer_close(c);
	tapio_observer_close(o);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *t = tcase_create("histogram");

	tcase_add_loop_test(t, a_value_comes_back_within_a_thousandth, 0, 34);
	tcase_add_test(t, buckets_follow_each_other_without_hole_or_overlap);
	tcase_add_test(t, quantiles_are_those_of_the_values);
	tcase_add_test(t, what_is_beyond_the_range_is_still_the_maximum);
	tcase_add_test(t, a_full_bucket_halves_all_and_keeps_proportions);
	tcase_add_test(t, clearing_leaves_nothing);
	tcase_add_loop_test(t, every_event_is_counted_with_the_time_it_waited,
			    0, 2);
	tcase_add_test(t, a_new_group_begins_with_an_empty_one);
	tcase_add_loop_test(
		t, nothing_is_recorded_without_stamps_or_when_not_wanted, 0, 2);
	tcase_add_loop_test(
		t, a_group_without_a_histogram_works_and_records_nothing, 0, 2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
