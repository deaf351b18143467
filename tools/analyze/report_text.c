/* SPDX-License-Identifier: Apache-2.0 */
/* Results as a table for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event/event_out.h"
#include "tools/analyze/report.h"

#define KEY_COLUMNS 24u

struct row {
	const struct an_result *result;
	const struct an_entry *entry;
	const struct an_cell *cell;
};

static void pad(struct tpi_out *out, size_t from, size_t columns)
{
	/* Bytes stand for columns: most keys are ASCII. */
	for (size_t used = out->length - from; used < columns; used++)
		tpi_out_char(out, ' ');
	tpi_out_char(out, ' ');
}

/* Without the blanks before it. */
static void end_line(struct tpi_out *out)
{
	while (out->length && out->length <= out->size &&
	       out->buffer[out->length - 1] == ' ')
		out->length--;
	tpi_out_char(out, '\n');
}

/* Right-aligned, in 10 columns. */
static void put_column(struct tpi_out *out, const char *text)
{
	for (size_t used = strlen(text); used < 10; used++)
		tpi_out_char(out, ' ');
	tpi_out_text(out, text);
	tpi_out_char(out, ' ');
}

static void put_count(struct tpi_out *out, uint64_t count)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, count);
	put_column(out, text);
}

/* "1.25ms" where the unit is ns, and else the number. */
static void put_measure(struct tpi_out *out, const struct an_spec *spec,
			double value)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
	char text[40];
	size_t i = 0;

	if (!tpi_field_is_ns(&spec->value)) {
		snprintf(text, sizeof(text), "%.6g", value);
		put_column(out, text);
		return;
	}
	while (i < 3 && value < units[i].ns)
		i++;
	snprintf(text, sizeof(text), "%.4g%s", value / units[i].ns,
		 units[i].unit);
	put_column(out, text);
}

static void put_value(struct tpi_out *out, const struct an_value *value)
{
	if (value->form == '-')
		tpi_out_char(out, '-');
	else
		tpi_out_escaped(out, value->bytes, value->length);
}

static void put_key(struct tpi_out *out, const struct an_spec *spec,
		    const char *key, uint32_t length)
{
	for (uint32_t i = 0; i < spec->by_count; i++) {
		struct an_value value;
		const uint32_t taken = an_value_decode(key, length, &value);
		const size_t from = out->length;

		put_value(out, &value);
		pad(out, from, KEY_COLUMNS);
		key += taken;
		length -= taken;
	}
}

static void put_top(struct tpi_out *out, const struct an_reporter *r,
		    const struct an_cell *cell)
{
	const struct an_counter *top[AN_COUNTERS_MAX];
	const uint32_t count = an_heavy_top(&cell->top, top, r->o.top);

	for (uint32_t i = 0; i < count; i++) {
		struct an_value value;

		an_value_decode(top[i]->bytes, top[i]->length, &value);
		tpi_out_text(out, i ? ", " : " ");
		put_value(out, &value);
		tpi_out_char(out, ' ');
		tpi_out_unsigned(out, top[i]->count);
		if (top[i]->error) {
			tpi_out_text(out, "-");
			tpi_out_unsigned(out, top[i]->error);
		}
	}
	if (cell->cut & AN_CUT_TOP)
		tpi_out_text(out, " (no memory: incomplete)");
}

static void put_measures(struct tpi_out *out, const struct an_reporter *r,
			 const struct an_cell *cell)
{
	if (!cell->valued) {
		for (uint32_t i = 0; i < r->o.quantile_count + 2; i++)
			put_column(out, "-");
		return;
	}
	put_measure(out, r->o.spec,
		    (double)cell->sum / AN_FRACTION / (double)cell->valued);
	for (uint32_t i = 0; i < r->o.quantile_count; i++) {
		uint64_t value;

		if (an_quantile_of(cell, r->o.quantiles[i], &value))
			put_measure(out, r->o.spec, (double)value);
		else
			put_column(out, "?");
	}
	put_measure(out, r->o.spec, (double)cell->max / AN_FRACTION);
}

