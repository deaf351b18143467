/* SPDX-License-Identifier: Apache-2.0 */
/* The options of tapio-analyze. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/consumer.h>
#include <tapio/event.h>

#include "tools/common/choice.h"
#include "tools/analyze/analyze.h"

#define NS_PER_S INT64_C(1000000000)

enum {
	OPTION_SEVERITY = 256,
	OPTION_SINCE,
	OPTION_WHERE,
	OPTION_QUANTILES,
	OPTION_DISTINCT,
	OPTION_TOP,
	OPTION_TOP_COUNT,
	OPTION_SLIDE,
	OPTION_LATENESS,
	OPTION_CLOCK,
	OPTION_TIME,
	OPTION_FUTURE,
	OPTION_CHANGE,
	OPTION_CHANGE_ON,
	OPTION_ALPHA,
	OPTION_WARM_UP,
	OPTION_SEASON,
	OPTION_OUTPUT,
	OPTION_ROWS,
	OPTION_POLICY,
	OPTION_LAG,
	OPTION_DURABLE,
	OPTION_THREADS,
	OPTION_PARTIALS,
	OPTION_MERGE,
	OPTION_HOLD,
	OPTION_FLUSH,
	OPTION_SILENT,
	OPTION_KEYS,
	OPTION_MEMORY,
	OPTION_COUNTERS,
	OPTION_PRECISION,
	OPTION_REPLAY,
	OPTION_WINDOWS,
	OPTION_STATS,
};

static const struct argp_option options[] = {
	{"channel", 'c', "NAME", 0, "Channel to analyse (default: events)", 0},
	{0, 0, 0, 0, "The figures:", 1},
	{"by", 'b', "FIELD[,FIELD]", 0,
	 "One result for each value of these fields (default: type); 'none': one "
	 "for all",
	 1},
	{"value", 'v', "FIELD", 0,
	 "Sum, mean, extremes and quantiles of a number, such as duration_ns",
	 1},
	{"quantiles", OPTION_QUANTILES, "LIST", 0,
	 "Which quantiles (default: 0.5,0.9,0.99)", 1},
	{"distinct", OPTION_DISTINCT, "FIELD", 0,
	 "How many distinct values it has (HyperLogLog)", 1},
	{"top", OPTION_TOP, "FIELD", 0,
	 "Its most frequent values (Space-Saving)", 1},
	{"top-count", OPTION_TOP_COUNT, "N", 0,
	 "How many of them to show (default: 10)", 1},
	{0, 0, 0, 0, "Which events:", 2},
	{"type", 't', "LIST", 0, "Only these types", 2},
	{"severity", OPTION_SEVERITY, "MIN", 0, "Only this severity and worse",
	 2},
	{"where", OPTION_WHERE, "CONDITION", 0,
	 "Only where it holds, as pid=1234 (may be repeated: all must hold)",
	 2},
	{"since", OPTION_SINCE, "oldest|newest", 0,
	 "From the oldest event that the channel holds, or only new ones "
	 "(default)",
	 2},
	{0, 0, 0, 0, "Windows:", 3},
	{"window", 'W', "TIME", 0, "Length of a window (default: 10s)", 3},
	{"slide", OPTION_SLIDE, "TIME", 0,
	 "From the begin of a window to that of the next (default: its length)",
	 3},
	{"lateness", OPTION_LATENESS, "TIME", 0,
	 "How long a window waits for late events (default: 1s)", 3},
	{"time", OPTION_TIME, "event|stamp", 0,
	 "The time of an event is its own (default), or the channel's stamp",
	 3},
	{"clock", OPTION_CLOCK, "real|events", 0,
	 "Windows close by the clock, too (default), or by later events alone",
	 3},
	{"future", OPTION_FUTURE, "TIME", 0,
	 "Events so far ahead of the clock are only counted (default: 1m)", 3},
	{0, 0, 0, 0, "Changes:", 4},
	{"change", OPTION_CHANGE, "SCORE", OPTION_ARG_OPTIONAL,
	 "Tell where a figure is off its mean by so many deviations (default: "
	 "4)",
	 4},
	{"change-on", OPTION_CHANGE_ON, "FIGURE", 0,
	 "count (default), distinct, mean or p99", 4},
	{"alpha", OPTION_ALPHA, "WEIGHT", 0,
	 "Weight of the newest window in the mean (default: 0.1)", 4},
	{"warm-up", OPTION_WARM_UP, "N", 0,
	 "Windows (or seasons) before the first judgement (default: 10, or 3)",
	 4},
	{"season", OPTION_SEASON, "TIME", 0,
	 "Compare with the same time of earlier seasons, such as 24h", 4},
	{0, 0, 0, 0, "Output:", 5},
	{"json", 'j', 0, 0, "JSON Lines", 5},
	{"output", OPTION_OUTPUT, "CHANNEL", 0,
	 "Emit results there, as events of type metric", 5},
	{"rows", OPTION_ROWS, "N", 0,
	 "Rows of the text table; 0: all (default: 20)", 5},
	{0, 0, 0, 0, "Work that is shared:", 6},
	{"threads", OPTION_THREADS, "N", 0,
	 "Members of the group in this process (default: 1)", 6},
	{"group", 'g', "NAME", 0, "Name of the group", 6},
	{"policy", OPTION_POLICY, "lossy|until|lossless", 0,
	 "As in tapio-tail (default: as configured)", 6},
	{"lag", OPTION_LAG, "N", 0, "The lag of --policy until", 6},
	{"durable", OPTION_DURABLE, 0, 0,
	 "The group stays when its last member leaves", 6},
	{"partials", OPTION_PARTIALS, "CHANNEL", 0,
	 "Emit partial results there, for --merge", 6},
	{"merge", OPTION_MERGE, "CHANNEL", 0,
	 "Read partial results there, of any number of processes", 6},
	{"hold", OPTION_HOLD, "N", 0,
	 "With --partials: events of a lane between two of them (default: 128)",
	 6},
	{"flush", OPTION_FLUSH, "TIME", 0,
	 "The longest time between two of them (default: 500ms)", 6},
	{"silent", OPTION_SILENT, "TIME", 0,
	 "With --merge: pass over a member of which nothing is heard for so long "
	 "(default: 10s)",
	 6},
	{0, 0, 0, 0, "Limits:", 7},
	{"keys", OPTION_KEYS, "N", 0, "Keys of a window (default: 10k)", 7},
	{"memory", OPTION_MEMORY, "BYTES", 0, "Of all state (default: 256M)",
	 7},
	{"counters", OPTION_COUNTERS, "N", 0,
	 "Of --top, for each key (default: 256)", 7},
	{"precision", OPTION_PRECISION, "BITS", 0,
	 "Of --distinct: 2^BITS registers (default: 12, 1.6 %)", 7},
	{0, 0, 0, 0, "Other:", 9},
	{"replay", OPTION_REPLAY, "FILE", 0,
	 "Analyse a file as tapio-tail --json writes it ('-': standard input)",
	 9},
	{"duration", 'd', "TIME", 0,
	 "Stop after this time; 0: when all that is there was read", 9},
	{"windows", OPTION_WINDOWS, "N", 0, "Stop after N windows", 9},
	{"stats", OPTION_STATS, 0, 0, "Say at the end what was counted", 9},
	{0},
};

static const char doc[] =
	"Counts, rates, quantiles, distinct and most frequent values of a "
	"channel's events, by windows of time.\v"
	"Examples:\n"
	"  tapio-analyze                              events by type, each 10s\n"
	"  tapio-analyze -b type,severity -W 1m       and by severity\n"
	"  tapio-analyze -t network.connection -v duration_ns --top peer\n"
	"  tapio-analyze -b pid --change -j           what changes, as JSON\n"
	"\n"
	"Exit status: 0 ended as asked (also when its reader left), 1 failure, 2 "
	"usage, 3 no broker, 4 no such channel or no right to it, 5 the broker has "
	"gone (without --wait).";

static const struct tpi_choice clocks[] = {{"real", 0}, {"events", 1}, {0}};
static const struct tpi_choice times[] = {{"event", 0}, {"stamp", 1}, {0}};
static const struct tpi_choice figures[] = {{"count", AN_FIGURE_COUNT},
					    {"distinct", AN_FIGURE_DISTINCT},
					    {"mean", AN_FIGURE_MEAN},
					    {"p99", AN_FIGURE_P99},
					    {0}};

/* ---- fields ---------------------------------------------------------------- */

