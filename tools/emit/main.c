/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-emit: events from a shell.
 *
 * One event for each line, or one for each argument, or one for a whole file. A line of text
 * becomes the body of an event of type log, or the bytes of an event of an application's
 * own type; a line of JSON any typed event. Every line is emitted, refused by the channel
 * (counted by cause; the exit status says so), or wrong (named with line and field).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/producer.h>

#include "tools/common/tool.h"
#include "tools/emit/emit.h"

#define LOOK_NS INT64_C(100000000)
/* Between two tries with --retry. */
#define PAUSE_NS INT64_C(2000000)

/* An event with the longest strings. */
#define EVENT_BYTES \
	(sizeof(struct tapio_event) + TAPIO_EVENT_FIELDS_MAX + 8 + 65536)

#define EXIT_REFUSED_EVENTS 7

enum cause {
	CAUSE_FULL,
	CAUSE_TIMEOUT,
	CAUSE_SIZE,
	CAUSE_NO_LANE,
	CAUSE_OTHER,
	CAUSES,
};

struct arguments {
	struct tpi_connect connect;
	const char *channel;
	const char *klass;
	const char *file; /* NULL: the arguments, or standard input */
	char **texts;
	int text_count;
	char **fields; /* NAME=VALUE */
	size_t field_count;
	uint64_t rate; /* 0: as fast as it goes */
	int64_t retry_ns;
	uint16_t type;
	uint8_t severity;
	bool type_given;
	bool json;
	bool whole;
	bool keep_going;
	bool summary;
};

struct run {
	struct arguments args;
	struct tapio_producer *producer;
	struct tapio_event_builder builder;
	int klass; /* -1: the default one */
	int64_t look_ns;
	int64_t next_ns; /* --rate */
	uint64_t emitted;
	uint64_t wrong;
	uint64_t cut;
	uint64_t refused[CAUSES];
	TAPIO_EVENT_ALIGNED char buffer[EVENT_BYTES];
};

/* ---- options ---------------------------------------------------------------------------- */

enum {
	OPTION_CLASS = 256,
	OPTION_WHOLE,
	OPTION_RETRY,
	OPTION_KEEP_GOING,
	OPTION_SUMMARY,
};

static const struct argp_option options[] = {
	{"channel", 'c', "NAME", 0, "Channel to emit to (default: events)", 0},
	{"class", OPTION_CLASS, "NAME", 0, "Class of lanes to emit to", 0},
	{0, 0, 0, 0, "Input:", 1},
	{"json", 'j', 0, 0,
	 "Each line is a JSON object: fields by their names, as tapio-tail --json "
	 "shows them",
	 1},
	{"file", 'f', "FILE", 0, "Read from it (default: standard input)", 1},
	{"whole", OPTION_WHOLE, 0, 0, "All that is read is one event", 1},
	{0, 0, 0, 0, "The events:", 2},
	{"type", 't', "NAME", 0,
	 "Type, a name or a number (default: log). Of JSON: where a line has none",
	 2},
	{"severity", 'S', "NAME", 0,
	 "Severity, a name or a number (default: info)", 2},
	{"field", 'F', "NAME=VALUE", 0,
	 "Set a field of each event (may be repeated)", 2},
	{"rate", 'r', "N", 0, "At most so many events a second", 2},
	{"retry", OPTION_RETRY, "TIME", OPTION_ARG_OPTIONAL,
	 "When the channel has no room, try again for so long (default: for ever)",
	 2},
	{0, 0, 0, 0, "Other:", 4},
	{"keep-going", OPTION_KEEP_GOING, 0, 0,
	 "Pass over lines that are wrong, and say so", 4},
	{"summary", OPTION_SUMMARY, 0, 0,
	 "Say at the end what became of the events (without it only if some were "
	 "refused or wrong)",
	 4},
	{0},
};

static const char doc[] =
	"Emits events: each TEXT, or each line of standard input.\v"
	"Examples:\n"
	"  tapio-emit -S warning -F identifier=backup \"disk is almost full\"\n"
	"  make 2>&1 | tapio-emit -F unit=build\n"
	"  tapio-tail --json --since oldest -d0 | tapio-emit --json -c copy\n"
	"  echo '{\"type\":\"metric\",\"name\":\"t\",\"value\":21.5}' | tapio-emit "
	"-j\n"
	"\n"
	"Exit status: 0 every event was accepted, 1 a line was wrong or another "
	"failure, 2 usage, 3 no broker, 4 no such channel or no right to it, 5 the "
	"broker has gone (without --wait), 7 the channel refused events.";