static void put_row(struct tpi_out *out, const struct an_reporter *r,
		    const void *arg)
{
	const struct row *row = arg;
	const struct an_spec *spec = r->o.spec;
	const size_t from = out->length;
	char text[32];

	if (row->entry) {
		put_key(out, spec, an_table_key(row->result->table, row->entry),
			row->entry->key_length);
	} else {
		tpi_out_text(out, "(other keys)");
		pad(out, from, spec->by_count * (KEY_COLUMNS + 1) - 1);
	}
	put_count(out, row->cell->count);
	snprintf(text, sizeof(text), "%.6g",
		 (double)row->cell->count * 1e9 / (double)spec->window_ns);
	put_column(out, text);
	if (spec->has_value)
		put_measures(out, r, row->cell);
	if (spec->has_distinct) {
		snprintf(text, sizeof(text), "%.0f",
			 an_distinct_estimate(&row->cell->distinct));
		put_column(out, row->cell->cut & AN_CUT_DISTINCT ? "?" : text);
	}
	if (spec->has_top)
		put_top(out, r, row->cell);
	end_line(out);
}

static void put_titles(struct tpi_out *out, const struct an_reporter *r)
{
	const struct an_spec *spec = r->o.spec;
	char text[32];

	for (uint32_t i = 0; i < spec->by_count; i++) {
		const size_t from = out->length;

		tpi_out_text(out, spec->by[i].name);
		pad(out, from, KEY_COLUMNS);
	}
	put_column(out, "count");
	put_column(out, "per second");
	if (spec->has_value) {
		put_column(out, "mean");
		for (uint32_t i = 0; i < r->o.quantile_count; i++) {
			snprintf(text, sizeof(text), "p%.6g",
				 r->o.quantiles[i] * 100);
			put_column(out, text);
		}
		put_column(out, "max");
	}
	if (spec->has_distinct)
		put_column(out, "distinct");
	if (spec->has_top) {
		tpi_out_text(out, " top ");
		tpi_out_text(out, spec->top.name);
	}
	end_line(out);
}

static void put_window(struct tpi_out *out, const struct an_reporter *r,
		       const void *arg)
{
	const struct an_result *result = arg;
	const struct an_totals *totals = an_merger_totals(r->merger);
	char text[160];

	/* To the begin of the screen, and what was there goes. */
	tpi_out_text(out, r->o.live ? "\033[H\033[J" : "");
	tpi_out_time(out, (uint64_t)result->start_ns);
	snprintf(text, sizeof(text),
		 " + %.6gs: %" PRIu64 " event%s of %u key%s, late %" PRIu64
		 ", lost %" PRIu64,
		 (double)r->o.spec->window_ns / 1e9, result->events,
		 result->events == 1 ? "" : "s", result->table->used,
		 result->table->used == 1 ? "" : "s", totals->late - r->late,
		 result->lost);
	tpi_out_text(out, text);
	if (result->notes)
		tpi_out_text(out, ", INCOMPLETE:");
	for (uint32_t i = 0; i < AN_NOTES; i++)
		if (result->notes >> i & 1) {
			tpi_out_char(out, ' ');
			tpi_out_text(out, an_note_name(i));
		}
	tpi_out_char(out, '\n');
	put_titles(out, r);
}

void an_report_text(struct an_reporter *r, const struct an_result *result)
{
	const struct an_entry **order = an_report_order(result, true);
	const struct row other = {result, NULL, &result->table->other};
	uint32_t rows = result->table->used;

	an_report_put(r, put_window, result);
	if (r->o.rows && rows > r->o.rows)
		rows = r->o.rows;
	for (uint32_t i = 0; order && i < rows; i++) {
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
	const struct an_change *c = arg;
	char text[128];

	tpi_out_text(out, "CHANGE ");
	put_key(out, r->o.spec, c->key, c->key_length);
	snprintf(text, sizeof(text), "%s %.6g, expected %.6g, score %.3g\n",
		 an_figure_name(r->o.change.figure), c->value, c->expected,
		 c->score);
	tpi_out_text(out, text);
}

void an_report_text_change(struct an_reporter *r,
			   const struct an_change *change)
{
	an_report_put(r, put_change, change);
}
