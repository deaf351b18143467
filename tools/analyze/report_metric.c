/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as events of type metric: one for each figure of each key. Its time is the end of
 * the window, start_ns its begin. A figure that may not be whole says so in the attribute
 * `incomplete`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "lib/event/event_out.h"
#include "tools/analyze/report.h"
#include "tools/common/tool.h"

/* How long the channel may take to have room. */
#define ROOM_NS  INT64_C(1000000000)
#define PAUSE_NS INT64_C(1000000)
#define BYTES    4096u

struct metric {
	struct an_reporter *r;
	const struct an_result *result;
	const char *key;
	uint32_t key_length;
	bool is_other;
	bool is_self; /* it is about the analysis, and of no key */
	uint8_t severity;
};

struct figure {
	const char *name;
	const char *unit;
	uint8_t instrument;
	bool is_integer;
	int64_t integer;
	double number;
	/* One more attribute. NULL: none. */
	const char *attribute;
	const char *value;
	uint32_t value_length;
};

static int output(struct an_reporter *r, uint32_t tag, const void *data,
		  uint32_t length)
{
	const int64_t end_ns = tpi_monotonic_ns() + ROOM_NS;
	int err;

	do {
		err = tapio_output(r->producer, tag, data, length);
	} while (err == -EAGAIN && tpi_monotonic_ns() < end_ns &&
		 tpi_sleep_until(tpi_monotonic_ns() + PAUSE_NS));
	return err;
}

static void attribute(struct tapio_event_builder *b,
		      struct tapio_event_metric *metric, const char *key,
		      const char *value, size_t length)
{
	tapio_event_builder_attribute_max(b, &metric->attributes, key,
					  strlen(key), value, length);
}

static void add_key(struct tapio_event_builder *b, const struct metric *m)
{
	const struct an_spec *spec = m->r->o.spec;
	const char *key = m->key;
	uint32_t length = m->key_length;

	if (m->is_other)
		attribute(b, b->fields, "keys", "other", 5);
	for (uint32_t i = 0; !m->is_other && !m->is_self && i < spec->by_count;
	     i++) {
		struct an_value value;
		const uint32_t taken = an_value_decode(key, length, &value);

		if (value.form != '-')
			attribute(b, b->fields, spec->by[i].name, value.bytes,
				  value.length);
		key += taken;
		length -= taken;
	}
}

static void add_notes(struct tapio_event_builder *b,
		      const struct an_result *result)
{
	char text[80] = "";

	for (uint32_t i = 0; i < AN_NOTES; i++)
		if (result->notes >> i & 1) {
			strcat(text, *text ? " " : "");
			strcat(text, an_note_name(i));
		}
	if (*text)
		attribute(b, b->fields, "incomplete", text, strlen(text));
}

static void emit(const struct metric *m, const struct figure *f)
{
	static TAPIO_EVENT_ALIGNED char buffer[BYTES];
	const uint32_t max = tapio_producer_max_bytes(m->r->producer);
	struct tapio_event_builder b;
	struct tapio_event_metric *metric;
	int length;

	if (tapio_event_builder_init(&b, buffer, max < BYTES ? max : BYTES,
				     TAPIO_EVENT_METRIC)) {
		m->r->refused++;
		return;
	}
	b.event->severity = m->severity;
	b.event->source = TAPIO_SOURCE_APPLICATION;
	b.event->time_ns = (uint64_t)m->result->end_ns;
	metric = b.fields;
	metric->instrument = f->instrument;
	metric->start_ns =
		m->is_self ? m->r->began_ns : (uint64_t)m->result->start_ns;
	metric->monotonic = f->instrument != TAPIO_METRIC_GAUGE;
	metric->value_integer = f->is_integer ? f->integer : INT64_MIN;
	metric->value = f->number;
	tapio_event_builder_string_max(&b, &metric->name, f->name,
				       strlen(f->name), 64);
	tapio_event_builder_string_max(&b, &metric->unit, f->unit,
				       strlen(f->unit), 16);
	add_key(&b, m);
	if (f->attribute)
		attribute(&b, metric, f->attribute, f->value, f->value_length);
	if (!m->is_self)
		add_notes(&b, m->result);
	length = tapio_event_builder_finish(&b);
	if (length < 0 ||
	    output(m->r, TAPIO_EVENT_TAG(b.event), buffer, (uint32_t)length))
		m->r->refused++;
}

static void emit_integer(const struct metric *m, const char *name,
			 const char *unit, uint8_t instrument, uint64_t value)
{
	const struct figure f = {.name = name,
				 .unit = unit,
				 .instrument = instrument,
				 .is_integer = true,
				 .integer = (int64_t)value,
				 .number = __builtin_nan("")};

	emit(m, &f);
}

static void emit_number(const struct metric *m, const char *name,
			const char *unit, double value)
{
	const struct figure f = {.name = name,
				 .unit = unit,
				 .instrument = TAPIO_METRIC_GAUGE,
				 .number = value};

	emit(m, &f);
}

