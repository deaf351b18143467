/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One group on one lane: the ledger, the lease and its cells, and the group's histogram. For a
 * slot that was found ACTIVE, with memory that is had. Nothing is said unless the slot's
 * word and the group's `admitted` are the same afterwards.
 *
 *  head	Loaded before the tail, which it was at most (A2 of judge.c): SURE.
 *  start, tally	Of the group that was admitted, before whose answer the start is written,
 *	from a head that stood still while they were read. The cell has one writer, which
 *	stores the other tally first (R1, R2 of release.c): LASTS.
 *  gate	The slot is lossless while the broker still raises the heads of a durable
 *	group (PROMOTION, group.c). `members` says 0 then. So it is loaded before the gate, and
 *	the whole gate, whose epoch each promotion changes, is among the words that must be
 *	the same: LASTS. If the broker is stopped in the middle, members is 0 for all looks.
 *	(A gate beyond the tail is lane.gate's. That a lossless group is at most a lap behind
 *	follows from lane.reap.)
 *  incarnation	A head of another group is left by a stranger alone.
 *  back	Heads grow, but for a holder that finds a stranger's (A1). The lease names the
 *	same cell before and after the load, and no new memory came.
 *  found	Members store it when they have found what SURE rules say, and it stays.
 *  lease	One word, of a slot that is ACTIVE before and after: SURE.
 *  cell	A cell that counts is never free (lease.h, 1): it is in use, or GIVEN. The owner is
 *	loaded between two loads of a lease word, which does not come back.
 *  holder	A former member that was stopped before its swap leaves its name, and the broker
 *	clears it once a second: LEFT.
 *  histogram	Additions may be lost, and a kill leaves `count` and buckets apart, so they have
 *	no sum to hold. But a bucket that reaches 2^31 is halved by the member that has made
 *	it so, or, if that is killed, by the next one. Each adds far less than 2^30: LEFT.
 *
 * A finding that a stranger can cause is LEFT, unless this is the first group in that memory.
 */
#include <errno.h>

#include "lib/lane/cursor.h"
#include "lib/lane/histogram.h"
#include "tools/inspect/check_inner.h"

struct sight {
	struct tpi_checker *c;
	const struct tapio_shm_group *group;
	const struct tapio_shm_cursor *cursor;
	const struct tpi_lane *lane;
	struct tpi_where where;
	uint64_t slot;
	bool strangers; /* a former group had the memory */
	uint32_t members;
	uint64_t gate; /* with its epoch */
};

/* Of what only strangers can cause besides liars. */
static enum tpi_proof proof(const struct sight *s, enum tpi_proof alone)
{
	return s->strangers ? TPI_LEFT : alone;
}

static bool is_group(const struct sight *s)
{
	/* ORDER group.slot (load-load): all that was read before this look. Pairs
	 * with the broker's release: the cursors change after the slot was FREE. */
	tpi_fence_load_load();
	return tpi_load_relaxed(&s->group->slot) == s->slot;
}

/* ---- the ledger ------------------------------------------------------------------ */

static void fail_ledger(struct sight *s, enum tpi_proof how, enum tpi_rule rule,
			const struct tpi_ledger *l)
{
	uint64_t words = tpi_words(l->word, l->lease_word, s->gate, s->members);

	tpi_check_fail(s->c, how, rule, &s->where, words,
		       TPI_COUNTED({"head", l->head}, {"tail", l->tail},
				   {"gate", l->gate}, {"start", l->start},
				   {"skipped", l->skipped},
				   {"lost", tpi_ledger_tallied(l)}),
		       NULL);
}

/* ISOLATED: where the lane began in its memory. */
static uint64_t begin_of(const struct sight *s)
{
	const struct tpi_inspect *inspect = s->c->inspect;
	const struct tpi_channel *channel =
		&inspect->channels[s->where.channel].channel;

	return tpi_load_relaxed(
		&inspect->catalog
			 .spans[channel->info.first_place + s->where.lane]
			 .begin);
}

/* Whether the group holds the gate for certain, all the time, and it is its fault. */
static bool holds_gate(const struct sight *s, const struct tpi_ledger *l)
{
	if (tapio_position_diff(l->gate, l->tail) > 0)
		return false;
	/* It had not read what was before the memory of this producer, and lost it. */
	if (tpi_channel_isolated(
		    &s->c->inspect->channels[s->where.channel].channel) &&
	    tapio_position_diff(l->head, begin_of(s)) < 0)
		return false;
	return TAPIO_SLOT_POLICY(s->slot) != TAPIO_GROUP_LOSSLESS || s->members;
}

