/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector's own health: its ledger as sums that never fall, one metric event for each
 * count that is not 0. The sums of a kind add up: read = emitted + refused.
 */
#include <string.h>

#include "tools/collectors/common/collector.h"

struct sample {
	const char *name;
	const char *kind;
	const char *cause; /* NULL: none */
	uint64_t value;
};

static void emit(struct tpi_collector *c, const struct sample *sample)
{
	struct tpi_sink *sink = &c->health;
	struct tapio_event_metric *m =
		tpi_sink_begin(sink, c->about->kind_count);
	const char *cause = sample->cause;

	if (!m)
		return;
	m->value_integer =
		sample->value > INT64_MAX ? INT64_MAX : (int64_t)sample->value;
	m->start_ns = c->start_ns;
	m->instrument = TAPIO_METRIC_CUMULATIVE;
	m->monotonic = 1;
	tpi_sink_text(sink, &m->name, sample->name);
	tpi_sink_text(sink, &m->unit, "{event}");
	tpi_sink_attribute(sink, &m->attributes, "collector", c->about->section,
			   strlen(c->about->section));
	tpi_sink_attribute(sink, &m->attributes, "kind", sample->kind,
			   strlen(sample->kind));
	if (cause)
		tpi_sink_attribute(sink, &m->attributes, "cause", cause,
				   strlen(cause));
	tpi_sink_end(sink);
}

static void report_kind(struct tpi_collector *c, const char *kind,
			const struct tpi_count *count)
{
	const struct sample samples[] = {
		{"tapio.collector.read", kind, NULL, count->read},
		{"tapio.collector.emitted", kind, NULL, count->emitted},
		{"tapio.collector.lost", kind, NULL, count->lost},
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (samples[i].value)
			emit(c, &samples[i]);
	for (int r = 0; r < TPI_REFUSALS; r++) {
		const struct sample refused = {"tapio.collector.refused", kind,
					       tpi_refusal_names[r],
					       count->refused[r]};
		if (refused.value)
			emit(c, &refused);
	}
}

void tpi_collector_report(struct tpi_collector *c)
{
	struct tpi_count counts[TPI_KINDS_MAX + 1];
	const unsigned int kinds = c->about->kind_count;

	tpi_collector_counts(c, counts);
	for (unsigned int i = 0; i < kinds; i++)
		report_kind(c, c->about->kinds[i].name, &counts[i]);
	report_kind(c, "health", &counts[kinds]);
	c->health_told = true;
}
