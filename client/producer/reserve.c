/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling in place: reserve, submit, discard, singly and in batches.
 *
 * A reservation is a block out of its lane's ring under our attachment's name.
 * The effect of a kill, a stop or a move on it:
 *
 *   reserved, being filled   SIGKILL: the broker's sweep puts it back. SIGSTOP: it
 *                            is held, the rest of the lane works on. A move to
 *                            another CPU is noticed by submit.
 *   submit at home           one section; accepted by its commit
 *   submit elsewhere         change the ticket, so that no other copy of the
 *                            reservation is open any more. Copy into a lane of
 *                            this CPU (accepted by that commit). Abandon the old
 *                            block. SIGKILL between them: the sweep finds the old
 *                            block. The event exists once or not at all.
 *   discard elsewhere        abandon: whoever needs a block there, or the sweep,
 *                            takes it
 *
 * A signal handler may reserve, submit and emit at any of these points.
 *
 * A reservation belongs to the memory that it was made in, also when the handle has moved
 * since: it is submitted there at home. Elsewhere it is copied, not into a lane of the memory
 * that was left, where perhaps no one makes room any more, but into one of the memory
 * where the handle is now.
 *
 * A reservation that was submitted or discarded is closed, and so are its copies:
 * -EINVAL. That is exact for calls of which one has returned before the other begins,
 * and for calls at once on the block's CPU, or at once on others. Only if one thread
 * submits on the block's CPU and another thread submits or discards a copy elsewhere in
 * the same instant, both may succeed, and the event may come twice: no instruction
 * without a lock prefix could tell. No other process's event is touched even then
 * (lib/lane/lane.c, T6).
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

static bool is_dead(const struct tapio_producer *handle)
{
	return !tpi_alive(&tpi_producer_now(handle)->hot);
}

static int invalid(const struct tapio_producer *handle)
{
	return is_dead(handle) ? -ECHILD : -EINVAL;
}

/* The result of a call with nothing to do. */
static int invalid_if_dead(const struct tapio_producer *handle)
{
	return is_dead(handle) ? -ECHILD : 0;
}

/* ---- reserve ----------------------------------------------------------------- */

/* `blocks` on one lane. How many, or -errno after waiting as the policy says. TPI_GONE. */
static int take_or_wait(struct tpi_producer *p, const struct tpi_size *size,
			uint32_t tag, uint32_t count, uint32_t *blocks,
			uint64_t *tickets, const struct tpi_lane **lane,
			struct tpi_full *room)
{
	int n, err, result = 0;

	for (;;) {
		n = tpi_take(p, size, count, blocks, tickets, lane, &result);
		if (n > 0 || n == TPI_GONE)
			return n;
		if (n < 0)
			return tpi_no_lane(p, size->klass, count);
		err = tpi_full_wait(p, *lane, result, tag, count, room);
		if (err)
			return err;
	}
}

static int reserve_in(struct tpi_producer *p, uint32_t tag, uint32_t length,
		      struct tapio_reservation *out, uint32_t count,
		      struct tpi_full *room)
{
	const struct tpi_lane *lane;
	const struct tpi_size *size;
	uint32_t blocks[TPI_BATCH];
	uint64_t tickets[TPI_BATCH];
	int i, n;

	size = tpi_size_of(&p->emit, tag, length, false);
	if (!size)
		return tpi_no_size(p, tag);
	n = take_or_wait(p, size, tag, count, blocks, tickets, &lane, room);
	for (i = 0; i < n; i++)
		tpi_reservation_fill(&p->emit, &out[i], lane, blocks[i],
				     tickets[i], tag, length);
	return n;
}

__attribute__((noinline, cold)) static int
reserve_slow(struct tapio_producer *handle, uint32_t tag, uint32_t length,
	     struct tapio_reservation *out, uint32_t count)
{
	struct tpi_full room = {0};
	int n;

