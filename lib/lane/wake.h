/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking across processes. Who calls: consumers and producers that
 * wait, producers after a commit, the broker after a death.
 *
 * THE PROTOCOL. A sleeper S waits on a word that wakers add 1 to; W publishes
 * something and may not afford a fence.
 *
 *   S1  bell = word (acquire)                W1  publish
 *   S2  armed + 1                            W2  a = armed (no fence)
 *   S3  membarrier(GLOBAL_EXPEDITED)         W3  if (int32)(a - answered) > 0:
 *   S4  look once more                       W4      word + 1, FUTEX_WAKE all
 *   S5  FUTEX_WAIT(word, bell), bounded      W5      answered = a
 *
 * Proof. S3 puts a full barrier into every W that is running.
 *  1. A publication before that barrier is seen in S4.
 *  2. After it, W2 loads S's announcement, or a later one. Then either W3 holds,
 *     and W4 changes the word before S waits (it returns at once) or wakes it;
 *     or somebody has stored a `answered` that is as new, in W5, so after its W4, and
 *     that W4 came after S2, so after S1: the word is not `bell` any more.
 *  3. W5 stores what W2 loaded, never a fresh value. A fresh one could answer an
 *     announcement whose sleeper did S1 after W4: it would sleep on.
 *
 * SIGKILL of W between W1 and W5: nobody rings for that publication, or `answered`
 * stays old and somebody rings once more. Every sleep is bounded, and the broker
 * rings after each death. SIGSTOP of W: the same until it goes on. A signal
 * handler that publishes between W2 and W4 runs its own W2: two rings at worst.
 *
 * A WATERMARK (tests/model/wake_watermark.pml). A member that wants to sleep until K
 * events are unread on a lane of its own stores K in the lane's cursor (`watermark`)
 * before S2, and in S4 looks whether any of its lanes has as many. A producer
 * that finds W3 true loads, for the lane that it has just published on, the mark
 * and the group's head; if fewer than `watermark` positions lie between head and its
 * tail it does nothing: neither W4 nor W5. Nothing is stored and nobody is called
 * for what is below the mark.
 *  4. As 1: what is published before the barrier is counted in S4.
 *  5. After it, W loads the new `watermark` together with the new `armed`, and the head
 *     at which the member sleeps. The one whose commit is the K-th finds K, and
 *     then 2 holds for it. Since those before it have left `answered` alone, W3 is
 *     still true for it, unless somebody has rung for another reason, and then the
 *     member is awake.
 *  6. Only the lane's holder counts with its mark: the others of the group cannot
 *     take what lies on that lane. A lane that is nobody's has no mark: its holder
 *     clears it before it gives the lane up, a dead one's broker rings, and who
 *     takes a lane clears it first.
 *
 * Two pairs of words use it: consumers sleep on the channel's doorbell (armed and
 * `answered` per group slot), producers that wait for room on a group's `room` word
 * (room_armed in the channel, room_answered in the group).
 */
#ifndef TPI_WAKE_H
#define TPI_WAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

/* How long nobody sleeps longer than. */
#define TPI_SLEEP_CONSUMER_NS INT64_C(100000000)
#define TPI_SLEEP_PRODUCER_NS INT64_C(10000000)

/*
 * Lets others' tpi_barrier() reach this process; once per process is enough, more
 * does no harm. 0 or -errno: then this process must fence by itself.
 */
int tpi_barrier_register(void);

/*
 * A full barrier on every running thread of every process that registered, and
 * on the caller. 0 or -errno: then a sleeper must poll.
 */
int tpi_barrier(void);

/* Whether an announcement is unanswered. The counters wrap. */
static inline bool tpi_wake_wanted(uint32_t armed, uint32_t answered)
{
	return (int32_t)(armed - answered) > 0;
}

/* What a sleeper loads first, S1. */
static inline uint32_t tpi_wake_listen(const uint32_t *word)
{
	/*
	 * ORDER wake.word (acquire): what was published before the ring that
	 * made this value is seen in the look that follows. Pairs with the add
	 * in tpi_wake_all().
	 */
	return tpi_load_acquire(word);
}

/* W4: adds 1 to the word and wakes everybody. errno is left as it was. */
void tpi_wake_all(uint32_t *word);

/*
 * S5. Sleeps while *word is `heard`, at most `ns`. 0 woken or the word had
 * changed, -ETIMEDOUT, -EINTR. A read-only mapping is enough; errno is left as it
 * was.
 */
int tpi_wake_wait(const uint32_t *word, uint32_t heard, int64_t ns);

/* Wakes those who sleep on a word without changing it: they look again. */
void tpi_wake_nudge(const uint32_t *word);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t tpi_now_ns(void);

#endif
