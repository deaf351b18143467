/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consistent read without a lock.
 *
 * A reader loads gate, then head, then tail. Each only grows, and gate <= head
 * <= tail holds at every instant for an honest group that holds the gate, so
 *
 *	gate(t0) <= head(t0) <= head(t1) <= tail(t1) <= tail(t2)
 *
 * however late the loads come, and an inequality that is broken is somebody's
 * fault. Bounds on distances need more: a lane may go round between two loads.
 * So head is loaded again at the end: if it has not moved, every load in between
 * belongs to that head, the tally that it names was not written meanwhile (the
 * holder writes the other copy), and tail <= head + N.
 *
 * A head that moves during every attempt is reported, not waited for: a peer can
 * write it, and nothing that a peer writes may hold a reader.
 *
 * WHERE THE RING BEGINS. A position p can be read while p > reap, or while the gate
 * has not passed it: these are the two tests of a reader that may be overrun
 * (tpi_lane_intact(), and tpi_held_for_us() of the consumer). Since reap <= gate,
 * the second matters for p = reap alone, whose block no section may be writing
 * into. So the first position that can be read is reap or reap + 1. The gate is
 * loaded a second time for that, after the state: gate <= reap then says that it
 * was so at the moment of the state, because gates only grow. The positions
 * between head and that one are lost. For a group that holds the gate there is
 * nothing: reap <= gate <= head, and reap + 1 <= gate where the second test
 * fails.
 */
#include "lib/lane/ledger.h"
#include "lib/base/testpoint.h"

#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/lane/cursor.h"

#define ATTEMPTS 256

const char *tpi_fault_name(unsigned int bit)
{
	static const char *const names[TPI_FAULTS] = {
		"held",   "gate",    "head",     "start", "tally",
		"unread", "foreign", "unsteady", "state", "descriptor",
	};

	return bit < TPI_FAULTS ? names[bit] : "unknown";
}

static uint64_t distance(uint64_t to, uint64_t from)
{
	return (to - from) & TAPIO_POSITION_MASK;
}

/* The gate as a producer would compute it now. Not below the lane's word. */
static uint64_t gate_now(const struct tpi_lane *lane,
			 const struct tpi_gating *gating, uint64_t word)
{
	uint64_t gate, generation;

	if (!gating)
		return word;
	/* Groups that come and go all the time: the last look counts. */
	for (int i = 0; i < ATTEMPTS; i++)
		if (tpi_gate_compute(lane, gating, &gate, &generation, NULL))
			break;
	gate &= TAPIO_POSITION_MASK;
	return tapio_position_diff(gate, word) > 0 ? gate : word;
}

/* Positions from a gate to a tail. Not more than there are. */
static uint32_t count_used(const struct tpi_lane *lane, uint64_t gate,
			   uint64_t tail)
{
	uint64_t count = (uint64_t)lane->mask + 1;
	int64_t used = tapio_position_diff(tail, gate);

	/* A gate that is newer than the tail: all of it is released. */
	if (used < 0)
		return 0;
	return (uint32_t)((uint64_t)used > count ? count : (uint64_t)used);
}

void tpi_lane_account_read(const struct tpi_lane *lane,
			   const struct tpi_gating *gating,
			   struct tpi_lane_account *account)
{
	const struct tapio_shm_lane *shm = lane->shm;
	uint64_t count = (uint64_t)lane->mask + 1;

	memset(account, 0, sizeof(*account));
	/*
	 * ORDER lane.gate (acquire): this gate is older than the state loaded
	 * next, so an honest one cannot be beyond its tail. Pairs with the swap
	 * in raise_gate() of a value that was computed from a tail.
	 */
	account->gate = tpi_load_acquire(&shm->gate) & TAPIO_POSITION_MASK;
	/* ORDER lane.state (acquire): see lane.c. Here only counts are taken. */
	account->state = tpi_load_acquire(&shm->state);
	account->tail = TAPIO_STATE_TAIL(account->state);
	account->held = TAPIO_STATE_HELD(account->state);
	account->published = distance(account->tail, count);
	account->owner = tpi_load_relaxed(&shm->owner); /* one word, shown */
	for (int i = 0; i < TAPIO_DROP_CAUSES; i++) {
		/* relaxed: counters, each exact by itself */
		account->dropped[i] = tpi_load_relaxed(&shm->dropped[i]);
		account->dropped_total += account->dropped[i];
	}
	if (!tpi_lane_state_sane(lane, account->state))
		account->faults |= TPI_FAULT_HELD;
	if (tapio_position_diff(account->tail, account->gate) < 0)
		account->faults |= TPI_FAULT_GATE;
	else
		account->used =
			count_used(lane, gate_now(lane, gating, account->gate),
				   account->tail);
}

