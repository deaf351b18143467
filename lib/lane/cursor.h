/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a cursor that other processes write: which of its cells counts, and what
 * its head is. Callers: producers (the gate, marks), consumers, the ledger, the
 * broker. client/consumer/lease.c tells the meaning of the words, and why a
 * former holder's late stores are no news.
 */
#ifndef TPI_CURSOR_H
#define TPI_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"

/* The number of the cell that a lease names. Inside the cursor, whatever it says. */
static inline uint32_t tpi_lease_cell(uint64_t lease)
{
	uint32_t cell = TAPIO_LEASE_CELL(lease);

	return cell < TAPIO_CELLS ? cell : 0;
}

/* The same holder and flags. Another cell and epoch would be another word. */
static inline uint64_t tpi_lease_next(uint64_t lease, uint32_t holder,
				      uint64_t flags)
{
	return TAPIO_LEASE(holder, tpi_lease_cell(lease), flags,
			   TAPIO_LEASE_EPOCH(lease) + 1);
}

/* The count of a moment ago, for callers that need no more. */
static inline const struct tapio_shm_cell *
tpi_cursor_cell(const struct tapio_shm_cursor *cursor)
{
	/* Relaxed: where to look, no more. */
	return &cursor->cells[tpi_lease_cell(tpi_load_relaxed(&cursor->lease))];
}

/* The same to write, for the broker while no member can. */
static inline struct tapio_shm_cell *
tpi_cursor_counting(struct tapio_shm_cursor *cursor)
{
	return &cursor->cells[tpi_lease_cell(tpi_load_relaxed(&cursor->lease))];
}

static inline uint32_t tpi_cursor_holder(const struct tapio_shm_cursor *cursor)
{
	/* Relaxed: a name, no more. */
	return TAPIO_LEASE_HOLDER(tpi_load_relaxed(&cursor->lease));
}

/* How often a lease may change hands under a reader of the head. */
#define TPI_HEAD_TRIES 4

/*
 * How many positions its owner has handed out and not released, or had a moment ago: a
 * head that is seen late makes it more. Garbage may make it negative.
 */
static inline int32_t tpi_cell_in_hand(const struct tapio_shm_cell *cell)
{
	/* Relaxed: a caller that needs an order has made it. */
	uint64_t head = tpi_load_relaxed(&cell->head);
	uint32_t next = tpi_load_relaxed(&cell->next);

	return (int32_t)(next - (uint32_t)TAPIO_HEAD_POSITION(head));
}

/* What changes when its owner looks, or releases, in one number. */
static inline uint64_t tpi_cell_signs(const struct tapio_shm_cell *cell)
{
	/* Relaxed: a change that is seen late is seen at the next look. */
	return tpi_load_relaxed(&cell->head) * 3 +
	       tpi_load_relaxed(&cell->next) * UINT64_C(5) +
	       tpi_load_relaxed(&cell->beat) * UINT64_C(7);
}

/*
 * The head of the cell that counts. False: the lane was moving to another cell, so
 * there is no news. *head then is at most where the next holder goes on.
 *
 * The second look at the lease proves that the head was stored before the lease
 * left its writer: a reader that sees a store which came after the swap sees the
 * swap, too. So the late head of a former holder is never taken for the group's.
 */
static inline bool tpi_cursor_head(const struct tapio_shm_cursor *cursor,
				   uint64_t *head)
{
	/* ORDER cursor.lease (acquire): the cell that the lease names was filled
	 * before. Pairs with T4, in move(). */
	uint64_t again, lease = tpi_load_acquire(&cursor->lease);
	int i;

	for (i = 0; i < TPI_HEAD_TRIES; i++, lease = again) {
		TPI_TESTPOINT("cursor.leased");
		/*
		 * ORDER cursor.head (acquire): the group is done with what lies
		 * before its head, and the tally that it names is written. Pairs
		 * with the release in tpi_commit().
		 */
		*head = tpi_load_acquire(
			&cursor->cells[tpi_lease_cell(lease)].head);
		/* ORDER cursor.lease (load-load): the head before the second
		 * look. Pairs with T1, in tpi_lease_take(). */
		tpi_fence_load_load();
		again = tpi_load_acquire(&cursor->lease);
		if (again == lease)
			return !(lease & TAPIO_LEASE_MOVING);
	}
	return false;
}

/*
 * L2 of client/consumer/lease.h: frees a cell that is GIVEN if the lease does not
 * name it. For members, and for the broker after a death.
 */
static inline void tpi_cell_release(struct tapio_shm_cursor *cursor,
				    struct tapio_shm_cell *cell)
{
	uint64_t owner, lease;

	/* The swap that made it GIVEN, or that moved the lease away, before the
	 * loads: whoever did the other one finds this one (lease.h, 2). */
	tpi_fence_full();
	owner = tpi_load_relaxed(&cell->owner);
	lease = tpi_load_relaxed(&cursor->lease);
	if (!(owner & TAPIO_CELL_GIVEN) ||
	    cell == &cursor->cells[tpi_lease_cell(lease)])
		return;
	TPI_TESTPOINT("cell.release");
	/* ORDER cursor.owner (acq_rel): its last owner's stores, before it is
	 * used again. Pairs with the swap in claim_cell(). */
	tpi_cas_acq_rel(&cell->owner, &owner,
			TAPIO_CELL_TAKE(owner, TAPIO_NOBODY));
}

#endif
