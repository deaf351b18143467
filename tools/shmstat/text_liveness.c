/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first lines of every text form, from `liveness`:
 *
 *	snapshot of 2026-11-30 18:26:57 UTC, host a (..)	(of a snapshot)
 *	tapiod 2979 running 3h12m, restarts 0, keeper 2978, 0.1.0 (layout 0.5)
 *	pages hugetlb, placement verified, rseq proven; tool 0.1.0 (layout 0.5)
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/error.h"
#include "tools/shmstat/text.h"

static const char *word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : "-";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* "running 3h12m", "GONE (it said running)". */
static void print_state(char *line, size_t bytes, const json_t *l)
{
	static const struct column uptime = {"uptime_s", "", COLUMN_SECONDS, 1};
	const char *process = word(l, "process"), *state = word(l, "state");
	char since[CELL_BYTES];

	cell_print(since, l, &uptime, false);
	if (!strcmp(process, "running"))
		snprintf(line, bytes, "%s %.40s", state, since);
	else if (!strcmp(process, "stopped"))
		snprintf(line, bytes,
			 "SUSPENDED (a signal stopped it), up %.40s", since);
	else if (!strcmp(process, "gone") && !strcmp(state, "stopped"))
		snprintf(line, bytes, "gone (shut down)");
	else if (!strcmp(process, "gone"))
		snprintf(line, bytes, "GONE (killed while %s)", state);
	else
		snprintf(line, bytes, "%s, its process is not visible here",
			 state);
}

static void print_keeper(char *line, size_t bytes, const json_t *l)
{
	const char *keeper = word(l, "keeper");

	if (!strcmp(keeper, "process"))
		snprintf(line, bytes, "keeper %lld%s",
			 (long long)number(l, "keeper_pid"),
			 strcmp(word(l, "keeper_process"), "gone") ? ""
								   : " gone");
	else if (!strcmp(keeper, "none"))
		snprintf(line, bytes, "no keeper");
	else
		snprintf(line, bytes, "keeper %s", keeper);
}

/* "hugetlb", or of several kinds each with its bytes. */
static void print_pages(char *line, size_t bytes, const json_t *l)
{
	json_t *pages = json_object_get(l, "pages_bytes"), *value;
	char cell[CELL_BYTES], all[CELL_BYTES] = "";
	const char *key;

	json_object_foreach(pages, key, value)
	{
		const struct column c = {key, "", COLUMN_BYTES, 1};
		size_t at = strlen(all);

		cell_print(cell, pages, &c, false);
		snprintf(all + at, sizeof(all) - at, "%s%.20s%s%.40s",
			 at ? ", " : "", key,
			 json_object_size(pages) > 1 ? " " : "",
			 json_object_size(pages) > 1 ? cell : "");
	}
	snprintf(line, bytes, "pages %s", *all ? all : "-");
}

static void print_placement(char *line, size_t bytes, const json_t *l)
{
	json_int_t misplaced = number(l, "misplaced_pages");

	if (misplaced)
		snprintf(line, bytes, "placement %s (%lld pages misplaced)",
			 word(l, "placement"), (long long)misplaced);
	else
		snprintf(line, bytes, "placement %s", word(l, "placement"));
}

static void print_lanes(char *line, size_t bytes, const json_t *l)
{
	if (!strcmp(word(l, "lanes"), "cpu"))
		snprintf(line, bytes, "rseq %s", word(l, "rseq"));
	else
		snprintf(line, bytes, "side lanes: rseq %s (%s)",
			 word(l, "rseq"), word(l, "lanes_why"));
}

/* The part that is missing in it, since its writer could not read it. */
static void print_not_taken(const json_t *look, const json_t *s, size_t width)
{
	size_t channels = json_array_size(json_object_get(look, "not_read"));
	char line[256];

	if (!channels && !json_is_true(json_object_get(s, "denied")))
		return;
	if (channels)
		snprintf(line, sizeof(line),
			 "NOT WHOLE: %zu channel%s could not be read when it "
			 "was taken, by uid %lld",
			 channels, TPI_PLURAL(channels),
			 (long long)number(s, "uid"));
	else
		snprintf(line, sizeof(line),
			 "it was taken by uid %lld, without the right to look "
			 "into some processes",
			 (long long)number(s, "uid"));
	text_wrap(line, 0, width);
}

/* Of memory that is no live one: of which time and host it is. */
static void print_snapshot(const json_t *look, size_t width)
{
	const json_t *s =
		json_object_get(json_object_get(look, "source"), "snapshot");
	char line[1024], when[64];
	time_t taken = (time_t)(number(s, "taken_ns") / 1000000000);
	struct tm t;

	if (!json_is_object(s))
		return;
	if (!gmtime_r(&taken, &t) ||
	    !strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &t))
		snprintf(when, sizeof(when), "an unknown time");
	snprintf(line, sizeof(line),
		 "snapshot of %s, host %s (%s), by tool %s: no live memory",
		 when, word(s, "host"), word(s, "kernel"), word(s, "tool"));
	text_wrap(line, 0, width);
	print_not_taken(look, s, width);
}

void text_liveness(const json_t *look, size_t width)
{
	const json_t *l = json_object_get(look, "liveness");
	char line[1024], a[256], b[256], c[256];

	print_snapshot(look, width);
	print_state(a, sizeof(a), l);
	print_keeper(b, sizeof(b), l);
	snprintf(line, sizeof(line),
		 "tapiod %lld %s, restarts %lld, %s, %s (layout %s)",
		 (long long)number(l, "pid"), a,
		 (long long)number(l, "restarts"), b, word(l, "version"),
		 word(l, "abi"));
	text_wrap(line, 0, width);
	print_pages(a, sizeof(a), l);
	print_placement(b, sizeof(b), l);
	print_lanes(c, sizeof(c), l);
	snprintf(line, sizeof(line), "%s, %s, %s; tool %s (layout %s)", a, b, c,
		 word(l, "tool_version"), word(l, "tool_abi"));
	text_wrap(line, 0, width);
}