static void find_field(struct argp_state *state, const char *option,
		       struct tpi_field *field, const char *name)
{
	const char *near;

	if (!tpi_field_find(field, name))
		return;
	near = tpi_field_meant(name);
	argp_error(
		state,
		"%s: '%s' is neither a field of all events nor of a type%s%s%s "
		"(tapio-tail --list-fields lists those of all events, "
		"--list-fields=TYPE those of a type)",
		option, name, near ? "; did you mean '" : "", near ? near : "",
		near ? "'?" : "");
}

static void parse_by(struct argp_state *state, struct an_spec *spec, char *list)
{
	char *rest = list, *name;

	spec->by_count = 0;
	if (!strcmp(list, "none"))
		return;
	while ((name = strsep(&rest, ","))) {
		if (spec->by_count == AN_BY_MAX)
			argp_error(state, "--by: more than %u fields",
				   AN_BY_MAX);
		find_field(state, "--by", &spec->by[spec->by_count++], name);
	}
}

static bool is_number(const struct tapio_event_field *field)
{
	return field && (field->kind <= TAPIO_FIELD_F64 ||
			 field->kind == TAPIO_FIELD_TIME);
}

static void parse_value(struct argp_state *state, struct an_spec *spec,
			char *name)
{
	bool number;

	find_field(state, "--value", &spec->value, name);
	number = is_number(spec->value.header);
	for (size_t i = 0; i <= TAPIO_EVENT_RESERVED_MAX; i++)
		number = number || is_number(spec->value.of_type[i]);
	if (!number)
		argp_error(state, "--value: '%s' is no number in any type",
			   name);
	spec->has_value = true;
}

