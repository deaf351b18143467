/* SPDX-License-Identifier: Apache-2.0 */
/* tapio-correlate on channels (live.c has the order of all that a kill may cut), or on a file. */
#ifndef TPI_CORRELATE_LIVE_H
#define TPI_CORRELATE_LIVE_H

#include "tools/collectors/common/collector.h"
#include "tools/correlate/options.h"

/* Kinds of events that it emits. */
enum {
	TPI_CORRELATE_FINDING,
	TPI_CORRELATE_COUNT,
	TPI_CORRELATE_KINDS,
};
extern const struct tpi_kind tpi_correlate_kinds[TPI_CORRELATE_KINDS];

/* The name of a channel that is none: findings are only printed. */
#define TPI_CORRELATE_NO_CHANNEL "none"

/* Both run to the end, and return the exit status. The collector has begun. */
int tpi_correlate_live(struct tpi_collector *collector,
		       const struct tpi_correlate_values *values,
		       struct tpi_rules *rules);
int tpi_correlate_replay(struct tpi_collector *collector,
			 const struct tpi_correlate_values *values,
			 struct tpi_rules *rules);

/* Names each mistake. NULL: it was told. */
struct tpi_rules *tpi_correlate_load_rules(const char *path);

/* Asks for the rules to be read anew, from a handler of SIGHUP. */
void tpi_correlate_reload(void);

/* The limits of the command line. */
struct tpi_corr_limits
tpi_correlate_limits(const struct tpi_correlate_values *values);

#endif
