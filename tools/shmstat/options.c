/* SPDX-License-Identifier: Apache-2.0 */
/* Options that serve several commands. Those of one command stand in its file. */
#include "tools/shmstat/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/rows.h"

#define TIMEOUT_NS INT64_C(2000000000)

enum {
	OPTION_SCAN = 256,
	OPTION_TIMEOUT,
	OPTION_OWNER,
	OPTION_INSTANCE,
	OPTION_WIDE,
	OPTION_COUNT,
	OPTION_FILE,
	OPTION_CHANNEL,
	OPTION_CPU,
	OPTION_NODE,
	OPTION_CLIENT,
	OPTION_SORT,
	OPTION_LIMIT,
	OPTION_NO_HEADER,
	OPTION_EXPLAIN,
};

static const struct argp_option options[] = {
	{0, 0, 0, 0, "Where the memory is", 1},
	{"socket", 's', "PATH", 0, TPI_SOCKET_HELP, 1},
	{"pid", 'p', "PID", 0,
	 "Look into the memory that this process holds: a broker or a client",
	 1},
	{"instance", OPTION_INSTANCE, "HEX", 0,
	 "Only memory whose instance begins so, in PID or in every process: also "
	 "memory that a dead broker has left and clients still hold",
	 1},
	{"scan", OPTION_SCAN, NULL, 0,
	 "If no broker answers, look into every process (the default when no "
	 "socket is named)",
	 1},
	{"owner", OPTION_OWNER, "UID", 0,
	 "In other processes also believe files of this user; without it, those "
	 "of root, yourself, and the owner of the socket or of PID",
	 1},
	{"timeout", OPTION_TIMEOUT, "TIME", 0,
	 "How long the broker may take to answer (default: 2s)", 1},
	{"file", OPTION_FILE, "FILE", 0,
	 "Show a snapshot, as 'tapio-shmstat snapshot' writes it, and no live "
	 "memory",
	 1},
	{0, 0, 0, 0, "Which rows", 2},
	{"include", 'I', "GLOB", 0,
	 "Only rows with a name (of channel, class, group, command or counter) "
	 "that matches this pattern; several add up",
	 2},
	{"exclude", 'X', "GLOB", 0, "No rows with such a name", 2},
	{"channel", OPTION_CHANNEL, "GLOB", 0, "Only rows of these channels",
	 2},
	{"cpu", OPTION_CPU, "N[-M]", 0, "Only lanes of these CPUs", 2},
	{"node", OPTION_NODE, "N[-M]", 0,
	 "Only lanes and segments of these NUMA nodes", 2},
	{"client", OPTION_CLIENT, "PID[-PID]", 0,
	 "Only clients with these process numbers", 2},
	{"nonzero", 'z', NULL, 0, "No rows in which every count is 0", 2},
	{"sort", OPTION_SORT, "[-]KEY", 0,
	 "By this column or key of the JSON: large numbers first, words by the "
	 "alphabet; with '-' the other way round",
	 2},
	{"limit", OPTION_LIMIT, "N", 0, "No more rows than these in each part",
	 2},
	{0, 0, 0, 0, "How it is shown", 3},
	{"json", 'j', NULL, 0, "Print JSON", 3},
	{"wide", OPTION_WIDE, NULL, 0,
	 "All columns, also where they need more than 80 characters", 3},
	{"all", 'a', NULL, 0, "Also show side lanes that were never used", 3},
	{"no-header", OPTION_NO_HEADER, NULL, 0,
	 "Rows alone: no lines about the broker, no titles", 3},
	{"explain", OPTION_EXPLAIN, NULL, 0,
	 "counters: meaning, cause and remedy, of all or of those that are named; "
	 "also without a broker",
	 3},
	{"interval", 'i', "TIME", 0,
	 "Look again after each interval, until interrupted", 3},
	{"watch", 'w', "TIME", OPTION_ALIAS, NULL, 3},
	{"count", OPTION_COUNT, "N", 0,
	 "Look so often (with an interval of 1s if none is named)", 3},
	{0},
};

