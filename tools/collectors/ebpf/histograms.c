/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "tools/collectors/ebpf/event.h"
#include "tools/collectors/ebpf/histograms.h"
#include "tools/collectors/ebpf/kinds.h"

int tpi_ebpf_histograms_make(struct tpi_ebpf_histograms *h,
			     const struct tpi_ebpf_programs *programs,
			     struct tpi_sink *sink)
{
	const size_t cpus = (size_t)programs->cpus;

	*h = (struct tpi_ebpf_histograms){
		.programs = programs,
		.sink = sink,
		.cpus = calloc(cpus, sizeof(*h->cpus)),
		.now = calloc(cpus, sizeof(*h->now)),
		.known = calloc(TPI_EBPF_DISKS_MAX, sizeof(*h->known)),
	};
	return h->cpus && h->now && h->known ? 0 : -ENOMEM;
}

void tpi_ebpf_histograms_free(struct tpi_ebpf_histograms *h)
{
	free(h->cpus);
	free(h->now);
	free(h->known);
}

static uint64_t total(const struct tpi_ebpf_histogram *h)
{
	uint64_t sum = 0;

	for (int i = 0; i < TPI_EBPF_SLOTS; i++)
		sum += h->slots[i];
	return sum;
}

/* ---- one event ---------------------------------------------------------------------- */

static void put_slots(struct tpi_sink *sink, struct tapio_event_latency *l,
		      const struct tpi_ebpf_histogram *now,
		      const struct tpi_ebpf_histogram *before)
{
	for (int i = 0; i < TPI_EBPF_SLOTS; i++) {
		const uint64_t count = now->slots[i] - before->slots[i];
		char bound[24] = "inf", value[24];
		int length;

		if (!count)
			continue;
		if (i < TPI_EBPF_SLOTS - 1)
			snprintf(bound, sizeof(bound), "%" PRIu64,
				 (UINT64_C(1) << i) * 1000);
		length = snprintf(value, sizeof(value), "%" PRIu64, count);
		tpi_sink_attribute(sink, &l->histogram, bound, value,
				   (size_t)length);
	}
}

/* NULL: nothing is new, or it was refused already. */
static struct tapio_event_latency *
begin(struct tpi_ebpf_histograms *h, const struct tpi_ebpf_histogram *now,
      const struct tpi_ebpf_histogram *before, uint64_t interval_ns)
{
	const uint64_t count = total(now) - total(before);
	struct tapio_event_latency *l;

	if (!count)
		return NULL;
	l = tpi_sink_begin(h->sink, TPI_EBPF_LATENCY);
	if (!l)
		return NULL;
	l->interval_ns = interval_ns;
	l->count = count;
	l->sum_ns = now->sum_ns - before->sum_ns;
	/* The kernel keeps the longest since the beginning: known if it is a new one. */
	if (now->max_ns > before->max_ns)
		l->max_ns = now->max_ns;
	return l;
}

static void end(struct tpi_ebpf_histograms *h,
		const struct tpi_ebpf_histogram *now,
		struct tpi_ebpf_histogram *before)
{
	if (tpi_sink_end(h->sink))
		*before = *now;
}

/* ---- run queues ---------------------------------------------------------------------- */

static void emit_run_queues(struct tpi_ebpf_histograms *h, uint64_t interval_ns)
{
	const uint32_t zero = 0;
	const int map = tpi_ebpf_programs_map(h->programs, "run_queue");

	if (map < 0 || bpf_map_lookup_elem(map, &zero, h->now))
		return;
	for (int cpu = 0; cpu < h->programs->cpus; cpu++) {
		struct tapio_event_latency *l =
			begin(h, &h->now[cpu], &h->cpus[cpu], interval_ns);

		if (!l)
			continue;
		l->subject = TAPIO_LATENCY_RUN_QUEUE;
		l->cpu = (uint32_t)cpu;
		put_slots(h->sink, l, &h->now[cpu], &h->cpus[cpu]);
		end(h, &h->now[cpu], &h->cpus[cpu]);
	}
}

