/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four operators. An event comes here in order, with the steps of a rule that it matches.
 * docs/guide/correlation.md says what each of them means, and tests/correlate/reference.py says it
 * again in another way.
 */
#include <string.h>

#include "tools/correlate/hash.h"
#include "tools/correlate/state.h"

static const struct tpi_rule *rule_of(const struct tpi_corr *corr,
				      const struct tpi_key *key)
{
	return &corr->rules->rules[key->rule];
}

uint64_t tpi_key_when(const struct tpi_corr *corr, const struct tpi_key *key)
{
	if (!key->count)
		return key->cool_ns;
	return tpi_add_ns(tpi_key_item(key, key->count - 1)->time_ns,
			  rule_of(corr, key)->within_ns);
}

/* A timer that comes too early finds that out by itself. */
static void set_timer(struct tpi_corr *corr, struct tpi_key *key)
{
	const uint64_t when_ns = tpi_key_when(corr, key);

	if (when_ns < key->when_ns)
		tpi_timer_set(corr, key, when_ns);
}

/* Its window begins anew. The key stays for its cool-down only. */
static void begin_anew(struct tpi_corr *corr, struct tpi_key *key,
		       uint64_t now_ns)
{
	tpi_key_clear(corr, key);
	if (key->cool_ns > now_ns)
		tpi_timer_set(corr, key, key->cool_ns);
	else
		tpi_key_free(corr, key);
}

/* ---- items ------------------------------------------------------------------------------------ */

static struct tpi_item *append(struct tpi_corr *corr, struct tpi_key *key,
			       const struct tpi_hit *hit)
{
	struct tpi_item *item;

	if (!tpi_key_room(corr, key)) {
		corr->stats.refused++;
		return NULL;
	}
	item = tpi_key_item(key, key->count++);
	*item = (struct tpi_item){
		.time_ns = hit->copy->time_ns,
		.position = hit->copy->place.position,
		.lane = hit->copy->place.lane,
		.source = hit->copy->place.source,
		.steps = hit->steps,
		.maybe = hit->maybe,
	};
	return item;
}

static void append_copy(struct tpi_corr *corr, struct tpi_key *key,
			const struct tpi_hit *hit)
{
	struct tpi_item *item = append(corr, key, hit);

	if (!item)
		return;
	item->copy = hit->copy;
	hit->copy->refs++;
}

/* Without a reference to its copy. */
static void remove_item(struct tpi_key *key, uint32_t i)
{
	memmove(tpi_key_item(key, i), tpi_key_item(key, i + 1),
		(key->count - i - 1) * sizeof(struct tpi_item));
	key->count--;
}

/* Those that are too old for a window that ends now. */
static void drop_old(struct tpi_corr *corr, struct tpi_key *key,
		     uint64_t now_ns)
{
	const uint64_t within_ns = rule_of(corr, key)->within_ns;
	uint32_t n = 0;

	while (n < key->count &&
	       tpi_add_ns(tpi_key_item(key, n)->time_ns, within_ns) < now_ns)
		n++;
	tpi_key_drop(corr, key, n);
}

/* The key of the event, a new one if need be. */
static struct tpi_key *key_for(struct tpi_corr *corr, unsigned int rule,
			       const struct tpi_key_bytes *bytes)
{
	struct tpi_key *key = tpi_key_find(corr, rule, bytes);

	if (key) {
		tpi_key_touch(corr, key);
		return key;
	}
	key = tpi_key_add(corr, rule, bytes);
	if (!key)
		corr->stats.refused++;
	return key;
}

/* ---- evidence --------------------------------------------------------------------------------- */

static void set_evidence(struct tpi_corr *corr, const struct tpi_key *key,
			 uint32_t at, const struct tpi_item *item)
{
	const struct tpi_rule *rule = rule_of(corr, key);

	corr->evidence[at] = (struct tpi_corr_evidence){
		.place = {.position = item->position,
			  .lane = item->lane,
			  .source = item->source},
		.time_ns = item->time_ns,
		.step = rule->steps[0].name,
	};
}

static void set_evidence_copy(struct tpi_corr *corr, uint32_t at,
			      const char *step, const struct tpi_copy *copy)
{
	corr->evidence[at] = (struct tpi_corr_evidence){
		.place = copy->place,
		.time_ns = copy->time_ns,
		.step = step,
		.data = copy->data,
		.length = copy->raw.length,
	};
}

