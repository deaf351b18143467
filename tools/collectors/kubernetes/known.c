/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table with chains, of what a stream has told. See the header.
 *
 * The seed is random: names come from users of the cluster, and none of them can choose names
 * that fall into one chain.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tools/collectors/kubernetes/known.h"

#define SLOTS_MIN 64

void tpi_kube_known_init(struct tpi_kube_known *known, size_t count_max)
{
	memset(known, 0, sizeof(*known));
	known->count_max = count_max;
	/* With no randomness yet (early at boot) the table works all the same. */
	if (getrandom(&known->seed, sizeof(known->seed), GRND_NONBLOCK) < 0)
		known->seed = 0;
}

void tpi_kube_known_free_one(struct tpi_kube_known_one *one)
{
	free(one);
}

void tpi_kube_known_fini(struct tpi_kube_known *known)
{
	for (size_t i = 0; i < known->slot_count; i++) {
		struct tpi_kube_known_one *one = known->slots[i];

		while (one) {
			struct tpi_kube_known_one *next = one->next;

			free(one);
			one = next;
		}
	}
	free(known->slots);
	memset(known, 0, sizeof(*known));
}

static uint64_t mix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	return hash ^ hash >> 32;
}

/* The length is mixed in, so that "a" "bc" and "ab" "c" differ. */
static uint64_t add_span(uint64_t hash, struct tpi_kube_span span)
{
	for (size_t i = 0; i < span.length; i++)
		hash = (hash ^ (unsigned char)span.at[i]) *
		       UINT64_C(0x100000001b3);
	return mix(hash ^ span.length);
}

static uint64_t hash_name(const struct tpi_kube_known *known,
			  const struct tpi_kube_object *object)
{
	return add_span(add_span(known->seed, object->name_space),
			object->name);
}

static bool equals(struct tpi_kube_span span, const char *text)
{
	return strlen(text) == span.length &&
	       !memcmp(span.at ? span.at : "", text, span.length);
}

/* Where the pointer to it is, or the end of its chain. */
static struct tpi_kube_known_one **find(struct tpi_kube_known *known,
					const struct tpi_kube_object *object,
					uint64_t hash)
{
	struct tpi_kube_known_one **at =
		&known->slots[hash & (known->slot_count - 1)];

	for (; *at; at = &(*at)->next)
		if ((*at)->hash == hash && equals(object->name, (*at)->name) &&
		    equals(object->name_space, (*at)->name_space))
			break;
	return at;
}

/* Twice as many slots. Without memory the chains grow longer. False: no slots at all. */
static bool grow(struct tpi_kube_known *known)
{
	size_t count = known->slot_count ? 2 * known->slot_count : SLOTS_MIN;
	struct tpi_kube_known_one **slots = calloc(count, sizeof(*slots));

	if (!slots)
		return known->slot_count > 0;
	for (size_t i = 0; i < known->slot_count; i++) {
		struct tpi_kube_known_one *one = known->slots[i];

		while (one) {
			struct tpi_kube_known_one *next = one->next;
			size_t to = one->hash & (count - 1);

			one->next = slots[to];
			slots[to] = one;
			one = next;
		}
	}
	free(known->slots);
	known->slots = slots;
	known->slot_count = count;
	return true;
}

static char *store(char *at, struct tpi_kube_span span)
{
	if (span.length)
		memcpy(at, span.at, span.length);
	at[span.length] = '\0';
	return at + span.length + 1;
}

static struct tpi_kube_known_one *make(const struct tpi_kube_object *object,
				       uint64_t hash)
{
	size_t bytes = object->name_space.length + object->name.length +
		       object->uid.length + object->node.length + 4;
	struct tpi_kube_known_one *one = malloc(sizeof(*one) + bytes);
	char *at;

	if (!one)
		return NULL;
	one->hash = hash;
	at = store(one->name_space, object->name_space);
	one->name = at;
	at = store(at, object->name);
	one->uid = at;
	at = store(at, object->uid);
	one->node = at;
	store(at, object->node);
	return one;
}

/* Puts a new one where `at` points. False: it is not known, for want of room. */
static bool enter(struct tpi_kube_known *known, struct tpi_kube_known_one **at,
		  const struct tpi_kube_object *object, uint64_t hash)
{
	struct tpi_kube_known_one *one = make(object, hash);

	if (!one)
		return false;
	one->round = known->round;
	one->version = add_span(known->seed, object->version);
	one->next = *at;
	*at = one;
	known->count++;
	return true;
}

static struct tpi_kube_known_one *take_out(struct tpi_kube_known *known,
					   struct tpi_kube_known_one **at)
{
	struct tpi_kube_known_one *one = *at;

	*at = one->next;
	known->count--;
	return one;
}

/* Another uid, or a pod that was given a node. */
static enum tpi_kube_change replace(struct tpi_kube_known *known,
				    struct tpi_kube_known_one **at,
				    const struct tpi_kube_object *object,
				    struct tpi_kube_known_one **former)
{
	struct tpi_kube_known_one *one = take_out(known, at);
	bool entered = enter(known, at, object, one->hash);

	if (!equals(object->uid, one->uid)) {
		*former = one;
		return TPI_KUBE_REPLACED;
	}
	if (entered) {
		free(one);
		return TPI_KUBE_CHANGED;
	}
	one->round = known->round; /* no memory: it stays as it was */
	one->next = *at;
	*at = one;
	known->count++;
	return TPI_KUBE_CHANGED;
}

enum tpi_kube_change tpi_kube_known_see(struct tpi_kube_known *known,
					const struct tpi_kube_object *object,
					struct tpi_kube_known_one **former)
{
	uint64_t hash = hash_name(known, object);
	uint64_t version = add_span(known->seed, object->version);

	*former = NULL;
	if (known->count >= known->slot_count && !grow(known))
		return TPI_KUBE_UNKNOWN;
	struct tpi_kube_known_one **at = find(known, object, hash), *one = *at;
	if (!one) {
		if (known->count >= known->count_max ||
		    !enter(known, at, object, hash))
			return TPI_KUBE_UNKNOWN;
		return TPI_KUBE_NEW;
	}
	if (!equals(object->uid, one->uid) || !equals(object->node, one->node))
		return replace(known, at, object, former);
	one->round = known->round;
	if (one->version == version && object->version.at)
		return TPI_KUBE_SAME;
	one->version = version;
	return TPI_KUBE_CHANGED;
}

bool tpi_kube_known_forget(struct tpi_kube_known *known,
			   const struct tpi_kube_object *object)
{
	if (!known->slot_count)
		return false;
	struct tpi_kube_known_one **at =
		find(known, object, hash_name(known, object));
	/* The deletion of a former object of that name may come late. */
	if (!*at || !equals(object->uid, (*at)->uid))
		return false;
	free(take_out(known, at));
	return true;
}

void tpi_kube_known_begin_round(struct tpi_kube_known *known)
{
	known->round++;
}

struct tpi_kube_known_one *
tpi_kube_known_next_gone(struct tpi_kube_known *known, size_t *place)
{
	for (; *place < known->slot_count; ++*place) {
		struct tpi_kube_known_one **at = &known->slots[*place];

		for (; *at; at = &(*at)->next)
			if ((*at)->round != known->round)
				return take_out(known, at);
	}
	return NULL;
}
