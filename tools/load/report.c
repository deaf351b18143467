/* SPDX-License-Identifier: Apache-2.0 */
/* Adding up, judging, and printing. */
#include "tools/load/report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/consumer.h>

#include "lib/base/rseq.h"
#include "lib/lane/histogram.h"

static void add_places(const struct load_run *run, struct load_result *r,
		       uint64_t *ended_ns)
{
	const struct load_scoreboard *scoreboard = run->scoreboard;

	for (uint32_t i = 0; i < scoreboard->shape.producers; i++) {
		const struct load_place *p = &scoreboard->producer[i];

		r->refused += p->refused;
		r->filtered += p->chaff;
		if (!run->options.check) {
			r->verdicts.accepted += p->sent;
			r->verdicts.sent += p->sent;
		}
		if (p->ended_ns > *ended_ns)
			*ended_ns = p->ended_ns;
	}
	for (uint32_t i = 0; i < scoreboard->consumers; i++) {
		histogram_merge(&r->latency, &scoreboard->consumer[i].latency);
		r->late += scoreboard->consumer[i].late;
		r->told_late += scoreboard->consumer[i].told_late;
		if (!run->options.check)
			r->verdicts.received += scoreboard->counts[i].events;
	}
}

uint64_t load_bytes_per_group(const struct load_run *run)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < run->scoreboard->consumers; i++)
		bytes += run->scoreboard->counts[i].bytes;
	return bytes / run->options.groups;
}

/*
 * How many may be missing in each group: as the ledgers say, or, where memories were lost
 * with their ledgers, as the records of its members say.
 */
static void sum_records(const struct load_run *run, struct load_result *r,
			uint64_t *may_miss)
{
	const struct load_scoreboard *scoreboard = run->scoreboard;
	struct load_instances_result *sum = &r->instances;

	memset(may_miss, 0, TAPIO_GROUP_SLOTS * sizeof(*may_miss));
	for (uint32_t i = 0; i < scoreboard->consumers; i++) {
		const struct load_counts *c = &scoreboard->counts[i];
		uint64_t overrun = c->gap_positions + c->overwritten;

		sum->moves += c->moves;
		sum->late += c->late;
		sum->unread += c->unread;
		sum->before_join += c->before_join;
		sum->overrun += overrun;
		may_miss[i / scoreboard->shape.members] +=
			c->unread + c->before_join + overrun;
	}
}

void load_collect(const struct load_run *run, struct load_result *r)
{
	struct load_verdicts *v = &r->verdicts;
	/* Those that were killed had no time to say when they ended. */
	uint64_t ended_ns = run->kills ? (uint64_t)run->ended_ns : 0, owed;

	if (run->options.kills_instance)
		sum_records(run, r, r->ledger.lost_of);
	if (run->options.check)
		load_judge(run->scoreboard, r->ledger.lost_of, v);
	add_places(run, r, &ended_ns);
	r->took_ns = (int64_t)ended_ns - run->started_ns;
	if (r->took_ns <= 0)
		r->took_ns = 1;
	if (!run->options.check) {
		/* Only the numbers can be compared. */
		owed = v->sent * run->options.groups;
		v->overrun = r->ledger.lost;
		v->missing = owed > v->received ? owed - v->received : 0;
		v->lost = v->missing > v->overrun ? v->missing - v->overrun : 0;
		v->duplicated = v->received > owed ? v->received - owed : 0;
	}
}

/*
 * The library's counts equal what was seen: events out of order, and skipped
 * ones. A producer that dies may leave one more of these than it has noted, and
 * reservations that are never submitted are skipped, too. In groups that may be overrun
 * a view may have the stamp of the event that overwrote it, which the library leaves
 * out because it lies in the future.
 */
static bool counts_agree(const struct load_run *run,
			 const struct load_result *r)
{
	if (run->failed || !load_all_lossless(&run->options))
		return true;
	if (!run->kills_consumers && r->late != r->told_late)
		return false;
	return r->ledger.skipped >= r->filtered * run->options.groups;
}

/*
 * By how much the ledgers' delivered differ from the different events that members
 * got: each position that was delivered is one of these. Groups that may be overrun
 * ask about each view before they count it, so it is exact for them, too.
 */
static uint64_t unexplained(const struct load_run *run,
			    const struct load_result *r)
{
	uint64_t got = r->verdicts.got + r->verdicts.foreign;
	uint64_t delivered = r->ledger.delivered;

	if (!run->options.check)
		return 0; /* nothing tells the events apart */
	/* Ledgers of lost memory are lost: compares missing events with the records. */
	if (run->options.kills_instance) {
		got = r->verdicts.missing;
		delivered = r->verdicts.overrun;
	}
	return delivered > got ? delivered - got : got - delivered;
}

