/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of tapio-correlate, from its command line and its section of the file. */
#ifndef TPI_CORRELATE_OPTIONS_H
#define TPI_CORRELATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/collectors/common/settings.h"

/* Which time an event has. */
enum tpi_correlate_order {
	TPI_ORDER_STAMP, /* when it was published */
	TPI_ORDER_EVENT, /* its own */
};

/* The form of a finding on standard output. */
enum tpi_correlate_output {
	TPI_OUTPUT_TEXT,
	TPI_OUTPUT_JSON,
	TPI_OUTPUT_NONE,
};

/* By whether a state is kept. */
#define TPI_POLICY_DEFAULT UINT32_MAX

struct tpi_correlate_values {
	const char *rules;
	struct tpi_list channels; /* none: "events" */
	const char *group;
	uint32_t policy; /* TAPIO_GROUP_* once checked */
	uint64_t lag;
	uint32_t start; /* TAPIO_START_* */
	enum tpi_correlate_order order;
	int64_t lateness_ns;
	const char *state;
	int64_t store_ns;
	uint64_t hold;
	uint64_t limit_keys;
	uint64_t limit_bytes;
	uint64_t limit_events;
	const char *replay;
	bool explain;
	enum tpi_correlate_output output;
};

/* The defaults, and the table over that struct. */
extern struct tpi_correlate_values tpi_correlate_values;
extern const struct tpi_setting tpi_correlate_settings[];

/* As tpi_collector_about.check. */
bool tpi_correlate_check(void *values, char *why, size_t why_bytes);

#endif
