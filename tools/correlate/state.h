/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of an engine.
 *
 *	sources --- lanes: the next position of each
 *	waiting     heap of copies, by (time, channel, instance, lane, position)
 *	buckets --- keys: (rule, key) -> items of its window, oldest first
 *	timers      heap of keys, by (when, rule, key): each key is in it once
 *	rules   --- list of the rule's keys, by when they were touched last
 *	gaps, pods
 *
 * A key is there as long as it has items or a cool-down. A copy of an event is shared by all
 * that refers to it, and freed with the last reference.
 */
#ifndef TPI_CORRELATE_STATE_H
#define TPI_CORRELATE_STATE_H

#include "tools/correlate/engine.h"
#include "tools/correlate/inner.h"

#define TPI_KEY_BYTES_MAX 1024
#define TPI_SAY_BYTES     4096
#define TPI_GAPS_MAX      64

struct tpi_copy {
	uint32_t refs;
	uint32_t mark; /* save.c: its number, from 1 */
	uint64_t time_ns;
	struct tpi_corr_place place;
	struct tpi_raw raw;
	struct tpi_pod
		*pod; /* at its time. NULL: none, or its time has not come */
	unsigned char data[] __attribute__((aligned(8)));
};

/* An event in the window of a key. */
struct tpi_item {
	uint64_t time_ns;
	uint64_t position;
	uint32_t lane;
	uint16_t source;
	uint8_t steps; /* that it matches, as bits in the order */
	uint8_t maybe; /* of those: if what they say of earlier steps holds */
	union {
		struct tpi_copy
			*copy;  /* sequence, absent. NULL: none is kept */
		uint64_t value; /* distinct: hash of the value */
	};
};

struct tpi_key {
	struct tpi_key *chain;         /* of the bucket */
	struct tpi_key *older, *newer; /* of the rule */
	uint64_t hash;
	uint64_t touched;       /* number of the touch, over all keys */
	uint64_t cool_ns;       /* findings before this are suppressed */
	uint64_t when_ns;       /* of its timer */
	struct tpi_item *items; /* &first, or memory of its own */
	uint32_t from, count, room;
	uint32_t timer; /* its index in the heap */
	uint16_t rule;
	uint16_t length;
	struct tpi_item first;
	unsigned char bytes[];
};

struct tpi_rule_state {
	struct tpi_key *oldest, *newest;
	struct tpi_corr_rule_stats stats;
};

struct tpi_source {
	char *channel, *instance;
	uint32_t rank;  /* in the order of the names */
	uint32_t lanes; /* room of `next` */
	uint64_t *next; /* position behind the last one */
};

struct tpi_gap {
	uint64_t from_ns, to_ns;
	uint32_t lane;
	uint16_t source;
	bool open; /* it ends with the next event of its lane, if that is earlier */
};

struct tpi_pods;

struct tpi_corr {
	struct tpi_corr_options options;
	struct tpi_rules *rules;
	struct tpi_rule_state *states; /* of each rule */
	struct tpi_source *sources;
	unsigned int source_count;
	struct tpi_copy **waiting;
	uint32_t waiting_count, waiting_room;
	struct tpi_key **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t key_count;
	struct tpi_key **timers;
	uint32_t timer_room; /* key_count of them are in use */
	uint64_t touches;
	uint64_t copy_bytes, pod_bytes, lane_bytes; /* of stats.bytes */
	uint64_t seed;
	bool started; /* there is a watermark */
	struct tpi_gap gaps[TPI_GAPS_MAX];
	unsigned int gap_count, open_gaps;
	uint64_t latest_ns; /* of the events that were handed in */
	struct tpi_pods *pods;
	struct tpi_corr_stats stats;
	struct tpi_corr_evidence *evidence; /* of the finding at hand */
	char say[TPI_SAY_BYTES];
	char key_text[8 * TPI_KEY_BYTES_MAX]; /* each byte may be escaped */
};

/* ---- memory (keys.c) ------------------------------------------------------------------------ */

/* Counted. NULL: no memory. */
void *tpi_state_get(struct tpi_corr *corr, size_t bytes);
void tpi_state_put(struct tpi_corr *corr, void *p);
/* Whether so many more bytes fit, once keys have made room. */
bool tpi_state_room(struct tpi_corr *corr, size_t bytes);

/* The bytes that get and put count, for those that keep a part of it apart. */
size_t tpi_state_size(void *p);
void tpi_copy_put(struct tpi_corr *corr, struct tpi_copy *copy);

/* ---- keys ------------------------------------------------------------------------------------ */

struct tpi_key_bytes {
	unsigned int length;
	unsigned char bytes[TPI_KEY_BYTES_MAX];
};

/* The key of an event. False: one of its fields is unset. */
bool tpi_key_make(const struct tpi_rule *rule, const struct tpi_ref *refs,
		  const struct tpi_match *match, struct tpi_key_bytes *key);
struct tpi_key *tpi_key_find(struct tpi_corr *corr, unsigned int rule,
			     const struct tpi_key_bytes *key);
