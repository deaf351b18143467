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

/*
 * A producer stores in `answered` what it has loaded from `armed`, so `answered` is never
 * ahead. If it is, a producer lies, or has read the memory of the slot's last group at the
 * moment at which it was replaced. Then no announcement would be news.
 */
void tpi_group_mend_bell(struct tpi_host *host, uint32_t slot)
{
	uint32_t *word = &host->lanes.doorbells->answered[slot];
	/* Acquire: it is loaded before `armed`, which only grows. */
	uint32_t answered = tpi_load_acquire(word);
	uint32_t armed = tpi_load_relaxed(&host->cursors[slot].control->armed);

	if ((int32_t)(answered - armed) <= 0)
		return;
	tpi_store_relaxed(word, armed);
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
	uint32_t armed;

	/*
	 * ORDER wake.barrier (full): all that was published, by us or by the
	 * dead, before the look at `armed`. Pairs with tpi_barrier(), whose
	 * interrupt need not reach this process.
	 */
	tpi_fence_full();
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		if (!is_active(host, slot))
			continue;
		/* Relaxed: the fence above. */
		armed = tpi_load_relaxed(&host->cursors[slot].control->armed);
		if (tpi_wake_wanted(armed, tpi_load_relaxed(
						   &doorbells->answered[slot])))
			tpi_wake_group(doorbells, slot, armed);
	}
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
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		tpi_group_wake(host, slot);
}
