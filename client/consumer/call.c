/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Announcing oneself: S1 to S3 of wake.h, boards included, for one thread that sleeps on the doorbell of
 * our group. Called by sleep.c, watermark.c and fd.c, and by the helper of fd_thread.c,
 * each with a record of its own.
 *
 * ONCE FOR A BELL. An announcement is good until the bell moves: `answered` is stored
 * after a ring. So `armed` is added to only when the bell is not the one of the last
 * announcement, however often the caller comes by. Other news for wakers (marks, and
 * that the helper is armed) needs the barrier alone.
 *
 * NOT TOO OFTEN. A bell that was rung just now is not rung again within a window
 * (wake.h). So the bell that is heard has stood still, or has been left behind, for
 * longer than the window before it is announced; or it was rung that long ago, as the
 * bell itself says (N5), since our last announcement. To be woken takes longer than a
 * window most often, so most sleeps need no wait. Either way a thread adds to `armed` once
 * in TPI_RING_SETTLED_NS at most, and the broker counts on it (broker/group/flood.c).
 *
 * FOR SEVERAL RINGS (wake.h, S2r). A member that each event wakes, and that sleeps again at
 * once, announces itself for TPI_RING_ROUNDS rings, and then sleeps as often without a barrier.
 * What is left of them when events come fast costs their producers a ring in each window.
 * So it does that only after BRIEF such sleeps in a row, and a sleep is none if it
 *
 *	- comes later than AWAKE_NS after the wake-up: there was more than one event
 *	- hears a bell that has moved by more than BELLS: the producers have rung for what was
 *	  awake already
 *
 * `single` is looked at in each sleep, since a producer that rings once may come at any time.
 * A broker of an older library does not store it, so it is asked, too.
 *
 * SIGKILL, SIGSTOP: as in wake.h. A signal handler of the program does not come here. In a
 * forked child there is no handle.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

#define BRIEF 8
#define BELLS 1
#ifdef TAPIO_TESTPOINTS
int64_t tpi_awake_ns;
#define AWAKE_NS (tpi_awake_ns ? tpi_awake_ns : INT64_C(50000))
#else
#define AWAKE_NS INT64_C(50000)
#endif
/* Swaps in vain before an announcement is for one ring only. */
#define SWAPS 3

/* Whether it is that far, and no farther than a member of the group asks for. */
static bool is_raised(const struct tpi_consumer *c, uint32_t now,
		      uint32_t until)
{
	/* Relaxed: `now` was an acquire, so this is not older than what its member heard. */
	uint32_t bell = tpi_load_relaxed(c->doorbell);

	return (int32_t)(now - until) >= 0 &&
	       (int32_t)(now - bell) <= TPI_RING_ROUNDS;
}

/* S2r. False: others of the group store there all the time. */
static bool raise_until(struct tpi_consumer *c, uint32_t until)
{
	uint32_t *word = &c->control->ring_until;
	/* ORDER wake.until (acquire): as in tpi_wake_asked(). */
	uint32_t now = tpi_load_acquire(word);

	for (int i = 0; i < SWAPS; i++) {
		if (is_raised(c, now, until))
			return true;
		/* ORDER wake.until (release): S1. Pairs with tpi_wake_asked(). */
		if (tpi_cas_acq_rel(word, &now, until))
			return true;
	}
	return false;
}

void tpi_announce(struct tpi_consumer *c)
{
	/* Relaxed: the barrier orders it, and the boards. */
	tpi_add_relaxed(&c->control->armed, 1);
	TPI_TESTPOINT("sleep.armed");
	/*
	 * ORDER wake.board (release): `armed`, before the boards that count it. Pairs with
	 * the acquire in read_boards(). On both, whichever of them a producer looks at.
	 */
	tpi_add_acq_rel(&c->control->board, 1);
	TPI_TESTPOINT("sleep.board");
	if (c->client.board)
		tpi_add_acq_rel(&c->client.board->board, 1);
	TPI_TESTPOINT("sleep.boards");
	tpi_store_relaxed(&c->deaf, tpi_barrier() != 0);
	TPI_TESTPOINT("sleep.announced");
}

