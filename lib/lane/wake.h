/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking across processes. Callers: consumers and producers that
 * wait, producers after a commit, the broker after a death.
 *
 * THE PROTOCOL. A sleeper S waits on a word that wakers add 1 to. A waker W
 * publishes something and may not afford a fence.
 *
 *   S1  heard = word (acquire)               W1  publish
 *   S2  armed + 1                            W2  a = armed (no fence)
 *   S3  membarrier(GLOBAL_EXPEDITED)         W3  if (int32)(a - answered) > 0:
 *   S4  look once more                       W4      word + 1, FUTEX_WAKE all
 *   S5  FUTEX_WAIT(word, heard), bounded     W5      answered = a
 *
 * Proof. S3 puts a full barrier into every W that is running.
 *  1. S4 sees a publication that came before that barrier.
 *  2. After it, W2 loads S's announcement, or a later one. Then there are two
 *     cases. W3 holds: W4 changes the word before S waits, so that S5 returns at
 *     once, or W4 wakes S. W3 does not hold: somebody has stored an `answered`
 *     that is as new, in W5, so after its W4. That W4 came after S2, and so after
 *     S1: the word is not `heard` any more.
 *  3. W5 stores what W2 loaded, never a fresh value. A fresh one could answer an
 *     announcement whose sleeper did S1 after W4, and that sleeper would sleep on.
 *
 * Two kinds of words use it. Consumers sleep on the doorbell of their group's slot
 * (`armed` in the group's cursors, `answered` and `doorbell` in the channel).
 * Producers that wait for room sleep on a group's `room` word (`room_armed` in the
 * channel, `room_answered` in the group).
 *
 * EACH GROUP HAS A BELL OF ITS OWN (tests/model/wake.pml). A producer goes through
 * the ACTIVE slots and does W2 to W5 for each by itself.
 *  4. Steps 1 to 3 speak of one word, one `armed` and one `answered`. They hold
 *     for a slot if W uses the three words of that slot and of no other. W must
 *     not answer a slot that it has not rung: by 2, that `answered` would stand
 *     for a W4 that did not happen.
 *  5. W4 moves the word of one slot. So it wakes the members of that group, who
 *     have announced themselves since the last answer, and no others.
 *  6. A slot that passes to another group keeps its words. The broker sets `armed`
 *     to `answered` before the slot is ACTIVE, so that the first announcement is
 *     news. A former member that still sleeps there is woken for the new group's
 *     events, finds that its group has ended, and does not come back.
 *
 * THE BROKER IS A WAKER, TOO (broker/repair/reaper.c). It rings the group that has
 * lost a member, since that member's lanes are to be taken. W1 is then the lease
 * that it clears. A producer that died may have been between its W1 and its W4 for
 * any group of the channel, and what the sweep publishes is passed by every group:
 * then the broker does W2 to W5 for each ACTIVE slot, without W1's mark.
 *
 * SIGKILL of W between W1 and W4: the broker rings after the death. Between W4 and
 * W5: `answered` stays old and somebody rings once more. SIGSTOP of W: the same
 * until it goes on, and sleeps are bounded. SIGKILL or SIGSTOP of S: one
 * announcement too many, for which somebody rings once. A signal handler that
 * publishes between W2 and W4 runs its own W2: two rings at worst. fork: a child
 * has no handle that sleeps or rings. Another uid: only the members of a group can
 * write its `armed`, and only producers its bell. A producer that answers without
 * ringing delays the channel's sleepers up to the bound. Broker restart: the words
 * lie in segments that outlive it.
 *
 * THE BOUND of a sleep covers what no ring does: a waker that is stopped, one that
 * lies, a broker that is down while a producer dies, and a lane that a living
 * member has given up for one that sleeps already.
 *
 * A WATERMARK (tests/model/wake_watermark.pml). A member that wants to sleep until K
 * events are unread on a lane of its own stores K in the lane's cursor (`watermark`)
 * before S2, and in S4 looks whether any of its lanes has as many. A producer that
 * finds W3 true for a group loads, for the lane that it has just published on, that
 * group's mark and head. If fewer than `watermark` positions lie between head and
 * its tail, it does neither W4 nor W5 for that group. Nothing is stored and no
 * process is called for what is below the mark.
 *  7. As 1: S4 counts what is published before the barrier.
 *  8. After it, W loads the new `watermark` together with the new `armed`, and the
 *     head at which the member sleeps. The W whose commit is the K-th finds K, and
 *     then 2 holds for it. Those before it have left `answered` alone, so W3 is
 *     still true for it, unless somebody has rung for another reason, and then the
 *     member is awake.
 *  9. Only the lane's holder counts with its mark: the others of the group cannot
 *     take what lies on that lane. A lane without a holder has no mark: its holder
 *     clears it before it gives the lane up, the broker rings for a dead holder,
 *     and the next holder clears it first.
 * 10. The mark of one group decides about the bell of that group alone. A neighbour
 *     without a mark is rung for the first event, and the group with the mark
 *     sleeps on.
 */
#ifndef TPI_WAKE_H
#define TPI_WAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

/*
 * The longest sleep. A test that must not be helped by it sets tpi_sleep_bound_ns,
 * and then a lost wake-up is a hang.
 */
#ifdef TAPIO_TESTPOINTS
extern int64_t tpi_sleep_bound_ns; /* 0: as in every other build */
#define TPI_SLEEP_BOUND(ns) (tpi_sleep_bound_ns ? tpi_sleep_bound_ns : (ns))
#else
#define TPI_SLEEP_BOUND(ns) (ns)
#endif
#define TPI_SLEEP_CONSUMER_NS TPI_SLEEP_BOUND(INT64_C(100000000))
#define TPI_SLEEP_PRODUCER_NS TPI_SLEEP_BOUND(INT64_C(10000000))

/*
 * Lets others' tpi_barrier() reach this process. Once per process is enough, more
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

/* The first load of a sleeper, S1. */
static inline uint32_t tpi_wake_listen(const uint32_t *word)
{
	/*
	 * ORDER wake.word (acquire): all that was published before the ring
	 * that made this value is seen in the look that follows. Pairs with the
	 * add in tpi_wake_all().
	 */
	return tpi_load_acquire(word);
}

/* W4: adds 1 to the word and wakes everybody. errno is left as it was. */
void tpi_wake_all(uint32_t *word);

/*
 * W4 and W5 for one group slot whose `armed` was loaded in W2: rings its bell, and
 * stores that it has answered. Producers and the broker.
 */
void tpi_wake_group(struct tapio_shm_doorbells *doorbells, uint32_t slot,
		    uint32_t armed);

/*
 * S5. Sleeps while *word is `heard`, at most `ns`. 0 woken or the word had
 * changed, -ETIMEDOUT, -EINTR. A read-only mapping is enough. errno is left as it
 * was.
 */
int tpi_wake_wait(const uint32_t *word, uint32_t heard, int64_t ns);

/* Wakes those who sleep on a word without changing it: they look again. */
void tpi_wake_nudge(const uint32_t *word);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t tpi_now_ns(void);

#endif
