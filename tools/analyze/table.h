/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that is known of each key in one span of time. Cells of the same key are merged by
 * adding counts and sums, so the order of merges does not matter.
 *
 * Bounded: a key that finds no room, because there are keys_max of them or because the
 * budget is used up, goes to `other`, with its events, and is counted there. A sketch that
 * finds no memory is marked in the cell, and its result is unknown then.
 */
#ifndef ANALYZE_TABLE_H
#define ANALYZE_TABLE_H

#include "tools/analyze/distinct.h"
#include "tools/analyze/heavy.h"
#include "tools/analyze/spec.h"
#include "tools/analyze/spread.h"

/* an_cell.cut: figures that are not complete, for want of memory */
#define AN_CUT_SPREAD   1u
#define AN_CUT_DISTINCT 2u
#define AN_CUT_TOP      4u

struct an_cell {
	uint64_t count;
	uint64_t valued;   /* of these have a value */
	uint64_t negative; /* of these, less than 0: not in the spread */
	__int128 sum;      /* in thousandths, as the two below */
	__int128 min;
	__int128 max;
	struct an_spread spread; /* of values, in whole units */
	struct an_distinct distinct;
	struct an_heavy top;
	uint32_t cut;
};

struct an_entry {
	uint64_t hash; /* with the seed of the process */
	uint32_t key;  /* where it lies in `keys` */
	uint32_t key_length;
	struct an_cell cell;
};

struct an_table {
	struct an_entry *entries;
	uint32_t *slots; /* entry + 1, or 0 */
	char *keys;
	uint32_t used;
	uint32_t room;
	uint32_t keys_used;
	uint32_t keys_room;
	bool has_other;
	struct an_cell other;
	struct an_distinct other_keys; /* how many keys went there, about */
};

/* Set once, before the first key. */
void an_table_seed(uint64_t seed);

/* The hash of a value of a top, in this process. */
uint64_t an_top_hash(const void *bytes, uint32_t length);

/* Adds a sample. Never fails: see above. */
void an_table_add(struct an_table *t, const struct an_spec *spec,
		  struct an_budget *budget, const struct an_sample *sample);

/* The cell of a key, made if need be. NULL: there is no room. */
struct an_cell *an_table_cell(struct an_table *t, const struct an_spec *spec,
			      struct an_budget *budget, const char *key,
			      uint32_t length);
/* The same, of keys without room, of which this is one. */
struct an_cell *an_table_other(struct an_table *t, struct an_budget *budget,
			       const char *key, uint32_t length);

const char *an_table_key(const struct an_table *t,
			 const struct an_entry *entry);

void an_cell_merge(struct an_cell *to, const struct an_spec *spec,
		   struct an_budget *budget, const struct an_cell *from);
void an_cell_free(struct an_cell *cell, struct an_budget *budget);

void an_table_merge(struct an_table *to, const struct an_spec *spec,
		    struct an_budget *budget, const struct an_table *from);
void an_table_free(struct an_table *t, struct an_budget *budget);

/* Events in all cells. */
uint64_t an_table_events(const struct an_table *t);

#endif
