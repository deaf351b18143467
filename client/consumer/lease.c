/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The swaps of a lease, by the steps of lease.h, which has the proofs.
 */
#include "client/consumer/consumer.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

#define REST_NS INT64_C(200000000)
/* A holder that has lost the lane stores one head at most, so once is enough. */
#define HEAD_TRIES 4

/* ---- cells --------------------------------------------------------------------- */

/* K2, T3: from the word `from` to ours. */
static bool claim_cell(struct tapio_shm_cell *cell, uint64_t from, uint32_t me)
{
	TPI_TESTPOINT("cell.claim");
	/* ORDER cursor.owner (acq_rel): all that its last owner has stored there,
	 * before our stores. Pairs with the swap in leave_cell(), and with that
	 * of the broker for the dead. */
	return tpi_cas_acq_rel(&cell->owner, &from, TAPIO_CELL_TAKE(from, me));
}

/* G1, L1: a swap, since the broker may have ended us. */
static void leave_cell(struct tapio_shm_cell *cell, uint32_t me)
{
	/* Relaxed: the swap decides. */
	uint64_t owner = tpi_load_relaxed(&cell->owner);

	/* ORDER cursor.owner (acq_rel): our last store there, before the cell is
	 * used again. Pairs with the swap in claim_cell(). */
	if (TAPIO_CELL_OWNER(owner) == me)
		tpi_cas_acq_rel(&cell->owner, &owner, owner | TAPIO_CELL_GIVEN);
}

static bool is_given(const struct tapio_shm_cell *cell)
{
	/* Relaxed: the swap decides. */
	return tpi_load_relaxed(&cell->owner) & TAPIO_CELL_GIVEN;
}

static bool is_free(uint64_t owner)
{
	return !(owner & TAPIO_CELL_GIVEN) && !TAPIO_CELL_OWNER(owner);
}

/* T3, first half. NULL: all are in use. */
static struct tapio_shm_cell *claim_free(struct tapio_shm_cursor *cursor,
					 uint32_t me)
{
	uint32_t i;

	for (i = 0; i < TAPIO_CELLS; i++) {
		struct tapio_shm_cell *cell = &cursor->cells[i];
		/* Relaxed: the swap decides. */
		uint64_t owner = tpi_load_relaxed(&cell->owner);

		if (is_free(owner) && claim_cell(cell, owner, me))
			return cell;
	}
	return NULL;
}

static bool has_free_cell(const struct tapio_shm_cursor *cursor)
{
	uint32_t i;

	for (i = 0; i < TAPIO_CELLS; i++)
		if (is_free(tpi_load_relaxed(&cursor->cells[i].owner)))
			return true;
	return false;
}

/* ---- going on where the last holder left off ------------------------------------- */

/*
 * Where to go on when the head says nothing: at the gate, which has not passed what
 * the group had released. But the gate may be older than the group.
 */
static uint64_t restart(const struct tpi_track *t)
{
	uint64_t gate =
		tpi_load_relaxed(&t->lane->shm->gate) & TAPIO_POSITION_MASK;
	/* Relaxed: written before this member was answered. */
	uint64_t start =
		tpi_load_relaxed(&t->cursor->start) & TAPIO_POSITION_MASK;

	return tapio_position_diff(gate, start) < 0 ? start : gate;
}

/* T2: head and tally of the cell that counts. */
static void read_head(struct tpi_consumer *c, struct tpi_track *t,
		      const struct tapio_shm_cell *from)
{
	uint64_t head, again, position, tail;
	int i;

	/* ORDER cursor.head (acquire): the tally that it names. Pairs with the
	 * release in tpi_commit(). */
	head = tpi_load_acquire(&from->head);
	for (i = 0; i < HEAD_TRIES; i++, head = again) {
		t->record = TAPIO_HEAD_RECORD(head);
		/* Relaxed: the second look at the head tells. */
		t->tally.skipped =
			tpi_load_relaxed(&from->tally[t->record].skipped);
		t->tally.lost = tpi_load_relaxed(&from->tally[t->record].lost);
		/* ORDER cursor.tally (load-load): the tally before that look.
		 * Pairs with the fence in tpi_commit(). */
		tpi_fence_load_load();
		again = tpi_load_acquire(&from->head);
		if (again == head)
			break;
	}
	tail = TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));
	position = TAPIO_HEAD_POSITION(head);
	/* A head of another incarnation was written by a member of a former
	 * group that woke up late. Producers have not followed it, so the gate
	 * still stands at or before what our group had released. The tail of an isolated
	 * producer is no evidence, and may be that of other memory. */
	if (TAPIO_HEAD_INCARNATION(head) != c->incarnation ||
	    (!c->client.segments.records &&
	     tapio_position_diff(tail, position) < 0))
		position = restart(t);
	t->head = position;
}

