/* SPDX-License-Identifier: Apache-2.0 */
/* A look as a sheet of the terminal's size: head, body that scrolls, foot. See view.h. */
#include <stdio.h>
#include <string.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/watch/format.h"
#include "tools/shmstat/watch/view.h"

#define BLOCKS 3 /* of numbers side by side in the head */

/* ---- head ---------------------------------------------------------------------- */

static void fill_row(struct sheet *sheet, int row, enum style style)
{
	for (int x = 0; x < sheet->width; x++)
		sheet_put(sheet, row, x, style, " ");
}

/* The verdict that one must see first, at the right end of the first line. */
static const char *verdict(const struct draw *draw, char *text, size_t size)
{
	const json_t *look = draw->shown->look;
	const char *fault;

	if (draw->view->paused)
		return " PAUSED ";
	if (!look)
		return " waiting ";
	if (get_true(look, "healthy"))
		return " healthy ";
	if (json_is_null(json_object_get(look, "healthy")))
		return " not all can be read ";
	/* The most likely one first; tapio-shmstat why has them all. */
	fault = json_string_value(
		json_array_get(json_object_get(look, "faults"), 0));
	snprintf(text, size, " NOT HEALTHY: %s ",
		 fault ? fault : "see tapio-shmstat why");
	return text;
}

static void draw_status(struct draw *draw)
{
	const json_t *broker = json_object_get(draw->shown->look, "broker");
	char age[FORMAT_BYTES], text[64];
	const char *word = verdict(draw, text, sizeof(text));
	int row = sheet_row(draw->sheet), length = (int)strlen(word);
	bool bad = strstr(word, "NOT") != NULL;

	fill_row(draw->sheet, row, STYLE_BAR);
	if (broker)
		sheet_printf(draw->sheet, row, 1, STYLE_BAR,
			     "tapiod %lld %s  up %s  restarts %lld  %s",
			     get_count(broker, "pid"),
			     get_text(broker, "process"),
			     format_age(age, get_number(broker, "uptime_s")),
			     get_count(broker, "restarts"),
			     get_text(broker, "version"));
	else
		sheet_put(draw->sheet, row, 1, STYLE_BAR,
			  "tapio-shmstat watch");
	sheet_put(draw->sheet, row, draw->sheet->width - length,
		  bad                  ? STYLE_BAD
		  : draw->view->paused ? STYLE_WARN
				       : STYLE_BAR,
		  word);
}

static void draw_block(struct draw *draw, int row, int block, const char *label,
		       const char *number, enum style style, const char *name)
{
	int width = draw->sheet->width / BLOCKS, x = block * width + 1;
	double points[RATES_POINTS];
	size_t count;

	sheet_field(draw->sheet, row, x, 9, STYLE_DIM, label);
	sheet_field(draw->sheet, row, x + 9, -6, style, number);
	count = name ? rates_history(draw->shown->rates, RATES_TOTAL, name,
				     points, RATES_POINTS)
		     : 0;
	format_spark(draw->sheet, row, x + 16, width - 18, points, count,
		     draw->shown->utf8);
}

static void draw_totals(struct draw *draw)
{
	const json_t *totals = json_object_get(draw->shown->look, "totals");
	double dropped = get_number(totals, "dropped_per_s");
	double lost = get_number(totals, "lost_per_s");
	double capacity = get_number(totals, "capacity");
	char text[FORMAT_BYTES];
	int row = sheet_row(draw->sheet);

	draw_block(draw, row, 0, "events/s",
		   format_rate(text, get_number(totals, "published_per_s")),
		   STYLE_BOLD, "published");
	draw_block(draw, row, 1, "read/s",
		   format_rate(text, get_number(totals, "delivered_per_s")),
		   STYLE_BOLD, "delivered");
	format_count(text, get_number(totals, "lag"));
	/* At least: a group could not be read. */
	if (get_count(totals, "groups_not_read") && strcmp(text, "-") != 0)
		strcat(text, "+");
	draw_block(draw, row, 2, "lag", text, STYLE_BOLD, "lag");
	row = sheet_row(draw->sheet);
	draw_block(draw, row, 0, "refused/s", format_rate(text, dropped),
		   dropped > 0 ? STYLE_BAD : STYLE_BOLD, "dropped");
	draw_block(draw, row, 1, "lost/s", format_rate(text, lost),
		   lost > 0 ? STYLE_BAD : STYLE_BOLD, "lost");
	if (capacity > 0)
		snprintf(text, sizeof(text), "%.1f%%",
			 get_number(totals, "used") / capacity * 100);
	else
		snprintf(text, sizeof(text), "-");
	draw_block(draw, row, 2, "fill", text, STYLE_BOLD, NULL);
}

