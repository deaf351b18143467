/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer that goes to another instance. Its own one is gone, with its broker and its
 * keeper, and another broker serves at the name that it had.
 *
 * Called from slow paths: an emitting call that finds the word `serving` of its catalog
 * changed looks first, and so does one that waits for room. Looks are paced (revive.c), by a
 * clock that costs no more than a load, so emitting without a broker stays cheap.
 *
 *  P1  The connection has ended, and the broker that answers has other memory: ELSEWHERE
 *	(revive.c). The thread has the turn of the attachment.
 *  P2  A new attachment, zeroed, hangs from the handle, so that a fork knows of it.
 *  P3  It is opened: HELLO, ATTACH, the segments, the cursors of all slots. Refused, or no
 *	broker any more: it is taken down, and all is as before P2.
 *  P4  `now` of the handle is the new one. Each call that begins from here on emits there.
 *  P5  The former one is left: no event is emitted in its memory any more.
 *	a  `left`, under the mutex of the side lanes: their lanes take no event.
 *	b  There is no CPU, neither in `cpus` nor in any lane of the table. A section
 *	   compares its CPU with that of the lane inside, so none commits.
 *	c  Sections that have compared before b are restarted (membarrier).
 *  P6  Its connection is closed. Its segments stay mapped, for reservations that are open.
 *  P7  Of memory that was left two or more moves ago, and where nothing is reserved any
 *	more, the segments are spent: zeros take their place in the address space.
 *
 * Why P7 does no harm. Another thread may have loaded `now` before P4 and may still be on its way,
 * since nothing bounds for how long a thread is not run. It reads the attachment, which is
 * there until the handle is closed. It reads the segments, and finds zeros. It changes nothing
 * that counts: by P5 its section does not commit, and its slow path begins anew where
 * `now` is. Its swaps and adds outside of a section go to private zeros. A block that it
 * could have reserved was reserved before P5, and then the look of P7 finds it. Where
 * the kernel has no membarrier for sections (before 5.10), c fails, and the segments stay
 * mapped until the handle is closed.
 *
 * What a move leaves behind until then: the attachment itself, and its table of lanes, some
 * ten kilobytes. The addresses of its segments.
 *
 * ANY CONTEXT. All of it is system calls on memory of its own: no allocation, no lock but that of
 * the side lanes, which no thread holds while it can be interrupted, and no printf (errors are
 * kept as the broker's words, or as a number). The thread waits for a second at most for
 * each answer.
 *
 * SIGKILL at any step: the new broker sees the pidfd, and takes back an attachment that
 * emitted nothing yet. The former memory has no broker, and goes with its last mapping.
 * SIGSTOP: the turn is held by a process that is stopped as a whole. The new broker may close
 * the connection, and that is DOWN of the new attachment. Migration: nothing here depends on
 * the CPU. Signal handlers: blocked in here, so that none finds the turn taken by its own
 * thread. A handler of another thread goes on with what `now` is. fork: between P2 and the end
 * the child finds both attachments in the chain, and zeroes both (handle.c). Another uid:
 * tpi_client_open_again() asks. A broker that dies at any step of P3: DOWN, as before the move,
 * and after P4 it is the death of that broker. A broker that is stopped: a second in P3, then
 * DOWN.
 */
#include <errno.h>
#include <sys/mman.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"
#include "lib/base/topology.h"

/* The number of no CPU, and of no thread that has none (lib/base/rseq.h). */
#define NO_CPU UINT32_C(0x7fffffff)

/* Of the lanes of one memory, in reservations (emit.h). No memory has more. */
#define LANE_NUMBERS (UINT32_C(1) << 18)
_Static_assert(TAPIO_CLASSES_MAX *(TPI_CPUS_MAX + TAPIO_CLIENTS_MAX) <=
		       LANE_NUMBERS,
	       "a number is of one memory");

/* ---- P5 ---------------------------------------------------------------------------- */

static void close_side_lanes(struct tpi_producer *p)
{
	pthread_mutex_lock(&p->sides.mutex);
	/* Relaxed: the mutex orders it for those that take it, and for others it is a
	 * hint. */
	tpi_store_relaxed(&p->left, 1);
	pthread_mutex_unlock(&p->sides.mutex);
}

static void leave(struct tpi_producer *p)
{
	struct tpi_channel *channel = &p->client.channel;

	close_side_lanes(p);
	TPI_TESTPOINT("move.sides");
	/* Relaxed, both: the barrier is for all that have not read them yet. */
	tpi_store_relaxed(&p->emit.cpus, 0);
	for (uint32_t i = 0; i < channel->lane_count; i++)
		if (channel->lanes[i].cpu != TAPIO_CPU_SIDE)
			tpi_store_relaxed(&channel->lanes[i].cpu, NO_CPU);
	/* ORDER rseq.restart (full): no CPU in any lane, before a section begins anew.
	 * Pairs with the fence in tpi_rseq_restart_all(). */
	p->fenced = tpi_rseq_restart_all() == 0;
	TPI_TESTPOINT("move.left");
	tpi_own_fd_close(&p->client.handle.sock);
}

/* ---- P7 ---------------------------------------------------------------------------- */

static bool holds(const struct tpi_producer *p, const struct tpi_lane *lane)
{
	uint64_t state = tpi_lane_peek(lane), ticket;

	for (uint32_t block = 0; TAPIO_STATE_HELD(state) && block <= lane->mask;
	     block++) {
		/* Relaxed: our own name is in it or not. */
		ticket = tpi_load_relaxed(&lane->tickets[block]);
		if (TAPIO_TICKET_OWNER(ticket) == p->emit.me &&
		    !tpi_lane_in_ring(lane, state, block,
				      TAPIO_TICKET_PLACE(ticket)))
			return true;
	}
	return false;
}

static bool holds_any(const struct tpi_producer *p)
{
	for (uint32_t i = 0; i < p->emit.lane_count; i++)
		if (holds(p, &p->emit.lanes[i]))
			return true;
	return false;
}

/* Zeros in the place of a mapping, at once. Where that is refused it stays. */
static void empty(const struct tpi_map *map)
{
	if (map->base)
		(void)!mmap(map->base, map->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				    MAP_NORESERVE,
			    -1, 0);
}

/* With its turn, so no other thread maps cursors there. */
static void spend(struct tpi_producer *p)
{
	struct tpi_client *client = &p->client;

	if (!p->fenced || holds_any(p))
		return;
	/* Relaxed: only that no one looks for a reservation there, which there is none
	 * of. */
	tpi_store_relaxed(&p->spent, 1);
	TPI_TESTPOINT("move.spent");
	for (uint32_t i = 0; i < client->map_count; i++)
		empty(&client->maps[i]);
	for (uint32_t i = 0; i < client->cursor_count; i++)
		empty(&client->cursor_maps[i]);
	empty(&client->catalog_map);
}

static void spend_all(struct tpi_producer *p)
{
	struct tpi_turn turn;

	for (; p; p = p->former) {
		if (tpi_load_relaxed(&p->spent) ||
		    !tpi_client_enter(&p->client, &turn))
			continue;
		spend(p);
		tpi_client_leave(&p->client, &turn);
	}
}

/* ---- the move ---------------------------------------------------------------------- */

static void hang_up(struct tapio_producer *handle, struct tpi_producer *p)
{
	/* The kernel copies pages at a fork, in the order of the stores. */
	tpi_fence_store_store();
	tpi_store_relaxed(&handle->handle.beside, &p->client.handle);
}

/* P2, P3. */
static int open_next(struct tapio_producer *handle, struct tpi_producer *next,
		     struct tpi_producer *p)
{
	struct tpi_request request;
	int err;

	tpi_producer_request(handle, &request);
	next->former = p;
	next->emit.first_lane = p->emit.first_lane + LANE_NUMBERS;
	next->client.mute = true;
	next->client.handle.beside = &p->client.handle;
	hang_up(handle, next);
	TPI_TESTPOINT("move.made");
	err = tpi_client_open_again(&next->client, &request, &p->client);
	if (!err && tpi_client_same_memory(&next->client, &p->client)) {
		/* The first instance is there again, and knows the handle. */
		tpi_client_close(&next->client);
		err = -ECONNREFUSED;
	}
	next->client.mute = false;
	if (!err)
		return 0;
	tpi_client_stays(&p->client, next->client.error, err);
	hang_up(handle, p);
	tpi_producer_unmake(next);
	return err;
}

/* With the turn of `p`, which is where the handle is now. */
static void move(struct tapio_producer *handle, struct tpi_producer *p)
{
	struct tpi_producer *next = NULL;

	/* There are numbers for 16,384 memories, and each keeps its own. */
	if (p->emit.first_lane < UINT32_MAX - 2 * LANE_NUMBERS)
		next = tpi_producer_make(handle);
	if (!next) {
		tpi_client_stays(&p->client, "", -ENOMEM);
		return;
	}
	if (open_next(handle, next, p))
		return;
	TPI_TESTPOINT("move.opened");
	tpi_producer_opened(next);
	/* ORDER producer.now (release): the attachment as it was filled. Pairs with
	 * the load in tpi_producer_now(). */
	tpi_store_release(&handle->now, next);
	TPI_TESTPOINT("move.moved");
	leave(p);
	spend_all(p->former);
}

__attribute__((noinline, cold)) struct tpi_producer *
tpi_producer_look(struct tapio_producer *handle)
{
	struct tpi_producer *p = tpi_producer_now(handle);
	struct tpi_client *client = &p->client;
	struct tpi_turn turn;
	int saved;

	/* Relaxed: a hint that saves the turn. */
	if (tpi_coarse_ns() < tpi_load_relaxed(&client->link.again_ns))
		return p;
	saved = errno;
	TPI_TESTPOINT("move.looked");
	if (!tpi_client_enter(client, &turn))
		return p;
	if (!tpi_producer_gone(p)) {
		tpi_client_revive_soon(client);
		if (tpi_client_may_move(client))
			move(handle, p);
	}
	tpi_client_leave(client, &turn);
	errno = saved;
	return tpi_producer_now(handle);
}

struct tpi_producer *tpi_producer_find(struct tapio_producer *handle,
				       const struct tapio_reservation *r,
				       const struct tpi_lane **lane)
{
	struct tpi_producer *p;

	for (p = tpi_producer_now(handle); p; p = p->former) {
		if (tpi_load_relaxed(&p->spent))
			continue;
		*lane = tpi_reservation_lane(&p->emit, r);
		if (*lane)
			return p;
	}
	return NULL;
}
