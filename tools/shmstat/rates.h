/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates of two looks. Used by `watch` and `serve`, which show nothing that is
 * not in a look or follows from it here.
 *
 * A rate is null where it is not known: in the first look, of a row that is new, of a counter
 * that went back, of a channel that was made anew under its name, and in the first look of
 * another instance. So no reset ever shows as a huge number.
 */
#ifndef STAT_RATES_H
#define STAT_RATES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define RATES_POINTS 240 /* of a history */
#define RATES_KEY    160 /* bytes of a row's name */

struct rates;

/* NULL: memory is out. */
struct rates *rates_new(void);
void rates_free(struct rates *rates);

/*
 * Adds to the look, taken at `at_ns` (CLOCK_MONOTONIC):
 *
 *	interval_s   since the look before, or null
 *	changes      [text]: another instance, a restart, channels that were made anew
 *	totals       published_per_s, delivered_per_s, skipped_per_s, lost_per_s,
 *	             dropped_per_s, lag, used, capacity
 *	channels[]   published, dropped_total, published_per_s, dropped_per_s
 *	lanes[]      fill (0 to 1), published_per_s, dropped_per_s, dropped_by_cause_per_s
 *	groups[]     lag, delivered_per_s, skipped_per_s, lost_per_s, takeovers_per_s
 *	broker       counters_per_s
 *	drops        see drops.h
 *
 * Keeps a reference to the look: it MUST NOT be changed later. 0 or -ENOMEM.
 */
int rates_add(struct rates *rates, json_t *look, int64_t at_ns);

/* The name of a row in histories. Each returns `key`. RATES_TOTAL is that of the totals. */
#define RATES_TOTAL "all"
char *rates_lane_key(const json_t *lane, char key[RATES_KEY]);
char *rates_group_key(const json_t *group, char key[RATES_KEY]);
char *rates_channel_key(const char *channel, char key[RATES_KEY]);

/*
 * The last points of "published", "delivered", "dropped", "lost", "lag" or "fill" of a row,
 * the newest last, at most `most`. NAN: it was not known. Returns how many there are.
 */
size_t rates_history(const struct rates *rates, const char *key,
		     const char *name, double *points, size_t most);

#endif
