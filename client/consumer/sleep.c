/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for events: a short spin, if it pays (spin.h), then the sleeper's side of
 * wake.h, S1 to S5, on the doorbell of our group. The last look, S4, is for lanes
 * without a holder and then for events (tpi_gather()): the ring for a member that died
 * or left says that there are such lanes, and it may have come just before S1.
 *
 * An announcement that is not answered is good for the next sleep too, and for the
 * next tapio_poll (call.c). So an idle consumer makes one system call per 100 ms.
 *
 * SIGKILL anywhere: an announcement too many, which costs one ring. SIGSTOP: the
 * same. A signal handler that runs during the sleep ends it with -EINTR, unless
 * there is something to hand out.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

/* Between two glances at the clock while spinning. */
#define SPIN_LOOKS 8
/* How long a consumer sleeps that no producer can know of. */
#define DEAF_FIRST_NS INT64_C(1000000)
#define DEAF_LAST_NS  INT64_C(10000000)

static unsigned int spin(struct tpi_consumer *c, struct tapio_view *views,
			 unsigned int max, int64_t until)
{
	unsigned int i, n;

	tpi_guess(c);
	do {
		for (i = 0; i < SPIN_LOOKS; i++) {
			tpi_cpu_relax();
			n = tpi_gather(c, views, max);
			if (n)
				return n;
		}
	} while (tpi_now_ns() < until);
	return 0;
}

static int64_t sleep_ns(const struct tpi_consumer *c, int64_t left,
			int64_t *deaf_ns)
{
	int64_t ns = TPI_SLEEP_CONSUMER_NS;

	if (!tpi_is_rung(c)) {
		ns = *deaf_ns;
		*deaf_ns = ns * 2 < DEAF_LAST_NS ? ns * 2 : DEAF_LAST_NS;
	}
	return ns < left ? ns : left;
}

/* Not beyond the moment at which something that waits in a lane is ripe. */
static int64_t until_due(const struct tpi_consumer *c, int64_t ns)
{
	int64_t due = c->merge.due_ns;

	if (!due)
		return ns;
	due -= tpi_now_ns();
	if (due < 1)
		due = 1;
	return due < ns ? due : ns;
}

/*
 * Spins until the bell that was heard can be announced, or the time is over. A thread that was woken
 * looks once in any case: most often there is something, and no announcement to be made.
 */
static unsigned int settle(struct tpi_consumer *c, struct tapio_view *views,
			   unsigned int max, uint32_t heard, bool woken,
			   int64_t *now, int64_t until)
{
	int64_t over = *now + tpi_call_unsettled(c, &c->call, heard, *now);
	unsigned int n;

	if (over <= *now)
		return woken ? tpi_gather(c, views, max) : 0;
	n = spin(c, views, max, over < until ? over : until);
	*now = tpi_now_ns();
	return n;
}

/*
 * Sleeps, announced, until something comes or the time is over. While something
 * waits for its time only, no news is needed: it naps until then, unannounced, so
 * that no producer rings for what would have to wait, too.
 */
static int doze(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max, int64_t now, int64_t until)
{
	int64_t left, deaf_ns = DEAF_FIRST_NS;
	bool napping, woken = false;
	uint32_t heard;
	unsigned int n;
	int err = 0;

	for (;;) {
		napping = c->merge.due_ns != 0;
		TPI_TESTPOINT("sleep.begin");
		heard = tpi_wake_listen(c->doorbell);
		if (!napping) {
			n = settle(c, views, max, heard, woken, &now, until);
			if (n)
				return (int)n;
			if (now < until)
				tpi_call_on(c, &c->call, heard);
		}
		/* Lanes of members that died or left. */
		tpi_lease_free(c);
		tpi_lease_balance(c);
		tpi_client_look(&c->client);
		tpi_follow(c, TPI_FOLLOW_IDLE_MS);
		/* ORDER wake.window (acquire): S4. What is not seen here is committed by a
		 * producer that reads the clock later. Pairs with the fence in
		 * tpi_wake_rung(). */
		n = tpi_gather(c, views, max);
		if (!n && tpi_is_restless(c))
			n = tpi_aside(c, views, max);
		if (n)
			return (int)n;
		if (c->ended && tpi_drained(c))
			return -ENOTCONN;
		if (err == -EINTR)
			return err;
		left = until - tpi_now_ns();
		if (left <= 0)
			return 0;
		if (napping && !c->merge.due_ns)
			continue; /* it has gone elsewhere: announce first */
		c->sleeps++;
		TPI_TESTPOINT("sleep.looked");
		err = tpi_wake_wait(c->doorbell, heard,
				    until_due(c, sleep_ns(c, left, &deaf_ns)));
		woken = !err;
		c->wakeups += woken;
		now = tpi_now_ns();
		if (woken)
			c->call.woken_ns = now;
	}
}

/* How long the wait was that began at `begun`, until an event came, or its bell was rung. */
static int64_t waited(const struct tpi_consumer *c, int64_t begun)
{
	int64_t came = c->call.seen_ns;

	return (came > begun ? came : tpi_now_ns()) - begun;
}

int tpi_sleep(struct tpi_consumer *c, struct tapio_view *views,
	      unsigned int max, int64_t timeout_ns)
{
	int64_t begun = tpi_now_ns(), now = begun;
	int64_t until = now + (timeout_ns >= 0 && timeout_ns < TPI_FOREVER_NS
				       ? timeout_ns
				       : TPI_FOREVER_NS);
	int64_t spun = now + tpi_spin_for(&c->spin), ns;
	int n = 0;

	/* From now on it is heard. */
	tpi_call_unsettled(c, &c->call, tpi_wake_listen(c->doorbell), now);
	if (spun > now) {
		n = (int)spin(c, views, max, spun < until ? spun : until);
		now = tpi_now_ns();
	}
	if (!n)
		n = doze(c, views, max, now, until);
	ns = waited(c, begun);
	/* That a shorter time-out, or a signal, has ended it says nothing. */
	if (n > 0 || ns >= c->spin.ns)
		tpi_spin_note(&c->spin, ns);
	return n;
}