/* Since when the bell can have been as it is, as far as is known. */
static int64_t begun(const struct tpi_consumer *c, const struct tpi_call *call,
		     uint32_t bell, int64_t now)
{
	if (!call->made)
		return now;
	return tpi_wake_begun(
		&c->doorbells->slots[c->client.granted.group_slot], bell,
		call->made_ns, now);
}

int64_t tpi_call_unsettled(const struct tpi_consumer *c, struct tpi_call *call,
			   uint32_t bell, int64_t now)
{
	if (call->made && call->heard == bell)
		return 0;
	if (!call->seen_ns || call->seen != bell) {
		call->seen = bell;
		call->seen_ns = begun(c, call, bell, now);
	}
	return call->seen_ns + TPI_RING_SETTLED_NS - now;
}

static int64_t settle(const struct tpi_consumer *c, struct tpi_call *call,
		      uint32_t heard)
{
	int64_t now = tpi_now_ns();

	while (tpi_call_unsettled(c, call, heard, now) > 0) {
		tpi_cpu_relax();
		now = tpi_now_ns();
	}
	return now;
}

/* Whether a sleep may be left unannounced, or asked for with others. After S1. */
static bool rounds_are_known(const struct tpi_consumer *c)
{
	return tpi_client_knows_rounds(&c->client) &&
	       !tpi_load_relaxed(&c->deaf);
}

/* So that an old one does not look new after 2^31 bells. One try is enough: another store there
 * is newer. */
static void bring_until(struct tpi_consumer *c, uint32_t heard)
{
	uint32_t *word = &c->control->ring_until;
	uint32_t now = tpi_load_relaxed(word);

	if ((int32_t)(heard - now) > 1 << 30)
		tpi_cas_acq_rel(word, &now, heard);
}

static void note_sleep(struct tpi_call *call, uint32_t heard, int64_t now)
{
	bool brief = call->woken_ns && now - call->woken_ns <= AWAKE_NS &&
		     heard - call->heard <= BELLS;

	if (!brief)
		call->brief = 0;
	else if (call->brief < BRIEF)
		call->brief++;
}

/* Whether the bell that is heard is one of those for which it asked. Others are far away. */
static bool is_asked_for(const struct tpi_call *call, uint32_t heard)
{
	return call->made && call->until - heard - 1 < TPI_RING_ROUNDS;
}

static void call_as(struct tpi_consumer *c, struct tpi_call *call,
		    uint32_t heard, bool on)
{
	bool same = call->made && call->heard == heard;
	bool stands = same && call->own;

	if (!same) {
		int64_t now = settle(c, call, heard);

		if (on)
			note_sleep(call, heard, now);
		call->made_ns = now;
	}
	/* At each sleep: the broker may be another one by now. */
	if (!stands && (same || on))
		stands = is_asked_for(call, heard) && rounds_are_known(c);
	call->own = call->own && same;
	call->made = true;
	call->heard = heard;
	if (!stands) {
		call->own = true;
		call->until = heard + 1;
		if (tpi_client_has_rounds(&c->client))
			bring_until(c, heard);
		if (on && call->brief == BRIEF && rounds_are_known(c) &&
		    raise_until(c, heard + TPI_RING_ROUNDS))
			call->until = heard + TPI_RING_ROUNDS;
		TPI_TESTPOINT("sleep.raised");
		tpi_announce(c);
	} else if (call->dirty) {
		tpi_store_relaxed(&c->deaf, tpi_barrier() != 0);
	}
	call->dirty = false;
}

void tpi_call(struct tpi_consumer *c, struct tpi_call *call, uint32_t heard)
{
	call_as(c, call, heard, false);
}

void tpi_call_on(struct tpi_consumer *c, struct tpi_call *call, uint32_t heard)
{
	call_as(c, call, heard, true);
}
