/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which member of a group consumes which lane.
 *
 *   lease:  0 --(swap)--> me --(store)--> 0        me dead --(broker)--> 0
 *
 * A lane that is nobody's is taken by whoever sees it first: members on its node
 * at once, others when it was still nobody's at their next survey. A lane is kept
 * until another member asks for it (`want`). A member asks when it has two busy
 * lanes fewer than somebody else, for half the difference; so every step makes the
 * group more even, and an even group asks for nothing. Idle lanes do not count:
 * whoever has them looks at them, and when one becomes busy it is counted.
 *
 * SIGKILL after the swap: the lease bears a dead name, the broker clears it and
 * rings. After `want`: the holder gives the lane to nobody, and somebody takes it.
 * SIGSTOP with leases: those lanes wait for us, the others go on. Nothing is lost:
 * the next holder goes on from head.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

#define BALANCE_NS  INT64_C(50000000)
#define REST_NS     INT64_C(200000000)
#define HOLDERS_MAX 64

/* What one survey of the group's lanes found. */
struct survey {
	uint32_t mine; /* busy lanes of ours */
	uint32_t holder_count;
	struct holder {
		uint32_t name;
		uint32_t busy;
	} holders[HOLDERS_MAX];
};

static uint32_t priority(const struct tapio_consumer *c,
			 const struct tpi_track *t)
{
	return c->client.channel.info.classes[t->lane->klass].priority;
}

/* The highest priority below `limit` among leased lanes; false when there is
 * none. */
static bool next_priority(const struct tapio_consumer *c, uint64_t limit,
			  uint32_t *found)
{
	bool any = false;
	uint32_t i, p;

	for (i = 0; i < c->lane_count; i++) {
		if (!c->tracks[i].leased)
			continue;
		p = priority(c, &c->tracks[i]);
		if (p < limit && (!any || p > *found)) {
			*found = p;
			any = true;
		}
	}
	return any;
}

void tpi_lease_sort(struct tapio_consumer *c)
{
	struct tpi_track **at = c->leased;
	uint64_t limit = UINT64_MAX;
	uint32_t i, p = 0;

	c->level_count = 0;
	while (c->level_count < TAPIO_CLASSES_MAX &&
	       next_priority(c, limit, &p)) {
		struct tpi_level *level = &c->levels[c->level_count++];

		level->tracks = at;
		level->turn = 0;
		level->stayed = 0;
		for (i = 0; i < c->lane_count; i++)
			if (c->tracks[i].leased &&
			    priority(c, &c->tracks[i]) == p)
				*at++ = &c->tracks[i];
		level->count = (uint32_t)(at - level->tracks);
		limit = p;
	}
	c->stale = false;
}

/* ---- taking ----------------------------------------------------------------- */

/*
 * Where to go on when the head says nothing: at the gate, which has not passed
 * what the group had released; but the gate may be older than the group.
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

/* Goes on where the last holder left off. */
static void begin(struct tapio_consumer *c, struct tpi_track *t)
{
	const struct tpi_lane *lane = t->lane;
	uint64_t head, tail, position;

	/* ORDER cursor.head (acquire): the tally that it names. Pairs with the
	 * release in tpi_commit(). */
	head = tpi_load_acquire(&t->cell->head);
	tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	position = TAPIO_HEAD_POSITION(head);
	/* A head of another incarnation was written by a former member that woke
	 * up late: producers have not followed it, so the gate still stands at
	 * or before what our group had released. */
	if (TAPIO_HEAD_INCARNATION(head) != c->incarnation ||
	    tapio_position_diff(tail, position) < 0)
		position = restart(t);
	t->record = TAPIO_HEAD_RECORD(head);
	t->tally = t->cell->tally[t->record];
	t->head = t->next = t->seen = position;
	t->handed = t->skipped = t->lost = 0;
	t->asked = 0;
	t->giving = false;
	/* Relaxed: a mark of the holder before us, who may have died. */
	tpi_store_relaxed(&t->cell->watermark, 0);
	t->marked = 0;
	/* Relaxed: a request to the holder before us. */
	tpi_store_relaxed(&t->cursor->want, TAPIO_NOBODY);
}

static bool take(struct tapio_consumer *c, struct tpi_track *t)
{
	/* Relaxed: the swap decides. */
	uint64_t lease = tpi_load_relaxed(&t->cursor->lease), mine;

	if (TAPIO_LEASE_HOLDER(lease) != TAPIO_NOBODY)
		return false;
	mine = tpi_lease_next(lease, c->me, 0);
	/*
	 * ORDER cursor.lease (acquire): the last holder's head and tally. Pairs
	 * with the release in tpi_lease_give(), and with the broker's when it
	 * clears the lease of a dead member.
	 */
	if (!tpi_cas_acq_rel(&t->cursor->lease, &lease, mine))
		return false;
	TPI_TESTPOINT("lease.taken");
	t->lease = mine;
	t->cell = &t->cursor->cells[tpi_lease_cell(mine)];
	/* Relaxed: the swap gave us the cell, too. */
	tpi_store_relaxed(&t->cell->owner, c->me);
	t->leased = true;
	t->free_before = false;
	c->stale = true;
	begin(c, t);
	return true;
}

static bool is_near(const struct tapio_consumer *c, const struct tpi_track *t)
{
	unsigned int cpu, node;

	/* One node, or none that is known: everything is near. */
	if (c->client.map_count == 1 || t->node == UINT32_MAX)
		return true;
	return getcpu(&cpu, &node) || node == t->node;
}

