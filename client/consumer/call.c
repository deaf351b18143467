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
 * SIGKILL, SIGSTOP: as in wake.h. A signal handler of the program does not come here. In a
 * forked child there is no handle.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

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

void tpi_call(struct tpi_consumer *c, struct tpi_call *call, uint32_t heard)
{
	int64_t now;

	if (!call->made || call->heard != heard) {
		now = tpi_now_ns();
		while (tpi_call_unsettled(c, call, heard, now) > 0) {
			tpi_cpu_relax();
			now = tpi_now_ns();
		}
		call->made = true;
		call->heard = heard;
		call->made_ns = now;
		tpi_announce(c);
	} else if (call->dirty) {
		tpi_store_relaxed(&c->deaf, tpi_barrier() != 0);
	}
	call->dirty = false;
}
