/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling in place: reserve, submit, discard, singly and in batches.
 *
 * A reservation is a block out of its lane's ring under our attachment's name.
 * What a kill, a stop or a move does to it:
 *
 *   reserved, being filled   SIGKILL: the broker's sweep puts it back. SIGSTOP: it
 *                            is held, the rest of the lane works on. A move to
 *                            another CPU is noticed by submit.
 *   submit at home           one section; accepted by its commit
 *   submit elsewhere         copy into a lane of this CPU (accepted by that
 *                            commit), then abandon the old block. SIGKILL between
 *                            the two: the sweep finds the old block; the event
 *                            exists once.
 *   discard elsewhere        abandon: whoever needs a block there, or the sweep,
 *                            takes it
 *
 * A signal handler may reserve, submit and emit at any of these points.
 */
#include <errno.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

static int invalid(const struct tapio_producer *p)
{
	return tpi_alive(&p->hot.hot) ? -EINVAL : -ECHILD;
}

/* ---- reserve ----------------------------------------------------------------- */

/* `blocks` on one lane; how many, or -errno after waiting as the policy says. */
static int take_or_wait(struct tapio_producer *p, const struct tpi_size *size,
			uint32_t tag, uint32_t count, uint32_t *blocks,
			const struct tpi_lane **lane)
{
	struct tpi_full room = {0};
	int n, err, result = 0;

	for (;;) {
		n = tpi_take(p, size, count, blocks, lane, &result);
		if (n > 0)
			return n;
		if (n < 0)
			return tpi_no_lane(p, size->klass, count);
		err = tpi_full_wait(p, *lane, result, tag, count, &room);
		if (err)
			return err;
	}
}

__attribute__((noinline, cold)) static int
reserve_slow(struct tapio_producer *p, uint32_t tag, uint32_t length,
	     struct tapio_reservation *out, uint32_t count)
{
	const struct tpi_lane *lane;
	const struct tpi_size *size;
	uint32_t blocks[TPI_BATCH];
	int i, n;

	if (!tpi_alive(&p->hot.hot))
		return -ECHILD;
	if (!TAPIO_TAG_TYPE(tag))
		return -EINVAL;
	size = tpi_size_of(&p->hot.emit, tag, length, false);
	if (!size)
		return tpi_no_size(p, tag);
	n = take_or_wait(p, size, tag, count, blocks, &lane);
	for (i = 0; i < n; i++)
		tpi_reservation_fill(&out[i], lane, blocks[i], tag, length);
	return n;
}

__attribute__((cold)) int tpi_reserve_slow(const struct tpi_emit *emit,
					   uint32_t tag, uint32_t length,
					   struct tapio_reservation *out)
{
	int n;

	out->data = NULL;
	n = reserve_slow(tpi_producer_of(emit), tag, length, out, 1);
	return n < 0 ? n : 0;
}

int tapio_reserve(struct tapio_producer *p, uint32_t tag, uint32_t length,
		  struct tapio_reservation *out)
{
	return tpi_emit_reserve(&p->hot.emit, tag, length, out);
}

int tapio_reserve_batch(struct tapio_producer *p, uint32_t tag, uint32_t length,
			struct tapio_reservation *out, unsigned int count)
{
	if (!count)
		return tpi_alive(&p->hot.hot) ? 0 : -ECHILD;
	out->data = NULL;
	return reserve_slow(p, tag, length, out,
			    count < TPI_BATCH ? count : TPI_BATCH);
}

/* ---- submit ------------------------------------------------------------------- */

/*
 * A large event follows its thread: a block on this CPU's lane is reserved and
 * filled from the old one, which is abandoned. TPI_MOVED: done, the reservation
 * names the new block. Else as tpi_take.
 */
static int relocate(struct tapio_producer *p, const struct tpi_size *size,
		    struct tapio_reservation *r, const struct tpi_lane **lane,
		    const struct tpi_lane **full)
{
	const struct tpi_lane *to;
	uint32_t block;
	int n, result = 0;
	void *data;

	n = tpi_take(p, size, 1, &block, &to, &result);
	if (n <= 0) {
		*full = to;
		return n ? n : result;
	}
	data = tpi_lane_block(to, block);
	memcpy(data, r->data, r->length);
	/* SIGKILL here: two blocks are held, none is published. */
	TPI_TESTPOINT("relocate.filled");
	tpi_lane_abandon(*lane, r->block);
	TPI_TESTPOINT("relocate.abandoned");
	r->data = data;
	r->lane = to->id;
	r->block = block;
	r->moves++;
	*lane = to;
	return TPI_MOVED;
}

/*
 * One attempt from wherever the thread is. 0 accepted; TPI_MOVED try again (the
 * reservation may name another block); TPI_FULL, TPI_HELD, -errno: not accepted,
 * still valid.
 */