	if (is_dead(handle))
		return -ECHILD;
	if (!TAPIO_TAG_TYPE(tag))
		return -EINVAL;
	do
		n = reserve_in(tpi_producer_current(handle), tag, length, out,
			       count, &room);
	while (n == TPI_GONE);
	return n;
}

__attribute__((cold)) int tpi_reserve_slow(const struct tpi_emit *emit,
					   uint32_t tag, uint32_t length,
					   struct tapio_reservation *out)
{
	struct tpi_producer *p = tpi_producer_of(emit);
	int n;

	out->data = NULL;
	if (!tpi_alive(&p->hot))
		return -ECHILD;
	n = reserve_slow(p->owner, tag, length, out, 1);
	return n < 0 ? n : 0;
}

int tapio_reserve(struct tapio_producer *handle, uint32_t tag, uint32_t length,
		  struct tapio_reservation *out)
{
	return tpi_emit_reserve(&tpi_producer_now(handle)->emit, tag, length,
				out);
}

int tapio_reserve_batch(struct tapio_producer *handle, uint32_t tag,
			uint32_t length, struct tapio_reservation *out,
			unsigned int count)
{
	if (!count)
		return invalid_if_dead(handle);
	out->data = NULL;
	return reserve_slow(handle, tag, length, out,
			    count < TPI_BATCH ? count : TPI_BATCH);
}

/* ---- submit ------------------------------------------------------------------- */

/* One tapio_submit on its way. */
struct submission {
	struct tpi_producer *p;
	struct tapio_reservation *r;
	const struct tpi_lane *lane;  /* of the block */
	const struct tpi_lane *other; /* copied to, or it had no room */
	uint32_t moves;
	bool alone; /* every copy of the reservation but this one is closed */
};

/*
 * Away from the block's CPU no section decides which of several copies of a
 * reservation is submitted. So the first one to get here changes the ticket.
 */
static int close_copies(struct submission *s)
{
	struct tapio_reservation *r = s->r;
	uint64_t ticket = tpi_reservation_ticket(&s->p->emit, r);
	int err;

	if (s->alone)
		return 0;
	err = tpi_lane_retake(s->lane, r->block, &ticket,
			      tpi_next_serial(s->p));
	if (err)
		return err;
	TPI_TESTPOINT("submit.retaken");
	r->ticket = TAPIO_TICKET_PLACE(ticket);
	s->alone = true;
	return 0;
}

/* It is accepted where the handle is now, by that commit. */
static int copy_away(struct submission *s)
{
	const struct tapio_item item = {
		.data = s->r->data, .length = s->r->length, .tag = s->r->tag};

	return tpi_output(s->p->owner, &item);
}

static void give_up(const struct submission *s)
{
	tpi_lane_abandon(s->lane, s->r->block,
			 tpi_reservation_ticket(&s->p->emit, s->r));
}

/*
 * A large event follows its thread: a block on this CPU's lane is reserved and
 * filled from the old one, which is abandoned. TPI_MOVED: done, the reservation
 * names the new block. Else as tpi_take.
 */
static int relocate(struct submission *s, const struct tpi_size *size)
{
	struct tapio_reservation *r = s->r;
	const struct tpi_lane *to;
	int n, result = 0;
	uint64_t ticket;
	uint32_t block;
	void *data;

	n = tpi_take(s->p, size, 1, &block, &ticket, &to, &result);
	if (n <= 0) {
		s->other = to;
		return n ? n : result;
	}
	data = tpi_lane_block(to, block);
	memcpy(data, r->data, r->length);
	/* SIGKILL here: two blocks are held, none is published. */
	TPI_TESTPOINT("relocate.filled");
	give_up(s);
	TPI_TESTPOINT("relocate.abandoned");
	r->data = data;
	r->lane = tpi_reservation_id(&s->p->emit, to);
	r->block = block;
	r->ticket = TAPIO_TICKET_PLACE(ticket);
	s->lane = to;
	s->alone = false;
	s->moves++;
	return TPI_MOVED;
}