static const char doc[] =
	"Shows the memory of a Tapio broker: its segments, how full its lanes are, "
	"its clients, and an account of every event.\v"
	"Examples:\n"
	"  tapio-shmstat                        is it alive, and does it lose?\n"
	"  tapio-shmstat lanes groups           how full, and all that was lost\n"
	"  tapio-shmstat groups --sort lost -z  the largest losses first\n"
	"  tapio-shmstat --json ledger          every event accounted for\n"
	"  tapio-shmstat counters --explain refusals   what does it mean?\n"
	"  tapio-shmstat --pid $(pgrep -x tapiod)  a broker that does not answer\n"
	"  tapio-shmstat watch                  a live view of the terminal's size\n"
	"  tapio-shmstat serve                  metrics, and a live page in a browser\n"
	"  tapio-shmstat check                  is all of it as it must be?\n"
	"\n"
	"Exit status: 0 all is well, 1 a check failed or something does not "
	"balance, 2 wrong usage, 3 no broker was found, 4 it is of another version, "
	"5 no right to look, 6 the memory cannot be followed.";

struct parse {
	struct stat_args *args;
	const struct stat_command *command;
	const char *sort; /* as it was named */
};

/* A word that names nothing is answered by all that there is. */
static void refuse_word(struct argp_state *state, const char *word)
{
	char names[512] = "";
	const struct part *part;
	size_t at = 0;

	for (size_t i = 0; (part = part_at(i)) && at < sizeof(names); i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, ", %s",
				       part->name);
	for (size_t i = 0; stat_commands[i].name && at < sizeof(names); i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, ", %s",
				       stat_commands[i].name);
	argp_error(state, "'%s' is not one of all%s", word, names);
}

/* Behind a command its arguments; else parts, and behind `counters` names of these. */
static void add_word(struct parse *p, struct argp_state *state, char *word)
{
	struct stat_args *args = p->args;
	uint32_t part = p->command ? 0 : parts_by_name(word);

	if (!state->arg_num) {
		p->command = stat_command_find(word);
		if (p->command)
			return;
	}
	args->parts |= part;
	if (part)
		return;
	if (!p->command && !(args->parts & PART_COUNTERS))
		refuse_word(state, word);
	if (p->command && args->word_count == p->command->words_max)
		argp_error(state, "%s: '%s' is one word too many",
			   p->command->name, word);
	args->words[args->word_count++] = word;
}

/* Commands that say nothing of a copy of the memory. */
static void refuse_file(const struct stat_command *command,
			struct argp_state *state)
{
	static const char *const live[] = {"instances", "serve", "snapshot",
					   "watch"};

	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (!strcmp(command->name, live[i]))
			argp_error(state,
				   "%s needs live memory, and --file names a "
				   "snapshot, which does not change",
				   command->name);
}

/* A filter that a command does not heed would have an answer about something else. */
static void refuse_filter(const struct parse *p, struct argp_state *state)
{
	const struct stat_filter *f = &p->args->filter;
	const struct {
		bool named;
		uint32_t bit;
		const char *option;
	} all[] = {
		{f->channel, FILTER_CHANNEL, "--channel"},
		{f->group, FILTER_GROUP, "--group"},
		{f->client.set, FILTER_CLIENT, "--client"},
		{f->include.count, FILTER_ROWS, "--include"},
		{f->exclude.count, FILTER_ROWS, "--exclude"},
		{f->cpu.set, FILTER_ROWS, "--cpu"},
		{f->node.set, FILTER_ROWS, "--node"},
		{f->nonzero, FILTER_ROWS, "--nonzero"},
		{p->sort, FILTER_ROWS, "--sort"},
		{f->limit, FILTER_ROWS, "--limit"},
	};
	uint32_t takes = p->command ? p->command->filters : FILTERS_OF_LOOK;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].named && !(takes & all[i].bit))
			argp_error(
				state, "%s takes no %s: %s",
				p->command ? p->command->name : "a look",
				all[i].option,
				takes & FILTER_ROWS
					? "--include selects groups by name"
				: takes ? "--channel selects what it is about"
					: "it is about all of the memory");
}

