/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of tapio-correlate on standard output: findings, and explanations. */
#ifndef TPI_CORRELATE_PRINT_H
#define TPI_CORRELATE_PRINT_H

#include "tools/correlate/engine.h"
#include "tools/correlate/options.h"

/*
 * A finding, from its event. 0 or -errno; -EPIPE: the reader has left. A terminal gets colours by
 * severity, unless the environment has NO_COLOR.
 */
int tpi_print_finding(enum tpi_correlate_output output, const void *event,
		      size_t length);

/* How far a key of a rule got. */
int tpi_print_why(enum tpi_correlate_output output, const struct tpi_corr *corr,
		  const struct tpi_corr_why *why);

/* Events and findings of each rule, at the end. */
void tpi_print_rules(enum tpi_correlate_output output,
		     const struct tpi_corr *corr);

#endif
