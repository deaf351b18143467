/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a member sleeps, and how its lanes are taken over: A1 to A3 of lease.h, and the
 * clock that says when. Called after a survey (balance.c).
 *
 * A member shows that it lives by each look (`beat`, in the cell of its first lane)
 * and each release (heads). The clock is the observing member's own. It begins when that
 * sees the signs first, and between two surveys it goes on by half of `takeover` at most.
 * So what a member has slept itself is not enough to call another one asleep, which may have
 * been stopped together with it and is about to go on. Only lanes with unread events are
 * taken: a member without work may sleep as long as it likes.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

/* How long a member may sleep on unread events without events in its hands. */
#define IDLE_NS INT64_C(1000000000)

/* Since when each holder has shown no other signs. `most`: what counts since `before`. */
static void note_signs(const struct tpi_survey *before, struct tpi_survey *s,
		       int64_t now, int64_t most)
{
	int64_t unseen = now - before->at - most;
	uint32_t i, k;

	s->at = now;
	if (unseen < 0)
		unseen = 0;
	for (i = 0; i < s->count; i++) {
		struct tpi_holder *holder = &s->holders[i];

		holder->since = now;
		for (k = 0; k < before->count; k++)
			if (before->holders[k].name == holder->name &&
			    !holder->lives)
				holder->since =
					before->holders[k].since + unseen;
	}
}

static int64_t takeover_ns(const struct tpi_consumer *c)
{
	/* Relaxed: it does not change while the group has members. */
	uint64_t ns = tpi_load_relaxed(&c->group->takeover_ns);

	return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static int64_t asleep_ns(const struct tpi_survey *s, uint32_t name, int64_t now)
{
	uint32_t i;

	for (i = 0; i < s->count; i++)
		if (s->holders[i].name == name)
			return now - s->holders[i].since;
	return 0;
}

static bool has_unread(const struct tpi_track *t,
		       const struct tapio_shm_cell *cell)
{
	/* Relaxed: it is only worth while or not. */
	uint64_t head = TAPIO_HEAD_POSITION(tpi_load_relaxed(&cell->head));

	return head != TAPIO_STATE_TAIL(tpi_load_relaxed(&t->lane->shm->state));
}

/* A3: the holder of the cell has events in its hands, or had a moment ago. */
static bool holds_events(const struct tapio_shm_cell *cell)
{
	return tpi_cell_in_hand(cell) > 0;
}

/* A1. The word that T1 is to find, or 0. */
static uint64_t ask_for(struct tpi_track *t, uint64_t lease)
{
	uint64_t asked = lease | TAPIO_LEASE_ASKED;

	/* ORDER cursor.lease (acq_rel): before the barrier of A2. Pairs with the
	 * load in tpi_lease_hold(). */
	if (lease != asked &&
	    !tpi_cas_acq_rel(&t->cursor->lease, &lease, asked))
		return 0;
	TPI_TESTPOINT("takeover.asked");
	return asked;
}

/*
 * One lane of a member that has slept for `slept` ns: takes it over, or asks for it.
 * Whether it has asked.
 */
static bool relieve(struct tpi_consumer *c, struct tpi_track *t, uint64_t lease,
		    int64_t slept, int64_t limit)
{
	const struct tapio_shm_cell *cell =
		&t->cursor->cells[tpi_lease_cell(lease)];

	bool moving = lease & TAPIO_LEASE_MOVING;

	if (moving || holds_events(cell) || tpi_load_relaxed(&c->deaf)) {
		if (moving || slept >= limit)
			tpi_lease_take(c, t, lease);
		return false;
	}
	t->asked_word = ask_for(t, lease);
	return t->asked_word != 0;
}

/* A2, A3, T1. */
static void take_asked(struct tpi_consumer *c)
{
	uint32_t i;
	bool proven = !tpi_barrier();

	/* Without one, others' announcements may still be under way. */
	tpi_store_relaxed(&c->deaf, !proven);
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];
		uint64_t asked = t->asked_word;

		t->asked_word = 0;
		if (!asked || !proven ||
		    holds_events(&t->cursor->cells[tpi_lease_cell(asked)]))
			continue;
		TPI_TESTPOINT("takeover.proven");
		tpi_lease_take(c, t, asked);
	}
}

void tpi_lease_relieve(struct tpi_consumer *c, const struct tpi_survey *before,
		       struct tpi_survey *s, int64_t now)
{
	int64_t slept, limit = takeover_ns(c);
	int64_t idle = limit < IDLE_NS ? limit : IDLE_NS;
	bool asked = false;
	uint64_t lease;
	uint32_t i;

	note_signs(before, s, now, limit / 2);
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		/* Relaxed: the swaps decide. */
		lease = tpi_load_relaxed(&t->cursor->lease);
		if (t->leased || t->touched)
			continue;
		slept = asleep_ns(s, TAPIO_LEASE_HOLDER(lease), now);
		if (slept < idle || !has_unread(t, tpi_cursor_cell(t->cursor)))
			continue;
		asked |= relieve(c, t, lease, slept, limit);
	}
	if (asked)
		take_asked(c);
}