/* All of it was read: what was named decides what the rest may be. */
static void end(const struct parse *p, struct argp_state *state)
{
	struct stat_args *args = p->args;

	if (p->command && args->look.file)
		refuse_file(p->command, state);
	refuse_filter(p, state);
	if (p->command && args->word_count < p->command->words_min)
		argp_error(state, "%s needs %s", p->command->name,
			   p->command->words);
	if (!args->parts)
		args->parts = args->explain               ? PART_COUNTERS
			      : args->json && !p->command ? PARTS_ALL
							  : PART_SUMMARY;
	if (p->sort && !rows_sort_key(args->parts, p->sort, &args->filter.sort))
		argp_error(state,
			   "--sort: '%s' is no column of what is shown, and no "
			   "key of its JSON",
			   p->sort);
}

/* As the broker's part prints it, or how it begins. */
static const char *instance(struct argp_state *state, const char *text)
{
	size_t digits = strspn(text, "0123456789abcdef");

	if (!digits || text[digits] || digits > 32)
		argp_error(state,
			   "--instance: '%s' is not 1 to 32 hex digits, as "
			   "'tapio-shmstat broker' prints them",
			   text);
	return text;
}

static error_t parse_source(int key, char *arg, struct argp_state *state,
			    struct stat_args *args)
{
	switch (key) {
	case 's':
		args->connect.socket = arg;
		return 0;
	case 'p':
		args->look.pid =
			(pid_t)tpi_arg_count(state, "--pid", arg, 1, INT32_MAX);
		return 0;
	case OPTION_INSTANCE:
		args->look.instance = instance(state, arg);
		return 0;
	case OPTION_SCAN:
		args->look.scan = true;
		return 0;
	case OPTION_OWNER:
		args->owner = (uid_t)tpi_arg_count(state, "--owner", arg, 0,
						   UINT32_MAX - 1);
		args->look.owner = &args->owner;
		return 0;
	case OPTION_TIMEOUT:
		args->look.timeout_ns =
			tpi_arg_duration(state, "--timeout", arg);
		return 0;
	case OPTION_FILE:
		args->look.file = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add_glob(struct argp_state *state, struct stat_globs *globs,
		     const char *glob)
{
	if (globs->count == STAT_GLOBS_MAX)
		argp_error(state, "more than %d patterns: '%s'", STAT_GLOBS_MAX,
			   glob);
	globs->at[globs->count++] = glob;
}

/* "3" or "0-7". */
static void parse_range(struct argp_state *state, const char *option,
			const char *text, struct stat_range *range)
{
	char first[32];
	const char *dash = strchr(text, '-');

	snprintf(first, sizeof(first), "%.*s",
		 dash ? (int)(dash - text) : (int)strlen(text), text);
	range->set = true;
	range->first =
		(int64_t)tpi_arg_count(state, option, first, 0, UINT32_MAX);
	range->last = dash ? (int64_t)tpi_arg_count(state, option, dash + 1, 0,
						    UINT32_MAX)
			   : range->first;
	if (range->last < range->first)
		argp_error(state, "%s: '%s' ends before it begins", option,
			   text);
}

static error_t parse_rows(int key, char *arg, struct argp_state *state,
			  struct parse *p)
{
	struct stat_filter *f = &p->args->filter;

	switch (key) {
	case 'I':
		add_glob(state, &f->include, arg);
		return 0;
	case 'X':
		add_glob(state, &f->exclude, arg);
		return 0;
	case OPTION_CHANNEL:
		f->channel = arg;
		return 0;
	case OPTION_CPU:
		parse_range(state, "--cpu", arg, &f->cpu);
		return 0;
	case OPTION_NODE:
		parse_range(state, "--node", arg, &f->node);
		return 0;
	case OPTION_CLIENT:
		parse_range(state, "--client", arg, &f->client);
		return 0;
	case 'z':
		f->nonzero = true;
		return 0;
	case OPTION_SORT:
		f->reverse = *arg == '-';
		p->sort = arg + f->reverse;
		return 0;
	case OPTION_LIMIT:
		f->limit = tpi_arg_count(state, "--limit", arg, 1, UINT32_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_form(int key, char *arg, struct argp_state *state,
			  struct stat_args *args)
{
	const char *name;

	switch (key) {
	case 'j':
		args->json = true;
		return 0;
	case OPTION_WIDE:
		args->wide = true;
		return 0;
	case 'a':
		args->all = true;
		return 0;
	case OPTION_NO_HEADER:
		args->no_header = true;
		return 0;
	case OPTION_EXPLAIN:
		args->explain = true;
		return 0;
	case 'i':
	case 'w':
		name = key == 'w' ? "--watch" : "--interval";
		args->repeat_ns = tpi_arg_duration(state, name, arg);
		if (args->repeat_ns < 1000000)
			argp_error(state, "%s: %s is less than 1ms", name, arg);
		return 0;
	case OPTION_COUNT:
		args->count =
			tpi_arg_count(state, "--count", arg, 1, UINT32_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	error_t err;

	switch (key) {
	case ARGP_KEY_INIT:
		for (size_t i = 0, child = 0; stat_commands[i].name; i++)
			if (stat_commands[i].argp)
				state->child_inputs[child++] = p->args;
		return 0;
	case ARGP_KEY_ARG:
		add_word(p, state, arg);
		return 0;
	case ARGP_KEY_END:
		end(p, state);
		return 0;
	default:
		err = parse_source(key, arg, state, p->args);
		if (err)
			err = parse_rows(key, arg, state, p);
		return err ? parse_form(key, arg, state, p->args) : 0;
	}
}

/* The parts and the commands, at the end of --help. Completion of shells reads them, too. */
static char *list_words(int key, const char *text, void *input)
{
	const struct part *part;
	size_t bytes = 0;
	char *list = NULL;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_EXTRA)
		return (char *)text;
	out = open_memstream(&list, &bytes);
	if (!out)
		return NULL;
	fputs("Parts of a look, of which several may be named:\n"
	      "  all             all of them\n",
	      out);
	for (size_t i = 0; (part = part_at(i)); i++)
		fprintf(out, "  %-14s  %s\n", part->name, part->help);
	fputs("\nCommands:\n", out);
	for (const struct stat_command *c = stat_commands; c->name; c++)
		fprintf(out, "  %s%s%-*s  %s\n", c->name, c->words ? " " : "",
			(int)(14 - strlen(c->name) - !!c->words),
			c->words ? c->words : "", c->help);
	fclose(out);
	return list;
}

const struct stat_command *stat_parse(int argc, char **argv,
				      struct stat_args *args)
{
	struct argp_child children[16] = {0};
	struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[PART...]\nCOMMAND [WORD...]",
		.doc = doc,
		.children = children,
		.help_filter = list_words,
	};
	struct parse p = {.args = args};
	size_t count = 0;

	args->look.timeout_ns = TIMEOUT_NS;
	args->words = calloc((size_t)argc, sizeof(*args->words));
	for (size_t i = 0; stat_commands[i].name; i++)
		if (stat_commands[i].argp)
			children[count++].argp = stat_commands[i].argp;
	if (!args->words) {
		tpi_say("out of memory");
		exit(TPI_EXIT_FAILURE);
	}
	argp_parse(&argp, argc, argv, 0, NULL, &p);
	return p.command;
}
