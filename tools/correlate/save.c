/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: the whole state in one block of little-endian words.
 *
 *	magic version length checksum | watermark numbers sources gaps pods
 *	copies | waiting | rules: digest numbers keys: bytes items
 *
 * Copies are numbered, since keys and the waiting heap share them. Keys come in the order of
 * their last touch, so that the same ones make room later. A block is loaded into a new engine,
 * which takes the place of the other one when all of it was fine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/hash.h"
#include "tools/correlate/pack.h"
#include "tools/correlate/state.h"

#define MAGIC      UINT64_C(0x52524f4354504154) /* "TAPTCORR" */
#define VERSION    1
#define HEAD_WORDS 4
#define NAME_MAX   4096 /* of a channel, an instance */

/* The counters that last. Those of what is there now are found again. */
#define STATS_WORDS 8
#define RULE_WORDS  10

static void stats_words(struct tpi_corr_stats *stats,
			uint64_t *words[STATS_WORDS])
{
	uint64_t *const all[STATS_WORDS] = {
		&stats->events, &stats->candidates, &stats->late,
		&stats->again,  &stats->malformed,  &stats->refused,
		&stats->gaps,   &stats->lost};

	memcpy((void *)words, (const void *)all, sizeof(all));
}

static void rule_words(struct tpi_corr_rule_stats *stats,
		       uint64_t *words[RULE_WORDS])
{
	uint64_t *const all[RULE_WORDS] = {
		&stats->matched,   &stats->keyless,   &stats->findings,
		&stats->unknown,   &stats->expired,   &stats->evicted,
		&stats->forgotten, &stats->exhausted, &stats->late,
		&stats->suppressed};

	memcpy((void *)words, (const void *)all, sizeof(all));
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void save_stats(const struct tpi_corr *corr, struct tpi_writer *w)
{
	struct tpi_corr_stats stats = corr->stats;
	uint64_t *words[STATS_WORDS];

	stats_words(&stats, words);
	for (unsigned int i = 0; i < STATS_WORDS; i++)
		tpi_write(w, *words[i]);
}

static void save_source(const struct tpi_source *source, struct tpi_writer *w)
{
	uint64_t count = 0;

	tpi_write_block(w, source->channel, strlen(source->channel));
	tpi_write_block(w, source->instance, strlen(source->instance));
	for (uint32_t i = 0; i < source->lanes; i++)
		count += !!source->next[i];
	tpi_write(w, count);
	for (uint32_t i = 0; i < source->lanes; i++) {
		if (!source->next[i])
			continue;
		tpi_write(w, i);
		tpi_write(w, source->next[i]);
	}
}

/* Numbers a copy and writes it, the first time that it comes. */
static void save_copy(struct tpi_copy *copy, struct tpi_writer *w,
		      uint32_t *count)
{
	if (!copy || copy->mark)
		return;
	copy->mark = ++*count;
	tpi_write(w, copy->time_ns);
	tpi_write(w, copy->place.position);
	tpi_write(w, copy->place.lane);
	tpi_write(w, copy->place.source);
	tpi_write(w, copy->raw.type);
	tpi_write_block(w, copy->data, copy->raw.length);
	tpi_pod_save(copy->pod, w);
}

static bool has_copies(const struct tpi_rule *rule)
{
	return rule->kind == TPI_RULE_SEQUENCE || rule->kind == TPI_RULE_ABSENT;
}

typedef void copy_fn(struct tpi_copy *copy, struct tpi_writer *w,
		     uint32_t *count);

static void each_copy(const struct tpi_corr *corr, copy_fn *call,
		      struct tpi_writer *w, uint32_t *count)
{
	for (uint32_t i = 0; i < corr->waiting_count; i++)
		call(corr->waiting[i], w, count);
	for (uint32_t i = 0; i < corr->key_count; i++) {
		const struct tpi_key *key = corr->timers[i];

		if (!has_copies(&corr->rules->rules[key->rule]))
			continue;
		for (uint32_t n = 0; n < key->count; n++)
			call(tpi_key_item(key, n)->copy, w, count);
	}
}

static void unmark(struct tpi_copy *copy, struct tpi_writer *w, uint32_t *count)
{
	(void)w;
	(void)count;
	if (copy)
		copy->mark = 0;
}

static void save_item(const struct tpi_item *item, bool copies,
		      struct tpi_writer *w)
{
	tpi_write(w, item->time_ns);
	tpi_write(w, item->position);
	tpi_write(w, (uint64_t)item->source << 32 | item->lane);
	tpi_write(w, (uint64_t)item->maybe << 8 | item->steps);
	if (copies)
		tpi_write(w, item->copy ? item->copy->mark : 0);
	else
		tpi_write(w, item->value);
}

static void save_rule(const struct tpi_corr *corr, unsigned int index,
		      struct tpi_writer *w)
{
	const struct tpi_rule *rule = &corr->rules->rules[index];
	struct tpi_corr_rule_stats stats = corr->states[index].stats;
	uint64_t *words[RULE_WORDS];

	tpi_write(w, rule->digest);
	rule_words(&stats, words);
	for (unsigned int i = 0; i < RULE_WORDS; i++)
		tpi_write(w, *words[i]);
	for (unsigned int i = 0; i < TPI_RULES_STEPS_MAX; i++)
		tpi_write(w, stats.steps[i]);
	tpi_write(w, stats.keys);
	for (struct tpi_key *key = corr->states[index].oldest; key;
	     key = key->newer) {
		tpi_write_block(w, key->bytes, key->length);
		tpi_write(w, key->touched);
		tpi_write(w, key->cool_ns);
		tpi_write(w, key->count);
		for (uint32_t i = 0; i < key->count; i++)
			save_item(tpi_key_item(key, i), has_copies(rule), w);
	}
}

static void save_body(const struct tpi_corr *corr, struct tpi_writer *w)
{
	struct tpi_writer copies = {0};
	uint32_t count = 0;

	tpi_write(w, corr->started);
	tpi_write(w, corr->stats.watermark_ns);
	tpi_write(w, corr->touches);
	tpi_write(w, corr->latest_ns);
	save_stats(corr, w);
	tpi_write(w, corr->source_count);
	for (unsigned int i = 0; i < corr->source_count; i++)
		save_source(&corr->sources[i], w);
	tpi_write(w, corr->gap_count);
	for (unsigned int i = 0; i < corr->gap_count; i++) {
		tpi_write(w, corr->gaps[i].from_ns);
		tpi_write(w, corr->gaps[i].to_ns);
		tpi_write(w, (uint64_t)corr->gaps[i].open << 48 |
				     (uint64_t)corr->gaps[i].source << 32 |
				     corr->gaps[i].lane);
	}
	tpi_pods_save(corr, w);
	each_copy(corr, save_copy, &copies, &count);
	tpi_write(w, count);
	tpi_write_bytes(w, copies.data, copies.length);
	w->failed |= copies.failed;
	free(copies.data);
	tpi_write(w, corr->waiting_count);
	for (uint32_t i = 0; i < corr->waiting_count; i++)
		tpi_write(w, corr->waiting[i]->mark);
	tpi_write(w, corr->rules->count);
	for (unsigned int i = 0; i < corr->rules->count; i++)
		save_rule(corr, i, w);
	each_copy(corr, unmark, NULL, NULL);
}

static uint64_t checksum(const unsigned char *data, size_t length)
{
	return tpi_hash_bytes(VERSION, data + HEAD_WORDS * 8,
			      length - HEAD_WORDS * 8);
}

int tpi_corr_save(const struct tpi_corr *corr, void **data, size_t *length)
{
	struct tpi_writer w = {0};
	uint64_t head[HEAD_WORDS] = {MAGIC, VERSION, 0, 0};

	*data = NULL;
	*length = 0;
	tpi_write_bytes(&w, head, sizeof(head));
	save_body(corr, &w);
	if (w.failed) {
		free(w.data);
		return -ENOMEM;
	}
	head[2] = w.length;
	head[3] = checksum(w.data, w.length);
	memcpy(w.data, head, sizeof(head));
	*data = w.data;
	*length = w.length;
	return 0;
}

/* ---- loading ----------------------------------------------------------------------------------- */

struct load {
	struct tpi_corr *corr;
	struct tpi_reader r;
	struct tpi_copy **copies; /* from 1 */
	uint32_t copy_count;
	bool no_memory;
};

static bool fail(struct load *load)
{
	load->r.failed = true;
	return false;
}

static bool out_of_memory(struct load *load)
{
	load->no_memory = true;
	return fail(load);
}

/* A text without NUL, ended with one. */
static char *load_name(struct load *load)
{
	size_t length;
	const char *bytes = tpi_read_block(&load->r, NAME_MAX, &length);
	char *name = bytes && !memchr(bytes, 0, length) ? strndup(bytes, length)
							: NULL;

	if (!name)
		fail(load);
	return name;
}

static bool load_lanes(struct load *load, struct tpi_source *source)
{
	for (uint32_t count = tpi_read_count(&load->r, 16); count; count--) {
		const uint32_t lane = (uint32_t)tpi_read_max(
			&load->r, TPI_CORR_LANES_MAX - 1);
		const uint64_t next = tpi_read(&load->r);

		if (load->r.failed)
			return false;
		if (!tpi_lane_room(load->corr, source, lane))
			return out_of_memory(load);
		source->next[lane] = next;
	}
	return !load->r.failed;
}

static bool load_sources(struct load *load)
{
	const uint64_t count = tpi_read_max(&load->r, TPI_CORR_SOURCES_MAX);

	for (uint64_t i = 0; i < count && !load->r.failed; i++) {
		struct tpi_corr_source names = {.channel = load_name(load)};
		int number = -1;

		names.instance = names.channel ? load_name(load) : NULL;
		if (names.instance)
			number = tpi_corr_source(load->corr, &names);
		free((char *)names.channel);
		free((char *)names.instance);
		if (number == -ENOMEM)
			return out_of_memory(load);
		if (number != (int)i) /* the same twice */
			return fail(load);
		load_lanes(load, &load->corr->sources[i]);
	}
	return !load->r.failed;
}

static bool load_gaps(struct load *load)
{
	const uint64_t count = tpi_read_max(&load->r, TPI_GAPS_MAX);

	for (uint64_t i = 0; i < count; i++) {
		struct tpi_gap *gap = &load->corr->gaps[i];
		uint64_t word;

		gap->from_ns = tpi_read(&load->r);
		gap->to_ns = tpi_read(&load->r);
		word = tpi_read_max(&load->r, (UINT64_C(1) << 49) - 1);
		gap->lane = (uint32_t)word;
		gap->source = (uint16_t)(word >> 32);
		gap->open = word >> 48;
		load->corr->open_gaps += gap->open;
	}
	load->corr->gap_count = (unsigned int)count;
	return !load->r.failed;
}

static bool load_copy(struct load *load, uint32_t number)
{
	struct tpi_reader *r = &load->r;
	struct tpi_corr_place place;
	struct tpi_copy *copy;
	const uint64_t time_ns = tpi_read(r);
	uint16_t type;
	size_t length;
	const void *data;

	place.position = tpi_read(r);
	place.lane = (uint32_t)tpi_read_max(r, TPI_CORR_LANES_MAX - 1);
	place.source = (uint16_t)tpi_read_max(r, UINT16_MAX);
	type = (uint16_t)tpi_read_max(r, UINT16_MAX);
	data = tpi_read_block(r, UINT32_MAX, &length);
	if (r->failed || place.source >= load->corr->source_count)
		return fail(load);
	copy = tpi_copy_new(load->corr, data, (uint32_t)length, type);
	if (!copy)
		return out_of_memory(load);
	load->copies[number] = copy;
	copy->pod = tpi_pod_load(load->corr, r);
	copy->time_ns = time_ns;
	copy->place = place;
	return (copy->raw.slot != UINT8_MAX && !r->failed) || fail(load);
}

static bool load_copies(struct load *load)
{
	const uint32_t count = tpi_read_count(&load->r, 56);

	load->copies = calloc(count + 1u, sizeof(struct tpi_copy *));
	if (!load->copies)
		return out_of_memory(load);
	load->copy_count = count;
	for (uint32_t i = 1; i <= count; i++)
		if (!load_copy(load, i))
			return false;
	return !load->r.failed;
}

/* One more reference to a copy. NULL with number 0, and when it fails. */
static struct tpi_copy *load_reference(struct load *load)
{
	struct tpi_copy *copy =
		load->copies[tpi_read_max(&load->r, load->copy_count)];

	if (copy)
		copy->refs++;
	return copy;
}

static bool load_waiting(struct load *load)
{
	for (uint32_t count = tpi_read_count(&load->r, 8); count; count--) {
		struct tpi_copy *copy = load_reference(load);

		if (!copy)
			return fail(load);
		if (copy->time_ns <= load->corr->stats.watermark_ns &&
		    load->corr->started) {
			tpi_copy_put(load->corr, copy);
			return fail(load);
		}
		if (tpi_waiting_add(load->corr, copy))
			continue;
		tpi_copy_put(load->corr, copy);
		return out_of_memory(load);
	}
	return !load->r.failed;
}

static bool load_item(struct load *load, const struct tpi_rule *rule,
		      struct tpi_key *key, const struct tpi_item *before)
{
	struct tpi_reader *r = &load->r;
	struct tpi_item item = {.time_ns = tpi_read(r),
				.position = tpi_read(r)};
	uint64_t word = tpi_read(r);

	item.lane = (uint32_t)word;
	item.source = (uint16_t)(word >> 32);
	/* Events of a window have come. */
	if (word >> 48 || item.source >= load->corr->source_count ||
	    item.time_ns > load->corr->stats.watermark_ns)
		fail(load);
	word = tpi_read(r);
	item.steps = (uint8_t)word;
	item.maybe = (uint8_t)(word >> 8);
	if (word >> 16 || !item.steps || item.steps >> rule->step_count ||
	    item.maybe & ~item.steps ||
	    (before && before->time_ns > item.time_ns))
		fail(load);
	if (has_copies(rule))
		item.copy = load_reference(load);
	else
		item.value = tpi_read(r);
	if (rule->kind == TPI_RULE_SEQUENCE && !item.copy)
		fail(load);
	if (!r->failed && !tpi_key_room(load->corr, key))
		out_of_memory(load);
	/* Of a sequence: its copy is of a type that these steps know. */
	for (unsigned int s = 0;
	     item.copy && has_copies(rule) && s < rule->step_count; s++)
		if (item.steps >> s & 1 &&
		    !rule->steps[s].nodes[item.copy->raw.slot])
			fail(load);
	if (r->failed) {
		if (has_copies(rule))
			tpi_copy_put(load->corr, item.copy);
		return false;
	}
	*tpi_key_item(key, key->count++) = item;
	return true;
}

/* The most items that a key of the rule ever has. */
static uint64_t items_max(const struct tpi_corr *corr,
			  const struct tpi_rule *rule)
{
	if (rule->kind == TPI_RULE_ABSENT)
		return 1;
	return rule->kind == TPI_RULE_SEQUENCE
		       ? corr->options.limits.events_per_key
		       : rule->need - 1;
}

static bool load_key(struct load *load, unsigned int index)
{
	struct tpi_corr *corr = load->corr;
	const struct tpi_rule *rule = &corr->rules->rules[index];
	struct tpi_key_bytes bytes;
	struct tpi_key *key;
	uint64_t touched, cool_ns, count;
	size_t length;
	const void *data = tpi_read_block(&load->r, TPI_KEY_BYTES_MAX, &length);

	touched = tpi_read_max(&load->r, corr->touches);
	cool_ns = tpi_read(&load->r);
	count = tpi_read_max(&load->r, items_max(corr, rule));
	if (load->r.failed || (!count && !cool_ns))
		return fail(load);
	bytes.length = (unsigned int)length;
	memcpy(bytes.bytes, data, length);
	if (tpi_key_find(corr, index, &bytes))
		return fail(load);
	key = tpi_key_add(corr, index, &bytes);
	if (!key)
		return out_of_memory(load);
	corr->touches--; /* that was no touch */
	key->touched = touched;
	key->cool_ns = cool_ns;
	for (uint64_t i = 0; i < count; i++)
		if (!load_item(load, rule, key,
			       i ? tpi_key_item(key, (uint32_t)i - 1) : NULL))
			return false;
	tpi_timer_set(corr, key, tpi_key_when(corr, key));
	return true;
}

/* Passes over the keys of a rule that is no more. */
static bool skip_keys(struct load *load, uint64_t keys)
{
	struct tpi_reader *r = &load->r;
	size_t length;

	for (; keys && !r->failed; keys--) {
		tpi_read_block(r, TPI_KEY_BYTES_MAX, &length);
		tpi_read(r);
		tpi_read(r);
		for (uint32_t count = tpi_read_count(r, 40); count; count--)
			for (unsigned int i = 0; i < 5; i++)
				tpi_read(r);
	}
	return !r->failed;
}

static int find_rule(const struct tpi_corr *corr, uint64_t digest)
{
	for (unsigned int i = 0; i < corr->rules->count; i++)
		if (corr->rules->rules[i].digest == digest)
			return (int)i;
	return -1;
}

static bool load_rule(struct load *load)
{
	struct tpi_corr *corr = load->corr;
	const int index = find_rule(corr, tpi_read(&load->r));
	struct tpi_corr_rule_stats stats = {0};
	uint64_t *words[RULE_WORDS], keys;

	rule_words(&stats, words);
	for (unsigned int i = 0; i < RULE_WORDS; i++)
		*words[i] = tpi_read(&load->r);
	for (unsigned int i = 0; i < TPI_RULES_STEPS_MAX; i++)
		stats.steps[i] = tpi_read(&load->r);
	keys = tpi_read_count(&load->r, 32);
	if (index < 0)
		return skip_keys(load, keys);
	/* The same rule twice, or more keys than there may be: not ours. */
	if (corr->states[index].stats.keys ||
	    keys > corr->options.limits.keys_per_rule)
		return keys ? out_of_memory(load) : fail(load);
	for (uint64_t i = 0; i < keys && !load->r.failed; i++)
		load_key(load, (unsigned int)index);
	stats.rule = corr->states[index].stats.rule;
	stats.keys = corr->states[index].stats.keys;
	corr->states[index].stats = stats;
	return !load->r.failed;
}

static bool load_body(struct load *load)
{
	struct tpi_corr *corr = load->corr;
	uint64_t *words[STATS_WORDS];

	corr->started = tpi_read_max(&load->r, 1);
	corr->stats.watermark_ns = tpi_read(&load->r);
	corr->touches = tpi_read_max(&load->r, UINT64_MAX >> 1);
	corr->latest_ns = tpi_read(&load->r);
	stats_words(&corr->stats, words);
	for (unsigned int i = 0; i < STATS_WORDS; i++)
		*words[i] = tpi_read(&load->r);
	if (!load_sources(load) || !load_gaps(load) ||
	    !tpi_pods_load(corr, &load->r))
		return false;
	if (!load_copies(load) || !load_waiting(load))
		return false;
	for (uint32_t count = tpi_read_count(&load->r, 8); count; count--)
		if (!load_rule(load))
			return false;
	return !load->r.failed && load->r.at == load->r.end;
}

static int check_head(const void *data, size_t length)
{
	uint64_t head[HEAD_WORDS];

	if (length < sizeof(head))
		return -EBADMSG;
	memcpy(head, data, sizeof(head));
	if (head[0] != MAGIC)
		return -EBADMSG;
	if (head[1] != VERSION)
		return -EPROTONOSUPPORT;
	if (head[2] != length || head[3] != checksum(data, length))
		return -EBADMSG;
	return 0;
}

/* Loads into a new engine with these rules. */
static int load_new(struct tpi_corr **out, struct tpi_rules *rules,
		    const struct tpi_corr_options *options, const void *data,
		    size_t length)
{
	struct load load = {0};
	bool ok;
	int err = tpi_corr_make(out, rules, options);

	if (err)
		return err;
	load.corr = *out;
	load.corr->options.on_why = NULL; /* nothing ends here */
	load.r.at = (const unsigned char *)data + HEAD_WORDS * 8;
	load.r.end = (const unsigned char *)data + length;
	ok = load_body(&load);
	for (uint32_t i = 1; i <= load.copy_count; i++)
		tpi_copy_put(load.corr, load.copies[i]);
	free((void *)load.copies);
	load.corr->options.on_why = options->on_why;
	if (ok)
		return 0;
	tpi_corr_clear(*out);
	free(*out);
	*out = NULL;
	return load.no_memory ? -ENOMEM : -EBADMSG;
}

/* Puts the state of one engine into the place of another, whose own is freed. */
static void take_over(struct tpi_corr *corr, struct tpi_corr *from)
{
	tpi_corr_clear(corr);
	*corr = *from;
	free(from);
}

int tpi_corr_load(struct tpi_corr *corr, const void *data, size_t length)
{
	struct tpi_corr *made;
	int err = check_head(data, length);

	if (!err)
		err = load_new(&made, corr->rules, &corr->options, data,
			       length);
	if (!err)
		take_over(corr, made);
	return err;
}

int tpi_corr_swap_rules(struct tpi_corr *corr, struct tpi_rules *rules)
{
	struct tpi_rules *old = corr->rules;
	struct tpi_corr *made;
	void *data;
	size_t length;
	int err = tpi_corr_save(corr, &data, &length);

	if (!err)
		err = load_new(&made, rules, &corr->options, data, length);
	free(data);
	if (err) {
		tpi_rules_free(rules);
		return err;
	}
	take_over(corr, made);
	tpi_rules_free(old);
	return 0;
}
