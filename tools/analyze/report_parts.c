/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of all forms of a report: names, numbers, the order of rows. See report.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event/event_out.h"
#include "tools/analyze/report.h"

const char *an_note_name(uint32_t bit)
{
	static const char *const names[AN_NOTES] = {
		"lost", "began", "stopped", "clock", "keys", "member", "moved",
	};

	return names[bit];
}

const char *an_figure_name(enum an_figure figure)
{
	static const char *const names[] = {"count", "distinct", "mean", "p99"};

	return names[figure];
}

/* ---- numbers --------------------------------------------------------------- */

void an_put_thousandths(struct tpi_out *out, __int128 value)
{
	unsigned __int128 size = value < 0 ? -(unsigned __int128)value
					   : (unsigned __int128)value;
	char fraction[8], digits[48];
	size_t at = sizeof(digits), end;

	end = (size_t)snprintf(fraction, sizeof(fraction), ".%03u",
			       (uint32_t)(size % AN_FRACTION));
	while (fraction[end - 1] == '0')
		end--;
	fraction[end > 1 ? end : 0] = '\0';
	digits[--at] = '\0';
	size /= AN_FRACTION;
	do
		digits[--at] = (char)('0' + (uint32_t)(size % 10));
	while (size /= 10);
	tpi_out_text(out, value < 0 ? "-" : "");
	tpi_out_text(out, digits + at);
	tpi_out_text(out, fraction);
}

void an_put_double(struct tpi_out *out, double value)
{
	tpi_out_double(out, value);
}

bool an_quantile_of(const struct an_cell *cell, double fraction,
		    uint64_t *value)
{
	const uint64_t all = cell->spread.total + cell->negative;

	*value = 0;
	if (!cell->spread.total || cell->cut & AN_CUT_SPREAD ||
	    (double)cell->negative >= fraction * (double)all)
		return false;
	*value = an_spread_quantile(&cell->spread, fraction, cell->negative,
				    (uint64_t)(cell->max / AN_FRACTION));
	return true;
}

/* ---- rows ------------------------------------------------------------------ */

struct row {
	const struct an_entry *entry;
	const char *key;
};

static int by_key(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	const uint32_t a_length = a->entry->key_length,
		       b_length = b->entry->key_length;
	const int order = memcmp(a->key, b->key,
				 a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int by_count(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	const uint64_t a_count = a->entry->cell.count,
		       b_count = b->entry->cell.count;

	return a_count != b_count ? (a_count < b_count) - (a_count > b_count)
				  : by_key(left, right);
}

const struct an_entry **an_report_order(const struct an_result *result,
					bool first_by_count)
{
	const uint32_t count = result->table->used;
	struct row *rows = malloc(count * sizeof(*rows) + 1);
	const struct an_entry **order = malloc(count * sizeof(*order) + 1);

	if (!rows || !order) {
		free(rows);
		free(order);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++)
		rows[i] =
			(struct row){&result->table->entries[i],
				     an_table_key(result->table,
						  &result->table->entries[i])};
	qsort(rows, count, sizeof(*rows), first_by_count ? by_count : by_key);
	for (uint32_t i = 0; i < count; i++)
		order[i] = rows[i].entry;
	free(rows);
	return order;
}

/* ---- writing --------------------------------------------------------------- */

void an_report_put(struct an_reporter *r, an_put_fn *put, const void *arg)
{
	for (;;) {
		struct tpi_out out;
		size_t length, size;
		char *text;

		tpi_out_init(&out, r->text ? r->text + r->used : NULL,
			     r->size - r->used);
		put(&out, r, arg);
		length = (size_t)tpi_out_finish(&out);
		if (length < r->size - r->used) {
			r->used += length;
			return;
		}
		size = 2 * (r->used + length + 4096);
		text = realloc(r->text, size);
		if (!text) {
			r->err = -ENOMEM;
			return;
		}
		r->text = text;
		r->size = size;
	}
}

void an_reporter_free(struct an_reporter *r)
{
	free(r->text);
	r->text = NULL;
	r->size = r->used = 0;
	an_baselines_free(r->baselines);
	r->baselines = NULL;
}
