/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A case as a table: a row per subject, and per figure its median, the least and
 * the most, and the ratio to Tapio. Of a figure that follows from an earlier one,
 * as a rate from a time, the median alone. Figures stand side by side as far as
 * 100 columns go, and below each other from there on. All of a column are in one
 * unit, so that they can be compared by looking.
 */
#include <math.h>
#include <string.h>

#include "bench/frame/frame.h"

#define INDENT      4
#define NAME_LEAST  20
#define NAME_MOST   40
#define GAP         3
#define CELL_BYTES  24
#define RATIO_TITLE "vs Tapio"

/* One figure of all subjects, as text. */
struct column {
	const struct bench_figure *of;
	bool ranged;    /* the least and the most are shown */
	bool rated;     /* the ratio is */
	bool brief;     /* neither: the median alone */
	double in_unit; /* factor */
	char unit[40];
	char title[80];
	struct cells {
		char median[CELL_BYTES];
		char least[CELL_BYTES];
		char most[CELL_BYTES];
		char ratio[CELL_BYTES];
		double times; /* the ratio */
	} cell[BENCH_SUBJECTS_MAX];
	unsigned int median, least, most, ratio; /* columns each takes */
};

static unsigned int larger(unsigned int a, unsigned int b)
{
	return a > b ? a : b;
}

/* The figure that the unit of a column fits: Tapio's, or else the least. */
static double typical(const struct bench_case_result *result,
		      unsigned int figure)
{
	const struct bench_outcome *tapio = bench_reference(result);
	double least = INFINITY, median;

	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->state != BENCH_OK || (tapio && s != tapio))
			continue;
		median = bench_median(s->turns[figure], result->turns);
		/* A figure that is nothing says nothing about the unit. */
		if (median > 0 && median < least)
			least = median;
	}
	return isfinite(least) ? least : 0;
}

static void fill_ratio(struct cells *cells, const struct bench_outcome *tapio,
		       const struct bench_outcome *s, unsigned int figure,
		       unsigned int turns)
{
	cells->times = tapio ? bench_ratio(s->turns[figure],
					   tapio->turns[figure], turns)
			     : NAN;
	if (s == tapio)
		snprintf(cells->ratio, CELL_BYTES, "1 x");
	else
		bench_times(cells->times, cells->ratio, CELL_BYTES);
}

static void fill_cells(struct column *column, struct cells *cells,
		       const struct bench_outcome *s, unsigned int figure,
		       unsigned int turns)
{
	const double *values = s->turns[figure], factor = column->in_unit;

	bench_number(bench_median(values, turns) * factor, cells->median,
		     CELL_BYTES);
	bench_number(bench_least(values, turns) * factor, cells->least,
		     CELL_BYTES);
	bench_number(bench_most(values, turns) * factor, cells->most,
		     CELL_BYTES);
	column->median = larger(column->median, bench_width(cells->median));
	column->least = larger(column->least, bench_width(cells->least));
	column->most = larger(column->most, bench_width(cells->most));
	column->ratio = larger(column->ratio, bench_width(cells->ratio));
}

static void name_column(struct column *column, double typical_figure)
{
	struct bench_scale scale =
		bench_scale(column->of->unit, typical_figure);
	bool micro = !strcmp(scale.unit, "us");

	column->in_unit = scale.factor;
	snprintf(column->unit, sizeof(column->unit), "%s%s",
		 micro ? bench_micro() : "", scale.unit + micro);
	if (column->brief)
		snprintf(column->title, sizeof(column->title), "%s",
			 column->of->name);
	else
		snprintf(column->title, sizeof(column->title), "%s, %s",
			 column->of->name, column->unit);
}

/* Columns of the screen, without the gap before it. */
static unsigned int column_width(const struct column *c)
{
	return c->median + (c->ranged ? 2 + c->least + 3 + c->most : 0) +
	       (c->rated ? 2 + c->ratio : 0);
}

