/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate of the same two CPUs with the same events and as much memory,
 * without any of Tapio's promises: one producer stores each event into the next
 * block and publishes it by a release store of the tail, one consumer reads
 * them and, a batch at a time, stores the head. A crash would leave it wedged,
 * a second producer would corrupt it. It is what tapio-load's own rate is
 * compared with, so both loops make and touch events in the same way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "lib/memory/segment.h"
#include "tools/load/event.h"
#include "tools/load/run.h"

/* In front of the blocks. Each side writes to a line of its own. */
struct pipe_words {
	uint64_t tail __attribute__((aligned(128)));
	uint64_t head __attribute__((aligned(128)));
	uint64_t sum __attribute__((aligned(128)));
	uint32_t go __attribute__((aligned(128)));
	uint32_t stop;
} __attribute__((aligned(4096)));

/* Set before the forks, read by the children. */
static struct pipe_words *words;
static unsigned char *blocks;

static void wait_for_go(void)
{
	const struct timespec t = {.tv_nsec = 100000};

	while (!tpi_load_relaxed(&words->go))
		nanosleep(&t, NULL);
}

/* Is there a free block? Looks at the head only when it seems full. */
static bool has_room(uint64_t tail, uint64_t *head, uint64_t count)
{
	if (tpi_likely(tail - *head < count))
		return true;
	/* ORDER baseline.head (acquire): the consumer has read the block. Pairs
	 * with its release. */
	*head = tpi_load_acquire(&words->head);
	return tail - *head < count;
}

static int store_and_publish(struct load_run *run, uint32_t index)
{
	const struct load_options *o = &run->options;
	uint64_t count = o->blocks, tail = 0, head = 0;
	struct load_event *event = calloc(1, o->size_max);

	load_pin(run, index);
	wait_for_go();
	if (!event)
		return 1;
	event->length = o->size_max;
	while (!tpi_load_relaxed(&words->stop)) {
		if (!has_room(tail, &head, count)) {
			tpi_cpu_relax();
			continue;
		}
		event->id = tail;
		memcpy(blocks + (tail & (count - 1)) * o->block_bytes, event,
		       o->size_max);
		/* ORDER baseline.tail (release): the event is stored. Pairs with
		 * the consumer's acquire. */
		tpi_store_release(&words->tail, ++tail);
	}
	return 0;
}

static int read_all(struct load_run *run, uint32_t index)
{
	const struct load_options *o = &run->options;
	uint64_t mask = o->blocks - 1, head = 0, tail, sum = 0;

	load_pin(run, index);
	wait_for_go();
	while (!tpi_load_relaxed(&words->stop)) {
		/* ORDER baseline.tail (acquire): the blocks before it are
		 * stored. Pairs with the producer's release. */
		tail = tpi_load_acquire(&words->tail);
		if (tail == head) {
			tpi_cpu_relax();
			continue;
		}
		if (tail - head > o->poll)
			tail = head + o->poll;
		for (; head < tail; head++) {
			const struct load_event *event =
				(void *)(blocks +
					 (head & mask) * o->block_bytes);

			sum += event->id;
		}
		/* ORDER baseline.head (release): read, so free. Pairs with the
		 * producer's acquire. */
		tpi_store_release(&words->head, head);
	}
	words->sum = sum;
	return 0;
}

/* Memory as the channel's lanes have it: the same size, the same kind of pages. */
static int make_memory(const struct load_run *run, struct tpi_segment *segment,
		       char *why, size_t why_bytes)
{
	struct tpi_segment_request request = {
		.name = "tapio-load-baseline",
		.bytes = sizeof(*words) + (uint64_t)run->options.blocks *
						  run->options.block_bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	const struct tpi_catalog *catalog = &run->inspect->catalog;

	for (uint32_t i = 0; i < catalog->segment_count; i++)
		if (catalog->segments[i].kind == TAPIO_SEGMENT_CHANNEL &&
		    catalog->segments[i].channel == run->channel &&
		    catalog->segments[i].rung < TAPIO_RUNG_PAGES)
			request.first_rung = catalog->segments[i].rung;
	return tpi_segment_create(segment, &request, why, why_bytes);
}

static double run_pair(struct load_run *run, int64_t duration_ns)
{
	pid_t producer = load_fork(run, store_and_publish, 0);
	pid_t consumer = load_fork(run, read_all, 1);
	int64_t started, took;
	uint64_t read = 0;

	if (producer > 0 && consumer > 0) {
		started = tpi_monotonic_ns();
		tpi_store_relaxed(&words->go, 1);
		tpi_sleep_until(started + duration_ns);
		read = tpi_load_acquire(&words->head);
		took = tpi_monotonic_ns() - started;
	}
	tpi_store_relaxed(&words->stop, 1);
	tpi_store_relaxed(&words->go, 1);
	if (producer > 0)
		waitpid(producer, NULL, 0);
	if (consumer > 0)
		waitpid(consumer, NULL, 0);
	if (!read) {
		load_fail(run, "the baseline gave no result");
		return 0;
	}
	return (double)read * 1e9 / (double)took;
}

double load_baseline(struct load_run *run, int64_t duration_ns)
{
	struct tpi_segment segment = {0};
	char why[256] = "";
	double rate;
	int err;

	err = make_memory(run, &segment, why, sizeof(why));
	if (err) {
		load_fail(run, "no memory for the baseline: %s", why);
		return 0;
	}
	words = (void *)segment.map.base;
	blocks = segment.map.base + sizeof(*words);
	rate = run_pair(run, duration_ns);
	tpi_segment_destroy(&segment);
	return rate;
}