void tpi_lease_free(struct tapio_consumer *c)
{
	int64_t now = 0;
	uint32_t i;

	if (c->ended)
		return;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		/* Relaxed: the swap decides. */
		if (t->leased || tpi_cursor_holder(t->cursor) != TAPIO_NOBODY)
			continue;
		if (!now)
			now = tpi_now_ns();
		if (now < t->rest_until)
			continue;
		if (t->free_before || is_near(c, t))
			take(c, t);
	}
}

/* ---- giving ------------------------------------------------------------------ */

void tpi_lease_drop(struct tapio_consumer *c, struct tpi_track *t)
{
	uint32_t me = c->me;

	/* ORDER cursor.owner (acq_rel): our last store there, before the cell is
	 * another's. Pairs with the swap in clear_cells() (broker/). A swap,
	 * since the broker may have ended us. */
	tpi_cas_acq_rel(&t->cell->owner, &me, TAPIO_NOBODY);
	t->leased = false;
	t->giving = false;
	t->marked = 0;
	t->head = t->next;
	t->handed = t->skipped = t->lost = 0;
	c->stale = true;
}

void tpi_lease_give(struct tapio_consumer *c, struct tpi_track *t)
{
	uint64_t lease = t->lease;

	/* Relaxed: before the release; a lane that is nobody's has no mark. */
	tpi_store_relaxed(&t->cell->watermark, 0);
	tpi_lease_drop(c, t);
	t->rest_until = tpi_now_ns() + REST_NS;
	/* Relaxed: before the release, so that the next holder clears only
	 * requests to itself. */
	tpi_store_relaxed(&t->cursor->want, TAPIO_NOBODY);
	/* ORDER cursor.lease (release): our head and tally, before the lane may
	 * be taken. Pairs with the swap in take(). A swap, since a lease that is
	 * not ours any more is not ours to clear. */
	tpi_cas_acq_rel(&t->cursor->lease, &lease,
			tpi_lease_next(lease, TAPIO_NOBODY, 0));
	TPI_TESTPOINT("lease.given");
}

/* Others' requests for our lanes; never the last busy one. */
static void answer(struct tapio_consumer *c, struct survey *s)
{
	uint32_t i;

	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		/* Relaxed: a request carries no data. */
		if (!t->leased || !tpi_load_relaxed(&t->cursor->want))
			continue;
		if (t->busy && s->mine <= 1) {
			tpi_store_relaxed(&t->cursor->want, TAPIO_NOBODY);
			continue;
		}
		s->mine -= t->busy;
		/* What is handed out is released first; tapio_release goes on. */
		if (t->next != t->head || t->touched)
			t->giving = true;
		else
			tpi_lease_give(c, t);
	}
}

/* ---- balance ------------------------------------------------------------------ */

static void count_holder(struct survey *s, uint32_t name)
{
	uint32_t i;

	for (i = 0; i < s->holder_count; i++)
		if (s->holders[i].name == name)
			break;
	if (i == HOLDERS_MAX)
		return; /* enough to find one that is richer */
	if (i == s->holder_count)
		s->holders[s->holder_count++] = (struct holder){.name = name};
	s->holders[i].busy++;
}

static void look_around(struct tapio_consumer *c, struct survey *s)
{
	uint32_t i, lease;
	uint64_t tail;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		/* Relaxed: a census, wrong by a moment. */
		tail = TAPIO_STATE_TAIL(tpi_load_relaxed(&t->lane->shm->state));
		lease = tpi_cursor_holder(t->cursor);
		t->busy = tail != t->seen_tail;
		t->seen_tail = tail;
		t->free_before = lease == TAPIO_NOBODY;
		if (t->leased)
			s->mine += t->busy;
		else if (t->busy && lease != TAPIO_NOBODY)
			count_holder(s, lease);
	}
}

/* Asks `name` for up to `count` of its busy lanes; how many are left to ask. */
static uint32_t ask(struct tapio_consumer *c, uint32_t name, uint32_t count,
		    bool near_only)
{
	uint32_t i, nobody;

	for (i = 0; i < c->lane_count && count; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (!t->busy || t->leased ||
		    tpi_cursor_holder(t->cursor) != name ||
		    (near_only && !is_near(c, t)))
			continue;
		nobody = TAPIO_NOBODY;
		/* A request that somebody else has made stands. */
		if (tpi_cas_relaxed(&t->cursor->want, &nobody, c->me) ||
		    nobody == c->me) {
			TPI_TESTPOINT("lease.wanted");
			count--;
		}
	}
	return count;
}

static void ask_the_richest(struct tapio_consumer *c, const struct survey *s)
{
	const struct holder *rich = NULL;
	uint32_t i, share;

	for (i = 0; i < s->holder_count; i++)
		if (!rich || s->holders[i].busy > rich->busy)
			rich = &s->holders[i];
	if (!rich || rich->busy < s->mine + 2)
		return;
	share = (rich->busy - s->mine) / 2;
	share = ask(c, rich->name, share, true);
	ask(c, rich->name, share, false);
}

/* To some milliseconds, for a fraction of what tpi_now_ns() costs. */
static int64_t roughly_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void tpi_lease_balance(struct tapio_consumer *c)
{
	int64_t now = roughly_now_ns();
	struct survey s;

	if (c->ended || now - c->balanced_ns < BALANCE_NS)
		return;
	c->balanced_ns = now;
	tpi_latency_refresh(&c->latency, &c->client);
	tpi_lease_free(c);
	look_around(c, &s);
	answer(c, &s);
	ask_the_richest(c, &s);
}

void tpi_lease_leave(struct tapio_consumer *c)
{
	uint32_t i;

	if (c->ended)
		return;
	for (i = 0; i < c->lane_count; i++)
		if (c->tracks[i].leased)
			tpi_lease_give(c, &c->tracks[i]);
}
