/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After the load: waits until everything has arrived and the dead are swept,
 * tries every lane with a fresh producer, and lets the consumers go. All that is
 * known comes from the shared memory itself, through the ledger.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/load/instances.h"

#define LOOK_NS  INT64_C(2000000)
#define PROBE_NS INT64_C(60000000000)
#define END_NS   INT64_C(20000000000)

static void nap(void)
{
	const struct timespec t = {.tv_nsec = LOOK_NS};

	nanosleep(&t, NULL);
}

/* ---- the ledgers ------------------------------------------------------------ */

int load_group_of(const struct load_run *run, uint32_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(run->inspect, run->channel)[slot];
	char name[TAPIO_NAME_BYTES], theirs[TAPIO_NAME_BYTES];

	memcpy(theirs, group->name, sizeof(theirs));
	for (uint32_t g = 0; g < run->options.groups; g++) {
		load_group_name(run, g, name);
		if (!strncmp(name, theirs, sizeof(name)))
			return (int)g;
	}
	return -1;
}

static bool add_group(const struct load_run *run, uint32_t slot,
		      struct load_ledger_sum *sum)
{
	int group = load_group_of(run, slot);
	struct tpi_ledger l;

	if (group < 0)
		return false;
	for (uint32_t lane = 0; lane < run->lanes; lane++) {
		if (tpi_inspect_ledger(run->inspect, run->channel, lane, slot,
				       &l))
			return false;
		sum->published += l.published;
		sum->delivered += l.delivered;
		sum->skipped += l.skipped;
		sum->lost += l.lost;
		sum->lost_of[group] += l.lost;
		sum->in_flight += l.in_flight;
		sum->faults |= l.faults;
	}
	return true;
}

void load_sum_ledgers(const struct load_run *run, struct load_ledger_sum *sum)
{
	const struct tpi_channel *channel =
		&run->inspect->channels[run->channel].channel;
	struct tpi_lane_account account;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		sum->groups += add_group(run, slot, sum);
	for (uint32_t lane = 0; lane < run->lanes; lane++) {
		tpi_lane_account_read(&channel->lanes[lane], NULL, &account);
		sum->dropped += account.dropped_total;
		for (int i = 0; i < TAPIO_DROP_CAUSES; i++)
			sum->dropped_for[i] += account.dropped[i];
		sum->held += account.held;
		sum->faults |= account.faults;
	}
}

/* The memory that was left last belongs to it: late events may lie there. */
static void sum_both(const struct load_run *run, struct load_ledger_sum *sum)
{
	struct load_ledger_sum late;
	struct load_run former;

	load_sum_ledgers(run, sum);
	if (!load_former(run, &former))
		return;
	load_sum_ledgers(&former, &late);
	sum->in_flight += late.in_flight;
	sum->faults |= late.faults;
}

bool load_drain(const struct load_run *run, int64_t patience_ns)
{
	int64_t until = tpi_monotonic_ns() + patience_ns;
	struct load_ledger_sum now, last = {0};

	for (;;) {
		sum_both(run, &now);
		if (now.groups == run->options.groups && !now.in_flight &&
		    !now.held)
			return true;
		if (now.in_flight != last.in_flight || now.held != last.held)
			until = tpi_monotonic_ns() + patience_ns;
		if (tpi_monotonic_ns() > until)
			return false;
		last = now;
		nap();
	}
}

static bool is_stuck(const struct load_run *run, uint32_t lane)
{
	struct tpi_ledger l;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (load_group_of(run, slot) >= 0 &&
		    !tpi_inspect_ledger(run->inspect, run->channel, lane, slot,
					&l) &&
		    (l.in_flight || l.held || l.faults))
			return true;
	return false;
}

uint64_t load_count_stuck(const struct load_run *run)
{
	uint64_t stuck = 0;

	for (uint32_t lane = 0; lane < run->lanes; lane++)
		stuck += is_stuck(run, lane);
	return stuck;
}

/* ---- wedged lanes ---------------------------------------------------------------- */

