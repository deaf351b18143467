/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration against clocks that this test moves: set, slewed, suspended, at the
 * start and later. Whatever they do, a stamp has one time for ever, times grow with
 * stamps unless the clock was set back, and soon they are right again.
 *
 * A world has a counter of some rate, and two clocks that follow a script. Looks are
 * made and pieces published as broker/registry/clock.c does it, in no time.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "broker/registry/clock_model.h"
#include "tests/check_main.h"

#define S          1e9L
#define MS         1e6L
#define PIECES_MAX 4096
#define STAMPS_MAX 40000
#define LEAD_NS    20000000u
#define SHORT_NS   (50 * MS)
#define LONGEST_NS S
/* A look's width, the error that is left alone, and what a second adds to it. */
#define RIGHT_NS 2000

/* What happens to the clocks. Times in ns since the beginning. */
struct script {
	const char *name;
	long double slew_from, slew_to; /* when */
	long double ppm;                /* how fast CLOCK_REALTIME runs */
	bool alone;                     /* .. and CLOCK_MONOTONIC does not */
	long double step_at, step_ns;
	long double again_at; /* .. and once more, by as much */
	bool told;            /* the system says that it was set */
	long double suspend_at, suspend_ns; /* ticks go on, MONOTONIC stands */
	long double killed_at,
		back_at;      /* the broker is, and another one is there */
	bool stopped;         /* it is the broker that stood, and no clock */
	bool stamps_go_back;  /* as the clock does */
	long double most_ns;  /* it is off by so much at most, at any time */
	long double right_by; /* .. and from then on by RIGHT_NS */
};

static struct world {
	const struct script *script;
	long double ticks_per_ns;
	long double now;  /* true ns */
	long double born; /* when the counter began */
	uint64_t seed;
	struct tpi_clock_model model;
	struct tapio_shm_calibration pieces[PIECES_MAX];
	uint32_t count;
	bool told;
	long double next, interval;
} w;

static uint64_t ticks_at(long double t)
{
	return (uint64_t)((t - w.born) * w.ticks_per_ns);
}

static long double slewed(long double t)
{
	const struct script *s = w.script;

	if (!s->ppm || t < s->slew_from)
		return 0;
	if (s->slew_to && t > s->slew_to)
		t = s->slew_to;
	return (t - s->slew_from) * s->ppm / 1e6L;
}

static long double real_at(long double t)
{
	const struct script *s = w.script;
	long double ns = 1.7e18L + t + slewed(t);

	if (s->step_ns && t >= s->step_at)
		ns += s->step_ns;
	if (s->again_at && t >= s->again_at)
		ns += s->step_ns;
	return ns;
}

static long double monotonic_at(long double t)
{
	const struct script *s = w.script;
	long double ns = 5e12L + t + (s->alone ? 0 : slewed(t));

	if (s->suspend_ns && !s->stopped && t >= s->suspend_at)
		ns -= t < s->suspend_at + s->suspend_ns ? t - s->suspend_at
							: s->suspend_ns;
	return ns;
}

/* A look takes 60 ns, and does not know when in them the clocks were read. */
static struct tpi_clock_sample sample_at(long double t)
{
	long double off;

	w.seed = w.seed * UINT64_C(6364136223846793005) + 1;
	off = (long double)(w.seed >> 40) / (1 << 24) * 60 - 30;
	return (struct tpi_clock_sample){
		.ticks = ticks_at(t),
		.real_ns = (uint64_t)real_at(t + off),
		.monotonic_ns = (uint64_t)monotonic_at(t + off),
		.width_ticks = (uint64_t)(60 * w.ticks_per_ns) + 1,
	};
}

static void publish(const struct tapio_shm_calibration *pieces, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_lt(w.count, PIECES_MAX);
		if (w.count) {
			ck_assert_uint_gt(pieces[i].base_tsc,
					  w.pieces[w.count - 1].base_tsc);
			ck_assert_uint_gt(pieces[i].base_tsc, ticks_at(w.now));
		}
		w.pieces[w.count++] = pieces[i];
	}
}

/* As a reader, who searches all pieces that there are. */
static uint64_t convert(uint64_t ticks)
{
	uint32_t i = w.count - 1;

	while (i && (int64_t)(ticks - w.pieces[i].base_tsc) < 0)
		i--;
	return tpi_calibration_ns(&w.pieces[i], ticks);
}

