/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitting events.
 *
 *	struct tapio_producer *p;
 *	int err = tapio_producer_open(&p, "events", NULL);
 *	...
 *	err = tapio_output(p, TAPIO_TAG(MY_TYPE, 6), &event, sizeof(event));
 *
 * An event is accepted when the call that publishes it returns success. From
 * then on it outlives the process, and every lossless group gets it. A call
 * that returns an error has published nothing of what it refused.
 *
 * Cost. An emitting call takes no lock, allocates nothing and does not enter
 * the kernel, with three exceptions: it wakes a consumer that sleeps, the
 * policy of the channel is to wait for room (and the tag does not forbid it),
 * or the thread has no lane of a CPU and takes a mutex of its own process
 * (common.h), as on each channel with isolation = process.
 *
 * Threads. Emitting calls (output, reserve, submit, discard and their batches)
 * MAY be made by any number of threads at once, and by signal handlers, with
 * one handle. tapio_producer_close MUST NOT run while another thread is in a
 * call. All calls MUST respect the rules of common.h for signal handlers,
 * fork, vfork and threads.
 */
#ifndef TAPIO_PRODUCER_H
#define TAPIO_PRODUCER_H

#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_producer;

/*
 * Attaches to a channel as a producer. *out is NULL on error. The handle lives
 * until tapio_producer_close. options may be NULL.
 *
 * May block, as common.h says (OPENING). Its errors are those of the table
 * there.
 */
TAPIO_API int tapio_producer_open(struct tapio_producer **out,
				  const char *channel,
				  const struct tapio_options *options);

/*
 * Leaves the channel and frees the handle. NULL is allowed. Blocks for at most
 * one second, until the broker has taken back open reservations. The caller
 * MUST NOT touch their memory any more, because another producer may own it.
 */
TAPIO_API void tapio_producer_close(struct tapio_producer *producer);

/*
 * Emits one event: copies `length` bytes and publishes them. `data` MAY change
 * or go as soon as the call returns.
 *
 *   result     | cause                              | remedy         | counted
 *   0          | accepted                           |                | published
 *   -EAGAIN    | no free block, and the policy is   | more blocks, or| full, held
 *              | `drop`, or the tag TAPIO_NO_WAIT   | a faster reader|
 *   -ETIMEDOUT | no free block within the channel's | the same       | timeout
 *              | `wait`                             |                |
 *   -EMSGSIZE  | longer than any block of the class | a class with   | size
 *              | or channel                         | larger blocks  |
 *   -ENOBUFS   | the thread has no lane of a CPU,   | more side_lanes| no_lane
 *              | and all side lanes are taken       |                |
 *   -EINVAL    | type 0, or no such class           | another tag    | no
 *   -ECHILD    | after fork                         | open a handle  | no
 *
 * "counted" is the cause in `dropped` of the lane (tapio-shmstat(1)). An event
 * that is refused, tried again and refused again counts twice.
 * tapio_producer_explain says more about a refusal.
 */
TAPIO_API int tapio_output(struct tapio_producer *producer, uint32_t tag,
			   const void *data, uint32_t length);

struct tapio_item {
	const void *data;
	uint32_t length; /* in bytes */
	uint32_t tag;
};

/*
 * Emits up to `count` events in their order. Returns how many were accepted,
 * from the first on, or the error of the first one (as tapio_output) when none
 * was.
 *
 * Fewer than `count`: there is no room for the next one, or it is refused.
 * Without room all events that are left count as refused. After an event that
 * is refused for its length or tag, only this one counts, and the caller MAY
 * go on behind it. Up to 64 neighbours of one class become visible at once. A
 * `count` above INT_MAX is cut to INT_MAX.
 */
TAPIO_API int tapio_output_batch(struct tapio_producer *producer,
				 const struct tapio_item *items,
				 unsigned int count);

/*
 * Memory for one event, in the caller's hands until it is submitted or
 * discarded, by any thread of the process. The caller MAY change `tag`, and
 * `length` up to `capacity`, before tapio_submit. It MUST NOT change the other
 * fields, and MUST submit or discard each reservation once. A copy of the
 * struct is the same reservation: submitting or discarding one copy closes all,
 * and -EINVAL answers the others. Two threads MUST NOT use copies at once.
 *
 * `data` is shared memory, aligned to 64 bytes, with the bytes of an older
 * event. While a reservation is open, its lane has one block less, so a
 * program SHOULD NOT keep it for long. When the process dies, the broker gives
 * the block to other events. So:
 *
 * - Stores with non-temporal instructions (movnt*, streaming intrinsics) MUST be
 *   followed by sfence before tapio_submit, on aarch64 by dmb ishst. Otherwise a
 *   consumer may see the event without them.
 * - The block MUST NOT be the target of a transfer that can outlive the process or
 *   the submit: io_uring or Linux AIO, with or without O_DIRECT, DMA of a device,
 *   RDMA. It may land when the block has another owner, and damage an event of
 *   another process. read(2) and recv(2) are safe: they end before the process.
 * - A child of fork MUST NOT use `data`: the mapping is not there (common.h).
 */
struct tapio_reservation {
	void *data;
	uint32_t length;
	uint32_t tag;
	uint32_t capacity; /* in bytes */
	uint32_t lane;     /* private to the library, as the fields below */
	uint32_t block;
	uint32_t ticket;
};

