/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer's handle and its inlined parts.
 *
 *   producer.c  opening, closing, and tapio_output, whose fast path is in lib/lane/emit.h
 *   output.c    the slow path of output, large events, batches
 *   reserve.c   reserve, submit, discard; moving an event to another CPU's lane
 *   lane_choice.c     taking blocks and putting them back, wherever the thread runs
 *   side_lane.c      lanes for threads that cannot use a CPU's
 *   full_policy.c      refusing, or waiting for room, by the channel's policy
 *   slots.c     the memory of group slots that was replaced
 *   explain.c   what a refusal means, in words
 *   holder.c   which group and which process stand in the way
 *   move.c      the way to the memory of another instance
 *
 * Emitting reads the handle and writes nothing but the lane, so any thread and any
 * signal handler may be in it at any instruction.
 *
 * A handle (struct tapio_producer) points to its attachment (struct tpi_producer), and to
 * another one when it has moved.
 */
#ifndef TPI_PRODUCER_H
#define TPI_PRODUCER_H

#include <signal.h>
#include <stdbool.h>

#include <pthread.h>

#include <tapio/producer.h>

#include "client/connection/client.h"
#include "lib/lane/emit.h"
#include "lib/lane/lane.h"

/* Longer events are copied outside a section: an abort there costs the copy. */
#define TPI_COPY_BYTES 4096
/* So often a section may fail in a row before a side lane is used instead. */
#define TPI_TRIES 64
/* So often a large event follows its thread to another CPU's lane. */
#define TPI_MOVES 3
/* Blocks in one section. */
#define TPI_BATCH TPI_SECTION_BLOCKS

/* side_lane.c */
struct tpi_side_lanes {
	pthread_mutex_t mutex;
	const struct tpi_lane *lane[TAPIO_CLASSES_MAX]; /* NULL: not taken */
	uint32_t used; /* 1: a thread of this handle has needed one */
};

/* slots.c */
struct tpi_fetching {
	uint64_t heeded; /* generation whose slots are all mapped */
	/* Of the thread that has the connection's turn. */
	bool asked;        /* and the answer has not come .. */
	uint32_t asked_on; /* .. on that connection */
};

_Static_assert(sizeof(struct tpi_emit) <= TPI_HOT_BYTES,
	       "fork wipes all that emitting reads");
_Static_assert(offsetof(struct tpi_emit, alive) ==
		       offsetof(struct tpi_hot, alive),
	       "the same word");