static void begin(const struct script *script, long double ticks_per_ns)
{
	struct tpi_clock_sample samples[TPI_CLOCK_FIRST];
	struct tapio_shm_calibration piece;

	memset(&w, 0, sizeof(w));
	w.script = script;
	w.ticks_per_ns = ticks_per_ns;
	w.seed = 42;
	w.born = -1000 * S;
	for (int i = 0; i < TPI_CLOCK_FIRST; i++) {
		w.now = 3 * i * MS;
		samples[i] = sample_at(w.now);
	}
	ck_assert(tpi_clock_model_begin(&w.model, samples, &piece));
	publish(&piece, 1);
	w.interval = SHORT_NS;
	w.next = w.now + w.interval;
}

static void look(void)
{
	struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES];
	struct tpi_clock_sample s = sample_at(w.now);
	uint64_t from = s.ticks + tpi_clock_model_ticks(&w.model, LEAD_NS);
	uint64_t busy = tpi_clock_model_busy(&w.model, s.ticks);

	if (tpi_clock_model_is_new(&w.model, s.ticks)) {
		tpi_clock_model_restart(&w.model, &s, pieces);
		w.count = 0;
		publish(pieces, 1);
		w.next = w.now + SHORT_NS;
		return;
	}
	if (busy) {
		w.next = w.now + (long double)busy / w.ticks_per_ns + 1000;
		return;
	}
	publish(pieces,
		tpi_clock_model_look(&w.model, &s, w.told, from, pieces));
	w.told = false;
	if (w.model.surprised)
		w.interval = SHORT_NS;
	else if (w.interval < LONGEST_NS)
		w.interval = fminl(2 * w.interval, LONGEST_NS);
	w.next = w.now + w.interval;
}

/* Another broker goes on behind the pieces of the first. */
static void take_over(long double t)
{
	struct tapio_shm_calibration last[1 + TPI_CALIBRATION_PIECES];
	struct tpi_clock_sample samples[TPI_CLOCK_FIRST];
	uint32_t size = 1 + TPI_CALIBRATION_PIECES;

	for (uint32_t i = 0; i < size; i++)
		last[i] = w.pieces[w.count + i < size ? 0 : w.count + i - size];
	for (int i = 0; i < TPI_CLOCK_FIRST; i++)
		samples[i] = sample_at(t - 3 * (TPI_CLOCK_FIRST - i) * MS);
	ck_assert(tpi_clock_model_resume(&w.model, samples, last));
	w.interval = SHORT_NS;
	w.next = t + w.interval;
}

/* Runs the world by a step, with a look if it is time for one. */
static void run_to(long double t)
{
	const struct script *s = w.script;
	bool suspended = s->suspend_ns && t >= s->suspend_at &&
			 t < s->suspend_at + s->suspend_ns;

	if (s->told && ((w.now < s->step_at && t >= s->step_at) ||
			(w.now < s->again_at && t >= s->again_at))) {
		w.told = true;
		w.next = t;
	}
	if (s->back_at && w.now < s->back_at && t >= s->back_at)
		take_over(t);
	w.now = t;
	if (s->back_at && t >= s->killed_at && t < s->back_at)
		return;
	if (!suspended && t >= w.next)
		look();
}

static struct {
	uint64_t ticks, ns;
	long double t;
} stamps[STAMPS_MAX];

#define SECONDS 20

/*
 * The clock is looked at within a second, and what was seen holds 20 ms later. After
 * a surprise looks are 50 ms apart, or an error of e is slewed away in 8 e first.
 */
