/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. All of it is the leader's own. */
#include "tools/load/instances.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/load/daemon.h"
#include "tools/load/event.h"

#define TICK_NS INT64_C(2000000)
#define MOVE_NS INT64_C(60000000000)

struct load_instances {
	struct load_run *run;
	struct tpi_inspect *older; /* the memory before run->former */
	uint64_t left;
	uint64_t random;
	int64_t due_ns;
	int64_t killed_ns; /* 0: all handles are where the broker is */
	struct load_instances_result result;
};

static uint64_t roll(struct load_instances *f, uint64_t below)
{
	f->random = load_mix(f->random + UINT64_C(0x9e3779b97f4a7c15),
			     UINT64_C(0xbf58476d1ce4e5b9));
	return f->random % below;
}

/* The mean is the time between two kills. */
static int64_t interval_ns(struct load_instances *f)
{
	return (int64_t)roll(f, UINT64_C(2000000000) /
					f->run->options.broker_rate);
}

struct load_instances *load_instances_start(struct load_run *run)
{
	const struct load_options *o = &run->options;
	struct load_instances *f = calloc(1, sizeof(*f));

	if (!f) {
		load_fail(run, "out of memory");
		return NULL;
	}
	f->run = run;
	f->left = o->kills_instance;
	f->random = o->seed;
	f->due_ns = tpi_monotonic_ns() +
		    (o->broker_compare ? o->duration_ns : interval_ns(f));
	return f;
}

/* ---- the memory that was left ------------------------------------------------------ */

bool load_former(const struct load_run *run, struct load_run *former)
{
	if (!run->former)
		return false;
	*former = *run;
	former->inspect = run->former;
	return true;
}

void load_add_left(struct load_ledger_sum *sum,
		   const struct load_ledger_sum *left)
{
	sum->faults |= left->faults;
	sum->dropped += left->dropped;
	for (int i = 0; i < TAPIO_DROP_CAUSES; i++)
		sum->dropped_for[i] += left->dropped_for[i];
}

/* All have given it up, so its counts are the last ones. */
static void let_go(struct load_instances *f, struct tpi_inspect **inspect)
{
	struct load_run there = *f->run;
	struct load_ledger_sum sum;

	if (!*inspect)
		return;
	there.inspect = *inspect;
	load_sum_ledgers(&there, &sum);
	load_add_left(&f->result.left, &sum);
	tpi_inspect_close(*inspect);
	*inspect = NULL;
}

/* ---- killing and starting ------------------------------------------------------------ */

static bool kill_both(struct load_instances *f)
{
	struct load_run *run = f->run;
	int err;

	/* relaxed: a flag, polled */
	tpi_store_relaxed(&run->scoreboard->phase, 1);
	f->killed_ns = tpi_monotonic_ns();
	err = load_daemon_kill(run->host, run, roll(f, 2));
	if (!err)
		return true;
	load_fail(run, "cannot kill the broker and its keeper: %s",
		  strerror(-err));
	return false;
}

static bool start_anew(struct load_instances *f)
{
	struct load_run *run = f->run;
	uint32_t lanes = run->lanes;
	char error[512];

	if (load_daemon_again(run->host, error, sizeof(error))) {
		load_fail(run, "%s", error);
		return false;
	}
	histogram_add(&f->result.served,
		      (uint64_t)(tpi_monotonic_ns() - f->killed_ns));
	f->older = run->former;
	run->former = run->inspect;
	run->inspect = NULL;
	if (!load_look_inside(run) && run->lanes == lanes)
		return true;
	load_fail(run, "the memory of the new broker cannot be had");
	if (!run->inspect) {
		run->inspect = run->former;
		run->former = NULL;
	}
	return false;
}

/* ---- have all moved? ----------------------------------------------------------------- */

static uint32_t producers_there(const struct load_run *run)
{
	const struct tpi_catalog *catalog = &run->inspect->catalog;
	uint32_t count = 0;

	for (uint32_t i = 2; i < catalog->attachment_count; i++) {
		const struct tapio_shm_attachment *a = &catalog->attachments[i];

		/* Relaxed: asked again until it is so. */
		count +=
			tpi_load_relaxed(&a->state) == TAPIO_ATTACHMENT_ALIVE &&
			tpi_load_relaxed(&a->role) == TAPIO_ROLE_PRODUCE;
	}
	return count;
}

static bool all_moved(const struct load_instances *f)
{
	const struct load_scoreboard *scoreboard = f->run->scoreboard;

	for (uint32_t i = 0; i < scoreboard->consumers; i++)
		/* Relaxed: a count, polled. */
		if (tpi_load_relaxed(&scoreboard->counts[i].moves) !=
		    f->result.kills)
			return false;
	return producers_there(f->run) >= scoreboard->shape.producers;
}

static void look(struct load_instances *f, int64_t now)
{
	if (!all_moved(f)) {
		if (now - f->killed_ns > MOVE_NS)
			load_fail(f->run,
				  "some handles have not moved %lld s after "
				  "kill %llu of the instance",
				  (long long)(MOVE_NS / 1000000000),
				  (unsigned long long)f->result.kills);
		return;
	}
	histogram_add(&f->result.moved, (uint64_t)(now - f->killed_ns));
	f->killed_ns = 0;
	let_go(f, &f->older);
}

int64_t load_instances_due(struct load_instances *f, int64_t now)
{
	if (f->killed_ns) {
		look(f, now);
		return now + TICK_NS;
	}
	if (!f->left)
		return INT64_MAX;
	if (now < f->due_ns)
		return f->due_ns;
	f->left--;
	f->result.kills++;
	f->due_ns = now + interval_ns(f);
	if (kill_both(f))
		(void)start_anew(f);
	return now + TICK_NS;
}

uint64_t load_instances_left(const struct load_instances *f)
{
	return f->left + (f->killed_ns != 0);
}

void load_instances_finish(struct load_instances *f,
			   struct load_instances_result *result)
{
	struct load_instances_result *r = &f->result;
	struct load_ledger_sum sum;
	struct load_run former;

	let_go(f, &f->older);
	if (load_former(f->run, &former)) {
		load_sum_ledgers(&former, &sum);
		load_add_left(&r->left, &sum);
	}
	load_longest_gaps(f->run, &r->gap_quiet_ns, &r->gap_kills_ns);
	*result = *r;
	free(f);
}
