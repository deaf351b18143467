/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of tapio-correlate: events in, findings out.
 *
 *	caller                        engine
 *	tpi_corr_event(...)   --->   late? seen before? which steps may match?
 *	                             no step: done, nothing is copied
 *	                             a step: a copy waits
 *	tpi_corr_time(w)      --->   what waits with time <= w is taken in the order
 *	                             (time, channel, instance, lane, position), between
 *	                             it the deadlines that have come: on_finding(...)
 *
 * So findings depend on the events alone: not on the order in which lanes are read, not on
 * the wall clock, and not on where a checkpoint fell. docs/guide/correlation.md has the exact
 * meaning of each operator.
 *
 * Threads: one at a time uses an engine. Nothing here blocks, prints or reads a clock.
 * Memory: bounded by the limits. Events that match no step allocate nothing.
 */
#ifndef TPI_CORRELATE_ENGINE_H
#define TPI_CORRELATE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

#include "tools/correlate/rules.h"

struct tpi_corr; /* an engine */

/* ---- places ----------------------------------------------------------------------- */

/*
 * Where events come from: one memory (instance) of one channel. `instance` tells memories of
 * the same channel apart; any text that is the same after a restart of the reader.
 */
struct tpi_corr_source {
	const char *channel;
	const char *instance;
};

/* Sources that an engine can know in all its life. */
#define TPI_CORR_SOURCES_MAX 1024
/* Lanes of a source have numbers below this. */
#define TPI_CORR_LANES_MAX 65536

struct tpi_corr_place {
	uint64_t position;
	uint32_t lane;
	uint16_t source; /* as tpi_corr_source() numbers them */
};

/* ---- findings --------------------------------------------------------------------- */

#define TPI_CORR_TRUE 1
#define TPI_CORR_UNKNOWN \
	2 /* events were lost in its window: it may not be so */

struct tpi_corr_evidence {
	struct tpi_corr_place place;
	uint64_t time_ns;
	const char *step;
	const void *data; /* a copy of the event. NULL: none was kept */
	uint32_t length;
};

/* All pointers are valid during the call. */
struct tpi_corr_finding {
	uint64_t id
		[2]; /* from the rule's name and the places: the same in each replay */
	const char *rule;
	unsigned int rule_index;
	const char *say; /* "": the rule says nothing */
	const char *key; /* as text: "pid=12 comm=\"x\"". "": no key */
	uint64_t
		time_ns; /* when it became so: last event, or the deadline of `absent` */
	uint64_t first_ns; /* of the first event of its evidence */
	uint64_t last_ns;  /* of the last one */
	uint64_t count;    /* events, or distinct values, in its window */
	uint8_t severity;  /* TAPIO_SEVERITY_* */
	uint8_t verdict;   /* TPI_CORR_TRUE, TPI_CORR_UNKNOWN */
	uint32_t evidence_count;
	const struct tpi_corr_evidence *evidence; /* oldest first */
};

typedef void tpi_corr_finding_fn(void *arg,
				 const struct tpi_corr_finding *finding);

/* ---- explanations ----------------------------------------------------------------- */

enum tpi_corr_end {
	TPI_CORR_END_WAITING = 1, /* it is still under way */
	TPI_CORR_END_FIRED,
	TPI_CORR_END_UNKNOWN,    /* it was complete, but events were lost */
	TPI_CORR_END_SUPPRESSED, /* it was complete during the cool-down */
	TPI_CORR_END_EXPIRED,    /* the window is over */
	TPI_CORR_END_EVICTED,    /* there was no room for the key */
};

/* How far one key of one rule got. */
struct tpi_corr_why {
	const char *rule;
	unsigned int rule_index;
	const char *key;
	enum tpi_corr_end end;
	uint32_t steps;    /* reached: bit i is tpi_rule_info.steps[i] */
	uint64_t have;     /* steps, events or distinct values */
	uint64_t need;     /* the number at which it fires */
	uint64_t first_ns; /* of the events that it holds */
	uint64_t last_ns;
	uint64_t time_ns; /* of the end */
};

typedef void tpi_corr_why_fn(void *arg, const struct tpi_corr_why *why);

/* ---- the engine ------------------------------------------------------------------- */

/* 0 in a limit: the default, in brackets. */
struct tpi_corr_limits {
	uint32_t keys_per_rule;  /* live ones [65536] */
	uint32_t events_per_key; /* of a sequence [64], at most 1024 */
	uint64_t bytes;          /* of all state [256 MiB] */
	uint32_t pods;           /* known [8192] */
};

struct tpi_corr_options {
	struct tpi_corr_limits limits;
	tpi_corr_finding_fn *on_finding;
	tpi_corr_why_fn
		*on_why; /* each time that a key ends. NULL: not wanted */
	void *arg;       /* of both */
};

/*
 * Makes an engine, which takes the rules over (also when it fails). on_finding is called from
 * tpi_corr_time() only, on_why also from tpi_corr_event(), which may need room, and from
 * tpi_corr_explain(). Neither MAY call the engine. -ENOMEM.
 */
int tpi_corr_new(struct tpi_corr **corr, struct tpi_rules *rules,
		 const struct tpi_corr_options *options);
void tpi_corr_free(struct tpi_corr *corr);

const struct tpi_rules *tpi_corr_rules(const struct tpi_corr *corr);