static void parse_types(struct argp_state *state, struct an_spec *spec,
			char *list)
{
	char *rest = list, *name;

	while ((name = strsep(&rest, ","))) {
		if (spec->type_count == AN_TYPES_MAX)
			argp_error(state, "--type: more than %u types",
				   AN_TYPES_MAX);
		if (tapio_event_type_parse(name,
					   &spec->types[spec->type_count++]))
			argp_error(
				state,
				"--type: '%s' is neither a type of event (see "
				"tapio-tail --list-types) nor a number from 1 "
				"to 65535",
				name);
	}
}

static void parse_where(struct argp_state *state, struct an_spec *spec,
			const char *text)
{
	char error[400];

	if (tpi_where_add(&spec->where, text, error, sizeof(error)))
		argp_error(state, "--where: %s", error);
}

/* ---- numbers --------------------------------------------------------------- */

static double parse_double(struct argp_state *state, const char *option,
			   const char *text, double min, double max)
{
	char *end;
	const double number = strtod(text, &end);

	if (!*text || *end || !(number >= min && number <= max))
		argp_error(state, "%s: '%s' is not a number from %g to %g",
			   option, text, min, max);
	return number;
}

static void parse_quantiles(struct argp_state *state,
			    struct an_report_options *report, char *list)
{
	char *rest = list, *text;

	report->quantile_count = 0;
	while ((text = strsep(&rest, ","))) {
		if (report->quantile_count == AN_QUANTILES)
			argp_error(state, "--quantiles: more than %u",
				   AN_QUANTILES);
		report->quantiles[report->quantile_count++] =
			parse_double(state, "--quantiles", text, 0, 1);
	}
}

