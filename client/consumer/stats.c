/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's counts, summed over its channel's lanes from what lib/lane/ledger.c
 * reads of each. Exact for each lane at one instant, not for all lanes at the same
 * one. After a move (move.c) they are of all memories that the handle has had.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/lane/ledger.h"

/* One lane; the broker may be between two groups in this slot. */
static int add_lane(const struct tpi_consumer *c, const struct tpi_track *t,
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
	/* A lane at rest has none. Another member may be in newer memory than this one. */
	if (!c->client.segments.records ||
	    (!t->shut && !(ledger.faults & TPI_FAULT_HEAD)))
		sum->in_flight += ledger.in_flight;
	sum->lanes += t->leased;
	return 0;
}

int tpi_consumer_count(const struct tpi_consumer *c,
		       struct tapio_consumer_stats *sum)
{
	uint32_t i;
	int err;

	sum->sleeps += c->sleeps;
	sum->wakeups += c->wakeups;
	sum->late += c->merge.late;
	sum->relieved += c->relieved;
	if (c->ended)
		return -ENOTCONN;
	for (i = 0; i < c->lane_count; i++) {
		err = add_lane(c, &c->tracks[i], sum);
		if (err)
			return err;
	}
	return 0;
}

int tapio_consumer_stats_read(const struct tapio_consumer *handle,
			      struct tapio_consumer_stats *stats)
{
	const struct tpi_consumer *c = handle->now;
	struct tapio_consumer_stats sum = handle->gone;
	uint32_t lanes;
	int err;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	err = tpi_consumer_count(c, &sum);
	if (err)
		return err;
	lanes = sum.lanes;
	/* What its group had, if that has ended, is no news of this one. */
	if (c->former)
		tpi_consumer_count(c->former, &sum);
	sum.lanes = lanes;
	sum.lane_count = c->lane_count;
	return tpi_stats_copy(stats, &sum, sizeof(sum));
}