static const struct script scripts[] = {
	{.name = "nothing", .most_ns = RIGHT_NS},
	{.name = "set at the start",
	 .step_at = 1 * MS,
	 .step_ns = 2 * S,
	 .most_ns = RIGHT_NS},
	{.name = "set at the start, by 12 days",
	 .step_at = 5 * MS,
	 .step_ns = 12 * 86400 * S,
	 .most_ns = RIGHT_NS},
	{.name = "set at the start, back",
	 .step_at = 7 * MS,
	 .step_ns = -2 * S,
	 .most_ns = RIGHT_NS},
	{.name = "set at the start, by little",
	 .step_at = 4 * MS,
	 .step_ns = 0.3L * MS,
	 .most_ns = RIGHT_NS},
	{.name = "set, and told",
	 .step_at = 5.3L * S,
	 .step_ns = 2 * S,
	 .told = true,
	 .right_by = 5.32L * S},
	{.name = "set back, and told",
	 .step_at = 5.3L * S,
	 .step_ns = -3600 * S,
	 .told = true,
	 .stamps_go_back = true,
	 .right_by = 5.32L * S},
	{.name = "set",
	 .step_at = 5.3L * S,
	 .step_ns = 90 * S,
	 .right_by = 6.4L * S},
	{.name = "set back",
	 .step_at = 5.3L * S,
	 .step_ns = -90 * S,
	 .stamps_go_back = true,
	 .right_by = 6.4L * S},
	{.name = "set back by little, and told",
	 .step_at = 5.3L * S,
	 .step_ns = -50 * MS,
	 .told = true,
	 .stamps_go_back = true,
	 .right_by = 5.32L * S},
	{.name = "set twice",
	 .step_at = 5.3L * S,
	 .step_ns = 2 * S,
	 .again_at = 5.39L * S,
	 .told = true,
	 .right_by = 5.42L * S},
	{.name = "set by little",
	 .step_at = 5.3L * S,
	 .step_ns = -0.4L * MS,
	 .most_ns = 0.5L * MS,
	 .right_by = 5.62L * S},
	{.name = "ntp",
	 .slew_from = 3.1L * S,
	 .ppm = 500,
	 .most_ns = 0.6L * MS,
	 .right_by = 3.68L * S},
	{.name = "chrony, fast",
	 .slew_from = 3.1L * S,
	 .ppm = 83333,
	 .most_ns = 100 * MS,
	 .right_by = 4.15L * S},
	{.name = "chrony, slow",
	 .slew_from = 3.1L * S,
	 .ppm = -83333,
	 .most_ns = 100 * MS,
	 .right_by = 4.15L * S},
	{.name = "a slew that ends",
	 .slew_from = 3.1L * S,
	 .slew_to = 9.7L * S,
	 .ppm = 50000,
	 .most_ns = 60 * MS,
	 .right_by = 10.75L * S},
	{.name = "a slew since before the start",
	 .slew_from = -10 * S,
	 .ppm = 50000,
	 .most_ns = RIGHT_NS},
	{.name = "a slew of one clock",
	 .slew_from = 3.1L * S,
	 .ppm = 5000,
	 .alone = true,
	 .most_ns = 7 * MS,
	 .right_by = 4.5L * S},
	{.name = "a large slew of one clock",
	 .slew_from = 3.1L * S,
	 .ppm = 50000,
	 .alone = true,
	 .most_ns = 70 * MS,
	 .right_by = 4.5L * S},
	{.name = "set in a slew",
	 .slew_from = 3.1L * S,
	 .ppm = 50000,
	 .step_at = 7.6998L * S,
	 .step_ns = 2 * S,
	 .told = true,
	 .right_by = 7.72L * S},
	{.name = "killed",
	 .killed_at = 3 * S,
	 .back_at = 3.2L * S,
	 .most_ns = RIGHT_NS},
	{.name = "killed, and away while the clock is slowed down",
	 .killed_at = 3 * S,
	 .back_at = 13 * S,
	 .slew_from = 3.1L * S,
	 .ppm = -500,
	 .most_ns = 6 * MS,
	 .right_by = 13.7L * S},
	{.name = "killed in a slew",
	 .killed_at = 3.15L * S,
	 .back_at = 3.16L * S,
	 .slew_from = 3.1L * S,
	 .ppm = -83333,
	 .most_ns = 100 * MS,
	 .right_by = 4.4L * S},
	{.name = "set while no broker runs",
	 .killed_at = 3 * S,
	 .back_at = 5 * S,
	 .step_at = 4 * S,
	 .step_ns = 90 * S,
	 .right_by = 5.2L * S},
	{.name = "suspended",
	 .suspend_at = 5 * S,
	 .suspend_ns = 3 * S,
	 .most_ns = RIGHT_NS},
	{.name = "suspended, and set",
	 .suspend_at = 5 * S,
	 .suspend_ns = 3 * S,
	 .step_at = 7.9998L * S,
	 .step_ns = 0.7L * S,
	 .told = true,
	 .right_by = 8.02L * S},
	/* By less than a slew could have made of the time, and told too late. */
	{.name = "set while the broker is stopped",
	 .suspend_at = 2 * S,
	 .suspend_ns = 12 * S,
	 .stopped = true,
	 .step_at = 3 * S,
	 .step_ns = 1.2L * S,
	 .right_by = 14.1L * S},
};
#define SCRIPTS (int)(sizeof(scripts) / sizeof(scripts[0]))

static const long double counters[] = {2.6L, 1.0L, 0.024L};

/* One stamp each half millisecond, converted at once; then all of them again. */
static uint32_t live(void)
{
	uint32_t n = 0;

	for (long double t = w.now; t < SECONDS * S; t += 0.5L * MS) {
		run_to(t);
		ck_assert_uint_lt(n, STAMPS_MAX);
		stamps[n].t = t;
		stamps[n].ticks = ticks_at(t);
		stamps[n].ns = convert(stamps[n].ticks);
		n++;
	}
	return n;
}

