/* SPDX-License-Identifier: Apache-2.0 */
/* The effects of keys. See view.h. */
#include <string.h>

#include "tools/shmstat/watch/view.h"

static void leave(struct view *view)
{
	if (view->depth) {
		view->place = view->back[--view->depth];
	} else if (*view->filter) {
		*view->filter = 0;
	} else {
		view->screen = SCREEN_OVERVIEW;
		view->place = (struct view_place){0};
	}
	view->moved = false;
}

static void enter(struct view *view)
{
	struct view_place place = {0};

	if (!*view->place.selected || view->depth == VIEW_DEPTH ||
	    !strcmp(view->place.selected, view->place.detail))
		return;
	memcpy(place.detail, view->place.selected, sizeof(place.detail));
	view->back[view->depth++] = view->place;
	view->place = place;
	view->moved = false;
}

static void go_to(struct view *view, enum view_screen screen)
{
	view->screen = screen;
	view->place = (struct view_place){0};
	view->depth = 0;
	view->moved = false;
}

static void move(struct view *view, int rows)
{
	view->place.index += rows;
	if (view->place.index < 0)
		view->place.index = 0;
	view->moved = true;
}

static void type(struct view *view, int key)
{
	size_t length = strlen(view->filter);

	switch (key) {
	case VIEW_ENTER:
		view->typing = false;
		break;
	case VIEW_ESCAPE:
		view->typing = false;
		*view->filter = 0;
		break;
	case VIEW_BACKSPACE:
		if (length)
			view->filter[length - 1] = 0;
		break;
	default:
		if (key < ' ' || key > '~' || length + 1 >= VIEW_FILTER)
			return;
		view->filter[length] = (char)key;
		view->filter[length + 1] = 0;
	}
	view->place.index = 0;
	view->place.top = 0;
	view->moved = true;
}

static void next_sort(struct view *view)
{
	unsigned int *sort = &view->sort[view->screen];

	(*sort)++;
	if (!view_sorts(view->screen)[*sort].name)
		*sort = 0;
	view->reversed[view->screen] = false;
}

static bool move_key(struct view *view, int key)
{
	switch (key) {
	case VIEW_UP:
	case 'k':
		move(view, -1);
		return true;
	case VIEW_DOWN:
	case 'j':
		move(view, 1);
		return true;
	case VIEW_PAGE_UP:
		move(view, -view->page_rows);
		return true;
	case VIEW_PAGE_DOWN:
		move(view, view->page_rows);
		return true;
	case VIEW_HOME:
	case 'g':
		move(view, -1000000);
		return true;
	case VIEW_END:
	case 'G':
		move(view, 1000000);
		return true;
	default:
		return false;
	}
}

static void command_key(struct view *view, int key)
{
	switch (key) {
	case 'q':
		view->quit = true;
		break;
	case '?':
	case 'h':
		view->help = true;
		break;
	case '/':
		view->typing = true;
		break;
	case ' ':
		view->paused = !view->paused;
		break;
	case 's':
		next_sort(view);
		break;
	case 'r':
		view->reversed[view->screen] = !view->reversed[view->screen];
		break;
	case '\t':
	case VIEW_RIGHT:
		go_to(view, (view->screen + 1) % SCREENS);
		break;
	case VIEW_LEFT:
		go_to(view, (view->screen + SCREENS - 1) % SCREENS);
		break;
	case VIEW_ENTER:
		enter(view);
		break;
	case VIEW_ESCAPE:
	case VIEW_BACKSPACE:
		leave(view);
		break;
	default:
		if (key >= '1' && key < '1' + SCREENS)
			go_to(view, (enum view_screen)(key - '1'));
	}
}

void view_key(struct view *view, int key)
{
	if (view->help) {
		view->help = false;
		return;
	}
	if (view->typing) {
		if (key == VIEW_UP || key == VIEW_DOWN)
			move_key(view, key);
		else
			type(view, key);
		return;
	}
	if (!move_key(view, key))
		command_key(view, key);
}