/* The faults that members have found, and passed over. */
static uint32_t faults_found(const struct tapio_shm_cursor *cursor)
{
	/* Relaxed: shown only. */
	uint32_t found = tpi_load_relaxed(&cursor->faults);

	return (found & TAPIO_CURSOR_BAD_STATE ? TPI_FAULT_STATE : 0) |
	       (found & TAPIO_CURSOR_BAD_DESCRIPTOR ? TPI_FAULT_DESCRIPTOR : 0);
}

/* One attempt. True when head stood still, in the cell that counts. `passed`:
 * the gate, loaded last. */
static bool read_once(const struct tpi_lane *lane,
		      const struct tapio_shm_cursor *cursor, uint64_t *head,
		      uint64_t *passed, struct tpi_ledger *ledger)
{
	const struct tapio_shm_tally *tally;
	const struct tapio_shm_cell *cell;
	uint64_t state;

	/* ORDER lane.gate (acquire): older than the head loaded next. Pairs as
	 * above. */
	ledger->gate = tpi_load_acquire(&lane->shm->gate) & TAPIO_POSITION_MASK;
	/* ORDER cursor.lease (acquire): the cell that it names was filled
	 * before. Pairs with T4, in move(). */
	ledger->lease_word = tpi_load_acquire(&cursor->lease);
	cell = &cursor->cells[tpi_lease_cell(ledger->lease_word)];
	/*
	 * ORDER cursor.head (acquire): the tally that this head names was
	 * written before it. Pairs with the release of a head by its holder.
	 */
	*head = tpi_load_acquire(&cell->head);
	TPI_TESTPOINT("ledger.head");
	tally = &cell->tally[TAPIO_HEAD_RECORD(*head)];
	ledger->skipped = tpi_load_relaxed(&tally->skipped);
	ledger->lost = tpi_load_relaxed(&tally->lost);
	/* ORDER lane.state (acquire): a tail at least as new as that head. */
	state = tpi_load_acquire(&lane->shm->state);
	ledger->tail = TAPIO_STATE_TAIL(state);
	ledger->held = TAPIO_STATE_HELD(state);
	/* Relaxed: the acquire above puts it after the state. */
	*passed = tpi_load_relaxed(&lane->shm->gate) & TAPIO_POSITION_MASK;
	/*
	 * ORDER cursor.head (load-load): everything above was loaded before the
	 * head is looked at again. Pairs with the release of a head: a holder
	 * that rewrites this tally has stored another head before.
	 * ORDER cursor.tally (load-load): the same. Pairs with tpi_commit().
	 * ORDER cursor.lease (load-load): the same for the lease. Pairs with
	 * T1, in tpi_lease_take().
	 */
	tpi_fence_load_load();
	ledger->peak = tpi_load_relaxed(&cell->peak);
	return tpi_load_relaxed(&cell->head) == *head &&
	       tpi_load_relaxed(&cursor->lease) == ledger->lease_word;
}

static uint64_t reap_of(const struct tpi_lane *lane,
			const struct tpi_ledger *ledger)
{
	return tpi_lane_reap(lane, TAPIO_STATE(ledger->tail, ledger->held));
}

/* The first position that can still be read. `passed` is the gate loaded last. */
static uint64_t ring_begins(const struct tpi_lane *lane,
			    const struct tpi_ledger *ledger, uint64_t passed)
{
	uint64_t reap = reap_of(lane, ledger);

	if (tapio_position_diff(passed, reap) <= 0 || reap == ledger->tail)
		return reap;
	return (reap + 1) & TAPIO_POSITION_MASK;
}

/* Where a gate may be at most, for a group with this policy. */
static bool gate_allowed(const struct tpi_lane *lane, uint64_t slot,
			 const struct tpi_ledger *ledger)
{
	uint64_t bound;

	if (tapio_position_diff(ledger->gate, ledger->tail) > 0)
		return false;
	if (TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_LOSSY)
		return true;
	if (tapio_position_diff(ledger->gate, ledger->head) <= 0)
		return true;
	if (TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_LOSSLESS)
		return false;
	/* The state is younger than the gate, and the bound only grows. */
	bound = tpi_until_bound(lane, slot,
				TAPIO_STATE(ledger->tail, ledger->held));
	return tapio_position_diff(ledger->gate, bound) <= 0;
}