/*
 * Reserves room for an event of up to `length` bytes, to be filled in place. A
 * reservation that is open when the handle moves to another instance stays open
 * (common.h): tapio_submit copies it into the new memory then.
 * Errors as tapio_output. -EAGAIN also when half of a lane's blocks are
 * reserved already: the remedy is to submit or discard some. On error
 * out->data is NULL.
 */
TAPIO_API int tapio_reserve(struct tapio_producer *producer, uint32_t tag,
			    uint32_t length, struct tapio_reservation *out);

/*
 * Publishes a reservation, with the length, type and severity that it has now,
 * in the class that it was reserved in. On success `data` becomes NULL, and
 * the caller MUST NOT touch the memory any more.
 *
 *   result     | cause                               | the reservation | counted
 *   0          | accepted                            | is gone         | published
 *   -EAGAIN,   | the thread has moved to a CPU whose | stays open: try | as
 *   -ETIMEDOUT,| lane has no room for a copy         | again or discard| output
 *   -ENOBUFS   |                                     | it              |
 *   -EINVAL    | it is not open (submitted twice),   | stays as it was | no
 *              | or its length or type is wrong      |                 |
 *   -ECHILD    | after fork                          | is the parent's | no
 *
 * After -EAGAIN, -ETIMEDOUT or -ENOBUFS `data` MAY point to another block that
 * has the same bytes. The caller MUST use the new value.
 */
TAPIO_API int tapio_submit(struct tapio_producer *producer,
			   struct tapio_reservation *reservation);

/*
 * Gives a reservation back unpublished. Consumers skip its position and count
 * it. Does not fail for an open reservation. -EINVAL: it is not open. -ECHILD.
 */
TAPIO_API int tapio_discard(struct tapio_producer *producer,
			    struct tapio_reservation *reservation);

/*
 * The same for many reservations, at most 64 at a time. tapio_reserve_batch
 * gets blocks of one lane, and returns how many, which may be fewer than
 * `count`. The other two return how many they dealt with, from the first on.
 * Each returns the error of the first one when that is none. A `count` above
 * INT_MAX is cut to INT_MAX.
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

/*
 * The largest event, in bytes, that the channel takes when the tag names no
 * class. Any thread, any signal handler.
 */
TAPIO_API uint32_t tapio_producer_max_bytes(const struct tapio_producer *p);

/*
 * Writes into `text`, in words and numbers, why an emitting call with this tag
 * and length returned `err`: which class is too small and by how much, or how
 * many blocks its lanes have. For -EAGAIN and -ETIMEDOUT it names the group
 * that holds the lane of the caller's CPU and the process that reads it there,
 * or the process that has reserved the blocks, as they are now. The text always
 * ends with NUL. Any thread. MUST NOT be called in a signal handler.
 */
TAPIO_API void tapio_producer_explain(const struct tapio_producer *producer,
				      int err, uint32_t tag, uint32_t length,
				      char *text, size_t text_bytes);

/*
 * The index of a class by its name, for TAPIO_TAG_CLASS. -ENOENT: the channel
 * has no such class. -ECHILD: after fork. Any thread, any signal handler. It MAY
 * be another one after a move to another instance.
 */
TAPIO_API int tapio_producer_class(const struct tapio_producer *producer,
				   const char *name);

/* Counts of the whole channel, in events, since it was made. After a move to another
 * instance they are that one's. */
struct tapio_producer_stats {
	size_t size;        /* set by the caller */
	uint64_t published; /* positions: events and discards */
	uint64_t dropped;   /* refused, all causes */
	uint64_t held;      /* reserved now */
	/* 1: a thread of this handle has used a side lane, as all do on a channel
	 * with isolation = process. */
	uint32_t side_lane;
	uint32_t rseq; /* TAPIO_RSEQ_* verdict of this process */
};

/*
 * Fills in the fields that fit in stats->size. Each lane is exact at one
 * instant, and lanes are read one after another. -EINVAL: stats->size is too
 * small for itself.
 * -ECHILD: after fork. Any thread, any signal handler.
 */
TAPIO_API int tapio_producer_stats_read(const struct tapio_producer *producer,
					struct tapio_producer_stats *stats);

/*
 * The last error of the control connection, with numbers, or "". While it is down,
 * when the handle is lost, when another instance refuses it, or when its channel was
 * removed, it says so. Valid until the handle is closed. (A failed open has no handle:
 * it writes to
 * options->error.)
 */
TAPIO_API const char *tapio_producer_error(const struct tapio_producer *p);

/*
 * 1 while the broker of this handle is there, 0 while it has gone. Emitting works
 * without it. 1 again when a broker has taken over the memory, with which the
 * handle connects in this call, if that broker answers within some milliseconds,
 * or when the handle has moved to another instance, which it does in this call,
 * too. 0 for ever if the handle is lost (common.h). By the thread
 * that opened it, or any other, one at a time.
 */
TAPIO_API int tapio_producer_connected(const struct tapio_producer *producer);

/*
 * The same in more words: TAPIO_LINK_* (common.h). -ECHILD: after fork. By the thread
 * that opened it, or any other, one at a time.
 */
TAPIO_API int tapio_producer_broker(const struct tapio_producer *producer);

#ifdef __cplusplus
}
#endif

#endif