static void take_type(struct argp_state *state, struct arguments *args,
		      const char *text)
{
	if (tapio_event_type_parse(text, &args->type))
		argp_error(state,
			   "--type: '%s' is no type of event (tapio-tail "
			   "--list-types), and no number from 1 to 65535",
			   text);
	args->type_given = true;
}

static void take_severity(struct argp_state *state, struct arguments *args,
			  const char *text)
{
	char names[128] = "";

	if (!tapio_severity_parse(text, &args->severity))
		return;
	for (uint8_t i = 0; i <= TAPIO_SEVERITY_MAX; i++) {
		const char *name = tapio_severity_name(i);

		if (name)
			snprintf(names + strlen(names),
				 sizeof(names) - strlen(names), "%s, ", name);
	}
	argp_error(
		state,
		"--severity: '%s' is no severity: %sor a number from 0 to %d",
		text, names, TAPIO_SEVERITY_MAX);
}

static void take_field(struct argp_state *state, struct arguments *args,
		       char *text)
{
	char **grown = realloc(args->fields,
			       (args->field_count + 1) * sizeof(*args->fields));

	if (!grown)
		argp_failure(state, TPI_EXIT_FAILURE, ENOMEM, "--field");
	if (!strchr(text, '=') || text[0] == '=')
		argp_error(state, "--field: '%s' is not NAME=VALUE", text);
	args->fields = grown;
	args->fields[args->field_count++] = text;
}

/* Options that exclude each other. */
static void check_arguments(struct argp_state *state,
			    const struct arguments *args)
{
	if (args->text_count && args->file)
		argp_error(state, "--file and TEXT: only one can be given");
	if (args->whole && args->json)
		argp_error(state, "--whole: JSON is read by lines");
	if (args->json || args->type == TAPIO_EVENT_LOG)
		return;
	if (tapio_event_type_get(args->type))
		argp_error(
			state,
			"--type: an event of this type is not made from text, "
			"but with --json");
	if (args->field_count)
		argp_error(state, "--field: an event of type %u has no fields",
			   args->type);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case 'c':
		args->channel = arg;
		return 0;
	case OPTION_CLASS:
		args->klass = arg;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case 'f':
		args->file = arg;
		return 0;
	case OPTION_WHOLE:
		args->whole = true;
		return 0;
	case 't':
		take_type(state, args, arg);
		return 0;
	case 'S':
		take_severity(state, args, arg);
		return 0;
	case 'F':
		take_field(state, args, arg);
		return 0;
	case 'r':
		args->rate = tpi_arg_rate(state, "--rate", arg);
		return 0;
	case OPTION_RETRY:
		args->retry_ns = arg ? tpi_arg_duration(state, "--retry", arg)
				     : TAPIO_FOREVER;
		return 0;
	case OPTION_KEEP_GOING:
		args->keep_going = true;
		return 0;
	case OPTION_SUMMARY:
		args->summary = true;
		return 0;
	case ARGP_KEY_ARGS:
		args->texts = state->argv + state->next;
		args->text_count = state->argc - state->next;
		return 0;
	case ARGP_KEY_SUCCESS:
		check_arguments(state, args);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the channel -------------------------------------------------------------------------- */

static int open_producer(void *arg, const struct tapio_options *broker)
{
	struct run *run = arg;

	return tapio_producer_open(&run->producer, run->args.channel, broker);
}

/* 0 or an exit status. */
static int attach(struct run *run)
{
	struct arguments *args = &run->args;
	int err = tpi_connect(&args->connect, open_producer, run);

	if (err)
		return (int)tpi_connect_failed(&args->connect, args->channel,
					       err);
	run->klass = -1;
	if (!args->klass)
		return 0;
	run->klass = tapio_producer_class(run->producer, args->klass);
	if (run->klass >= 0)
		return 0;
	tpi_say("channel '%s' has no class '%s' (tapio-shmstat channels lists "
		"those that it has)",
		args->channel, args->klass);
	return TPI_EXIT_REFUSED;
}

/* The broker may have gone since the last look. 0 or an exit status. */
static int stay_attached(struct run *run)
{
	int64_t now_ns = tpi_monotonic_ns();

	if (now_ns < run->look_ns)
		return 0;
	run->look_ns = now_ns + LOOK_NS;
	if (!tpi_broker_gone(&run->args.connect,
			     tapio_producer_broker(run->producer)))
		return 0;
	tpi_say("the broker at %s has gone%s",
		tpi_connect_socket(&run->args.connect),
		run->args.connect.wait_ns
			? ""
			: " (--wait would wait for the next one)");
	if (!run->args.connect.wait_ns)
		return TPI_EXIT_BROKER_GONE;
	tapio_producer_close(run->producer);
	run->producer = NULL;
	return attach(run);
}

static enum cause cause_of(int err)
{
	switch (err) {
	case -EAGAIN:
		return CAUSE_FULL;
	case -ETIMEDOUT:
		return CAUSE_TIMEOUT;
	case -EMSGSIZE:
		return CAUSE_SIZE;
	case -ENOBUFS:
		return CAUSE_NO_LANE;
	default:
		return CAUSE_OTHER;
	}
}

static uint32_t tag_of(const struct run *run, uint16_t type, uint8_t severity)
{
	return run->klass < 0 ? TAPIO_TAG(type, severity)
			      : TAPIO_TAG_CLASS(type, severity, run->klass);
}

static void put(struct run *run, uint32_t tag, const void *data,
		uint32_t length)
{
	int64_t end_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), run->args.retry_ns);
	int err;

	for (;;) {
		err = tapio_output(run->producer, tag, data, length);
		if (cause_of(err) > CAUSE_TIMEOUT &&
		    cause_of(err) != CAUSE_NO_LANE)
			break;
		if (!err || !run->args.retry_ns ||
		    tpi_monotonic_ns() >= end_ns ||
		    !tpi_sleep_until(tpi_monotonic_ns() + PAUSE_NS))
			break;
	}
	if (err)
		run->refused[cause_of(err)]++;
	else
		run->emitted++;
}

