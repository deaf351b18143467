/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order across lanes: a k-way merge by time stamp with a bounded wait.
 *
 * An event is handed out when it is `wait` old, the one with the earliest stamp
 * of all lanes first. A producer stamps in its section, just before it commits. So
 * as long as no producer takes longer than `wait` from stamp to commit, and clocks
 * agree that well, everything earlier is there by then. An event that comes
 * later than that is handed out at once and counted as late. Nothing is copied
 * or kept: a waiting event stays in its lane, and heads hold it there.
 *
 * A STAMP FROM THE FUTURE (a clock that was set back, or runs ahead in a container)
 * would wait for ever. So an event counts as stamped no later than it was first
 * seen here, by a clock of the reader that cannot be set: the TSC, or
 * CLOCK_MONOTONIC. Then nothing waits longer than `wait` after it was first
 * seen. An honest stamp is older than that, so that this changes nothing for
 * it:
 *
 *	stamp  <=  commit  <  the look that sees it  <=  `tick`, which is read after it
 *
 * When an event was first seen is known from the looks: each that found the tail
 * further on is noted (tpi_sights), one for each event that may wait.
 *
 * The wait ends early when a lane is a quarter full: order is not worth a loss.
 * Within a lane the order is that of positions, as always.
 */
#ifndef TPI_MERGE_H
#define TPI_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/common.h>

#include "client/connection/client.h"

/* Looks at one source: positions below `upto` were seen by `tick`. */
struct tpi_sight {
	uint64_t upto;
	uint64_t tick;
};

/* The looks that saw what is not handed out yet, oldest first: a ring. */
struct tpi_sights {
	struct tpi_sight *ring;
	uint32_t mask;
	uint32_t first;
	uint32_t count;
};

/*
 * Stamps are put in order as keys. A key is the stamp plus `bias` of the round, so that
 * now is 2^63 and keys have one order, whatever stamps producers make up. No event counts
 * as stamped later than it was seen, so that no key of one comes near to TPI_MERGE_NEVER.
 */
#define TPI_MERGE_NEVER \
	UINT64_MAX /* the key, and rank, of a source without an event */
/* Keys before it have no order among them: of a century ago, or made up. */
#define TPI_MERGE_OLDEST (UINT64_C(1) << 62)

/*
 * A TOURNAMENT. Sources are leaves, the matches between them a binary tree. Node 0 is the
 * winner of all. Each other node has the loser of its match, and its match is between the
 * winners of nodes 2i and 2i + 1. So a new event of the winner is one match on each level.
 * Which lane comes next is a thing that no branch predictor knows. So a match has no
 * branch: it is the minimum and the maximum of two ranks, which are one word each:
 *
 *	rank = key - origin, from 1 to `most` : 64 - bits | leaf : bits
 *
 * So of equal keys the lower leaf wins. `origin` lies two before the earliest key when
 * the tree is built. What is too far behind it (months) has the rank `most`, and when that
 * wins, the tree is to be built anew. A late event, from before that key, has the rank
 * 1. At most one source has that at a time, since it is the next to go. It is known to be
 * ripe if the earliest key was. If not, only a new tree can tell. All that lies before
 * TPI_MERGE_OLDEST has the rank 1, too, and is ripe. So a stamp that a producer makes up puts
 * no other key so far behind the origin that the difference has another sign.
 */
struct tpi_merge {
	uint64_t *nodes; /* NULL: nothing is merged */
	uint64_t *keys;  /* by leaf, as pushed; and room to build the tree */
	void **sources;  /* by leaf */
	uint32_t count;  /* sources of this round */
	uint32_t leaves; /* a power of two, not below it: 1 << bits */
	uint32_t bits;
	bool tsc;
	bool hurry; /* do not wait, in this round */
	uint64_t wait_ns;
	uint64_t mult; /* TSC: ns = ticks * mult >> shift */
	uint32_t shift;
	uint64_t wait;   /* wait_ns, in the unit of the stamps */
	uint64_t bias;   /* from a stamp to its key */
	uint64_t ripe;   /* keys up to this one need not wait */
	uint64_t origin; /* from a rank to its key */
	uint64_t limit;  /* the highest rank that need not wait .. */
	uint64_t calm;   /* .. unless there is a hurry */
	uint64_t tick;   /* our own clock, after the looks of this round */
	uint64_t offset; /* from that to the unit of the stamps */
	uint64_t last;   /* latest stamp that was handed out */
	uint64_t late;   /* events with an earlier stamp than one before them */
	int64_t due_ns; /* CLOCK_MONOTONIC: when the next one is ripe. 0: none */
};

/*
 * For up to `sources`. wait_ns 0: no merge. -EINVAL no stamps, -ENOMEM; broker has
 * the place for why.
 */
int tpi_merge_init(struct tpi_merge *merge, const struct tpi_client *client,
		   uint64_t wait_ns, uint32_t sources,
		   const struct tapio_options *broker);
void tpi_merge_fini(struct tpi_merge *merge);

/* For a lane of `count` positions. -ENOMEM. */
int tpi_sights_init(struct tpi_sights *sights, uint32_t count);
void tpi_sights_fini(struct tpi_sights *sights);
/*
 * A look at a source whose next position is `next` has found it published up to
 * `limit`, at merge->tick or before.
 */
void tpi_sights_note(struct tpi_sights *sights, const struct tpi_merge *merge,
		     uint64_t next, uint64_t limit);
