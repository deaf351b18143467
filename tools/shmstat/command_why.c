/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapio-shmstat why`: two looks, --interval apart, and the causes that they show. Text is for
 * reading, JSON has the same. A name that is not there is a cause, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/text.h"
#include "tools/shmstat/why.h"

#define BETWEEN_NS INT64_C(1000000000)

enum {
	OPTION_GROUP = 0x2000,
	OPTION_CAUSES
};

static bool list_asked; /* --causes */

static const struct argp_option options[] = {
	{0, 0, 0, 0, "Of `why`", 5},
	{"group", OPTION_GROUP, "NAME", 0, "Only what concerns this group", 5},
	{"causes", OPTION_CAUSES, NULL, 0,
	 "List the causes that it knows, how each is seen, and its remedy", 5},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stat_args *args = state->input;

	switch (key) {
	case OPTION_GROUP:
		args->filter.group = arg;
		return 0;
	case OPTION_CAUSES:
		list_asked = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp why_argp = {.options = options, .parser = parse};

/* ---- text ---------------------------------------------------------------------- */

static void print_one(const char *title, const char *severity, const char *text,
		      const char *remedy, size_t width)
{
	printf("%s (%s)\n   ", title, severity);
	text_wrap(text, 3, width);
	fputs("   -> ", stdout);
	text_wrap(remedy, 6, width);
}

void why_print(const json_t *found, size_t width)
{
	const json_t *one;
	char title[64];
	size_t i;

	json_array_foreach(found, i, one)
	{
		snprintf(title, sizeof(title), "%zu. %s", i + 1,
			 row_text(one, "cause"));
		print_one(title, row_text(one, "severity"),
			  row_text(one, "sentence"), row_text(one, "remedy"),
			  width);
	}
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
}

static void list_one(const struct stat_cause *c, size_t width)
{
	print_one(c->id, severity_name(c->severity), c->seen, c->remedy, width);
	if (!c->other_remedy)
		return;
	fputs("   or ", stdout);
	text_wrap(c->other_remedy, 6, width);
}

static int list_causes(const struct stat_args *args)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CAUSES; i++) {
		const struct stat_cause *c = &stat_causes[i];
		const char *severity = severity_name(c->severity);

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "cause",
				  c->id, "severity", severity, "seen", c->seen,
				  "sentence", c->sentence, "remedy", c->remedy,
				  "other_remedy", c->other_remedy));
		if (!args->json)
			list_one(c, text_width(args));
	}
	list = json_pack("{s:s, s:o}", "schema", STAT_SCHEMA_CAUSES, "causes",
			 list);
	if (args->json)
		print_json(list);
	json_decref(list);
	return TPI_EXIT_OK;
}

/* ---- what was asked about ------------------------------------------------------ */

static json_t *names_of(const json_t *look, const char *part, const char *key)
{
	json_t *names = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(look, part), i, row)
		json_array_append(names, json_object_get(row, key));
	return names;
}

static bool has_row(const struct why *why, const char *part)
{
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, part), i,
			   row) if (why_concerns(why, row)) return true;
	return false;
}

/* Whether it maps a catalog, and whether it is this one. */
static bool maps_catalog(pid_t pid, uint64_t inode, bool *ours)
{
	char path[64], line[512];
	uint64_t found;
	bool any = false;
	FILE *file;

	*ours = false;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, "/memfd:tapio-catalog"))
			continue;
		any = true;
		if (sscanf(line, "%*s %*s %*s %*s %" SCNu64, &found) == 1)
			*ours |= found == inode;
	}
	if (file)
		fclose(file);
	return any;
}

static json_t *comm_of(pid_t pid)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (file && fgets(comm, sizeof(comm), file))
		comm[strcspn(comm, "\n")] = 0;
	if (file)
		fclose(file);
	return *comm ? value_text(comm, sizeof(comm)) : json_null();
}

/* One process that was named, and is no client here. */
static void find_client(struct why *why, const struct tpi_inspect *inspect)
{
	pid_t pid = (pid_t)why->filter->client.first;
	struct tapio_shm_segment catalog = {0};
	bool ours, elsewhere;

	if (has_row(why, "clients"))
		return;
	tpi_inspect_segment(inspect, 0, &catalog);
	elsewhere = maps_catalog(pid, catalog.inode, &ours) && !ours;
	why_add(why, elsewhere ? CAUSE_ELSEWHERE : CAUSE_NO_CLIENT,
		json_pack("{s:I, s:o}", "pid", (json_int_t)pid, "comm",
			  comm_of(pid)));
}

void why_named(struct why *why, const struct tpi_inspect *inspect)
{
	const char *channel = why->filter->channel;

	if (channel && !has_row(why, "channels"))
		why_add(why, CAUSE_NO_CHANNEL,
			json_pack("{s:s, s:o}", "channel", channel, "channels",
				  names_of(why->after, "channels", "channel")));
	else if (why->group && !has_row(why, "groups"))
		why_add(why, CAUSE_NO_GROUP,
			json_pack("{s:s, s:s?, s:o}", "group", why->group,
				  "channel", channel, "groups",
				  names_of(why->after, "groups", "group")));
	if (why->filter->client.set)
		find_client(why, inspect);
}

/* ---- the command --------------------------------------------------------------- */

static json_int_t sum(const struct why *why, const json_t *look,
		      const char *part, const char *key)
{
	json_int_t total = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(look, part), i,
			   row) if (why_concerns(why, row)) total +=
		row_count(row, key);
	return total;
}

static json_int_t count(const struct why *why, const char *part)
{
	json_int_t total = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, part), i, row) total +=
		why_concerns(why, row);
	return total;
}

/* Groups whose sums the numbers are without, or null: none. */
static json_t *groups_not_read(const struct why *why)
{
	json_int_t total = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "groups"), i, row) total +=
		why_concerns(why, row) &&
		json_is_true(json_object_get(row, "not_read"));
	return total ? json_integer(total) : json_null();
}

/* The numbers that the answer rests on: of the time between two looks, or of one in all. */
static json_t *looked_at(const struct why *why)
{
	static const struct {
		const char *key, *part, *column;
	} moved[] = {
		{"published", "lanes", "published"},
		{"refused", "lanes", "dropped_total"},
		{"delivered", "groups", "delivered"},
		{"lost", "groups", "lost"},
	};
	json_t *object =
		json_pack("{s:f, s:I, s:I, s:I, s:I}", "seconds", why->seconds,
			  "channels", count(why, "channels"), "lanes",
			  count(why, "lanes"), "groups", count(why, "groups"),
			  "clients", count(why, "clients"));

	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++)
		json_object_set_new(
			object, moved[i].key,
			json_integer(sum(why, why->after, moved[i].part,
					 moved[i].column) -
				     sum(why, why->before, moved[i].part,
					 moved[i].column)));
	json_object_set_new(object, "groups_not_read", groups_not_read(why));
	return object;
}

static void print_looked_at(const struct why *why, const json_t *found,
			    const json_t *at, size_t width)
{
	char *text = cause_fill(
		why->before
			? "looked at the broker, {channels channel}, {lanes "
			  "lane}, {groups group} and {clients client}, twice "
			  "within {seconds} s: {published event} published, "
			  "{delivered} delivered, {refused} refused, {lost} "
			  "lost meanwhile[, without {groups_not_read group} "
			  "that could not be read]"
			: "looked at the snapshot of the broker, {channels "
			  "channel}, {lanes lane}, {groups group} and {clients "
			  "client}: {published event} published, {delivered} "
			  "delivered, {refused} refused, {lost} lost in all[, "
			  "without {groups_not_read group} that could not be "
			  "read]",
		at);

	if (!json_array_size(found))
		puts("nothing found");
	if (text)
		text_wrap(text, 0, width);
	free(text);
}

static bool has_fault(const json_t *found)
{
	return row_is(json_array_get(found, 0), "severity", "fault");
}

/* As every look: without a right that it needs it does not call itself healthy. */
static json_t *healthy(const json_t *found, int denied)
{
	if (has_fault(found))
		return json_false();
	return denied ? json_null() : json_true();
}

static void show(const struct stat_args *args, const struct why *why,
		 json_t *found, int denied)
{
	json_t *at = looked_at(why);

	if (args->json) {
		json_t *look = json_pack("{s:s, s:O, s:o, s:O, s:O}", "schema",
					 STAT_SCHEMA_WHY, "source",
					 json_object_get(why->after, "source"),
					 "healthy", healthy(found, denied),
					 "looked_at", at, "causes", found);

		print_json(look);
		json_decref(look);
	} else {
		why_print(found, text_width(args));
		print_looked_at(why, found, at, text_width(args));
	}
	json_decref(at);
}

static int answer(const struct stat_args *args, struct tpi_inspect *inspect,
		  const json_t *before, int64_t between_ns)
{
	json_t *after = parts_collect(inspect, WHY_PARTS), *found = NULL;
	int status = TPI_EXIT_FAILURE;
	struct why why = {
		.before = before,
		.after = after,
		.seconds = (double)between_ns / 1e9,
		.filter = &args->filter,
		.group = args->filter.group,
		.inspect = inspect,
	};

	if (after)
		found = why_find(&why);
	if (found) {
		status = why_not_read(&why);
		show(args, &why, found, status);
		if (has_fault(found))
			status = TPI_EXIT_FAILURE;
	} else {
		tpi_say("out of memory");
	}
	json_decref(found);
	json_decref(after);
	return status;
}

int stat_two_looks(struct stat_args *args, stat_two_looks_fn *answer_fn)
{
	int64_t gap = args->repeat_ns ? args->repeat_ns : BETWEEN_NS, begin;
	struct tpi_inspect *inspect;
	json_t *before;
	int status = stat_open(args, &inspect);

	if (status)
		return status;
	if (inspect->snapshot) { /* nothing moves in a copy */
		status = answer_fn(args, inspect, NULL, 0);
		tpi_inspect_close(inspect);
		return status;
	}
	tpi_signals_init();
	begin = tpi_monotonic_ns();
	before = parts_collect(inspect, WHY_PARTS);
	if (before && tpi_sleep_until(begin + gap))
		status = answer_fn(args, inspect, before,
				   tpi_monotonic_ns() - begin);
	else if (!before)
		status = TPI_EXIT_FAILURE;
	json_decref(before);
	tpi_inspect_close(inspect);
	return status;
}

int command_why(struct stat_args *args)
{
	return list_asked ? list_causes(args) : stat_two_looks(args, answer);
}
