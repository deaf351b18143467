/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that an event of one line takes from one CPU to another: its
 * sequence, stored last, is what the reader waits for, so that event and news of
 * it are one cache line. A floor of latencies: nothing holds a sender back,
 * which is fine as long as it sends more slowly than a reader reads, and the
 * reader notices when it was not.
 *
 * The including file has defined what else it takes to wake who sleeps:
 *
 *	line_wake(bell)              after an event was stored
 *	line_sleep(bell, line, next) while *line is not `next`. May return at any
 *	                             time
 */
#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"

struct line_ring {
	uint32_t bell; /* for the including file */
	_Alignas(64) uint64_t word[STREAM_RING_BYTES / 8];
};

struct line_end {
	struct line_ring *ring;
	uint64_t next; /* event */
};

STREAM_INLINE uint64_t *line_of(struct line_end *end, uint32_t bytes)
{
	return &end->ring->word[end->next * bytes % STREAM_RING_BYTES / 8];
}

STREAM_INLINE bool line_is_there(struct line_end *end, const uint64_t *line)
{
	/* ORDER bench.line (acquire): the rest of the line. Pairs with the
	 * release in line_send(). */
	return tpi_load_acquire(line) == end->next;
}

STREAM_INLINE int line_send(struct line_end *end, const uint64_t *event,
			    uint32_t bytes)
{
	uint64_t *line = line_of(end, bytes);

	for (uint32_t i = 1; i < bytes / 8; i++)
		line[i] = event[i];
	/* ORDER bench.line (release): the rest of the line. Pairs with the
	 * acquire in line_is_there(). */
	tpi_store_release(line, event[0]);
	end->next++;
	line_wake(&end->ring->bell);
	return 1;
}

STREAM_INLINE int line_fetch(struct line_end *end, uint32_t bytes)
{
	const uint64_t *line = line_of(end, bytes);

	if (!line_is_there(end, line))
		line_sleep(&end->ring->bell, line, end->next);
	return line_is_there(end, line);
}

#define HANDLE                struct line_end
#define SEND(h, event, bytes) line_send(h, event, bytes)
#define FETCH(h, bytes)       line_fetch(h, bytes)
#define EVENT(h, i, bytes)    ((const uint64_t *)line_of(h, bytes))
#define DONE(h, count, bytes) ((h)->next++)

#include "bench/peers/stream_loops.h"

static void *line_make(const struct stream_spec *spec)
{
	struct line_ring *ring = bench_memory(sizeof(*ring));

	if (!ring)
		return NULL;
	/* No event's: else the first one would be there before it was sent. */
	for (uint32_t i = 0; i < STREAM_RING_BYTES; i += spec->bytes)
		ring->word[i / 8] = UINT64_MAX;
	return ring;
}

static void line_unmake(void *channel)
{
	bench_memory_free(channel, sizeof(struct line_ring));
}

#define LINE_PEER(title)                                                     \
	{                                                                    \
		.name = title, .package = "", .copies = "in; read in place", \
		.across = "processes", .death = "nothing is checked",        \
		.kind = BENCH_FLOOR,                                         \
	}
#define LINE_STREAM .overwrites = true, STREAM_ENDS, STREAM_LOOPS
