/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat watch`: which form, and the one of JSON Lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/shmstat/live.h"
#include "tools/shmstat/rates.h"
#include "tools/shmstat/watch/watch.h"

struct lines {
	struct rates *rates;
	char why[512];  /* that was said last, by a line */
	char said[512]; /* with a look, on stderr */
	uint64_t left;  /* looks to come. 0: no end */
	int status;
};

/* False: it is over. */
static bool print(struct lines *lines, json_t *line)
{
	char *text;
	int written = -ENOMEM;

	json_object_set_new(
		line, "time_ns",
		json_integer((json_int_t)tpi_clock_read_ns(CLOCK_REALTIME)));
	text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
	if (text) {
		written = stat_write(text, strlen(text));
		if (written == 1)
			written = stat_write("\n", 1);
	}
	free(text);
	if (!written)
		lines->status = TPI_EXIT_OK;
	if (written < 0) {
		tpi_say("cannot write standard output: %s", strerror(-written));
		lines->status = TPI_EXIT_FAILURE;
	}
	return written == 1;
}

/* Once for each reason: it stays the same while nothing comes. */
static bool print_waiting(struct lines *lines, const char *why)
{
	json_t *line;
	bool good;

	if (!strcmp(lines->why, why))
		return true;
	snprintf(lines->why, sizeof(lines->why), "%s", why);
	line = json_pack("{s:s}", "waiting", why);
	good = !line || print(lines, line);
	json_decref(line);
	return good;
}

/* Words that a look does not have in itself. */
static void say_beside(struct lines *lines, const char *why)
{
	if (*why && strcmp(lines->said, why) != 0)
		tpi_say("%s", why);
	snprintf(lines->said, sizeof(lines->said), "%s", why);
}

static bool print_look(struct lines *lines, struct live_news *news)
{
	bool good;

	*lines->why = 0;
	say_beside(lines, news->why);
	if (rates_add(lines->rates, news->look, news->at_ns))
		return true;
	lines->status = stat_look_status(news->look);
	good = print(lines, news->look);
	if (lines->left && !--lines->left)
		return false;
	return good;
}

static void print_all(struct lines *lines, struct live *live)
{
	struct live_news news;
	bool go = true;

	while (go && !tpi_stop_signal()) {
		if (tpi_wait_until(live_fd(live), INT64_MAX) < 0)
			break;
		if (!live_take(live, &news))
			continue;
		if (news.look)
			go = print_look(lines, &news);
		else
			go = print_waiting(lines, news.why);
		json_decref(news.look);
	}
}

static int watch_lines(struct stat_args *args)
{
	struct lines lines = {
		.rates = rates_new(),
		.left = args->count,
	};
	struct live *live;
	int err = -ENOMEM;

	tpi_signals_init();
	if (lines.rates)
		err = live_start(&live, args, PARTS_ALL,
				 args->repeat_ns ? args->repeat_ns
						 : WATCH_INTERVAL_NS);
	if (err) {
		tpi_say("watch: %s", strerror(-err));
		rates_free(lines.rates);
		return TPI_EXIT_FAILURE;
	}
	print_all(&lines, live);
	live_stop(live);
	rates_free(lines.rates);
	return lines.status;
}

int command_watch(struct stat_args *args)
{
	if (args->json)
		return watch_lines(args);
#ifdef TAPIO_CURSES
	return watch_screen(args);
#else
	tpi_say("watch: this tapio-shmstat was built without ncurses: use "
		"`tapio-shmstat --interval 1s`, `watch --json` or `serve`");
	return TPI_EXIT_FAILURE;
#endif
}
