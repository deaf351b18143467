/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether to look for a while before sleeping. Called by sleep.c alone.
 *
 * A sleep costs a switch to another thread and back, a ring by the producer, and that its
 * event comes late: together about as much as SPIN_NS of looking, and so no wait looks for
 * longer than that. A wait of length L, in which one could have slept at once, gains by a spin
 *
 *	SPIN_NS - L   if L < SPIN_NS: the event is there before the spin is over
 *	-SPIN_NS      else: it was in vain, and the sleep comes in any case
 *
 * The next wait spins if the last ones have gained by it or would have, on average. One wait
 * counts for an eighth, and as much as another one however long it is. So a pause between
 * bursts does not end the spins within them, and a few events side by side do not make a
 * reader spin that mostly waits for long. Six long waits end the spins, six of no length
 * begin them again. At rates between, where half of the waits are longer than a spin, none is.
 *
 * A reader that slept does not see when its event came, since it wakes up late. But the bell
 * was rung then, and says when (N5 of wake.h). So no spin is needed to learn that it would pay.
 *
 * Not where the program said for how long to spin: then each wait does.
 */
#ifndef TPI_SPIN_H
#define TPI_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_NS    20000
#define SPIN_SHARE 8 /* of one wait in the average: one in so many */

struct tpi_spin {
	int64_t ns;   /* for how long */
	int64_t gain; /* by a spin, on average, in nanoseconds */
	bool always;  /* as the program said */
};

/* `ns` as the program said, or 0. */
static inline void tpi_spin_open(struct tpi_spin *spin, uint32_t ns)
{
	spin->always = ns != 0;
	spin->ns = ns ? ns : SPIN_NS;
	spin->gain = spin->ns;
}

/* For how long the wait that begins now is to spin. */
static inline int64_t tpi_spin_for(const struct tpi_spin *spin)
{
	return spin->always || spin->gain > 0 ? spin->ns : 0;
}

/* It was so long until an event came. */
static inline void tpi_spin_note(struct tpi_spin *spin, int64_t waited_ns)
{
	int64_t gain = spin->ns - waited_ns;

	if (gain < 0)
		gain = -spin->ns;
	if (gain > spin->ns)
		gain = spin->ns;
	spin->gain += (gain - spin->gain) / SPIN_SHARE;
}

#endif
