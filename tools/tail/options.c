/* SPDX-License-Identifier: Apache-2.0 */
/* The options of tapio-tail, and what is listed without a broker. */
#include "tools/common/choice.h"
#include "tools/tail/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tapio/event.h>

#include "tools/common/parse.h"

/* How long events wait for earlier ones, when merging. */
#define MERGE_NS 10000000

enum {
	OPTION_SEVERITY = 256,
	OPTION_SINCE,
	OPTION_WHERE,
	OPTION_COLOR,
	OPTION_LIST_FIELDS,
	OPTION_POLICY,
	OPTION_LAG,
	OPTION_MERGE,
	OPTION_STATS,
	OPTION_LIST_TYPES
};

enum {
	COLOR_AUTO,
	COLOR_ALWAYS,
	COLOR_NEVER
};

/* Some of it is decided when all is parsed. */
struct parse {
	struct tpi_tail_arguments *args;
	uint32_t color;
};

static const struct argp_option options[] = {
	{"channel", 'c', "NAME", 0, "Channel to follow (default: events)", 0},
	{"json", 'j', 0, 0, "One JSON object a line", 0},
	{0, 0, 0, 0, "Which events:", 1},
	{"type", 't', "LIST", 0,
	 "Only these types, names or numbers separated by commas", 1},
	{"severity", OPTION_SEVERITY, "MIN", 0,
	 "Only this severity and worse, a name or a number", 1},
	{"where", OPTION_WHERE, "CONDITION", 0,
	 "Only events whose field has such a value: pid=1234, severity>=warning, "
	 "comm~'nginx*' (=, !=, <, <=, >, >=, and ~ for a pattern); several MUST "
	 "all hold",
	 1},
	{"since", OPTION_SINCE, "oldest|newest|TIME", 0,
	 "From the oldest event that the channel holds, only new ones (default), "
	 "or from so long ago, as 5m",
	 1},
	{"count", 'n', "N", 0, "Stop after N events", 1},
	{"duration", 'd', "TIME", 0,
	 "Stop after this time; 0: when all that is there was shown", 1},
	{"merge", OPTION_MERGE, "WAIT", OPTION_ARG_OPTIONAL,
	 "In the order of time stamps, across CPUs; events wait so long for "
	 "earlier ones (default: 10ms)",
	 1},
	{0, 0, 0, 0,
	 "As a consumer (default: as an observer, which never holds producers):",
	 2},
	{"group", 'g', "NAME", 0,
	 "Join this group: each event goes to one of its members", 2},
	{"policy", OPTION_POLICY, "lossy|until|lossless", 0,
	 "For a group that falls behind. until (default): producers overwrite only "
	 "events that are more than --lag behind. lossy: they overwrite any. "
	 "lossless: they find no room; needs a right. Without --group: a group of "
	 "its own",
	 2},
	{"lag", OPTION_LAG, "N", 0,
	 "The lag of --policy until, in events per lane (default: half a lane)",
	 2},
	{0, 0, 0, 0, "Other:", 4},
	{"stats", OPTION_STATS, 0, 0,
	 "Say at the end how many events were shown, skipped and lost", 4},
	{"color", OPTION_COLOR, "auto|always|never", OPTION_ARG_OPTIONAL,
	 "Lines in the color of their severity (default: auto, on a terminal, "
	 "unless NO_COLOR is set)",
	 4},
	{"list-types", OPTION_LIST_TYPES, 0, 0,
	 "List the types of events that have a name", 4},
	{"list-fields", OPTION_LIST_FIELDS, "TYPE", OPTION_ARG_OPTIONAL,
	 "List the fields that --where may name: of all events, or of a type",
	 4},
	{0},
};

static const char doc[] =
	"Shows the events of a channel as they come, one a line.\v"
	"Examples:\n"
	"  tapio-tail                           follow the channel events\n"
	"  tapio-tail --since oldest -d 0       what it holds now, and end\n"
	"  tapio-tail -j --severity warning     warnings and worse, as JSON\n"
	"  tapio-tail --since 5m --where pid=1234   of one process, since then\n"
	"  tapio-tail -g audit --stats          as a member of the group audit\n"
	"\n"
	"Exit status: 0 ended as asked (also when its reader left), 1 failure, 2 "
	"usage, 3 no broker, 4 no such channel or no right to it, 5 the broker has "
	"gone (without --wait).";

static const struct tpi_choice colors[] = {
	{"auto", COLOR_AUTO},
	{"always", COLOR_ALWAYS},
	{"never", COLOR_NEVER},
	{NULL, 0},
};

static void parse_types(struct argp_state *state, struct tpi_tail_options *tail,
			char *list)
{
	const size_t max = sizeof(tail->types) / sizeof(tail->types[0]);
	char *rest = list, *name;

	while ((name = strsep(&rest, ","))) {
		if (tail->type_count == max)
			argp_error(state, "--type: more than %zu types", max);
		if (tapio_event_type_parse(name,
					   &tail->types[tail->type_count++]))
			argp_error(
				state,
				"--type: '%s' is neither a type of event (see "
				"--list-types) nor a number from 1 to 65535",
				name);
	}
}

static void parse_severity(struct argp_state *state, const char *text,
			   uint8_t *severity)
{
	if (tapio_severity_parse(text, severity))
		argp_error(state,
			   "--severity: '%s' is neither a severity (trace, "
			   "debug, info, notice, warning, error, critical, "
			   "alert, emergency) nor a number from 0 to 15",
			   text);
}

