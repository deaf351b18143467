/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane in plain memory, with group slots, for tests of the lane alone.
 *
 * The same test bodies run in both flavours (tests/cpu_lanes.h): on the lane of a CPU
 * that the test pins itself to, and on a side lane, whose mutex lane_enter() and
 * lane_leave() stand for.
 */
#ifndef TAPIO_TESTS_LANE_FIXTURE_H
#define TAPIO_TESTS_LANE_FIXTURE_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/lane/lane.h"
#include "tests/cpu_lanes.h"
#include "tests/check_main.h"

struct lane_fixture {
	struct tpi_lane lane;
	struct tpi_gating gating;
	uint64_t generation;
	uint64_t active;
	struct tapio_shm_group groups[TAPIO_GROUP_SLOTS];
	struct tapio_shm_cursor cursors[TAPIO_GROUP_SLOTS];
	pthread_mutex_t mutex; /* side flavour */
	unsigned char *memory;
	size_t memory_bytes;
	uint64_t *mine; /* by block: the ticket of its last reservation */
};

static inline void *lane_fixture_take(unsigned char **at, size_t bytes)
{
	void *p = *at;

	*at += (bytes + 63) & ~(size_t)63;
	return p;
}

/* N blocks of `bytes`. The lane is born at `tail` (N of a fresh one). */
static inline void lane_fixture_init(struct lane_fixture *f, uint32_t blocks,
				     uint32_t bytes, uint64_t tail)
{
	unsigned char *at;
	uint64_t i;

	memset(f, 0, sizeof(*f));
	f->mine = calloc(blocks, sizeof(*f->mine));
	ck_assert_ptr_nonnull(f->mine);
	pthread_mutex_init(&f->mutex, NULL);
	f->memory_bytes = 4096 + (size_t)blocks * (bytes + 256);
	/* Shared, for tests that fork. */
	f->memory = mmap(NULL, f->memory_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(f->memory, MAP_FAILED);
	at = f->memory;
	f->lane.shm = lane_fixture_take(&at, sizeof(*f->lane.shm));
	f->lane.desc = lane_fixture_take(&at, blocks * sizeof(uint64_t));
	f->lane.tickets = lane_fixture_take(&at, blocks * sizeof(uint64_t));
	f->lane.time = lane_fixture_take(&at, blocks * sizeof(uint64_t));
	f->lane.blocks = lane_fixture_take(&at, (size_t)blocks * bytes);
	f->lane.mask = blocks - 1;
	f->lane.serials = tpi_place_serials(blocks - 1);
	f->lane.block_bytes = bytes;
	f->lane.cpu = TAPIO_CPU_SIDE;
	if (require_cpu_lanes()) {
		cpu_set_t set;

		f->lane.cpu = (uint32_t)sched_getcpu();
		CPU_ZERO(&set);
		CPU_SET(f->lane.cpu, &set);
		ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	}
	for (i = 0; i < blocks; i++)
		f->lane.desc[(tail - blocks + i) & f->lane.mask] = i;
	f->lane.shm->state = TAPIO_STATE(tail, 0);
	f->lane.shm->gate = tail & TAPIO_POSITION_MASK;
	f->generation = 1;
	f->gating.generation = &f->generation;
	f->gating.active = &f->active;
	f->gating.groups = f->groups;
	for (i = 0; i < TAPIO_GROUP_SLOTS; i++)
		f->gating.cursors[i] = &f->cursors[i];
}

static inline void lane_fixture_fini(struct lane_fixture *f)
{
	munmap(f->memory, f->memory_bytes);
	free(f->mine);
	pthread_mutex_destroy(&f->mutex);
}

/* A group in `slot` that has its head at the lane's tail. */
static inline void lane_fixture_join(struct lane_fixture *f, int slot,
				     uint32_t policy, uint32_t lag)
{
	f->cursors[slot].cells[0].head =
		TAPIO_HEAD(TAPIO_STATE_TAIL(f->lane.shm->state), 1, 0);
	f->groups[slot].slot = TAPIO_SLOT(TAPIO_SLOT_ACTIVE, policy, 1, lag);
	f->active |= UINT64_C(1) << slot;
	f->generation++;
}

/* Moves the group's head. A release store, as a consumer's. */
static inline void lane_fixture_release(struct lane_fixture *f, int slot,
					uint64_t position)
{
	tpi_store_release(&f->cursors[slot].cells[0].head,
			  TAPIO_HEAD(position & TAPIO_POSITION_MASK, 1, 0));
}

static inline void lane_enter(struct lane_fixture *f, sigset_t *before)
{
	sigset_t all;

	if (f->lane.cpu != TAPIO_CPU_SIDE)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	pthread_mutex_lock(&f->mutex);
}

static inline void lane_leave(struct lane_fixture *f, const sigset_t *before)
{
	if (f->lane.cpu != TAPIO_CPU_SIDE)
		return;
	pthread_mutex_unlock(&f->mutex);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The operations until they were not aborted. */
static inline int lane_output(struct lane_fixture *f, uint32_t type,
			      const void *data, uint32_t length)
{
	sigset_t before;
	int err;

	lane_enter(f, &before);
	do {
		err = tpi_lane_output(&f->lane, &f->gating,
				      TAPIO_DESC_META(type, 3, length),
				      TPI_STAMP_TSC, data, length);
	} while (err == TPI_MOVED);
	lane_leave(f, &before);
	return err;
}

static inline int lane_reserve(struct lane_fixture *f, uint32_t me,
			       uint32_t *blocks, uint32_t count)
{
	uint64_t tickets[TPI_SECTION_BLOCKS];
	sigset_t before;
	uint32_t i;
	int err;

	lane_enter(f, &before);
	do {
		err = tpi_lane_reserve(&f->lane, &f->gating, me, blocks,
				       tickets, count);
	} while (err == TPI_MOVED);
	lane_leave(f, &before);
	for (i = 0; !err && i < count; i++)
		f->mine[blocks[i]] = tickets[i];
	return err;
}

/* By those tickets; lane_publish() by those that the last reserve gave. */
static inline int lane_publish_by(struct lane_fixture *f, uint32_t type,
				  uint32_t length, const uint32_t *blocks,
				  const uint64_t *tickets, uint32_t count)
{
	uint64_t descs[TPI_SECTION_BLOCKS];
	sigset_t before;
	uint32_t i;
	int err;

	for (i = 0; i < count && i < TPI_SECTION_BLOCKS; i++)
		descs[i] = TAPIO_DESC_META(type, 3, length) | blocks[i];
	lane_enter(f, &before);
	do {
		err = tpi_lane_publish(&f->lane, descs, tickets, count,
				       TPI_STAMP_TSC);
	} while (err == TPI_MOVED);
	lane_leave(f, &before);
	return err;
}

static inline int lane_publish(struct lane_fixture *f, uint32_t type,
			       uint32_t length, const uint32_t *blocks,
			       uint32_t count)
{
	uint64_t tickets[TPI_SECTION_BLOCKS];
	uint32_t i;

	for (i = 0; i < count && i < TPI_SECTION_BLOCKS; i++)
		tickets[i] = f->mine[blocks[i]];
	return lane_publish_by(f, type, length, blocks, tickets, count);
}

static inline uint64_t lane_tail(const struct lane_fixture *f)
{
	return TAPIO_STATE_TAIL(tpi_lane_peek(&f->lane));
}

static inline uint32_t lane_held(const struct lane_fixture *f)
{
	return TAPIO_STATE_HELD(tpi_lane_peek(&f->lane));
}

/* Each block is in the ring exactly once, or out of it. */
static inline void lane_check_blocks(const struct lane_fixture *f)
{
	uint32_t count = f->lane.mask + 1, block, seen = 0;
	unsigned char *in = calloc(count, 1);
	uint64_t state = tpi_lane_peek(&f->lane), p;

	ck_assert(tpi_lane_state_sane(&f->lane, state));
	for (p = tpi_lane_reap(&f->lane, state); p != TAPIO_STATE_TAIL(state);
	     p = (p + 1) & TAPIO_POSITION_MASK) {
		block = TAPIO_DESC_BLOCK(f->lane.desc[p & f->lane.mask]);
		ck_assert_uint_lt(block, count);
		ck_assert_msg(!in[block], "block %u lies twice in the ring",
			      block);
		in[block] = 1;
		seen++;
		ck_assert_msg(!TAPIO_TICKET_OWNER(f->lane.tickets[block]) ||
				      tpi_lane_in_ring(
					      &f->lane, state, block,
					      TAPIO_TICKET_PLACE(
						      f->lane.tickets[block])),
			      "the ticket of block %u says that it is out",
			      block);
	}
	ck_assert_uint_eq(seen + TAPIO_STATE_HELD(state), count);
	free(in);
}

#endif
