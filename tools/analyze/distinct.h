/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many distinct values there were: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier:
 * HyperLogLog, the analysis of a near-optimal cardinality estimation algorithm, 2007),
 * with 64-bit hashes, and the estimator of Ertl (New cardinality estimation algorithms
 * for HyperLogLog sketches, 2017), which needs no table and no correction.
 *
 * m = 2^precision registers. The standard error is 1.04 / sqrt(m): 1.6 % with 12. Few
 * values are kept as a sorted list of their registers, and the result is the same.
 *
 * Merging takes the larger of each pair of registers. So a merge of parts equals one
 * sketch of all, bit by bit, in any order and however often a value comes.
 */
#ifndef ANALYZE_DISTINCT_H
#define ANALYZE_DISTINCT_H

#include "tools/analyze/budget.h"

#define AN_PRECISION_MIN     4u
#define AN_PRECISION_MAX     16u
#define AN_PRECISION_DEFAULT 12u
/* The longest list before it becomes registers. */
#define AN_DISTINCT_LISTED 128u

/* All zero: empty. */
struct an_distinct {
	uint8_t *registers; /* 2^precision, or NULL */
	uint32_t *list;     /* register << 8 | rank, sorted */
	uint16_t listed;
	uint16_t room;
	uint8_t precision; /* 0: none yet */
};

/* Adds a value by its hash. False: no memory, and the sketch is as it was. */
bool an_distinct_add(struct an_distinct *d, struct an_budget *budget,
		     uint8_t precision, uint64_t hash);

/* The same for a register, as merges and decoders do. It MUST exist. */
bool an_distinct_raise(struct an_distinct *d, struct an_budget *budget,
		       uint8_t precision, uint32_t index, uint8_t rank);

/* Adds all of `from`. False: no memory, and `to` may have some of it. */
bool an_distinct_merge(struct an_distinct *to, struct an_budget *budget,
		       const struct an_distinct *from);

/* A register's rank, 0: untouched. */
uint8_t an_distinct_rank(const struct an_distinct *d, uint32_t index);

double an_distinct_estimate(const struct an_distinct *d);

void an_distinct_free(struct an_distinct *d, struct an_budget *budget);

#endif