/* The overwritten part of the unread ones moves from in flight to lost. */
static void count_overrun(const struct tpi_lane *lane, uint64_t passed,
			  struct tpi_ledger *ledger)
{
	int64_t gone = tapio_position_diff(ring_begins(lane, ledger, passed),
					   ledger->head);

	if (gone <= 0)
		return;
	ledger->overrun = (uint64_t)gone;
	ledger->lost += ledger->overrun;
	ledger->in_flight -= ledger->overrun;
}

static void judge(const struct tpi_lane *lane, uint64_t slot, bool steady,
		  uint64_t passed, struct tpi_ledger *ledger)
{
	uint64_t count = (uint64_t)lane->mask + 1;
	uint64_t tallied = ledger->lost, unread, released;

	if (!gate_allowed(lane, slot, ledger))
		ledger->faults |= TPI_FAULT_GATE;
	if (tapio_position_diff(ledger->tail, ledger->head) < 0) {
		ledger->faults |= TPI_FAULT_HEAD;
		return;
	}
	unread = ledger->in_flight = distance(ledger->tail, ledger->head);
	if (unread > ledger->published) {
		ledger->faults |= TPI_FAULT_START;
		return;
	}
	if (ledger->held > count)
		ledger->faults |= TPI_FAULT_HELD;
	else
		count_overrun(lane, passed, ledger);
	if (!steady)
		return;
	if (TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_LOSSLESS && unread > count)
		ledger->faults |= TPI_FAULT_UNREAD;
	released = ledger->published - unread;
	if (ledger->skipped > released ||
	    tallied > released - ledger->skipped) {
		ledger->faults |= TPI_FAULT_TALLY;
		return;
	}
	ledger->delivered = released - ledger->skipped - tallied;
}

int tpi_ledger_read(const struct tpi_lane *lane,
		    const struct tapio_shm_group *group,
		    const struct tapio_shm_cursor *cursor,
		    struct tpi_ledger *ledger)
{
	uint64_t slot, head = 0, passed = 0;
	uint32_t admitted;
	bool steady = false;

	memset(ledger, 0, sizeof(*ledger));
	/*
	 * ORDER group.admitted (acquire): before the answer the heads of a group
	 * that joins may lie behind the gate. Pairs with the broker's release.
	 */
	admitted = tpi_load_acquire(&group->admitted);
	/* ORDER group.slot (acquire): the slot's words belong to this group.
	 * Pairs with the broker's release when it activates the slot. */
	slot = tpi_load_acquire(&group->slot);
	if (TAPIO_SLOT_STATE(slot) != TAPIO_SLOT_ACTIVE)
		return -ENOENT;
	if ((admitted & TAPIO_INCARNATION_MASK) != TAPIO_SLOT_INCARNATION(slot))
		return -EAGAIN;

	for (int i = 0; i < ATTEMPTS && !steady; i++)
		steady = read_once(lane, cursor, &head, &passed, ledger);
	ledger->word = head;
	ledger->head = TAPIO_HEAD_POSITION(head);
	/* relaxed: written before the answer. The others are shown only */
	ledger->start = tpi_load_relaxed(&cursor->start) & TAPIO_POSITION_MASK;
	ledger->lease = TAPIO_LEASE_HOLDER(ledger->lease_word);
	ledger->want = tpi_load_relaxed(&cursor->want);
	ledger->takeovers = tpi_load_relaxed(&cursor->takeovers);
	ledger->published = distance(ledger->tail, ledger->start);
	ledger->faults = faults_found(cursor);
	/* After the fence in read_once(): the next group changes it. */
	tpi_fence_load_load();
	if (tpi_load_relaxed(&group->slot) != slot)
		return -EAGAIN;

	if (!steady)
		ledger->faults |= TPI_FAULT_UNSTEADY;
	if (TAPIO_HEAD_INCARNATION(head) != TAPIO_SLOT_INCARNATION(slot))
		ledger->faults |= TPI_FAULT_FOREIGN;
	else
		judge(lane, slot, steady, passed, ledger);
	return 0;
}
