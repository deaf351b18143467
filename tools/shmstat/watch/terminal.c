/* SPDX-License-Identifier: Apache-2.0 */
/* See terminal.h. */
#include "tools/shmstat/watch/terminal.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "tools/shmstat/watch/view.h"

static SCREEN *screen;
static bool colours;

/* ---- putting it back when the program is killed ------------------------------- */

static const int killers[] = {SIGQUIT, SIGSEGV, SIGBUS,
			      SIGABRT, SIGFPE,  SIGILL};
#define KILLERS (sizeof(killers) / sizeof(killers[0]))

static struct sigaction before[KILLERS];
static struct termios saved;
static char restore[256]; /* sent to the terminal */

/* Calls what a signal handler may call, and no more. */
static void put_back(int number)
{
	ssize_t written = write(STDOUT_FILENO, restore, strlen(restore));

	(void)written;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	for (size_t i = 0; i < KILLERS; i++)
		if (killers[i] == number)
			sigaction(number, &before[i], NULL);
	raise(number);
}

static void add_restore(const char *capability)
{
	char *text = tigetstr(capability);
	size_t used = strlen(restore);

	if (text && text != (char *)-1 && used + strlen(text) < sizeof(restore))
		strcpy(restore + used, text);
}

static void catch_killers(void)
{
	struct sigaction action = {.sa_handler = put_back};

	sigemptyset(&action.sa_mask);
	*restore = 0;
	add_restore("sgr0");
	add_restore("cnorm");
	add_restore("rmkx");
	add_restore("rmcup");
	for (size_t i = 0; i < KILLERS; i++)
		sigaction(killers[i], &action, &before[i]);
}

/* ---- opening ----------------------------------------------------------------------- */

static bool can_place_text(char *why, size_t size)
{
	const char *term = getenv("TERM");
	char *cup;
	int found;
	bool can;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		snprintf(why, size, "it needs a terminal; --json needs none");
		return false;
	}
	if (!term || !*term || setupterm(NULL, STDOUT_FILENO, &found) == ERR) {
		snprintf(why, size,
			 "the terminal TERM=%s is not known here: set TERM to "
			 "one that is, install its description (package "
			 "ncurses-term), or use --json",
			 term ? term : "");
		return false;
	}
	cup = tigetstr("cup");
	can = cup && cup != (char *)-1;
	/* newterm() reads its own. */
	del_curterm(cur_term);
	if (!can) {
		snprintf(why, size,
			 "the terminal TERM=%s cannot place text: use another "
			 "one, `tapio-shmstat --interval 1s`, or --json",
			 term);
		return false;
	}
	return true;
}

static void init_colours(void)
{
	static const short ink[STYLES] = {
		[STYLE_PLAIN] = -1,
		[STYLE_DIM] = -1,
		[STYLE_BOLD] = -1,
		[STYLE_TITLE] = COLOR_CYAN,
		[STYLE_GOOD] = COLOR_GREEN,
		[STYLE_WARN] = COLOR_YELLOW,
		[STYLE_BAD] = COLOR_RED,
		[STYLE_SPARK] = COLOR_CYAN,
		[STYLE_HEAT_LOW] = COLOR_GREEN,
		[STYLE_HEAT_HALF] = COLOR_YELLOW,
		[STYLE_HEAT_HIGH] = COLOR_RED,
		[STYLE_BAR] = -1,
	};
	const char *no = getenv("NO_COLOR");

	colours = has_colors() && !(no && *no) && start_color() == OK &&
		  use_default_colors() == OK;
	for (short i = 0; colours && i < STYLES; i++)
		init_pair((short)(i + 1), ink[i], -1);
}

bool terminal_open(char *why, size_t size)
{
	/* Of characters only: numbers in JSON have a point in every country. */
	setlocale(LC_CTYPE, "");
	if (!can_place_text(why, size))
		return false;
	tcgetattr(STDIN_FILENO, &saved);
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		snprintf(why, size, "the terminal TERM=%s cannot be used",
			 getenv("TERM"));
		return false;
	}
	catch_killers();
	set_escdelay(25);
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	init_colours();
	return true;
}

void terminal_close(void)
{
	if (!screen)
		return;
	endwin();
	for (size_t i = 0; i < KILLERS; i++)
		sigaction(killers[i], &before[i], NULL);
	delscreen(screen);
	screen = NULL;
}

/* ---- showing ------------------------------------------------------------------------- */

void terminal_size(int *width, int *height)
{
	getmaxyx(stdscr, *height, *width);
}

bool terminal_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static attr_t attributes(const struct cell *cell)
{
	static const attr_t with_colours[STYLES] = {
		[STYLE_DIM] = A_DIM,     [STYLE_BOLD] = A_BOLD,
		[STYLE_TITLE] = A_DIM,   [STYLE_BAD] = A_BOLD,
		[STYLE_BAR] = A_REVERSE,
	};
	static const attr_t without[STYLES] = {
		[STYLE_DIM] = A_DIM,
		[STYLE_BOLD] = A_BOLD,
		[STYLE_TITLE] = A_UNDERLINE,
		[STYLE_WARN] = A_BOLD,
		[STYLE_BAD] = A_BOLD | A_REVERSE,
		[STYLE_BAR] = A_REVERSE,
	};
	attr_t attr =
		colours ? with_colours[cell->style] : without[cell->style];

	/* Dim and reversed is grey on grey on some terminals. */
	return cell->selected ? (attr & ~A_DIM) | A_REVERSE : attr;
}

static void draw_row(const struct sheet *sheet, int row)
{
	const struct cell *cells =
		sheet->cells + (size_t)row * (size_t)sheet->width;
	char run[2048];
	int x = 0;

	while (x < sheet->width) {
		const struct cell *first = &cells[x];
		int begin = x;
		size_t used = 0;

		for (; x < sheet->width && cells[x].style == first->style &&
		       cells[x].selected == first->selected &&
		       used + sizeof(first->glyph) < sizeof(run);
		     x++)
			used += (size_t)snprintf(run + used, sizeof(run) - used,
						 "%s", cells[x].glyph);
		attr_set(attributes(first),
			 colours && !first->selected ? (short)(first->style + 1)
						     : 0,
			 NULL);
		mvaddstr(row, begin, run);
	}
}

void terminal_draw(const struct sheet *sheet)
{
	erase();
	for (int row = 0; row < sheet->rows; row++)
		draw_row(sheet, row);
	refresh();
}

int terminal_key(void)
{
	static const struct {
		int code, key;
	} known[] = {
		{KEY_UP, VIEW_UP},
		{KEY_DOWN, VIEW_DOWN},
		{KEY_LEFT, VIEW_LEFT},
		{KEY_RIGHT, VIEW_RIGHT},
		{KEY_PPAGE, VIEW_PAGE_UP},
		{KEY_NPAGE, VIEW_PAGE_DOWN},
		{KEY_HOME, VIEW_HOME},
		{KEY_END, VIEW_END},
		{KEY_ENTER, VIEW_ENTER},
		{'\r', VIEW_ENTER},
		{'\n', VIEW_ENTER},
		{27, VIEW_ESCAPE},
		{KEY_BACKSPACE, VIEW_BACKSPACE},
		{127, VIEW_BACKSPACE},
		{8, VIEW_BACKSPACE},
	};
	int code = getch();

	if (code == ERR)
		return -1;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == code)
			return known[i].key;
	return code < 128 ? code : 0;
}