/* So that its titles fit. */
static void widen_column(struct column *c)
{
	if (c->brief) {
		c->median = larger(c->median, bench_width(c->title));
		c->median = larger(c->median, bench_width(c->unit));
		return;
	}
	c->median = larger(c->median, (unsigned int)strlen("median"));
	c->ratio = larger(c->ratio, (unsigned int)strlen(RATIO_TITLE));
	while (c->least + 3 + c->most < strlen("least - most"))
		c->least++;
	while (column_width(c) < bench_width(c->title))
		c->median++;
}

static unsigned int measured_count(const struct bench_case_result *result)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < result->subjects; i++)
		count += result->subject[i].state == BENCH_OK;
	return count;
}

static void fill_column(struct column *column,
			const struct bench_case_result *result,
			unsigned int figure)
{
	const struct bench_outcome *tapio = bench_reference(result);

	*column = (struct column){.of = &result->of->figures[figure]};
	/* Not of one turn, and not without a base. */
	column->ranged = result->turns > 1;
	column->rated = measured_count(result) > 1;
	for (unsigned int i = 0; i < figure; i++)
		if (bench_follows(result, figure, i))
			column->ranged = column->rated = false;
	column->brief = !column->ranged && !column->rated;
	name_column(column, typical(result, figure));
	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->state != BENCH_OK)
			continue;
		fill_ratio(&column->cell[i], tapio, s, figure, result->turns);
		fill_cells(column, &column->cell[i], s, figure, result->turns);
	}
	widen_column(column);
}

/* ---- printing ----------------------------------------------------------------- */

/* The printed part of a block: columns [first, end), behind the names. */
struct block {
	const struct column *columns;
	unsigned int first;
	unsigned int end;
	unsigned int names;
};

static void print_titles(const struct block *b)
{
	printf("%s%*s", bench_style(BENCH_DIM), (int)(INDENT + b->names), "");
	for (unsigned int i = b->first; i < b->end; i++) {
		const struct column *c = &b->columns[i];
		bool last = i + 1 == b->end;

		printf("%*s", GAP, "");
		/* No blanks at the end of a line. */
		bench_cell(c->title,
			   last && !c->brief ? bench_width(c->title)
					     : column_width(c),
			   c->brief);
	}
	printf("\n%*s", (int)(INDENT + b->names), "");
	for (unsigned int i = b->first; i < b->end; i++) {
		const struct column *c = &b->columns[i];
		char range[32];

		printf("%*s", GAP, "");
		bench_cell(c->brief ? c->unit : "median", c->median, true);
		snprintf(range, sizeof(range), "  least %s most", bench_dash());
		if (c->ranged)
			bench_cell(range, 2 + c->least + 3 + c->most, true);
		if (c->rated)
			bench_cell(RATIO_TITLE, 2 + c->ratio, true);
	}
	printf("%s\n", bench_style(BENCH_PLAIN));
}

/* Behind Tapio is good, ahead of it is not. Floors are what they are. */
static enum bench_style style_of_ratio(const struct column *column,
				       const struct bench_outcome *s,
				       double times)
{
	bool ahead = column->of->more_is_better ? times > 1.05 : times < 0.95;
	bool behind = column->of->more_is_better ? times < 0.95 : times > 1.05;

	if (s->of->peer->kind != BENCH_PEER)
		return BENCH_PLAIN;
	if (ahead)
		return BENCH_BAD;
	return behind ? BENCH_GOOD : BENCH_PLAIN;
}

static void print_cells(const struct column *column,
			const struct bench_outcome *s, unsigned int subject)
{
	const struct cells *cells = &column->cell[subject];
	enum bench_style style = style_of_ratio(column, s, cells->times);

	printf("%*s", GAP, "");
	bench_cell(cells->median, column->median, true);
	if (column->ranged) {
		printf("  %s", bench_style(BENCH_DIM));
		bench_cell(cells->least, column->least, true);
		printf(" %s ", bench_dash());
		bench_cell(cells->most, column->most, false);
		fputs(bench_style(BENCH_PLAIN), stdout);
	}
	if (column->rated) {
		if (style != BENCH_PLAIN)
			fputs(bench_style(style), stdout);
		bench_cell(cells->ratio, 2 + column->ratio, true);
		if (style != BENCH_PLAIN)
			fputs(bench_style(BENCH_PLAIN), stdout);
	}
}

