/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clearing the leases, and the cells, of members that are gone. Called by the reaper
 * for an attachment that has ended, and once a second by evict.c for names that are
 * no member of the group.
 *
 * The cells come first, so that the next holder finds the cell that counts GIVEN. A
 * lane that was MOVING stays so, since it names the cell of a member that sleeps and
 * may still write there (client/consumer/lease.h).
 *
 * SIGKILL of the broker anywhere here: the next look of the next broker does the
 * rest. Members never wait for it: they take lanes that are free.
 */
#include "broker/broker.h"
#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"

/* Members write the word, too. One that never stops is left to the next tick. */
#define TRIES 100

static bool is_member(const struct tpi_registry *registry,
		      const struct tpi_group *group, uint32_t id)
{
	uint32_t index = TAPIO_ATTACHMENT_INDEX(id);

	return index < registry->catalog.attachment_count &&
	       registry->attachments[index].id == id &&
	       registry->attachments[index].group == group;
}

/* Whether `id` is to be cleared: it is `dead`, or (NOBODY) no member. */
static bool is_gone(const struct tpi_registry *registry,
		    const struct tpi_group *group, uint32_t dead, uint32_t id)
{
	if (id == TAPIO_NOBODY)
		return false;
	return dead == TAPIO_NOBODY ? !is_member(registry, group, id)
				    : id == dead;
}

/*
 * L1 in the name of the dead, and L2 for every cell: a taker that was killed between
 * T4 and L2 has left one GIVEN that another member had owned.
 */
static void clear_cells(const struct tpi_registry *registry,
			const struct tpi_group *group, uint32_t dead,
			struct tapio_shm_cursor *cursor)
{
	for (int i = 0; i < TAPIO_CELLS; i++) {
		struct tapio_shm_cell *cell = &cursor->cells[i];
		/* Relaxed: the swap decides. */
		uint64_t owner = tpi_load_relaxed(&cell->owner);

		/* ORDER cursor.owner (acq_rel): all that it stored there, before
		 * the cell is used again. Pairs with the swap in claim_cell()
		 * (client/). */
		if (is_gone(registry, group, dead, TAPIO_CELL_OWNER(owner)))
			tpi_cas_acq_rel(&cell->owner, &owner,
					owner | TAPIO_CELL_GIVEN);
		TPI_TESTPOINT("cell.cleared");
		tpi_cell_release(cursor, cell);
	}
}

static bool clear_lease(const struct tpi_registry *registry,
			const struct tpi_group *group, uint32_t dead,
			struct tapio_shm_cursor *cursor)
{
	/* Relaxed: the swap decides. */
	uint64_t lease = tpi_load_relaxed(&cursor->lease), cleared;

	for (int i = 0; i < TRIES; i++) {
		if (!is_gone(registry, group, dead, TAPIO_LEASE_HOLDER(lease)))
			return false;
		cleared = tpi_lease_next(lease, TAPIO_NOBODY,
					 lease & TAPIO_LEASE_MOVING);
		/* ORDER cursor.lease (acq_rel): the dead one's head before the
		 * next holder's look at it. Pairs with the swap in
		 * tpi_lease_take() (client/). */
		if (tpi_cas_acq_rel(&cursor->lease, &lease, cleared)) {
			TPI_TESTPOINT("lease.cleared");
			return true;
		}
		/* A member has asked for the lane, or taken it. */
	}
	return false;
}

uint32_t tpi_leases_clear(struct tpi_broker *broker, struct tpi_host *host,
			  const struct tpi_group *group, uint32_t dead)
{
	struct tpi_registry *registry = &broker->registry;
	struct tpi_cursors *cursors = &host->cursors[group - host->groups];
	uint32_t cleared = 0;

	for (uint32_t i = 0; i < host->lanes.lane_count; i++) {
		struct tapio_shm_cursor *cursor = &cursors->cursors[i];

		clear_cells(registry, group, dead, cursor);
		cleared += clear_lease(registry, group, dead, cursor);
	}
	tpi_add_relaxed(&registry->catalog.broker->leases_cleared, cleared);
	return cleared;
}
