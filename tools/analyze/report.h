/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results to people and programs: a text table, JSON Lines, or events of type metric.
 * One thread at a time.
 */
#ifndef ANALYZE_REPORT_H
#define ANALYZE_REPORT_H

#include <tapio/producer.h>

#include "tools/analyze/change.h"
#include "tools/analyze/merger.h"

struct an_report_options {
	const struct an_spec *spec;
	struct an_change_spec change;
	bool json;
	bool live;     /* the text table stays at one place of a terminal */
	uint32_t rows; /* of the text table. 0: all */
	uint32_t top;  /* values of each top */
	uint32_t quantile_count;
	double quantiles[AN_QUANTILES];
	int fd; /* of text and JSON. -1: none */
};

struct an_reporter {
	struct an_report_options o;
	struct an_budget *budget;
	struct tapio_producer *producer; /* metric events go there, or NULL */
	struct an_baselines *baselines;
	const struct an_merger *merger; /* for the totals */
	uint64_t late;                  /* that were reported */
	uint64_t refused;               /* metric events, by the channel */
	uint64_t began_ns; /* CLOCK_REALTIME: when the program began */
	uint64_t changes;
	uint64_t limit; /* of windows to report. 0: none */
	uint64_t shown;
	int err; /* of the output: -EPIPE when its reader has left */
	char *text;
	size_t size;
	size_t used;
};

/* Names of notes, and texts: "lost", "events were lost". */
const char *an_note_name(uint32_t bit);

/* An an_result_fn. `arg` is the reporter. */
void an_report(void *arg, const struct an_result *result);

void an_reporter_free(struct an_reporter *r);

/* ---- shared by report*.c ----------------------------------------------------- */

struct tpi_out;

/* The rows of a result. By key for programs, the most events first for people. NULL: none, or
 * no memory. The caller frees it. */
const struct an_entry **an_report_order(const struct an_result *result,
					bool by_count);

/* Thousandths as a decimal number, and a double without needless digits. */
void an_put_thousandths(struct tpi_out *out, __int128 value);
void an_put_double(struct tpi_out *out, double value);

/* A quantile. False: it is not known. */
bool an_quantile_of(const struct an_cell *cell, double fraction,
		    uint64_t *value);

/* Appends what `put` writes, however long. */
typedef void an_put_fn(struct tpi_out *out, const struct an_reporter *r,
		       const void *arg);
void an_report_put(struct an_reporter *r, an_put_fn *put, const void *arg);

void an_report_json(struct an_reporter *r, const struct an_result *result);
void an_report_json_change(struct an_reporter *r,
			   const struct an_result *result,
			   const struct an_change *change);
void an_report_text(struct an_reporter *r, const struct an_result *result);
void an_report_text_change(struct an_reporter *r,
			   const struct an_change *change);
void an_report_metrics(struct an_reporter *r, const struct an_result *result);
void an_report_metric_change(struct an_reporter *r,
			     const struct an_result *result,
			     const struct an_change *change);
const char *an_figure_name(enum an_figure figure);

#endif
