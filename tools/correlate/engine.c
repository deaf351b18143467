/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: events come in any order of lanes, wait as copies until the watermark passes them,
 * and are taken in one order. See the header.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tools/correlate/state.h"

#define KEYS_PER_RULE  65536
#define EVENTS_PER_KEY 64
#define EVENTS_MAX     1024
#define BYTES          (UINT64_C(256) << 20)
#define PODS           8192

/* ---- making ---------------------------------------------------------------------------------- */

static void set_limits(struct tpi_corr_limits *limits)
{
	if (!limits->keys_per_rule)
		limits->keys_per_rule = KEYS_PER_RULE;
	if (!limits->events_per_key)
		limits->events_per_key = EVENTS_PER_KEY;
	if (limits->events_per_key > EVENTS_MAX)
		limits->events_per_key = EVENTS_MAX;
	if (!limits->bytes)
		limits->bytes = BYTES;
	if (!limits->pods)
		limits->pods = PODS;
}

static void set_names(struct tpi_corr *corr)
{
	for (unsigned int i = 0; i < corr->rules->count; i++)
		corr->states[i].stats.rule = corr->rules->rules[i].text->name;
}

/* The most events that are evidence of one finding. */
static size_t evidence_max(const struct tpi_rules *rules)
{
	size_t max = TPI_RULES_STEPS_MAX;

	for (unsigned int i = 0; i < rules->count; i++)
		if (rules->rules[i].need > max)
			max = rules->rules[i].need;
	return max;
}

int tpi_corr_make(struct tpi_corr **out, struct tpi_rules *rules,
		  const struct tpi_corr_options *options)
{
	struct tpi_corr *corr = calloc(1, sizeof(*corr));

	*out = NULL;
	if (!corr)
		return -ENOMEM;
	corr->options = *options;
	set_limits(&corr->options.limits);
	corr->rules = rules;
	corr->states = calloc(rules->count + 1, sizeof(*corr->states));
	corr->evidence = calloc(evidence_max(rules), sizeof(*corr->evidence));
	/* Without random bytes it works as well, as long as the table is not attacked. */
	if (getrandom(&corr->seed, sizeof(corr->seed), GRND_NONBLOCK) < 0)
		corr->seed = (uintptr_t)corr;
	if (rules->uses_pods)
		corr->pods = tpi_pods_new(corr);
	if (!corr->states || !corr->evidence ||
	    (rules->uses_pods && !corr->pods)) {
		tpi_corr_clear(corr);
		free(corr);
		return -ENOMEM;
	}
	set_names(corr);
	*out = corr;
	return 0;
}

int tpi_corr_new(struct tpi_corr **corr, struct tpi_rules *rules,
		 const struct tpi_corr_options *options)
{
	int err = tpi_corr_make(corr, rules, options);

	if (err)
		tpi_rules_free(rules);
	return err;
}

void tpi_corr_clear(struct tpi_corr *corr)
{
	while (corr->key_count)
		tpi_key_free(corr, corr->timers[corr->key_count - 1]);
	while (corr->waiting_count)
		tpi_copy_put(corr, corr->waiting[--corr->waiting_count]);
	tpi_pods_free(corr);
	for (unsigned int i = 0; i < corr->source_count; i++) {
		free(corr->sources[i].channel);
		free(corr->sources[i].instance);
		free(corr->sources[i].next);
	}
	tpi_state_put(corr, (void *)corr->waiting);
	tpi_state_put(corr, (void *)corr->buckets);
	tpi_state_put(corr, (void *)corr->timers);
	free(corr->sources);
	free(corr->states);
	free(corr->evidence);
}

void tpi_corr_free(struct tpi_corr *corr)
{
	if (!corr)
		return;
	tpi_corr_clear(corr);
	tpi_rules_free(corr->rules);
	free(corr);
}

const struct tpi_rules *tpi_corr_rules(const struct tpi_corr *corr)
{
	return corr->rules;
}