/*
 * One attempt from wherever the thread is. 0 accepted. TPI_MOVED try again (the
 * reservation may name another block). TPI_FULL, TPI_HELD, -errno: not accepted,
 * still valid, but for -EINVAL: it was not open.
 */
static int submit_once(struct submission *s)
{
	const struct tpi_emit *emit = &s->p->emit;
	const struct tpi_size *size = &emit->classes[s->lane->klass];
	const struct tapio_reservation *r = s->r;
	uint64_t meta = tpi_meta(r->tag, r->length);
	uint64_t desc = meta | r->block;
	uint64_t ticket = tpi_reservation_ticket(emit, r);
	int err;

	err = tpi_put(s->p, s->lane, &desc, &ticket, 1);
	if (err != TPI_MOVED)
		return err;
	err = close_copies(s);
	if (err)
		return err;
	if (tpi_producer_gone(s->p)) {
		err = copy_away(s);
		if (!err)
			give_up(s);
		return err;
	}
	if (r->length > size->fast_bytes && s->moves < TPI_MOVES)
		return relocate(s, size);
	err = tpi_copy(s->p, size, meta, r->data, r->length, &s->other);
	if (err)
		return err;
	/* Accepted by the copy's commit. SIGKILL here leaves the old block to
	 * the sweep. */
	TPI_TESTPOINT("submit.copied");
	give_up(s);
	TPI_TESTPOINT("submit.abandoned");
	return 0;
}

__attribute__((noinline, cold)) static int
submit_slow(struct tpi_producer *p, struct tapio_reservation *r,
	    const struct tpi_lane *lane)
{
	struct submission s = {.p = p, .r = r, .lane = lane};
	struct tpi_full room = {0};
	int err;

	for (;;) {
		s.other = NULL;
		err = submit_once(&s);
		if (!err)
			break;
		if (err == TPI_MOVED || err == TPI_GONE)
			continue;
		if (err == -ENOBUFS && !tpi_producer_gone(p))
			return tpi_no_lane(p, lane->klass, 1);
		if (err < 0)
			return err;
		err = tpi_full_wait(p, s.other, err, r->tag, 1, &room);
		if (err && err != TPI_GONE)
			return err;
	}
	r->data = NULL;
	/* Where it was copied to, if it was. */
	tpi_ring_if_armed(&p->emit, s.other ? s.other : s.lane);
	return 0;
}

__attribute__((cold)) int tpi_submit_slow(const struct tpi_emit *emit,
					  struct tapio_reservation *r)
{
	struct tpi_producer *p = tpi_producer_of(emit);
	const struct tpi_lane *lane;

	if (!tpi_alive(&p->hot))
		return -ECHILD;
	p = tpi_producer_find(p->owner, r, &lane);
	if (!p || !tpi_reservation_fits(lane, r))
		return -EINVAL;
	return submit_slow(p, r, lane);
}

int tapio_submit(struct tapio_producer *handle, struct tapio_reservation *r)
{
	return tpi_emit_submit(&tpi_producer_now(handle)->emit, r);
}

/*
 * Reservations from the first on that name blocks of one lane, at most TPI_BATCH. Their
 * descriptors and tickets. Whether they are open, tpi_put says. `discard`: as discards.
 */
static uint32_t gather(const struct tpi_producer *p, const struct tpi_lane *l,
		       const struct tapio_reservation *r, uint32_t count,
		       bool discard, uint64_t *descs, uint64_t *tickets)
{
	const uint32_t id = r->lane;
	uint32_t n;

	for (n = 0; n < count && n < TPI_BATCH; n++, r++) {
		if (tpi_unlikely(r->lane != id || !r->data ||
				 r->block > l->mask))
			break;
		descs[n] = r->block;
		tickets[n] = tpi_reservation_ticket(&p->emit, r);
		if (discard)
			continue;
		if (tpi_unlikely(!tpi_reservation_fits(l, r)))
			break;
		descs[n] |= tpi_meta(r->tag, r->length);
	}
	return n;
}

/* How many one call deals with: its result is an int. */
static uint32_t batch_limit(unsigned int count)
{
	return count < INT_MAX ? count : INT_MAX;
}

