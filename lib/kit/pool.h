/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a tapio_pool, and what the files of lib/kit/pool*.c share. How it
 * works, and why it survives a kill anywhere, is at the head of pool.c.
 *
 *	+------------------+ 0
 *	| constants        |  written once, by tapio_pool_init
 *	+------------------+ 256
 *	| counters         |  a line for each stripe (stripes.h)
 *	+------------------+ 1280
 *	| depots           |  TAPIO_NODES_MAX, of which `nodes` are used
 *	+------------------+ nodes_offset
 *	| node of each CPU |  a byte each
 *	+------------------+ lists_offset
 *	| lists            |  one per CPU: a word and `cache` entries
 *	+------------------+ groups_offset
 *	| groups           |  a bit per object: it lies in its depot
 *	+------------------+ states_offset
 *	| states           |  a word per object: whose it is, and where
 *	+------------------+ objects_offset
 *	| objects          |  count x stride
 *	+------------------+ length_bytes
 */
#ifndef TPI_POOL_H
#define TPI_POOL_H

#include <stdbool.h>

#include <tapio/abi.h>
#include <tapio/pool.h>

#include "lib/base/atomic.h"
#include "lib/kit/stripes.h"

#define TAPIO_POOL_MAGIC   UINT64_C(0x4c4f4f504f504154) /* "TAPOPOOL" */
#define TAPIO_POOL_VERSION 1
#define TAPIO_POOL_READY   UINT32_C(0x59444552) /* "REDY" */
#define TAPIO_POOL_GROUP   64                   /* objects */

/*
 * The state of an object: the name that has it (or had it last) in the upper
 * half, its place in the lower one.
 *
 *	HELD	the name's own: got and not put
 *	MOVING	in the hands of the name, between any two other places
 *	DEPOT	in its depot; or in hands on the way there or from there
 *	LIST+c	in the list of CPU c; or in hands of the name, on the way there
 *		or from there
 */
#define TPI_PLACE_HELD   UINT32_C(0)
#define TPI_PLACE_MOVING UINT32_C(1)
#define TPI_PLACE_DEPOT  UINT32_C(2)
#define TPI_PLACE_LIST   UINT32_C(16)

#define tpi_pool_state(name, place) ((uint64_t)(name) << 32 | (place))
#define TPI_STATE_NAME(state)       ((uint32_t)((state) >> 32))
#define TPI_STATE_PLACE(state)      ((uint32_t)(state))

/*
 * A CPU's list, a stack: entries[count - 1] is its top. The word is operations:48
 * | count:16, so that no word comes back while a thread sleeps on an old one.
 *
 * field | writer          | reader            | store            | load
 * word  | code on its CPU | its CPU, reclaim  | release, section | acquire
 * entries | code on its CPU | its CPU, reclaim  | plain, section   | relaxed
 */
struct tapio_shm_pool_list {
	uint64_t word;
	uint32_t entries[];
};
TAPIO_ASSERT_SIZE(tapio_shm_pool_list, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_list, word, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_list, entries, 8);

#define TPI_LIST_COUNT(word) ((uint32_t)(uint16_t)(word))

/*
 * A node's depot: the objects of a range of groups, which lie on that node.
 *
 * field | writer | reader | store      | load
 * free  | all    | all    | atomic add | relaxed
 * hint  | all    | all    | relaxed    | relaxed
 */
struct tapio_shm_pool_depot {
	int64_t free;  /* never less than the bits that are set */
	uint64_t hint; /* group where one was set last */
	uint64_t reserved[6];
};
TAPIO_ASSERT_SIZE(tapio_shm_pool_depot, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_depot, free, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_depot, hint, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_depot, reserved, 16);

/* Index of tapio_shm_pool.counts. */
enum tpi_pool_count {
	TPI_POOL_REFILLS,
	TPI_POOL_SPILLS,
	TPI_POOL_EXHAUSTED,
	TPI_POOL_DOUBLE_PUTS,
	TPI_POOL_FOREIGN_PUTS,
	TPI_POOL_STALE_ENTRIES,
	TPI_POOL_RESTARTS,
	TPI_POOL_RECLAIMED,
	TPI_POOL_COUNTS
};
_Static_assert(TPI_POOL_COUNTS <= TAPIO_STRIPE_COUNTERS, "one line");

/*
 * field      | writer          | reader | store               | load
 * constants  | tapio_pool_init | all    | plain, before ready | plain, after
 * ready      | tapio_pool_init | all    | release, once       | acquire
 * next_owner | attach          | attach | atomic add          | relaxed
 * low_depots | all             | all    | cas                 | relaxed
 * min_free   | all             | all    | cas                 | relaxed
 * counts     | all             | all    | atomic add          | relaxed
 */
struct tapio_shm_pool {
	uint64_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t object_bytes;
	uint32_t count;
	uint32_t align;
	uint32_t stride; /* from object to object */
	uint32_t cache;  /* entries of a list */
	uint32_t list_bytes;
	uint32_t cpus;
	uint32_t nodes;
	uint64_t nodes_offset;
	uint64_t lists_offset;
	uint64_t groups_offset;
	uint64_t states_offset;
	uint64_t objects_offset;
	uint64_t length_bytes;
	uint64_t reserved[3];
	uint32_t reserved1;
	uint32_t ready;
	uint64_t next_owner;
	uint32_t low_depots; /* fewest objects seen in all depots */
	uint32_t min_free;   /* and how many were free then, with the lists */
	uint64_t reserved2[12];
	uint64_t reserved3[2];
	struct tapio_shm_stripes counts;
	struct tapio_shm_pool_depot depots[TAPIO_NODES_MAX];
};
TAPIO_ASSERT_OFFSET(tapio_shm_pool, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, version, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, flags, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, object_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, count, 20);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, align, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, stride, 28);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, cache, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, list_bytes, 36);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, cpus, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, nodes, 44);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, nodes_offset, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, lists_offset, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, groups_offset, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, states_offset, 72);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, objects_offset, 80);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, length_bytes, 88);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, reserved, 96);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, ready, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, next_owner, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, low_depots, 136);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, min_free, 140);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, reserved2, 144);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, counts, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_pool, depots, 1280);