bool load_passed(const struct load_run *run, const struct load_result *r)
{
	const struct load_verdicts *v = &r->verdicts;

	if (run->options.still_ns && !r->neighbour.exact)
		return false;
	if (r->instances.left.faults)
		return false;
	return !run->failed && r->drained && !v->lost && !v->duplicated &&
	       !v->corrupt && counts_agree(run, r) && !v->disordered &&
	       !unexplained(run, r) && !r->wedged && !r->ledger.faults &&
	       !r->broken;
}

/* ---- the summary line ---------------------------------------------------------- */

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key,
			    json_integer(value > INT64_MAX
						 ? INT64_MAX
						 : (json_int_t)value));
}

static const char *flavour(const struct load_run *run)
{
	const char *word = tpi_rseq_word(run->rseq);

	return word ? word : "unknown";
}

static uint64_t page_bytes(const struct load_run *run)
{
	return run->inspect->channels[run->channel].maps[0].page_bytes;
}

static void add_counts(json_t *o, const struct load_run *run,
		       const struct load_result *r)
{
	const struct load_verdicts *v = &r->verdicts;

	set(o, "sent", v->sent);
	set(o, "received", v->received);
	set(o, "lost", v->lost);
	set(o, "duplicated", v->duplicated);
	set(o, "corrupt", v->corrupt);
	set(o, "wedged", r->wedged);
	set(o, "disordered", v->disordered);
	set(o, "unexplained", unexplained(run, r));
	set(o, "redelivered", v->redelivered);
	set(o, "overrun", v->overrun);
	set(o, "dropped", r->dropped);
	set(o, "refused", r->refused);
	set(o, "kills", run->kills);
	set(o, "kills_consumers", run->kills_consumers);
	set(o, "stops", run->stops);
	set(o, "broken", r->broken);
	set(o, "suspicious", r->suspicious);
	set(o, "unsettled", r->unsettled);
	set(o, "in_doubt", v->in_doubt);
	set(o, "foreign", v->foreign);
	set(o, "filtered", r->filtered);
	set(o, "late", r->late);
}

static void add_ledger(json_t *o, const struct load_result *r)
{
	json_t *ledger = json_object();

	set(ledger, "published", r->ledger.published);
	set(ledger, "delivered", r->ledger.delivered);
	set(ledger, "skipped", r->ledger.skipped);
	set(ledger, "lost", r->ledger.lost);
	set(ledger, "in_flight", r->ledger.in_flight);
	set(ledger, "held", r->ledger.held);
	json_object_set_new(ledger, "balanced",
			    json_boolean(!r->ledger.faults && r->drained));
	json_object_set_new(o, "ledger", ledger);
}

static void add_causes(json_t *o, const struct load_result *r)
{
	static const char *const names[] = {"full", "held", "size", "timeout",
					    "no_lane"};
	json_t *causes = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		set(causes, names[i], r->dropped_for[i]);
	json_object_set_new(o, "dropped_for", causes);
}

static double per_s(uint64_t count, int64_t ns)
{
	return ns > 0 ? (double)count * 1e9 / (double)ns : 0;
}

static void add_neighbour(json_t *o, const struct load_run *run,
			  const struct load_neighbour_result *b)
{
	double before = per_s(b->before, b->before_ns);
	double during = per_s(b->during, b->during_ns);
	json_t *neighbour;

	if (!run->options.still_ns)
		return;
	neighbour = json_object();
	set(neighbour, "sent", b->sent);
	set(neighbour, "received", b->received);
	set(neighbour, "refused", b->refused);
	set(neighbour, "disordered", b->disordered);
	set(neighbour, "during", b->during);
	json_object_set_new(neighbour, "exact", json_boolean(b->exact));
	json_object_set_new(neighbour, "before_events_per_s",
			    json_real(before));
	json_object_set_new(neighbour, "during_events_per_s",
			    json_real(during));
	json_object_set_new(neighbour, "ratio",
			    json_real(before > 0 ? during / before : 0));
	json_object_set_new(o, "neighbour", neighbour);
}

static void add_broker(json_t *o, const struct load_run *run,
		       const struct load_broker_result *b)
{
	json_t *broker;

	if (!load_broker_dies(&run->options) || run->options.kills_instance)
		return;
	broker = json_object();
	set(broker, "kills", b->kills);
	set(broker, "kills_keeper", b->kills_keeper);
	set(broker, "attaches", histogram_count(&b->attach));
	set(broker, "attach_p50_ns", histogram_quantile(&b->attach, 0.5));
	set(broker, "attach_p99_ns", histogram_quantile(&b->attach, 0.99));
	set(broker, "attach_max_ns", b->attach.max);
	set(broker, "gap_quiet_ns", b->gap_quiet_ns);
	set(broker, "gap_kills_ns", b->gap_kills_ns);
	json_object_set_new(o, "broker", broker);
}

