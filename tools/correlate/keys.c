/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: a hash table over all rules, a list by last touch for each rule, and a heap of timers.
 * All memory of an engine's state is counted here.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/hash.h"
#include "tools/correlate/state.h"

/* ---- memory ------------------------------------------------------------------------------- */

/* With the word that malloc keeps before it. */
size_t tpi_state_size(void *p)
{
	return malloc_usable_size(p) + sizeof(size_t);
}

void *tpi_state_get(struct tpi_corr *corr, size_t bytes)
{
	void *p = malloc(bytes);

	if (p)
		corr->stats.bytes += tpi_state_size(p);
	return p;
}

void tpi_state_put(struct tpi_corr *corr, void *p)
{
	if (!p)
		return;
	corr->stats.bytes -= tpi_state_size(p);
	free(p);
}

/* The rule whose oldest key was touched least recently of all. NULL: there are no keys. */
static struct tpi_key *oldest_key(const struct tpi_corr *corr)
{
	struct tpi_key *found = NULL;

	for (unsigned int i = 0; i < corr->rules->count; i++) {
		struct tpi_key *key = corr->states[i].oldest;

		if (key && (!found || key->touched < found->touched))
			found = key;
	}
	return found;
}

static void evict(struct tpi_corr *corr, struct tpi_key *key)
{
	corr->states[key->rule].stats.evicted++;
	tpi_why(corr, key, TPI_CORR_END_EVICTED, corr->stats.watermark_ns);
	tpi_key_free(corr, key);
}

bool tpi_state_room(struct tpi_corr *corr, size_t bytes)
{
	const uint64_t limit = corr->options.limits.bytes;

	while (corr->stats.bytes + bytes > limit) {
		struct tpi_key *key = oldest_key(corr);

		if (!key)
			return false;
		evict(corr, key);
	}
	return true;
}

void tpi_copy_put(struct tpi_corr *corr, struct tpi_copy *copy)
{
	if (!copy || --copy->refs)
		return;
	tpi_pod_put(corr, copy->pod);
	corr->copy_bytes -= tpi_state_size(copy);
	tpi_state_put(corr, copy);
}

/* ---- the bytes of a key ------------------------------------------------------------------------ */

/* Of a longer text, the beginning and a hash. */
#define TEXT_MAX 192

static void append(struct tpi_key_bytes *key, const void *data, size_t length)
{
	memcpy(key->bytes + key->length, data, length);
	key->length += (unsigned int)length;
}

static void append_text(struct tpi_key_bytes *key,
			const struct tpi_value *value)
{
	const uint8_t length =
		value->length > TEXT_MAX ? TEXT_MAX : (uint8_t)value->length;
	const bool cut = value->length > TEXT_MAX;
	uint64_t hash;

	append(key, cut ? "h" : "s", 1);
	append(key, &length, 1);
	append(key, value->data, length);
	if (!cut)
		return;
	hash = tpi_hash_bytes(7, value->data, value->length);
	append(key, &hash, sizeof(hash));
}

/* A letter for the kind, so that keys of different kinds differ. */
static void append_value(struct tpi_key_bytes *key,
			 const struct tpi_value *value)
{
	switch (value->kind) {
	case TPI_VALUE_BYTES:
		append_text(key, value);
		break;
	case TPI_VALUE_IP:
		append(key, value->ip.family == 4 ? "4" : "6", 1);
		append(key, value->ip.bytes, 16);
		break;
	default:
		append(key,
		       value->kind == TPI_VALUE_U64   ? "u"
		       : value->kind == TPI_VALUE_I64 ? "i"
						      : "f",
		       1);
		append(key, &value->u64, sizeof(value->u64));
	}
}

bool tpi_key_make(const struct tpi_rule *rule, const struct tpi_ref *refs,
		  const struct tpi_match *match, struct tpi_key_bytes *key)
{
	struct tpi_value value;

	_Static_assert(TPI_RULES_KEYS_MAX * (2 + TEXT_MAX + 8) <=
			       TPI_KEY_BYTES_MAX,
		       "a key fits");
	key->length = 0;
	for (unsigned int i = 0; i < rule->key_count; i++) {
		tpi_load(match, &refs[i], &value);
		if (value.kind == TPI_VALUE_UNSET ||
		    value.kind == TPI_VALUE_MAYBE)
			return false;
		append_value(key, &value);
	}
	return true;
}