/* The second half of T3: the same in a cell of our own. */
static void fill_cell(struct tpi_consumer *c, struct tpi_track *t,
		      const struct tapio_shm_cell *from,
		      struct tapio_shm_cell *to)
{
	t->record = 0;
	/* Relaxed: the release below orders them. */
	tpi_store_relaxed(&to->tally[0].skipped, t->tally.skipped);
	tpi_store_relaxed(&to->tally[0].lost, t->tally.lost);
	tpi_store_relaxed(&to->peak, tpi_load_relaxed(&from->peak));
	/* ORDER cursor.head (release): the tally before it. Pairs with the
	 * acquire in tpi_cursor_head(), which comes after T4. */
	tpi_store_release(&to->head, TAPIO_HEAD(t->head, c->incarnation, 0));
}

static void begin(struct tpi_consumer *c, struct tpi_track *t,
		  struct tapio_shm_cell *cell)
{
	t->cell = cell;
	t->next = t->seen = t->head;
	t->handed = t->skipped = t->lost = 0;
	t->asked = 0;
	t->unsettled = 0;
	t->passed.count = 0;
	t->sights.count = 0;
	t->giving = false;
	t->leased = true;
	t->free_before = false;
	c->stale = true;
	/* Relaxed: marks of the holder before us, who may have died, and a
	 * request to it. The swap of the lease orders them. */
	tpi_store_relaxed(&cell->next, (uint32_t)t->head);
	tpi_store_relaxed(&cell->watermark, 0);
	t->marked = 0;
	tpi_store_relaxed(&t->cursor->want, TAPIO_NOBODY);
	/* Relaxed: the helper of tapio_fd may be armed. If it sees this late, it counts
	 * from here at its next look. */
	tpi_store_relaxed(&t->idle, t->head);
}

/* K1 or T1 was in vain: no cell is free, or so. The next holder goes on from here. */
static bool leave_moving(struct tpi_track *t, uint64_t lease)
{
	/* ORDER cursor.lease (acq_rel): we have changed nothing. Pairs with the
	 * swap of the next holder, in tpi_lease_take(). */
	tpi_cas_acq_rel(
		&t->cursor->lease, &lease,
		tpi_lease_next(lease, TAPIO_NOBODY, TAPIO_LEASE_MOVING));
	return false;
}

/* T2 to T4, and L2 for the cell that counted. `lease` is the word, and ours. */
static bool move(struct tpi_consumer *c, struct tpi_track *t, uint64_t lease)
{
	struct tapio_shm_cell *cells = t->cursor->cells;
	struct tapio_shm_cell *from = &cells[tpi_lease_cell(lease)];
	struct tapio_shm_cell *to = claim_free(t->cursor, c->me);
	uint64_t settled;

	if (!to)
		return leave_moving(t, lease);
	TPI_TESTPOINT("lease.claimed");
	/* T1 before T2 (lease.h, 3). */
	tpi_fence_full();
	read_head(c, t, from);
	fill_cell(c, t, from, to);
	begin(c, t, to);
	TPI_TESTPOINT("lease.filled");
	settled =
		TAPIO_LEASE(c->me, to - cells, 0, TAPIO_LEASE_EPOCH(lease) + 1);
	/* ORDER cursor.lease (acq_rel): the cell is filled before it counts.
	 * Pairs with the acquire in tpi_cursor_head(). */
	if (!tpi_cas_acq_rel(&t->cursor->lease, &lease, settled)) {
		tpi_lease_lose(c, t); /* we slept, and were relieved */
		return false;
	}
	TPI_TESTPOINT("lease.settled");
	t->lease = settled;
	tpi_cell_release(t->cursor, from);
	return true;
}

/* K2 and K3. */
static bool go_on(struct tpi_consumer *c, struct tpi_track *t, uint64_t lease)
{
	struct tapio_shm_cell *cell = &t->cursor->cells[tpi_lease_cell(lease)];
	uint64_t owner = tpi_load_relaxed(&cell->owner);

	/* It was GIVEN before K1; a hostile member may have changed it. */
	if (!(owner & TAPIO_CELL_GIVEN) || !claim_cell(cell, owner, c->me))
		return leave_moving(t, lease);
	TPI_TESTPOINT("lease.continued");
	read_head(c, t, cell);
	begin(c, t, cell);
	t->lease = lease;
	return true;
}

/* ---- taking ---------------------------------------------------------------------- */

bool tpi_lease_take(struct tpi_consumer *c, struct tpi_track *t, uint64_t seen)
{
	bool nobodys = TAPIO_LEASE_HOLDER(seen) == TAPIO_NOBODY;
	bool moving = !nobodys || seen & TAPIO_LEASE_MOVING ||
		      !is_given(&t->cursor->cells[tpi_lease_cell(seen)]);
	uint64_t mine =
		tpi_lease_next(seen, c->me, moving ? TAPIO_LEASE_MOVING : 0);

	if (c->ended)
		return false;
	/* What an earlier lease of this lane has handed out comes first. */
	if (t->touched || (moving && !has_free_cell(t->cursor)))
		return false;
	/*
	 * K1, T1. ORDER cursor.lease (acq_rel): the last holder's head and tally.
	 * Pairs with the swap in tpi_lease_give(), and with the broker's for a
	 * dead member.
	 */
	if (!tpi_cas_acq_rel(&t->cursor->lease, &seen, mine))
		return false;
	TPI_TESTPOINT("lease.taken");
	/* We may have slept before the swap. */
	if (tpi_unlikely(tpi_slot_is_foreign(c)))
		return leave_moving(t, mine);
	if (!nobodys)
		tpi_add_relaxed(&t->cursor->takeovers, 1);
	if (!(moving ? move(c, t, mine) : go_on(c, t, mine)))
		return false;
	tpi_follow_lease(c, t);
	return true;
}

