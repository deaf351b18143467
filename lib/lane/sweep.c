/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that are out of the ring and whose holder does not put them back from the
 * lane's CPU: kept by one call alone (retake), given up by a thread that moved
 * (abandon), claimed by the next producer (claim), or taken back from the dead (sweep).
 * T1 to T6 are the steps of lane.c.
 *
 * All of them change the ticket of the block by one swap of the whole word, so of
 * several at once one succeeds. A ticket never comes back, so a swap fails if anything
 * has happened to the block in between.
 *
 *  S1  The sweeper looks for blocks whose ticket bears X, when X is dead. X wrote its
 *	last ticket before the sweeper loads the state. So the ring in that state has
 *	every block that X has published, unless the block was taken since.
 *  S2  By T1 and T2 the ticket says whether the block lies in the ring in that state.
 *  S3  If a producer has taken the block since, its owner is no longer X (output
 *	writes NOBODY, reserve its own id), and the swap fails.
 *  S4  X is dead, so a swap that succeeds takes a block that X held when it died, and
 *	takes it once.
 *  S5  SIGKILL of the sweeper after a swap leaves a block under its own id, which the
 *	next broker sweeps like any other.
 *
 * Abandoned blocks are taken by claim and by the sweep of ABANDONED, both on the
 * lane's CPU. Their owners may be alive, and a program may misuse them: one thread
 * submits a copy of a reservation there while another thread abandons the block here.
 *
 *  S6  The thread that takes the block has first seen ABANDONED, and then found
 *	itself on the lane's CPU. At that moment no section was running on the CPU. A
 *	section that had compared the ticket before it was abandoned was over, so the
 *	state that is loaded next shows its commit, and T2 shows the block in the
 *	ring. A section that begins later finds another ticket.
 *
 * The scan takes no lock and stops no producer.
 */
#include <errno.h>

#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "lib/lane/lane.h"

/*
 * A sweep whose publishes fail this often has lost its CPU, or a process that is not
 * trusted changes the lane meanwhile. It leaves the rest abandoned.
 */
#define PUT_BACK_TRIES 1000

static uint64_t load_ticket(const struct tpi_lane *lane, uint32_t block)
{
	/*
	 * ORDER block.ticket (acquire): the state is loaded after it, and so shows
	 * where the block went after this ticket was written, and the holder's
	 * accesses to a block that it gave up. Pairs with swap_ticket().
	 */
	return tpi_load_acquire(&lane->tickets[block]);
}

static bool swap_ticket(const struct tpi_lane *lane, uint32_t block,
			uint64_t *expected, uint64_t ticket)
{
	/*
	 * ORDER block.ticket (acq_rel): the holder's last access to the block
	 * before the ticket that lets others take it. Pairs with itself, and with
	 * load_ticket().
	 */
	return tpi_cas_acq_rel(&lane->tickets[block], expected, ticket);
}

/* A ticket that `owner` has not had before, with the index as it is: T5. */
static uint64_t fresh_ticket(const struct tpi_lane *lane, uint32_t owner,
			     uint64_t word, uint32_t serial)
{
	uint32_t kept =
		TAPIO_TICKET_PLACE(word) & (TAPIO_PLACE_ENTERED | lane->mask);
	uint32_t number = serial * (lane->mask + 1) & lane->serials;

	return TAPIO_TICKET(owner, kept | TAPIO_PLACE_CLAIMED | number);
}

/* The ticket that a reservation carries: never ENTERED, since that is for a
 * call to find out. */
static uint64_t carried(uint64_t word)
{
	return word & ~TAPIO_TICKET(0, TAPIO_PLACE_ENTERED);
}

/* The word of an open reservation. False when it is closed. */
static bool open_word(const struct tpi_lane *lane, uint32_t block,
		      uint64_t ticket, uint64_t *word)
{
	*word = load_ticket(lane, block);
	return tpi_ticket_same(lane, *word, ticket) &&
	       !tpi_lane_in_ring(lane, tpi_lane_peek(lane), block,
				 TAPIO_TICKET_PLACE(*word));
}

bool tpi_lane_holds(const struct tpi_lane *lane, uint32_t block,
		    uint64_t ticket)
{
	uint64_t word;

	return open_word(lane, block, ticket, &word);
}

int tpi_lane_retake(const struct tpi_lane *lane, uint32_t block,
		    uint64_t *ticket, uint32_t serial)
{
	uint64_t word, fresh;

	do {
		if (!open_word(lane, block, *ticket, &word))
			return -EINVAL;
		fresh = fresh_ticket(lane, TAPIO_TICKET_OWNER(word), word,
				     serial);
		TPI_TESTPOINT("ticket.looked");
	} while (!swap_ticket(lane, block, &word, fresh));
	*ticket = carried(fresh);
	return 0;
}

