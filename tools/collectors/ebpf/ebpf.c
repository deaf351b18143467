/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-ebpf: the doings of the kernel, as they happen, as typed events on a channel.
 *
 * The main thread looks after the broker, histograms, losses and health. A thread for each
 * CPU moves events (drain.h). Programs are loaded before the broker is looked for, so that
 * a mistake here is told at once, and attached after it was found, so that no ring
 * fills while nothing can be emitted.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "tools/collectors/common/collector.h"
#include "tools/collectors/ebpf/kinds.h"
#include "tools/collectors/ebpf/run.h"

static const char doc[] =
	"Collects from the kernel by eBPF, and emits typed events: exec, fork and exit "
	"of processes, TCP connections, victims of memory shortage, slow requests to "
	"disks, and where asked for opens of files, DNS, and how long tasks waited for "
	"a CPU. It takes CAP_BPF and CAP_PERFMON, and CAP_NET_ADMIN for DNS, or "
	"root.\v"
	"Examples:\n"
	"  tapio-collect-ebpf                   processes, TCP, memory, disks\n"
	"  tapio-collect-ebpf -S process --wait\n"
	"  tapio-collect-ebpf --open-prefix=/etc/ --open-prefix=/root/\n"
	"  tapio-collect-ebpf --check           what this kernel and user can do\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure (no rights, for example), 2 usage, 3 "
	"no broker, 4 no such channel or no right to it, 5 the broker has gone "
	"(without --wait).";

static struct state {
	struct tpi_ebpf_values values; /* first: quiesce() gets it */
	struct tpi_ebpf_run run;
	struct tpi_collector collector;
	struct tpi_sink *sinks;
} state;

static int probe(void *values)
{
	struct tpi_ebpf_run run = {0};
	char list[160] = "";
	size_t used = 0;

	if (tpi_ebpf_run_load(&run, values))
		return TPI_EXIT_FAILURE;
	for (int i = 0; i < TPI_EBPF_SOURCES; i++)
		if (tpi_ebpf_programs_have(&run.programs, i))
			used += (size_t)snprintf(
				list + used, sizeof(list) - used, "%s%s",
				used ? ", " : "", tpi_ebpf_source_names[i]);
	tpi_say("this kernel can tell of: %s", list);
	tpi_ebpf_programs_close(&run.programs);
	return TPI_EXIT_OK;
}

static void quiesce(void *values, bool stop)
{
	struct state *s = values;

	if (stop)
		tpi_ebpf_run_hold(&s->run);
	else
		tpi_ebpf_run_go_on(&s->run, s->collector.producer);
}

static const struct tpi_collector_about about = {
	.name = "tapio-collect-ebpf",
	.section = TPI_EBPF_NAME,
	.doc = doc,
	.settings = {tpi_ebpf_rows, &state.values},
	.check = tpi_ebpf_check,
	.probe = probe,
	.kinds = tpi_ebpf_kinds,
	.kind_count = TPI_EBPF_ALL_KINDS,
	.source = TAPIO_SOURCE_EBPF,
	.quiesce = quiesce,
};

static bool make_sinks(struct state *s)
{
	const int count = tpi_ebpf_run_sinks(&s->run);

	s->sinks = calloc((size_t)count, sizeof(*s->sinks));
	if (!s->sinks)
		return tpi_collector_fail(&s->collector, TPI_EXIT_FAILURE,
					  "out of memory");
	for (int i = 0; i < count; i++)
		if (tpi_collector_sink(&s->collector, &s->sinks[i]))
			return false;
	return true;
}

static bool begin(struct state *s)
{
	struct tpi_collector *c = &s->collector;

	if (tpi_ebpf_run_load(&s->run, &s->values)) {
		c->status = TPI_EXIT_FAILURE; /* told already */
		return false;
	}
	if (!make_sinks(s) || !tpi_collector_attach(c))
		return false;
	if (!tpi_ebpf_run_begin(&s->run, s->sinks, c->producer))
		return true;
	c->status = TPI_EXIT_FAILURE; /* told already */
	return false;
}

/* Events that are accepted while the broker is away may get lost: the kernel's rings keep them. */
static void follow_broker(struct state *s)
{
	struct tpi_collector *c = &s->collector;

	if (tpi_collector_away(c))
		tpi_ebpf_run_hold(&s->run);
	else if (s->run.holds)
		tpi_ebpf_run_go_on(&s->run, c->producer);
}

static void collect(struct state *s)
{
	struct tpi_collector *c = &s->collector;

	while (tpi_collector_tend(c)) {
		int64_t next_ns;

		follow_broker(s);
		next_ns = tpi_ebpf_run_step(&s->run, c->producer);
		tpi_collector_wait(c, -1, next_ns);
	}
}

static int end(struct state *s)
{
	struct tpi_collector *c = &s->collector;
	const uint64_t waits = tpi_ebpf_run_waits(&s->run);
	int status;

	tpi_ebpf_run_end(&s->run, c->producer);
	if (waits && !c->values.quiet)
		tpi_say("lanes had no room %" PRIu64
			" times: records waited in the kernel's rings",
			waits);
	status = tpi_collector_end(c);
	tpi_drains_free(&s->run.drains);
	free(s->sinks);
	return status;
}

int main(int argc, char **argv)
{
	state.values = tpi_ebpf_defaults;
	if (!tpi_collector_begin(&state.collector, &about, argc, argv))
		return state.collector.status;
	if (begin(&state))
		collect(&state);
	return end(&state);
}
