/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing a group's lanes: when a member takes, gives and asks.
 *
 * A free lane goes to the first member that looks: members on its node look at once,
 * others take it when it was free at their last survey, too. A lane is kept until
 * another member asks for it (`want`). A member asks when it has two busy lanes fewer
 * than another one, for half the difference. So every step makes the group more even,
 * and an even group asks for nothing. Idle lanes do not count: their holder looks at
 * them, and one that becomes busy is counted then.
 *
 * A survey looks at the leases of all lanes, and at the signs of life of their
 * holders, which takeover.c judges.
 *
 * SIGKILL after `want`: the holder gives the lane to nobody in particular, and the
 * next survey of any member takes it. SIGSTOP: takeover.c.
 */

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

#define BALANCE_NS INT64_C(50000000)

/* ---- levels -------------------------------------------------------------------- */

static uint32_t priority(const struct tpi_consumer *c,
			 const struct tpi_track *t)
{
	return c->client.channel.info.classes[t->lane->klass].priority;
}

/* The highest priority below `limit` among leased lanes; false without one. */
static bool next_priority(const struct tpi_consumer *c, uint64_t limit,
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

void tpi_lease_sort(struct tpi_consumer *c)
{
	struct tpi_track **at = c->leased;
	uint64_t limit = UINT64_MAX;
	uint32_t i, p = 0;

	c->level_count = 0;
	while (c->level_count < TAPIO_CLASSES_MAX &&
	       next_priority(c, limit, &p)) {
		struct tpi_level *level = &c->levels[c->level_count++];

		level->tracks = at;
		level->glances = c->glances + (at - c->leased);
		level->turn = 0;
		level->stayed = 0;
		for (i = 0; i < c->lane_count; i++)
			if (c->tracks[i].leased &&
			    priority(c, &c->tracks[i]) == p)
				*at++ = &c->tracks[i];
		level->count = (uint32_t)(at - level->tracks);
		limit = p;
	}
	c->leased_count = (uint32_t)(at - c->leased);
	c->beat = c->level_count ? &c->leased[0]->cell->beat : &c->no_beat;
	tpi_glances_forget(c);
	c->stale = false;
}

/* ---- a survey -------------------------------------------------------------------- */

static struct tpi_holder *find_holder(struct tpi_survey *s, uint32_t name)
{
	uint32_t i;

	for (i = 0; i < s->count; i++)
		if (s->holders[i].name == name)
			return &s->holders[i];
	s->holders[s->count] = (struct tpi_holder){.name = name};
	return &s->holders[s->count++];
}

/*
 * A lane that it has taken is a sign of life of its holder. One that it has not any more is
 * none: another member may have relieved it.
 */
static bool is_moved(struct tpi_track *t, uint32_t name)
{
	uint64_t signs = tpi_cell_signs(tpi_cursor_cell(t->cursor));
	bool moved = t->seen_holder != name || t->seen_signs != signs;

	t->seen_holder = name;
	t->seen_signs = signs;
	return moved;
}

static void look_around(struct tpi_consumer *c, struct tpi_survey *s)
{
	struct tpi_holder *holder;
	uint32_t i, name;
	uint64_t tail;
	bool moved;

	s->mine = s->count = 0;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		tpi_notice_loss(c, t);
		/* Relaxed: a census, wrong by a moment. */
		tail = TAPIO_STATE_TAIL(tpi_load_relaxed(&t->lane->shm->state));
		name = tpi_cursor_holder(t->cursor);
		t->busy = tail != t->seen_tail;
		t->seen_tail = tail;
		t->free_before = name == TAPIO_NOBODY;
		moved = is_moved(t, name);
		if (t->leased) {
			s->mine += t->busy;
			continue;
		}
		if (name == TAPIO_NOBODY || name == c->me)
			continue;
		holder = find_holder(s, name);
		holder->busy += t->busy;
		holder->lives |= moved;
	}
}

/* ---- giving and asking -------------------------------------------------------------- */

/* Others' requests for our lanes. The last busy one is not given. */
static void answer(struct tpi_consumer *c, struct tpi_survey *s)
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
		/* A lane with events in the caller's hands goes when they are
		 * released, in tapio_release. */
		if (t->next != t->head || t->touched)
			t->giving = true;
		else
			tpi_lease_give(c, t);
	}
}

/* Asks `name` for up to `count` of its busy lanes. How many are left to ask. */
static uint32_t ask(struct tpi_consumer *c, uint32_t name, uint32_t count,
		    bool near_only)
{
	uint32_t i, nobody;

	for (i = 0; i < c->lane_count && count; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (!t->busy || t->leased ||
		    tpi_cursor_holder(t->cursor) != name ||
		    (near_only && !tpi_lease_near(c, t)))
			continue;
		nobody = TAPIO_NOBODY;
		/* A request that another member has made stands. */
		if (tpi_cas_relaxed(&t->cursor->want, &nobody, c->me) ||
		    nobody == c->me) {
			TPI_TESTPOINT("lease.wanted");
			count--;
		}
	}
	return count;
}

static void ask_the_richest(struct tpi_consumer *c, const struct tpi_survey *s)
{
	const struct tpi_holder *rich = NULL;
	uint32_t i, share;

	for (i = 0; i < s->count; i++)
		if (!rich || s->holders[i].busy > rich->busy)
			rich = &s->holders[i];
	if (!rich || rich->busy < s->mine + 2)
		return;
	share = (rich->busy - s->mine) / 2;
	share = ask(c, rich->name, share, true);
	ask(c, rich->name, share, false);
}

void tpi_lease_balance(struct tpi_consumer *c)
{
	int64_t now = tpi_coarse_ns();
	struct tapio_shm_calibration clock;
	struct tpi_survey *s, *before;

	tpi_lease_live(c);
	if (c->ended || now - c->balanced_ns < BALANCE_NS)
		return;
	c->balanced_ns = now;
	if (tpi_slot_is_foreign(c))
		return;
	tpi_latency_refresh(&c->latency, &c->client);
	tpi_client_calibration(&c->client, &clock);
	tpi_pace_clock(&c->pace, clock.mult, clock.shift);
	tpi_lease_free(c);
	before = &c->surveys[c->turn];
	s = &c->surveys[c->turn ^= 1];
	look_around(c, s);
	tpi_lease_relieve(c, before, s, now);
	answer(c, s);
	ask_the_richest(c, s);
}
