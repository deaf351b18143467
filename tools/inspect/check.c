/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking invariants: the looks, and what becomes of the findings of each.
 *
 * WHY A SYSTEM THAT WORKS IS NEVER CALLED BROKEN. The memory changes while it is read, and a
 * process may be stopped or killed between any two of its stores. So each rule says with
 * which proof a look that finds it broken counts:
 *
 *  SURE	The look itself is the proof, in any interleaving and wherever a process is
 *	stopped. Three kinds: one word that no honest process stores; two words of
 *	which each only grows, loaded in the order in which the inequality is then
 *	true at each instant in between (A2 of broker/group/judge.c: gate, head, tail;
 *	state, gate); several words that were read between two loads of one that never
 *	repeats, and that found it the same (the ring: lib/lane/lane.c, L3 and L4).
 *  LASTS	Four looks find the same words. The head of the rule's function says why no
 *	process that is stopped can leave them so.
 *  LEFT	A process passes through that state, so one that is stopped or killed there
 *	leaves it, and a broker that does not run does not repair it. It is suspicious
 *	when it lasts longer, with the same words, than a running broker ever takes
 *	(it looks once a second). Never broken.
 *  UNREAD	The words changed during each attempt of every look, or are not had:
 *	unsettled.
 *
 * A finding that is not SURE and that the next look does not see was a change under way. One
 * that is there at each look with other words is unsettled. So each ends in one of the
 * three severities or is known to be over.
 *
 * STRANGERS. A former member of a slot that was stopped for long may write into the memory of
 * a later group of its user (A4 to A6 of judge.c). Such a finding is LEFT, unless
 * the group is the first one that had this memory.
 *
 * SNAPSHOTS. A copy does not change, so each look finds the same words, and that proves
 * nothing. The marks of snapshot_take.c do: SURE counts where the words are of one
 * instant, LASTS where they did not change for the time of several looks, and LEFT where
 * moreover no broker ran that would repair it. All else is UNREAD. Of a lane whose tickets
 * are not of its state's instant, nothing is said about them.
 *
 * Nothing here follows a word that it has read further than the checked handles allow, and
 * each loop is bounded: the memory may hold anything.
 */
#include "tools/inspect/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/inspect/check_inner.h"
#include "tools/inspect/process.h"
#include "tools/inspect/snapshot.h"

#define FINDINGS_MAX 1000
#define LASTS_LOOKS  4
#define ROW_LOOKS    16
#define LOOKS_MIN    2 /* some rules compare two */
#define GAP_MAX_NS   INT64_C(50000000)
/* The last resort: findings that come and go for so long are unsettled. */
#define END_NS INT64_C(10000000000)

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- findings -------------------------------------------------------------------- */

static bool is_same(const struct tpi_finding *f, enum tpi_rule rule,
		    const struct tpi_where *where)
{
	return f->rule == rule && f->where.channel == where->channel &&
	       f->where.lane == where->lane && f->where.slot == where->slot &&
	       f->where.segment == where->segment &&
	       f->where.attachment == where->attachment;
}

static struct tpi_finding *find(struct tpi_check_report *report,
				enum tpi_rule rule,
				const struct tpi_where *where)
{
	for (uint32_t i = 0; i < report->count; i++)
		if (is_same(&report->findings[i], rule, where))
			return &report->findings[i];
	return NULL;
}

static struct tpi_finding *add(struct tpi_checker *c, enum tpi_rule rule,
			       const struct tpi_where *where)
{
	struct tpi_check_report *report = c->report;
	struct tpi_finding *f;

	if (report->count == FINDINGS_MAX) {
		report->left_out++;
		return NULL;
	}
	f = &report->findings[report->count++];
	*f = (struct tpi_finding){
		.rule = rule, .where = *where, .since = c->now};
	return f;
}

static void describe(struct tpi_finding *f, const struct tpi_number *numbers,
		     const char *why)
{
	memset(f->numbers, 0, sizeof(f->numbers));
	for (int i = 0; i < TPI_NUMBERS_MAX && numbers && numbers[i].name; i++)
		f->numbers[i] = numbers[i];
	f->why[0] = 0;
	if (why)
		strncat(f->why, why, sizeof(f->why) - 1);
}

/*
 * Words of a lane whose memory was replaced meanwhile are of two lanes. An isolated
 * producer that is gone has left its name and its blocks in memory that serves no other.
 */
static bool counts(const struct tpi_checker *c, enum tpi_rule rule,
		   const struct tpi_where *where)
{
	const struct tpi_snapshot *snapshot = c->inspect->snapshot;
	uint32_t phase;

	if (where->lane == TPI_NONE || where->channel == TPI_NONE)
		return true;
	if (snapshot &&
	    (rule == TPI_RULE_RING_PLACE || rule == TPI_RULE_RING_HOLDER) &&
	    !(tpi_snapshot_lane(snapshot, where->channel, where->lane) &
	      TPI_LANE_TICKETS))
		return false;
	if (!tpi_inspect_has_lane(c->inspect, where->channel, where->lane,
				  &phase))
		return false;
	return phase == TAPIO_PHASE_SEALED ||
	       (rule != TPI_RULE_LANE_OWNER && rule != TPI_RULE_RING_HOLDER);
}