/* ---- the table ---------------------------------------------------------------------------------- */

#define BUCKETS_FIRST 256

static uint64_t hash_of(const struct tpi_corr *corr, unsigned int rule,
			const void *bytes, size_t length)
{
	return tpi_hash_bytes(corr->seed + rule, bytes, length);
}

static struct tpi_key **bucket(const struct tpi_corr *corr, uint64_t hash)
{
	return &corr->buckets[hash & (corr->bucket_count - 1)];
}

struct tpi_key *tpi_key_find(struct tpi_corr *corr, unsigned int rule,
			     const struct tpi_key_bytes *key)
{
	const uint64_t hash = hash_of(corr, rule, key->bytes, key->length);
	struct tpi_key *at;

	if (!corr->bucket_count)
		return NULL;
	for (at = *bucket(corr, hash); at; at = at->chain)
		if (at->hash == hash && at->rule == rule &&
		    at->length == key->length &&
		    !memcmp(at->bytes, key->bytes, key->length))
			return at;
	return NULL;
}

/* Doubles the table. Without the memory for it, it is slower, and nothing else. */
static bool grow_table(struct tpi_corr *corr)
{
	const uint32_t count =
		corr->bucket_count ? 2 * corr->bucket_count : BUCKETS_FIRST;
	struct tpi_key **old = corr->buckets, **made, *next;
	const uint32_t old_count = corr->bucket_count;

	if (corr->key_count < old_count)
		return true;
	made = tpi_state_get(corr, count * sizeof(struct tpi_key *));
	if (!made)
		return old_count;
	memset((void *)made, 0, count * sizeof(struct tpi_key *));
	corr->buckets = made;
	corr->bucket_count = count;
	for (uint32_t i = 0; i < old_count; i++) {
		for (struct tpi_key *key = old[i]; key; key = next) {
			next = key->chain;
			key->chain = *bucket(corr, key->hash);
			*bucket(corr, key->hash) = key;
		}
	}
	tpi_state_put(corr, (void *)old);
	return true;
}

/* ---- timers --------------------------------------------------------------------------------------- */

static bool is_before(const struct tpi_key *a, const struct tpi_key *b)
{
	const uint16_t length = a->length < b->length ? a->length : b->length;
	int order;

	if (a->when_ns != b->when_ns)
		return a->when_ns < b->when_ns;
	if (a->rule != b->rule)
		return a->rule < b->rule;
	order = memcmp(a->bytes, b->bytes, length);
	return order ? order < 0 : a->length < b->length;
}

static void put_timer(struct tpi_corr *corr, uint32_t i, struct tpi_key *key)
{
	corr->timers[i] = key;
	key->timer = i;
}

/* Moves a key to its place, up or down, from index i. */
static void sift(struct tpi_corr *corr, struct tpi_key *key, uint32_t i)
{
	struct tpi_key **timers = corr->timers;
	uint32_t child;

	for (; i && is_before(key, timers[(i - 1) / 2]); i = (i - 1) / 2)
		put_timer(corr, i, timers[(i - 1) / 2]);
	for (; (child = 2 * i + 1) < corr->key_count; i = child) {
		if (child + 1 < corr->key_count &&
		    is_before(timers[child + 1], timers[child]))
			child++;
		if (!is_before(timers[child], key))
			break;
		put_timer(corr, i, timers[child]);
	}
	put_timer(corr, i, key);
}

void tpi_timer_set(struct tpi_corr *corr, struct tpi_key *key, uint64_t when_ns)
{
	key->when_ns = when_ns;
	sift(corr, key, key->timer);
}

static bool grow_timers(struct tpi_corr *corr)
{
	const uint32_t room =
		corr->timer_room ? 2 * corr->timer_room : BUCKETS_FIRST;
	struct tpi_key **more;

	if (corr->key_count < corr->timer_room)
		return true;
	more = tpi_state_get(corr, room * sizeof(struct tpi_key *));
	if (!more)
		return false;
	if (corr->key_count)
		memcpy((void *)more, (void *)corr->timers,
		       corr->key_count * sizeof(struct tpi_key *));
	tpi_state_put(corr, (void *)corr->timers);
	corr->timers = more;
	corr->timer_room = room;
	return true;
}

static void remove_timer(struct tpi_corr *corr, struct tpi_key *key)
{
	struct tpi_key *last = corr->timers[corr->key_count - 1];
	const uint32_t i = key->timer;

	corr->key_count--;
	if (last != key)
		sift(corr, last, i);
}