/* ---- sources ------------------------------------------------------------------------------------ */

static int source_order(const struct tpi_source *a, const char *channel,
			const char *instance)
{
	int order = strcmp(a->channel, channel);

	return order ? order : strcmp(a->instance, instance);
}

/* Sources are told apart by their order, which must not depend on who came first. */
static void rank_source(struct tpi_corr *corr, struct tpi_source *made)
{
	made->rank = 0;
	for (unsigned int i = 0; i < corr->source_count; i++) {
		struct tpi_source *other = &corr->sources[i];

		if (source_order(other, made->channel, made->instance) < 0)
			made->rank++;
		else
			other->rank++;
	}
}

int tpi_corr_source(struct tpi_corr *corr, const struct tpi_corr_source *source)
{
	struct tpi_source *more, *made;

	for (unsigned int i = 0; i < corr->source_count; i++)
		if (!source_order(&corr->sources[i], source->channel,
				  source->instance))
			return (int)i;
	if (corr->source_count == TPI_CORR_SOURCES_MAX)
		return -ENOSPC;
	more = realloc(corr->sources, (corr->source_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	corr->sources = more;
	made = &more[corr->source_count];
	*made = (struct tpi_source){.channel = strdup(source->channel),
				    .instance = strdup(source->instance)};
	if (!made->channel || !made->instance) {
		free(made->channel);
		free(made->instance);
		return -ENOMEM;
	}
	rank_source(corr, made);
	return (int)corr->source_count++;
}

bool tpi_corr_source_get(const struct tpi_corr *corr, uint16_t number,
			 struct tpi_corr_source *source)
{
	if (number >= corr->source_count)
		return false;
	source->channel = corr->sources[number].channel;
	source->instance = corr->sources[number].instance;
	return true;
}

bool tpi_lane_room(struct tpi_corr *corr, struct tpi_source *source,
		   uint32_t lane)
{
	const uint32_t lanes = (lane | 15) + 1;
	size_t more_bytes;
	uint64_t *more;

	if (lane < source->lanes)
		return true;
	if (lane >= TPI_CORR_LANES_MAX)
		return false;
	more_bytes = (lanes - source->lanes) * sizeof(*more);
	if (!tpi_state_room(corr, more_bytes))
		return false;
	more = realloc(source->next, lanes * sizeof(*more));
	if (!more)
		return false;
	memset(more + source->lanes, 0, more_bytes);
	source->next = more;
	source->lanes = lanes;
	corr->stats.bytes += more_bytes;
	corr->lane_bytes += more_bytes;
	return true;
}

uint64_t tpi_corr_next_position(const struct tpi_corr *corr, uint16_t source,
				uint32_t lane)
{
	if (source >= corr->source_count || lane >= corr->sources[source].lanes)
		return 0;
	return corr->sources[source].next[lane];
}

/* Whether the event is a new one of its lane. Its lane is past it from then on. */
static bool is_new(struct tpi_corr *corr, const struct tpi_corr_place *place)
{
	struct tpi_source *source = place->source < corr->source_count
					    ? &corr->sources[place->source]
					    : NULL;

	if (!source || !tpi_lane_room(corr, source, place->lane)) {
		corr->stats.malformed++;
		return false;
	}
	if (place->position < source->next[place->lane]) {
		corr->stats.again++;
		return false;
	}
	source->next[place->lane] = place->position + 1;
	return true;
}

static void close_gaps(struct tpi_corr *corr,
		       const struct tpi_corr_event *event)
{
	for (unsigned int i = 0; i < corr->gap_count; i++) {
		struct tpi_gap *gap = &corr->gaps[i];

		if (!gap->open || gap->source != event->place.source ||
		    gap->lane != event->place.lane)
			continue;
		gap->open = false;
		corr->open_gaps--;
		if (gap->to_ns > event->time_ns)
			gap->to_ns = event->time_ns > gap->from_ns
					     ? event->time_ns
					     : gap->from_ns;
	}
}

/* ---- waiting ------------------------------------------------------------------------------------- */

static bool comes_first(const struct tpi_corr *corr, const struct tpi_copy *a,
			const struct tpi_copy *b)
{
	const uint32_t x = corr->sources[a->place.source].rank;
	const uint32_t y = corr->sources[b->place.source].rank;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	if (x != y)
		return x < y;
	if (a->place.lane != b->place.lane)
		return a->place.lane < b->place.lane;
	return a->place.position < b->place.position;
}

static bool grow_waiting(struct tpi_corr *corr)
{
	const uint32_t room = corr->waiting_room ? 2 * corr->waiting_room : 256;
	struct tpi_copy **more;

	if (corr->waiting_count < corr->waiting_room)
		return true;
	more = tpi_state_get(corr, room * sizeof(struct tpi_copy *));
	if (!more)
		return false;
	if (corr->waiting_count)
		memcpy((void *)more, (void *)corr->waiting,
		       corr->waiting_count * sizeof(struct tpi_copy *));
	tpi_state_put(corr, (void *)corr->waiting);
	corr->waiting = more;
	corr->waiting_room = room;
	return true;
}

bool tpi_waiting_add(struct tpi_corr *corr, struct tpi_copy *copy)
{
	uint32_t i;

	if (!grow_waiting(corr))
		return false;
	for (i = corr->waiting_count++; i; i = (i - 1) / 2) {
		if (!comes_first(corr, copy, corr->waiting[(i - 1) / 2]))
			break;
		corr->waiting[i] = corr->waiting[(i - 1) / 2];
	}
	corr->waiting[i] = copy;
	return true;
}

static struct tpi_copy *take_first(struct tpi_corr *corr)
{
	struct tpi_copy *first = corr->waiting[0];
	struct tpi_copy *last = corr->waiting[--corr->waiting_count];
	const uint32_t count = corr->waiting_count;
	uint32_t i = 0, child;

	for (; (child = 2 * i + 1) < count; i = child) {
		if (child + 1 < count &&
		    comes_first(corr, corr->waiting[child + 1],
				corr->waiting[child]))
			child++;
		if (!comes_first(corr, corr->waiting[child], last))
			break;
		corr->waiting[i] = corr->waiting[child];
	}
	corr->waiting[i] = last;
	return first;
}

struct tpi_copy *tpi_copy_new(struct tpi_corr *corr, const void *data,
			      uint32_t length, uint16_t type)
{
	struct tpi_copy *copy;

	if (!tpi_state_room(corr, sizeof(*copy) + length))
		return NULL;
	copy = tpi_state_get(corr, sizeof(*copy) + length);
	if (!copy)
		return NULL;
	corr->copy_bytes += tpi_state_size(copy);
	*copy = (struct tpi_copy){.refs = 1};
	memcpy(copy->data, data, length);
	if (!tpi_raw_open(&copy->raw, &corr->rules->slots, copy->data, length,
			  type))
		copy->raw.slot = UINT8_MAX;
	return copy;
}

/* ---- events -------------------------------------------------------------------------------------- */

static bool is_pod(const struct tpi_corr *corr, const struct tpi_raw *raw)
{
	return corr->pods && raw->type == TAPIO_EVENT_KUBERNETES_OBJECT;
}

/* Counts a late event for the rules that would look at it. */
static void count_late(struct tpi_corr *corr, const struct tpi_raw *raw)
{
	const struct tpi_test *test = corr->rules->tests[raw->slot];
	const struct tpi_match match = {.raw = raw};
	unsigned int rule = UINT32_MAX;

	corr->stats.late++;
	for (unsigned int n = corr->rules->test_count[raw->slot]; n;
	     n--, test++) {
		if (test->rule == rule || !tpi_match(test->node, &match))
			continue;
		rule = test->rule;
		corr->states[rule].stats.late++;
	}
}

static int refuse(struct tpi_corr *corr, const struct tpi_corr_event *event)
{
	corr->stats.refused++;
	tpi_corr_gap(corr, event->place.source, event->place.lane, 0,
		     event->time_ns, event->time_ns);
	return -ENOMEM;
}

/* Copies an event that may matter, to wait for the watermark. */
static int keep(struct tpi_corr *corr, const struct tpi_corr_event *event,
		const struct tpi_raw *raw)
{
	struct tpi_copy *copy;

	copy = tpi_copy_new(corr, raw->data, raw->length, event->type);
	if (!copy)
		return refuse(corr, event);
	copy->time_ns = event->time_ns;
	copy->place = event->place;
	if (copy->raw.slot == UINT8_MAX) { /* it changed meanwhile */
		tpi_copy_put(corr, copy);
		corr->stats.malformed++;
		return 0;
	}
	if (!tpi_waiting_add(corr, copy)) {
		tpi_copy_put(corr, copy);
		return refuse(corr, event);
	}
	corr->stats.candidates++;
	return 1;
}

int tpi_corr_event(struct tpi_corr *corr, const struct tpi_corr_event *event)
{
	struct tpi_match match = {0};
	struct tpi_raw raw;

	corr->stats.events++;
	if (!is_new(corr, &event->place))
		return 0;
	if (event->time_ns > corr->latest_ns)
		corr->latest_ns = event->time_ns;
	if (corr->open_gaps)
		close_gaps(corr, event);
	if (!tpi_raw_open(&raw, &corr->rules->slots, event->data, event->length,
			  event->type)) {
		corr->stats.malformed++;
		return 0;
	}
	if (corr->started && event->time_ns <= corr->stats.watermark_ns) {
		count_late(corr, &raw);
		return 0;
	}
	match.raw = &raw;
	if (!is_pod(corr, &raw) && !tpi_index_any(corr->rules, &match))
		return 0;
	return keep(corr, event, &raw);
}

/* ---- taking ---------------------------------------------------------------------------------------- */

/* Gives an event, whose turn it is, to the rules that it matches. */
static void process(struct tpi_corr *corr, struct tpi_copy *copy)
{
	const struct tpi_test *test = corr->rules->tests[copy->raw.slot];
	const struct tpi_test *end =
		test + corr->rules->test_count[copy->raw.slot];
	struct tpi_match match = {.raw = &copy->raw, .pods = true};
	struct tpi_hit hit = {.match = &match, .copy = copy};

	if (is_pod(corr, &copy->raw))
		tpi_pods_learn(corr, &copy->raw);
	/* It has one already in a checkpoint that no engine has written. */
	tpi_pod_put(corr, copy->pod);
	copy->pod = tpi_pods_find(corr, &copy->raw);
	if (copy->pod)
		copy->pod->refs++;
	match.pod = copy->pod;
	while (test < end) {
		const unsigned int rule = test->rule;

		match.regex_errors = &corr->states[rule].stats.regex_errors;
		hit.steps = hit.maybe = 0;
		for (; test < end && test->rule == rule; test++) {
			const enum tpi_truth truth =
				tpi_match(test->node, &match);

			if (truth != TPI_FALSE)
				hit.steps |= (uint8_t)(1u << test->step);
			if (truth == TPI_MAYBE)
				hit.maybe |= (uint8_t)(1u << test->step);
		}
		if (hit.steps)
			tpi_operate(corr, rule, &hit);
	}
}

static void drop_gaps(struct tpi_corr *corr)
{
	const uint64_t now_ns = corr->stats.watermark_ns;
	unsigned int kept = 0;

	corr->open_gaps = 0;
	for (unsigned int i = 0; i < corr->gap_count; i++) {
		const struct tpi_gap gap = corr->gaps[i];

		if (tpi_add_ns(gap.to_ns, corr->rules->within_max_ns) < now_ns)
			continue;
		corr->gaps[kept++] = gap;
		corr->open_gaps += gap.open;
	}
	corr->gap_count = kept;
}

void tpi_corr_time(struct tpi_corr *corr, uint64_t watermark_ns)
{
	if (corr->started && watermark_ns <= corr->stats.watermark_ns)
		return;
	for (;;) {
		struct tpi_copy *copy =
			corr->waiting_count ? corr->waiting[0] : NULL;
		struct tpi_key *key = corr->key_count ? corr->timers[0] : NULL;

		if (copy && copy->time_ns > watermark_ns)
			copy = NULL;
		if (key && key->when_ns > watermark_ns)
			key = NULL;
		/* A deadline comes behind all events of its time. */
		if (copy && (!key || copy->time_ns <= key->when_ns)) {
			take_first(corr);
			process(corr, copy);
			tpi_copy_put(corr, copy);
			tpi_state_room(corr, 0);
		} else if (key) {
			tpi_key_due(corr, key);
		} else {
			break;
		}
	}
	corr->started = true;
	corr->stats.watermark_ns = watermark_ns;
	drop_gaps(corr);
}

uint64_t tpi_corr_watermark(const struct tpi_corr *corr)
{
	return corr->stats.watermark_ns;
}

/* ---- gaps --------------------------------------------------------------------------------------------- */

/* The longest that a reader waits for events of other lanes. */
#define LATENESS_NS UINT64_C(60000000000)

/* The gap that a new one is made part of. NULL: it stays apart. */
static struct tpi_gap *find_gap(struct tpi_corr *corr, uint64_t from_ns,
				uint64_t to_ns)
{
	for (unsigned int i = 0; i < corr->gap_count; i++) {
		struct tpi_gap *gap = &corr->gaps[i];

		if (!gap->open && gap->from_ns <= to_ns &&
		    gap->to_ns >= from_ns)
			return gap;
	}
	/* Too many become one: more is unknown then, and nothing wrong is true. */
	return corr->gap_count == TPI_GAPS_MAX ? &corr->gaps[TPI_GAPS_MAX - 1]
					       : NULL;
}

void tpi_corr_gap(struct tpi_corr *corr, uint16_t source, uint32_t lane,
		  uint64_t lost, uint64_t from_ns, uint64_t to_ns)
{
	const bool open = to_ns == UINT64_MAX;
	struct tpi_gap *gap;

	corr->stats.gaps++;
	corr->stats.lost += lost;
	if (open)
		to_ns = tpi_add_ns(corr->latest_ns, LATENESS_NS);
	if (to_ns < from_ns)
		to_ns = from_ns;
	gap = open && corr->gap_count < TPI_GAPS_MAX
		      ? NULL
		      : find_gap(corr, from_ns, to_ns);
	if (gap) {
		if (from_ns < gap->from_ns)
			gap->from_ns = from_ns;
		if (to_ns > gap->to_ns)
			gap->to_ns = to_ns;
		return;
	}
	corr->open_gaps += open;
	corr->gaps[corr->gap_count++] = (struct tpi_gap){.from_ns = from_ns,
							 .to_ns = to_ns,
							 .lane = lane,
							 .source = source,
							 .open = open};
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

void tpi_corr_stats(const struct tpi_corr *corr, struct tpi_corr_stats *stats)
{
	*stats = corr->stats;
	stats->waiting = corr->waiting_count;
	stats->keys = corr->key_count;
	stats->key_bytes = stats->bytes - corr->copy_bytes - corr->pod_bytes -
			   corr->lane_bytes;
}

bool tpi_corr_rule_stats(const struct tpi_corr *corr, unsigned int rule,
			 struct tpi_corr_rule_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (rule >= corr->rules->count)
		return false;
	*stats = corr->states[rule].stats;
	return true;
}
