/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: the logs, and how a chunk of values is put by one swap.
 *
 * The values of a chunk must lie in shared memory before the swap that puts them, where
 * no other thread writes, however late it wakes up. A thread cannot own such memory: it
 * may be killed with it. So each CPU has a log, and only code that runs on that CPU
 * writes to it, inside a restartable section (lib/lane/section_x86_64.h), which the
 * kernel aborts when the thread is preempted, migrated or signalled.
 *
 *	          next - L                          next
 *	 ----------|---- free, or chunks not got ----|------
 *	            blocks of 64; marks[block] >= the end of every chunk in it
 *
 * ONE PUT OF A CHUNK at the start t (P1, P4 to P6 are those of ring.c)
 *
 *	L1  c = this CPU; look at cell t, at the room, and at next of log c
 *	L2  where a block is entered: is the head behind its mark? (else: one by one)
 *	L3  section: still on c, next as before?
 *	    values to the log; mark = the larger of mark and t + n; next + n
 *	    swap {as seen in L1} for {ref, CHUNK t}: the commit
 *
 * next moves before the swap. So what a kill, an abort or a swap that fails leaves
 * behind is a piece of log that no chunk uses: it is free again with its block.
 *
 * PROOF
 *
 *  1  Nothing but L3 writes to a log, and of all sections on c that ran, in the order
 *     in which they ran, each began where the one before had put `next`, or where that
 *     one began, if it was aborted before it moved `next`. In that case it did not
 *     come to its swap. So no two chunks in one lap of the log share a place.
 *  2  A block is entered by the section that moves `next` into it. L2 looked at its
 *     mark when `next` was what L3 found, and mark changes only in sections that
 *     enter this block or follow the one that did. So every chunk in it was counted.
 *     (A section that was aborted between mark and next has raised the mark. It put
 *     nothing.)
 *  3  So a block is written to only if the head was behind the end of each chunk in
 *     it: every value of them had been got. A consumer that loads values of such a
 *     chunk late sees others, and its swap fails, because turn or parted has moved.
 *  4  The swap is the last instruction of the section: the values are there before it,
 *     whole, and no later section changes them before they are got, by 3.
 *
 * KILLED, STOPPED, MOVED, SIGNALLED
 *
 *	after L1, L2        nothing was changed. Going on, the section notices another
 *	                    CPU or another next, and its swap another turn.
 *	inside L3, before   the chunk is not put. Values and mark may be written, for
 *	the swap            which 2 and 3 do not care, or next, which costs up to 64
 *	                    places until the log comes round. A putter that is stopped
 *	                    there is sent to the abort handler, when it goes on, and
 *	                    writes nothing late. A signal handler runs after the abort, and may put.
 *	after the swap      all of it is put, for everybody. As after P3.
 *
 * fork: a private ring is copied with a section half done, as if it was killed.
 * Another uid, or another program with the ring mapped: sections of all processes on
 * one kernel exclude each other on a CPU. Two kernels (a virtual machine that shares the
 * memory) MUST NOT share a ring.
 *
 * Where the kernel does not abort sections, on CPUs that have no log, and where the log
 * is full of what was not got, values are put one by one.
 */
#include <errno.h>
#include <stddef.h>

#include <tapio/abi.h>

#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"
#include "lib/base/rseq.h"

/* The section needs it all, in one register: they are few at -O0 and under ASan. */
struct section {
	uint64_t cpu;
	uint64_t *next;       /* of the log */
	uint64_t next_was;    /* else out */
	uint64_t next_is;     /* stored */
	const uint64_t *from; /* the values */
	uint64_t *to;
	uint64_t bytes; /* at least 32 */
	uint64_t *mark;
	uint64_t mark_is; /* stored */
	struct tpi_pair *cell;
	struct tpi_pair was; /* else out */
	struct tpi_pair is;
};
_Static_assert(offsetof(struct section, cpu) == 0, "section: cpu");
_Static_assert(offsetof(struct section, next) == 8, "section: next");
_Static_assert(offsetof(struct section, next_was) == 16, "section: next_was");
_Static_assert(offsetof(struct section, next_is) == 24, "section: next_is");
_Static_assert(offsetof(struct section, from) == 32, "section: from");
_Static_assert(offsetof(struct section, to) == 40, "section: to");
_Static_assert(offsetof(struct section, bytes) == 48, "section: bytes");
_Static_assert(offsetof(struct section, mark) == 56, "section: mark");
_Static_assert(offsetof(struct section, mark_is) == 64, "section: mark_is");
_Static_assert(offsetof(struct section, cell) == 72, "section: cell");
_Static_assert(offsetof(struct section, was) == 80, "section: was");
_Static_assert(offsetof(struct section, is) == 96, "section: is");

