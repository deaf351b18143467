/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of tapio-tail. */
#ifndef TPI_TAIL_OPTIONS_H
#define TPI_TAIL_OPTIONS_H

#include "tools/common/tool.h"
#include "tools/tail/source.h"
#include "tools/common/where.h"

struct tpi_tail_arguments {
	struct tpi_connect connect;
	struct tpi_tail_options tail;
	struct tpi_where where;
	uint64_t since_ns;   /* --since TIME: CLOCK_REALTIME. 0: no time */
	uint64_t count;      /* of events to show. 0: no end */
	int64_t duration_ns; /* TAPIO_FOREVER */
	bool json;
	bool stats;
	bool color; /* decided: by --color, the terminal and NO_COLOR */
};

/* Wrong usage, and what needs no broker, ends the program. */
void tpi_tail_parse(int argc, char **argv, struct tpi_tail_arguments *args);

#endif
