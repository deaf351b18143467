/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From looks at the clocks to pieces of the calibration. Private memory and
 * arithmetic only: the looks are made, and the pieces published, in clock.c.
 */
#ifndef TPI_BROKER_CLOCK_MODEL_H
#define TPI_BROKER_CLOCK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/memory/calibration.h"

/* One look: all three at one moment, which is known to `width_ticks`. */
struct tpi_clock_sample {
	uint64_t ticks;
	uint64_t real_ns;      /* CLOCK_REALTIME */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC */
	uint64_t width_ticks;
};

struct tpi_clock_model {
	struct tpi_clock_sample last;
	uint64_t rate; /* of CLOCK_REALTIME, in ns per tick, 32 fraction bits */
	uint64_t rates[3]; /* as measured, oldest first */
	bool surprised;    /* at the last look: look again soon */
	uint64_t error_ns; /* at the last look, before it was corrected */
	uint64_t steps;
	uint64_t away_ticks; /* until the next look: without a broker */
	/* The pieces that readers may use now: older, and the last two. */
	struct tapio_shm_calibration pieces[1 + TPI_CALIBRATION_PIECES];
};

/* Looks for the first rate. */
#define TPI_CLOCK_FIRST 4

/*
 * Begins with some looks, milliseconds apart; the first piece, for all stamps. False:
 * a clock stands still.
 */
bool tpi_clock_model_begin(
	struct tpi_clock_model *model,
	const struct tpi_clock_sample samples[TPI_CLOCK_FIRST],
	struct tapio_shm_calibration *piece);

/*
 * The same, after a former broker's last pieces, oldest first, which stay as they are: one
 * stamp has one time. The next look corrects their error of then, and takes it for a
 * slew as long as a slew can have made it since the last of them, so that stamps that grow
 * have times that grow.
 */
bool tpi_clock_model_resume(
	struct tpi_clock_model *model,
	const struct tpi_clock_sample samples[TPI_CLOCK_FIRST],
	const struct tapio_shm_calibration pieces[1 + TPI_CALIBRATION_PIECES]);

/*
 * Takes in one more look. How many pieces are to be published (0: the clock runs as
 * predicted); they begin at `from`, which lies after the look. `was_set`: the system
 * says that its time was set since the last look. The look MUST NOT be made before
 * the last piece has begun (tpi_clock_model_busy()).
 */
uint32_t tpi_clock_model_look(
	struct tpi_clock_model *model, const struct tpi_clock_sample *sample,
	bool was_set, uint64_t from,
	struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES]);

/*
 * Whether the counter has begun anew: the machine was suspended, and its processor lost
 * it. No piece holds any more.
 */
bool tpi_clock_model_is_new(const struct tpi_clock_model *model,
			    uint64_t ticks);

/* Begins again, by a look that is new, at the rate of before. The piece for all. */
void tpi_clock_model_restart(struct tpi_clock_model *model,
			     const struct tpi_clock_sample *sample,
			     struct tapio_shm_calibration *piece);

/* Ticks until the last piece has begun; 0: it has. */
uint64_t tpi_clock_model_busy(const struct tpi_clock_model *model,
			      uint64_t ticks);

/* What readers make of a stamp of now. */
uint64_t tpi_clock_model_convert(const struct tpi_clock_model *model,
				 uint64_t ticks);

/* A duration, by the rate of now. */
uint64_t tpi_clock_model_ticks(const struct tpi_clock_model *model,
			       uint64_t ns);
uint64_t tpi_clock_model_ns(const struct tpi_clock_model *model,
			    uint64_t ticks);

#endif
