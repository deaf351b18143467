/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a lane by themselves.
 *
 *  held	One word. reserve refuses beyond N / 2, and nothing else takes a block (a claim
 *	takes one that is held already).
 *  tail	Two loads of one word, in order, by one thread: it cannot go back between them
 *	(L3 of lib/lane/lane.c). The same for the position of the gate (G1) and for the
 *	counts of refusals, which are atomic additions.
 *  gate	It was computed from a tail, and is loaded before the tail (A2 of judge.c).
 *  reap	State, then gate: reap(t0) <= gate(t0) <= gate(t1), by G5.
 *  owner	A producer is told its id after its record is ALIVE, and its lanes are freed
 *	before the record is FREE. So a word that bears the id before and after a look at
 *	the record, which bears it not, is no honest one. On an isolated channel the
 *	broker stores the owner before the record, and may be stopped there.
 */
#include "tools/inspect/check_inner.h"

struct tpi_named tpi_check_named(const struct tpi_checker *c, uint32_t id)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;
	uint32_t index = TAPIO_ATTACHMENT_INDEX(id), state;
	const struct tapio_shm_attachment *a;
	struct tpi_named named = {0};

	if (!index || index >= catalog->attachment_count)
		return named;
	a = &catalog->attachments[index];
	/* ORDER attachment.state (acquire): the record was filled before. Pairs
	 * with the broker's release. */
	state = tpi_load_acquire(&a->state);
	named.role = tpi_load_relaxed(&a->role);
	named.channel = tpi_load_relaxed(&a->channel);
	named.slot = tpi_load_relaxed(&a->group_slot);
	named.live = (state == TAPIO_ATTACHMENT_ALIVE ||
		      state == TAPIO_ATTACHMENT_DEAD) &&
		     tpi_load_relaxed(&a->id) == id;
	return named;
}

bool tpi_check_produces(const struct tpi_checker *c, uint32_t channel,
			uint32_t id)
{
	struct tpi_named named;

	/* Relaxed: written before anybody was served. The record of the broker's
	 * own id stays FREE. */
	if (id == tpi_load_relaxed(&c->inspect->catalog.broker->attachment))
		return true;
	named = tpi_check_named(c, id);
	return named.live && named.role == TAPIO_ROLE_PRODUCE &&
	       named.channel == channel;
}

static void check_positions(struct tpi_checker *c, const struct tpi_lane *lane,
			    struct tpi_lane_before *before,
			    const struct tpi_where *where)
{
	uint64_t gate, later, state, tail, reap;

	/* ORDER lane.gate (acquire): older than the state loaded next. Pairs with
	 * the swap in raise_gate() of a value computed from a tail. */
	gate = tpi_load_acquire(&lane->shm->gate) & TAPIO_POSITION_MASK;
	/* ORDER lane.state (acquire): and that is older than the next gate. Pairs
	 * with the commit of every operation (lib/lane/lane.c). */
	state = tpi_load_acquire(&lane->shm->state);
	later = tpi_load_acquire(&lane->shm->gate) & TAPIO_POSITION_MASK;
	tail = TAPIO_STATE_TAIL(state);
	reap = tpi_lane_reap(lane, state);
	tpi_check_that(c, TAPIO_STATE_HELD(state) <= (lane->mask + 1) / 2,
		       TPI_SURE, TPI_RULE_LANE_HELD, where, state,
		       {"held", TAPIO_STATE_HELD(state)},
		       {"blocks", (uint64_t)lane->mask + 1}, {"tail", tail});
	tpi_check_that(c, tapio_position_diff(tail, gate) >= 0, TPI_SURE,
		       TPI_RULE_LANE_GATE, where, state, {"gate", gate},
		       {"tail", tail});
	/* Of a state that is impossible itself reap says nothing. */
	if (tpi_lane_state_sane(lane, state))
		tpi_check_that(c, tapio_position_diff(later, reap) >= 0,
			       TPI_SURE, TPI_RULE_LANE_REAP, where, state,
			       {"gate", later}, {"reap", reap}, {"tail", tail},
			       {"held", TAPIO_STATE_HELD(state)});
	if (before->seen) {
		tpi_check_that(c, tapio_position_diff(tail, before->tail) >= 0,
			       TPI_SURE, TPI_RULE_LANE_TAIL, where, state,
			       {"tail", tail}, {"tail_before", before->tail});
		tpi_check_that(c, tapio_position_diff(gate, before->gate) >= 0,
			       TPI_SURE, TPI_RULE_LANE_GATE, where, state,
			       {"gate", gate}, {"gate_before", before->gate});
	}
	before->tail = tail;
	before->gate = later;
}

static void check_dropped(struct tpi_checker *c, const struct tpi_lane *lane,
			  struct tpi_lane_before *before,
			  const struct tpi_where *where)
{
	for (int i = 0; i < TAPIO_DROP_CAUSES; i++) {
		/* Relaxed: counts, each by itself. */
		uint64_t dropped = tpi_load_relaxed(&lane->shm->dropped[i]);

		if (before->seen)
			tpi_check_that(c, dropped >= before->dropped[i],
				       TPI_SURE, TPI_RULE_LANE_DROPPED, where,
				       dropped, {"cause", (uint64_t)i},
				       {"dropped", dropped},
				       {"dropped_before", before->dropped[i]});
		before->dropped[i] = dropped;
	}
}

static void check_owner(struct tpi_checker *c, const struct tpi_lane *lane,
			uint32_t channel, const struct tpi_where *where)
{
	bool isolated =
		tpi_channel_isolated(&c->inspect->channels[channel].channel);
	/* ORDER lane.owner (acquire): its record, which was ALIVE before. Pairs
	 * with the release, and the swap, of the owner. */
	uint32_t again, owner = tpi_load_acquire(&lane->shm->owner);
	bool known;

	if (lane->cpu != TAPIO_CPU_SIDE || owner == TAPIO_NOBODY)
		return;
	known = tpi_check_produces(c, channel, owner);
	/* ORDER lane.owner (load-load): the record before this look. Pairs with
	 * the release by the broker, which comes before the record is FREE. */
	tpi_fence_load_load();
	again = tpi_load_relaxed(&lane->shm->owner);
	tpi_check_that(c, known || again != owner,
		       isolated ? TPI_LEFT : TPI_SURE, TPI_RULE_LANE_OWNER,
		       where, owner, {"owner", owner});
}

void tpi_check_lane(struct tpi_checker *c, uint32_t channel, uint32_t id)
{
	const struct tpi_lane *lane =
		&c->inspect->channels[channel].channel.lanes[id];
	struct tpi_lane_before *before = &c->before[channel].lanes[id];
	struct tpi_where where = TPI_NOWHERE;

	where.channel = channel;
	where.lane = id;
	check_positions(c, lane, before, &where);
	check_dropped(c, lane, before, &where);
	check_owner(c, lane, channel, &where);
	before->seen = true;
}
