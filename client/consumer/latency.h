/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long events were under way, noted when tapio_poll hands them out.
 *
 * The recorded latencies: of each batch that one lane gives in one look, one
 * event out of every 32, picked by its position's hash and counted for all of
 * its 32. So the histogram's `count` is the number of events handed out, and
 * those that are handed out again after a death count again. The clock is read
 * once per such batch: rdtsc where the channel stamps with the TSC,
 * CLOCK_REALTIME where it stamps with that. Channels without stamps record
 * nothing, nor do consumers that ask for none (options.latency), nor copies of
 * what lay there before the group.
 */
#ifndef TPI_LATENCY_H
#define TPI_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/common.h>

#include "client/connection/client.h"
#include "lib/lane/histogram.h"

struct tpi_latency {
	struct tapio_shm_histogram *shm; /* NULL: nothing is recorded */
	uint64_t mult;                   /* TSC: ns = ticks * mult >> shift */
	uint32_t shift;
	bool tsc;
};

/* Whether and how to record; again now and then: the calibration improves. */
void tpi_latency_init(struct tpi_latency *latency,
		      const struct tpi_client *client, bool wanted);
void tpi_latency_refresh(struct tpi_latency *latency,
			 const struct tpi_client *client);

/* Views of events, n > 0, are about to be handed out. */
void tpi_latency_note(struct tpi_latency *latency,
		      const struct tapio_view *views, unsigned int n);
/* The same where records of gaps may be among them, which are left out. */
void tpi_latency_note_mixed(struct tpi_latency *latency,
			    const struct tapio_view *views, unsigned int n);

#endif