static void put_event(struct run *run)
{
	const struct tapio_event *event = run->builder.event;
	int length = tapio_event_builder_finish(&run->builder);

	if (length < 0) {
		run->refused[cause_of(length)]++;
		return;
	}
	run->cut += !!(event->flags & TAPIO_EVENT_TRUNCATED);
	put(run, tag_of(run, event->type, event->severity), run->buffer,
	    (uint32_t)length);
}

/* ---- one line ------------------------------------------------------------------------------- */

/* The longest event that can be accepted. A class is no longer than the channel. */
static size_t capacity(const struct run *run)
{
	size_t max = tapio_producer_max_bytes(run->producer);

	return max < sizeof(run->buffer) ? max : sizeof(run->buffer);
}

static bool set_fields(struct run *run, char *why)
{
	for (size_t i = 0; i < run->args.field_count; i++) {
		char *text = run->args.fields[i];
		char *equals = strchr(text, '=');

		*equals = '\0';
		bool ok = tpi_field_set_text(&run->builder, text, equals + 1,
					     why);
		*equals = '=';
		if (!ok)
			return false;
	}
	return true;
}

static bool emit_log(struct run *run, const struct tpi_line *line, char *why)
{
	struct tapio_event_builder *b = &run->builder;

	if (tapio_event_builder_init(b, run->buffer, capacity(run),
				     TAPIO_EVENT_LOG)) {
		run->refused[CAUSE_SIZE]++;
		return true;
	}
	b->event->severity = run->args.severity;
	b->event->source = TAPIO_SOURCE_APPLICATION;
	if (!set_fields(run, why))
		return false;
	if (line->cut)
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
	struct tapio_event_log *log = b->fields;
	if (line->length)
		tapio_event_builder_string_max(b, &log->body, line->text,
					       line->length, UINT16_MAX);
	put_event(run);
	return true;
}

static bool emit_json(struct run *run, const struct tpi_line *line, char *why)
{
	struct tapio_event_builder *b = &run->builder;
	const uint16_t type = run->args.type_given ? run->args.type : 0;

	if (line->cut) {
		snprintf(why, TPI_WHY_BYTES, "longer than %u bytes",
			 TPI_LINE_BYTES);
		return false;
	}
	if (!tpi_fields_parse(b, run->buffer, capacity(run), type, line, why) ||
	    !set_fields(run, why))
		return false;
	if (!b->event->source)
		b->event->source = TAPIO_SOURCE_APPLICATION;
	put_event(run);
	return true;
}

/* Bytes of an application's own type: as they are, or not at all. */
static bool emit_bytes(struct run *run, const struct tpi_line *line)
{
	if (line->cut)
		run->refused[CAUSE_SIZE]++;
	else
		put(run, tag_of(run, run->args.type, run->args.severity),
		    line->text, (uint32_t)line->length);
	return true;
}

