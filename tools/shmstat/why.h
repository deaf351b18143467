/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding causes in one look or in two: the finders behind `why`, `healthy` and `check`.
 * Each reads the JSON of parts_collect() alone, and adds what it finds.
 *
 * One look tells all faults. Rates take two, and so does a thing that stands still.
 */
#ifndef STAT_WHY_H
#define STAT_WHY_H

#include <stdbool.h>
#include <sys/types.h>

#include "tools/shmstat/causes.h"
#include "tools/shmstat/command.h"

/* The parts that the finders read. */
#define WHY_PARTS                                                   \
	(PART_BROKER | PART_CHANNELS | PART_SEGMENTS | PART_LANES | \
	 PART_GROUPS | PART_CLIENTS | PART_LEDGER)

struct why {
	const json_t *before; /* NULL: there is one look */
	const json_t *after;
	double seconds; /* between the two */
	/* Only what concerns these: --channel, --client, --group. NULL: all. */
	const struct stat_filter *filter;
	const char *group;
	const struct tpi_inspect *inspect; /* NULL: nothing was asked about */
	json_t *found; /* of {cause, severity, sentence, remedy, numbers} */
};

/* All causes, the most likely first: an array. NULL: out of memory. */
json_t *why_find(struct why *why);

/*
 * The faults that one look shows, whatever parts it has. `healthy` means that there is none. Parts that the
 * look lacks are collected. NULL: out of memory.
 */
json_t *why_faults(const struct tpi_inspect *inspect, const json_t *look);

/* Sentences as text, numbered. */
void why_print(const json_t *found, size_t width);

/* ---- finders ----------------------------------------------------------------- */

void why_broker(struct why *why);
void why_channels(struct why *why);
void why_lanes(struct why *why);
void why_groups(struct why *why);
void why_clients(struct why *why);
/* Names that were asked about, and are not there (command_why.c). */
void why_named(struct why *why, const struct tpi_inspect *inspect);

/* Takes the numbers. */
void why_add(struct why *why, enum cause cause, json_t *numbers);
/* The same, with the other remedy. */
void why_add_other(struct why *why, enum cause cause, json_t *numbers);

/*
 * Says on stderr which of the channels that were asked about could not be read. STAT_EXIT_PERMISSION
 * where there is no right to one, or 0.
 */
int why_not_read(const struct why *why);

/* Whether the row is of the channel, the group and the client that was asked about. */
bool why_concerns(const struct why *why, const json_t *row);

/* ---- rows -------------------------------------------------------------------- */

json_int_t row_count(const json_t *row, const char *key);
/* "" where there is no string. */
const char *row_text(const json_t *row, const char *key);
bool row_is(const json_t *row, const char *key, const char *text);
bool row_same(const json_t *a, const json_t *b, const char *key);
/* Of a part of a look. NULL: none. */
const json_t *look_rows(const json_t *look, const char *part);
/* The row of the look before that has the same values there, up to a NULL. */
const json_t *row_before(const struct why *why, const char *part,
			 const json_t *row, const char *const *keys);
/* By how much a count has grown. -1: there is one look, or the row was not there. */
json_int_t row_grown(const json_t *row, const json_t *before, const char *key);
/* A count, or null where it is negative. */
json_t *count_or_null(json_int_t n);
/* Per second of the two looks. */
double per_second(const struct why *why, json_int_t n);

/* In words: why producers need side lanes. A new string. */
json_t *why_side_reason(const struct why *why, const char *verdict);

/* In words: which members a group has, and what they do. A new string. */
json_t *why_members(const struct why *why, const json_t *group);

#endif