struct tpi_producer {
	union { /* in a forked child all of it is zero */
		struct tpi_hot hot;
		struct tpi_emit emit;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_side_lanes sides;
	struct tpi_fetching slots;
	uint32_t max_bytes;
	uint32_t verdict;  /* TAPIO_RSEQ_* of this process */
	uint32_t claim_at; /* where the next look for abandoned blocks begins */
	uint32_t serial;   /* of the next ticket that no section gives */
	bool fence; /* no membarrier reaches us, or none is made: fence each commit */
	struct tapio_producer *owner;
	struct tpi_producer
		*former; /* the attachment before, or NULL. Never changes */
	/* move.c: no event is emitted here any more. Atomic, and of side lanes under
	 * their mutex. */
	uint32_t left;
	/* move.c: its segments are not mapped any more. Atomic. */
	uint32_t spent;
	bool fenced; /* move.c: no section commits here any more. With the turn */
};

/* The public handle. */
struct tapio_producer {
	/* Never NULL. Changed by the thread that has the turn of the former one. */
	struct tpi_producer *now;
	/* Listed for fork: all attachments hang from it. In a line of its own, since opens of
	 * other handles write there. */
	struct tpi_handle handle __attribute__((aligned(TAPIO_CACHE_LINE)));
	uint32_t verdict; /* TAPIO_RSEQ_* of the open */
	bool registered;  /* a membarrier reaches this process */
	char channel[TAPIO_NAME_BYTES];
};

/* The attachment that events go to. */
static inline struct tpi_producer *
tpi_producer_now(const struct tapio_producer *handle)
{
	/* ORDER producer.now (load-load): the attachment as it was filled, by its address.
	 * Pairs with the release in move() of move.c. */
	return tpi_load_pointer(&handle->now);
}

/* The producer that lib/lane/emit.h calls back with what it leaves to us. */
static inline struct tpi_producer *tpi_producer_of(const struct tpi_emit *emit)
{
	return (struct tpi_producer *)((char *)(uintptr_t)emit -
				       offsetof(struct tpi_producer, emit));
}

/* Internal: the handle has moved, so the call begins anew, where it is now. */
#define TPI_GONE (-EXDEV)

/*
 * move.c: the attachment for the next attempt of an emitting call. Looks for another broker
 * when one is due, and moves. Any context, but not with a side lane's mutex.
 */
struct tpi_producer *tpi_producer_look(struct tapio_producer *handle);
static inline struct tpi_producer *
tpi_producer_current(struct tapio_producer *handle)
{
	struct tpi_producer *p = tpi_producer_now(handle);

	return tpi_emit_called(&p->emit) ? tpi_producer_look(handle) : p;
}
/* Whether its handle has moved away from it. */
static inline bool tpi_producer_gone(const struct tpi_producer *p)
{
	return tpi_producer_now(p->owner) != p;
}
/* The attachment whose memory a reservation is of, and its lane. NULL: of none. */
struct tpi_producer *tpi_producer_find(struct tapio_producer *handle,
				       const struct tapio_reservation *r,
				       const struct tpi_lane **lane);

/*
 * producer.c: a new attachment, zeroed but for what it takes from the handle, in no
 * chain yet. NULL: no memory. And what there is to be done once it is open.
 */
struct tpi_producer *tpi_producer_make(struct tapio_producer *handle);
void tpi_producer_unmake(struct tpi_producer *p);
void tpi_producer_opened(struct tpi_producer *p);
void tpi_producer_request(const struct tapio_producer *handle,
			  struct tpi_request *request);

/*
 * producer.c: lets the fast paths use CPUs' lanes if this process may, by its own
 * verdict or the broker's of now. At open, and again and again while it may not.
 */
void tpi_producer_choose_lanes(struct tpi_producer *p);

/* The slow paths of lib/lane/emit.h (output.c, reserve.c). */
tpi_output_fn tpi_output_slow;
tpi_reserve_fn tpi_reserve_slow;
tpi_submit_fn tpi_submit_slow;

/* The producer has a segment of its own, and may write no other one's lanes. */
static inline bool tpi_producer_isolated(const struct tpi_producer *p)
{
	return p->client.granted.own_segment != 0;
}
/* Of an isolated producer: its only lane of a class. */
static inline const struct tpi_lane *
tpi_producer_own_lane(const struct tpi_producer *p, uint32_t klass)
{
	return tpi_channel_own_lane(&p->client.channel, klass,
				    p->client.granted.own_segment);
}

/* output.c */
/* One event, by whatever it takes. As tapio_output. */
int tpi_output(struct tapio_producer *handle, const struct tapio_item *item);
/* Why tpi_size_of found no class: -EINVAL or -EMSGSIZE, which is counted. */
int tpi_no_size(struct tpi_producer *p, uint32_t tag);
/*
 * -ENOBUFS for `count` events. They are counted on the first side lane of the
 * class, so that the count says which class has too few, or on the first lane
 * of the channel, if the class has none. (An isolated producer has its own lane.)
 */
const struct tpi_lane *tpi_no_lane_lane(const struct tpi_producer *p,
					uint32_t klass);
int tpi_no_lane(struct tpi_producer *p, uint32_t klass, uint32_t count);

/* full_policy.c: one wait for room, from the first refusal on. Begin with zeros. It
 * may go on in other memory. */
struct tpi_full {
	int64_t until; /* 0: not begun */
	const uint32_t *word;
	uint32_t heard;
};
/*
 * `result` (TPI_FULL, TPI_HELD) is why a lane had no block for `count` events, the
 * first with that tag.
 * 0: try again. -EAGAIN, -ETIMEDOUT: refused, and counted. TPI_GONE.
 */
int tpi_full_wait(struct tpi_producer *p, const struct tpi_lane *lane,
		  int result, uint32_t tag, uint32_t count,
		  struct tpi_full *room);
void tpi_count_drop(const struct tpi_lane *lane, unsigned int cause,
		    uint64_t count);

/*
 * holder.c: which group and which process leave a lane without room, now. Begins
 * with ": ", or is empty when there is room again.
 */
void tpi_holder_say(const struct tpi_producer *p, const struct tpi_lane *lane,
		    char *text, size_t bytes);

/* lane_choice.c */
/*
 * Takes up to `want` (<= TPI_BATCH) blocks of a class on one lane: this CPU's, or
 * the side lane. How many. 0 when there is none, with the lane that had none and
 * *result TPI_FULL or TPI_HELD. -ENOBUFS.
 */
int tpi_take(struct tpi_producer *p, const struct tpi_size *size, uint32_t want,
	     uint32_t *blocks, uint64_t *tickets, const struct tpi_lane **lane,
	     int *result);
/* Blocks that others abandoned there, as our reservations. How many. */
uint32_t tpi_claim(struct tpi_producer *p, const struct tpi_lane *lane,
		   uint32_t want, uint32_t *blocks, uint64_t *tickets);
/*
 * Publishes blocks that we hold, on their own lane. 0. TPI_MOVED: this thread is
 * not on that CPU. -EINVAL: they are not all held by these tickets.
 */
int tpi_put(struct tpi_producer *p, const struct tpi_lane *lane,
	    const uint64_t *descs, const uint64_t *tickets, uint32_t count);
/* A serial for tpi_lane_retake() and tpi_lane_claim(). */
static inline uint32_t tpi_next_serial(struct tpi_producer *p)
{
	/* Atomic, since any thread may ask. Relaxed, since it orders nothing. */
	return tpi_add_relaxed(&p->serial, 1);
}
/*
 * Copies one event of at most fast_bytes (any length on a side lane) into the
 * lane of this CPU, or the side lane. 0, TPI_FULL, TPI_HELD, -ENOBUFS. `lane` is
 * the one that said so.
 */
int tpi_copy(struct tpi_producer *p, const struct tpi_size *size, uint64_t meta,
	     const void *data, uint32_t length, const struct tpi_lane **lane);

/* slots.c: lets the gate's computation call for memory that was replaced. */
void tpi_slots_init(struct tpi_producer *p);

/* side_lane.c */
int tpi_side_lanes_init(struct tpi_side_lanes *sides);
/* Gives back the lanes on which nothing is held. The broker sweeps the others. */
void tpi_side_lanes_fini(struct tpi_producer *p);
/*
 * Enters this attachment's side lane of a class, taking one if need be: 0 with all
 * signals blocked and the lane ours, or -ENOBUFS, or TPI_GONE. Of a memory that was left
 * it enters the lane that it has, for reservations.
 */
int tpi_side_lane_enter(struct tpi_producer *p, uint32_t klass,
			sigset_t *signals, const struct tpi_lane **lane);
void tpi_side_lane_leave(struct tpi_producer *p, const sigset_t *signals);
/* Why this producer, or one of its threads, needs a side lane, in words. */
const char *tpi_side_lane_reason(const struct tpi_producer *p);

#endif