enum section_end {
	SECTION_DONE,
	SECTION_MOVED, /* another CPU or log: nothing was put */
	SECTION_LATE,  /* the cell is another: nothing was put */
};

#if defined(__x86_64__)
#include "lib/kit/ring_section_x86_64.h"
#elif defined(__aarch64__)
#include "lib/kit/ring_section_aarch64.h"
#endif

/* A debugger that steps through a section restarts it for ever. */
#define TRIES 3

/* A rest of a block that is less than this is left alone, unless it is enough. */
#define REST_MIN 16

void tpi_ring_choose_logs(struct tapio_ring *ring)
{
	uint32_t verdict;

	if (!ring->log_count)
		return;
	verdict = tpi_rseq_selftest(NULL);
	ring->undecided = verdict == TAPIO_RSEQ_INCONCLUSIVE;
	if (tpi_rseq_usable(verdict))
		ring->cpus = ring->log_count;
}

/* The CPUs whose logs may be used. Values that are put one by one may mix with chunks,
 * so a process may begin with them at any moment. */
static uint32_t usable_cpus(const struct tapio_ring *ring)
{
	struct tapio_ring *handle = (struct tapio_ring *)(uintptr_t)ring;

	/* Relaxed: all else was there before the handle was handed out. */
	if (tpi_unlikely(ring->undecided) && tpi_rseq_usable(tpi_rseq_known()))
		tpi_store_relaxed(&handle->cpus, ring->log_count);
	return tpi_load_relaxed(&ring->cpus);
}

/* L1 and L2 for the log: where a chunk of at most `count` goes. How many, 0: nowhere. */
static uint32_t find_place(const struct tapio_ring *ring, struct section *s,
			   uint64_t t, uint32_t count)
{
	struct tapio_shm_ring_log *log = tpi_ring_log(ring, (uint32_t)s->cpu);
	uint64_t at, head, mark;
	uint32_t rest;

	s->next = &log->next;
	/* Relaxed, both: only this CPU's code writes them, and L3 looks again. */
	s->next_was = at = tpi_load_relaxed(&log->next);
	rest = TPI_RING_BLOCK - (uint32_t)at % TPI_RING_BLOCK;
	if (rest < count && rest < REST_MIN) {
		at += rest;
		rest = TPI_RING_BLOCK;
	}
	if (count > rest)
		count = rest;
	s->mark = tpi_ring_marks(log) +
		  at / TPI_RING_BLOCK % (ring->log_values / TPI_RING_BLOCK);
	mark = tpi_load_relaxed(s->mark);
	if (at % TPI_RING_BLOCK == 0 &&
	    (tpi_ring_reached(ring, mark, &head) || (int64_t)(head - mark) < 0))
		return 0;
	s->mark_is = (int64_t)(t + count - mark) > 0 ? t + count : mark;
	s->next_is = at + count;
	s->to = tpi_ring_log_values(ring, (uint32_t)s->cpu) +
		at % ring->log_values;
	s->is.low = tpi_ring_ref(s->cpu, count, t, at % ring->log_values);
	s->is.high = tpi_ring_turn_of(t, TPI_RING_CHUNK);
	s->bytes = count * sizeof(uint64_t);
	return count;
}

int tpi_ring_put_log(const struct tapio_ring *ring, uint64_t *t,
		     const uint64_t *values, uint32_t count, uint32_t *retries)
{
	struct section s = {.from = values};
	uint32_t cpus = usable_cpus(ring);
	uint32_t tries, n;
	uint64_t room;
	int err;

	if (count > TPI_RING_BLOCK)
		count = TPI_RING_BLOCK;
	for (tries = 0; tries < TRIES; tries++) {
		/* Relaxed: its own area. Not registered: no CPU's number. */
		s.cpu = tpi_load_relaxed(&tpi_rseq_area()->cpu_id);
		if (s.cpu >= cpus)
			return 0;
		s.cell = tpi_ring_cell(ring, *t);
		s.was.high = tpi_ring_turn(s.cell);
		/* Relaxed: the swap compares it. */
		s.was.low = tpi_load_relaxed(&s.cell->low);
		err = tpi_ring_room(ring, t, s.was.high, count, &room);
		if (err < 0)
			return err;
		if (!err)
			continue;
		n = count < room ? count : (uint32_t)room;
		if (n >= TPI_RING_CHUNK_MIN)
			n = find_place(ring, &s, *t, n);
		if (n < TPI_RING_CHUNK_MIN)
			return 0;
		TPI_TESTPOINT("ring.put.L2");
		if (tpi_likely(section_put(&s) == SECTION_DONE)) {
			TPI_TESTPOINT("ring.put.L3");
			*t += n;
			return (int)n;
		}
		++*retries;
	}
	return 0;
}
