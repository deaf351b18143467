/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own counts, as metric events in the channel of findings. */
#include <string.h>

#include "tools/correlate/live_inner.h"

struct sample {
	const char *name;
	const char *unit;
	const char *rule; /* NULL: of all */
	uint64_t value;
	bool sum; /* it never falls */
};

static void emit(struct tpi_live *live, const struct sample *sample)
{
	struct tpi_sink *sink = &live->sink;
	struct tapio_event_metric *m =
		tpi_sink_begin(sink, TPI_CORRELATE_COUNT);

	if (!m)
		return;
	m->value_integer =
		sample->value > INT64_MAX ? INT64_MAX : (int64_t)sample->value;
	m->instrument =
		sample->sum ? TAPIO_METRIC_CUMULATIVE : TAPIO_METRIC_GAUGE;
	if (sample->sum) {
		m->start_ns = live->collector->start_ns;
		m->monotonic = 1;
	}
	tpi_sink_text(sink, &m->name, sample->name);
	tpi_sink_text(sink, &m->unit, sample->unit);
	tpi_sink_attribute(sink, &m->attributes, "group", live->values->group,
			   strlen(live->values->group));
	if (sample->rule)
		tpi_sink_attribute(sink, &m->attributes, "rule", sample->rule,
				   strlen(sample->rule));
	tpi_sink_end(sink);
}

static void report_rule(struct tpi_live *live, const char *rule,
			const struct tpi_corr_rule_stats *stats)
{
	const struct sample samples[] = {
		{"tapio.correlate.rule.findings", "{finding}", rule,
		 stats->findings, true},
		{"tapio.correlate.rule.unknown", "{finding}", rule,
		 stats->unknown, true},
		{"tapio.correlate.rule.evicted", "{key}", rule, stats->evicted,
		 true},
		{"tapio.correlate.rule.late", "{event}", rule, stats->late,
		 true},
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (samples[i].value)
			emit(live, &samples[i]);
}

void tpi_live_report(struct tpi_live *live)
{
	struct tpi_corr_rule_stats rule;
	struct tpi_corr_stats stats;
	struct tpi_rule_info info;

	tpi_corr_stats(live->corr, &stats);
	const struct sample samples[] = {
		{"tapio.correlate.events", "{event}", NULL, stats.events, true},
		{"tapio.correlate.candidates", "{event}", NULL,
		 stats.candidates, true},
		{"tapio.correlate.late", "{event}", NULL, stats.late, true},
		{"tapio.correlate.lost", "{event}", NULL, live->inputs.lost,
		 true},
		{"tapio.correlate.refused", "{event}", NULL, stats.refused,
		 true},
		{"tapio.correlate.keys", "{key}", NULL, stats.keys, false},
		{"tapio.correlate.bytes", "By", NULL, stats.bytes, false},
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		emit(live, &samples[i]);
	for (unsigned int i = 0;
	     tpi_rules_info(tpi_corr_rules(live->corr), i, &info); i++)
		if (tpi_corr_rule_stats(live->corr, i, &rule))
			report_rule(live, info.name, &rule);
}
