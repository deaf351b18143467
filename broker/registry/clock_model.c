/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE RATE of CLOCK_REALTIME against the ticks, from one look to the next:
 *
 *  R1  The system slews CLOCK_REALTIME and CLOCK_MONOTONIC together, by up to 10 %,
 *	and sets CLOCK_REALTIME alone. So where both ran at one rate since the last
 *	look, it is the rate, however large the slew.
 *  R2  Else CLOCK_REALTIME was set, or it is a machine on which R1 does not hold.
 *	The median of the last three rates decides: a step is in one of them, a slew
 *	soon in two. The first rate is the median of three.
 *  R3  A rate that is further from the one before than any slew is not believed:
 *	the clock was set by much, or the machine was suspended.
 *
 * THE ERROR is what readers would make of the ticks of a look, against its clock.
 * While it is as small as a look is sharp, nothing is published. Else there are two
 * ways to be right again:
 *
 *	set     the time jumps, as the clock has: one piece, from `from` on
 *	slewed  the time runs a little faster or slower until it is right, and then
 *	        at the clock's rate: two pieces. So stamps that grow have times that
 *	        grow, and a broker that dies leaves the clock's rate behind.
 */
#include "broker/registry/clock_model.h"

#include <string.h>

#define SHIFT 32
/* No slew is larger: adjtimex allows a tenth, and 500 ppm. */
#define SLEW_PART 8u /* an eighth */
/* How far apart two clocks of one rate are measured, besides the looks' widths. */
#define SAME_PART 200000u /* 5 ppm */
/* Too little to be corrected, besides the look's width. */
#define ERROR_NS 250u
/* No steady clock does that in a second: a slew has begun, or ended. */
#define SURPRISE_NS 20000u
/* A jump, though the system has not said that the time was set. */
#define STEP_NS 1000000u
/* No more time than that is a slew believed to have had: looks are as far apart, but
 * for a broker that was stopped. What it missed would be slewed for as long again. */
#define SLEW_MOST_NS UINT64_C(1000000000)
/* An error is slewed away in this time, or in SLEW_PART times as long as it is. */
#define SETTLE_NS 20000000u

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static uint64_t scale(uint64_t value, uint64_t mult)
{
	return (uint64_t)((unsigned __int128)value * mult >> SHIFT);
}

uint64_t tpi_clock_model_ns(const struct tpi_clock_model *model, uint64_t ticks)
{
	return scale(ticks, model->rate);
}

uint64_t tpi_clock_model_ticks(const struct tpi_clock_model *model, uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << SHIFT) / model->rate);
}

/* ---- the rate ------------------------------------------------------------------ */

/* 0: it went back, or faster than can be said. */
static uint64_t rate_of(uint64_t from_ns, uint64_t to_ns, uint64_t ticks)
{
	unsigned __int128 rate;

	if ((int64_t)(to_ns - from_ns) <= 0 || !ticks)
		return 0;
	rate = ((unsigned __int128)(to_ns - from_ns) << SHIFT) / ticks;
	return rate > UINT64_MAX ? 0 : (uint64_t)rate;
}

static uint64_t median(const uint64_t r[3])
{
	if ((r[0] <= r[1]) == (r[1] <= r[2]))
		return r[1];
	if ((r[1] <= r[0]) == (r[0] <= r[2]))
		return r[0];
	return r[2];
}

/* Whether two rates are one, as far as could be measured in so many ticks. */
static bool same(uint64_t a, uint64_t b, uint64_t width, uint64_t ticks)
{
	unsigned __int128 noise = (unsigned __int128)b * 4 * width / ticks;

	return apart(a, b) <= noise + b / SAME_PART;
}

static void remember(struct tpi_clock_model *model, uint64_t rate)
{
	model->rates[0] = model->rates[1];
	model->rates[1] = model->rates[2];
	model->rates[2] = rate;
}

/* R1 to R3. */
static void measure(struct tpi_clock_model *model,
		    const struct tpi_clock_sample *s)
{
	const struct tpi_clock_sample *last = &model->last;
	uint64_t ticks = s->ticks - last->ticks;
	uint64_t width = s->width_ticks + last->width_ticks;
	uint64_t real = rate_of(last->real_ns, s->real_ns, ticks);
	uint64_t steady = rate_of(last->monotonic_ns, s->monotonic_ns, ticks);
	uint64_t rate;

	remember(model, real);
	rate = same(real, steady, width, ticks) ? real : median(model->rates);
	if (apart(rate, model->rate) <= model->rate / SLEW_PART)
		model->rate = rate;
}

/* ---- pieces ---------------------------------------------------------------------- */

static struct tapio_shm_calibration *newest(struct tpi_clock_model *model)
{
	return &model->pieces[TPI_CALIBRATION_PIECES];
}

static struct tapio_shm_calibration
piece_from(const struct tpi_clock_model *model,
	   const struct tpi_clock_sample *s, uint64_t ticks, uint64_t ns)
{
	uint64_t error = tpi_clock_model_ns(model, s->width_ticks) / 2;

	return (struct tapio_shm_calibration){
		.base_tsc = ticks,
		.base_ns = ns,
		.mult = model->rate,
		.shift = SHIFT,
		.error_ns = error < UINT32_MAX ? (uint32_t)error : UINT32_MAX,
	};
}

static void take_over(struct tpi_clock_model *model,
		      const struct tapio_shm_calibration *piece)
{
	memmove(&model->pieces[0], &model->pieces[1],
		TPI_CALIBRATION_PIECES * sizeof(*piece));
	*newest(model) = *piece;
}

