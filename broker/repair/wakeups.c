/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker as a waker (lib/lane/wake.h): it rings for the dead, for those who
 * left, and for what a sweep has published. Called on the broker's thread.
 *
 *	what has happened                    rung
 *	a member died, left, was evicted     its group: bell and room
 *	a durable group was removed          that group's room
 *	a producer died                      each group that has announced itself
 *	a sweep put blocks back              the same, and the rooms of all groups
 *	an observer died or left             none
 *	a producer left                      none: it was in no call
 *	one that rings once has come         all bells, before it is let in
 *	the broker stops                     all
 *
 * SIGKILL between the event and the ring: the next broker sweeps and rings, and
 * every sleep is bounded.
 */
#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/lane/wake.h"

/* Wakes the members of one group, and the producers that wait for it. */
void tpi_group_wake(struct tpi_host *host, uint32_t slot)
{
	tpi_wake_all(&host->lanes.doorbells->slots[slot].doorbell);
	tpi_wake_all(&host->cursors[slot].control->room);
}

/* True: `word` was ahead of `limit`, or further behind than hours of rings take it, which it
 * never is unless somebody lies. It is `behind` now. */
static bool pull_back(uint32_t *word, const uint32_t *limit, uint32_t behind)
{
	/* Acquire: it is loaded before its limit, which only grows. */
	uint32_t value = tpi_load_acquire(word);
	uint32_t most = tpi_load_relaxed(limit);

	if (most - value <= INT32_MAX / 2)
		return false;
	tpi_store_relaxed(word, most - behind);
	return true;
}

/*
 * A producer stores in `answered` what it has loaded from `armed`, and in `woken` a number
 * that it has given the bell, so neither is ever ahead. If one is, a producer lies, or has
 * read the memory of the slot's last group at the moment at which it was replaced. Then no
 * announcement would be news.
 */
void tpi_group_mend_bell(struct tpi_host *host, uint32_t slot)
{
	struct tapio_shm_doorbells *doorbells = host->lanes.doorbells;
	struct tapio_shm_doorbell *bell = &doorbells->slots[slot];
	bool lied = pull_back(&doorbells->answered[slot],
			      &host->cursors[slot].control->armed, 0);

	if (host->rounds)
		/* The last rings may not be complete. */
		lied = pull_back(&bell->woken, &bell->doorbell,
				 TPI_RING_ROUNDS) ||
		       lied;
	if (lied)
		tpi_group_wake(host, slot);
}

static bool is_active(const struct tpi_host *host, uint32_t slot)
{
	return host->groups[slot].state == TAPIO_SLOT_ACTIVE;
}

/* W2 to W5 for every group, whatever its marks. */
static void ring_announced(struct tpi_host *host)
{
	struct tapio_shm_doorbells *doorbells = host->lanes.doorbells;
	const struct tapio_shm_group_control *control;
	uint32_t armed;
	bool asks;

	/*
	 * ORDER wake.barrier (full): all that was published, by us or by the
	 * dead, before the look at `armed`. Pairs with tpi_barrier(), whose
	 * interrupt need not reach this process.
	 */
	tpi_fence_full();
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		if (!is_active(host, slot))
			continue;
		control = host->cursors[slot].control;
		/* Relaxed: the fence above. */
		armed = tpi_load_relaxed(&control->armed);
		asks = host->rounds && tpi_wake_asked(&control->ring_until,
						      &doorbells->slots[slot]);
		if (asks ||
		    tpi_wake_wanted(armed, tpi_load_relaxed(
						   &doorbells->answered[slot])))
			tpi_wake_group(doorbells, slot, armed, host->rounds);
	}
}

/*
 * SIGKILL before the store: the producer was not let in. After it: the successor rings all
 * bells, and lets it in when it asks again.
 */
void tpi_host_ring_once(struct tpi_host *host)
{
	if (!host->rounds || tpi_load_relaxed(&host->shm->single))
		return;
	/* ORDER wake.single (release): before the rings. Pairs with the acquire in
	 * tpi_wake_listen(). */
	tpi_store_release(&host->shm->single, 1);
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		tpi_wake_anew(&host->lanes.doorbells->slots[slot].doorbell);
}

void tpi_producer_wake(struct tpi_host *host, bool died, uint32_t swept)
{
	if (died || swept)
		ring_announced(host);
	if (!swept)
		return;
	/* Those that wait for blocks in a dead producer's hands. */
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (is_active(host, slot))
			tpi_wake_all(&host->cursors[slot].control->room);
}

void tpi_host_wake(struct tpi_host *host)
{
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		tpi_wake_anew(&host->lanes.doorbells->slots[slot].doorbell);
		tpi_wake_all(&host->cursors[slot].control->room);
	}
}
