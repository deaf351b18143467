/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `watch` without a terminal: which screen is shown, what the keys change in it, and a look
 * as a sheet of exactly the terminal's size.
 */
#ifndef WATCH_VIEW_H
#define WATCH_VIEW_H

#include "tools/shmstat/rates.h"
#include "tools/shmstat/watch/sheet.h"

enum view_screen {
	SCREEN_OVERVIEW,
	SCREEN_LANES,
	SCREEN_GROUPS,
	SCREEN_CLIENTS,
	SCREENS
};

/* Keys that are no characters. */
enum view_key {
	VIEW_UP = 256,
	VIEW_DOWN,
	VIEW_LEFT,
	VIEW_RIGHT,
	VIEW_PAGE_UP,
	VIEW_PAGE_DOWN,
	VIEW_HOME,
	VIEW_END,
	VIEW_ENTER,
	VIEW_ESCAPE,
	VIEW_BACKSPACE,
};

#define VIEW_FILTER 40
#define VIEW_DEPTH  6

/* A place to come back to. */
struct view_place {
	char detail[SHEET_KEY];   /* its row. Empty: the list of the screen */
	char selected[SHEET_KEY]; /* the row */
	int index, top; /* among the rows that can be selected; scrolled */
};

/* All zero at first. */
struct view {
	enum view_screen screen;
	unsigned int sort[SCREENS];
	bool reversed[SCREENS];
	char filter[VIEW_FILTER];
	bool typing, paused, help, quit;
	struct view_place place, back[VIEW_DEPTH];
	int depth;
	bool moved;    /* `index` is newer than `selected` */
	int page_rows; /* of the body, as it was laid out last */
};

/* All that is shown. */
struct shown {
	const json_t *look; /* with rates, or NULL */
	const struct rates *rates;
	const char *why;    /* the reason of no look, a warning, or empty */
	const char *change; /* the last event of interest, or empty */
	bool utf8;
};

#define VIEW_WIDTH_MIN  40
#define VIEW_HEIGHT_MIN 10

void view_key(struct view *view, int key);
/* Lays out a sheet of `height` rows, to be freed by the caller. */
void view_layout(struct view *view, const struct shown *shown, int width,
		 int height, struct sheet *screen);

/* ---- between the files of the view ------------------------------------------- */

struct draw {
	const struct shown *shown;
	const struct view *view;
	struct sheet *sheet;
};

struct sort {
	const char *name;
	const char *
		path; /* of a number, as "latency_ns/p99". NULL: as they come */
};

/* Ends with a row without a name. The overview sorts groups. */
const struct sort *view_sorts(enum view_screen screen);
static inline const struct sort *view_sort(const struct view *view,
					   enum view_screen screen)
{
	return &view_sorts(screen)[view->sort[screen]];
}

/* Of an array, those that the filter lets through, in order. Freed by the caller. */
struct picked {
	json_t **all;
	size_t count;
};
void pick_rows(struct picked *rows, const struct draw *draw, const char *part,
	       enum view_screen screen);
/* Rows of a part whose `key` is `value`, and whose channel is that. */
void pick_of(struct picked *rows, const struct draw *draw, const char *part,
	     const char *channel, const char *key, const json_t *value);
void pick_free(struct picked *rows);

/* A number below objects: "latency_ns/p99". NAN: there is none. */
double row_number(const json_t *row, const char *path);
/* The name of a client by its id: "name[pid]", or "-". */
void client_name(const struct draw *draw, long long id, char *text,
		 size_t size);

/* Each adds rows to the sheet. `most`: so many at most, and says how many are more. */
void draw_heat(struct draw *draw);
void draw_lanes(struct draw *draw, const struct picked *rows, size_t most);
void draw_groups(struct draw *draw, const struct picked *rows, size_t most);
void draw_clients(struct draw *draw, const struct picked *rows, size_t most);
void draw_drops(struct draw *draw, size_t most);
void draw_title(struct draw *draw, const char *title, const char *more);
void draw_detail(struct draw *draw, const char *key);
void draw_help(struct draw *draw);

#endif
