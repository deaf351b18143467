/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an event goes: the lane of the CPU that the thread is on, else its side
 * lane. Called by every slow path. Nothing here waits for room.
 *
 * A section that fails has found another CPU, another state, or was aborted. It is tried
 * again with the present CPU and state, and after TPI_TRIES failures in a row (a debugger
 * that steps through it aborts it every time) the side lane does it.
 *
 * SIGKILL between taking blocks and putting them back: they bear our attachment's
 * name, and the broker's sweep takes them. SIGSTOP there: they are held until the
 * process goes on, and others use the rest of the lane. A signal handler there emits
 * on its own, and finds less room by the blocks that we hold.
 */
#include <errno.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

/* Blocks looked at for abandoned ones, per refusal. */
#define CLAIM_LOOKS 256

/* A thread that libc could not register runs no sections at all. */
static const struct tpi_lane *lane_here(const struct tpi_producer *p,
					const struct tpi_size *size)
{
	/* Relaxed: our own thread's area, which only the kernel writes. */
	if (tpi_load_relaxed(&tpi_rseq_area()->cpu_id) >= UINT32_C(1) << 31)
		return NULL;
	return tpi_lane_here(&p->emit, size);
}

uint32_t tpi_claim(struct tpi_producer *p, const struct tpi_lane *lane,
		   uint32_t want, uint32_t *blocks, uint64_t *tickets)
{
	/* Relaxed: where to look is only a habit, and any thread's will do. */
	uint32_t at = tpi_load_relaxed(&p->claim_at);
	uint32_t n = 0;
	int block;

	if (lane->cpu == TAPIO_CPU_SIDE)
		return 0; /* blocks of a side lane are never abandoned */
	while (n < want) {
		block = tpi_lane_claim(lane, p->emit.me, tpi_next_serial(p),
				       &at, CLAIM_LOOKS, &tickets[n]);
		if (block < 0)
			break;
		blocks[n++] = (uint32_t)block;
		TPI_TESTPOINT("take.claimed");
	}
	tpi_store_relaxed(&p->claim_at, at);
	return n;
}

/*
 * As many as there are, by halves. *result says why a lane had none. With TPI_MOVED the
 * caller tries again.
 */
static uint32_t reserve_some(struct tpi_producer *p,
			     const struct tpi_lane *lane, uint32_t want,
			     uint32_t *blocks, uint64_t *tickets, int *result)
{
	for (; want; want /= 2) {
		*result = tpi_lane_reserve(lane, &p->emit.gating, p->emit.me,
					   blocks, tickets, want);
		if (!*result)
			return want;
		if (*result == TPI_MOVED)
			break;
	}
	return 0;
}

static int take_on_side(struct tpi_producer *p, const struct tpi_size *size,
			uint32_t want, uint32_t *blocks, uint64_t *tickets,
			const struct tpi_lane **lane, int *result)
{
	sigset_t signals;
	uint32_t n;
	int err;

	err = tpi_side_lane_enter(p, size->klass, &signals, lane);
	if (err)
		return err;
	if (tpi_load_relaxed(&p->left)) {
		tpi_side_lane_leave(p, &signals);
		return TPI_GONE;
	}
	do {
		n = reserve_some(p, *lane, want, blocks, tickets, result);
		/* Here it only means that groups have come or gone. */
	} while (!n && *result == TPI_MOVED);
	tpi_side_lane_leave(p, &signals);
	return (int)n;
}

int tpi_take(struct tpi_producer *p, const struct tpi_size *size, uint32_t want,
	     uint32_t *blocks, uint64_t *tickets, const struct tpi_lane **lane,
	     int *result)
{
	uint32_t n;
	int tries;

	for (tries = 0; tries < TPI_TRIES; tries++) {
		*lane = lane_here(p, size);
		if (!*lane)
			break;
		n = reserve_some(p, *lane, want, blocks, tickets, result);
		if (!n && *result != TPI_MOVED)
			n = tpi_claim(p, *lane, want, blocks, tickets);
		TPI_TESTPOINT("take.reserved");
		if (n || *result != TPI_MOVED)
			return (int)n;
	}
	return take_on_side(p, size, want, blocks, tickets, lane, result);
}

static int put_on_side(struct tpi_producer *p, const struct tpi_lane *lane,
		       const uint64_t *descs, const uint64_t *tickets,
		       uint32_t count)
{
	const struct tpi_lane *mine;
	sigset_t signals;
	int err;

	err = tpi_side_lane_enter(p, lane->klass, &signals, &mine);
	if (err)
		return -EINVAL;
	if (mine == lane)
		err = tpi_lane_publish(lane, descs, tickets, count,
				       tpi_stamp(&p->emit));
	else
		err = -EINVAL; /* never ours: no reservation of this handle */
	tpi_side_lane_leave(p, &signals);
	return err;
}

int tpi_put(struct tpi_producer *p, const struct tpi_lane *lane,
	    const uint64_t *descs, const uint64_t *tickets, uint32_t count)
{
	const struct tpi_size *size = &p->emit.classes[lane->klass];
	uint64_t time;
	int tries, err;

	if (lane->cpu == TAPIO_CPU_SIDE)
		return put_on_side(p, lane, descs, tickets, count);
	time = tpi_stamp(&p->emit);
	for (tries = 0; tries < TPI_TRIES; tries++) {
		if (lane_here(p, size) != lane)
			break;
		err = tpi_lane_publish(lane, descs, tickets, count, time);
		if (err != TPI_MOVED)
			return err;
	}
	return TPI_MOVED;
}

static int copy_on_side(struct tpi_producer *p, const struct tpi_size *size,
			uint64_t meta, const void *data, uint32_t length,
			const struct tpi_lane **lane)
{
	sigset_t signals;
	int err;

	err = tpi_side_lane_enter(p, size->klass, &signals, lane);
	if (err)
		return err;
	if (tpi_load_relaxed(&p->left)) {
		tpi_side_lane_leave(p, &signals);
		return TPI_GONE;
	}
	do {
		err = tpi_lane_output(*lane, &p->emit.gating, meta,
				      tpi_stamp(&p->emit), data, length);
	} while (err == TPI_MOVED);
	tpi_side_lane_leave(p, &signals);
	return err;
}

int tpi_copy(struct tpi_producer *p, const struct tpi_size *size, uint64_t meta,
	     const void *data, uint32_t length, const struct tpi_lane **lane)
{
	int tries, err;

	for (tries = 0; tries < TPI_TRIES; tries++) {
		*lane = lane_here(p, size);
		if (!*lane || length > size->fast_bytes)
			break;
		err = tpi_lane_output(*lane, &p->emit.gating, meta,
				      tpi_stamp(&p->emit), data, length);
		if (err != TPI_MOVED)
			return err;
	}
	return copy_on_side(p, size, meta, data, length, lane);
}