static void check_ledger(struct sight *s, const struct tpi_ledger *l)
{
	static const struct {
		uint32_t fault;
		enum tpi_rule rule;
		enum tpi_proof proof;
		bool holding; /* only of one that holds the gate */
	} rows[] = {
		{TPI_FAULT_GATE, TPI_RULE_CURSOR_GATE, TPI_LASTS, true},
		{TPI_FAULT_HEAD, TPI_RULE_CURSOR_HEAD, TPI_SURE, false},
		{TPI_FAULT_START, TPI_RULE_CURSOR_START, TPI_LASTS, false},
		{TPI_FAULT_TALLY, TPI_RULE_CURSOR_TALLY, TPI_LASTS, false},
		{TPI_FAULT_FOREIGN, TPI_RULE_CURSOR_INCARNATION, TPI_LASTS,
		 false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s->c->report->checks++;
		if (!(l->faults & rows[i].fault) ||
		    (rows[i].holding && !holds_gate(s, l)))
			continue;
		fail_ledger(s,
			    rows[i].proof == TPI_SURE ? TPI_SURE
						      : proof(s, TPI_LASTS),
			    rows[i].rule, l);
	}
	if (l->faults & TPI_FAULT_UNSTEADY)
		fail_ledger(s, TPI_UNREAD, TPI_RULE_CURSOR_STEADY, l);
	tpi_check_that(s->c, !(l->faults & TPI_FAULTS_FOUND),
		       proof(s, TPI_LASTS), TPI_RULE_CURSOR_FOUND, &s->where,
		       l->faults & TPI_FAULTS_FOUND,
		       {"state", !!(l->faults & TPI_FAULT_STATE)},
		       {"descriptor", !!(l->faults & TPI_FAULT_DESCRIPTOR)});
}

/* Against the look before. */
static void check_back(struct sight *s, const struct tpi_ledger *l)
{
	uint32_t lanes =
		s->c->inspect->channels[s->where.channel].channel.lane_count;
	struct tpi_head_before *before =
		&s->c->before[s->where.channel]
			 .heads[(size_t)s->where.slot * lanes + s->where.lane];
	uint32_t epoch = tpi_load_relaxed(&s->group->epoch);
	/* Of the group: the policy and the lag may change. */
	uint64_t slot = TAPIO_SLOT_INCARNATION(s->slot) + 1;

	if (l->faults & (TPI_FAULT_FOREIGN | TPI_FAULT_UNSTEADY)) {
		before->slot = 0;
		return;
	}
	if (before->slot == slot && before->epoch == epoch)
		tpi_check_that(s->c,
			       tapio_position_diff(l->head, before->head) >= 0,
			       proof(s, TPI_SURE), TPI_RULE_CURSOR_BACK,
			       &s->where, l->word, {"head", l->head},
			       {"head_before", before->head});
	before->slot = slot;
	before->epoch = epoch;
	before->head = l->head;
}

/* ---- the lease ------------------------------------------------------------------- */

static bool is_member(const struct sight *s, uint32_t id)
{
	struct tpi_named named = tpi_check_named(s->c, id);

	return named.live && named.role == TAPIO_ROLE_CONSUME &&
	       named.channel == s->where.channel && named.slot == s->where.slot;
}

static void check_cells(struct sight *s)
{
	for (uint32_t i = 0; i < TAPIO_CELLS; i++) {
		/* ORDER cursor.owner (acquire): the record of its owner. Pairs
		 * with the swap in claim_cell(). */
		uint64_t owner = tpi_load_acquire(&s->cursor->cells[i].owner);
		uint32_t id = TAPIO_CELL_OWNER(owner);

		if (id == TAPIO_NOBODY || owner & TAPIO_CELL_GIVEN)
			continue;
		tpi_check_that(s->c, is_member(s, id), TPI_LEFT,
			       TPI_RULE_CURSOR_HOLDER, &s->where, owner,
			       {"cell", i}, {"owner", id});
	}
}

static void check_lease(struct sight *s)
{
	/* ORDER cursor.lease (acquire): the record of its holder, and the owner of
	 * the cell. Pairs with the swap in tpi_lease_take(). */
	uint64_t lease = tpi_load_acquire(&s->cursor->lease), owner;
	uint32_t cell = TAPIO_LEASE_CELL(lease);
	uint32_t holder = TAPIO_LEASE_HOLDER(lease);
	bool free_cell;

	owner = tpi_load_acquire(
		&s->cursor->cells[tpi_lease_cell(lease)].owner);
	/* ORDER cursor.lease (load-load): the owner before this look. Pairs with
	 * T4, in move(). */
	tpi_fence_load_load();
	free_cell = !(owner & TAPIO_CELL_GIVEN) && !TAPIO_CELL_OWNER(owner) &&
		    tpi_load_relaxed(&s->cursor->lease) == lease;
	if (!is_group(s))
		return;
	tpi_check_that(s->c, cell < TAPIO_CELLS, TPI_SURE,
		       TPI_RULE_CURSOR_LEASE, &s->where, lease, {"cell", cell},
		       {"cells", TAPIO_CELLS});
	tpi_check_that(s->c, !free_cell || cell >= TAPIO_CELLS,
		       proof(s, TPI_LASTS), TPI_RULE_CURSOR_CELL, &s->where,
		       tpi_words(lease, owner, 0, 0), {"cell", cell},
		       {"owner", owner});
	tpi_check_that(s->c, holder == TAPIO_NOBODY || is_member(s, holder),
		       TPI_LEFT, TPI_RULE_CURSOR_HOLDER, &s->where, lease,
		       {"holder", holder}, {"cell", cell});
	check_cells(s);
}

/* ---- the histogram ---------------------------------------------------------------- */

static void check_histogram(struct tpi_checker *c,
			    const struct tapio_shm_histogram *h,
			    const struct tpi_where *where)
{
	const uint32_t most = TPI_HISTOGRAM_FULL + TPI_HISTOGRAM_FULL / 2;

	for (uint32_t i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++) {
		/* Relaxed: a figure. */
		uint32_t bucket = tpi_load_relaxed(&h->bucket[i]);

		tpi_check_that(c, bucket <= most, TPI_LEFT, TPI_RULE_HISTOGRAM,
			       where, bucket, {"bucket", i}, {"events", bucket},
			       {"halved_at", TPI_HISTOGRAM_FULL});
	}
}

/* One for each slot: with its first lane. */
static void check_group(struct sight *s)
{
	const struct tpi_cursors *cursors =
		&s->c->inspect->channels[s->where.channel]
			 .cursors[s->where.slot];
	struct tpi_where where = s->where;

	where.lane = TPI_NONE;
	if (!s->where.lane && cursors->histogram)
		check_histogram(s->c, cursors->histogram, &where);
}

void tpi_check_cursor(struct tpi_checker *c, uint32_t channel, uint32_t slot,
		      uint32_t lane)
{
	const struct tpi_inspect_channel *ic = &c->inspect->channels[channel];
	struct sight s = {
		.c = c,
		.group = &tpi_inspect_groups(c->inspect, channel)[slot],
		.cursor = &ic->cursors[slot].cursors[lane],
		.lane = &ic->channel.lanes[lane],
		.where = {TPI_NONE, channel, lane, slot, TPI_NONE},
	};
	struct tpi_ledger ledger;
	int err;

	/* ORDER group.slot (acquire): the slot's words belong to this group. Pairs
	 * with the broker's release when it activates the slot. */
	s.slot = tpi_load_acquire(&s.group->slot);
	s.strangers = TAPIO_SLOT_INCARNATION(s.slot) > 1 ||
		      tpi_load_relaxed(&s.group->epoch) > 1;
	/* Acquire: before the gate. */
	s.members = tpi_load_acquire(&s.group->members);
	/* ORDER lane.gate (acquire): this gate, with its epoch, is older than the
	 * heads. Pairs with tpi_gate_seal(). */
	s.gate = tpi_load_acquire(&s.lane->shm->gate);
	err = tpi_inspect_ledger(c->inspect, channel, lane, slot, &ledger);
	if (err || !is_group(&s))
		return; /* free, or joining: slot.admitted says so */
	check_ledger(&s, &ledger);
	check_back(&s, &ledger);
	check_lease(&s);
	check_group(&s);
}