/* ---- disks ---------------------------------------------------------------------------- */

static void add(struct tpi_ebpf_histogram *sum,
		const struct tpi_ebpf_histogram *h)
{
	for (int i = 0; i < TPI_EBPF_SLOTS; i++)
		sum->slots[i] += h->slots[i];
	sum->sum_ns += h->sum_ns;
	if (h->max_ns > sum->max_ns)
		sum->max_ns = h->max_ns;
}

static struct tpi_ebpf_known *known_of(struct tpi_ebpf_histograms *h,
				       const struct tpi_ebpf_disk *disk)
{
	struct tpi_ebpf_known *known;

	for (unsigned int i = 0; i < h->known_count; i++)
		if (!memcmp(&h->known[i].disk, disk, sizeof(*disk)))
			return &h->known[i];
	if (h->known_count == TPI_EBPF_DISKS_MAX)
		return NULL;
	known = &h->known[h->known_count++];
	known->disk = *disk;
	return known;
}

static void put_disk(struct tpi_ebpf_histograms *h,
		     struct tapio_event_latency *l,
		     const struct tpi_ebpf_disk *disk)
{
	static const char *const operations[] = {
		[TAPIO_BLOCK_READ] = "read",
		[TAPIO_BLOCK_WRITE] = "write",
		[TAPIO_BLOCK_FLUSH] = "flush",
		[TAPIO_BLOCK_DISCARD] = "discard",
		[TAPIO_BLOCK_OTHER] = "other",
	};
	char text[64];

	snprintf(text, sizeof(text), "%s %s",
		 tpi_disk_name(&h->disks, disk->major, disk->minor),
		 operations[tpi_ebpf_block_operation(disk->operation)]);
	tpi_sink_text(h->sink, &l->device, text);
}

static void emit_disk(struct tpi_ebpf_histograms *h, int map,
		      const struct tpi_ebpf_disk *disk, uint64_t interval_ns)
{
	struct tpi_ebpf_known *known = known_of(h, disk);
	struct tpi_ebpf_histogram sum = {0};
	struct tapio_event_latency *l;

	if (!known || bpf_map_lookup_elem(map, disk, h->now))
		return;
	for (int cpu = 0; cpu < h->programs->cpus; cpu++)
		add(&sum, &h->now[cpu]);
	l = begin(h, &sum, &known->before, interval_ns);
	if (!l)
		return;
	l->subject = TAPIO_LATENCY_BLOCK_IO;
	put_disk(h, l, disk);
	put_slots(h->sink, l, &sum, &known->before);
	end(h, &sum, &known->before);
}

static void emit_disks(struct tpi_ebpf_histograms *h, uint64_t interval_ns)
{
	const int map = tpi_ebpf_programs_map(h->programs, "block_histograms");
	struct tpi_ebpf_disk disk, next;
	bool more = map >= 0 && !bpf_map_get_next_key(map, NULL, &disk);

	/* The map only grows, so a walk ends. */
	for (int i = 0; more && i < TPI_EBPF_DISKS_MAX; i++) {
		emit_disk(h, map, &disk, interval_ns);
		more = !bpf_map_get_next_key(map, &disk, &next);
		disk = next;
	}
}

void tpi_ebpf_histograms_emit(struct tpi_ebpf_histograms *h, int64_t now_ns)
{
	const uint64_t interval_ns =
		h->emitted_ns ? (uint64_t)(now_ns - h->emitted_ns) : UINT64_MAX;

	if (tpi_ebpf_programs_have(h->programs, TPI_EBPF_SOURCE_RUN_QUEUE))
		emit_run_queues(h, interval_ns);
	if (tpi_ebpf_programs_have(h->programs, TPI_EBPF_SOURCE_BLOCK))
		emit_disks(h, interval_ns);
	h->emitted_ns = now_ns;
}
