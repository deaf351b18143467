/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a benchmark: see harness.h. */
#include <stdio.h>
#include <string.h>

#include "bench/harness.h"

struct bench_row *bench_row(struct bench_report *report, const char *name)
{
	struct bench_row *row = &report->rows[report->row_count++];

	row->name = name;
	return row;
}

/* The median of the ratios of the turns: what was noisy was so for both. */
static double ratio(const struct bench_row *row, unsigned int repeats)
{
	double ratios[BENCH_REPEATS_MAX];

	for (unsigned int i = 0; i < repeats; i++)
		ratios[i] = row->ns[i] / row->floor_ns[i];
	return bench_median(ratios, repeats);
}

static double least(const double *values, unsigned int count)
{
	double least = values[0];

	for (unsigned int i = 1; i < count; i++)
		if (values[i] < least)
			least = values[i];
	return least;
}

static void print_table(const struct bench_options *o,
			const struct bench_report *report)
{
	printf("bench-%s: CPUs %d and %d, %u turns of %llu events; "
	       "memory: %llu KiB, %llu of them on huge pages; "
	       "a cache line one way: %.0f ns before, %.0f after\n\n",
	       o->name, o->cpu[0], o->cpu[1], o->repeats,
	       (unsigned long long)o->events,
	       (unsigned long long)report->bytes / 1024,
	       (unsigned long long)report->huge_bytes / 1024,
	       report->pingpong_ns[0], report->pingpong_ns[1]);
	printf("%-28s %10s %10s %10s %8s\n", "ns per event", "median", "best",
	       "floor", "ratio");
	for (unsigned int i = 0; i < report->row_count; i++) {
		const struct bench_row *row = &report->rows[i];

		printf("%-28s %10.2f %10.2f", row->name,
		       bench_median(row->ns, o->repeats),
		       least(row->ns, o->repeats));
		if (row->has_floor)
			printf(" %10.2f %8.2f",
			       bench_median(row->floor_ns, o->repeats),
			       ratio(row, o->repeats));
		putchar('\n');
	}
}

static void print_turns(const char *key, const double *turns,
			unsigned int count)
{
	printf(",\"%s\":[", key);
	for (unsigned int i = 0; i < count; i++)
		printf("%s%.3f", i ? "," : "", turns[i]);
	putchar(']');
}

static void print_row(const struct bench_options *o,
		      const struct bench_row *row)
{
	printf("{\"name\":\"%s\",\"unit\":\"ns\",\"median\":%.3f,"
	       "\"best\":%.3f",
	       row->name, bench_median(row->ns, o->repeats),
	       least(row->ns, o->repeats));
	if (row->has_floor)
		printf(",\"floor\":%.3f,\"ratio\":%.3f",
		       bench_median(row->floor_ns, o->repeats),
		       ratio(row, o->repeats));
	print_turns("turns", row->ns, o->repeats);
	if (row->has_floor)
		print_turns("floor_turns", row->floor_ns, o->repeats);
	putchar('}');
}

static void print_json(const struct bench_options *o,
		       const struct bench_report *report)
{
	printf("{\"bench\":\"%s\",\"cpus\":[%d,%d],\"repeats\":%u,"
	       "\"events\":%llu,\"bytes\":%llu,\"huge_bytes\":%llu,"
	       "\"pingpong_ns\":{\"before\":%.1f,\"after\":%.1f},"
	       "\"rows\":[",
	       o->name, o->cpu[0], o->cpu[1], o->repeats,
	       (unsigned long long)o->events, (unsigned long long)report->bytes,
	       (unsigned long long)report->huge_bytes, report->pingpong_ns[0],
	       report->pingpong_ns[1]);
	for (unsigned int i = 0; i < report->row_count; i++) {
		if (i)
			putchar(',');
		print_row(o, &report->rows[i]);
	}
	printf("]}\n");
}

void bench_print(const struct bench_options *options,
		 const struct bench_report *report)
{
	if (options->json)
		print_json(options, report);
	else
		print_table(options, report);
}