static int64_t parse_span(struct argp_state *state, const char *option,
			  const char *text, int64_t min_ns, int64_t max_ns)
{
	const int64_t ns = tpi_arg_duration(state, option, text);

	if (ns < min_ns || ns > max_ns)
		argp_error(state, "%s: '%s' is outside %gs to %gs", option,
			   text, (double)min_ns / 1e9, (double)max_ns / 1e9);
	return ns;
}

static uint32_t parse_count(struct argp_state *state, const char *option,
			    const char *text, uint64_t min, uint64_t max)
{
	return (uint32_t)tpi_arg_count(state, option, text, min, max);
}

#define DAY_NS (86400 * NS_PER_S)

static error_t parse_what(int key, char *arg, struct argp_state *state,
			  struct an_arguments *args)
{
	struct an_spec *spec = &args->spec;

	switch (key) {
	case 'b':
		parse_by(state, spec, arg);
		return 0;
	case 'v':
		parse_value(state, spec, arg);
		return 0;
	case OPTION_QUANTILES:
		parse_quantiles(state, &args->report, arg);
		return 0;
	case OPTION_DISTINCT:
		find_field(state, "--distinct", &spec->distinct, arg);
		spec->has_distinct = true;
		return 0;
	case OPTION_TOP:
		find_field(state, "--top", &spec->top, arg);
		spec->has_top = true;
		return 0;
	case OPTION_TOP_COUNT:
		args->report.top =
			parse_count(state, "--top-count", arg, 1, 1000);
		return 0;
	case 't':
		parse_types(state, spec, arg);
		return 0;
	case OPTION_SEVERITY:
		if (tapio_severity_parse(arg, &spec->severity_min))
			argp_error(state, "--severity: '%s' is no severity",
				   arg);
		return 0;
	case OPTION_WHERE:
		parse_where(state, spec, arg);
		return 0;
	case OPTION_SINCE:
		args->start = tpi_arg_choice(state, "--since", tpi_starts, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_when(int key, char *arg, struct argp_state *state,
			  struct an_arguments *args)
{
	struct an_spec *spec = &args->spec;

	switch (key) {
	case 'W':
		spec->window_ns =
			parse_span(state, "--window", arg, 1000000, DAY_NS);
		return 0;
	case OPTION_SLIDE:
		spec->slide_ns =
			parse_span(state, "--slide", arg, 1000000, DAY_NS);
		return 0;
	case OPTION_LATENESS:
		spec->lateness_ns =
			parse_span(state, "--lateness", arg, 0, DAY_NS);
		return 0;
	case OPTION_FUTURE:
		spec->future_ns =
			parse_span(state, "--future", arg, 0, 365 * DAY_NS);
		return 0;
	case OPTION_TIME:
		spec->by_stamp = tpi_arg_choice(state, "--time", times, arg);
		return 0;
	case OPTION_CLOCK:
		args->by_events = tpi_arg_choice(state, "--clock", clocks, arg);
		return 0;
	case 'd':
		args->duration_ns = tpi_arg_duration(state, "--duration", arg);
		return 0;
	case OPTION_WINDOWS:
		args->windows =
			tpi_arg_count(state, "--windows", arg, 1, UINT64_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_change(int key, char *arg, struct argp_state *state,
			    struct an_arguments *args)
{
	struct an_change_spec *change = &args->report.change;

	switch (key) {
	case OPTION_CHANGE:
		change->is_on = true;
		if (arg)
			change->threshold =
				parse_double(state, "--change", arg, 0.1, 1000);
		return 0;
	case OPTION_CHANGE_ON:
		change->is_on = true;
		change->figure =
			tpi_arg_choice(state, "--change-on", figures, arg);
		return 0;
	case OPTION_ALPHA:
		change->alpha = parse_double(state, "--alpha", arg, 0.001, 1);
		return 0;
	case OPTION_WARM_UP:
		change->warm_up =
			parse_count(state, "--warm-up", arg, 1, 1000000);
		return 0;
	case OPTION_SEASON:
		change->is_on = true;
		args->season_ns =
			parse_span(state, "--season", arg, 1, 31 * DAY_NS);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_members(int key, char *arg, struct argp_state *state,
			     struct an_arguments *args)
{
	switch (key) {
	case OPTION_THREADS:
		args->threads =
			parse_count(state, "--threads", arg, 1, AN_THREADS_MAX);
		return 0;
	case 'g':
		args->group = arg;
		return 0;
	case OPTION_POLICY:
		args->policy =
			tpi_arg_choice(state, "--policy", tpi_policies, arg);
		return 0;
	case OPTION_LAG:
		args->lag = parse_count(state, "--lag", arg, 1, UINT32_MAX);
		return 0;
	case OPTION_DURABLE:
		args->durable = true;
		return 0;
	case OPTION_PARTIALS:
		args->partials = arg;
		return 0;
	case OPTION_MERGE:
		args->merge = arg;
		return 0;
	case OPTION_HOLD:
		args->hold =
			parse_count(state, "--hold", arg, 1, UINT32_MAX - 1);
		return 0;
	case OPTION_FLUSH:
		args->flush_ns = parse_span(state, "--flush", arg, 1000000,
					    NS_PER_S * 10);
		return 0;
	case OPTION_SILENT:
		args->silent_ns =
			parse_span(state, "--silent", arg, NS_PER_S, DAY_NS);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_limits(int key, char *arg, struct argp_state *state,
			    struct an_arguments *args)
{
	switch (key) {
	case OPTION_KEYS:
		args->spec.keys_max =
			tpi_arg_count(state, "--keys", arg, 1, 10000000);
		return 0;
	case OPTION_MEMORY:
		args->budget.max_bytes = tpi_arg_size(
			state, "--memory", arg, 1 << 20, UINT64_C(1) << 40);
		return 0;
	case OPTION_COUNTERS:
		args->spec.counters = parse_count(state, "--counters", arg, 8,
						  AN_COUNTERS_MAX);
		return 0;
	case OPTION_PRECISION:
		args->spec.precision =
			parse_count(state, "--precision", arg, AN_PRECISION_MIN,
				    AN_PRECISION_MAX);
		return 0;
	case 'j':
		args->report.json = true;
		return 0;
	case OPTION_OUTPUT:
		args->output = arg;
		return 0;
	case OPTION_ROWS:
		args->report.rows =
			parse_count(state, "--rows", arg, 0, UINT32_MAX);
		return 0;
	case OPTION_REPLAY:
		args->replay = arg;
		return 0;
	case OPTION_STATS:
		args->stats = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- what fits together ---------------------------------------------------- */

static void check_windows(struct argp_state *state, struct an_spec *spec)
{
	if (!spec->slide_ns)
		spec->slide_ns = spec->window_ns;
	if (spec->slide_ns > spec->window_ns ||
	    spec->window_ns % spec->slide_ns ||
	    spec->window_ns / spec->slide_ns > AN_PANES_MAX)
		argp_error(state,
			   "--slide: a window of %gs is not 1 to %u slides of "
			   "%gs",
			   (double)spec->window_ns / 1e9, AN_PANES_MAX,
			   (double)spec->slide_ns / 1e9);
}

static void check_change(struct argp_state *state, struct an_arguments *args)
{
	struct an_change_spec *change = &args->report.change;
	const struct an_spec *spec = &args->spec;

	change->phases = 1;
	if (args->season_ns) {
		if (args->season_ns % spec->slide_ns ||
		    args->season_ns / spec->slide_ns > AN_PHASES_MAX)
			argp_error(state,
				   "--season: it must be 1 to %u slides of %gs",
				   AN_PHASES_MAX, (double)spec->slide_ns / 1e9);
		change->phases = (uint32_t)(args->season_ns / spec->slide_ns);
	}
	if (!change->warm_up)
		change->warm_up = args->season_ns ? 3 : 10;
	if ((change->figure == AN_FIGURE_DISTINCT && !spec->has_distinct) ||
	    (change->figure >= AN_FIGURE_MEAN && !spec->has_value))
		argp_error(state, "--change-on: needs --%s",
			   change->figure == AN_FIGURE_DISTINCT ? "distinct"
								: "value");
}

static void check_members(struct argp_state *state, struct an_arguments *args)
{
	const int ways = !!args->partials + !!args->merge + !!args->replay;

	if (ways > 1)
		argp_error(state, "--partials, --merge and --replay: only one "
				  "can be given");
	if (args->partials && args->output)
		argp_error(state, "--output: give it to the process with "
				  "--merge");
	if (args->merge && args->threads > 1)
		argp_error(state, "--threads: one merges");
	if (args->lag && args->group && !args->policy)
		args->policy = TAPIO_GROUP_UNTIL;
	if (args->lag && args->policy != TAPIO_GROUP_UNTIL)
		argp_error(state, "--lag needs --policy until");
	if (args->durable && !args->group)
		argp_error(state, "--durable needs --group");
	if (args->partials && !args->durable)
		argp_error(state,
			   "--partials needs --group and --durable: the "
			   "group keeps for others what a member leaves");
	if (args->output && !args->replay &&
	    !strcmp(args->output, args->merge ? args->merge : args->channel))
		argp_error(state,
			   "--output: '%s' is the channel that is "
			   "analysed: results would be counted again",
			   args->output);
	if (args->partials && !strcmp(args->partials, args->channel))
		argp_error(state,
			   "--partials: '%s' is the channel that is analysed",
			   args->partials);
}

static void check_all(struct argp_state *state, struct an_arguments *args)
{
	char error[400];

	check_windows(state, &args->spec);
	check_change(state, args);
	check_members(state, args);
	if (tpi_where_check(&args->spec.where, args->spec.types,
			    args->spec.type_count, error, sizeof(error)))
		argp_error(state, "--where: %s", error);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	typedef error_t part(int, char *, struct argp_state *,
			     struct an_arguments *);
	static part *const parts[] = {parse_what, parse_when, parse_change,
				      parse_members, parse_limits};
	struct an_arguments *args = state->input;
	error_t err = ARGP_ERR_UNKNOWN;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(state,
				   "unexpected argument '%s': only one "
				   "channel can be analysed",
				   arg);
		args->channel = arg;
		return 0;
	case 'c':
		args->channel = arg;
		return 0;
	case ARGP_KEY_END:
		check_all(state, args);
		return 0;
	default:
		break;
	}
	for (size_t i = 0;
	     err == ARGP_ERR_UNKNOWN && i < sizeof(parts) / sizeof(parts[0]);
	     i++)
		err = parts[i](key, arg, state, args);
	return err;
}

void an_options_parse(struct an_arguments *args, int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 8}, {0}};
	static const struct argp argp = {options,  parse, "[CHANNEL]", doc,
					 children, NULL,  NULL};
	struct an_spec *spec = &args->spec;

	args->channel = "events";
	args->threads = 1;
	args->hold = 128;
	args->flush_ns = NS_PER_S / 2;
	args->silent_ns = 10 * NS_PER_S;
	args->duration_ns = TAPIO_FOREVER;
	args->budget.max_bytes = UINT64_C(256) << 20;
	spec->window_ns = 10 * NS_PER_S;
	spec->lateness_ns = NS_PER_S;
	spec->future_ns = 60 * NS_PER_S;
	spec->keys_max = 10000;
	spec->counters = AN_COUNTERS_DEFAULT;
	spec->precision = AN_PRECISION_DEFAULT;
	spec->by_count = 1;
	tpi_field_find(&spec->by[0], "type");
	args->report.top = 10;
	args->report.rows = 20;
	args->report.quantile_count = 3;
	args->report.quantiles[0] = 0.5;
	args->report.quantiles[1] = 0.9;
	args->report.quantiles[2] = 0.99;
	args->report.change.alpha = 0.1;
	args->report.change.threshold = 4;
	argp_parse(&argp, argc, argv, 0, NULL, args);
}
