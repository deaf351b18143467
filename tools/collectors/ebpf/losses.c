/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include <stdio.h>
#include <time.h>

#include "tools/collectors/ebpf/kinds.h"
#include "tools/collectors/ebpf/losses.h"
#include "tools/common/tool.h"

static const char *const causes[TPI_EBPF_CAUSES] = {
	[TPI_EBPF_RING_FULL] = "ring-full",
	[TPI_EBPF_NOT_RUN] = "not-run",
};

static const char *const messages[TPI_EBPF_CAUSES] = {
	[TPI_EBPF_RING_FULL] =
		"the kernel's ring was full: a larger --ring, more blocks in the "
		"channel, or a faster reader",
	[TPI_EBPF_NOT_RUN] =
		"the program ran on that CPU already, and was not run again",
};

static void note(struct tpi_ebpf_losses *losses, unsigned int kind, int cause,
		 uint64_t total)
{
	struct tpi_ebpf_loss *loss = &losses->of[kind][cause];
	const uint64_t fresh = total - loss->total;

	if (total <= loss->total)
		return;
	if (!loss->untold)
		loss->first_ns = losses->looked_ns;
	loss->untold += fresh;
	loss->total = total;
	tpi_sink_count_lost(losses->sink, kind, fresh);
}

static bool tell(struct tpi_ebpf_losses *losses, unsigned int kind, int cause,
		 uint64_t now_ns)
{
	struct tpi_ebpf_loss *loss = &losses->of[kind][cause];
	struct tapio_event_loss *l;

	if (!loss->untold)
		return true;
	l = tpi_sink_begin(losses->sink, TPI_EBPF_LOSS);
	if (!l)
		return false;
	l->count = loss->untold;
	l->total = loss->total;
	l->first_ns = loss->first_ns;
	l->last_ns = now_ns;
	tpi_sink_text(losses->sink, &l->collector, TPI_EBPF_NAME);
	tpi_sink_text(losses->sink, &l->what, tpi_ebpf_kinds[kind].name);
	tpi_sink_text(losses->sink, &l->cause, causes[cause]);
	tpi_sink_text(losses->sink, &l->message, messages[cause]);
	if (!tpi_sink_end(losses->sink))
		return false;
	loss->untold = 0;
	return true;
}

bool tpi_ebpf_losses_look(struct tpi_ebpf_losses *losses)
{
	struct tpi_ebpf_count counts[TPI_EBPF_KINDS];
	const uint64_t now_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	bool told = true;

	if (tpi_ebpf_programs_counts(losses->programs, counts))
		return false;
	for (unsigned int kind = 0; kind < TPI_EBPF_KINDS; kind++) {
		note(losses, kind, TPI_EBPF_RING_FULL, counts[kind].refused);
		note(losses, kind, TPI_EBPF_NOT_RUN,
		     tpi_ebpf_programs_missed(losses->programs, kind));
		for (int cause = 0; cause < TPI_EBPF_CAUSES; cause++)
			told &= tell(losses, kind, cause, now_ns);
	}
	losses->looked_ns = now_ns;
	return told;
}

uint64_t tpi_ebpf_losses_written(const struct tpi_ebpf_losses *losses)
{
	struct tpi_ebpf_count counts[TPI_EBPF_KINDS];
	uint64_t sum = 0;

	if (tpi_ebpf_programs_counts(losses->programs, counts))
		return 0;
	for (unsigned int kind = 0; kind < TPI_EBPF_KINDS; kind++)
		sum += counts[kind].seen - counts[kind].refused;
	return sum;
}