/* False: the line is wrong, and `why` says how. */
static bool emit(struct run *run, const struct tpi_line *line, char *why)
{
	if (run->args.json)
		return emit_json(run, line, why);
	if (run->args.type == TAPIO_EVENT_LOG)
		return emit_log(run, line, why);
	return emit_bytes(run, line);
}

/* ---- all lines ------------------------------------------------------------------------------- */

/* An exact number a second, on the whole: a late one is made up for. False: stop. */
static bool keep_rate(struct run *run)
{
	if (!run->args.rate)
		return true;
	if (!run->next_ns)
		run->next_ns = tpi_monotonic_ns();
	if (!tpi_sleep_until(run->next_ns))
		return false;
	run->next_ns += 1000000000 / (int64_t)run->args.rate;
	return true;
}

/* 0, -1 to stop as asked, or an exit status. */
static int take(struct run *run, const struct tpi_line *line, const char *where,
		uint64_t number)
{
	char why[TPI_WHY_BYTES] = "";
	int status;

	if (!keep_rate(run))
		return -1;
	status = stay_attached(run);
	if (status)
		return status;
	if (emit(run, line, why))
		return 0;
	run->wrong++;
	tpi_say("%s %" PRIu64 ": %s", where, number, why);
	return run->args.keep_going ? 0 : TPI_EXIT_FAILURE;
}

static int take_texts(struct run *run)
{
	for (int i = 0; i < run->args.text_count; i++) {
		const struct tpi_line line = {
			.text = run->args.texts[i],
			.length = strlen(run->args.texts[i]),
		};
		int status = take(run, &line, "argument", (uint64_t)i + 1);

		if (status || tpi_stop_signal())
			return status;
	}
	return 0;
}

static int take_input(struct run *run)
{
	const char *path = run->args.file ? run->args.file : "-";
	struct tpi_input input;
	struct tpi_line line;
	int status = 0, got = tpi_input_open(&input, path);

	while (got >= 0) {
		got = run->args.whole ? tpi_input_whole(&input, &line)
				      : tpi_input_line(&input, &line);
		if (got <= 0)
			break;
		/* An empty line is no object, and no mistake. */
		if (run->args.json && !line.length)
			continue;
		status = take(run, &line, "line", input.line);
		if (status || tpi_stop_signal())
			break;
	}
	if (got < 0 && got != -EINTR) {
		tpi_say("cannot read %s: %s",
			strcmp(path, "-") ? path : "standard input",
			strerror(-got));
		status = TPI_EXIT_FAILURE;
	}
	tpi_input_close(&input);
	return status;
}

/* Says how many events came through. An exit status. */
static int judge(struct run *run, int status)
{
	static const char *const names[CAUSES] = {"full", "timeout", "size",
						  "no lane", "other"};
	uint64_t refused = 0;
	char causes[160] = "";

	for (int i = 0; i < CAUSES; i++) {
		size_t used = strlen(causes);

		refused += run->refused[i];
		if (run->refused[i])
			snprintf(causes + used, sizeof(causes) - used,
				 "%s%s %" PRIu64, used ? ", " : " (", names[i],
				 run->refused[i]);
	}
	if (refused)
		strcat(causes, ")");
	if (run->args.summary || refused || run->wrong)
		tpi_say("emitted %" PRIu64 " (cut %" PRIu64
			"), refused %" PRIu64 "%s, wrong %" PRIu64,
			run->emitted, run->cut, refused, causes, run->wrong);
	if (status > 0)
		return status;
	if (run->wrong)
		return TPI_EXIT_FAILURE;
	return refused ? EXIT_REFUSED_EVENTS : TPI_EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 3}, {0}};
	static const struct argp argp = {options,  parse, "[TEXT...]", doc,
					 children, NULL,  NULL};
	static struct run run = {
		.args = {.channel = "events",
			 .type = TAPIO_EVENT_LOG,
			 .severity = TAPIO_SEVERITY_INFO},
	};

	tpi_tool_init("tapio-emit");
	argp_parse(&argp, argc, argv, 0, NULL, &run.args);
	tpi_signals_init();
	int status = attach(&run);
	if (!status)
		status = judge(&run, run.args.text_count ? take_texts(&run)
							 : take_input(&run));
	tapio_producer_close(run.producer);
	free(run.args.fields);
	return status;
}