static uint64_t parse_merge(struct argp_state *state, const char *text)
{
	int64_t ns = tpi_arg_duration(state, "--merge", text);

	if (ns < 1 || ns > (int64_t)TAPIO_MERGE_NS_MAX)
		argp_error(state, "--merge: '%s' is outside 1ns to 1m", text);
	return (uint64_t)ns;
}

static void list_types(void)
{
	const struct tapio_event_type *type;

	for (unsigned i = 0; (type = tapio_event_type_at(i)); i++)
		printf("%5u  %-20s %s\n", type->type, type->name,
		       type->summary);
	exit(TPI_EXIT_OK);
}

static void list_fields_of(const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;

	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		printf("%-20s %-18s %-4s %s\n",
		       type->type ? type->name : "(all events)", field->name,
		       field->unit, field->summary);
}

static void list_fields(struct argp_state *state, const char *name)
{
	const struct tapio_event_type *type =
		name ? tapio_event_type_find(name) : NULL;

	if (name && !type)
		argp_error(
			state,
			"--list-fields: '%s' is not a type of event that has "
			"a name (see --list-types)",
			name);
	if (type) {
		list_fields_of(type);
		exit(TPI_EXIT_OK);
	}
	list_fields_of(tapio_event_header_type());
	for (unsigned i = 0; (type = tapio_event_type_at(i)); i++)
		list_fields_of(type);
	exit(TPI_EXIT_OK);
}

/* A name, or how long ago. */
static void parse_since(struct argp_state *state,
			struct tpi_tail_arguments *args, const char *text)
{
	uint64_t now = tpi_clock_read_ns(CLOCK_REALTIME);
	int64_t ago;

	args->since_ns = 0;
	for (const struct tpi_choice *c = tpi_starts; c->name; c++)
		if (!strcmp(c->name, text)) {
			args->tail.start = c->value;
			return;
		}
	if (tpi_parse_duration(text, &ago) || ago <= 0)
		argp_error(state,
			   "--since: '%s' is not one of newest, oldest, or a "
			   "time, as 30s, 5m or 2h",
			   text);
	args->tail.start = TAPIO_START_OLDEST;
	args->since_ns = (uint64_t)ago < now ? now - (uint64_t)ago : 1;
}

static void parse_where(struct argp_state *state,
			struct tpi_tail_arguments *args, const char *text)
{
	char error[256];

	if (tpi_where_add(&args->where, text, error, sizeof(error)))
		argp_error(state, "--where: %s", error);
}

static void check_where(struct argp_state *state,
			const struct tpi_tail_arguments *args)
{
	char error[2048];

	if (tpi_where_check(&args->where, args->tail.types,
			    args->tail.type_count, error, sizeof(error)))
		argp_error(state, "--where: %s", error);
}

/* https://no-color.org: set, and not empty. */
static bool wants_color(uint32_t color)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (color != COLOR_AUTO)
		return color == COLOR_ALWAYS;
	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       !(term && !strcmp(term, "dumb"));
}

static error_t parse_tail(int key, char *arg, struct argp_state *state,
			  struct tpi_tail_options *tail)
{
	switch (key) {
	case 'c':
	case ARGP_KEY_ARG:
		tail->channel = arg;
		return 0;
	case 't':
		parse_types(state, tail, arg);
		return 0;
	case OPTION_SEVERITY:
		parse_severity(state, arg, &tail->severity_min);
		return 0;
	case 'g':
		tail->group = arg;
		tail->join = true;
		return 0;
	case OPTION_POLICY:
		tail->policy =
			tpi_arg_choice(state, "--policy", tpi_policies, arg);
		tail->join = true;
		return 0;
	case OPTION_MERGE:
		tail->merge_ns = MERGE_NS;
		if (arg)
			tail->merge_ns = parse_merge(state, arg);
		return 0;
	case OPTION_LAG:
		tail->lag = (uint32_t)tpi_arg_count(state, "--lag", arg, 1,
						    UINT32_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	struct tpi_tail_arguments *args = p->args;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(
				state,
				"unexpected argument '%s': only one channel can be followed",
				arg);
		break;
	case ARGP_KEY_END:
		if (args->tail.lag && args->tail.group && !args->tail.policy)
			args->tail.policy = TAPIO_GROUP_UNTIL;
		if (args->tail.lag && args->tail.policy != TAPIO_GROUP_UNTIL)
			argp_error(state, "--lag needs --policy until");
		check_where(state, args);
		args->color = wants_color(p->color);
		return 0;
	case OPTION_SINCE:
		parse_since(state, args, arg);
		return 0;
	case OPTION_WHERE:
		parse_where(state, args, arg);
		return 0;
	case OPTION_COLOR:
		p->color = arg ? tpi_arg_choice(state, "--color", colors, arg)
			       : COLOR_ALWAYS;
		return 0;
	case OPTION_LIST_FIELDS:
		list_fields(state, arg);
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case 'n':
		args->count =
			tpi_arg_count(state, "--count", arg, 1, UINT64_MAX);
		return 0;
	case 'd':
		args->duration_ns = tpi_arg_duration(state, "--duration", arg);
		return 0;
	case OPTION_STATS:
		args->stats = true;
		return 0;
	case OPTION_LIST_TYPES:
		list_types();
		return 0;
	default:
		break;
	}
	return parse_tail(key, arg, state, &args->tail);
}

void tpi_tail_parse(int argc, char **argv, struct tpi_tail_arguments *args)
{
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 3}, {0}};
	static const struct argp argp = {options,  parse, "[CHANNEL]", doc,
					 children, NULL,  NULL};
	struct parse p = {.args = args};

	argp_parse(&argp, argc, argv, 0, NULL, &p);
}