/* ---- the list of a rule ----------------------------------------------------------------------------- */

static void unlink_key(struct tpi_rule_state *state, struct tpi_key *key)
{
	*(key->older ? &key->older->newer : &state->oldest) = key->newer;
	*(key->newer ? &key->newer->older : &state->newest) = key->older;
}

static void link_newest(struct tpi_corr *corr, struct tpi_key *key)
{
	struct tpi_rule_state *state = &corr->states[key->rule];

	key->touched = ++corr->touches;
	key->older = state->newest;
	key->newer = NULL;
	*(key->older ? &key->older->newer : &state->oldest) = key;
	state->newest = key;
}

void tpi_key_touch(struct tpi_corr *corr, struct tpi_key *key)
{
	unlink_key(&corr->states[key->rule], key);
	link_newest(corr, key);
}

/* ---- keys --------------------------------------------------------------------------------------------- */

struct tpi_key *tpi_key_add(struct tpi_corr *corr, unsigned int rule,
			    const struct tpi_key_bytes *bytes)
{
	struct tpi_rule_state *state = &corr->states[rule];
	struct tpi_key *key;

	if (state->stats.keys >= corr->options.limits.keys_per_rule)
		evict(corr, state->oldest);
	if (!tpi_state_room(corr, sizeof(*key) + bytes->length) ||
	    !grow_table(corr) || !grow_timers(corr))
		return NULL;
	key = tpi_state_get(corr, sizeof(*key) + bytes->length);
	if (!key)
		return NULL;
	*key = (struct tpi_key){
		.hash = hash_of(corr, rule, bytes->bytes, bytes->length),
		.when_ns = UINT64_MAX,
		.items = &key->first,
		.room = 1,
		.rule = (uint16_t)rule,
		.length = (uint16_t)bytes->length,
	};
	memcpy(key->bytes, bytes->bytes, bytes->length);
	key->chain = *bucket(corr, key->hash);
	*bucket(corr, key->hash) = key;
	link_newest(corr, key);
	corr->key_count++;
	sift(corr, key, corr->key_count - 1);
	state->stats.keys++;
	return key;
}

void tpi_key_free(struct tpi_corr *corr, struct tpi_key *key)
{
	struct tpi_key **at = bucket(corr, key->hash);

	while (*at != key)
		at = &(*at)->chain;
	*at = key->chain;
	unlink_key(&corr->states[key->rule], key);
	remove_timer(corr, key);
	corr->states[key->rule].stats.keys--;
	tpi_key_clear(corr, key);
	tpi_state_put(corr, key);
}

static bool has_copies(const struct tpi_corr *corr, const struct tpi_key *key)
{
	const enum tpi_rule_operator kind = corr->rules->rules[key->rule].kind;

	return kind == TPI_RULE_SEQUENCE || kind == TPI_RULE_ABSENT;
}

void tpi_key_drop(struct tpi_corr *corr, struct tpi_key *key, uint32_t n)
{
	for (uint32_t i = 0; i < n && has_copies(corr, key); i++)
		tpi_copy_put(corr, tpi_key_item(key, i)->copy);
	key->from += n;
	key->count -= n;
	if (!key->count)
		key->from = 0;
}

void tpi_key_clear(struct tpi_corr *corr, struct tpi_key *key)
{
	tpi_key_drop(corr, key, key->count);
	if (key->items == &key->first)
		return;
	tpi_state_put(corr, key->items);
	key->items = &key->first;
	key->room = 1;
}

bool tpi_key_room(struct tpi_corr *corr, struct tpi_key *key)
{
	const uint32_t room = key->room < 4 ? 4 : 2 * key->room;
	struct tpi_item *more;

	if (key->from + key->count < key->room)
		return true;
	/* At least half of it was dropped: no more than one move for each item. */
	if (key->from && key->from >= key->count) {
		memmove(key->items, tpi_key_item(key, 0),
			key->count * sizeof(*more));
		key->from = 0;
		return true;
	}
	more = tpi_state_get(corr, room * sizeof(*more));
	if (!more)
		return false;
	memcpy(more, tpi_key_item(key, 0), key->count * sizeof(*more));
	if (key->items != &key->first)
		tpi_state_put(corr, key->items);
	key->items = more;
	key->from = 0;
	key->room = room;
	return true;
}