/*
 * When the event at `next`, which was noted, was first seen, as a key; in *upto the
 * position up to which that is so. Not beyond `limit`.
 */
uint64_t tpi_sights_seen(struct tpi_sights *sights,
			 const struct tpi_merge *merge, uint64_t next,
			 uint64_t limit, uint64_t *upto);

/*
 * A round: begin, look at all sources, then tpi_merge_tick, then push every source
 * with the key of its first event, build, and take what is on top until it is NULL.
 * Another look needs another tick. When tpi_merge_is_far(), push all and build again,
 * after tpi_merge_again().
 */
void tpi_merge_begin(struct tpi_merge *merge, const struct tpi_client *client);
void tpi_merge_tick(struct tpi_merge *merge);
void tpi_merge_build(struct tpi_merge *merge);

static inline void tpi_merge_push(struct tpi_merge *merge, uint64_t key,
				  void *source)
{
	merge->sources[merge->count] = source;
	merge->keys[merge->count++] = key;
}

static inline uint32_t tpi_merge_again(struct tpi_merge *merge)
{
	uint32_t count = merge->count;

	merge->count = 0;
	return count;
}

static inline bool tpi_merge_is_on(const struct tpi_merge *merge)
{
	return merge->nodes != NULL;
}

/* The rank without its leaf of a key that is far behind the origin. */
static inline int64_t tpi_merge_most(const struct tpi_merge *merge)
{
	return (int64_t)((UINT64_MAX >> merge->bits >> 1) - 1);
}

/* Nothing waits, from now on in this round. */
static inline void tpi_merge_hurry(struct tpi_merge *merge)
{
	merge->hurry = true;
	merge->limit = ((uint64_t)tpi_merge_most(merge) << merge->bits) - 1;
}

/* A round goes on in another call: whether nothing waits is said anew. */
static inline void tpi_merge_go_on(struct tpi_merge *merge)
{
	merge->due_ns = 0;
	merge->hurry = false;
	merge->limit = merge->calm;
}

/* The key of an event that was first seen at the key `seen`. */
static inline uint64_t tpi_merge_key(const struct tpi_merge *merge,
				     uint64_t stamp, uint64_t seen)
{
	uint64_t key = stamp + merge->bias;

	return key < seen ? key : seen;
}

/* A key as the upper part of a rank. */
static inline int64_t tpi_merge_after(const struct tpi_merge *merge,
				      uint64_t key)
{
	const int64_t most = tpi_merge_most(merge);
	int64_t after = (int64_t)(key - merge->origin);

	after = after > 1 ? after : 1;
	return after < most ? after : most;
}

static inline uint64_t tpi_merge_rank(const struct tpi_merge *merge,
				      uint64_t key, uint64_t leaf)
{
	return key == TPI_MERGE_NEVER
		       ? TPI_MERGE_NEVER
		       : (uint64_t)tpi_merge_after(merge, key) << merge->bits |
				 leaf;
}

/* The number of the source on top. */
static inline uint32_t tpi_merge_leaf(const struct tpi_merge *merge)
{
	return (uint32_t)merge->nodes[0] & (merge->leaves - 1);
}

/* Some source has an event. */
static inline bool tpi_merge_has_more(const struct tpi_merge *merge)
{
	return merge->nodes[0] != TPI_MERGE_NEVER;
}

/* Whether it is first, cannot be said of what is on top. */
static inline bool tpi_merge_is_far(const struct tpi_merge *merge)
{
	return tpi_merge_has_more(merge) &&
	       merge->nodes[0] >> merge->bits ==
		       (uint64_t)tpi_merge_most(merge);
}

/* What is on top need not wait. */
static inline bool tpi_merge_is_ripe(const struct tpi_merge *merge)
{
	return merge->nodes[0] <= merge->limit;
}

/* The source whose turn it is. NULL: the rest must wait. */
static inline void *tpi_merge_top(const struct tpi_merge *merge)
{
	return tpi_merge_is_ripe(merge) ? merge->sources[tpi_merge_leaf(merge)]
					: NULL;
}

/* The winner, whose number is `leaf`, has another rank: the new winner. */
static inline __attribute__((always_inline)) uint64_t
tpi_merge_replay(uint64_t *nodes, uint64_t leaves, uint64_t leaf, uint64_t rank)
{
	uint64_t i, other, mine;

	for (i = (leaf + leaves) / 2; i; i /= 2) {
		other = nodes[i];
		mine = rank;
		rank = other < mine ? other : mine;
		nodes[i] = other ^ mine ^ rank;
	}
	return rank;
}

/* The source on top has another event, with that key, or TPI_MERGE_NEVER. */
static inline void tpi_merge_next(struct tpi_merge *merge, uint64_t key)
{
	uint64_t leaf = tpi_merge_leaf(merge);

	merge->nodes[0] = tpi_merge_replay(merge->nodes, merge->leaves, leaf,
					   tpi_merge_rank(merge, key, leaf));
}

/*
 * Notes in which order events are handed out. Others than events are ignored, and
 * so are stamps that lie in the future: they would make all others late.
 */
void tpi_merge_note(struct tpi_merge *merge, const struct tapio_view *views,
		    unsigned int n);
/* Ends the round: when to look again. */
void tpi_merge_end(struct tpi_merge *merge);

#endif
