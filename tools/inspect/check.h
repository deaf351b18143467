/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking every invariant of a broker's memory, while it is in use. Callers:
 * tapio-shmstat, tapio-load, tests. It reads, and does nothing else: no lock, no write,
 * no signal, no ptrace.
 *
 * A finding names the rule that is broken, the place, and the numbers that were read.
 *
 *	broken      no honest process leaves this, running, stopped, or killed at any
 *	            instruction
 *	suspicious  only a process that was stopped or killed in the middle, or a broker
 *	            that does not run, leaves this for so long
 *	unsettled   it changed at every look, or could not be read: nothing is known
 *
 * check.c has the argument why a system that works is never called broken.
 */
#ifndef TPI_CHECK_H
#define TPI_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/inspect/inspect.h"

enum tpi_rule {
	TPI_RULE_CATALOG_HEADER,
	TPI_RULE_CATALOG_REGIONS,
	TPI_RULE_CHANNEL_RECORD,
	TPI_RULE_CHANNEL_PLACES,
	TPI_RULE_CHANNEL_GENERATION,
	TPI_RULE_SEGMENT_RECORD,
	TPI_RULE_SEGMENT_FILE,
	TPI_RULE_SEGMENT_MISSING,
	TPI_RULE_BROKER_RECORD,
	TPI_RULE_BROKER_COUNTERS,
	TPI_RULE_BROKER_CLOCK,
	TPI_RULE_BROKER_GONE,
	TPI_RULE_CLIENT_RECORD,
	TPI_RULE_CLIENT_GONE,
	TPI_RULE_LANE_HELD,
	TPI_RULE_LANE_TAIL,
	TPI_RULE_LANE_GATE,
	TPI_RULE_LANE_REAP,
	TPI_RULE_LANE_OWNER,
	TPI_RULE_LANE_DROPPED,
	TPI_RULE_RING_BLOCK,
	TPI_RULE_RING_TWICE,
	TPI_RULE_RING_PLACE,
	TPI_RULE_RING_HOLDER,
	TPI_RULE_RING_STEADY,
	TPI_RULE_SLOT_WORD,
	TPI_RULE_SLOT_RECORD,
	TPI_RULE_SLOT_ACTIVE,
	TPI_RULE_SLOT_ADMITTED,
	TPI_RULE_SLOT_POLICY,
	TPI_RULE_SLOT_MEMBERS,
	TPI_RULE_SLOT_EPOCH,
	TPI_RULE_SLOT_BELL,
	TPI_RULE_SLOT_MISSING,
	TPI_RULE_CURSOR_GATE,
	TPI_RULE_CURSOR_HEAD,
	TPI_RULE_CURSOR_START,
	TPI_RULE_CURSOR_TALLY,
	TPI_RULE_CURSOR_INCARNATION,
	TPI_RULE_CURSOR_BACK,
	TPI_RULE_CURSOR_FOUND,
	TPI_RULE_CURSOR_LEASE,
	TPI_RULE_CURSOR_HOLDER,
	TPI_RULE_CURSOR_CELL,
	TPI_RULE_CURSOR_STEADY,
	TPI_RULE_HISTOGRAM,
	TPI_RULES
};

/* "lane.held", what it says in a sentence, and the page that says why. */
const char *tpi_rule_name(enum tpi_rule rule);
const char *tpi_rule_text(enum tpi_rule rule);
const char *tpi_rule_page(enum tpi_rule rule);

enum tpi_severity {
	TPI_BROKEN,
	TPI_SUSPICIOUS,
	TPI_UNSETTLED,
	TPI_SEVERITIES
};
const char *tpi_severity_name(enum tpi_severity severity);

#define TPI_NONE UINT32_MAX

/* Indices in the catalog, or TPI_NONE. */
struct tpi_where {
	uint32_t segment;
	uint32_t channel;
	uint32_t lane;
	uint32_t slot;
	uint32_t attachment; /* an id */
};
#define TPI_NOWHERE \
	((struct tpi_where){TPI_NONE, TPI_NONE, TPI_NONE, TPI_NONE, TPI_NONE})

struct tpi_number {
	const char *name; /* NULL ends a list */
	uint64_t value;
};
#define TPI_NUMBERS_MAX 6

struct tpi_finding {
	enum tpi_rule rule;
	enum tpi_severity severity;
	struct tpi_where where;
	struct tpi_number numbers[TPI_NUMBERS_MAX + 1];
	uint64_t more; /* others of this rule at this place */
	char why[192]; /* in words, or empty */
	/* check.c: how long it has been so. */
	bool final;
	int proof;
	uint32_t look;  /* the last one that saw it */
	uint32_t row;   /* looks in a row that saw it */
	uint32_t same;  /* looks in a row that saw the same words */
	uint64_t words; /* their digest */
	int64_t since;  /* it is there */
	int64_t stood;  /* its words are the same */
};

struct tpi_check_options {
	/* How long the state of a running broker may last that it only passes through. */
	int64_t patience_ns;
	int64_t gap_ns; /* between the first looks */
	bool processes; /* also look for them in /proc */
	/* Called between two looks. NULL: not. It is for tests. */
	void (*between)(void *arg);
	void *arg;
};
#define TPI_CHECK_PATIENCE_NS INT64_C(3000000000)
#define TPI_CHECK_GAP_NS      INT64_C(2000000)

struct tpi_check_report {
	struct tpi_finding *findings;
	uint32_t count;
	uint32_t left_out; /* more than this list has room for */
	uint32_t of[TPI_SEVERITIES];
	bool corrupt; /* some of the memory cannot be followed */
	bool stale;   /* a slot's memory was replaced since it was mapped */
	/* One look had so many of these. */
	uint32_t looks;
	uint64_t checks;
	uint32_t channels;
	uint32_t lanes;
	uint32_t groups;
	uint32_t attachments;
	uint32_t segments;
};

/* Takes as many looks as it needs. 0, or -ENOMEM. */
int tpi_check(const struct tpi_inspect *inspect,
	      const struct tpi_check_options *options,
	      struct tpi_check_report *report);
void tpi_check_free(struct tpi_check_report *report);

/* "lane.held broken: channel events, lane 3: held 9, blocks 8 (..)". */
void tpi_finding_print(const struct tpi_inspect *inspect,
		       const struct tpi_finding *finding, char *text,
		       size_t bytes);

#endif
