/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's BPF ring buffer: a BPF program sends, by bpf_ringbuf_output, and a
 * process reads what it has mapped of the ring.
 *
 * User space cannot send into such a ring, so each producer has a program
 * (bpf_sender.h) that sends many events in a loop: a stream pays for the system
 * call that runs it as good as nothing, and costs what programs in the kernel
 * see. Where events are sent one by one at a pace, each pays for it.
 *
 * The ring is read by its documented layout (a page with the consumer's position,
 * one with the producer's, the data twice in a row): a library's reader gives each
 * record back before the next one is read, and here many are given back at once,
 * which is cheaper.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/peers/bpf_sender.h"
#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"

/* A sleeper looks by itself now and then. */
#define SLEEP_MS 100

struct bpf_channel {
	int ring;
	struct stream_spec spec;
};

/* An end. A producer can take records out, too. */
struct bpf_end {
	uint64_t *consumer_pos;
	const uint64_t *producer_pos;
	const unsigned char *data;
	uint64_t head;
	uint64_t tail; /* as last seen */
	int ring;
	bool sleeping;
	struct bpf_sender sender; /* of a producer */
};

/* ---- both ends ----------------------------------------------------------- */

STREAM_INLINE uint32_t record_bytes(uint32_t bytes)
{
	return (bytes + BPF_RINGBUF_HDR_SZ + 7) & ~UINT32_C(7);
}

STREAM_INLINE const unsigned char *record(const struct bpf_end *end,
					  uint64_t pos)
{
	return end->data + (pos & (STREAM_RING_BYTES - 1));
}

/* 1: the record at pos is there. 0: not yet. */
STREAM_INLINE int record_ready(const struct bpf_end *end, uint64_t pos,
			       uint32_t bytes)
{
	/* The kernel stores a record's length last, with its BUSY bit off: with
	 * this acquire the record is there. */
	uint32_t length = tpi_load_acquire((const uint32_t *)record(end, pos));

	if (length & BPF_RINGBUF_BUSY_BIT)
		return 0;
	if (length == bytes)
		return 1;
	bench_why("a record of %#x bytes where %u were sent", length, bytes);
	return -1;
}

/* Sees which records are there. False when there is none. */
STREAM_INLINE bool look(struct bpf_end *end)
{
	if (end->head == end->tail)
		/* The kernel's release of the position comes after it has marked
		 * the record BUSY. */
		end->tail = tpi_load_acquire(end->producer_pos);
	return end->head != end->tail;
}

static void sleep_for_records(struct bpf_end *end)
{
	struct pollfd fd = {.fd = end->ring, .events = POLLIN};

	poll(&fd, 1, SLEEP_MS);
}

STREAM_INLINE int bpf_fetch(struct bpf_end *end, uint32_t bytes)
{
	int n = 0;

	if (!look(end)) {
		if (!end->sleeping)
			return 0;
		sleep_for_records(end);
		if (!look(end))
			return 0;
	}
	for (uint64_t pos = end->head; pos != end->tail && n < STREAM_BATCH;
	     pos += record_bytes(bytes), n++) {
		int ready = record_ready(end, pos, bytes);

		if (ready < 0)
			return ready;
		if (!ready)
			break;
	}
	return n;
}

STREAM_INLINE const uint64_t *bpf_event(const struct bpf_end *end, int i,
					uint32_t bytes)
{
	uint64_t pos = end->head + (uint32_t)i * record_bytes(bytes);

	return (const uint64_t *)(record(end, pos) + BPF_RINGBUF_HDR_SZ);
}

STREAM_INLINE void bpf_done(struct bpf_end *end, int count, uint32_t bytes)
{
	end->head += (uint32_t)count * record_bytes(bytes);
	/* The records were read. The kernel loads it with an acquire. */
	tpi_store_release(end->consumer_pos, end->head);
}

/* Of one event, with whatever it holds. */
static int bpf_send_one(struct bpf_end *end, const uint64_t *event,
			uint32_t bytes)
{
	memcpy(end->sender.send->word, event, bytes);
	return bpf_sender_run(&end->sender, *event, 1);
}

#define HANDLE                struct bpf_end
#define SEND(h, event, bytes) bpf_send_one(h, event, bytes)
#define FETCH(h, bytes)       bpf_fetch(h, bytes)
#define EVENT(h, i, bytes)    bpf_event(h, i, bytes)
#define DONE(h, count, bytes) bpf_done(h, count, bytes)

#define STREAM_OWN_SEND

#include "bench/peers/stream_loops.h"

/*
 * Without a reader, all that is there is dropped. Producers that do that at
 * once may undo each other's, which is seen by the next that finds no room. The
 * kernel leaves alone the records that are still being written.
 */
static void drop_all(struct bpf_end *end)
{
	/* Relaxed: nothing is read. */
	end->head = tpi_load_relaxed(end->producer_pos);
	tpi_store_relaxed(end->consumer_pos, end->head);
}

/* The loop over the events is the program's. */
static int send(void *handle, const struct stream_spec *spec, uint64_t from,
		uint64_t to)
{
	struct bpf_end *end = handle;

	while (from < to) {
		int sent = bpf_sender_run(&end->sender, from, to - from);

		if (sent < 0)
			return -1;
		if (!sent && spec->consumers)
			stream_idle(spec);
		else if (!sent)
			drop_all(end);
		from += (uint32_t)sent;
	}
	return 0;
}

/* ---- making and opening -------------------------------------------------- */

static void *make(const struct stream_spec *spec)
{
	struct bpf_channel *channel = malloc(sizeof(*channel));

	if (!channel) {
		bench_why("no memory");
		return NULL;
	}
	*channel = (struct bpf_channel){
		.ring = bpf_ring_make(STREAM_RING_BYTES),
		.spec = *spec,
	};
	if (channel->ring >= 0)
		return channel;
	free(channel);
	return NULL;
}

static void unmake(void *channel)
{
	struct bpf_channel *c = channel;

	close(c->ring);
	free(c);
}

static void close_end(void *handle)
{
	struct bpf_end *end = handle;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (end->consumer_pos)
		munmap(end->consumer_pos, page);
	if (end->producer_pos)
		munmap((void *)(uintptr_t)end->producer_pos,
		       page + 2 * STREAM_RING_BYTES);
	bpf_sender_close(&end->sender);
	free(end);
}

static void *map(int ring, size_t bytes, int prot, size_t offset)
{
	void *memory = mmap(NULL, bytes, prot, MAP_SHARED | MAP_POPULATE, ring,
			    (off_t)offset);

	if (memory != MAP_FAILED)
		return memory;
	bench_why("a BPF ring buffer cannot be mapped: %s", strerror(errno));
	return NULL;
}

static int map_ring(struct bpf_end *end)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	end->consumer_pos = map(end->ring, page, PROT_READ | PROT_WRITE, 0);
	if (!end->consumer_pos)
		return -1;
	end->producer_pos =
		map(end->ring, page + 2 * STREAM_RING_BYTES, PROT_READ, page);
	if (!end->producer_pos)
		return -1;
	end->data = (const unsigned char *)end->producer_pos + page;
	/* Relaxed: nothing is taken out before this end is open. */
	end->head = end->tail = tpi_load_relaxed(end->consumer_pos);
	return 0;
}

