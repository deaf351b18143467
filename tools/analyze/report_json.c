/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as JSON Lines: for each window one object of kind "window", then one of kind
 * "key" for each key, in the order of keys, and one of kind "other" if there is any.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/event/event_out.h"
#include "tools/analyze/report.h"

struct row {
	const struct an_result *result;
	const struct an_entry *entry; /* NULL: other */
	const struct an_cell *cell;
};

struct found {
	const struct an_result *result;
	const struct an_change *change;
};

static void name(struct tpi_out *out, const char *text)
{
	tpi_out_text(out, ",\"");
	tpi_out_text(out, text);
	tpi_out_text(out, "\":");
}

static void number(struct tpi_out *out, const char *text, uint64_t value)
{
	name(out, text);
	tpi_out_unsigned(out, value);
}

static void head(struct tpi_out *out, const char *kind,
		 const struct an_result *result)
{
	tpi_out_text(out, "{\"kind\":\"");
	tpi_out_text(out, kind);
	tpi_out_text(out, "\",\"start\":\"");
	tpi_out_time(out, (uint64_t)result->start_ns);
	tpi_out_text(out, "\",\"end\":\"");
	tpi_out_time(out, (uint64_t)result->end_ns);
	tpi_out_char(out, '"');
}

static void put_value(struct tpi_out *out, const struct an_value *value)
{
	if (value->form == '-')
		tpi_out_text(out, "null");
	else if (value->form == 'u' || value->form == 'i')
		tpi_out_text(out, value->bytes);
	else
		tpi_out_quoted(out, value->bytes, value->length);
}

static void put_key(struct tpi_out *out, const struct an_spec *spec,
		    const char *key, uint32_t length)
{
	struct an_value value;

	name(out, "by");
	tpi_out_char(out, '{');
	for (uint32_t i = 0; i < spec->by_count; i++) {
		uint32_t taken = an_value_decode(key, length, &value);

		if (i)
			tpi_out_char(out, ',');
		tpi_out_quoted(out, spec->by[i].name, strlen(spec->by[i].name));
		tpi_out_char(out, ':');
		put_value(out, &value);
		key += taken;
		length -= taken;
	}
	tpi_out_char(out, '}');
}

static void put_measures(struct tpi_out *out, const struct an_reporter *r,
			 const struct an_cell *cell)
{
	number(out, "values", cell->valued);
	if (!cell->valued)
		return;
	name(out, "sum");
	an_put_thousandths(out, cell->sum);
	name(out, "mean");
	an_put_double(out,
		      (double)cell->sum / AN_FRACTION / (double)cell->valued);
	name(out, "min");
	an_put_thousandths(out, cell->min);
	name(out, "max");
	an_put_thousandths(out, cell->max);
	name(out, "quantiles");
	tpi_out_char(out, '{');
	for (uint32_t i = 0; i < r->o.quantile_count; i++) {
		uint64_t value;

		tpi_out_text(out, i ? ",\"" : "\"");
		an_put_double(out, r->o.quantiles[i]);
		tpi_out_text(out, "\":");
		if (an_quantile_of(cell, r->o.quantiles[i], &value))
			tpi_out_unsigned(out, value);
		else
			tpi_out_text(out, "null");
	}
	tpi_out_char(out, '}');
}

static void put_top(struct tpi_out *out, const struct an_reporter *r,
		    const struct an_cell *cell)
{
	const struct an_counter *top[AN_COUNTERS_MAX];
	const uint32_t count = an_heavy_top(&cell->top, top, r->o.top);

	name(out, "top");
	if (cell->cut & AN_CUT_TOP) {
		tpi_out_text(out, "null");
		return;
	}
	tpi_out_char(out, '[');
	for (uint32_t i = 0; i < count; i++) {
		struct an_value value;

		an_value_decode(top[i]->bytes, top[i]->length, &value);
		tpi_out_text(out, i ? ",{\"value\":" : "{\"value\":");
		put_value(out, &value);
		number(out, "count", top[i]->count);
		number(out, "error", top[i]->error);
		tpi_out_char(out, '}');
	}
	tpi_out_char(out, ']');
	number(out, "others_at_most",
	       an_heavy_floor(&cell->top, r->o.spec->counters));
}

static void put_row(struct tpi_out *out, const struct an_reporter *r,
		    const void *arg)
{
	const struct row *row = arg;
	const struct an_spec *spec = r->o.spec;
	const struct an_cell *cell = row->cell;

	head(out, row->entry ? "key" : "other", row->result);
	if (row->entry)
		put_key(out, spec, an_table_key(row->result->table, row->entry),
			row->entry->key_length);
	number(out, "count", cell->count);
	name(out, "rate");
	an_put_double(out, (double)cell->count * 1e9 / (double)spec->window_ns);
	if (spec->has_value)
		put_measures(out, r, cell);
	if (spec->has_distinct) {
		name(out, "distinct");
		if (cell->cut & AN_CUT_DISTINCT)
			tpi_out_text(out, "null");
		else
			an_put_double(out,
				      an_distinct_estimate(&cell->distinct));
	}
	if (spec->has_top)
		put_top(out, r, cell);
	name(out, "complete");
	tpi_out_text(out, row->result->notes ? "false}\n" : "true}\n");
}

static void put_window(struct tpi_out *out, const struct an_reporter *r,
		       const void *arg)
{
	const struct an_result *result = arg;
	const struct an_totals *totals = an_merger_totals(r->merger);
	bool first = true;

	head(out, "window", result);
	number(out, "events", result->events);
	number(out, "keys", result->table->used);
	if (result->table->has_other) {
		name(out, "other_keys");
		an_put_double(out,
			      an_distinct_estimate(&result->table->other_keys));
	}
	number(out, "lost", result->lost);
	number(out, "late", totals->late - r->late);
	name(out, "complete");
	tpi_out_text(out, result->notes ? "false" : "true");
	name(out, "why");
	tpi_out_char(out, '[');
	for (uint32_t i = 0; i < AN_NOTES; i++) {
		if (!(result->notes >> i & 1))
			continue;
		tpi_out_text(out, first ? "\"" : ",\"");
		tpi_out_text(out, an_note_name(i));
		tpi_out_char(out, '"');
		first = false;
	}
	tpi_out_text(out, "]}\n");
}

void an_report_json(struct an_reporter *r, const struct an_result *result)
{
	const struct an_entry **order = an_report_order(result, false);
	const struct row other = {result, NULL, &result->table->other};

	an_report_put(r, put_window, result);
	for (uint32_t i = 0; order && i < result->table->used; i++) {
		const struct row row = {result, order[i], &order[i]->cell};

		an_report_put(r, put_row, &row);
	}
	if (result->table->has_other)
		an_report_put(r, put_row, &other);
	free(order);
}

static void put_change(struct tpi_out *out, const struct an_reporter *r,
		       const void *arg)
{
	const struct found *found = arg;
	const struct an_change *c = found->change;

	head(out, "change", found->result);
	put_key(out, r->o.spec, c->key, c->key_length);
	name(out, "on");
	tpi_out_quoted(out, an_figure_name(r->o.change.figure),
		       strlen(an_figure_name(r->o.change.figure)));
	name(out, "value");
	an_put_double(out, c->value);
	name(out, "expected");
	an_put_double(out, c->expected);
	name(out, "score");
	an_put_double(out, c->score);
	tpi_out_text(out, "}\n");
}

void an_report_json_change(struct an_reporter *r,
			   const struct an_result *result,
			   const struct an_change *change)
{
	const struct found found = {result, change};

	an_report_put(r, put_change, &found);
}
