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
 *	| lists            |  one per CPU: its height and `cache` entries
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
#define TAPIO_POOL_VERSION 3
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

#define TPI_LIST_SPARE \
	3 /* entries behind the last: batches copy four at once */

/*
 * A CPU's list, a stack: entries[height - 1] is its top. Readers take the lower half
 * of the height: the upper one is 0.
 *
 * field   | writer          | reader            | store            | load
 * height  | code on its CPU | its CPU, reclaim  | release, section | acquire
 * entries | code on its CPU | its CPU, reclaim  | plain, section   | relaxed
 */
struct tapio_shm_pool_list {
	uint64_t height;
	uint32_t entries[];
};
TAPIO_ASSERT_SIZE(tapio_shm_pool_list, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_list, height, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_pool_list, entries, 8);

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

/* How a put goes. */
enum {
	TPI_PUT_AT_ONCE,   /* the section makes P1's look */
	TPI_PUT_UNCHECKED, /* there is no look */
	TPI_PUT_IN_STEPS,  /* P1, and the work on the object, come first */
};

/*
 * The handle: private copies of what was checked at attach. Nothing changes but
 * `fast_cpus` and `get_cpus`, which rise once at most (tpi_pool_look_for_lists()).
 *
 * The usual get and put test no options. An option that asks for more makes the limit
 * 0 that they look at anyway: get_cpus with ZERO_ON_GET, put_count unless AT_ONCE.
 */
struct tapio_pool {
	uint64_t *states;
	unsigned char *objects;
	uint64_t inverse; /* of the stride's odd factor, modulo 2^64 */
	uint64_t held;    /* the state of what is ours */
	uint32_t stride;
	uint32_t shift;     /* of the stride: its factors of 2 */
	uint64_t put_count; /* count, or 0 */
	uint32_t count;     /* objects */
	uint32_t cache;     /* entries of a list */
	uint32_t fast_cpus; /* CPUs whose list we may use. 0: none (yet) */
	uint32_t get_cpus;  /* fast_cpus, or 0 */
	/* The first line ends here. */
	uint8_t put_way; /* TPI_PUT_* */
	bool zero_on_get;
	bool work_on_put; /* anything but DIRTY without reset */
	bool undecided;   /* made without a verdict on rseq: it may come */
	uint32_t flags;
	uint32_t object_bytes;
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
	void *owned;          /* to be freed with the handle */
	uint8_t *node_of_cpu; /* behind the lists */
	struct tapio_shm_pool_list *list_of_cpu[];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct tapio_pool, put_way) == 64, "a line");

static inline struct tapio_shm_pool_list *
tpi_pool_list(const struct tapio_pool *pool, uint32_t cpu)
{
	return pool->list_of_cpu[cpu];
}

static inline void *tpi_pool_at(const struct tapio_pool *pool, uint64_t index)
{
	return pool->objects + index * pool->stride;
}

/*
 * The number of an object. pool->count or more when `object` is none.
 *
 * Let the stride be odd x 2^shift. The product with the odd factor's inverse and the
 * rotation map 2^64 offsets to as many numbers, one to one, and q x stride to q. So
 * another offset becomes a number above all those q, the last of which is
 * (2^64 - 1) / stride. A stride is at most 2^20 and a count at most 2^24.
 */
static inline uint64_t tpi_pool_index(const struct tapio_pool *pool,
				      const void *object)
{
	uint64_t offset =
		(uint64_t)((uintptr_t)object - (uintptr_t)pool->objects);
	uint64_t product = offset * pool->inverse;

	return product >> pool->shift | product << (-pool->shift & 63);
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

/* Counts a put that is refused because of the object's state. -EALREADY or -EINVAL. */
int tpi_pool_refuse(const struct tapio_pool *pool, uint64_t state);

/* Steps G1 to G3. The number of an object in our hands, or less than 0. */
int64_t tpi_pool_pop(const struct tapio_pool *pool);

/*
 * Go on when a section was not to be: a get, and a put of an object that was in state
 * `want`. `cut`: a section saw that, and may have given it a stamp. 0 or -errno.
 */
int tpi_pool_get_again(const struct tapio_pool *pool, uint64_t *index);
int tpi_pool_put_again(const struct tapio_pool *pool, uint64_t index,
		       uint64_t want, bool cut);

/*
 * Argument 2 of pool.c: when P3 was cut off, an object that was in state `want` is as it
 * was. Its state: another than `want` when it is not ours.
 */
uint64_t tpi_pool_take_back(const struct tapio_pool *pool, uint32_t index,
			    uint64_t want);

/* Step P4: the top of this CPU's list goes to the depots. */
void tpi_pool_spill(const struct tapio_pool *pool);

/* Step G5. `wanted` is at most 64. 0 or -EAGAIN. */
int tpi_pool_refill(const struct tapio_pool *pool, uint64_t *index,
		    uint32_t wanted);

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