static void add_instances(json_t *o, const struct load_run *run,
			  const struct load_instances_result *r)
{
	json_t *instances;

	if (!run->options.kills_instance)
		return;
	instances = json_object();
	set(instances, "kills", r->kills);
	set(instances, "moves", r->moves);
	set(instances, "late", r->late);
	set(instances, "unread", r->unread);
	set(instances, "before_join", r->before_join);
	set(instances, "overrun", r->overrun);
	set(instances, "served_p50_ns", histogram_quantile(&r->served, 0.5));
	set(instances, "served_max_ns", r->served.max);
	set(instances, "moved_p50_ns", histogram_quantile(&r->moved, 0.5));
	set(instances, "moved_max_ns", r->moved.max);
	set(instances, "gap_quiet_ns", r->gap_quiet_ns);
	set(instances, "gap_kills_ns", r->gap_kills_ns);
	json_object_set_new(o, "instances", instances);
}

static void add_speed(json_t *o, const struct load_result *r)
{
	double seconds = (double)r->took_ns / 1e9;
	double rate = (double)r->verdicts.sent / seconds;
	json_t *latency = json_object();

	json_object_set_new(o, "seconds", json_real(seconds));
	json_object_set_new(o, "rate_events_per_s", json_real(rate));
	json_object_set_new(o, "bytes_per_s",
			    json_real((double)r->bytes / seconds));
	set(latency, "p50", histogram_quantile(&r->latency, 0.5));
	set(latency, "p99", histogram_quantile(&r->latency, 0.99));
	set(latency, "p99.9", histogram_quantile(&r->latency, 0.999));
	set(latency, "max", r->latency.max);
	json_object_set_new(o, "latency_ns", latency);
	if (r->baseline_per_s > 0) {
		json_object_set_new(o, "baseline_events_per_s",
				    json_real(r->baseline_per_s));
		json_object_set_new(o, "baseline_ratio",
				    json_real(r->baseline_per_s / rate));
	}
}

/* The histograms of this run's groups, added up. */
static void read_groups(const struct load_run *run, struct tpi_histogram *all)
{
	const struct tpi_inspect_channel *channel =
		&run->inspect->channels[run->channel];
	static struct tpi_histogram one;

	memset(all, 0, sizeof(*all));
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		if (!channel->cursors[slot].histogram ||
		    load_group_of(run, slot) < 0)
			continue;
		tpi_histogram_read(channel->cursors[slot].histogram, &one);
		tpi_histogram_merge(all, &one);
	}
}

static void add_group_latency(json_t *o, const struct load_run *run)
{
	static struct tpi_histogram all;
	json_t *latency;

	read_groups(run, &all);
	if (!all.count) {
		json_object_set_new(o, "group_latency_ns", json_null());
		return;
	}
	latency = json_object();
	set(latency, "count", all.count);
	set(latency, "p50", tpi_histogram_quantile(&all, 0.5));
	set(latency, "p99", tpi_histogram_quantile(&all, 0.99));
	set(latency, "p99.9", tpi_histogram_quantile(&all, 0.999));
	set(latency, "max", all.max_ns);
	json_object_set_new(o, "group_latency_ns", latency);
}

static void add_circumstances(json_t *o, const struct load_run *run)
{
	set(o, "producers", run->options.producers);
	set(o, "groups", run->options.groups);
	set(o, "members", run->options.members);
	set(o, "size", run->options.size_max);
	set(o, "batch", run->options.batch);
	set(o, "page_bytes", page_bytes(run));
	json_object_set_new(o, "rseq", json_string(flavour(run)));
	json_object_set_new(o, "checked", json_boolean(run->options.check));
	set(o, "seed", run->options.seed);
}

static int print_summary(const struct load_run *run,
			 const struct load_result *r)
{
	json_t *o = json_object();
	char *line;

	add_counts(o, run, r);
	add_causes(o, r);
	add_ledger(o, r);
	add_neighbour(o, run, &r->neighbour);
	add_broker(o, run, &r->broker);
	add_instances(o, run, &r->instances);
	add_speed(o, r);
	add_group_latency(o, run);
	add_circumstances(o, run);
	json_object_set_new(o, "passed", json_boolean(load_passed(run, r)));
	line = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(o);
	if (!line)
		return -1;
	puts(line);
	free(line);
	return fflush(stdout);
}

/* ---- for people ------------------------------------------------------------------ */

static void print_neighbour(const struct load_neighbour_result *b)
{
	double before = per_s(b->before, b->before_ns);
	double during = per_s(b->during, b->during_ns);

	printf("neighbour   %.0f/s in %.1f s, %.0f/s in %.1f s of standing "
	       "still: %.3f times; %llu sent, %llu received, %s\n",
	       before, (double)b->before_ns / 1e9, during,
	       (double)b->during_ns / 1e9, before > 0 ? during / before : 0,
	       (unsigned long long)b->sent, (unsigned long long)b->received,
	       b->exact ? "exact" : "not exact");
}

