/* SPDX-License-Identifier: Apache-2.0 */
/* A look as metrics, and as what the page draws. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * As OpenMetrics 1.0, or as Prometheus' older text format, which has the types of counters
 * under their full names. `look` may be NULL: no memory was found. Freed by the caller. NULL:
 * memory is out. Rows that would repeat the labels of another one are left out.
 */
char *metrics_text(const json_t *look, bool open, size_t *length);

/* The parts of a look that the page draws, without its ledger. A new reference. */
json_t *metrics_page(const json_t *look, const char *why);

#endif
