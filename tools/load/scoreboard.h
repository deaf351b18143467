/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scoreboard: memory that all processes of one run share, so that a process that
 * is killed takes nothing of what it knew with it. It is mapped once, before the
 * first fork, so its pointers mean the same everywhere.
 *
 * Names of events. A producer draws spans of LOAD_SPAN_EVENTS ids from one
 * counter and numbers its events through them: ids rise within a producer, no
 * two events share one, and one bitmap per group holds all that was delivered.
 *
 * A span says, at every instant, which of its ids were tried and which were
 * accepted. The producer stores `intent` before it calls the library and
 * `accepted` after, so when it is killed the ids from accepted up to intent
 * (one event, or one batch) may have been published or not, and no others.
 *
 *	0          accepted        intent          LOAD_SPAN_EVENTS
 *	|-- must arrive --|-- in doubt --|-- must not arrive --|
 */
#ifndef LOAD_SCOREBOARD_H
#define LOAD_SCOREBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/histogram.h"

#define LOAD_SPAN_EVENTS 1024u
#define LOAD_LINE        64

/* One line each: a span is written by one producer at full rate. */
struct load_span {
	uint64_t intent;
	uint64_t accepted;
	uint32_t producer; /* LOAD_PRODUCER() */
	uint32_t reserved[11];
} __attribute__((aligned(LOAD_LINE)));

/*
 * A group's progress on a lane. Only the holder of the lane's lease writes it,
 * so plain stores do. Taking the lease orders them.
 */
struct load_track {
	uint64_t seen;       /* 1 + highest position looked at. 0: none */
	uint64_t released;   /* 1 + highest position released. 0: none */
	uint32_t seen_life;  /* the consumer life that raised `seen` last */
	uint32_t holder;     /* the life that wrote here last */
	uint64_t holder_pos; /* 1 + last position that it was given */
	uint64_t reserved[4];
} __attribute__((aligned(LOAD_LINE)));

/* Counts of a place among the consumers, kept over its incarnations. */
struct load_counts {
	uint64_t events; /* delivered and intact, again or not */
	uint64_t bytes;
	uint64_t corrupt;
	uint64_t duplicated;  /* given again though it was released, or twice */
	uint64_t redelivered; /* given again after a death, not yet judged */
	uint64_t disordered;
	uint64_t foreign; /* not of this run */
	uint64_t gaps;    /* gap records */
	uint64_t gap_positions;
	uint64_t overwritten; /* while it was looked at */
	/* As its records of moves to other instances say. */
	uint64_t moves;
	uint64_t before_join; /* overwritten before it had joined */
	uint64_t unread;      /* left in memory that it gave up */
	uint64_t late;        /* events of memory that it had left */
	uint64_t reserved[2];
} __attribute__((aligned(LOAD_LINE)));

enum load_state {
	LOAD_STARTING, /* forked, or about to be */
	LOAD_RUNNING,  /* attached and at work */
	LOAD_DONE,     /* ended by itself, all well */
	LOAD_FAILED,   /* `why` says what happened */
};

/* A place among the producers or consumers, which one process after the other
 * may fill. */
struct load_place {
	uint32_t state; /* enum load_state */
	uint32_t incarnation;
	int32_t pid;
	uint32_t rseq;    /* producers: TAPIO_RSEQ_* */
	uint64_t refused; /* producers: events for which there was no room */
	uint64_t sent;    /* producers without checks: events accepted */
	uint64_t bytes;   /* producers: of accepted events */
	uint64_t ended_ns;
	uint64_t discarded;
	uint64_t chaff;     /* producers: to be filtered, accepted */
	uint64_t late;      /* consumers: with an earlier stamp than before */
	uint64_t told_late; /* consumers: the same, as the library counts it */
	uint64_t gap_ns
		[2]; /* producers: longest time between accepted events, in
			     * each phase. Only where the broker is killed */
	char why[256];
	struct load_histogram latency; /* consumers: of publish to deliver */
} __attribute__((aligned(LOAD_LINE)));

struct load_shape {
	uint32_t producers; /* places. One more is there for probes */
	uint32_t groups;
	uint32_t members; /* per group */
	uint32_t lanes;
	uint32_t kills_consumers; /* at most so many lives beyond the first */
	uint32_t instances;       /* memories, one after the other. 0: one */
	uint64_t events_max;      /* ids that can be given */
	uint64_t seed;
};

struct load_scoreboard {
	/* Set before the forks. */
	struct load_shape shape;
	size_t bytes; /* of the mapping */
	uint32_t places;
	uint32_t consumers; /* groups * members */
	uint64_t span_count;
	uint64_t bit_words; /* per group */
	struct load_span *spans;
	uint64_t *bits;
	/* [(instance * groups + group) * lanes + lane]: each has its own positions */
	struct load_track *tracks;
	uint64_t *last_ids; /* [track * places + index] */
	struct load_place *producer;
	struct load_place *consumer;
	struct load_counts *counts; /* [consumers] */
	uint32_t *redelivered;      /* [consumer life]: after its death */
	uint8_t *life_killed;       /* [consumer life] */
	uint32_t life_count;
	/* Everybody reads it, the leader writes it a few times. */
	uint32_t go __attribute__((aligned(LOAD_LINE)));
	uint32_t stop;      /* producers: no more events */
	uint32_t finish;    /* consumers: everything has arrived */
	uint32_t exhausted; /* no spans are left: written by a producer */
	uint32_t
		phase; /* 1 from the first kill of the broker or its keeper on */
	uint64_t next_span __attribute__((aligned(LOAD_LINE)));
};

/* A fresh scoreboard in shared anonymous memory. -ENOMEM, -EINVAL. */
int load_board_create(struct load_scoreboard **out,
		      const struct load_shape *shape);
void load_board_destroy(struct load_scoreboard *scoreboard);

/* The span a producer numbers its events through. */
struct load_emitter {
	struct load_scoreboard *scoreboard;
	struct load_span *span;
	uint64_t first; /* id of the span's first event */
	uint32_t used;  /* ids that were accepted */
	uint32_t producer;
};

/*
 * Makes sure that `count` (<= LOAD_SPAN_EVENTS) ids are left in the span, then
 * notes that they are about to be tried. The first of them, or UINT64_MAX when
 * the scoreboard has no more. A span that cannot hold them is left as it is.
 */
uint64_t load_emit_try(struct load_emitter *emitter, uint32_t count);

/* Notes that the first `count` of them were accepted and the rest were not. */
void load_emit_done(struct load_emitter *emitter, uint32_t count);

static inline uint64_t *load_bits(const struct load_scoreboard *scoreboard,
				  uint32_t group)
{
	return scoreboard->bits + group * scoreboard->bit_words;
}

#endif