static void print_gaps(uint64_t quiet_ns, uint64_t kills_ns)
{
	printf("longest gap between two accepted events of a producer: %.3f ms "
	       "before the kills, %.3f ms during them\n",
	       (double)quiet_ns / 1e6, (double)kills_ns / 1e6);
}

static void print_broker(const struct load_broker_result *b)
{
	printf("broker      killed %llu times, its keeper %llu times; %llu new "
	       "clients attached, %.1f ms after the kill (p50), %.1f ms at most\n",
	       (unsigned long long)b->kills,
	       (unsigned long long)b->kills_keeper,
	       (unsigned long long)histogram_count(&b->attach),
	       (double)histogram_quantile(&b->attach, 0.5) / 1e6,
	       (double)b->attach.max / 1e6);
	print_gaps(b->gap_quiet_ns, b->gap_kills_ns);
}

static void print_instances(const struct load_instances_result *r)
{
	printf("instances   lost %llu times; another one served %.1f ms after "
	       "the kill (p50), and had all handles after %.1f ms, %.1f ms at "
	       "most\n",
	       (unsigned long long)r->kills,
	       (double)histogram_quantile(&r->served, 0.5) / 1e6,
	       (double)histogram_quantile(&r->moved, 0.5) / 1e6,
	       (double)r->moved.max / 1e6);
	printf("records     %llu of moves; %llu events came late; missing: %llu "
	       "were left unread, %llu overwritten before the reader had "
	       "joined, %llu overrun in a lane\n",
	       (unsigned long long)r->moves, (unsigned long long)r->late,
	       (unsigned long long)r->unread,
	       (unsigned long long)r->before_join,
	       (unsigned long long)r->overrun);
	print_gaps(r->gap_quiet_ns, r->gap_kills_ns);
}

static void print_text(const struct load_run *run, const struct load_result *r)
{
	const struct load_verdicts *v = &r->verdicts;
	double seconds = (double)r->took_ns / 1e9;
	double rate = (double)v->sent / seconds;

	printf("%u producers, %u groups of %u, %u bytes, rseq %s, pages of "
	       "%llu\n",
	       run->options.producers, run->options.groups,
	       run->options.members, run->options.size_max, flavour(run),
	       (unsigned long long)page_bytes(run));
	printf("sent        %llu in %.3f s: %.3f M/s, %.1f MB/s\n",
	       (unsigned long long)v->sent, seconds, rate / 1e6,
	       (double)r->bytes / seconds / 1e6);
	printf("received    %llu by %u groups\n",
	       (unsigned long long)v->received, run->options.groups);
	printf("lost        %llu  duplicated %llu  corrupt %llu  disordered "
	       "%llu  wedged %llu\n",
	       (unsigned long long)v->lost, (unsigned long long)v->duplicated,
	       (unsigned long long)v->corrupt,
	       (unsigned long long)v->disordered,
	       (unsigned long long)r->wedged);
	printf("refused     %llu  overrun %llu\n",
	       (unsigned long long)r->refused, (unsigned long long)v->overrun);
	if (run->kills || run->kills_consumers || run->stops)
		printf("kills       %llu producers, %llu consumers; %llu stops; "
		       "in doubt %llu, redelivered %llu\n",
		       (unsigned long long)run->kills,
		       (unsigned long long)run->kills_consumers,
		       (unsigned long long)run->stops,
		       (unsigned long long)v->in_doubt,
		       (unsigned long long)v->redelivered);
	printf("latency     p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f "
	       "us\n",
	       (double)histogram_quantile(&r->latency, 0.5) / 1e3,
	       (double)histogram_quantile(&r->latency, 0.99) / 1e3,
	       (double)histogram_quantile(&r->latency, 0.999) / 1e3,
	       (double)r->latency.max / 1e3);
	if (run->options.still_ns)
		print_neighbour(&r->neighbour);
	if (run->options.kills_instance)
		print_instances(&r->instances);
	else if (load_broker_dies(&run->options))
		print_broker(&r->broker);
	if (r->baseline_per_s > 0)
		printf("baseline    %.3f M/s without any safety: %.2f times "
		       "this\n",
		       r->baseline_per_s / 1e6, r->baseline_per_s / rate);
	if (!r->drained)
		printf("not drained: %llu in flight, %u held\n",
		       (unsigned long long)r->ledger.in_flight, r->ledger.held);
}

int load_report(const struct load_run *run, const struct load_result *result)
{
	if (!run->options.json)
		print_text(run, result);
	return print_summary(run, result);
}
