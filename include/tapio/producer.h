/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitting events.
 *
 *	struct tapio_producer *p;
 *	int err = tapio_producer_open(&p, "events", NULL);
 *	...
 *	err = tapio_output(p, TAPIO_TAG(MY_TYPE, 6), &event, sizeof(event));
 *
 * An event is accepted when the call that publishes it returns success; from
 * then on it outlives the process. No call that emits takes a lock (the few
 * threads that use a side lane take a mutex of their own process), allocates,
 * or enters the kernel, unless it must wake a sleeping consumer or the channel's
 * policy is to wait for room and the tag does not forbid it.
 */
#ifndef TAPIO_PRODUCER_H
#define TAPIO_PRODUCER_H

#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_producer;

/*
 * Attaches to a channel as a producer; *out is NULL on error. Blocks for at most
 * options->connect_ns while no broker answers.
 *
 * -ECONNREFUSED no broker, as options->error says; -ENOENT no such channel;
 * -EACCES no right to produce there;
 * -EPROTO, -EPROTONOSUPPORT the broker speaks another version; -ETIMEDOUT it did
 * not answer; -EMFILE, -ENOMEM; -EBADMSG a segment is not what its header says;
 * -EINVAL options.
 */
TAPIO_API int tapio_producer_open(struct tapio_producer **out,
				  const char *channel,
				  const struct tapio_options *options);

/*
 * Leaves the channel and frees the handle (NULL is allowed). No other thread may
 * be inside a call. Reservations that are still open are taken back by the
 * broker; their memory must not be touched any more.
 */
TAPIO_API void tapio_producer_close(struct tapio_producer *producer);

/*
 * Emits one event: copies `length` bytes and publishes them. Any thread, any
 * signal handler; there the tag SHOULD have TAPIO_NO_WAIT.
 *
 * 0 accepted. -EAGAIN no room (policy drop, or TAPIO_NO_WAIT). -ETIMEDOUT no room
 * within the channel's wait. -EMSGSIZE longer than tapio_producer_max_bytes, or than the
 * blocks of the class that the tag names. -ENOBUFS every side lane is taken
 * (threads without rseq only). -EINVAL type 0 or an unknown class. -ECHILD after
 * fork. Each refusal but the last two is counted on its lane, by cause; an event
 * that is tried again and refused again counts twice.
 */
TAPIO_API int tapio_output(struct tapio_producer *producer, uint32_t tag,
			   const void *data, uint32_t length);

struct tapio_item {
	const void *data;
	uint32_t length;
	uint32_t tag;
};

/*
 * Emits up to `count` events in order; returns how many were accepted, which is
 * less than `count` only when there is no room or an item is refused, and -errno
 * when none was. As many neighbours of one class as there is room for, at most 64,
 * become visible at once. Without room all that is left counts as refused; after
 * an item that is refused for its length, only that one does.
 */
TAPIO_API int tapio_output_batch(struct tapio_producer *producer,
				 const struct tapio_item *items,
				 unsigned int count);

/*
 * Memory for one event, in the caller's hands until it is submitted or
 * discarded, by any thread of the process. `tag` and `length` may be changed
 * before tapio_submit, `length` up to `capacity`.
 */
struct tapio_reservation {
	void *data;
	uint32_t length;
	uint32_t tag;
	uint32_t capacity;
	uint32_t lane; /* private to the library, as is the rest */
	uint32_t block;
	uint32_t moves;
};

/*
 * Reserves room for an event of up to `length` bytes, to be filled in place.
 * Errors as tapio_output, and -EAGAIN also when half of a lane's blocks are
 * reserved already. On error data is NULL.
 */
TAPIO_API int tapio_reserve(struct tapio_producer *producer, uint32_t tag,
			    uint32_t length, struct tapio_reservation *out);

/*
 * Publishes it, with the length, type and severity that it has now, in the class
 * that it was reserved in. On -EAGAIN or -ETIMEDOUT (the thread moved to a CPU
 * whose lane has no room) and -ENOBUFS the reservation stays valid, perhaps with
 * other `data`: try again or discard it. -EINVAL: it is not an open reservation (a
 * double submit), or its length or tag is wrong.
 */
TAPIO_API int tapio_submit(struct tapio_producer *producer,
			   struct tapio_reservation *reservation);

/* Gives it back unpublished. Never fails for an open reservation. */
TAPIO_API int tapio_discard(struct tapio_producer *producer,
			    struct tapio_reservation *reservation);

/*
 * The same for `count` (at most 64 at a time) blocks of one lane.
 * tapio_reserve_batch returns how many it got, which may be fewer; the other two
 * how many, from the first, they dealt with; each -errno when that is none.
 */
TAPIO_API int tapio_reserve_batch(struct tapio_producer *producer, uint32_t tag,
				  uint32_t length,
				  struct tapio_reservation *out,
				  unsigned int count);
TAPIO_API int tapio_submit_batch(struct tapio_producer *producer,
				 struct tapio_reservation *reservations,
				 unsigned int count);
TAPIO_API int tapio_discard_batch(struct tapio_producer *producer,
				  struct tapio_reservation *reservations,
				  unsigned int count);

/* The largest event that the channel takes without a class named, in bytes. */
TAPIO_API uint32_t tapio_producer_max_bytes(const struct tapio_producer *p);

/*
 * Puts into words, with the value and the limit, why an emitting call with this
 * tag and length returned `err`: which class was too small by how much, say, or
 * how many blocks its lanes have. For -EAGAIN and -ETIMEDOUT it names the group
 * that holds the lane and the process that reads it there (or the one that has
 * reserved the blocks), as they are now and on the CPU of the caller. Always ends
 * the text. Any thread; not for signal handlers.
 */
TAPIO_API void tapio_producer_explain(const struct tapio_producer *producer,
				      int err, uint32_t tag, uint32_t length,
				      char *text, size_t text_bytes);

/* The index of the class of that name, for TAPIO_TAG_CLASS; -ENOENT, -ECHILD. */
TAPIO_API int tapio_producer_class(const struct tapio_producer *producer,
				   const char *name);

/* Counts of the whole channel, in events. */
struct tapio_producer_stats {
	size_t size;        /* set by the caller */
	uint64_t published; /* positions published since the channel began */
	uint64_t dropped;   /* refused, all causes */
	uint64_t held;      /* reserved now */
	uint32_t side_lane; /* 1: this process has used a side lane */
	uint32_t rseq;      /* TAPIO_RSEQ_* verdict of this process */
};
TAPIO_API int tapio_producer_stats_read(const struct tapio_producer *producer,
					struct tapio_producer_stats *stats);

/* What failed last in an open or close, with numbers; valid until the next. */
TAPIO_API const char *tapio_producer_error(const struct tapio_producer *p);

/*
 * 1 while the broker that we attached to is there, 0 when it has gone. Emitting
 * goes on without it; but who attaches to the next broker reads another channel.
 */
TAPIO_API int tapio_producer_connected(const struct tapio_producer *producer);

#ifdef __cplusplus
}
#endif

#endif