static int open_end(void *channel, void **handle)
{
	const struct bpf_channel *c = channel;
	struct bpf_end *end = malloc(sizeof(*end));

	*handle = NULL;
	if (!end) {
		bench_why("no memory");
		return -1;
	}
	*end = (struct bpf_end){
		.ring = c->ring,
		.sleeping = c->spec.sleeping,
		.sender = BPF_SENDER_NONE,
	};
	if (map_ring(end)) {
		close_end(end);
		return -1;
	}
	*handle = end;
	return 0;
}

static int open_producer(void *channel, void **handle)
{
	const struct bpf_channel *c = channel;
	struct bpf_end *end;

	if (open_end(channel, handle))
		return -1;
	end = *handle;
	/* A reader that looks all the time needs no call. */
	if (!bpf_sender_open(&end->sender, c->ring, c->spec.bytes,
			     c->spec.sleeping))
		return 0;
	close_end(end);
	*handle = NULL;
	return -1;
}

/* Whether all of it can be had here. */
static int start(void)
{
	const struct stream_spec spec = {.bytes = 64};
	struct bpf_channel *channel = make(&spec);
	void *end = NULL;
	int err;

	if (!channel)
		return -EPERM;
	err = open_producer(channel, &end);
	if (!err)
		close_end(end);
	unmake(channel);
	return err ? -EPERM : 0;
}

const struct stream_peer stream_bpf = {
	.peer =
		{
			.name = "BPF ring buffer",
			.package = "",
			.copies = "in; read in place",
			.across = "kernel to process",
			.death =
				"a reader: stops nobody; BPF programs do not die",
			.kind = BENCH_PEER,
			.start = start,
		},
	.make = make,
	.unmake = unmake,
	.open_producer = open_producer,
	.open_consumer = open_end,
	.close = close_end,
	.send = send,
	.send_paced = loop_send_paced,
	.receive = loop_receive,
	.receive_timed = loop_receive_timed,
};