static void check(uint32_t n)
{
	const struct script *s = w.script;
	/* A counter's tick cannot be split. */
	long double tick = 1 / w.ticks_per_ns, off, worst = 0, by = 0;

	for (uint32_t i = 0; i < n; i++) {
		ck_assert_msg(convert(stamps[i].ticks) == stamps[i].ns,
			      "%s: a stamp moved", s->name);
		if (i && !s->stamps_go_back)
			ck_assert_msg(stamps[i].ns >= stamps[i - 1].ns,
				      "%s: the time goes back at %.3Lf s",
				      s->name, stamps[i].t / S);
		off = fabsl((long double)stamps[i].ns - real_at(stamps[i].t));
		if (off > worst)
			worst = off;
		if (off > RIGHT_NS + tick)
			by = stamps[i].t;
	}
	if (s->most_ns)
		ck_assert_msg(worst <= s->most_ns + tick, "%s: off by %.0Lf ns",
			      s->name, worst);
	ck_assert_msg(by <= s->right_by, "%s: not right until %.4Lf s", s->name,
		      by / S);
}

/* Fails on commit fddcec1 in every one: a stamp moved. */
START_TEST(stamps_have_one_time_that_grows_and_is_right)
{
	for (int i = 0; i < 3; i++) {
		begin(&scripts[_i], counters[i]);
		check(live());
	}
}
END_TEST

/* The last piece has the clock's rate, not that of a correction. */
START_TEST(a_broker_that_dies_leaves_the_rate_behind)
{
	static const struct script slew = {
		.name = "slew", .slew_from = 3.1L * S, .ppm = 50000};
	long double off, t;

	begin(&slew, 2.6L);
	for (t = w.now; t < 6 * S; t += MS)
		run_to(t);
	off = (long double)convert(ticks_at(t + 3600 * S)) -
	      real_at(t + 3600 * S);
	/* In an hour; 1 ppm is 3.6 ms. */
	ck_assert_msg(fabsl(off) < 3.6L * MS, "off by %.0Lf ns", off);
}
END_TEST

START_TEST(a_steady_clock_needs_few_pieces)
{
	begin(&scripts[0], 2.6L);
	for (long double t = w.now; t < 3600 * S; t += 10 * MS)
		run_to(t);
	ck_assert_uint_le(w.count, 2 * 120);
	ck_assert_uint_eq(w.model.steps, 0);
}
END_TEST

START_TEST(steps_are_counted_and_slews_are_none)
{
	for (int i = 0; i < SCRIPTS; i++) {
		const struct script *s = &scripts[i];

		begin(s, 2.6L);
		(void)live();
		ck_assert_msg(w.model.steps ==
				      (uint64_t)(s->step_at > S &&
						 fabsl(s->step_ns) > MS) +
					      (s->again_at > 0),
			      "%s: %llu steps", s->name,
			      (unsigned long long)w.model.steps);
	}
}
END_TEST

/* The processor loses its counter in a suspend. Commit fddcec1 waits until it is as
 * large as before. */
START_TEST(a_counter_that_begins_anew_is_right_at_once)
{
	long double t, off, tick;

	for (int i = 0; i < 3; i++) {
		begin(&scripts[0], counters[i]);
		tick = 1 / w.ticks_per_ns;
		for (t = w.now; t < 5 * S; t += MS)
			run_to(t);
		t += 3600 * S;
		w.born = t - 20 * MS;
		for (; w.now < 3620 * S; t += MS) {
			run_to(t);
			off = (long double)convert(ticks_at(t)) - real_at(t);
			ck_assert_msg(fabsl(off) <= RIGHT_NS + tick,
				      "off by %.0Lf ns", off);
		}
		off = (long double)convert(0) - real_at(w.born);
		ck_assert_msg(fabsl(off) <= RIGHT_NS + tick, "at first: %.0Lf",
			      off);
	}
}
END_TEST

START_TEST(a_clock_that_stands_still_is_no_clock)
{
	struct tpi_clock_sample samples[TPI_CLOCK_FIRST] = {0};
	struct tapio_shm_calibration piece;

	for (int i = 0; i < TPI_CLOCK_FIRST; i++)
		samples[i].ticks = (uint64_t)i * 1000000;
	ck_assert(!tpi_clock_model_begin(&w.model, samples, &piece));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("model");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, stamps_have_one_time_that_grows_and_is_right, 0,
			    SCRIPTS);
	tcase_add_test(t, a_broker_that_dies_leaves_the_rate_behind);
	tcase_add_test(t, a_steady_clock_needs_few_pieces);
	tcase_add_test(t, steps_are_counted_and_slews_are_none);
	tcase_add_test(t, a_counter_that_begins_anew_is_right_at_once);
	tcase_add_test(t, a_clock_that_stands_still_is_no_clock);
	return check_run_case("clock model", t);
}
