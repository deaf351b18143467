/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-proc: the facts of /proc, as typed events on a channel.
 *
 * One thread: scan, emit, and sleep until the next scan is due or a process
 * ends. A scan that took longer than the interval is not made up for. The
 * channel may be full (counted, warned about once in a while) and the broker may
 * go away (with --wait we attach to the next one, and go on from what we know).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/common/collector.h"
#include "tools/collectors/proc_collect.h"

#define ALL_SOURCES ((UINT32_C(1) << TPI_PROC_SOURCES) - 1)

struct values {
	struct tpi_proc_options collect;
	uint64_t top;
	int64_t interval_ns;
	uint64_t count; /* of scans. 0: no end */
};

static int find_source(const char *name, size_t length)
{
	for (int i = 0; i < TPI_PROC_SOURCES; i++)
		if (strlen(tpi_proc_kinds[i].name) == length &&
		    !strncmp(tpi_proc_kinds[i].name, name, length))
			return i;
	return -1;
}

static bool parse_sources(void *value, const char *text, char *why,
			  size_t why_bytes)
{
	uint32_t *sources = value;

	*sources = 0;
	for (const char *at = text;; at++) {
		size_t length = strcspn(at, ",");
		int source = find_source(at, length);

		if (source < 0) {
			snprintf(why, why_bytes,
				 "not a list of start, exit, sample, pressure, "
				 "network, disk, memory: there is no '%.*s'",
				 (int)length, at);
			return false;
		}
		*sources |= UINT32_C(1) << source;
		at += length;
		if (!*at)
			return true;
	}
}

#define AT(member) .offset = offsetof(struct values, member)

static const struct tpi_setting settings[] = {
	{.help = "Which events:"},
	{"sources", "LIST",
	 "Only these, separated by commas: start, exit, sample, pressure, "
	 "network, disk, memory (default: all)",
	 'S', TPI_SETTING_OWN, AT(collect.sources), .parse = parse_sources},
	{"interval", "TIME", "Between two scans (default: 1s)", 'i',
	 TPI_SETTING_DURATION, AT(interval_ns), .min = 1000000},
	{"count", "N", "Stop after N scans", 'n', TPI_SETTING_COUNT, AT(count),
	 .min = 1},
	{"top", "N",
	 "Samples of the N processes that changed most (default: of all that "
	 "changed)",
	 0, TPI_SETTING_COUNT, AT(top), .min = 1, .max = UINT32_MAX},
	{"all", NULL, "Samples and counters also of what did not change", 0,
	 TPI_SETTING_FLAG, AT(collect.all)},
	{"no-existing", NULL,
	 "No start events for processes that are there already", 0,
	 TPI_SETTING_FLAG, AT(collect.no_existing)},
	{"proc", "PATH", "Where /proc is mounted", 0, TPI_SETTING_TEXT,
	 AT(collect.proc)},
	{"sys", "PATH", "Where /sys is mounted", 0, TPI_SETTING_TEXT,
	 AT(collect.sys)},
	{0},
};

static const char doc[] =
	"Collects from /proc, without privileges, and emits typed events: process "
	"starts and exits, CPU and memory of processes, pressure and memory of the "
	"host, network and disk counters.\v"
	"Examples:\n"
	"  tapio-collect-proc                   all of it, once a second\n"
	"  tapio-collect-proc -S start,exit --wait\n"
	"  tapio-collect-proc -i 5s --top 10    the ten busiest processes\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

struct run {
	struct tpi_collector collector;
	struct tpi_sink sink;
	struct tpi_proc *proc;
};

static const char *proc_path(const struct values *values)
{
	return values->collect.proc ? values->collect.proc : "/proc";
}

/* Until deadline_ns: tells of exits as they happen. False: the end. */
static bool wait_until(struct run *run, int64_t deadline_ns)
{
	do {
		int fd = tpi_proc_exit_fd(run->proc);

		if (tpi_collector_wait(&run->collector, fd, deadline_ns) > 0)
			tpi_proc_exits(run->proc);
		if (!tpi_collector_tend(&run->collector))
			return false;
	} while (tpi_monotonic_ns() < deadline_ns);
	return true;
}

static void loop(struct run *run, const struct values *values)
{
	int64_t next_ns = tpi_monotonic_ns();

	for (uint64_t scans = 1;; scans++) {
		int err = tpi_proc_scan(run->proc);
		int64_t now_ns = tpi_monotonic_ns();

		if (err) {
			tpi_collector_fail(&run->collector, TPI_EXIT_FAILURE,
					   "cannot read %s: %s",
					   proc_path(values), strerror(-err));
			return;
		}
		if (scans == values->count)
			return;
		next_ns = tpi_deadline_ns(next_ns, values->interval_ns);
		if (next_ns < now_ns)
			next_ns = now_ns;
		if (!wait_until(run, next_ns))
			return;
	}
}

static void collect(struct run *run, struct values *values)
{
	struct tpi_collector *c = &run->collector;
	const char *failed;
	int err;

	values->collect.top = (uint32_t)values->top;
	if (tpi_collector_sink(c, &run->sink))
		return;
	err = tpi_proc_open(&run->proc, &values->collect, &run->sink, &failed);
	if (err) {
		tpi_collector_fail(c, TPI_EXIT_FAILURE, "cannot open %s: %s",
				   failed, strerror(-err));
		return;
	}
	if (tpi_collector_attach(c)) {
		loop(run, values);
		if (c->producer)
			tpi_proc_exits(run->proc);
	}
	tpi_proc_close(run->proc);
}

int main(int argc, char **argv)
{
	static struct values values = {
		.collect = {.sources = ALL_SOURCES},
		.interval_ns = 1000000000,
	};
	static const struct tpi_collector_about about = {
		.name = "tapio-collect-proc",
		.section = "proc",
		.doc = doc,
		.settings = {settings, &values},
		.kinds = tpi_proc_kinds,
		.kind_count = TPI_PROC_SOURCES,
		.source = TAPIO_SOURCE_PROC,
	};
	static struct run run;

	if (!tpi_collector_begin(&run.collector, &about, argc, argv))
		return run.collector.status;
	collect(&run, &values);
	return tpi_collector_end(&run.collector);
}