/* A new one without items; the oldest makes room. NULL: there is none. */
struct tpi_key *tpi_key_add(struct tpi_corr *corr, unsigned int rule,
			    const struct tpi_key_bytes *key);
void tpi_key_touch(struct tpi_corr *corr, struct tpi_key *key);
void tpi_key_free(struct tpi_corr *corr, struct tpi_key *key);
/* Room for one more item at its end. False: no memory. */
bool tpi_key_room(struct tpi_corr *corr, struct tpi_key *key);
/* Removes the first `n` items. */
void tpi_key_drop(struct tpi_corr *corr, struct tpi_key *key, uint32_t n);
void tpi_key_clear(struct tpi_corr *corr, struct tpi_key *key);
/* Moves its timer to a time. */
void tpi_timer_set(struct tpi_corr *corr, struct tpi_key *key,
		   uint64_t when_ns);

static inline struct tpi_item *tpi_key_item(const struct tpi_key *key,
					    uint32_t i)
{
	return &key->items[key->from + i];
}

static inline uint64_t tpi_add_ns(uint64_t time_ns, uint64_t span_ns)
{
	return time_ns > UINT64_MAX - span_ns ? UINT64_MAX : time_ns + span_ns;
}

/* ---- operators ------------------------------------------------------------------------------- */

/* An event, and the steps of a rule that it matches. */
struct tpi_hit {
	struct tpi_match *match;
	struct tpi_copy *copy;
	uint8_t steps, maybe;
};

void tpi_operate(struct tpi_corr *corr, unsigned int rule,
		 const struct tpi_hit *hit);
/* The timer of a key has come. */
void tpi_key_due(struct tpi_corr *corr, struct tpi_key *key);
/* When the timer of a key comes at the earliest. */
uint64_t tpi_key_when(const struct tpi_corr *corr, const struct tpi_key *key);

/* sequence.c: whether the event completes one. chain[step] is NULL or the copy, by step. */
struct tpi_chain {
	const struct tpi_copy *copies[TPI_RULES_STEPS_MAX];
	const struct tpi_raw *raws[TPI_RULES_STEPS_MAX];
};
bool tpi_sequence_find(struct tpi_corr *corr, const struct tpi_rule *rule,
		       struct tpi_key *key, const struct tpi_hit *hit,
		       struct tpi_chain *chain);

/* ---- findings -------------------------------------------------------------------------------- */

/*
 * Tells of a complete window: its evidence is in corr->evidence. `chain`: of a sequence, or
 * NULL. `last`: the event that completes it, or that `absent` saw last. NULL: none is kept.
 */
void tpi_fire(struct tpi_corr *corr, struct tpi_key *key, uint64_t time_ns,
	      uint32_t count, const struct tpi_chain *chain,
	      const struct tpi_copy *last);
/* An end that is no finding. */
void tpi_why(struct tpi_corr *corr, const struct tpi_key *key,
	     enum tpi_corr_end end, uint64_t time_ns);

/* ---- pods -------------------------------------------------------------------------------------- */

/* An event keeps the pod that it had: another one may get its cgroup, or it is forgotten. */
struct tpi_pod {
	uint32_t refs; /* of the table, and of copies */
	struct tpi_pod *older, *newer;
	struct tpi_pod_name *names; /* its cgroups and containers */
	struct tpi_value name, name_space, uid;
	char text[];
};

struct tpi_writer;
struct tpi_reader;

struct tpi_pods *tpi_pods_new(struct tpi_corr *corr);
void tpi_pods_free(struct tpi_corr *corr);
/* Learns from an event of a pod. Others do nothing. */
void tpi_pods_learn(struct tpi_corr *corr, const struct tpi_raw *raw);
/* The pod of an event. NULL: not known. */
struct tpi_pod *tpi_pods_find(const struct tpi_corr *corr,
			      const struct tpi_raw *raw);
void tpi_pod_put(struct tpi_corr *corr, struct tpi_pod *pod);
/* The pod of a copy. NULL: none, or it fails. */
void tpi_pod_save(const struct tpi_pod *pod, struct tpi_writer *w);
struct tpi_pod *tpi_pod_load(struct tpi_corr *corr, struct tpi_reader *r);
void tpi_pods_save(const struct tpi_corr *corr, struct tpi_writer *w);
bool tpi_pods_load(struct tpi_corr *corr, struct tpi_reader *r);

/* ---- engine.c, for load.c ----------------------------------------------------------------------- */

int tpi_corr_make(struct tpi_corr **corr, struct tpi_rules *rules,
		  const struct tpi_corr_options *options);
struct tpi_copy *tpi_copy_new(struct tpi_corr *corr, const void *data,
			      uint32_t length, uint16_t type);
bool tpi_waiting_add(struct tpi_corr *corr, struct tpi_copy *copy);
bool tpi_lane_room(struct tpi_corr *corr, struct tpi_source *source,
		   uint32_t lane);
/* Frees all but the rules. */
void tpi_corr_clear(struct tpi_corr *corr);

#endif