uint64_t tpi_clock_model_busy(const struct tpi_clock_model *model,
			      uint64_t ticks)
{
	uint64_t base = model->pieces[TPI_CALIBRATION_PIECES].base_tsc;

	return (int64_t)(base - ticks) > 0 ? base - ticks : 0;
}

uint64_t tpi_clock_model_convert(const struct tpi_clock_model *model,
				 uint64_t ticks)
{
	int i = TPI_CALIBRATION_PIECES;

	while (i && (int64_t)(ticks - model->pieces[i].base_tsc) < 0)
		i--;
	return tpi_calibration_ns(&model->pieces[i], ticks);
}

static void slew(struct tpi_clock_model *model,
		 const struct tpi_clock_sample *s, uint64_t from,
		 uint64_t truth,
		 struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES])
{
	uint64_t base = tpi_clock_model_convert(model, from), until;
	int64_t wrong = (int64_t)(truth - base);
	uint64_t size = apart(truth, base);
	uint64_t ns =
		size > SETTLE_NS / SLEW_PART ? size * SLEW_PART : SETTLE_NS;
	uint64_t ticks = tpi_clock_model_ticks(model, ns);
	/* At most an eighth of the rate, by the choice of `ns`. */
	uint64_t change =
		(uint64_t)(((unsigned __int128)size << SHIFT) / ticks);

	pieces[0] = piece_from(model, s, from, base);
	pieces[0].mult += wrong < 0 ? 0 - change : change;
	until = from + ticks;
	pieces[1] = piece_from(model, s, until,
			       tpi_calibration_ns(&pieces[0], until));
}

/* ---- looks ------------------------------------------------------------------------ */

static void begin_with(struct tpi_clock_model *model,
		       struct tapio_shm_calibration *piece)
{
	model->surprised = true;
	*piece = piece_from(model, &model->last, model->last.ticks,
			    model->last.real_ns);
	for (int i = 0; i <= TPI_CALIBRATION_PIECES; i++)
		model->pieces[i] = *piece;
}

bool tpi_clock_model_is_new(const struct tpi_clock_model *model, uint64_t ticks)
{
	return (int64_t)(ticks - model->last.ticks) < 0;
}

void tpi_clock_model_restart(struct tpi_clock_model *model,
			     const struct tpi_clock_sample *sample,
			     struct tapio_shm_calibration *piece)
{
	model->last = *sample;
	model->error_ns = tpi_clock_model_ns(model, sample->width_ticks) / 2;
	model->steps++;
	begin_with(model, piece);
}

/* More than a slew makes of so many ticks. */
static bool is_step(const struct tpi_clock_model *model, uint64_t wrong,
		    uint64_t ticks)
{
	uint64_t since = tpi_clock_model_ns(model, ticks);

	if (since > SLEW_MOST_NS)
		since = SLEW_MOST_NS;
	return wrong > STEP_NS + since / SLEW_PART;
}

bool tpi_clock_model_begin(
	struct tpi_clock_model *model,
	const struct tpi_clock_sample samples[TPI_CLOCK_FIRST],
	struct tapio_shm_calibration *piece)
{
	uint64_t steady[3];

	memset(model, 0, sizeof(*model));
	for (int i = 0; i < 3; i++) {
		const struct tpi_clock_sample *a = &samples[i], *b = a + 1;

		remember(model,
			 rate_of(a->real_ns, b->real_ns, b->ticks - a->ticks));
		steady[i] = rate_of(a->monotonic_ns, b->monotonic_ns,
				    b->ticks - a->ticks);
	}
	model->rate = median(model->rates);
	if (apart(model->rate, median(steady)) > median(steady) / SLEW_PART)
		model->rate = median(steady);
	if (!model->rate)
		return false;
	model->last = samples[TPI_CLOCK_FIRST - 1];
	begin_with(model, piece);
	return true;
}

bool tpi_clock_model_resume(
	struct tpi_clock_model *model,
	const struct tpi_clock_sample samples[TPI_CLOCK_FIRST],
	const struct tapio_shm_calibration pieces[1 + TPI_CALIBRATION_PIECES])
{
	struct tapio_shm_calibration unused;
	int64_t away;

	if (!tpi_clock_model_begin(model, samples, &unused))
		return false;
	memcpy(model->pieces, pieces, sizeof(model->pieces));
	away = (int64_t)(model->last.ticks - newest(model)->base_tsc);
	model->away_ticks = away > 0 ? (uint64_t)away : 0;
	return true;
}

uint32_t tpi_clock_model_look(
	struct tpi_clock_model *model, const struct tpi_clock_sample *s,
	bool was_set, uint64_t from,
	struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES])
{
	uint64_t now = tpi_clock_model_convert(model, s->ticks), ticks, truth;
	uint64_t width = tpi_clock_model_ns(model, s->width_ticks);
	uint64_t wrong = apart(now, s->real_ns);
	uint32_t count;
	bool set;

	ticks = s->ticks - model->last.ticks;
	if ((int64_t)ticks <= 0)
		return 0; /* a counter that stands still says nothing */
	measure(model, s);
	/* Told, or so it looks. */
	set = was_set || is_step(model, wrong, ticks + model->away_ticks);
	model->away_ticks = 0;
	model->last = *s;
	model->error_ns = wrong + width / 2;
	model->surprised = wrong > SURPRISE_NS;
	if (wrong <= ERROR_NS + width / 2)
		return 0;
	truth = s->real_ns + tpi_clock_model_ns(model, from - s->ticks);
	if (set) {
		model->steps++;
		pieces[0] = piece_from(model, s, from, truth);
		count = 1;
	} else {
		slew(model, s, from, truth, pieces);
		count = 2;
	}
	for (uint32_t i = 0; i < count; i++)
		take_over(model, &pieces[i]);
	return count;
}