/* All items of a key, the last one with the copy at hand. */
static void fire_items(struct tpi_corr *corr, struct tpi_key *key,
		       const struct tpi_hit *hit)
{
	const uint32_t count = key->count;

	for (uint32_t i = 0; i < count; i++)
		set_evidence(corr, key, i, tpi_key_item(key, i));
	set_evidence_copy(corr, count - 1, rule_of(corr, key)->steps[0].name,
			  hit->copy);
	tpi_fire(corr, key, hit->copy->time_ns, count, NULL, hit->copy);
	begin_anew(corr, key, hit->copy->time_ns);
}

/* ---- count, distinct -------------------------------------------------------------------------- */

static void operate_count(struct tpi_corr *corr, struct tpi_key *key,
			  const struct tpi_hit *hit)
{
	drop_old(corr, key, hit->copy->time_ns);
	append(corr, key, hit);
	if (key->count >= rule_of(corr, key)->need)
		fire_items(corr, key, hit);
	else
		set_timer(corr, key);
}

static uint64_t hash_value(const struct tpi_value *value)
{
	if (value->kind == TPI_VALUE_BYTES)
		return tpi_hash_bytes(11, value->data, value->length);
	if (value->kind == TPI_VALUE_IP)
		return tpi_hash_bytes(12 + value->ip.family, value->ip.bytes,
				      16);
	return tpi_hash_bytes(20 + value->kind, &value->u64,
			      sizeof(value->u64));
}

/* A value counts once, by its latest event. */
static void operate_distinct(struct tpi_corr *corr, struct tpi_key *key,
			     const struct tpi_hit *hit, uint64_t value)
{
	struct tpi_item *item;

	drop_old(corr, key, hit->copy->time_ns);
	for (uint32_t i = 0; i < key->count; i++) {
		if (tpi_key_item(key, i)->value != value)
			continue;
		remove_item(key, i);
		break;
	}
	item = append(corr, key, hit);
	if (item)
		item->value = value;
	if (key->count >= rule_of(corr, key)->need)
		fire_items(corr, key, hit);
	else
		set_timer(corr, key);
}

/* ---- absent ------------------------------------------------------------------------------------- */

static void operate_absent(struct tpi_corr *corr, struct tpi_key *key,
			   const struct tpi_hit *hit)
{
	tpi_key_drop(corr, key, key->count);
	if (rule_of(corr, key)->keeps)
		append_copy(corr, key, hit);
	else
		append(corr, key, hit);
	set_timer(corr, key);
}

static void fire_absent(struct tpi_corr *corr, struct tpi_key *key,
			uint64_t now_ns)
{
	const struct tpi_item *item = tpi_key_item(key, 0);
	const struct tpi_copy *copy = item->copy;

	if (copy)
		set_evidence_copy(corr, 0, rule_of(corr, key)->steps[0].name,
				  copy);
	else
		set_evidence(corr, key, 0, item);
	tpi_fire(corr, key, now_ns, 1, NULL, copy);
}

/* ---- sequence ----------------------------------------------------------------------------------- */

/* Steps with which a sequence can begin. */
static uint8_t starts(const struct tpi_rule *rule)
{
	return (uint8_t)((2u << (rule->step_count - rule->need)) - 1);
}

/* Items without a beginning before them are of no use. */
static void drop_headless(struct tpi_corr *corr, struct tpi_key *key)
{
	const uint8_t mask = starts(rule_of(corr, key));
	uint32_t n = 0;

	while (n < key->count && !(tpi_key_item(key, n)->steps & mask))
		n++;
	tpi_key_drop(corr, key, n);
}

/* The oldest item of the step that most items match, the last one of such steps. */
static void forget_one(struct tpi_corr *corr, struct tpi_key *key)
{
	uint32_t counts[TPI_RULES_STEPS_MAX] = {0};
	unsigned int most = 0;

	for (uint32_t i = 0; i < key->count; i++)
		for (unsigned int s = 0; s < TPI_RULES_STEPS_MAX; s++)
			counts[s] += tpi_key_item(key, i)->steps >> s & 1;
	for (unsigned int s = 1; s < TPI_RULES_STEPS_MAX; s++)
		if (counts[s] >= counts[most])
			most = s;
	for (uint32_t i = 0; i < key->count; i++) {
		if (!(tpi_key_item(key, i)->steps >> most & 1))
			continue;
		tpi_copy_put(corr, tpi_key_item(key, i)->copy);
		remove_item(key, i);
		break;
	}
	corr->states[key->rule].stats.forgotten++;
}

