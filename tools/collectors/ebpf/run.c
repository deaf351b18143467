/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/collectors/ebpf/kinds.h"
#include "tools/collectors/ebpf/run.h"
#include "tools/common/tool.h"

/* While existing processes find no room. */
#define EXISTING_NS INT64_C(20000000)
#define LOOK_NS     1000000

int tpi_ebpf_run_load(struct tpi_ebpf_run *run,
		      const struct tpi_ebpf_values *values)
{
	run->values = values;
	if (!run->end_ns)
		run->end_ns = TPI_EBPF_END_NS;
	return tpi_ebpf_programs_load(&run->programs, values);
}

int tpi_ebpf_run_sinks(const struct tpi_ebpf_run *run)
{
	return run->programs.cpus + 1;
}

static struct tpi_sink *own_sink(const struct tpi_ebpf_run *run)
{
	return &run->sinks[run->programs.cpus];
}

/* ---- begin ------------------------------------------------------------------------ */

static int make_rings(struct tpi_ebpf_run *run)
{
	const struct tpi_ebpf_programs *programs = &run->programs;
	int err = tpi_drains_make(&run->drains, programs->cpus,
				  run->values->ring_bytes, run->sinks);

	for (int cpu = 0; !err && cpu < programs->cpus; cpu++)
		for (int ring = 0; !err && ring < TPI_EBPF_RINGS; ring++)
			err = tpi_ebpf_programs_ring(
				programs, cpu, ring,
				run->drains.each[cpu].rings[ring].fd);
	return err;
}

static int make_parts(struct tpi_ebpf_run *run)
{
	int err = tpi_ebpf_histograms_make(&run->histograms, &run->programs,
					   own_sink(run));

	run->losses.programs = &run->programs;
	run->losses.sink = own_sink(run);
	if (!err)
		err = make_rings(run);
	return err ? err : tpi_drains_start(&run->drains);
}

int tpi_ebpf_run_begin(struct tpi_ebpf_run *run, struct tpi_sink *sinks,
		       struct tapio_producer *producer)
{
	int err;

	run->sinks = sinks;
	run->began = true;
	err = make_parts(run);
	if (err)
		return err;
	tpi_ebpf_run_go_on(run, producer);
	err = tpi_ebpf_programs_attach(&run->programs);
	if (err) {
		tpi_say("no program could be attached");
		return err;
	}
	tpi_ebpf_losses_look(&run->losses); /* the time of the first look */
	run->more = true;
	run->due_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), run->values->interval_ns);
	return tpi_ebpf_existing_begin(&run->existing, &run->programs,
				       own_sink(run));
}

/* ---- step ------------------------------------------------------------------------- */

static void report(struct tpi_ebpf_run *run, int64_t now_ns)
{
	tpi_ebpf_histograms_emit(&run->histograms, now_ns);
	tpi_ebpf_losses_look(&run->losses);
}

int64_t tpi_ebpf_run_step(struct tpi_ebpf_run *run,
			  struct tapio_producer *producer)
{
	int64_t now_ns = tpi_monotonic_ns();

	if (run->holds)
		return now_ns + EXISTING_NS;
	if (run->more)
		run->more = tpi_ebpf_existing_step(&run->existing, producer);
	if (now_ns >= run->due_ns) {
		report(run, now_ns);
		run->due_ns = tpi_deadline_ns(now_ns, run->values->interval_ns);
	}
	return run->more ? now_ns + EXISTING_NS : run->due_ns;
}

void tpi_ebpf_run_hold(struct tpi_ebpf_run *run)
{
	if (!run->began || run->holds)
		return;
	tpi_drains_hold(&run->drains);
	run->holds = true;
}

void tpi_ebpf_run_go_on(struct tpi_ebpf_run *run,
			struct tapio_producer *producer)
{
	int klass = own_sink(run)->urgent_class;

	/* Where it has the usual name, nobody has to say it. */
	if (klass < 0)
		klass = tapio_producer_class(producer, "critical");
	tpi_drains_run(&run->drains, producer, klass < 0 ? -1 : klass);
	run->holds = false;
}

/* ---- end -------------------------------------------------------------------------- */

static uint64_t read_so_far(const struct tpi_ebpf_run *run)
{
	struct tpi_count counts[TPI_KINDS_MAX + 1];
	uint64_t sum = 0;

	memset(counts, 0, sizeof(counts));
	for (int cpu = 0; cpu < run->programs.cpus; cpu++)
		tpi_sink_sum(&run->sinks[cpu], counts);
	for (int kind = 0; kind < TPI_EBPF_KINDS; kind++)
		sum += counts[kind].read;
	return sum;
}

static void pause_briefly(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};

	nanosleep(&pause, NULL);
}

/* All is done when as many records were read as were written. */
static void empty_rings(struct tpi_ebpf_run *run, int64_t end_ns)
{
	while (read_so_far(run) < tpi_ebpf_losses_written(&run->losses) &&
	       tpi_monotonic_ns() < end_ns)
		pause_briefly();
}

static void tell_losses(struct tpi_ebpf_run *run, int64_t end_ns)
{
	while (!tpi_ebpf_losses_look(&run->losses) &&
	       tpi_monotonic_ns() < end_ns)
		pause_briefly();
}

void tpi_ebpf_run_end(struct tpi_ebpf_run *run, struct tapio_producer *producer)
{
	const int64_t end_ns = tpi_deadline_ns(tpi_monotonic_ns(), run->end_ns);

	if (!run->programs.skeleton)
		return;
	tpi_ebpf_programs_detach(&run->programs);
	if (run->began) {
		if (producer && !run->holds)
			empty_rings(run, end_ns);
		tpi_drains_end(&run->drains);
		if (producer) {
			tpi_ebpf_histograms_emit(&run->histograms,
						 tpi_monotonic_ns());
			tell_losses(run, end_ns);
		}
		tpi_ebpf_existing_end(&run->existing);
		tpi_ebpf_histograms_free(&run->histograms);
	}
	tpi_ebpf_programs_close(&run->programs);
}

uint64_t tpi_ebpf_run_waits(const struct tpi_ebpf_run *run)
{
	uint64_t sum = 0;

	for (int cpu = 0; cpu < run->drains.count; cpu++)
		for (int i = 0; i < TPI_REFUSALS; i++)
			sum += tpi_load_relaxed(
				&run->drains.each[cpu].tries[i]);
	return sum;
}
