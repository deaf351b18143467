/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a collector: argp's tables are made from those of the settings. Values of the
 * command line are noted while argp runs, and stored behind those of the file: which file it
 * is, only the whole command line says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/common/collector.h"

#define OPTION_FIRST 0x1000 /* keys of options without a letter */

/* In the order of --help. Each heading of a collector begins a group behind its first. */
enum {
	GROUP_FIRST,
	GROUP_OWN,
	GROUP_BROKER = 100,
	GROUP_OTHER,
};

struct noted {
	const struct tpi_settings *table;
	const struct tpi_setting *row;
	const char *text;
};

struct parser {
	struct tpi_collector *c;
	struct tpi_settings tables[5]; /* the last one is {0} */
	struct tpi_setting channel_rows[3];
	int groups[4];
	struct argp_option *options;
	/* The row of an option, by its index. NULL: a heading. */
	struct noted *rows;
	size_t count;
	struct noted *noted;
	size_t noted_count;
};

/* ---- settings that every collector has ------------------------------------------------ */

#define AT(member) .offset = offsetof(struct tpi_collector_values, member)

static bool parse_wait(void *value, const char *text, char *why,
		       size_t why_bytes)
{
	int64_t *wait_ns = value;

	if (!text || !strcmp(text, "true")) {
		*wait_ns = TAPIO_FOREVER;
		return true;
	}
	if (!strcmp(text, "false"))
		text = "0";
	const struct tpi_setting row = {.kind = TPI_SETTING_DURATION};
	const struct tpi_settings table = {&row, value};

	return tpi_setting_store(&table, &row, text, why, why_bytes);
}

static const struct tpi_setting channel_rows[] = {
	{"channel", "NAME", "Channel to emit to (default: events)", 'c',
	 TPI_SETTING_TEXT, AT(channel)},
	{"class", "NAME",
	 "Class of lanes for urgent events: others cannot fill a class of their "
	 "own",
	 .kind = TPI_SETTING_TEXT, AT(urgent_class)},
	{0},
};

static const struct tpi_setting broker_rows[] = {
	{.help = "Broker:"},
	{"socket", "PATH", TPI_SOCKET_HELP, 's', TPI_SETTING_TEXT, AT(socket)},
	{"wait", "TIME",
	 "Wait for a broker and a channel that are not there yet, and for the next "
	 "broker when it ends, this long (default: for ever)",
	 'w', TPI_SETTING_OWN, AT(wait_ns), .parse = parse_wait,
	 .optional = true},
	{0},
};

static const struct tpi_setting other_rows[] = {
	{.help = "Other:"},
	{"config", "FILE",
	 "Read the settings in the section of this collector (default: " TAPIO_COLLECTORS_FILE
	 " if it exists)",
	 .kind = TPI_SETTING_TEXT, AT(config), .command_line_only = true},
	{"check", NULL, "Only say whether the settings are right, and end",
	 .kind = TPI_SETTING_FLAG, AT(check), .command_line_only = true},
	{"duration", "TIME", "Stop after this time", 'd', TPI_SETTING_DURATION,
	 AT(duration_ns)},
	{"health", "TIME",
	 "Between two reports of its own counts, as metric events (default: 30s; "
	 "forever: none)",
	 .kind = TPI_SETTING_DURATION, .min = 10000000, AT(health_ns)},
	{"quiet", NULL, "No summary at the end", 'q', TPI_SETTING_FLAG,
	 AT(quiet)},
	{0},
};

/* ---- argp's tables --------------------------------------------------------------------- */

static size_t count_rows(const struct tpi_setting *row)
{
	size_t count = 0;

	for (; row->name || row->help; row++)
		count++;
	return count;
}

static void add_option(struct parser *p, const struct tpi_settings *table,
		       const struct tpi_setting *row, int group)
{
	struct argp_option *option = &p->options[p->count];

	option->group = group;
	option->doc = row->help;
	if (row->name) {
		option->name = row->name;
		option->key =
			row->key ? row->key : OPTION_FIRST + (int)p->count;
		option->arg = row->kind == TPI_SETTING_FLAG ? NULL : row->arg;
		option->flags = row->optional ? OPTION_ARG_OPTIONAL : 0;
	}
	p->rows[p->count++] = (struct noted){.table = table, .row = row};
}

static bool make_options(struct parser *p)
{
	size_t count = 0;

	for (int t = 0; p->tables[t].rows; t++)
		count += count_rows(p->tables[t].rows);
	p->options = calloc(count + 1, sizeof(*p->options));
	p->rows = calloc(count, sizeof(*p->rows));
	if (!p->options || !p->rows)
		return false;
	for (int t = 0; p->tables[t].rows; t++)
		for (const struct tpi_setting *row = p->tables[t].rows;
		     row->name || row->help; row++) {
			p->groups[t] += row->kind == TPI_SETTING_HEADING;
			add_option(p, &p->tables[t], row, p->groups[t]);
		}
	return true;
}

/* ---- values ----------------------------------------------------------------------------- */