static void fire_sequence(struct tpi_corr *corr, struct tpi_key *key,
			  const struct tpi_hit *hit,
			  const struct tpi_chain *chain)
{
	const struct tpi_rule *rule = rule_of(corr, key);
	uint32_t count = 0;

	for (unsigned int s = 0; s < rule->step_count; s++)
		if (chain->copies[s])
			set_evidence_copy(corr, count++, rule->steps[s].name,
					  chain->copies[s]);
	tpi_fire(corr, key, hit->copy->time_ns, count, chain, hit->copy);
	begin_anew(corr, key, hit->copy->time_ns);
}

static void operate_sequence(struct tpi_corr *corr, unsigned int rule_index,
			     const struct tpi_hit *hit,
			     const struct tpi_key_bytes *bytes)
{
	const struct tpi_rule *rule = &corr->rules->rules[rule_index];
	struct tpi_key *key = tpi_key_find(corr, rule_index, bytes);
	const uint8_t last = (uint8_t)(1u << (rule->step_count - 1));
	struct tpi_chain chain;

	if (key) {
		drop_old(corr, key, hit->copy->time_ns);
		drop_headless(corr, key);
	}
	if ((!key || !key->count) && !(hit->steps & starts(rule))) {
		if (key && key->cool_ns <= hit->copy->time_ns)
			tpi_key_free(corr, key);
		return;
	}
	key = key_for(corr, rule_index, bytes);
	if (!key)
		return;
	if (key->count + 1 >= rule->need &&
	    tpi_sequence_find(corr, rule, key, hit, &chain)) {
		fire_sequence(corr, key, hit, &chain);
		return;
	}
	if (hit->steps & ~last) {
		if (key->count >= corr->options.limits.events_per_key)
			forget_one(corr, key);
		append_copy(corr, key, hit);
	}
	if (key->count || key->cool_ns > hit->copy->time_ns)
		set_timer(corr, key);
	else
		tpi_key_free(corr, key);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static void count_hit(struct tpi_corr *corr, unsigned int rule,
		      const struct tpi_hit *hit)
{
	struct tpi_corr_rule_stats *stats = &corr->states[rule].stats;
	const struct tpi_rule *r = &corr->rules->rules[rule];

	stats->matched++;
	for (unsigned int s = 0; s < r->step_count; s++)
		if (hit->steps >> s & 1)
			stats->steps[r->steps[s].index]++;
}

void tpi_operate(struct tpi_corr *corr, unsigned int rule,
		 const struct tpi_hit *hit)
{
	const struct tpi_rule *r = &corr->rules->rules[rule];
	const unsigned int slot = hit->copy->raw.slot;
	const unsigned int step = (unsigned int)__builtin_ctz(hit->steps);
	struct tpi_value value = {0};
	struct tpi_key_bytes bytes;
	struct tpi_key *key;

	count_hit(corr, rule, hit);
	if (r->kind == TPI_RULE_DISTINCT)
		tpi_load(hit->match, &r->steps[0].value[slot], &value);
	if (!tpi_key_make(r, r->steps[step].keys[slot], hit->match, &bytes) ||
	    (r->kind == TPI_RULE_DISTINCT && value.kind == TPI_VALUE_UNSET)) {
		corr->states[rule].stats.keyless++;
		return;
	}
	if (r->kind == TPI_RULE_SEQUENCE) {
		operate_sequence(corr, rule, hit, &bytes);
		return;
	}
	key = key_for(corr, rule, &bytes);
	if (!key)
		return;
	if (r->kind == TPI_RULE_COUNT)
		operate_count(corr, key, hit);
	else if (r->kind == TPI_RULE_DISTINCT)
		operate_distinct(corr, key, hit, hash_value(&value));
	else
		operate_absent(corr, key, hit);
}

void tpi_key_due(struct tpi_corr *corr, struct tpi_key *key)
{
	const uint64_t now_ns = key->when_ns;

	if (key->count && tpi_key_when(corr, key) <= now_ns) {
		if (rule_of(corr, key)->kind == TPI_RULE_ABSENT) {
			fire_absent(corr, key, now_ns);
		} else {
			corr->states[key->rule].stats.expired++;
			tpi_why(corr, key, TPI_CORR_END_EXPIRED, now_ns);
		}
		tpi_key_clear(corr, key);
	}
	if (!key->count && key->cool_ns <= now_ns)
		tpi_key_free(corr, key);
	else
		tpi_timer_set(corr, key, tpi_key_when(corr, key));
}
