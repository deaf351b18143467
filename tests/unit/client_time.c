/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time stamps are those of CLOCK_REALTIME: a reader's conversion agrees with the
 * clock within a microsecond once the broker has calibrated for a while.
 *
 * The clock is read between two reads of the ticks. Where these are close
 * together they pin down what the conversion must give. This test may be preempted
 * in between, which widens the bounds and shows nothing, so it counts the narrow
 * ones only. The error of the last calibration is no matter of luck: on a machine
 * where the ticks run at no steady rate, every one of them is off.
 */
#include "tests/unit/client_fixture.h"

#include "lib/base/tsc.h"

#define PROBES    2000
#define STAMPS    100
#define ROUNDS    6
#define NARROW_NS 300
#define ERROR_NS  1000
/* Intervals of calibration double up to a second. */
#define SETTLE_MS 2500

static const char config[] = "channel t { stamp = \"tsc\"\n" RIG_CLASS "}\n";

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* How far off a conversion is at least, beyond what is not known. */
static uint64_t probe(struct tapio_consumer *c, bool *narrow)
{
	uint64_t before = tpi_tsc(), now = realtime_ns(), after = tpi_tsc();
	uint64_t low = tapio_consumer_time_ns(c, before);
	uint64_t high = tapio_consumer_time_ns(c, after);

	*narrow = high - low <= NARROW_NS;
	if (now < low)
		return low - now;
	return now > high ? now - high : 0;
}

/* How many of so many narrow probes are right; the rest, and the worst, are printed. */
static unsigned int probe_all(struct tapio_consumer *c, unsigned int *probes)
{
	unsigned int good = 0, tries = 0;
	uint64_t off, worst = 0;
	bool narrow;

	*probes = 0;
	while (*probes < PROBES && tries++ < 50 * PROBES) {
		off = probe(c, &narrow);
		if (!narrow)
			continue;
		++*probes;
		good += off <= ERROR_NS;
		if (off > worst)
			worst = off;
		if (*probes % 100 == 0)
			nap_ms(20); /* over some calibrations */
	}
	printf("%u probes, the worst is off by %lu ns\n", *probes,
	       (unsigned long)worst);
	return good;
}

/*
 * The machine's clock may be set or slewed meanwhile, as it is on a virtual machine that has
 * just started. So one of some rounds has to be right in all its probes.
 */
START_TEST(conversions_agree_with_the_clock_within_a_microsecond)
{
	unsigned int probes, good, rounds = 0;
	struct tapio_consumer *c;

	rig_start(config);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	do {
		nap_ms(SETTLE_MS);
		good = probe_all(c, &probes);
		ck_assert_uint_ge(probes, PROBES / 10);
	} while (good < probes && ++rounds < ROUNDS);
	ck_assert_uint_eq(good, probes);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

/* How many stamps lie between the clock before their output and after it. */
static int stamp_all(struct tapio_producer *p, struct tapio_consumer *c)
{
	uint64_t before, after, time;
	struct tapio_view view;
	int good = 0;

	for (int i = 0; i < STAMPS; i++) {
		before = realtime_ns();
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
		after = realtime_ns();
		ck_assert_uint_eq(look(c, &view, 1), 1);
		time = tapio_consumer_time_ns(c, view.time);
		good += time + ERROR_NS >= before && time <= after + ERROR_NS;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	return good;
}

START_TEST(an_event_has_the_time_at_which_it_was_emitted)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	int good, rounds = 0;

	rig_start(config);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	do {
		nap_ms(SETTLE_MS);
		good = stamp_all(p, c);
	} while (good < STAMPS && ++rounds < ROUNDS);
	ck_assert_int_eq(good, STAMPS);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client time");
	TCase *t = tcase_create("tsc");

	tcase_set_timeout(t, 60);
	tcase_add_test(t,
		       conversions_agree_with_the_clock_within_a_microsecond);
	tcase_add_test(t, an_event_has_the_time_at_which_it_was_emitted);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