bool tpi_lease_near(const struct tpi_consumer *c, const struct tpi_track *t)
{
	unsigned int node;

	/* One node, or none that is known: everything is near. */
	if (c->client.map_count == 1 || t->node == UINT32_MAX)
		return true;
	return tpi_sys_node(&node) || node == t->node;
}

void tpi_lease_free(struct tpi_consumer *c)
{
	int64_t now = 0;
	uint32_t i;

	if (c->ended || tpi_slot_is_foreign(c))
		return;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];
		/* Relaxed: the swap decides. */
		uint64_t lease = tpi_load_relaxed(&t->cursor->lease);

		if (t->leased || TAPIO_LEASE_HOLDER(lease) != TAPIO_NOBODY)
			continue;
		if (!now)
			now = tpi_now_ns();
		if (now < t->rest_until)
			continue;
		if (t->free_before || tpi_lease_near(c, t))
			tpi_lease_take(c, t, lease);
	}
}

/* ---- keeping ----------------------------------------------------------------------- */

bool tpi_lease_keep(struct tpi_consumer *c, struct tpi_track *t, uint64_t seen)
{
	uint64_t kept = tpi_lease_next(t->lease, c->me, 0);

	TPI_TESTPOINT("lease.keep");
	/* ORDER cursor.lease (acq_rel): H1 before it. Pairs with the swap of the
	 * member that asked, which fails. */
	if (seen == (t->lease | TAPIO_LEASE_ASKED) &&
	    tpi_cas_acq_rel(&t->cursor->lease, &seen, kept)) {
		TPI_TESTPOINT("lease.kept");
		t->lease = kept;
		return true;
	}
	tpi_lease_lose(c, t);
	return false;
}

/* ---- giving ------------------------------------------------------------------------- */

/* The next holder finds what is lost from head on, and tells it. */
static void disown(struct tpi_consumer *c, struct tpi_track *t)
{
	struct tapio_gap *owed = &t->owed;

	if (!t->owing || !t->unsettled)
		return;
	owed->count -= t->unsettled;
	t->unsettled = 0;
	if (!owed->count)
		tpi_forget_owed(c, t);
	else if (tapio_position_diff(owed->last, t->head) >= 0)
		owed->last = (t->head - 1) & TAPIO_POSITION_MASK;
}

/* L1. What is in the caller's hands is remembered until its release. */
static void drop(struct tpi_consumer *c, struct tpi_track *t)
{
	if (!c->ended) { /* the slot may be another group's by now */
		leave_cell(t->cell, c->me);
		tpi_cell_release(t->cursor, t->cell);
	}
	t->leased = false;
	t->giving = false;
	t->marked = 0;
	t->passed.count = 0;
	c->stale = true;
	c->beat = &c->no_beat; /* until the lanes are sorted again */
	disown(c, t);
	if (!t->touched)
		tpi_track_forget(t);
}

void tpi_lease_lose(struct tpi_consumer *c, struct tpi_track *t)
{
	c->relieved += !c->ended;
	drop(c, t);
}

void tpi_lease_give(struct tpi_consumer *c, struct tpi_track *t)
{
	uint64_t lease = t->lease, asked = lease | TAPIO_LEASE_ASKED;
	uint64_t given = tpi_lease_next(lease, TAPIO_NOBODY, 0);

	/* Relaxed: before the swap. A lane without a holder has no mark. */
	tpi_store_relaxed(&t->cell->watermark, 0);
	drop(c, t);
	TPI_TESTPOINT("lease.left");
	t->rest_until = tpi_now_ns() + REST_NS;
	/* Relaxed: before the swap, so that the next holder clears only requests
	 * to itself. */
	tpi_store_relaxed(&t->cursor->want, TAPIO_NOBODY);
	/* ORDER cursor.lease (acq_rel): our head and tally, before the lane may
	 * be taken. Pairs with the swap in tpi_lease_take(). */
	if (!tpi_cas_acq_rel(&t->cursor->lease, &lease, given) &&
	    !tpi_cas_acq_rel(&t->cursor->lease, &asked, given))
		c->relieved++; /* and L2, in drop(), is all that is left to do */
	TPI_TESTPOINT("lease.given");
}

void tpi_lease_leave(struct tpi_consumer *c)
{
	uint32_t i;

	tpi_check_slot(c);
	if (c->ended)
		return;
	for (i = 0; i < c->lane_count; i++)
		if (c->tracks[i].leased)
			tpi_lease_give(c, &c->tracks[i]);
}