/* The tails of all lanes, as they are now. */
static void note_tails(const struct load_run *run,
		       struct tpi_lane_account *accounts)
{
	const struct tpi_channel *channel =
		&run->inspect->channels[run->channel].channel;

	for (uint32_t i = 0; i < run->lanes; i++)
		tpi_lane_account_read(&channel->lanes[i], NULL, &accounts[i]);
}

/* Runs the probe to its end. False when it had to be ended. */
static bool run_probe(struct load_run *run)
{
	uint32_t index = run->scoreboard->shape.producers;
	struct load_place *place = &run->scoreboard->producer[index];
	int64_t until = tpi_monotonic_ns() + PROBE_NS;
	pid_t pid, done = 0;
	int status = 0;

	place->state = LOAD_STARTING;
	tpi_store_relaxed(&run->scoreboard->stop, 0);
	pid = load_fork(run, load_probe, index);
	if (pid < 0) {
		load_fail(run, "fork: %s", strerror(-pid));
		return false;
	}
	while (!done && tpi_monotonic_ns() < until) {
		done = waitpid(pid, &status, WNOHANG);
		if (!done)
			nap();
	}
	if (!done) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		load_fail(run, "the probe hangs");
		return false;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		load_fail(run, "the probe failed: %s", place->why);
		return false;
	}
	return true;
}

/*
 * Which lanes the probe can reach: CPUs' lanes when sections work, and then only
 * on CPUs that we may run on, else the side lanes.
 */
static bool reachable(const struct load_run *run, const struct tpi_lane *lane,
		      bool sections)
{
	cpu_set_t set;

	if (lane->cpu == TAPIO_CPU_SIDE)
		return !sections && run->options.own_broker;
	return sections && lane->cpu < CPU_SETSIZE &&
	       !sched_getaffinity(0, sizeof(set), &set) &&
	       CPU_ISSET(lane->cpu, &set);
}

static uint64_t count_lanes(const struct load_run *run,
			    const struct tpi_lane_account *before,
			    const struct tpi_lane_account *after)
{
	const struct tpi_channel *channel =
		&run->inspect->channels[run->channel].channel;
	bool sections =
		run->scoreboard->producer[run->scoreboard->shape.producers]
			.rseq == TAPIO_RSEQ_PROVEN;
	uint64_t wedged = 0, grown;

	for (uint32_t i = 0; i < run->lanes; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];

		grown = (after[i].tail - before[i].tail) & TAPIO_POSITION_MASK;
		if (after[i].faults || after[i].held ||
		    (reachable(run, lane, sections) &&
		     grown < load_probe_events(lane->mask + 1)))
			wedged++;
	}
	return wedged;
}

uint64_t load_count_wedged(struct load_run *run)
{
	struct tpi_lane_account *before, *after;
	uint64_t wedged = run->lanes;

	before = calloc(run->lanes, sizeof(*before));
	after = calloc(run->lanes, sizeof(*after));
	if (!before || !after) {
		load_fail(run, "out of memory");
	} else {
		note_tails(run, before);
		if (run_probe(run)) {
			load_drain(run, INT64_C(10000000000));
			note_tails(run, after);
			wedged = count_lanes(run, before, after);
		}
	}
	free(before);
	free(after);
	return wedged;
}

/* ---- the end ---------------------------------------------------------------------- */

void load_finish(struct load_run *run)
{
	int64_t until = tpi_monotonic_ns() + END_NS;
	int status;

	tpi_store_relaxed(&run->scoreboard->stop, 1);
	tpi_store_relaxed(&run->scoreboard->finish, 1);
	for (uint32_t i = 0; i < run->scoreboard->consumers; i++) {
		struct load_place *place = &run->scoreboard->consumer[i];
		pid_t done = 0;

		while (place->pid && !done) {
			done = waitpid(place->pid, &status, WNOHANG);
			if (done)
				break;
			if (tpi_monotonic_ns() > until) {
				run->stuck++;
				load_fail(run, "consumer %u does not stop", i);
				kill(place->pid, SIGKILL);
				waitpid(place->pid, &status, 0);
				break;
			}
			nap();
		}
		place->pid = 0;
	}
}