static void draw_tabs(struct draw *draw)
{
	static const char *const names[SCREENS] = {"overview", "lanes",
						   "groups", "clients"};
	int row = sheet_row(draw->sheet), x = 1;

	for (int i = 0; i < SCREENS; i++) {
		bool here = draw->view->screen == (enum view_screen)i;

		x = sheet_printf(draw->sheet, row, x,
				 here ? STYLE_TITLE : STYLE_DIM,
				 here ? "[%d %s]" : " %d %s ", i + 1, names[i]);
	}
	if (*draw->view->filter)
		sheet_printf(draw->sheet, row, x + 2, STYLE_WARN, "filter: %s",
			     draw->view->filter);
}

/* In as many rows as it needs. */
static void draw_wrapped(struct draw *draw, const char *text, int most)
{
	int room = draw->sheet->width - 2, length = (int)strlen(text);

	for (int i = 0; i < most && length > 0; i++) {
		int cut = length < room ? length : room;

		while (cut < length && cut > 1 && text[cut - 1] != ' ')
			cut--;
		if (cut == 1) /* one long word */
			cut = room;
		sheet_printf(draw->sheet, sheet_row(draw->sheet), 1, STYLE_WARN,
			     "%.*s", cut, text);
		text += cut;
		length -= cut;
	}
}

static void draw_notice(struct draw *draw)
{
	if (draw->shown->look)
		draw_wrapped(draw, draw->shown->why, 2);
	draw_wrapped(draw, draw->shown->change, 2);
}

/* ---- body ----------------------------------------------------------------------- */

static void add_sort(struct draw *draw, const char *title,
		     enum view_screen screen)
{
	char text[64];

	snprintf(text, sizeof(text), "by %s%s",
		 view_sort(draw->view, screen)->name,
		 draw->view->reversed[screen] ? ", reversed" : "");
	draw_title(draw, title, text);
}

static void draw_overview(struct draw *draw, int height)
{
	size_t most = height > 40 ? 12 : 4;
	struct picked rows;

	draw_title(draw, "FILL", "of each lane; ! refuses events");
	draw_heat(draw);
	sheet_row(draw->sheet);
	add_sort(draw, "GROUPS", SCREEN_GROUPS);
	pick_rows(&rows, draw, "groups", SCREEN_OVERVIEW);
	draw_groups(draw, &rows, most);
	pick_free(&rows);
	sheet_row(draw->sheet);
	draw_title(draw, "REFUSED EVENTS", "");
	draw_drops(draw, most);
	sheet_row(draw->sheet);
	add_sort(draw, "PRODUCING LANES", SCREEN_LANES);
	pick_rows(&rows, draw, "lanes", SCREEN_LANES);
	draw_lanes(draw, &rows, most);
	pick_free(&rows);
}

static void draw_list(struct draw *draw, const char *title, const char *part,
		      enum view_screen screen,
		      void (*list)(struct draw *, const struct picked *,
				   size_t))
{
	struct picked rows;

	add_sort(draw, title, screen);
	pick_rows(&rows, draw, part, screen);
	list(draw, &rows, rows.count);
	pick_free(&rows);
}

static void draw_nothing(struct draw *draw)
{
	draw_title(draw, "WAITING", "the view begins when a broker comes");
	sheet_row(draw->sheet);
	draw_wrapped(draw, draw->shown->why, 20);
}

static void draw_body(struct draw *draw, int height)
{
	if (draw->view->help)
		draw_help(draw);
	else if (!draw->shown->look)
		draw_nothing(draw);
	else if (*draw->view->place.detail)
		draw_detail(draw, draw->view->place.detail);
	else if (draw->view->screen == SCREEN_LANES)
		draw_list(draw, "LANES", "lanes", SCREEN_LANES, draw_lanes);
	else if (draw->view->screen == SCREEN_GROUPS)
		draw_list(draw, "GROUPS", "groups", SCREEN_GROUPS, draw_groups);
	else if (draw->view->screen == SCREEN_CLIENTS)
		draw_list(draw, "CLIENTS", "clients", SCREEN_CLIENTS,
			  draw_clients);
	else
		draw_overview(draw, height);
}

void draw_help(struct draw *draw)
{
	static const char *const lines[] = {
		"q            quit",
		"1 2 3 4 Tab  overview, lanes, groups, clients; so do Left and Right",
		"Up Down      choose a row (also j k, PgUp, PgDn, Home, End)",
		"Enter        open the lane, the group or the client; Esc goes back",
		"/            filter by typing: channel, class, group, command, cpu 3",
		"s r          sort by the next key; reverse the order",
		"Space        pause, and go on",
		"",
		"A cell of FILL is a lane of one CPU; its mark rises with the blocks that",
		"a group has not released, and ! says that it refuses events now.",
		"REFUSED: the event did not get in. LOST: a group was overtaken.",
		"LAG: events that a group has not released. Latencies are from the stamp",
		"of an event to its delivery, since the group began. - is not known:",
		"a rate begins with the second look, and again after a reset.",
		"Events are counted by lane, since the fast path knows no producer.",
	};

	draw_title(draw, "HELP", "any key goes back");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_PLAIN,
			  lines[i]);
}

