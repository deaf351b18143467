/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of a lane: which block lies where, and in whose hands the others are.
 *
 * A lane may be published to every 50 ns, and a look at N descriptors takes longer. So the
 * look catches up: it copies [reap, tail), loads the state again, copies what was published
 * meanwhile, which is less, and so on, until a load finds the state that it has copied.
 *
 *  R1	Positions from reap to tail are not written, but for type and length at reap (L4).
 *	reap and tail only grow. So a position that was copied between two loads of the
 *	state, and is not below reap of the second, was copied as it was at both.
 *  R2	A position that was overtaken during its copy may hold anything. It is below reap
 *	then, and is taken out again with the value with which it was put in.
 *  R3	So when a load finds the state S that the copy is of, the copy is the ring of S.
 *	State words never repeat (L3). Descriptors of [reap, tail) name exactly the blocks
 *	in the ring, so what is twice, or no block of the lane, is SURE.
 *  R4	place: a block that was in the ring at S and still is at S', loaded after its
 *	ticket, was there all the time. If the ticket bears an owner, it has the index of
 *	its position, at each instant: T1.
 *  R5	holder: a block that is not in the ring at S, with a ticket that is read while S is
 *	still the state, is out of the ring. So its owner was stored by a committed reserve,
 *	or by a swap since (T3), and is not 0. The id of a producer is on no block before
 *	its record is ALIVE nor when that is FREE, since the sweep comes before. The
 *	ticket is loaded before and after the look at the record.
 *
 * An abandoned block needs no hint: hints may be lost, and the broker looks at all lanes
 * every 16 seconds (broker/repair/reaper.c). So that is no invariant.
 */
#include <string.h>

#include "lib/base/testpoint.h"
#include "tools/inspect/check_inner.h"

#define TRIES 4000 /* loads of the state, for one ring */

struct ring {
	struct tpi_checker *c;
	const struct tpi_lane *lane;
	struct tpi_where where;
	uint64_t state; /* of which the copy is */
	int tries;
};

static uint64_t load_state(const struct ring *r)
{
	TPI_TESTPOINT("ring.copied");
	/* ORDER lane.state (load-load): the descriptors that were copied, before
	 * this look. Pairs with the order of a section's stores: the commit that frees an
	 * entry comes before the stores into it. */
	tpi_fence_load_load();
	return tpi_lane_peek(r->lane);
}

static uint16_t *times_of(const struct ring *r, uint64_t position)
{
	uint32_t mask = r->lane->mask;
	uint32_t block = TAPIO_DESC_BLOCK(r->c->descs[position & mask]);

	/* Those that are no block of the lane count together. */
	return &r->c->times[block <= mask ? block : mask + 1];
}

static void take_out(struct ring *r, uint64_t from, uint64_t to)
{
	for (; from != to; from++)
		--*times_of(r, from);
}

static void put_in(struct ring *r, uint64_t from, uint64_t to)
{
	for (; from != to; from++) {
		uint64_t index = from & r->lane->mask;

		/* Relaxed: after the state, by its acquire. */
		r->c->descs[index] = tpi_load_relaxed(&r->lane->desc[index]);
		++*times_of(r, from);
	}
}

/* All of it anew, for a state. */
static void copy_all(struct ring *r, uint64_t state)
{
	uint64_t reap = tpi_lane_reap(r->lane, state);

	memset(r->c->times, 0,
	       ((size_t)r->lane->mask + 2) * sizeof(*r->c->times));
	put_in(r, reap, reap + r->lane->mask + 1 - TAPIO_STATE_HELD(state));
	r->state = state;
}

/* R1, R2: from the state that it is of to a later one. */
static void catch_up(struct ring *r, uint64_t state)
{
	uint64_t reap = tpi_lane_reap(r->lane, r->state);
	uint64_t tail = TAPIO_STATE_TAIL(r->state);
	int64_t left = tapio_position_diff(tpi_lane_reap(r->lane, state), reap);
	int64_t came = tapio_position_diff(TAPIO_STATE_TAIL(state), tail);
	int64_t in = r->lane->mask + 1 - TAPIO_STATE_HELD(r->state);

	if (left < 0 || left > in || came < 0 || came > r->lane->mask + 1 ||
	    in - left + came != r->lane->mask + 1 - TAPIO_STATE_HELD(state)) {
		copy_all(r, state); /* overtaken by a lap, or impossible */
		return;
	}
	take_out(r, reap, reap + (uint64_t)left);
	put_in(r, tail, tail + (uint64_t)came);
	r->state = state;
}

/* R3. False: it turns faster than we copy, or the state is impossible. */
static bool follow(struct ring *r)
{
	uint64_t state;

	while (r->tries-- > 0) {
		state = load_state(r);
		if (!tpi_lane_state_sane(r->lane, state))
			return false;
		if (state == r->state)
			return true;
		catch_up(r, state);
	}
	return false;
}

