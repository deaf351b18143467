/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A case as a table: a row per subject, and per figure its median, the least and
 * the most, and the ratio to Tapio. Figures stand side by side as far as 100
 * columns go, and below each other from there on. All figures of a column are in
 * one unit, so that they can be compared by looking.
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
	char title[64];
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

static double least_of_all(const struct bench_case_result *result,
			   unsigned int figure)
{
	double least = INFINITY, median;

	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->state != BENCH_OK)
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
		       unsigned int turns, double factor)
{
	const double *values = s->turns[figure];

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

static void title_column(struct column *column, const char *unit)
{
	const char *micro = !strcmp(unit, "us") ? bench_micro() : "";

	snprintf(column->title, sizeof(column->title), "%s, %s%s",
		 column->of->name, micro, *micro ? unit + 1 : unit);
}

static void fill_column(struct column *column,
			const struct bench_case_result *result,
			unsigned int figure)
{
	const struct bench_outcome *tapio = bench_reference(result);
	struct bench_scale scale;

	*column = (struct column){
		.of = &result->of->figures[figure],
		.median = (unsigned int)strlen("median"),
		.least = 1,
		.most = 1,
		.ratio = (unsigned int)strlen(RATIO_TITLE),
	};
	scale = bench_scale(column->of->unit, least_of_all(result, figure));
	title_column(column, scale.unit);
	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->state != BENCH_OK)
			continue;
		fill_ratio(&column->cell[i], tapio, s, figure, result->turns);
		fill_cells(column, &column->cell[i], s, figure, result->turns,
			   scale.factor);
	}
	/* The title above, the range's title below it. */
	while (column->least + 3 + column->most < strlen("least - most"))
		column->least++;
	while (bench_width(column->title) >
	       column->median + 2 + column->least + 3 + column->most)
		column->median++;
}

static unsigned int column_width(const struct column *column)
{
	return GAP + column->median + 2 + column->least + 3 + column->most + 2 +
	       column->ratio;
}

/* ---- printing ----------------------------------------------------------------- */

static void print_titles(const struct column *columns, unsigned int first,
			 unsigned int end, unsigned int name_columns)
{
	char range[32];

	printf("%s%*s", bench_style(BENCH_DIM), (int)(INDENT + name_columns),
	       "");
	for (unsigned int i = first; i < end; i++) {
		const struct column *c = &columns[i];
		unsigned int used =
			c->median + 2 + c->least + 3 + c->most + 2 + c->ratio;

		printf("%*s", GAP, "");
		/* No blanks at the end of a line. */
		bench_cell(c->title, i + 1 < end ? used : bench_width(c->title),
			   false);
	}
	printf("\n%*s", (int)(INDENT + name_columns), "");
	snprintf(range, sizeof(range), "least %s most", bench_dash());
	for (unsigned int i = first; i < end; i++) {
		const struct column *c = &columns[i];

		printf("%*s", GAP, "");
		bench_cell("median", c->median, true);
		printf("  ");
		bench_cell(range, c->least + 3 + c->most, true);
		printf("  ");
		bench_cell(RATIO_TITLE, c->ratio, true);
	}
	printf("%s\n", bench_style(BENCH_PLAIN));
}

/* Behind Tapio is good, ahead of it is not; floors are what they are. */
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
	printf("  %s", bench_style(BENCH_DIM));
	bench_cell(cells->least, column->least, true);
	printf(" %s ", bench_dash());
	bench_cell(cells->most, column->most, false);
	printf("%s  ", bench_style(BENCH_PLAIN));
	if (style != BENCH_PLAIN)
		fputs(bench_style(style), stdout);
	bench_cell(cells->ratio, column->ratio, true);
	if (style != BENCH_PLAIN)
		fputs(bench_style(BENCH_PLAIN), stdout);
}

static void print_row(const struct bench_outcome *s, unsigned int subject,
		      const struct column *columns, unsigned int first,
		      unsigned int end, unsigned int name_columns)
{
	const bool tapio = s->of->peer->kind == BENCH_TAPIO;
	char name[128];

	bench_subject_name(s->of, name, sizeof(name));
	printf("%*s%s", INDENT, "", tapio ? bench_style(BENCH_BOLD) : "");
	bench_cell(name, name_columns, false);
	fputs(tapio ? bench_style(BENCH_PLAIN) : "", stdout);
	if (s->state == BENCH_OK) {
		for (unsigned int i = first; i < end; i++)
			print_cells(&columns[i], s, subject);
		putchar('\n');
	} else if (s->state == BENCH_FAILED) {
		printf("   %sFAILED:%s ", bench_style(BENCH_BAD),
		       bench_style(BENCH_PLAIN));
		bench_wrapped(s->why, INDENT + name_columns + 11,
			      INDENT + name_columns + 11);
	} else {
		printf("   not here: ");
		bench_wrapped(s->why, INDENT + name_columns + 13,
			      INDENT + name_columns + 13);
	}
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

static void print_title(const struct bench_options *options,
			const struct bench_case *c)
{
	uint64_t events = options->quick ? c->quick_events : c->events;
	char number[32];

	printf("\n  %s%s%s  %s", bench_style(BENCH_BOLD), c->name,
	       bench_style(BENCH_PLAIN), c->title);
	if (events) {
		struct bench_scale s = bench_scale("events/s", (double)events);

		/* "M events/s" without the "/s". */
		s.unit[strlen(s.unit) - 2] = 0;
		snprintf(number, sizeof(number), "%.3g",
			 (double)events * s.factor);
		printf("%s (%s %s, %u turn%s)%s", bench_style(BENCH_DIM),
		       number, s.unit, options->turns,
		       options->turns == 1 ? "" : "s",
		       bench_style(BENCH_PLAIN));
	}
	putchar('\n');
}

void bench_table_case(const struct bench_options *options,
		      const struct bench_case_result *result)
{
	struct column columns[BENCH_FIGURES_MAX];
	unsigned int names = name_width(result), end;

	print_title(options, result->of);
	for (unsigned int i = 0; i < result->figures; i++)
		fill_column(&columns[i], result, i);
	for (unsigned int first = 0; first < result->figures; first = end) {
		unsigned int used = INDENT + names;

		for (end = first; end < result->figures; end++) {
			used += column_width(&columns[end]);
			if (end > first && used > BENCH_TABLE_COLUMNS)
				break;
		}
		print_titles(columns, first, end, names);
		for (unsigned int i = 0; i < result->subjects; i++) {
			const struct bench_outcome *s = &result->subject[i];

			/* Once is enough of those that have no figures. */
			if (s->state == BENCH_OK || !first)
				print_row(s, i, columns, first, end, names);
		}
	}
	if (!options->quick)
		bench_goals_show(result);
	fflush(stdout);
}