static int submit_once(struct tapio_producer *p, struct tapio_reservation *r,
		       const struct tpi_lane **lane,
		       const struct tpi_lane **full)
{
	const struct tpi_size *size = &p->hot.emit.classes[(*lane)->klass];
	uint64_t desc = tpi_meta(r->tag, r->length) | r->block;
	int err;

	err = tpi_put(p, *lane, &desc, 1);
	if (err != TPI_MOVED)
		return err;
	if (r->length > size->fast_bytes && r->moves < TPI_MOVES)
		return relocate(p, size, r, lane, full);
	err = tpi_copy(p, size, tpi_meta(r->tag, r->length), r->data, r->length,
		       full);
	if (err)
		return err;
	/* Accepted by the copy's commit; SIGKILL here leaves the old block to
	 * the sweep. */
	TPI_TESTPOINT("submit.copied");
	tpi_lane_abandon(*lane, r->block);
	TPI_TESTPOINT("submit.abandoned");
	return 0;
}

__attribute__((noinline, cold)) static int
submit_slow(struct tapio_producer *p, struct tapio_reservation *r,
	    const struct tpi_lane *lane)
{
	const struct tpi_lane *full;
	struct tpi_full room = {0};
	int err;

	for (;;) {
		full = NULL;
		err = submit_once(p, r, &lane, &full);
		if (!err)
			break;
		if (err == -ENOBUFS)
			return tpi_no_lane(p, lane->klass, 1);
		if (err < 0)
			return err;
		if (err == TPI_MOVED)
			continue;
		err = tpi_full_wait(p, full, err, r->tag, 1, &room);
		if (err)
			return err;
	}
	r->data = NULL;
	/* Where it was copied to, if it was. */
	tpi_ring_if_armed(&p->hot.emit, full ? full : lane);
	return 0;
}

__attribute__((cold)) int tpi_submit_slow(const struct tpi_emit *emit,
					  struct tapio_reservation *r)
{
	const struct tpi_lane *lane = tpi_reservation_lane(emit, r);
	struct tapio_producer *p = tpi_producer_of(emit);

	if (!lane || !tpi_reservation_fits(lane, r))
		return invalid(p);
	return submit_slow(p, r, lane);
}

int tapio_submit(struct tapio_producer *p, struct tapio_reservation *r)
{
	return tpi_emit_submit(&p->hot.emit, r);
}

/*
 * Reservations from the first on that lie on one lane and are open, at most
 * TPI_BATCH; their descriptors. `discard`: as discards.
 */
static uint32_t gather(const struct tapio_producer *p,
		       const struct tapio_reservation *r, uint32_t count,
		       bool discard, const struct tpi_lane **lane,
		       uint64_t *descs)
{
	const uint32_t id = r->lane, me = p->hot.emit.me;
	const struct tpi_lane *l = tpi_reservation_lane(&p->hot.emit, r);
	uint32_t n;

	if (!l)
		return 0;
	*lane = l;
	for (n = 0; n < count && n < TPI_BATCH; n++, r++) {
		if (tpi_unlikely(r->lane != id || !r->data ||
				 !tpi_reservation_open(l, r, me)))
			break;
		descs[n] = r->block;
		if (discard)
			continue;
		if (tpi_unlikely(!tpi_reservation_fits(l, r)))
			break;
		descs[n] |= tpi_meta(r->tag, r->length);
	}
	return n;
}

int tapio_submit_batch(struct tapio_producer *p,
		       struct tapio_reservation *reservations,
		       unsigned int count)
{
	const struct tpi_lane *lane = NULL;
	uint64_t descs[TPI_BATCH];
	uint32_t done = 0, n;
	int err = 0;

	while (done < count && !err) {
		struct tapio_reservation *r = reservations + done;

		n = gather(p, r, count - done, false, &lane, descs);
		if (!n) {
			err = invalid(p);
			break;
		}
		err = tpi_put(p, lane, descs, n);
		if (!err) {
			tpi_ring_if_armed(&p->hot.emit, lane);
			for (done += n; n; n--)
				r++->data = NULL;
		} else if (err == TPI_MOVED) {
			/* One by one, each as far as there is room. */
			err = submit_slow(p, r, lane);
			done += !err;
		}
	}
	return done ? (int)done : err;
}

/* ---- discard ------------------------------------------------------------------ */

int tapio_discard_batch(struct tapio_producer *p,
			struct tapio_reservation *reservations,
			unsigned int count)
{
	const struct tpi_lane *lane = NULL;
	uint64_t descs[TPI_BATCH];
	uint32_t done = 0, n, i;
	int err;

	while (done < count) {
		struct tapio_reservation *r = reservations + done;

		n = gather(p, r, count - done, true, &lane, descs);
		if (!n)
			return done ? (int)done : invalid(p);
		err = tpi_put(p, lane, descs, n);
		if (err && err != TPI_MOVED)
			return done ? (int)done : err;
		for (i = 0; i < n; i++) {
			if (err)
				tpi_lane_abandon(lane, r[i].block);
			TPI_TESTPOINT("discard.done");
			r[i].data = NULL;
		}
		/* A discard takes a position too: consumers have to pass it
		 * before its slot is free again. */
		if (!err)
			tpi_ring_if_armed(&p->hot.emit, lane);
		done += n;
	}
	return (int)done;
}

int tapio_discard(struct tapio_producer *p, struct tapio_reservation *r)
{
	int n = tapio_discard_batch(p, r, 1);

	return n < 0 ? n : 0;
}