/* True: the ring is a ring. */
static bool check_blocks(struct ring *r)
{
	uint64_t position = tpi_lane_reap(r->lane, r->state);
	uint32_t in = r->lane->mask + 1 - TAPIO_STATE_HELD(r->state);
	bool good = true;

	for (; in--; position++) {
		uint64_t desc = r->c->descs[position & r->lane->mask];
		uint32_t block = TAPIO_DESC_BLOCK(desc);

		tpi_check_that(r->c, block <= r->lane->mask, TPI_SURE,
			       TPI_RULE_RING_BLOCK, &r->where, desc,
			       {"position", position & TAPIO_POSITION_MASK},
			       {"block", block},
			       {"blocks", (uint64_t)r->lane->mask + 1});
		tpi_check_that(r->c,
			       block > r->lane->mask || r->c->times[block] == 1,
			       TPI_SURE, TPI_RULE_RING_TWICE, &r->where, desc,
			       {"position", position & TAPIO_POSITION_MASK},
			       {"block", block},
			       {"times", r->c->times[block & r->lane->mask]});
		good &= block <= r->lane->mask && r->c->times[block] == 1;
	}
	return good;
}

/* R4. */
static void check_place(struct ring *r, uint64_t position)
{
	uint32_t mask = r->lane->mask;
	uint32_t block = (uint32_t)r->c->descs[position & mask] & mask;
	/* Relaxed: between two looks at the state. */
	uint64_t ticket = tpi_load_relaxed(&r->lane->tickets[block]), state;
	uint32_t index = TAPIO_TICKET_PLACE(ticket) & mask;

	r->c->report->checks++;
	if (TAPIO_TICKET_OWNER(ticket) == TAPIO_NOBODY ||
	    index == (uint32_t)(position & mask))
		return;
	state = load_state(r);
	if (tapio_position_diff(position, tpi_lane_reap(r->lane, state)) < 0)
		return; /* it was taken meanwhile */
	tpi_check_fail(r->c, TPI_SURE, TPI_RULE_RING_PLACE, &r->where, ticket,
		       TPI_COUNTED({"position", position & TAPIO_POSITION_MASK},
				   {"block", block}, {"index", index},
				   {"owner", TAPIO_TICKET_OWNER(ticket)}),
		       NULL);
}

static void check_places(struct ring *r)
{
	uint64_t position = tpi_lane_reap(r->lane, r->state);
	uint32_t in = r->lane->mask + 1 - TAPIO_STATE_HELD(r->state);

	for (; in--; position++)
		check_place(r, position);
}

/* R5, for one block. True: nothing to say, or it was said. False: the ring moved. */
static bool check_holder(struct ring *r, uint32_t block)
{
	uint64_t *word = &r->lane->tickets[block];
	/* ORDER block.ticket (acquire): the record of its owner. Pairs with the
	 * swaps of sweep.c. */
	uint64_t ticket = tpi_load_acquire(word);
	uint32_t owner = TAPIO_TICKET_OWNER(ticket);
	bool known = owner == TAPIO_ABANDONED ||
		     (owner != TAPIO_NOBODY &&
		      tpi_check_produces(r->c, r->where.channel, owner));

	r->c->report->checks++;
	if (known)
		return true;
	/* ORDER block.ticket (load-load): the record before this look. Pairs with
	 * the swap of the sweep, before the record is FREE. */
	tpi_fence_load_load();
	if (tpi_load_relaxed(word) != ticket || load_state(r) != r->state)
		return false;
	tpi_check_fail(r->c, TPI_SURE, TPI_RULE_RING_HOLDER, &r->where, ticket,
		       TPI_COUNTED({"block", block}, {"owner", owner},
				   {"held", TAPIO_STATE_HELD(r->state)},
				   {"tail", TAPIO_STATE_TAIL(r->state)}),
		       NULL);
	return true;
}

/*
 * All blocks that are out. One whose word looks wrong is looked at again in the ring as it
 * is then, where it may lie.
 */
static bool check_holders(struct ring *r)
{
	uint32_t block = 0;

	while (block <= r->lane->mask) {
		if (r->c->times[block] || check_holder(r, block))
			block++;
		else if (!follow(r))
			return false;
	}
	return true;
}

void tpi_check_ring(struct tpi_checker *c, uint32_t channel, uint32_t id)
{
	struct ring r = {
		.c = c,
		.lane = &c->inspect->channels[channel].channel.lanes[id],
		.where = TPI_NOWHERE,
		.tries = TRIES,
	};
	uint64_t state = tpi_lane_peek(r.lane);

	r.where.channel = channel;
	r.where.lane = id;
	if (!tpi_lane_state_sane(r.lane, state))
		return; /* lane.held says so */
	copy_all(&r, state);
	if (follow(&r)) {
		/* A ring that is none does not tell which blocks are out. */
		if (!check_blocks(&r))
			return;
		check_places(&r);
		if (check_holders(&r))
			return;
	}
	if (r.tries <= 0)
		tpi_check_fail(c, TPI_UNREAD, TPI_RULE_RING_STEADY, &r.where,
			       state, TPI_COUNTED({"tries", TRIES}), NULL);
}