/* ---- foot ------------------------------------------------------------------------ */

static void draw_foot(struct draw *draw)
{
	const struct view *view = draw->view;
	int row = sheet_row(draw->sheet);

	fill_row(draw->sheet, row, STYLE_BAR);
	if (view->typing)
		sheet_printf(draw->sheet, row, 1, STYLE_BAR,
			     "/%s_   Enter keeps the filter, Esc clears it",
			     view->filter);
	else
		sheet_printf(draw->sheet, row, 1, STYLE_BAR,
			     "q quit  ? help  / filter  s sort: %s  Space %s  "
			     "Enter open  Esc back",
			     view_sort(view, view->screen)->name,
			     view->paused ? "go on" : "pause");
}

/* ---- all of it ---------------------------------------------------------------------- */

/* The row of the nth key, or of this key with its number in *n. -1: there is none. */
static int find_key(const struct sheet *body, const char *key, int *n)
{
	int seen = 0, last = -1;

	for (int row = 0; row < body->rows; row++) {
		if (!*body->keys[row])
			continue;
		if (key ? !strcmp(body->keys[row], key) : seen == *n) {
			*n = seen;
			return row;
		}
		last = row;
		seen++;
	}
	if (!key && seen) /* beyond the last */
		*n = seen - 1;
	return key ? -1 : last;
}

/*
 * Which row is selected. It stays with what it stands for, wherever sorting moves that, until
 * a key moves the selection.
 */
static int select_row(struct view *view, const struct sheet *body)
{
	struct view_place *place = &view->place;
	int row = -1;

	if (!view->moved && *place->selected)
		row = find_key(body, place->selected, &place->index);
	if (row < 0)
		row = find_key(body, NULL, &place->index);
	view->moved = false;
	snprintf(place->selected, sizeof(place->selected), "%s",
		 row < 0 ? "" : body->keys[row]);
	return row;
}

static void scroll(struct view *view, const struct sheet *body, int selected)
{
	struct view_place *place = &view->place;
	int most = body->rows - view->page_rows;

	if (most < 0)
		most = 0;
	if (selected < 0 || view->help) { /* nothing to choose: keys scroll */
		if (place->index > most)
			place->index = most;
		place->top = place->index;
		return;
	}
	if (!place->index)
		place->top = 0;
	if (selected < place->top)
		place->top = selected;
	if (selected >= place->top + view->page_rows)
		place->top = selected - view->page_rows + 1;
	if (place->top > most)
		place->top = most;
}

static void mark(struct sheet *sheet, int row)
{
	sheet_put(sheet, row, 0, STYLE_BOLD, ">");
	for (int x = 0; x < sheet->width; x++)
		sheet->cells[(size_t)row * (size_t)sheet->width + (size_t)x]
			.selected = true;
}

static void compose(struct view *view, struct draw *draw, int height)
{
	struct sheet body, *screen = draw->sheet;
	int selected;

	sheet_init(&body, screen->width);
	view->page_rows = height - screen->rows - 1;
	draw->sheet = &body;
	draw_body(draw, height);
	draw->sheet = screen;
	selected = view->help ? -1 : select_row(view, &body);
	scroll(view, &body, selected);
	for (int i = 0; i < view->page_rows; i++) {
		int from = view->place.top + i, row = sheet_row(screen);

		if (from < body.rows)
			sheet_copy(screen, row, &body, from);
		if (from == selected && selected >= 0 && row >= 0)
			mark(screen, row);
	}
	sheet_free(&body);
}

void view_layout(struct view *view, const struct shown *shown, int width,
		 int height, struct sheet *screen)
{
	struct draw draw = {.shown = shown, .view = view, .sheet = screen};

	sheet_init(screen, width);
	if (width < VIEW_WIDTH_MIN || height < VIEW_HEIGHT_MIN) {
		sheet_printf(screen, sheet_row(screen), 0, STYLE_WARN,
			     "%dx%d is too small: %dx%d at least", width,
			     height, VIEW_WIDTH_MIN, VIEW_HEIGHT_MIN);
		while (screen->rows < height && sheet_row(screen) >= 0)
			;
		return;
	}
	draw_status(&draw);
	draw_totals(&draw);
	draw_tabs(&draw);
	draw_notice(&draw);
	compose(view, &draw, height);
	draw_foot(&draw);
}
