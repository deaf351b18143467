/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of check.h. check.c says what the proofs mean. */
#ifndef TPI_CHECK_INNER_H
#define TPI_CHECK_INNER_H

#include "lib/base/atomic.h"
#include "tools/inspect/check.h"

enum tpi_proof {
	TPI_SURE,   /* one look shows it */
	TPI_LASTS,  /* four looks do that find the same words */
	TPI_LEFT,   /* it may be left by a process in the middle */
	TPI_UNREAD, /* the words would not stand still, or are not had */
};

/* Of the look before. */
struct tpi_lane_before {
	bool seen;
	uint64_t tail;
	uint64_t gate;
	uint64_t dropped[TAPIO_DROP_CAUSES];
};
struct tpi_head_before {
	uint64_t slot; /* 0: not seen */
	uint64_t head;
	uint32_t epoch;
};
struct tpi_channel_before {
	uint64_t generation;
	struct tpi_lane_before *lanes;
	struct tpi_head_before *heads; /* [slot * lanes + lane] */
};

struct tpi_checker {
	const struct tpi_inspect *inspect;
	const struct tpi_check_options *options;
	struct tpi_check_report *report;
	uint32_t look; /* number of it, from 1 */
	int64_t now;
	bool broker_runs;
	bool pids_known; /* the catalog's pids are those that we see */
	struct tpi_channel_before *before;
	uint64_t counters[TAPIO_BROKER_COUNTER_COUNT];
	uint64_t calibrations;
	/* For one ring of any size. */
	uint64_t *descs;
	uint16_t *times; /* by block: how often it is in the ring */
};

/* A rule was looked at, and does not hold. `numbers` end with a NULL name. */
void tpi_check_fail(struct tpi_checker *c, enum tpi_proof proof,
		    enum tpi_rule rule, const struct tpi_where *where,
		    uint64_t words, const struct tpi_number *numbers,
		    const char *why);

#define TPI_COUNTED(...) ((const struct tpi_number[]){__VA_ARGS__, {0}})

/* One rule: it holds if `ok`. The numbers are its evidence. */
#define tpi_check_that(c, ok, proof, rule, where, words, ...)                  \
	do {                                                                   \
		(c)->report->checks++;                                         \
		if (tpi_unlikely(!(ok)))                                       \
			tpi_check_fail((c), (proof), (rule), (where), (words), \
				       TPI_COUNTED(__VA_ARGS__), NULL);        \
	} while (0)

static inline uint64_t tpi_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);

	return (((a * odd + b) * odd ^ a >> 29) + c) * odd + (d ^ d >> 31) * 7;
}

/* The attachment of that id, by its record now. */
struct tpi_named {
	bool live; /* ALIVE, or DEAD and being swept */
	uint32_t role;
	uint32_t channel;
	uint32_t slot;
};
struct tpi_named tpi_check_named(const struct tpi_checker *c, uint32_t id);

/* Whether a word of a channel that only producers write may bear that id. */
bool tpi_check_produces(const struct tpi_checker *c, uint32_t channel,
			uint32_t id);

/* The parts, each one look. */
void tpi_check_catalog(struct tpi_checker *c);
void tpi_check_places(struct tpi_checker *c, uint32_t channel);
void tpi_check_segments(struct tpi_checker *c);
void tpi_check_broker(struct tpi_checker *c);
void tpi_check_clients(struct tpi_checker *c);
void tpi_check_lane(struct tpi_checker *c, uint32_t channel, uint32_t lane);
void tpi_check_ring(struct tpi_checker *c, uint32_t channel, uint32_t lane);
void tpi_check_group_slot(struct tpi_checker *c, uint32_t channel,
			  uint32_t slot);
void tpi_check_cursor(struct tpi_checker *c, uint32_t channel, uint32_t slot,
		      uint32_t lane);

#endif
