/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An observer moves to the memory of another broker as a consumer does (client/consumer/move.c,
 * M1 to M6). It has no group, no lease and no descriptor, so M3 falls away, and M1 is: all lanes
 * are read to their tails. All views of the call before are invalid by then. Late
 * events of the memory before are copied from there by calls that find nothing, and by each
 * 1,024th, or every other one while there is something.
 *
 * SIGKILL, SIGSTOP: no other process notices, but for the new broker, which sees one of its
 * observers end. fork, another uid, a broker that dies in M2, and one that refuses: as
 * for a consumer.
 */
#include <errno.h>

#include "client/observer/observer.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"

/* Of so many calls one looks at the former memory. */
#define CALLS 1024
/* How long a producer that goes on in the former memory can keep us there. */
#define PATIENCE_NS INT64_C(1000000000)

static unsigned int look_back(struct tpi_observer *o, struct tapio_view *views,
			      unsigned int max)
{
	unsigned int i, n;

	if (!o->former)
		return 0;
	n = tpi_observer_look(o->former, views, max);
	for (i = 0; i < n; i++)
		views[i].flags |= TAPIO_VIEW_FORMER;
	return n;
}

static uint64_t tail_of(const struct tpi_watched *w)
{
	return tpi_watch_tail(w, tpi_lane_peek(w->lane));
}

static bool is_away(struct tpi_observer *o)
{
	uint32_t i;

	if (!tpi_client_elsewhere(&o->client)) {
		o->away_ns = 0;
		return false;
	}
	if (o->away_ns)
		return true;
	o->away_ns = tpi_now_ns();
	for (i = 0; i < o->lane_count; i++)
		o->watches[i].goal = tail_of(&o->watches[i]);
	return true;
}

static bool is_read(const struct tpi_observer *o)
{
	bool late = tpi_now_ns() - o->away_ns > PATIENCE_NS;
	uint32_t i;

	if (o->owing)
		return false;
	for (i = 0; i < o->lane_count; i++) {
		const struct tpi_watched *w = &o->watches[i];

		if (w->next != tail_of(w) &&
		    (!late || tapio_position_diff(w->goal, w->next) > 0))
			return false;
	}
	return true;
}

struct attempt {
	struct tpi_observer *from;
	struct tpi_observer *to;
};

static int attach(void *arg)
{
	struct attempt *attempt = arg;
	struct tpi_observer *o = attempt->from, *next;
	int err = tpi_observer_attach(&next, o->handle, o);

	if (err)
		return err;
	TPI_TESTPOINT("move.attached");
	/* Its own broker is there again, and knows our attachment. */
	if (tpi_client_same_memory(&o->client, &next->client)) {
		tpi_observer_leave(next);
		return -ECONNREFUSED;
	}
	tpi_own_fd_close(&o->client.handle.sock);
	next->former = o;
	attempt->to = next;
	return 0;
}

/* How many positions were left unread there. They are lost, and counts stay. */
static uint64_t give_up(struct tapio_observer *handle,
			struct tpi_observer *former)
{
	struct tapio_observer_stats sum = {0}, *gone = &handle->gone;

	tpi_observer_count(former, &sum);
	gone->seen += sum.seen;
	gone->skipped += sum.skipped;
	gone->lost += sum.lost + sum.in_flight;
	gone->late += sum.late;
	tpi_observer_leave(former);
	return sum.in_flight;
}

static void arrive(struct tpi_observer *o, struct tpi_observer *next)
{
	struct tapio_observer *handle = o->handle;

	handle->gap = (struct tapio_gap){
		.count = next->missed,
		.cause = TAPIO_GAP_INSTANCE,
	};
	handle->gone.lost += next->missed;
	if (o->former)
		handle->gap.first = give_up(handle, o->former);
	o->former = NULL;
	handle->now = next;
}

static unsigned int move(struct tpi_observer *o, struct tapio_view *view)
{
	struct attempt attempt = {.from = o};

	if (!is_away(o) || !is_read(o) ||
	    tpi_client_attempt(&o->client, &o->handle->options.broker, attach,
			       &attempt))
		return 0;
	arrive(o, attempt.to);
	tpi_move_view(view, &o->handle->gap);
	return 1;
}

unsigned int tpi_observer_aside(struct tpi_observer *o,
				struct tapio_view *views, unsigned int max)
{
	unsigned int n;

	if (!max)
		return 0;
	n = look_back(o, views, max);
	return n ? n : move(o, views);
}

unsigned int tpi_observer_aside_often(struct tpi_observer *o,
				      struct tapio_view *views,
				      unsigned int max)
{
	unsigned int n;

	if (!max || o->calls++ % CALLS)
		return 0;
	n = tpi_observer_aside(o, views, max);
	if (n)
		o->calls = CALLS - 1; /* the next but one call looks again */
	return n;
}
