/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See the header. A quarter of the kills of the broker comes at a random instant of its
 * first milliseconds, when it adopts the memory, and the others when it has served. The process
 * that attaches is told of each kill through shared memory, and opens a producer then.
 */
#include "tools/load/broker_faults.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "tools/load/daemon.h"
#include "tools/load/event.h"

#define NAP_NS     INT64_C(500000)
#define TICK_NS    INT64_C(2000000)
#define EARLY_NS   UINT64_C(8000000)
#define END_NS     INT64_C(40000000000)
#define RESTART_NS INT64_C(30000000000)

/* Shared with the process that attaches. */
struct load_broker_faults {
	struct load_run *run;
	struct load_place place;
	struct load_histogram attach;
	int64_t killed_ns; /* when the last kill was */
	uint32_t kills;    /* so far: it attaches after each */
	uint32_t attached; /* the number of kills at its last attachment */
	uint32_t finish;
	/* The leader's own. */
	uint64_t left;
	uint64_t keepers_left;
	uint64_t random;
	uint64_t kills_broker;
	uint64_t kills_keeper;
	pid_t victim; /* the broker that was killed last */
	pid_t keeper; /* the keeper that was killed last */
	int64_t due_ns;
	int64_t back_by_ns; /* when another one must serve */
	bool early;         /* the next kill does not wait until it serves */
};

/* ---- the process that attaches ---------------------------------------------------- */

static int attach_once(struct load_broker_faults *f)
{
	char why[256] = "";
	struct tapio_options broker = load_broker(f->run, why, sizeof(why));
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, f->run->options.channel, &broker);

	if (err)
		return load_place_failed(&f->place, err,
					 "attaching after a kill", why);
	histogram_add(&f->attach, (uint64_t)(tpi_monotonic_ns() -
					     tpi_load_relaxed(&f->killed_ns)));
	tapio_producer_close(p);
	return 0;
}

/* One run has one of these. */
static struct load_broker_faults *here;

static int attach_after_kills(struct load_run *run, uint32_t index)
{
	struct load_broker_faults *f = here;
	uint32_t seen = 0, kills;
	int err = 0;

	(void)run;
	(void)index;
	tpi_store_release(&f->place.state, LOAD_RUNNING);
	while (!err && !tpi_load_relaxed(&f->finish)) {
		/* ORDER load_faults.kills (acquire): the time of the kill. Pairs
		 * with the release in kill_broker(). */
		kills = tpi_load_acquire(&f->kills);
		if (kills == seen) {
			tpi_sleep_until(tpi_monotonic_ns() + NAP_NS);
			continue;
		}
		seen = kills;
		err = attach_once(f);
		tpi_store_relaxed(&f->attached, seen);
	}
	return err;
}

/* ---- the leader -------------------------------------------------------------------- */

static uint64_t roll(struct load_broker_faults *f, uint64_t below)
{
	f->random = load_mix(f->random + UINT64_C(0x9e3779b97f4a7c15),
			     UINT64_C(0xbf58476d1ce4e5b9));
	return f->random % below;
}

/* The mean is the time between two kills. */
static int64_t interval_ns(struct load_broker_faults *f)
{
	return (int64_t)roll(f, UINT64_C(2000000000) /
					f->run->options.broker_rate);
}

struct load_broker_faults *load_broker_faults_start(struct load_run *run)
{
	const struct load_options *o = &run->options;
	int64_t quiet_ns;
	pid_t pid;

	here = mmap(NULL, sizeof(*here), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (here == MAP_FAILED) {
		load_fail(run, "no memory for the process that attaches: %s",
			  strerror(errno));
		return here = NULL;
	}
	here->run = run;
	here->left = o->kills_broker;
	here->keepers_left = o->kills_keeper;
	here->random = o->seed;
	quiet_ns = o->broker_compare ? o->duration_ns : interval_ns(here);
	here->due_ns = tpi_monotonic_ns() + quiet_ns;
	here->back_by_ns = INT64_MAX;
	pid = load_fork(run, attach_after_kills, 0);
	if (pid < 0)
		load_fail(run, "fork: %s", strerror(-pid));
	here->place.pid = pid;
	return here;
}

static void kill_broker(struct load_broker_faults *f, pid_t broker, int64_t now)
{
	tpi_store_relaxed(&f->run->scoreboard->phase, 1);
	tpi_store_relaxed(&f->killed_ns, now);
	kill(broker, SIGKILL);
	/* ORDER load_faults.kills (release): the time of the kill before it. Pairs
	 * with the acquire in attach_after_kills(). */
	tpi_store_release(&f->kills, f->kills + 1);
	f->victim = broker;
	f->kills_broker++;
	f->left--;
}

static void kill_keeper(struct load_broker_faults *f, pid_t keeper)
{
	tpi_store_relaxed(&f->run->scoreboard->phase, 1);
	kill(keeper, SIGKILL);
	f->keeper = keeper;
	f->kills_keeper++;
	f->keepers_left--;
}

/* Which of the two is next. */
static bool is_keepers_turn(struct load_broker_faults *f)
{
	if (!f->left || !f->keepers_left)
		return !f->left;
	return roll(f, f->left + f->keepers_left) < f->keepers_left;
}

/* Both live, the last one that was killed has a successor, and it has served. */
static bool settled(const struct load_broker_faults *f, pid_t broker,
		    pid_t keeper)
{
	return broker && broker != f->victim && keeper && keeper != f->keeper &&
	       (f->early || tpi_load_relaxed(&f->attached) == f->kills);
}

int64_t load_broker_faults_due(struct load_broker_faults *f, int64_t now)
{
	pid_t broker, keeper;

	if (!load_broker_faults_left(f))
		return INT64_MAX;
	if (now < f->due_ns)
		return f->due_ns;
	broker = load_daemon_broker(f->run);
	keeper = load_daemon_keeper(f->run->host, broker);
	if (!settled(f, broker, keeper)) {
		if (now > f->back_by_ns)
			load_fail(f->run,
				  "no broker with a keeper %lld s after a kill",
				  (long long)(RESTART_NS / 1000000000));
		return now + TICK_NS;
	}
	if (is_keepers_turn(f))
		kill_keeper(f, keeper);
	else
		kill_broker(f, broker, now);
	f->back_by_ns = now + RESTART_NS;
	f->early = !roll(f, 4);
	f->due_ns =
		now + (f->early ? (int64_t)roll(f, EARLY_NS) : interval_ns(f));
	return f->due_ns;
}

uint64_t load_broker_faults_left(const struct load_broker_faults *f)
{
	return f->left + f->keepers_left;
}

bool load_broker_faults_ended(struct load_broker_faults *f, pid_t pid)
{
	if (f->place.pid != pid)
		return false;
	f->place.pid = 0;
	return true;
}

void load_broker_faults_finish(struct load_run *run,
			       struct load_broker_faults *f,
			       struct load_broker_result *result)
{
	tpi_store_relaxed(&f->finish, 1);
	load_end(run, &f->place, "the process that attaches", END_NS);
	result->kills = f->kills_broker;
	result->kills_keeper = f->kills_keeper;
	result->attach = f->attach;
	load_longest_gaps(run, &result->gap_quiet_ns, &result->gap_kills_ns);
	munmap(f, sizeof(*f));
	here = NULL;
}
