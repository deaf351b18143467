/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The causes that `tapio-shmstat why` knows: one table with the name of each, how bad it is,
 * how it is seen, the sentence and the remedy. `healthy`, `check`, the text, the JSON and the
 * man page all have them from here (tests/cli/shmstat-page compares the page).
 *
 * A sentence is filled from the numbers of a finding: {key} is the value, {key noun} the value
 * with "noun" or "nouns" behind it, {key noun was|were} with the verb, too, {key ns} a time, {key B} a size. Text in [ ] is left
 * out when a value in it is null.
 */
#ifndef STAT_CAUSES_H
#define STAT_CAUSES_H

#include <jansson.h>

enum severity {
	SEVERITY_FAULT,   /* not healthy */
	SEVERITY_WARNING, /* events were lost or refused, or may soon be */
	SEVERITY_NOTE,    /* works as configured, and may be the answer */
	SEVERITIES
};

/* In the order in which they are the answer, within a severity. */
enum cause {
	CAUSE_ORPHANED,
	CAUSE_FORMER,
	CAUSE_BROKER_AWAY,
	CAUSE_BROKER_STOPPED,
	CAUSE_UNREADABLE,
	CAUSE_RULES_BROKEN,
	CAUSE_IMPOSSIBLE,
	CAUSE_QUARANTINED,
	CAUSE_EVICTED,
	CAUSE_STARVES,
	CAUSE_AT_LAG,
	CAUSE_SIDE_EXHAUSTED,
	CAUSE_CLIENT_DEAD,
	CAUSE_CLOCK_OFF,
	CAUSE_MISPLACED,
	CAUSE_NO_RIGHT,
	CAUSE_NO_CHANNEL,
	CAUSE_NO_GROUP,
	CAUSE_NO_CLIENT,
	CAUSE_ELSEWHERE,
	CAUSE_BROKER_SILENT,
	CAUSE_DRAINING,
	CAUSE_CLIENT_STOPPED,
	CAUSE_CLIENT_SLEEPS,
	CAUSE_UNTAKEN,
	CAUSE_HOLDS,
	CAUSE_NO_MEMBER,
	CAUSE_JOINING,
	CAUSE_REFUSED_SIZE,
	CAUSE_REFUSED_FULL,
	CAUSE_REFUSED_HELD,
	CAUSE_REFUSED_SIDE,
	CAUSE_REQUESTS,
	CAUSE_BEHIND,
	CAUSE_LOST,
	CAUSE_NO_STAMPS,
	CAUSE_FILTERED,
	CAUSE_NO_PRODUCER,
	CAUSE_NO_EVENTS,
	CAUSE_FILTER,
	CAUSE_LAPPED,
	CAUSE_SIDE_LANES,
	CAUSE_UNBOUND,
	CAUSE_SMALL_PAGES,
	CAUSE_CLOCK_SET,
	CAUSE_RELOAD_REFUSED,
	CAUSE_REFUSED_REQUESTS,
	CAUSES
};

struct stat_cause {
	const char *id;
	enum severity severity;
	const char *seen;     /* how, as a sentence without a full stop */
	const char *sentence; /* both are filled */
	const char *remedy;
	/* In another case, which its finder knows: filled, too. NULL: there is none. */
	const char *other_remedy;
};

extern const struct stat_cause stat_causes[CAUSES];

const char *severity_name(enum severity severity);

/* A new string. NULL: out of memory. */
char *cause_fill(const char *text, const json_t *numbers);
/* The same for text that is pasted: names are quoted where a shell would not take them. */
char *cause_fill_remedy(const char *text, const json_t *numbers);

#endif
