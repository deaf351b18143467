/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by live.c, settle.c and report.c. */
#ifndef TPI_CORRELATE_LIVE_INNER_H
#define TPI_CORRELATE_LIVE_INNER_H

#include "tools/correlate/echo.h"
#include "tools/correlate/findings.h"
#include "tools/correlate/inputs.h"
#include "tools/correlate/live.h"
#include "tools/correlate/state_file.h"

struct tpi_live {
	struct tpi_collector *collector;
	const struct tpi_correlate_values *values;
	struct tpi_corr *corr;
	struct tpi_inputs inputs;
	struct tpi_state_file state;
	struct tpi_echo echo;
	struct tpi_sink sink;
	bool emits;  /* there is a channel for findings */
	bool broken; /* standard output has gone */
	/*
	 * Findings go to the outbox as the engine makes them. `stored`: the state has them, and
	 * they may be emitted. Nothing is taken from channels until all of them are.
	 */
	struct tpi_outbox box;
	bool stored;
	int64_t store_ns; /* the last store. 0: none */
	int64_t retry_ns; /* the channel had no room: not before */
	int64_t pause_ns;
	int64_t report_ns;
	int64_t echo_ns; /* when the echo was released last */
	bool told_clock;
	unsigned char *buffer; /* of an event that is built */
	size_t buffer_bytes;
};

/* settle.c */

/* As tpi_corr_options.on_finding. */
void tpi_live_finding(void *arg, const struct tpi_corr_finding *finding);

/* Takes up the stored state. False: the program ends with the collector's status. */
bool tpi_live_resume(struct tpi_live *live);

/* Stores, releases and emits as it is due, or all at once. */
void tpi_live_settle(struct tpi_live *live, bool all);

/* When something is due. INT64_MAX: never. */
int64_t tpi_live_due_ns(const struct tpi_live *live);

/* report.c: counts of the engine as metric events. */
void tpi_live_report(struct tpi_live *live);

#endif