/*
 * The number of a source, a new one if need be. The strings are copied. -ENOSPC: there are
 * TPI_CORR_SOURCES_MAX. -ENOMEM.
 */
int tpi_corr_source(struct tpi_corr *corr,
		    const struct tpi_corr_source *source);
/* The names of a number. False: there is none. */
bool tpi_corr_source_get(const struct tpi_corr *corr, uint16_t number,
			 struct tpi_corr_source *source);

struct tpi_corr_event {
	const void *
		data; /* of a struct tapio_event. Read in place: it may change meanwhile */
	uint32_t length;
	uint16_t
		type; /* of its descriptor: another type in the event makes it malformed */
	uint64_t time_ns; /* by which the stream is ordered */
	struct tpi_corr_place place;
};

/*
 * Takes one event. The events of a lane MUST come by ascending positions. One whose
 * position was there before is passed over (`again`), so that a consumer may hand in again
 * what came after its last checkpoint. 1: it may matter, and was copied. 0: it does not.
 * -ENOMEM: there was no room for the copy. It counts as refused, and as a gap at its time.
 */
int tpi_corr_event(struct tpi_corr *corr, const struct tpi_corr_event *event);

/*
 * All events with a time up to and including this one were handed in. Those that come later
 * nevertheless are late. A time before that of the last call does nothing.
 */
void tpi_corr_time(struct tpi_corr *corr, uint64_t watermark_ns);
uint64_t tpi_corr_watermark(const struct tpi_corr *corr);

/*
 * `lost` events of a lane are missing, from from_ns to to_ns (inclusive). to_ns UINT64_MAX: not
 * known; it ends with the next event of the lane, or a minute behind the latest event of all.
 * MUST come before the watermark passes from_ns, which is the best value when it is not known:
 * tpi_corr_watermark(). `absent` and `sequence` whose window touches the gap give TPI_CORR_UNKNOWN.
 */
void tpi_corr_gap(struct tpi_corr *corr, uint16_t source, uint32_t lane,
		  uint64_t lost, uint64_t from_ns, uint64_t to_ns);

/*
 * Other rules, which it takes over (also when it fails). Rules whose digest is the same keep
 * their state and their counters. -ENOMEM: the old rules stay.
 */
int tpi_corr_swap_rules(struct tpi_corr *corr, struct tpi_rules *rules);

/* Calls on_why for each key that is under way, as TPI_CORR_END_WAITING. */
void tpi_corr_explain(struct tpi_corr *corr);

/* ---- checkpoints ------------------------------------------------------------------ */

/*
 * All state in one block, which the caller frees with free(): versioned, with a checksum.
 * An engine that loads it goes on as this one would. -ENOMEM.
 */
int tpi_corr_save(const struct tpi_corr *corr, void **data, size_t *length);

/*
 * Loads what was saved, into an engine that has had no event. All that it knew is replaced,
 * also the numbers of sources: ask for them again. Rules are matched by digest:
 * state of others is passed over. Whatever the bytes are, the engine stays usable: after an
 * error it is as new.
 *
 *   errno            | cause
 *   -EBADMSG         | damaged: length, checksum, or a value that cannot be
 *   -EPROTONOSUPPORT | of another version
 *   -ENOMEM          | no memory, or more than the limits allow
 */
int tpi_corr_load(struct tpi_corr *corr, const void *data, size_t length);

/* The position behind the last event of a lane that was handed in. 0: none was. */
uint64_t tpi_corr_next_position(const struct tpi_corr *corr, uint16_t source,
				uint32_t lane);

/* ---- numbers ---------------------------------------------------------------------- */

struct tpi_corr_stats {
	uint64_t events;     /* handed in */
	uint64_t candidates; /* copied: a step may match them */
	uint64_t late;       /* at or behind the watermark */
	uint64_t again;      /* seen before */
	uint64_t malformed;  /* not a typed event */
	uint64_t refused;    /* no room for a copy */
	uint64_t gaps;
	uint64_t lost;    /* by those */
	uint64_t waiting; /* copies, for the watermark */
	uint64_t keys;
	uint64_t key_bytes; /* of the keys' state, without copies of events */
	uint64_t bytes;     /* of all state */
	uint64_t pods;
	uint64_t watermark_ns;
};

struct tpi_corr_rule_stats {
	const char *rule;
	uint64_t matched;                    /* events that match a step */
	uint64_t steps[TPI_RULES_STEPS_MAX]; /* the same by step */
	uint64_t keyless;    /* of those: without a field of `by` */
	uint64_t findings;   /* with TPI_CORR_TRUE */
	uint64_t unknown;    /* with TPI_CORR_UNKNOWN */
	uint64_t suppressed; /* by the cool-down */
	uint64_t keys;       /* live ones */
	uint64_t expired;    /* keys that ended without a finding */
	uint64_t evicted;    /* keys that had to make room */
	uint64_t forgotten;  /* events that had to, in a sequence of one key */
	uint64_t exhausted;  /* searches for a sequence that were given up */
	uint64_t late;       /* events that a step may match */
	uint64_t regex_errors; /* expressions that took too long: no match */
};

void tpi_corr_stats(const struct tpi_corr *corr, struct tpi_corr_stats *stats);
/* False: there is no such rule. */
bool tpi_corr_rule_stats(const struct tpi_corr *corr, unsigned int rule,
			 struct tpi_corr_rule_stats *stats);

#endif