static void print_reason(const struct bench_outcome *s, unsigned int at)
{
	const bool failed = s->state == BENCH_FAILED;
	const char *word = failed ? "FAILED:" : "not here:";

	printf("%*s%s%s%s ", GAP, "", failed ? bench_style(BENCH_BAD) : "",
	       word, failed ? bench_style(BENCH_PLAIN) : "");
	bench_wrapped(s->why, at + GAP + (unsigned int)strlen(word) + 1);
}

static void print_row(const struct bench_outcome *s, unsigned int subject,
		      const struct block *b)
{
	const bool tapio = s->of->peer->kind == BENCH_TAPIO;
	char name[128];

	bench_subject_name(s->of, name, sizeof(name));
	printf("%*s%s", INDENT, "", tapio ? bench_style(BENCH_BOLD) : "");
	bench_cell(name, b->names, false);
	fputs(tapio ? bench_style(BENCH_PLAIN) : "", stdout);
	if (s->state != BENCH_OK) {
		print_reason(s, INDENT + b->names);
		return;
	}
	for (unsigned int i = b->first; i < b->end; i++)
		print_cells(&b->columns[i], s, subject);
	putchar('\n');
}

static unsigned int name_width(const struct bench_case_result *result)
{
	unsigned int width = NAME_LEAST;
	char name[128];

	for (unsigned int i = 0; i < result->subjects; i++) {
		bench_subject_name(result->subject[i].of, name, sizeof(name));
		width = larger(width, bench_width(name));
	}
	return width < NAME_MOST ? width : NAME_MOST;
}

/* "4 M events" */
static const char *events_text(uint64_t events, char *text, size_t bytes)
{
	struct bench_scale s = bench_scale("events/s", (double)events);

	snprintf(text, bytes, "%.3g %.*s", (double)events * s.factor,
		 (int)(strlen(s.unit) - (events == 1 ? 3 : 2)), s.unit);
	return text;
}

static void print_title(const struct bench_options *options,
			const struct bench_case_result *result)
{
	const struct bench_case *c = result->of;
	uint64_t events = options->quick ? c->quick_events : c->events;
	char text[256], number[48];

	printf("\n  %s%s%s  ", bench_style(BENCH_BOLD), c->name,
	       bench_style(BENCH_PLAIN));
	if (events)
		snprintf(text, sizeof(text), "%s (%s, %u turn%s)", c->title,
			 events_text(events, number, sizeof(number)),
			 result->turns, result->turns == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "%s", c->title);
	bench_wrapped(text, 2 + bench_width(c->name) + 2);
}

/* No subject was measured, and for all it is for the same reason. */
static bool is_out_whole(const struct bench_case_result *result)
{
	const struct bench_outcome *s = result->subject;

	for (unsigned int i = 0; i < result->subjects; i++)
		if (s[i].state != BENCH_NOT_HERE || strcmp(s[i].why, s->why))
			return false;
	return result->subjects;
}

void bench_table_case(const struct bench_options *options,
		      const struct bench_case_result *result)
{
	struct column columns[BENCH_FIGURES_MAX];
	struct block b = {.columns = columns, .names = name_width(result)};

	print_title(options, result);
	if (is_out_whole(result)) {
		printf("%*s", INDENT - GAP, "");
		print_reason(result->subject, INDENT - GAP);
		fflush(stdout);
		return;
	}
	for (unsigned int i = 0; i < result->figures; i++)
		fill_column(&columns[i], result, i);
	for (; b.first < result->figures; b.first = b.end) {
		unsigned int used = INDENT + b.names;

		for (b.end = b.first; b.end < result->figures; b.end++) {
			used += GAP + column_width(&columns[b.end]);
			if (b.end > b.first && used > BENCH_TABLE_COLUMNS)
				break;
		}
		print_titles(&b);
		for (unsigned int i = 0; i < result->subjects; i++) {
			const struct bench_outcome *s = &result->subject[i];

			/* Once is enough of those that have no figures. */
			if (s->state == BENCH_OK || !b.first)
				print_row(s, i, &b);
		}
	}
	if (!options->quick)
		bench_goals_show(result, false);
	fflush(stdout);
}
