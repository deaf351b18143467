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
 * EACH GROUP HAS A BELL OF ITS OWN (tests/model/wake.pml). A producer that finds news on
 * a board (below) goes through the ACTIVE slots and does W2 to W5 for each by itself.
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
 *
 * ONE ANNOUNCEMENT FOR A BELL (client/consumer/call.c). A sleeper that comes back and
 * hears the same bell as in its last S1 leaves S2 out.
 * 11. By 2, an answer is stored after a W4, and that W4 came after the S1 of what it
 *     answers. So while the bell is the one of that S1, the announcement is not
 *     answered, and W3 holds for each W that loads it. News of S since then
 *     (marks) needs S3, and nothing else.
 *
 * FOR SEVERAL RINGS (tests/model/wake.pml, ROUNDS). S3 interrupts CPUs, and a member that each
 * event wakes would need one for each. Its announcement may ask for the next R rings.
 *
 *   S2r  before S2: ring_until raised to heard + R     W3r  or if ring_until > woken
 *        (a maximum, by swap)                          W4r  after W4, before W5: woken = the
 *                                                           number that W4 has made
 *
 * A sleep whose S1 hears less than the `heard` of the announcement + R leaves S2 and S3 out.
 * The numbers come round after 2^32, so they are compared by their difference.
 *
 * 12. Let such a sleep hear h, and let W publish what its S4 does not see. The announcement's
 *     S3 has shown W a ring_until that is larger than h, and it only grows. If W3r
 *     holds, then W4 is a locked operation after W1, so it comes after S4 and after S1: S5
 *     finds another bell, or W4 wakes S. If it does not hold, then a ring has stored a
 *     woken that is larger than h, after its FUTEX_WAKE. It moved the bell after S1, so S5
 *     found that, or S was woken.
 * 13. The bell itself instead of woken would not do: a ring that is stopped between its swap
 *     and its FUTEX_WAKE has woken nobody. A store of woken that comes late stores an
 *     older number, and then somebody rings once more.
 *
 * A ring that is to make sleepers announce themselves anew (L3 of broker/group/boards.c) moves
 * the bell by R at once, so no announcement outlives it. A ring_until that is more than R beyond
 * the bell is no member's, and W takes it for none. A member that finds it far behind brings
 * it to the bell, so that it does not look new when the numbers come round.
 *
 * SIGKILL or SIGSTOP of S: R rings too many at most. SIGKILL of W before W4r: the next
 * W rings. Another uid: a member that stores there all the time costs each event a look at
 * each group, and each window a ring. That is what it may do with `armed`, too, before it
 * floods (broker/group/flood.c). A producer that lies in woken delays its channel's sleepers up
 * to the bound. Memory before 0.7 has no such words. A producer of an older library does not
 * know them: the broker stores `single` in the channel and rings each group, before it lets
 * such a producer in, or when it finds one that an older broker has let in. A sleep that looks
 * at `single` after S1 either finds it, or finds another bell in S5.
 *
 * A WINDOW AFTER EACH RING (tests/model/wake.pml, WINDOW). Members write `armed` as they
 * like, and W4 is a system call. So W notes the ring between W4 and W5: the time t that
 * it took before W4. Between W3 and W4 it looks at the note:
 *
 *  N1  If t is less than TPI_RING_APART_NS ago, W leaves out W4 and W5. Before it decides
 *      so, it fences: a sleep without S3 drains no store buffers.
 *  N2  So the next commit after the window rings: W3 is still true for it.
 *  N3  A note is stored when its ring is complete. So a W that is stopped or killed
 *      before that keeps nobody from ringing. A note that comes late, over a newer one,
 *      is of an older time.
 *  N4  Between S1 and S2, or S4 if S2 is left out, the sleeper waits until it has seen the
 *      bell of S1 for TPI_RING_SETTLED_NS, by its own clock.
 *  N5  Or the bell says when it was rung. W4 swaps the bell n - 1 for n, takes t after it
 *      has loaded n - 1, and then stores {n, t} (`begun`), before FUTEX_WAKE. A sleeper
 *      that finds there the n that it has heard, and a t that is TPI_RING_SETTLED_NS ago,
 *      need not wait.
 * 14. Let W leave out W4 for a publication that S4 does not see. By its fence W reads the
 *     clock after S4. The noted ring began, by N1, less than the window ago, so by N4 after
 *     S1. Then its W4 came after S1, too, and by N3 it is complete: S5 finds another bell, or
 *     S was woken.
 * 15. By N5 the same: a ring m < n took its time before its swap, and ring n after that,
 *     so none of those that S has heard began later than t.
 *
 * A W that is killed or stopped between swap and store leaves the n of an older ring, and
 * a store that comes late is of another n. Then N4 holds, as for a ring that leaves
 * `begun` out. After 3 swaps in vain W adds 1 and leaves it out, so that another process
 * which moves the bell all the time stops nobody.
 *
 * t is CLOCK_MONOTONIC. In a time namespace it has another origin. Then a note may be
 * of the future, and W rings. Or a window lies where it does not belong: once, for some
 * microseconds, and the sleep is bounded. The sleeper's own times are differences and
 * need no common clock. For N5 it wants a time that is not before its last announcement,
 * so that one by a slower clock is believed only after a sleep that was longer than the
 * clocks differ. Another uid: only producers and the broker write the note, and `begun`. A
 * producer that lies in it delays its channel's sleepers up to the bound, as it can
 * without. The broker rings for the dead without a look at the note.
 *
 * BOARDS (tests/model/board.pml). To do W2 and W3 for each group costs W a line of memory
 * for each, after every commit. So announcements are counted once more, on boards. Each
 * slot's memory has one (`board`), with a word in the channel for what was seen of it
 * (`board_seen`). The channel's `boards` says which ones W looks at. Each living member adds to
 * one of these at least (broker/group/boards.c): all groups of one uid share one.
 *
 *   S2a  board of its own slot + 1 (release),    B1  for each bit of `boards`: board equal to
 *        then of the shared one                      board_seen? Of all: done (no fence)
 *        S3 to S5 as above                       B2  b = each board of `boards` (acquire)
 *                                                B3  W2 to W5 for each ACTIVE slot
 *                                                B4  each board_seen = b, unless a group was left
 *                                                    to a later commit
 *
 * A group is left in B3 if its mark is not reached, if its bell is in its window, if it has asked
 * for more rings (W3r still holds), or if W has not got its memory.
 *
 * 16. B1 comes after W1 and S3 after S2a, so 1 and 2 speak of a board as of `armed`. Let B1
 *     find a board equal that counts S. Its board_seen was stored by a W' that loaded the
 *     same number in B2, so after S2a and S2. The numbers come round after 2^32. So W' has
 *     done B3 for the group of S with that `armed`, or a later one, and has not left it: it
 *     was answered, or W' did W4 and W5. By 2 its bell is not the one of S1. If the sleep is
 *     one of 12, then W' has found a woken that is as large as ring_until, and 12 says the same.
 * 17. Let B1 find a difference. Then W does W2 to W5 for the group of S itself.
 * 18. B4 stores what B2 loaded, as W5 does. A W' that is stopped before B4 stores an old
 *     number, which differs, and costs a look at each group.
 * 19. `boards` is stored before a member is told that it is one, so its S3 shows that, too.
 *     When a board is not shared any more, those that shared it are rung. They announce
 *     themselves anew, and their S3 shows the new `boards`.
 * 20. By 16, a board that counts an announcement which 11 or 12 calls good is not equal.
 *
 * SIGKILL of S between S2 and S2a: nobody sleeps for that announcement, and some W rings once
 * for it. SIGKILL of W before B4: the next W looks at each group once more, and the broker has
 * rung for the dead one without a look at boards. SIGSTOP: 18. A signal handler that
 * publishes between B1 and B4 runs its own B1. fork: as above. Another uid: a board is written
 * by members of one uid, or of one group, and can keep none asleep but these. It can
 * make each W look at each group, which is what W did before there were boards. A producer
 * that lies in board_seen delays the channel's sleepers up to the bound, as it can by
 * `answered`. Broker restart: the words outlive it, and the successor stores `boards` anew
 * before it serves.
 *
 * PRODUCERS THAT WAIT FOR ROOM have no window. Their announcements (`room_armed`) lie in
 * the channel, where producers only write, and these trust one another. Consumers ring
 * once for each release that sees one.
 */
