/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration in the catalog: processor ticks to CLOCK_REALTIME. */
#ifndef TPI_BROKER_CLOCK_H
#define TPI_BROKER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "broker/loop/loop.h"

struct tpi_broker;

struct tpi_clock {
	struct tpi_timer timer;
	struct tpi_watch watch; /* a timerfd that tells when time is set */
	struct tpi_broker *broker;
	uint64_t interval_ns;
};

/* Whether ticks run at one rate on all CPUs, so that they can be converted. */
bool tpi_tsc_invariant(void);

/* Writes a first calibration and keeps it fresh from then on. */
void tpi_clock_start(struct tpi_broker *broker);
void tpi_clock_stop(struct tpi_broker *broker);

/*
 * One calibration from the pair before it (NULL: measures for 10 ms). mult is 0
 * when the ticks cannot be converted.
 */
void tpi_calibrate(struct tapio_shm_calibration *next,
		   const struct tapio_shm_calibration *last);

#endif