struct tpi_pool_range {
	uint32_t first; /* group */
	uint32_t end;
};

/*
 * The handle: private copies of what was checked at attach. Nothing changes but
 * `fast_cpus`, which rises once at most (tpi_pool_look_for_lists()).
 */
struct tapio_pool {
	uint64_t *states;
	unsigned char *lists;
	unsigned char *objects;
	uint64_t inverse; /* of stride: multiply-high divides by it */
	uint64_t held;    /* the state of what is ours */
	uint32_t stride;
	uint32_t count;
	uint32_t list_bytes;
	uint32_t cache;
	uint32_t fast_cpus; /* CPUs whose list we may use. 0: none (yet) */
	uint32_t flags;
	/* The first line ends here. */
	uint32_t object_bytes;
	bool work_on_put; /* anything but LAX and DIRTY without reset */
	bool zero_on_get;
	bool undecided; /* made without a verdict on rseq: it may come */
	tapio_pool_callback reset;
	void *argument;
	uint64_t *groups;
	struct tapio_shm_pool *shm;
	uint32_t group_count;
	uint32_t cpus;
	uint32_t nodes;
	uint32_t batch; /* objects between a list and a depot at once */
	uint64_t length_bytes;
	struct tpi_pool_range range[TAPIO_NODES_MAX];
	void *owned; /* to be freed with the handle */
	uint8_t node_of_cpu[];
} __attribute__((aligned(64)));

static inline struct tapio_shm_pool_list *
tpi_pool_list(const struct tapio_pool *pool, uint32_t cpu)
{
	return (struct tapio_shm_pool_list *)(pool->lists +
					      (size_t)cpu * pool->list_bytes);
}

static inline void *tpi_pool_at(const struct tapio_pool *pool, uint32_t index)
{
	return pool->objects + (size_t)index * pool->stride;
}

/*
 * The number of an object. pool->count or more when `object` is none. Exact: the
 * offset is below 2^44 and the stride at most 2^20 (tapio_pool_init), so that the
 * error of the inverse stays below one stride.
 */
static inline uint64_t tpi_pool_index(const struct tapio_pool *pool,
				      const void *object)
{
	uint64_t offset =
		(uint64_t)((uintptr_t)object - (uintptr_t)pool->objects);
	uint64_t index;

	index = (uint64_t)((unsigned __int128)offset * pool->inverse >> 64);
	return index * pool->stride == offset ? index : UINT64_MAX;
}

/*
 * Lets a pool use its lists, if the self-test of rseq could not be made when the handle
 * was made and has a verdict now, its own or a broker's. Any context.
 */
void tpi_pool_look_for_lists(const struct tapio_pool *pool);

/* Adds to a counter, in the stripe of this CPU. Any context. */
void tpi_pool_count(const struct tapio_pool *pool, enum tpi_pool_count which,
		    uint64_t n);

/* The work of a put on an object before others may see it. */
void tpi_pool_clean(const struct tapio_pool *pool, uint32_t index);

/*
 * Up to `wanted` (at most 64) objects out of the depots, nearest node first. They
 * are ours then, HELD. How many.
 */
uint32_t tpi_pool_take(const struct tapio_pool *pool, uint32_t *indices,
		       uint32_t wanted);

/* Sets the bits of a group for objects whose state says DEPOT already. */
void tpi_pool_deposit(const struct tapio_pool *pool, uint32_t group,
		      uint64_t bits);

/* Our object `index`, in state `seen`, into its depot. False: not `seen`. */
bool tpi_pool_give_back(const struct tapio_pool *pool, uint32_t index,
			uint64_t seen);

/*
 * Moves an object that its state `seen` places in a list, or in the hands of a
 * name on the way to or from it, to state `next`, if it is in hands. False: it is
 * in the list, or not as seen any more. The name must be dead, or the caller the
 * one who had it in hands.
 */
bool tpi_pool_claim(const struct tapio_pool *pool, uint32_t index,
		    uint64_t seen, uint64_t next);

/* Free objects: in lists, and in depots. Exact while no operation runs. */
uint32_t tpi_pool_cached(const struct tapio_pool *pool);
uint64_t tpi_pool_in_depots(const struct tapio_pool *pool);

/* The counts of an audit, which looks at every object. Exact while no operation
 * runs. */
struct tpi_pool_audit {
	uint32_t cached;    /* in one list, where the state says */
	uint32_t deposited; /* in the depot */
	uint32_t held;      /* owned, in no list */
	uint32_t in_hands;  /* between two places: of someone dead or at work */
	uint32_t twice;     /* in more than one place: must be 0 */
	uint32_t stray;     /* entries of lists that the state contradicts */
};
int tpi_pool_audit(const struct tapio_pool *pool, struct tpi_pool_audit *audit);

#endif