static const char *unit_of(const struct an_spec *spec)
{
	return tpi_field_is_ns(&spec->value) ? "ns" : "";
}

static void emit_measures(const struct metric *m, const struct an_cell *cell)
{
	const struct an_report_options *o = &m->r->o;
	char text[32];

	if (!cell->valued)
		return;
	emit_number(m, "tapio.analyze.mean", unit_of(o->spec),
		    (double)cell->sum / AN_FRACTION / (double)cell->valued);
	for (uint32_t i = 0; i < o->quantile_count; i++) {
		struct figure f = {.name = "tapio.analyze.quantile",
				   .unit = unit_of(o->spec),
				   .instrument = TAPIO_METRIC_GAUGE,
				   .is_integer = true,
				   .number = __builtin_nan(""),
				   .attribute = "quantile",
				   .value = text};
		uint64_t value;

		if (!an_quantile_of(cell, o->quantiles[i], &value))
			continue;
		f.integer = (int64_t)value;
		f.value_length = (uint32_t)snprintf(text, sizeof(text), "%.6g",
						    o->quantiles[i]);
		emit(m, &f);
	}
}

static void emit_top(const struct metric *m, const struct an_cell *cell)
{
	const struct an_counter *top[AN_COUNTERS_MAX];
	const uint32_t count = an_heavy_top(&cell->top, top, m->r->o.top);

	for (uint32_t i = 0; i < count && !(cell->cut & AN_CUT_TOP); i++) {
		struct an_value value;
		struct figure f = {.name = "tapio.analyze.top",
				   .unit = "{event}",
				   .instrument = TAPIO_METRIC_DELTA,
				   .is_integer = true,
				   .number = __builtin_nan(""),
				   .integer = (int64_t)top[i]->count,
				   .attribute = m->r->o.spec->top.name};

		an_value_decode(top[i]->bytes, top[i]->length, &value);
		f.value = value.bytes;
		f.value_length = value.length;
		emit(m, &f);
	}
}

static void emit_cell(const struct metric *m, const struct an_cell *cell)
{
	const struct an_spec *spec = m->r->o.spec;

	emit_integer(m, "tapio.analyze.count", "{event}", TAPIO_METRIC_DELTA,
		     cell->count);
	emit_number(m, "tapio.analyze.rate", "{event}/s",
		    (double)cell->count * 1e9 / (double)spec->window_ns);
	if (spec->has_value)
		emit_measures(m, cell);
	if (spec->has_distinct && !(cell->cut & AN_CUT_DISTINCT))
		emit_number(m, "tapio.analyze.distinct", "",
			    an_distinct_estimate(&cell->distinct));
	if (spec->has_top)
		emit_top(m, cell);
}

/* The health of the analysis itself: sums since it began, of what is not as it should be. */
static void emit_health(const struct metric *m)
{
	const struct an_totals *t = an_merger_totals(m->r->merger);
	const struct {
		const char *kind;
		uint64_t value;
	} sums[] = {
		{"events", t->events},      {"lost", t->lost},
		{"late", t->late},          {"future", t->future},
		{"untimed", t->untimed},    {"again", t->again},
		{"refused", m->r->refused},
	};

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		const struct figure f = {
			.name = "tapio.analyze.health",
			.unit = "{event}",
			.instrument = TAPIO_METRIC_CUMULATIVE,
			.is_integer = true,
			.integer = (int64_t)sums[i].value,
			.number = __builtin_nan(""),
			.attribute = "kind",
			.value = sums[i].kind,
			.value_length = (uint32_t)strlen(sums[i].kind)};

		if (sums[i].value)
			emit(m, &f);
	}
}

void an_report_metrics(struct an_reporter *r, const struct an_result *result)
{
	const struct an_entry **order = an_report_order(result, false);
	struct metric m = {
		.r = r, .result = result, .severity = TAPIO_SEVERITY_INFO};

	for (uint32_t i = 0; order && i < result->table->used; i++) {
		m.key = an_table_key(result->table, order[i]);
		m.key_length = order[i]->key_length;
		emit_cell(&m, &order[i]->cell);
	}
	m.is_other = true;
	if (result->table->has_other)
		emit_cell(&m, &result->table->other);
	m.is_other = false;
	m.is_self = true;
	emit_health(&m);
	free(order);
}

void an_report_metric_change(struct an_reporter *r,
			     const struct an_result *result,
			     const struct an_change *change)
{
	const struct metric m = {.r = r,
				 .result = result,
				 .key = change->key,
				 .key_length = change->key_length,
				 .severity = TAPIO_SEVERITY_WARNING};
	const char *on = an_figure_name(r->o.change.figure);
	const struct figure f = {.name = "tapio.analyze.change",
				 .unit = "",
				 .instrument = TAPIO_METRIC_GAUGE,
				 .number = change->score,
				 .attribute = "on",
				 .value = on,
				 .value_length = (uint32_t)strlen(on)};

	emit(&m, &f);
}
