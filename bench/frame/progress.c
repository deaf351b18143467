/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on the terminal about what is being done. It is drawn between
 * measurements only, never during one, and is gone when there is something to
 * read.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/frame/frame.h"

/* Before this share is done, what is left cannot be told. */
#define TOO_EARLY 0.03

static bool drawn;
static uint64_t begun_ns;

static bool on_terminal(void)
{
	static int known = -1;
	const char *term;

	if (known < 0) {
		term = getenv("TERM");
		known = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
	}
	return known;
}

static unsigned int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

static void left_text(double done, char *text, size_t bytes)
{
	double spent_s = (double)(bench_now_ns() - begun_ns) / 1e9, left_s;

	*text = 0;
	if (done < TOO_EARLY)
		return;
	left_s = spent_s / done * (1 - done);
	if (left_s < 90)
		snprintf(text, bytes, "%.0f s left", left_s);
	else
		snprintf(text, bytes, "%.0f min left", left_s / 60);
}

void bench_progress(double done, const char *case_name,
		    const struct bench_subject *subject, unsigned int turn,
		    unsigned int turns)
{
	char line[256], name[96], left[32], what[48] = "warming up";
	unsigned int columns;

	if (!on_terminal())
		return;
	if (!begun_ns)
		begun_ns = bench_now_ns();
	columns = terminal_columns() - 1;
	left_text(done, left, sizeof(left));
	if (turn)
		snprintf(what, sizeof(what), "turn %u of %u", turn, turns);
	snprintf(line, sizeof(line), "%3.0f %%  %s  %s  %s  %s", done * 100,
		 case_name, bench_subject_name(subject, name, sizeof(name)),
		 what, left);
	fprintf(stderr, "\r%.*s\033[K", (int)columns, line);
	fflush(stderr);
	drawn = true;
}

void bench_progress_clear(void)
{
	if (drawn)
		fprintf(stderr, "\r\033[K");
	drawn = false;
}
