/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for many events at once: until one lane of ours has `wake_events`
 * unread, or `wake_ns` after we saw the first. The protocol, with marks, is in
 * wake.h. Here is the sleeper, which alternates between two states:
 *
 *   nothing unread     marks 0: the first event rings, and starts the clock
 *   something unread   marks K: the K-th event on a lane rings, or the clock ends it
 *
 * So producers ring twice for K events, also beside groups that want each event:
 * those have bells of their own. When tapio_poll returns, the marks are 0 again: an
 * announcement that is left over costs one ring, as without a watermark.
 *
 * One tapio_poll may have too few views for all that is there. The rest does not
 * wait again: until a tapio_poll returns with fewer views than it could have
 * filled, the next one only looks.
 *
 * SIGKILL: marks stay behind; the broker rings our group for our death, and the
 * next holder of a lane clears its mark. SIGSTOP: our lanes stay ours, and no
 * other member waits for them.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

/* How often we look where no producer can know of us. */
#define DEAF_NS INT64_C(10000000)

struct waiting {
	int64_t until;
	int64_t first; /* when something was seen to be unread; 0: nothing is */
	uint32_t heard;
	bool announced;
};

/* The goal of a lane: half of it at most, and less if it may be overrun. */
uint32_t tpi_watermark_goal(const struct tpi_consumer *c,
			    const struct tpi_track *t)
{
	/* Relaxed: a hint, and the policy does not change. */
	uint64_t slot = tpi_load_relaxed(c->slot);
	uint32_t most = (t->lane->mask + 1) / 2;

	if (c->wake_events <= 1)
		return 1;
	if (TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_UNTIL)
		most = TAPIO_SLOT_LAG(slot) && TAPIO_SLOT_LAG(slot) < most
			       ? TAPIO_SLOT_LAG(slot) / 2
			       : most / 2;
	if (!most)
		most = 1;
	return c->wake_events < most ? c->wake_events : most;
}

/* Whether a lane has reached its goal; *any: whether anything is unread. */
static bool reached(const struct tpi_consumer *c, bool *any)
{
	uint64_t unread;
	uint32_t i;

	*any = false;
	for (i = 0; i < c->lane_count; i++) {
		const struct tpi_track *t = &c->tracks[i];

		/* Events that cannot be handed out before a release do not
		 * count. */
		if (!t->leased || t->giving || t->shut)
			continue;
		unread = (TAPIO_STATE_TAIL(tpi_lane_peek(t->lane)) - t->next) &
			 TAPIO_POSITION_MASK;
		*any |= unread != 0;
		if (unread >= tpi_watermark_goal(c, t))
			return true;
	}
	return false;
}

/* Marks for all lanes, or none; false when they are so already. */
static bool set_marks(struct tpi_consumer *c, bool wanted)
{
	bool changed = false;
	uint32_t i, mark;

	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (!t->leased)
			continue;
		mark = 0;
		if (wanted) /* counted from head, so with what is in hand */
			mark = tpi_watermark_goal(c, t) +
			       (uint32_t)((t->next - t->head) &
					  TAPIO_POSITION_MASK);
		if (mark == t->marked)
			continue;
		t->marked = mark;
		changed = true;
		c->call.dirty = true;
		/* Relaxed: the barrier of the announcement orders it. */
		tpi_store_relaxed(&t->cell->watermark, mark);
		TPI_TESTPOINT("sleep.marked");
	}
	return changed;
}

static int64_t rest_ns(const struct tpi_consumer *c, const struct waiting *w,
		       int64_t now)
{
	int64_t ns = tpi_is_rung(c) ? TPI_SLEEP_CONSUMER_NS : DEAF_NS;

	if (w->first && w->first + c->wake_ns - now < ns)
		ns = w->first + c->wake_ns - now;
	return w->until - now < ns ? w->until - now : ns;
}

/* S1 to S5, once. 0, -ETIMEDOUT, -EINTR. */
static int sleep_once(struct tpi_consumer *c, struct waiting *w)
{
	bool any, was = w->first != 0;
	int err;

	TPI_TESTPOINT("sleep.begin");
	if (set_marks(c, was) || !w->announced) {
		w->heard = tpi_wake_listen(c->doorbell);
		tpi_call(c, &c->call, w->heard);
	}
	w->announced = true;
	/* S4: lanes of members that died or left, and then what is unread. */
	tpi_lease_free(c);
	if (reached(c, &any) || (any && !was))
		return 0;
	c->sleeps++;
	TPI_TESTPOINT("sleep.looked");
	err = tpi_wake_wait(c->doorbell, w->heard, rest_ns(c, w, tpi_now_ns()));
	c->wakeups += !err;
	/* Unanswered, if the word is the same. */
	w->announced =
		err == -ETIMEDOUT && tpi_wake_listen(c->doorbell) == w->heard;
	return err;
}

static int wait_for(struct tpi_consumer *c, struct tapio_view *views,
		    unsigned int max, struct waiting *w)
{
	int64_t now;
	bool any, ready, over;
	unsigned int n;
	int err = 0;

	for (;;) {
		tpi_lease_free(c);
		tpi_lease_balance(c);
		tpi_client_look(&c->client);
		(void)tpi_follow(c, TPI_FOLLOW_BUSY_MS);
		if (tpi_is_restless(c) && (n = tpi_aside(c, views, max)))
			return (int)n;
		tpi_check_slot(c);
		now = tpi_now_ns();
		ready = reached(c, &any) || c->ended;
		if (!any)
			w->first = 0;
		else if (!w->first)
			w->first = now;
		over = now >= w->until || err == -EINTR;
		if (ready || over ||
		    (w->first && now - w->first >= c->wake_ns)) {
			n = tpi_gather(c, views, max);
			if (n)
				return (int)n;
			if (c->ended && tpi_drained(c))
				return -ENOTCONN;
			if (over)
				return err == -EINTR ? err : 0;
			w->first = 0; /* the filter wants none of it */
		}
		err = sleep_once(c, w);
	}
}

static int wait_until(struct tpi_consumer *c, struct tapio_view *views,
		      unsigned int max, int64_t timeout_ns)
{
	struct waiting w = {0};
	int n;

	tpi_fd_disarm(c);
	w.until = tpi_now_ns() + (timeout_ns >= 0 && timeout_ns < TPI_FOREVER_NS
					  ? timeout_ns
					  : TPI_FOREVER_NS);
	n = wait_for(c, views, max, &w);
	set_marks(c, false);
	return n;
}

int tpi_watermark_wait(struct tpi_consumer *c, struct tapio_view *views,
		       unsigned int max, int64_t timeout_ns)
{
	int n = c->draining ? (int)tpi_gather(c, views, max) : 0;

	if (!n)
		n = wait_until(c, views, max, timeout_ns);
	c->draining = n == (int)max;
	return n;
}
