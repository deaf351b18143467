/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer's counts, summed over its channel's lanes from what lib/lane/ledger.c
 * reads of each. Exact for each lane at one instant, not for all lanes at the same
 * one.
 */
#include <errno.h>

#include "client/producer/producer.h"
#include "lib/lane/ledger.h"

int tapio_producer_stats_read(const struct tapio_producer *handle,
			      struct tapio_producer_stats *stats)
{
	const struct tpi_producer *p = tpi_producer_now(handle);
	struct tapio_producer_stats sum = {.rseq = p->verdict};
	struct tpi_lane_account account;
	uint32_t i;

	if (!tpi_alive(&p->hot))
		return -ECHILD;
	for (i = 0; i < p->emit.lane_count; i++) {
		tpi_lane_account_read(&p->emit.lanes[i], NULL, &account);
		sum.published += account.published;
		sum.dropped += account.dropped_total;
		sum.held += account.held;
	}
	sum.side_lane = tpi_load_relaxed(&p->sides.used);
	return tpi_stats_copy(stats, &sum, sizeof(sum));
}