/* Whether the words of that place are of one instant, and whether they last, in a copy. */
static void recall(const struct tpi_checker *c, const struct tpi_where *where,
		   bool *whole, bool *still)
{
	const struct tpi_snapshot *snapshot = c->inspect->snapshot;
	uint32_t flags = snapshot->facts.flags, marks;

	*whole = flags & TPI_SNAPSHOT_CATALOG_WHOLE;
	*still = *whole && flags & TPI_SNAPSHOT_CATALOG_STILL;
	if (where->lane == TPI_NONE || where->channel == TPI_NONE)
		return;
	marks = tpi_snapshot_lane(snapshot, where->channel, where->lane);
	*whole = *whole && marks & TPI_LANE_WHOLE;
	*still = *still && marks & TPI_LANE_STILL;
}

static enum tpi_proof proof_of(const struct tpi_checker *c,
			       enum tpi_proof proof,
			       const struct tpi_where *where)
{
	bool whole, still;

	if (!c->inspect->snapshot)
		return proof;
	recall(c, where, &whole, &still);
	switch (proof) {
	case TPI_SURE:
		return whole ? proof : TPI_UNREAD;
	case TPI_LASTS:
		return still ? proof : TPI_UNREAD;
	case TPI_LEFT:
		return still && !c->broker_runs ? proof : TPI_UNREAD;
	default:
		return TPI_UNREAD;
	}
}

void tpi_check_fail(struct tpi_checker *c, enum tpi_proof proof,
		    enum tpi_rule rule, const struct tpi_where *where,
		    uint64_t words, const struct tpi_number *numbers,
		    const char *why)
{
	struct tpi_finding *f = find(c->report, rule, where);

	if (!counts(c, rule, where))
		return;
	proof = proof_of(c, proof, where);
	if (f && f->look == c->look) {
		f->more++; /* several at one place: the first is shown */
		if (proof != TPI_SURE || f->proof == TPI_SURE)
			return;
	}
	if (f && f->final)
		return;
	if (!f)
		f = add(c, rule, where);
	if (!f)
		return;
	if (!f->look || f->words != words) {
		f->stood = c->now;
		f->same = 0;
	}
	f->same += f->look != c->look;
	f->row += f->look != c->look;
	f->look = c->look;
	f->words = words;
	f->proof = (int)proof;
	f->more = 0;
	describe(f, numbers, why);
	if (proof == TPI_SURE) {
		f->final = true;
		f->severity = TPI_BROKEN;
	}
}

/* How long a broker may pass through. One that does not run changes nothing. */
static int64_t patience(const struct tpi_checker *c)
{
	return c->broker_runs ? c->options->patience_ns : 0;
}

/* Words that stand still and are not had will not come, and those that do not stand still
 * were given time. */
static bool is_unsettled(const struct tpi_checker *c,
			 const struct tpi_finding *f)
{
	if (f->proof == TPI_UNREAD && f->same >= LASTS_LOOKS)
		return true;
	return c->now - f->since > 2 * patience(c) &&
	       f->row >= (f->proof == TPI_UNREAD ? LASTS_LOOKS : ROW_LOOKS);
}

/* After a look that saw it. */
static void ripen(const struct tpi_checker *c, struct tpi_finding *f)
{
	if (f->proof == TPI_LASTS && f->same >= LASTS_LOOKS) {
		f->severity = TPI_BROKEN;
		f->final = true;
	} else if (f->proof == TPI_LEFT && f->same >= LASTS_LOOKS &&
		   c->now - f->stood >= patience(c)) {
		f->severity = TPI_SUSPICIOUS;
		f->final = true;
	} else if (is_unsettled(c, f)) {
		f->severity = TPI_UNSETTLED;
		f->final = true;
	}
}

/* About a channel that was given back since it was opened. */
static bool is_over(const struct tpi_checker *c, const struct tpi_finding *f)
{
	return f->where.channel < c->inspect->catalog.channel_count &&
	       !tpi_inspect_same(c->inspect, f->where.channel);
}

/* After a look. True: another one is needed. */
static bool settle(struct tpi_checker *c)
{
	struct tpi_check_report *report = c->report;
	uint32_t kept = 0, pending = 0;

	for (uint32_t i = 0; i < report->count; i++) {
		struct tpi_finding *f = &report->findings[i];

		if (is_over(c, f) || (!f->final && f->look != c->look))
			continue; /* it was under way */
		if (!f->final)
			ripen(c, f);
		pending += !f->final;
		report->findings[kept++] = *f;
	}
	report->count = kept;
	return pending != 0;
}

static int compare(const void *a, const void *b)
{
	const struct tpi_finding *x = a, *y = b;

	if (x->severity != y->severity)
		return x->severity < y->severity ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void conclude(struct tpi_check_report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		struct tpi_finding *f = &report->findings[i];

		if (!f->final)
			f->severity = TPI_UNSETTLED;
		report->of[f->severity]++;
	}
	if (report->count)
		qsort(report->findings, report->count,
		      sizeof(*report->findings), compare);
}

