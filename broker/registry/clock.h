/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration in the catalog: processor ticks to CLOCK_REALTIME. */
#ifndef TPI_BROKER_CLOCK_H
#define TPI_BROKER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "broker/loop/loop.h"
#include "broker/registry/clock_model.h"

struct tpi_broker;

struct tpi_clock {
	struct tpi_timer timer;
	struct tpi_watch watch; /* a timerfd that tells when time is set */
	struct tpi_broker *broker;
	struct tpi_clock_model model;
	uint64_t interval_ns;
	uint32_t vain; /* looks in a row that were good for nothing */
	bool was_set; /* the system has said so, and no look has dealt with it */
};

/* Whether ticks run at one rate on all CPUs, so that they can be converted. */
bool tpi_tsc_invariant(void);

/* Writes a first calibration and keeps it fresh from then on. */
void tpi_clock_start(struct tpi_broker *broker);
void tpi_clock_stop(struct tpi_broker *broker);

#endif
