/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat inside: each stat_*() takes one look at a part of a broker's
 * memory and returns it as a JSON value. The text form is printed from the same
 * value (table.c), so the two cannot disagree.
 *
 * A copy from shared memory may hold anything: strings are made printable,
 * numbers are shown as they are.
 */
#ifndef STAT_H
#define STAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/inspect/inspect.h"

/* Each returns a new reference, or NULL when memory is out. */
json_t *stat_source(const struct tpi_inspect *inspect);
json_t *stat_broker(const struct tpi_inspect *inspect);
json_t *stat_channels(const struct tpi_inspect *inspect);
json_t *stat_segments(const struct tpi_inspect *inspect);
json_t *stat_lanes(const struct tpi_inspect *inspect);
json_t *stat_groups(const struct tpi_inspect *inspect);
json_t *stat_clients(const struct tpi_inspect *inspect);
json_t *stat_ledger(const struct tpi_inspect *inspect);

/* ---- values (value.c) ----------------------------------------------------- */

/* Unsigned, at most INT64_MAX (JSON libraries have signed integers). */
json_t *value_count(uint64_t n);
/* A fixed-size field up to its NUL, with what is not printable replaced. */
json_t *value_text(const char *field, size_t bytes);
/* The word for a number: words[n], or the number itself as a string. */
json_t *value_word(const char *const *words, size_t count, uint32_t n);
/* An array of the words for the bits that are set. */
json_t *value_bits(const char *const *words, size_t count, uint32_t bits);
/* null for 0, else the name of the error, as "ENOMEM". */
json_t *value_errno(int32_t err);
/* {"full": ..} by cause of a refusal. */
json_t *value_dropped(const uint64_t dropped[TAPIO_DROP_CAUSES]);
/* ["gate", ..] of TPI_FAULT_* bits. */
json_t *value_faults(uint32_t faults);
/*
 * {"count", "p50", "p90", "p99", "p99.9", "mean", "max"}, times in nanoseconds.
 * null without a histogram, or time stamps.
 */
json_t *value_latency(const struct tapio_shm_histogram *shared);
json_t *value_rseq(uint32_t verdict);
/* The name of a channel or a class, by index. "?" when it cannot be had. */
json_t *value_channel(const struct tpi_inspect *inspect, uint32_t channel);
json_t *value_class(const struct tpi_inspect_channel *channel, uint32_t klass);

/* ---- members of groups (stat_members.c) ------------------------------------ */

struct stat_member {
	uint32_t lanes;
	uint64_t in_hand; /* events handed out and not released */
	uint64_t unread;
	uint64_t untaken; /* events on lanes that no member of the group has */
	uint64_t takeover_ns;
	uint64_t signs; /* of life, in one number */
	bool judged;    /* there was something to poll for */
	bool polls;
};

/* One look. False: it is no consumer, or its cursors cannot be read. */
bool stat_member_look(const struct tpi_inspect *inspect,
		      const struct tapio_shm_attachment *attachment,
		      struct stat_member *member);
/* Whether they poll. Waits for a moment if some should. */
void stat_members_settle(const struct tpi_inspect *inspect,
			 const struct tapio_shm_attachment *attachments,
			 struct stat_member *members, size_t count);
void stat_member_add(json_t *object, bool consumes,
		     const struct stat_member *member);

/* ---- processes (process.c) ------------------------------------------------ */

/*
 * The state of a process: "running", "stopped", "gone" (or another process has
 * its number), "unknown" (pid 0: not visible from the broker).
 */
const char *process_state(uint64_t pid, uint64_t start_time_ticks);

/* ---- text (table.c) -------------------------------------------------------- */

struct column {
	const char *key;
	const char *title; /* NULL ends the list */
	enum {
		COLUMN_PLAIN,
		COLUMN_BYTES,
		COLUMN_SECONDS
	} format;
};

/* Prints an array of objects, a line each, columns as wide as they must be. */
void table_print(const json_t *rows, const struct column *columns);
/* Prints one object, a line for each key. */
void table_print_object(const json_t *object, const struct column *columns);

#endif