/* ---- looks ----------------------------------------------------------------------- */

static void look_at_channel(struct tpi_checker *c, uint32_t channel)
{
	const struct tpi_inspect_channel *ic = &c->inspect->channels[channel];
	uint32_t lanes = ic->channel.lane_count;

	if (!ic->there || !tpi_inspect_same(c->inspect, channel))
		return;
	c->report->channels++;
	c->report->lanes += lanes;
	tpi_check_places(c, channel);
	for (uint32_t lane = 0; lane < lanes; lane++) {
		tpi_check_lane(c, channel, lane);
		tpi_check_ring(c, channel, lane);
	}
	if (!lanes)
		return;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		tpi_check_group_slot(c, channel, slot);
}

static void look(struct tpi_checker *c)
{
	struct tpi_check_report *report = c->report;

	c->look++;
	c->now = now_ns();
	report->looks = c->look;
	report->channels = report->lanes = report->groups = 0;
	report->attachments = report->segments = 0;
	report->checks = 0;
	report->left_out = 0;
	tpi_check_catalog(c);
	if (report->corrupt)
		return;
	tpi_check_segments(c);
	tpi_check_broker(c);
	tpi_check_clients(c);
	for (uint32_t i = 0; i < c->inspect->catalog.channel_count; i++)
		look_at_channel(c, i);
}

static void wait_ns(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000,
			     .tv_nsec = ns % 1000000000};

	if (ns)
		nanosleep(&t, NULL);
}

static void look_until_settled(struct tpi_checker *c)
{
	/* Nothing comes of waiting for a copy. */
	int64_t gap = c->inspect->snapshot ? 0 : c->options->gap_ns;
	int64_t end = now_ns() + END_NS;
	bool pending;

	for (;;) {
		look(c);
		pending = settle(c);
		if ((c->look >= LOOKS_MIN && !pending) || c->now > end)
			return;
		wait_ns(gap);
		if (c->options->between)
			c->options->between(c->options->arg);
		/* The first are close together. */
		if (c->look >= LASTS_LOOKS && !c->inspect->snapshot)
			gap = gap * 2 < GAP_MAX_NS ? gap * 2 : GAP_MAX_NS;
	}
}

/* ---- memory ---------------------------------------------------------------------- */

static void fini(struct tpi_checker *c)
{
	if (c->before)
		for (uint32_t i = 0; i < c->inspect->catalog.channel_count;
		     i++) {
			free(c->before[i].lanes);
			free(c->before[i].heads);
		}
	free(c->before);
	free(c->descs);
	free(c->times);
}

static int init(struct tpi_checker *c)
{
	uint32_t count = c->inspect->catalog.channel_count;

	c->before = calloc(count + 1, sizeof(*c->before));
	c->descs = calloc(TAPIO_BLOCKS_MAX, sizeof(*c->descs));
	c->times = calloc(TAPIO_BLOCKS_MAX + 1, sizeof(*c->times));
	c->report->findings =
		calloc(FINDINGS_MAX, sizeof(*c->report->findings));
	if (!c->before || !c->descs || !c->times || !c->report->findings)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		size_t lanes = c->inspect->channels[i].channel.lane_count;
		struct tpi_channel_before *b = &c->before[i];

		b->lanes = calloc(lanes + 1, sizeof(*b->lanes));
		b->heads = calloc(lanes * TAPIO_GROUP_SLOTS + 1,
				  sizeof(*b->heads));
		if (!b->lanes || !b->heads)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Whether the broker goes on, and whether the catalog's pids mean to us what they mean to
 * it: it may be in another PID namespace.
 */
static void meet_broker(struct tpi_checker *c)
{
	const struct tapio_shm_broker *b = c->inspect->catalog.broker;
	/* Relaxed: written before anybody was served. */
	uint64_t pid = tpi_load_relaxed(&b->pid);
	enum tpi_process_state state = tpi_inspect_process_state(
		c->inspect, pid, tpi_load_relaxed(&b->start_time_ticks));

	c->broker_runs = c->inspect->source == TPI_SOURCE_SOCKET ||
			 state == TPI_PROCESS_RUNNING;
	c->pids_known = c->options->processes && state != TPI_PROCESS_UNKNOWN;
}

int tpi_check(const struct tpi_inspect *inspect,
	      const struct tpi_check_options *options,
	      struct tpi_check_report *report)
{
	struct tpi_checker c = {
		.inspect = inspect, .options = options, .report = report};
	int err;

	memset(report, 0, sizeof(*report));
	err = init(&c);
	if (!err) {
		meet_broker(&c);
		look_until_settled(&c);
		conclude(report);
	}
	fini(&c);
	if (err)
		tpi_check_free(report);
	return err;
}

void tpi_check_free(struct tpi_check_report *report)
{
	free(report->findings);
	memset(report, 0, sizeof(*report));
}
