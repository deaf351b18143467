/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the program: options, members, the merger's loop, replay. */
#ifndef ANALYZE_ANALYZE_H
#define ANALYZE_ANALYZE_H

#include <tapio/consumer.h>

#include "tools/analyze/report.h"
#include "tools/common/tool.h"

#define AN_THREADS_MAX 64u

struct an_arguments {
	struct tpi_connect connect;
	struct an_spec spec;
	struct an_report_options report;
	struct an_budget budget;
	const char *channel;
	const char *group; /* NULL: an own one */
	const char *output;
	const char *partials; /* a member: they go there */
	const char *merge;    /* the merger: they come from there */
	const char *replay;
	uint32_t policy;
	uint32_t lag;
	uint32_t start;
	uint32_t hold;
	uint32_t threads;
	bool durable;
	bool by_events;
	bool stats;
	int64_t silent_ns;
	int64_t season_ns;
	int64_t flush_ns;
	int64_t duration_ns;
	uint64_t windows; /* to show. 0: no end */
};

/* Ends the program on wrong usage. */
void an_options_parse(struct an_arguments *args, int argc, char **argv);

/* The exit status of each way to work. */
int an_run_members(struct an_arguments *args, struct an_reporter *reporter);
int an_run_merger(struct an_arguments *args, struct an_reporter *reporter);
int an_run_replay(struct an_arguments *args, struct an_reporter *reporter);

/* Makes and ends what they share. 0 or an exit status. */
int an_reporter_open(struct an_arguments *args, struct an_reporter *reporter);
void an_say_totals(const struct an_arguments *args,
		   const struct an_reporter *reporter);

/* A name for a member, that no other one has. */
uint64_t an_random(void);

/* tpi_connect() with a consumer of the arguments. 0 or an exit status. */
int an_open_consumer(struct an_arguments *args, const char *channel,
		     uint64_t merge_ns, struct tapio_consumer **consumer);
/* Whether the broker has gone, and it was not asked to wait for the next one. Says so. */
bool an_broker_gone(struct an_arguments *args, struct tpi_connect *connect,
		    int link);
/* The producer of --partials or --output. 0 or an exit status. */
int an_open_producer(struct an_arguments *args,
		     struct tapio_producer **producer);

#endif
