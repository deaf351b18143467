/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's counts, summed over its channel's lanes from what lib/lane/ledger.c
 * reads of each. Exact for each lane at one instant, not for all lanes at the same
 * one.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/lane/ledger.h"

/* One lane; the broker may be between two groups in this slot. */
static int add_lane(const struct tapio_consumer *c, const struct tpi_track *t,
		    struct tapio_consumer_stats *sum)
{
	const struct tapio_shm_group *group =
		&c->client.groups[c->client.granted.group_slot];
	struct tpi_ledger ledger;
	int err;

	err = tpi_ledger_read(t->lane, group, t->cursor, &ledger);
	if (err)
		return -ENOTCONN;
	sum->delivered += ledger.delivered;
	sum->skipped += ledger.skipped;
	sum->lost += ledger.lost;
	sum->in_flight += ledger.in_flight;
	sum->lanes += t->leased;
	return 0;
}

int tapio_consumer_stats_read(const struct tapio_consumer *c,
			      struct tapio_consumer_stats *stats)
{
	struct tapio_consumer_stats sum = {
		.sleeps = c->sleeps,
		.wakeups = c->wakeups,
		.lane_count = c->lane_count,
		.late = c->merge.late,
		.relieved = c->relieved,
	};
	uint32_t i;
	int err;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	if (c->ended)
		return -ENOTCONN;
	for (i = 0; i < c->lane_count; i++) {
		err = add_lane(c, &c->tracks[i], &sum);
		if (err)
			return err;
	}
	return tpi_stats_copy(stats, &sum, sizeof(sum));
}
