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
#include <string.h>

#include "tools/inspect/check.h"
#include "tools/inspect/inspect.h"

/* Each returns a new reference, or NULL when memory is out. */
json_t *stat_source(const struct tpi_inspect *inspect);
json_t *stat_liveness(const struct tpi_inspect *inspect);
json_t *stat_summary(const struct tpi_inspect *inspect);
json_t *stat_broker(const struct tpi_inspect *inspect);
json_t *stat_channels(const struct tpi_inspect *inspect);
json_t *stat_segments(const struct tpi_inspect *inspect);
json_t *stat_lanes(const struct tpi_inspect *inspect);
json_t *stat_groups(const struct tpi_inspect *inspect);
json_t *stat_clients(const struct tpi_inspect *inspect);
/* The same without a second look at members that something waits for. */
json_t *stat_clients_quick(const struct tpi_inspect *inspect);
json_t *stat_ledger(const struct tpi_inspect *inspect);
/* NULL: what this version knows of counters, without a value. */
json_t *stat_counters(const struct tpi_inspect *inspect);
json_t *stat_latency(const struct tpi_inspect *inspect);
json_t *stat_layout(const struct tpi_inspect *inspect);

/* {"hellos": ..}: the broker's counters by name, those of a newer one included. */
json_t *stat_counters_of_broker(const struct tpi_inspect *inspect);
/* The keys that name a lane, where several parts have them. */
void stat_lane_add(json_t *object, const struct tpi_inspect *inspect,
		   uint32_t channel, const struct tpi_lane *lane);
/*
 * As tpi_inspect_ledger(), and again while it has faults that may come of a race. Unsettled:
 * its head moved during every look, so that its counts are of different moments, and
 * `delivered` is not known.
 */
int stat_ledger_read(const struct tpi_inspect *inspect, uint32_t channel,
		     uint32_t lane, uint32_t slot, struct tpi_ledger *ledger,
		     bool *unsettled);
/* The histogram of a slot. NULL: not had, or the channel has no stamps. */
const struct tapio_shm_histogram *
stat_histogram(const struct tpi_inspect *inspect, uint32_t channel,
	       uint32_t slot);
/* A group over all its lanes (stat_groups.c). */
struct stat_sums {
	struct tpi_ledger total; /* counts added up. peak: the largest */
	uint32_t leased;
	bool joining;
	bool unsettled; /* of some lane */
	bool had;       /* its cursors can be read */
};
void stat_group_sum(const struct tpi_inspect *inspect, uint32_t channel,
		    uint32_t slot, struct stat_sums *sums);

/* The findings, and what was looked at (stat_check.c). The same as text. */
json_t *stat_check(const struct tpi_inspect *inspect,
		   const struct tpi_check_report *report);
void stat_check_print(const struct tpi_inspect *inspect,
		      const struct tpi_check_report *report,
		      const json_t *checked, size_t width);

/* Memory of now, and of this host, as opposed to a file that was written from it. */
static inline bool stat_is_live(const struct tpi_inspect *inspect)
{
	return strcmp(tpi_inspect_source_name(inspect->source), "file") != 0;
}

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
json_t *value_keeper(uint32_t keeper);
json_t *value_broker_state(uint32_t state);
json_t *value_uptime(const struct tpi_inspect *inspect);
json_t *value_placement(uint32_t placement);
#define STAT_RUNGS 3 /* that are known: TAPIO_RUNG_* */
extern const char *const stat_rungs[STAT_RUNGS];
/* null where it is not known. */
static inline json_t *value_known(bool known, uint64_t n)
{
	return known ? value_count(n) : json_null();
}
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

#endif
