/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for events: a short spin, then the sleeper's side of wake.h, S1 to S5,
 * on the doorbell of our group. The last look, S4, is for lanes without a holder
 * and then for events (tpi_gather()): the ring for a member that died or left says
 * that there are such lanes, and it may have come just before S1.
 *
 * An announcement that is not answered is good for the next sleep too: the
 * doorbell has not moved, so no producer has loaded it. So an idle consumer makes
 * one system call per 100 ms.
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

void tpi_announce(struct tapio_consumer *c)
{
	/* Relaxed: the barrier orders it. */
	tpi_add_relaxed(&c->control->armed, 1);
	TPI_TESTPOINT("sleep.armed");
	tpi_store_relaxed(&c->deaf, tpi_barrier() != 0);
	TPI_TESTPOINT("sleep.announced");
}

static unsigned int spin(struct tapio_consumer *c, struct tapio_view *views,
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

static int64_t sleep_ns(const struct tapio_consumer *c, int64_t left,
			int64_t *deaf_ns)
{
	int64_t ns = TPI_SLEEP_CONSUMER_NS;

	if (tpi_load_relaxed(&c->deaf)) {
		ns = *deaf_ns;
		*deaf_ns = ns * 2 < DEAF_LAST_NS ? ns * 2 : DEAF_LAST_NS;
	}
	return ns < left ? ns : left;
}

/* Not beyond the moment at which something that waits in a lane is ripe. */
static int64_t until_due(const struct tapio_consumer *c, int64_t ns)
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
 * Sleeps, announced, until something comes or the time is over. While something
 * waits for its time only, no news is needed: it naps until then, unannounced, so
 * that no producer rings for what would have to wait, too.
 */
static int doze(struct tapio_consumer *c, struct tapio_view *views,
		unsigned int max, int64_t until)
{
	int64_t left, deaf_ns = DEAF_FIRST_NS;
	uint32_t heard = 0;
	bool announced = false, napping;
	unsigned int n;
	int err = 0;

	for (;;) {
		napping = c->merge.due_ns != 0;
		TPI_TESTPOINT("sleep.begin");
		if (!announced) {
			heard = tpi_wake_listen(c->doorbell);
			if (!napping)
				tpi_announce(c);
		}
		/* Lanes of members that died or left. */
		tpi_lease_free(c);
		tpi_lease_balance(c);
		n = tpi_gather(c, views, max);
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
		c->wakeups += !err;
		/* Unanswered, if the word is the same. */
		announced = !napping && err == -ETIMEDOUT &&
			    tpi_wake_listen(c->doorbell) == heard;
	}
}

int tpi_sleep(struct tapio_consumer *c, struct tapio_view *views,
	      unsigned int max, int64_t timeout_ns)
{
	int64_t now = tpi_now_ns();
	int64_t until = now + (timeout_ns >= 0 && timeout_ns < TPI_FOREVER_NS
				       ? timeout_ns
				       : TPI_FOREVER_NS);
	int64_t spin_until = now + c->spin_ns;
	unsigned int n;

	n = spin(c, views, max, spin_until < until ? spin_until : until);
	if (n)
		return (int)n;
	return doze(c, views, max, until);
}