static const struct noted *row_of(const struct parser *p, int key)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->options[i].name && p->options[i].key == key)
			return &p->rows[i];
	return NULL;
}

static error_t note(struct parser *p, const struct noted *row, const char *text)
{
	struct noted *grown =
		realloc(p->noted, (p->noted_count + 1) * sizeof(*grown));

	if (!grown)
		return ENOMEM;
	p->noted = grown;
	p->noted[p->noted_count] = *row;
	p->noted[p->noted_count++].text = text;
	return 0;
}

/* A list on the command line takes the place of that of the file. */
static void empty_lists(struct parser *p)
{
	for (size_t i = 0; i < p->noted_count; i++) {
		const struct noted *noted = &p->noted[i];

		if (noted->row->kind != TPI_SETTING_LIST)
			continue;
		struct tpi_list *list = (void *)((char *)noted->table->values +
						 noted->row->offset);
		list->count = 0;
	}
}

/* Every value of the command line, or those that the file itself depends on. */
static void store_noted(struct parser *p, struct argp_state *state,
			bool of_command_line_only)
{
	char why[300];

	for (size_t i = 0; i < p->noted_count; i++) {
		const struct noted *n = &p->noted[i];

		if (of_command_line_only && !n->row->command_line_only)
			continue;
		if (tpi_setting_store(n->table, n->row, n->text, why,
				      sizeof(why)))
			continue;
		/* A number that is wrong by its size is part of the sentence. */
		argp_error(state,
			   !strncmp(why, "less than", 9) ? "--%s: %s is %s"
							 : "--%s: '%s' is %s",
			   n->row->name, n->text ? n->text : "", why);
	}
}

static error_t read_file(struct parser *p)
{
	struct tpi_collector *c = p->c;
	const char *file = c->values.config;
	char error[900];

	if (!file && access(TAPIO_COLLECTORS_FILE, F_OK) == 0)
		file = TAPIO_COLLECTORS_FILE;
	if (!file)
		return 0;
	if (!tpi_settings_file_load(&c->file, file, c->about->section,
				    p->tables, error, sizeof(error)))
		return 0;
	tpi_collector_fail(c, TPI_EXIT_USAGE, "%s", error);
	return EINVAL;
}

static error_t finish(struct parser *p, struct argp_state *state)
{
	struct tpi_collector *c = p->c;
	char why[300];

	store_noted(p, state, true);
	if (read_file(p))
		return EINVAL;
	empty_lists(p);
	store_noted(p, state, false);
	if (c->about->check &&
	    !c->about->check(c->about->settings.values, why, sizeof(why))) {
		tpi_collector_fail(c, TPI_EXIT_USAGE, "%s", why);
		return EINVAL;
	}
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parser *p = state->input;
	const struct noted *row;

	if (key == ARGP_KEY_SUCCESS)
		return finish(p, state);
	row = row_of(p, key);
	return row ? note(p, row, arg) : ARGP_ERR_UNKNOWN;
}

/* ---- the whole ------------------------------------------------------------------------- */

static void set_tables(struct parser *p)
{
	struct tpi_collector *c = p->c;

	memcpy(p->channel_rows, channel_rows, sizeof(channel_rows));
	if (c->about->channel_option) {
		p->channel_rows[0].name = c->about->channel_option;
		p->channel_rows[0].help = c->about->channel_help;
		p->channel_rows[0].key = 0;
	}
	p->tables[0] = (struct tpi_settings){p->channel_rows, &c->values};
	p->tables[1] = c->about->settings;
	p->tables[2] = (struct tpi_settings){broker_rows, &c->values};
	p->tables[3] = (struct tpi_settings){other_rows, &c->values};
	p->groups[0] = GROUP_FIRST;
	p->groups[1] = GROUP_OWN;
	p->groups[2] = GROUP_BROKER;
	p->groups[3] = GROUP_OTHER;
}

/* --check: says what is right, too. */
static bool checked(struct tpi_collector *c)
{
	if (c->about->probe)
		c->status = c->about->probe(c->about->settings.values);
	if (!c->status)
		tpi_say("the settings are right");
	return false;
}

bool tpi_collector_options(struct tpi_collector *c, int argc, char **argv)
{
	struct parser p = {.c = c};

	c->values = (struct tpi_collector_values){
		.channel = c->about->channel ? c->about->channel : "events",
		.wait_ns = c->about->waits ? TAPIO_FOREVER : 0,
		.health_ns = INT64_C(30000000000),
		.duration_ns = TAPIO_FOREVER,
	};
	set_tables(&p);
	error_t err = ENOMEM;
	if (make_options(&p)) {
		const struct argp argp = {.options = p.options,
					  .parser = parse,
					  .doc = c->about->doc};

		err = argp_parse(&argp, argc, argv, 0, NULL, &p);
	}
	free(p.options);
	free(p.rows);
	free(p.noted);
	if (err) {
		if (!c->status)
			tpi_collector_fail(c, TPI_EXIT_FAILURE, "%s",
					   strerror(err));
		return false;
	}
	return c->values.check ? checked(c) : true;
}