int tpi_lane_abandon(const struct tpi_lane *lane, uint32_t block,
		     uint64_t ticket)
{
	uint64_t word, given;

	do {
		if (!open_word(lane, block, ticket, &word))
			return -EINVAL;
		given = TAPIO_TICKET(TAPIO_ABANDONED, TAPIO_TICKET_PLACE(word));
		TPI_TESTPOINT("ticket.looked");
	} while (!swap_ticket(lane, block, &word, given));
	TPI_TESTPOINT("abandon.swapped");
	/* Relaxed: a hint. A producer that does not see it yet is refused as if
	 * the block were still held. SIGKILL before it: the sweep for the dead
	 * process's own blocks, which goes through the abandoned too, finds the
	 * block. */
	tpi_store_relaxed(&lane->shm->hint, 1);
	return 0;
}

/* S6: where no section of this lane is running now. */
static bool at_home(const struct tpi_lane *lane)
{
	/* Relaxed: only the kernel writes it. */
	return lane->cpu == TAPIO_CPU_SIDE ||
	       tpi_load_relaxed(&tpi_rseq_area()->cpu_id) == lane->cpu;
}

static bool is_abandoned(const struct tpi_lane *lane, uint32_t block,
			 uint64_t *word)
{
	*word = load_ticket(lane, block);
	return TAPIO_TICKET_OWNER(*word) == TAPIO_ABANDONED && at_home(lane) &&
	       !tpi_lane_in_ring(lane, tpi_lane_peek(lane), block,
				 TAPIO_TICKET_PLACE(*word));
}

int tpi_lane_claim(const struct tpi_lane *lane, uint32_t me, uint32_t serial,
		   uint32_t *at, uint32_t limit, uint64_t *ticket)
{
	uint32_t i, block, count = lane->mask + 1;
	bool left = limit < count; /* there may be some */
	uint64_t word, fresh;

	/* Relaxed: see tpi_lane_abandon(). Cleared before the look, so that a
	 * block abandoned during it sets it again. */
	if (!tpi_load_relaxed(&lane->shm->hint))
		return -ENOENT;
	tpi_store_relaxed(&lane->shm->hint, 0);
	if (limit > count)
		limit = count;
	for (i = 0; i < limit; i++) {
		block = (*at)++ & lane->mask;
		if (!is_abandoned(lane, block, &word)) {
			/* This thread has left the CPU: for one that is there. */
			left |= TAPIO_TICKET_OWNER(word) == TAPIO_ABANDONED;
			continue;
		}
		fresh = fresh_ticket(lane, me, word, serial);
		TPI_TESTPOINT("ticket.looked");
		if (!swap_ticket(lane, block, &word, fresh))
			continue;
		TPI_TESTPOINT("claim.swapped");
		tpi_store_relaxed(&lane->shm->hint, 1); /* perhaps not alone */
		*ticket = carried(fresh);
		return (int)block;
	}
	if (left)
		tpi_store_relaxed(&lane->shm->hint, 1);
	return -ENOENT;
}

/* Back into the ring as a discard, or to the producers on that CPU. */
static void put_back(const struct tpi_lane *lane, uint32_t block,
		     uint64_t ticket, bool on_cpu, int *tries)
{
	uint64_t desc = TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) | block;
	int err;

	for (; on_cpu && *tries; --*tries) {
		err = tpi_lane_publish(lane, &desc, &ticket, 1, 0);
		if (!err)
			return;
		if (err != TPI_MOVED)
			break;
	}
	tpi_lane_abandon(lane, block, ticket);
}

/* S1, S2. Of abandoned blocks S6. */
static bool is_left(const struct tpi_lane *lane, uint64_t state, uint32_t dead,
		    uint32_t block, uint64_t *word)
{
	/* Relaxed: a first look, for most of the blocks are not. */
	*word = tpi_load_relaxed(&lane->tickets[block]);
	if (TAPIO_TICKET_OWNER(*word) != dead)
		return false;
	if (dead == TAPIO_ABANDONED)
		return is_abandoned(lane, block, word);
	return !tpi_lane_in_ring(lane, state, block, TAPIO_TICKET_PLACE(*word));
}

int tpi_lane_sweep(const struct tpi_lane *lane, uint32_t dead, uint32_t sweeper,
		   bool on_cpu)
{
	uint64_t word, mine, state = tpi_lane_peek(lane);
	uint32_t block, found = 0, held = TAPIO_STATE_HELD(state);
	int tries = PUT_BACK_TRIES;

	if (!tpi_lane_state_sane(lane, state) ||
	    (dead == TAPIO_ABANDONED && !on_cpu))
		return 0;
	for (block = 0; block <= lane->mask && found < held; block++) {
		if (!is_left(lane, state, dead, block, &word))
			continue;
		mine = TAPIO_TICKET(sweeper, TAPIO_TICKET_PLACE(word));
		TPI_TESTPOINT("ticket.looked");
		if (!swap_ticket(lane, block, &word, mine))
			continue;
		TPI_TESTPOINT("sweep.taken");
		put_back(lane, block, carried(mine), on_cpu, &tries);
		found++;
	}
	return (int)found;
}
