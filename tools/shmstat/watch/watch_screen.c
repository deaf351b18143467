/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat watch` on a terminal: looks and keys, whichever comes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/live.h"
#include "tools/shmstat/watch/terminal.h"
#include "tools/shmstat/watch/view.h"
#include "tools/shmstat/watch/watch.h"

#define CHANGE_NS INT64_C(15000000000) /* so long a change is shown */

struct watch {
	struct live *live;
	struct rates *rates;
	struct view view;
	json_t *look;
	char why[512];
	char change[256];
	int64_t change_ns;
	uint64_t left; /* looks to come. 0: no end */
};

static void note_change(struct watch *w, const json_t *look, int64_t now)
{
	const json_t *changes = json_object_get(look, "changes");
	size_t count = json_array_size(changes);

	if (count) {
		snprintf(w->change, sizeof(w->change), "%s",
			 json_string_value(json_array_get(changes, count - 1)));
		w->change_ns = now;
	} else if (now - w->change_ns > CHANGE_NS) {
		*w->change = 0;
	}
}

/* The newest look, unless the view is paused. True: another one is shown now. */
static bool take(struct watch *w)
{
	struct live_news news;

	if (w->view.paused || !live_take(w->live, &news))
		return false;
	if (news.look && rates_add(w->rates, news.look, news.at_ns)) {
		json_decref(news.look);
		return false;
	}
	if (news.look)
		note_change(w, news.look, news.at_ns);
	json_decref(w->look);
	w->look = news.look;
	snprintf(w->why, sizeof(w->why), "%s", news.why);
	if (!w->look && !*w->why)
		snprintf(w->why, sizeof(w->why), "no memory was found");
	return true;
}

static void draw(struct watch *w)
{
	struct shown shown = {
		.look = w->look,
		.rates = w->rates,
		.why = w->why,
		.change = w->change,
		.utf8 = terminal_utf8(),
	};
	struct sheet sheet;
	int width, height;

	terminal_size(&width, &height);
	view_layout(&w->view, &shown, width, height, &sheet);
	terminal_draw(&sheet);
	sheet_free(&sheet);
}

static void read_keys(struct watch *w)
{
	int key;

	while ((key = terminal_key()) >= 0)
		view_key(&w->view, key);
}

/*
 * Until a key or a look comes, or a signal: a new size, a request to stop. False: the terminal
 * is gone, or it was asked to stop.
 */
static bool wait_for_something(struct watch *w, const sigset_t *open)
{
	struct pollfd fds[2] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = live_fd(w->live), .events = POLLIN},
	};
	struct timespec limit = {.tv_sec = 1};

	/* A look that comes while the view is paused waits there. */
	if (w->view.paused)
		fds[1].fd = -1;
	if (!tpi_stop_signal())
		ppoll(fds, 2, &limit, open);
	return !tpi_stop_signal() &&
	       !(fds[0].revents & (POLLERR | POLLHUP | POLLNVAL));
}

static void run(struct watch *w)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	sigset_t block, open;

	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&block, numbers[i]);
	/* They come during the wait alone, so none slips past it. */
	sigprocmask(SIG_BLOCK, &block, &open);
	do {
		read_keys(w);
		if (take(w) && w->left && !--w->left)
			break;
		if (w->view.quit)
			break;
		draw(w);
	} while (wait_for_something(w, &open));
	sigprocmask(SIG_SETMASK, &open, NULL);
}

/* A second signal must not end the program with the terminal as it is. */
static void keep_handlers(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaction(numbers[i], NULL, &action);
		action.sa_flags &= ~(int)SA_RESETHAND;
		sigaction(numbers[i], &action, NULL);
	}
}

int watch_screen(struct stat_args *args)
{
	const uint32_t parts = PART_BROKER | PART_CHANNELS | PART_LANES |
			       PART_GROUPS | PART_CLIENTS | PART_LEDGER;
	struct watch w = {.rates = rates_new(), .left = args->count};
	char why[512];
	int err = -ENOMEM;

	tpi_signals_init();
	keep_handlers();
	if (!terminal_open(why, sizeof(why))) {
		tpi_say("watch: %s", why);
		rates_free(w.rates);
		return TPI_EXIT_USAGE;
	}
	snprintf(w.why, sizeof(w.why), "looking for a broker");
	if (w.rates)
		err = live_start(&w.live, args, parts,
				 args->repeat_ns ? args->repeat_ns
						 : WATCH_INTERVAL_NS);
	if (!err)
		run(&w);
	/* First: the thread may have to wait for a broker that does not answer. */
	terminal_close();
	live_stop(w.live);
	json_decref(w.look);
	rates_free(w.rates);
	if (err)
		tpi_say("watch: %s", strerror(-err));
	return err ? TPI_EXIT_FAILURE : TPI_EXIT_OK;
}
