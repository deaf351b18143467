/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that are out of the ring and whose holder cannot put them back: given
 * up by a thread that moved (abandon), claimed by the next producer (claim), or
 * taken back from the dead (sweep).
 *
 * WHY A SWAP IS ENOUGH. The sweeper looks for blocks whose owner word is X, that
 * are not in the ring, when X is dead:
 *
 *  S1  Not in the ring implies that `owner` is the true holder (lane.c, L6).
 *  S2  A block that X published and that still bears X's name lies where X put
 *	it, before the tail read in step 1 of the scan, and so is in the bitmap.
 *  S3  If anyone took it since, its owner is no longer X (output writes NOBODY,
 *	reserve its own name), and the swap X -> sweeper fails.
 *  S4  X is dead: nobody writes X any more. So a swap that succeeds takes a block
 *	that X held when it died, and takes it once.
 *  S5  SIGKILL of the sweeper after a swap leaves a block under its own name,
 *	which the next broker sweeps like anyone else's.
 *
 * The scan takes no lock and stops nobody. Abandoned blocks are swept the same
 * way, with ABANDONED for X; a producer that claims one meanwhile wins or loses
 * the same swap.
 */
#include <errno.h>
#include <string.h>

#include "lib/lane/lane.h"

/* A publish that is aborted this often in a row has lost its CPU. */
#define PUT_BACK_TRIES 1000

void tpi_lane_abandon(const struct tpi_lane *lane, uint32_t block)
{
	/*
	 * ORDER block.owner (release): the holder's last access to the block
	 * before the name that lets others take it. Pairs with the swaps in
	 * tpi_lane_claim() and tpi_lane_sweep(). SIGKILL after it: the hint is
	 * missing, and the sweep for the dead process's own blocks, which goes
	 * through the abandoned too, finds it.
	 */
	tpi_store_release(&lane->owner[block], TAPIO_ABANDONED);
	/* Relaxed: a hint. A producer that does not see it yet is refused as if
	 * the block were still held. */
	tpi_store_relaxed(&lane->shm->hint, 1);
}

int tpi_lane_claim(const struct tpi_lane *lane, uint32_t me, uint32_t *at,
		   uint32_t limit)
{
	uint32_t i, block, owner, count = lane->mask + 1;

	/* Relaxed: see tpi_lane_abandon(). Cleared before the look, so that a
	 * block abandoned during it sets it again. */
	if (!tpi_load_relaxed(&lane->shm->hint))
		return -ENOENT;
	tpi_store_relaxed(&lane->shm->hint, 0);
	if (limit > count)
		limit = count;
	for (i = 0; i < limit; i++) {
		block = (*at)++ & lane->mask;
		owner = TAPIO_ABANDONED;
		if (tpi_load_relaxed(&lane->owner[block]) != owner)
			continue;
		/* ORDER block.owner (acquire): pairs with the release in
		 * tpi_lane_abandon(). */
		if (!tpi_cas_acq_rel(&lane->owner[block], &owner, me))
			continue;
		tpi_store_relaxed(&lane->shm->hint, 1); /* perhaps not alone */
		return (int)block;
	}
	if (limit < count)
		tpi_store_relaxed(&lane->shm->hint, 1);
	return -ENOENT;
}

/* Step 1: which blocks lie in the ring; the number that do not. */
static uint32_t scan_ring(const struct tpi_lane *lane, uint64_t *bitmap)
{
	uint64_t state = tpi_lane_peek(lane);
	uint64_t tail = TAPIO_STATE_TAIL(state);
	uint64_t position;
	uint32_t block;

	if (!TAPIO_STATE_HELD(state) || !tpi_lane_state_sane(lane, state))
		return 0;
	memset(bitmap, 0, ((size_t)lane->mask + 64) / 64 * sizeof(*bitmap));
	for (position = tpi_lane_reap(lane, state); position != tail;
	     position = (position + 1) & TAPIO_POSITION_MASK) {
		block = (uint32_t)tpi_load_relaxed(
				&lane->desc[position & lane->mask]) &
			lane->mask;
		bitmap[block / 64] |= UINT64_C(1) << block % 64;
	}
	/*
	 * ORDER lane.reuse (load-load): the descriptors before the owners: an
	 * owner that is X after the scan was X during it. Pairs with the order
	 * of stores in the sections (owner, then state, then, store-store, the
	 * descriptor that a later one puts into the slot).
	 */
	tpi_fence_load_load();
	return TAPIO_STATE_HELD(state);
}

/* Step 3: back into the ring as a discard, or to whoever runs there. */
static void put_back(const struct tpi_lane *lane, uint32_t block, bool on_cpu)
{
	uint64_t desc = TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) | block;
	int tries, err;

	for (tries = 0; on_cpu && tries < PUT_BACK_TRIES; tries++) {
		err = tpi_lane_publish(lane, &desc, 1, 0);
		if (!err)
			return;
		if (err != TPI_MOVED)
			break;
	}
	tpi_lane_abandon(lane, block);
}

int tpi_lane_sweep(const struct tpi_lane *lane, uint32_t dead, uint32_t sweeper,
		   bool on_cpu, uint64_t *scratch)
{
	uint32_t held = scan_ring(lane, scratch);
	uint32_t block, owner, found = 0;

	if (dead == TAPIO_ABANDONED && !on_cpu)
		return 0;
	for (block = 0; block <= lane->mask && found < held; block++) {
		owner = dead;
		if (scratch[block / 64] >> block % 64 & 1 ||
		    tpi_load_relaxed(&lane->owner[block]) != owner)
			continue;
		/* Step 2. ORDER block.owner (acquire): pairs with the release in
		 * tpi_lane_abandon(). */
		if (!tpi_cas_acq_rel(&lane->owner[block], &owner, sweeper))
			continue;
		put_back(lane, block, on_cpu);
		found++;
	}
	return (int)found;
}