#ifndef TPI_WAKE_H
#define TPI_WAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "lib/base/clock.h"

/* The unit of a bell's `begun`, as a shift: 1,024 ns. */
#define TPI_BEGUN_SHIFT 10

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
 * The window of a ring, and how long a sleeper has heard a bell before it announces
 * itself: longer, by more than the clocks of two CPUs differ. A test makes the window as
 * long as it needs.
 */
#ifdef TAPIO_TESTPOINTS
extern int64_t tpi_ring_apart_ns; /* 0: as in every other build */
#define TPI_RING_APART_NS \
	(tpi_ring_apart_ns ? tpi_ring_apart_ns : INT64_C(5000))
#else
#define TPI_RING_APART_NS INT64_C(5000)
#endif
#define TPI_RING_SETTLED_NS (TPI_RING_APART_NS + 2000)

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

/* For how many rings a member announces itself that each event wakes. */
#define TPI_RING_ROUNDS 16

/* Whether an announcement is unanswered. The counters wrap. */
static inline bool tpi_wake_wanted(uint32_t armed, uint32_t answered)
{
	return (int32_t)(armed - answered) > 0;
}

/* W3r, in memory from 0.7 on. */
static inline bool tpi_wake_asked(const uint32_t *ring_until,
				  const struct tapio_shm_doorbell *bell)
{
	/*
	 * ORDER wake.until (acquire): S1 of the member that has stored it, so that the bell
	 * below is not an older one. Pairs with the swap in raise_until(). That it is new
	 * enough the sleeper's barrier sees to, or the board that was loaded before.
	 */
	uint32_t until = tpi_load_acquire(ring_until);

	/* ORDER wake.woken (acquire): that ring has woken everybody. Pairs with the
	 * release in tpi_wake_group(). */
	return (int32_t)(until - tpi_load_acquire(&bell->woken)) > 0 &&
	       /* No member asks for more. Relaxed: see above. */
	       (int32_t)(until - tpi_load_relaxed(&bell->doorbell)) <=
		       TPI_RING_ROUNDS;
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
/* The same, so that no announcement that was made before is good any more. */
void tpi_wake_anew(uint32_t *word);

/* N1. Whether a slot's bell is in the window of a ring, so that W leaves it alone. */
bool tpi_wake_rung(const struct tapio_shm_doorbells *doorbells, uint32_t slot);

/*
 * N5: the time before which each ring that made `heard` began, where that is known and not
 * before `since`, else `now`. All in nanoseconds, by the caller's clock.
 */
int64_t tpi_wake_begun(const struct tapio_shm_doorbell *bell, uint32_t heard,
		       int64_t since, int64_t now);

/*
 * W4 and W5 for one group slot whose `armed` was loaded in W2: rings its bell, and
 * stores when, and that it has answered. Producers and the broker. `rounds`: the memory is
 * from 0.7 on, and has `woken`.
 */
void tpi_wake_group(struct tapio_shm_doorbells *doorbells, uint32_t slot,
		    uint32_t armed, bool rounds);

/*
 * S5. Sleeps while *word is `heard`, at most `ns`. 0 woken or the word had
 * changed, -ETIMEDOUT, -EINTR. A read-only mapping is enough. errno is left as it
 * was.
 */
int tpi_wake_wait(const uint32_t *word, uint32_t heard, int64_t ns);

/* Wakes those who sleep on a word without changing it: they look again. */
void tpi_wake_nudge(const uint32_t *word);

#endif
