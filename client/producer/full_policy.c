/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No block: refuse, or wait until a consumer has released some.
 *
 * A call with TAPIO_NO_WAIT in its tag is refused at once, as on a channel that
 * drops. A signal handler SHOULD emit like this: the library cannot know that it is
 * called from one, and the thread that was interrupted may hold locks of the
 * program, or be the consumer that has to make the room.
 *
 * A producer waits by the protocol of wake.h: it sleeps on the `room` word of the
 * group that holds the gate, which its members ring after a release when they see
 * `room_armed` moved. It holds nothing meanwhile. SIGKILL or SIGSTOP while it
 * waits: others see one announcement too many.
 *
 * Where no group is in the way, the blocks are in producers' hands, and no ring
 * comes for them. Then it naps.
 *
 * No sleep is longer than a tenth of a second. So a producer that waits in the memory of a
 * broker that is gone looks for another one that often (move.c). When its handle has moved,
 * the call begins anew there, with what is left of its time.
 */
#include <errno.h>
#include <time.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

#define NAP_NS 1000000

void tpi_count_drop(const struct tpi_lane *lane, unsigned int cause,
		    uint64_t count)
{
	/* Atomic, because threads of many processes count here. Relaxed,
	 * because a count orders nothing. */
	tpi_add_relaxed(&lane->shm->dropped[cause], count);
	TPI_TESTPOINT("output.refused");
}

static int refuse(const struct tpi_lane *lane, unsigned int cause,
		  uint64_t count, int err)
{
	tpi_count_drop(lane, cause, count);
	return err;
}

static void nap(int64_t ns)
{
	struct timespec t = {.tv_nsec = ns < NAP_NS ? (long)ns : NAP_NS};
	int saved = errno;

	nanosleep(&t, NULL);
	errno = saved;
}

/*
 * S1 to S3: after it the caller looks once more (S4). Without a group to listen
 * to it naps instead.
 */
static void announce(struct tpi_producer *p, const struct tpi_lane *lane,
		     int64_t left, struct tpi_full *room)
{
	const struct tapio_shm_group_control *control;
	uint64_t gate, generation;
	int slot;

	if (!tpi_gate_compute(lane, &p->emit.gating, &gate, &generation, &slot))
		return; /* groups come and go: look again at once */
	if (slot < 0 || !tpi_gating_hears(&p->emit.gating, slot)) {
		nap(left);
		return;
	}
	control = p->client.cursors[slot].control;
	room->heard = tpi_wake_listen(&control->room);
	/* Relaxed: the barrier orders it. */
	tpi_add_relaxed(&p->emit.doorbells->room_armed, 1);
	TPI_TESTPOINT("room.armed");
	if (tpi_barrier()) {
		nap(left);
		return;
	}
	TPI_TESTPOINT("room.announced");
	room->word = &control->room;
}

int tpi_full_wait(struct tpi_producer *p, const struct tpi_lane *lane,
		  int result, uint32_t tag, uint32_t count,
		  struct tpi_full *room)
{
	const struct tapio_shm_channel *info = &p->client.channel.info;
	int64_t now, left;

	if (info->full_policy != TAPIO_FULL_WAIT || (tag & TAPIO_NO_WAIT))
		return refuse(lane,
			      result == TPI_HELD ? TAPIO_DROP_HELD
						 : TAPIO_DROP_FULL,
			      count, -EAGAIN);
	tpi_producer_current(p->owner);
	if (tpi_producer_gone(p)) {
		room->word = NULL;
		return TPI_GONE;
	}
	now = tpi_now_ns();
	if (!room->until)
		room->until = now + (info->wait_ns < TPI_FOREVER_NS
					     ? (int64_t)info->wait_ns
					     : TPI_FOREVER_NS);
	left = room->until - now;
	if (left <= 0)
		return refuse(lane, TAPIO_DROP_TIMEOUT, count, -ETIMEDOUT);
	if (left > TPI_SLEEP_PRODUCER_NS)
		left = TPI_SLEEP_PRODUCER_NS;
	if (!room->word) {
		announce(p, lane, left, room);
		return 0;
	}
	TPI_TESTPOINT("room.looked");
	tpi_wake_wait(room->word, room->heard, left);
	room->word = NULL;
	return 0;
}