/*
 * The rest that could not be put back at once goes one by one, each as far as
 * there is room, up to the first that is not open. How many. *err says why not
 * all.
 */
static uint32_t submit_singly(struct tpi_producer *p,
			      struct tapio_reservation *r, uint32_t count,
			      const struct tpi_lane *lane, int *err)
{
	uint32_t n;

	for (n = 0; n < count; n++) {
		*err = submit_slow(p, &r[n], lane);
		if (*err)
			break;
	}
	return n;
}

static void close_all(struct tapio_reservation *r, uint32_t count)
{
	while (count--)
		r++->data = NULL;
}

int tapio_submit_batch(struct tapio_producer *handle,
		       struct tapio_reservation *reservations,
		       unsigned int count)
{
	const uint32_t limit = batch_limit(count);
	uint64_t descs[TPI_BATCH], tickets[TPI_BATCH];
	const struct tpi_lane *lane = NULL;
	struct tpi_producer *p;
	uint32_t done = 0, n;
	int err = limit ? 0 : invalid_if_dead(handle);

	while (done < limit && !err) {
		struct tapio_reservation *r = reservations + done;

		p = tpi_producer_find(handle, r, &lane);
		n = p ? gather(p, lane, r, limit - done, false, descs, tickets)
		      : 0;
		if (!n) {
			err = invalid(handle);
			break;
		}
		err = tpi_put(p, lane, descs, tickets, n);
		if (err) {
			done += submit_singly(p, r, n, lane, &err);
			continue;
		}
		tpi_ring_if_armed(&p->emit, lane);
		close_all(r, n);
		done += n;
	}
	return done ? (int)done : err;
}

/* ---- discard ------------------------------------------------------------------ */

static int discard_one(struct tpi_producer *p, struct tapio_reservation *r,
		       const struct tpi_lane *lane)
{
	uint64_t desc = r->block;
	uint64_t ticket = tpi_reservation_ticket(&p->emit, r);
	int err = tpi_put(p, lane, &desc, &ticket, 1);

	if (err == TPI_MOVED)
		err = tpi_lane_abandon(lane, r->block, ticket);
	else if (!err)
		tpi_ring_if_armed(&p->emit, lane);
	TPI_TESTPOINT("discard.done");
	if (!err)
		r->data = NULL;
	return err;
}

static uint32_t discard_singly(struct tpi_producer *p,
			       struct tapio_reservation *r, uint32_t count,
			       const struct tpi_lane *lane, int *err)
{
	uint32_t n;

	for (n = 0; n < count; n++) {
		*err = discard_one(p, &r[n], lane);
		if (*err)
			break;
	}
	return n;
}

int tapio_discard_batch(struct tapio_producer *handle,
			struct tapio_reservation *reservations,
			unsigned int count)
{
	const uint32_t limit = batch_limit(count);
	uint64_t descs[TPI_BATCH], tickets[TPI_BATCH];
	const struct tpi_lane *lane = NULL;
	struct tpi_producer *p;
	uint32_t done = 0, n;
	int err = limit ? 0 : invalid_if_dead(handle);

	while (done < limit && !err) {
		struct tapio_reservation *r = reservations + done;

		p = tpi_producer_find(handle, r, &lane);
		n = p ? gather(p, lane, r, limit - done, true, descs, tickets)
		      : 0;
		if (!n) {
			err = invalid(handle);
			break;
		}
		err = tpi_put(p, lane, descs, tickets, n);
		if (err) {
			done += discard_singly(p, r, n, lane, &err);
			continue;
		}
		/* A discard takes a position too: consumers have to pass it
		 * before its entry is free again. */
		tpi_ring_if_armed(&p->emit, lane);
		close_all(r, n);
		done += n;
	}
	return done ? (int)done : err;
}

int tapio_discard(struct tapio_producer *handle, struct tapio_reservation *r)
{
	int n = tapio_discard_batch(handle, r, 1);

	return n < 0 ? n : 0;
}
