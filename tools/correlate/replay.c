/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings into an engine. An event is built anew by the library, with the fields in the order
 * of the line; tools/emit knows the forms of the fields.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/correlate/replay.h"
#include "tools/emit/emit.h"

#define EVENT_BYTES \
	(sizeof(struct tapio_event) + TAPIO_EVENT_FIELDS_MAX + 4 + 65536)
#define LINE_BYTES ((int)TPI_LINE_BYTES)

_Static_assert(TPI_REPLAY_WHY_BYTES >= TPI_WHY_BYTES,
	       "the reasons of fields fit");

static bool get_number(const json_t *object, const char *name, uint64_t max,
		       uint64_t *number)
{
	const json_t *value = json_object_get(object, name);
	const json_int_t n = json_integer_value(value);

	*number = (uint64_t)n;
	return json_is_integer(value) && n >= 0 && (uint64_t)n <= max;
}

/* The memory that the line is from: recordings without a channel have one, of no name. */
static int find_source(struct tpi_corr *corr, const json_t *object, char *why)
{
	const char *channel =
		json_string_value(json_object_get(object, "channel"));
	const json_t *instance = json_object_get(object, "instance");
	struct tpi_corr_source source = {.channel = channel ? channel : "",
					 .instance = ""};
	char number[32];
	int found;

	if (json_is_string(instance))
		source.instance = json_string_value(instance);
	if (json_is_integer(instance)) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(instance));
		source.instance = number;
	}
	found = tpi_corr_source(corr, &source);
	if (found < 0)
		snprintf(why, TPI_REPLAY_WHY_BYTES,
			 "channel '%s': %s (the limit is %d sources)",
			 source.channel, strerror(-found),
			 TPI_CORR_SOURCES_MAX);
	return found;
}

static int find_place(struct tpi_corr *corr, const json_t *object,
		      struct tpi_corr_place *place, char *why)
{
	uint64_t lane;
	int source;

	if (!get_number(object, "lane", TPI_CORR_LANES_MAX - 1, &lane) ||
	    !get_number(object, "position", UINT64_MAX >> 1,
			&place->position)) {
		snprintf(
			why, TPI_REPLAY_WHY_BYTES,
			"no lane (below %d) and position: is it of tapio-tail --json?",
			TPI_CORR_LANES_MAX);
		return -EINVAL;
	}
	source = find_source(corr, object, why);
	if (source < 0)
		return source;
	place->lane = (uint32_t)lane;
	place->source = (uint16_t)source;
	return 0;
}

/* Integers beyond 63 bits, which the reader of JSON does not know, come as texts. */
#define BIG_DIGITS 19

static bool is_big(const char *text, size_t length)
{
	return length >= BIG_DIGITS && strspn(text, "0123456789") == length;
}

static size_t count_digits(const char *text, size_t length)
{
	size_t n = 0;

	while (n < length && text[n] >= '0' && text[n] <= '9')
		n++;
	return n;
}

/* The line with quotes around such integers, or NULL. Free it. */
static char *quote_big(const char *line, size_t length)
{
	char *quoted = malloc(2 * length + 1), *out = quoted;
	bool in_string = false;

	for (size_t i = 0; quoted && i < length;) {
		const size_t digits =
			in_string ? 0 : count_digits(line + i, length - i);

		if (digits >= BIG_DIGITS && i && line[i - 1] == ':' &&
		    i + digits < length && strchr(",}", line[i + digits])) {
			*out++ = '"';
			memcpy(out, line + i, digits);
			out += digits;
			*out++ = '"';
			i += digits;
			continue;
		}
		if (in_string && line[i] == '\\' && i + 1 < length)
			*out++ = line[i++];
		else if (line[i] == '"')
			in_string = !in_string;
		*out++ = line[i++];
	}
	if (quoted)
		*out = '\0';
	return quoted;
}

static json_t *parse_line(const char *line, size_t length, json_error_t *error)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *object = json_loadb(line, length, flags, error);
	char *quoted;

	if (object || json_error_code(error) != json_error_numeric_overflow)
		return object;
	quoted = quote_big(line, length);
	object = quoted ? json_loads(quoted, flags, error) : NULL;
	free(quoted);
	return object;
}

static bool set_member(struct tapio_event_builder *b, const char *name,
		       const json_t *value, char *why)
{
	const char *text = json_string_value(value);

	if (text && is_big(text, json_string_length(value)))
		return tpi_field_set_text(b, name, text, why);
	return tpi_field_set_json(b, name, value, why);
}

static bool set_members(struct tapio_event_builder *b, const json_t *object,
			char *why)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		if (!tpi_fields_is_place(name) &&
		    !set_member(b, name, value, why))
			return false;
	}
	return true;
}

/* 1 with the event built, 0 for one that cannot be. */
static int build(struct tapio_event_builder *b, char *buffer,
		 const json_t *object, char *why)
{
	const char *name = json_string_value(json_object_get(object, "type"));
	uint16_t type;
	int length;

	if (!name || json_object_get(object, "opaque_bytes") ||
	    tapio_event_type_parse(name, &type) || !tapio_event_type_get(type))
		return 0;
	if (tapio_event_builder_init(b, buffer, EVENT_BYTES, type))
		return 0;
	b->event->severity = TAPIO_SEVERITY_UNSET;
	if (!set_members(b, object, why))
		return -EINVAL;
	/* The builder would take the present time. */
	if (!b->event->time_ns) {
		snprintf(why, TPI_REPLAY_WHY_BYTES, "no time");
		return -EINVAL;
	}
	if (!b->event->observed_ns)
		b->event->observed_ns = b->event->time_ns;
	length = tapio_event_builder_finish(b);
	if (length < 0)
		snprintf(why, TPI_REPLAY_WHY_BYTES,
			 "its strings have more than 65535 bytes");
	return length;
}

/* ---- what was read of each lane ---------------------------------------------------------------- */

/* The latest time of each lane, which is where a gap of it begins. */
struct times {
	struct {
		uint64_t *latest_ns; /* by lane. 0: it had no event */
		uint32_t count;
	} sources[TPI_CORR_SOURCES_MAX];
	int source;     /* of the latest event. -1: none was */
	bool has_first; /* events were lost before the first one */
	uint32_t lane;  /* of those */
	uint64_t lost;  /* so many */
};

static void forget_times(struct times *times)
{
	for (size_t i = 0; i < TPI_CORR_SOURCES_MAX; i++)
		free(times->sources[i].latest_ns);
}

static int note_time(struct times *times, const struct tpi_corr_event *event)
{
	const uint32_t lane = event->place.lane;
	uint32_t count = times->sources[event->place.source].count;
	uint64_t *latest_ns = times->sources[event->place.source].latest_ns;

	if (lane >= count) {
		latest_ns = realloc(latest_ns, (lane + 1) * sizeof(*latest_ns));
		if (!latest_ns)
			return -ENOMEM;
		for (; count <= lane; count++)
			latest_ns[count] = 0;
		times->sources[event->place.source].latest_ns = latest_ns;
		times->sources[event->place.source].count = count;
	}
	if (event->time_ns > latest_ns[lane])
		latest_ns[lane] = event->time_ns;
	times->source = event->place.source;
	return 0;
}

/* Nothing waits for them, so they began with the recording. */
static void lose_first(struct tpi_corr *corr, struct times *times,
		       const struct tpi_corr_event *event)
{
	if (!times->has_first)
		return;
	times->has_first = false;
	tpi_corr_gap(corr, event->place.source, times->lane, times->lost, 0,
		     times->lane == event->place.lane ? event->time_ns
						      : UINT64_MAX);
}

static int hand_in(struct tpi_corr *corr, struct times *times,
		   const struct tpi_corr_event *event)
{
	if (times) {
		int err = note_time(times, event);

		if (err)
			return err;
		lose_first(corr, times, event);
	}
	return tpi_corr_event(corr, event);
}

static int replay_event(struct tpi_corr *corr, struct times *times,
			const json_t *object, uint64_t *time_ns, char *why)
{
	struct tpi_corr_event event = {0};
	struct tapio_event_builder b;
	char *buffer = aligned_alloc(8, (EVENT_BYTES + 7) & ~(size_t)7);
	int length, err = 0;

	if (!buffer)
		return -ENOMEM;
	length = build(&b, buffer, object, why);
	if (length > 0)
		err = find_place(corr, object, &event.place, why);
	if (length > 0 && !err) {
		event.data = buffer;
		event.length = (uint32_t)length;
		event.type = b.event->type;
		if (!get_number(object, "stamp_ns", UINT64_MAX >> 1,
				&event.time_ns))
			event.time_ns = b.event->time_ns;
		*time_ns = event.time_ns;
		err = hand_in(corr, times, &event);
	}
	free(buffer);
	if (length <= 0)
		return length;
	return err < 0 ? err : 1;
}

/* The watermark or, in a file, the event before it of its lane. */
static uint64_t gap_begin(const struct tpi_corr *corr,
			  const struct times *times, int source, uint64_t lane)
{
	const uint64_t watermark_ns = tpi_corr_watermark(corr);
	uint64_t begin_ns = 0;

	if (times && lane < times->sources[source].count)
		begin_ns = times->sources[source].latest_ns[lane];
	return begin_ns > watermark_ns ? begin_ns : watermark_ns;
}

/* Without times it ends with the next event of its lane. */
static int replay_gap(struct tpi_corr *corr, struct times *times,
		      const json_t *object, const json_t *gap, char *why)
{
	/* Of tapio-tail it names no channel: it is that of the events about it. */
	const bool is_theirs = times && !json_object_get(object, "channel");
	uint64_t lane, lost, from_ns, to_ns;
	int source;

	if (!get_number(gap, "lane", TPI_CORR_LANES_MAX - 1, &lane))
		lane = 0;
	if (!get_number(gap, "lost", UINT64_MAX >> 1, &lost))
		lost = 0;
	if (is_theirs && times->source < 0) {
		times->has_first = true;
		times->lane = (uint32_t)lane;
		times->lost += lost;
		return 1;
	}
	source = is_theirs ? times->source : find_source(corr, object, why);
	if (source < 0)
		return source;
	if (!get_number(gap, "from_ns", UINT64_MAX >> 1, &from_ns))
		from_ns = gap_begin(corr, times, source, lane);
	if (!get_number(gap, "to_ns", UINT64_MAX >> 1, &to_ns))
		to_ns = UINT64_MAX;
	tpi_corr_gap(corr, (uint16_t)source, (uint32_t)lane, lost, from_ns,
		     to_ns);
	return 1;
}

static int replay_line(struct tpi_corr *corr, struct times *times,
		       const char *line, size_t length, uint64_t *time_ns,
		       char *why)
{
	json_error_t error;
	json_t *object = parse_line(line, length, &error);
	const json_t *gap = json_object_get(object, "gap");
	int result;

	*time_ns = 0;
	*why = '\0';
	if (!json_is_object(object)) {
		snprintf(why, TPI_REPLAY_WHY_BYTES,
			 "column %d: no JSON object: %s", error.column,
			 object ? "it is something else" : error.text);
		result = -EINVAL;
	} else if (gap) {
		result = replay_gap(corr, times, object, gap, why);
	} else {
		result = replay_event(corr, times, object, time_ns, why);
	}
	json_decref(object);
	return result;
}

int tpi_replay_line(struct tpi_corr *corr, const char *line, size_t length,
		    uint64_t *time_ns, char *why)
{
	return replay_line(corr, NULL, line, length, time_ns, why);
}

/* ---- files ------------------------------------------------------------------------------------- */

static int say_line(char *why, uint64_t line, const char *what)
{
	char text[TPI_REPLAY_WHY_BYTES];

	snprintf(text, sizeof(text), "%s", what);
	snprintf(why, TPI_REPLAY_WHY_BYTES, "line %" PRIu64 ": %.360s", line,
		 text);
	return -EINVAL;
}

/*
 * A recording may be lane by lane, so all waits for its end. The engine puts it in order. Only
 * where more would wait than may, the watermark follows as live.
 */
static void follow(struct tpi_corr *corr, uint64_t latest_ns,
		   const struct tpi_replay_options *options,
		   struct tpi_replay_stats *stats)
{
	struct tpi_corr_stats now;

	tpi_corr_stats(corr, &now);
	if (now.bytes - now.key_bytes > options->wait_bytes)
		stats->follows = true;
	if (stats->follows && latest_ns > options->lateness_ns)
		tpi_corr_time(corr, latest_ns - options->lateness_ns);
}

static void count_line(struct tpi_replay_stats *stats, int result,
		       uint64_t time_ns)
{
	if (result == 1 && time_ns)
		stats->events++;
	else if (result == 1)
		stats->gaps++;
	else if (!result)
		stats->skipped++;
}

/* Its length without the end of line. -1: there is none. LINE_BYTES + 1: it is longer. */
static ssize_t next_line(FILE *file, char *line)
{
	ssize_t length = 0;
	int c;

	while ((c = getc_unlocked(file)) != EOF && c != '\n') {
		if (length == LINE_BYTES)
			return LINE_BYTES + 1;
		line[length++] = (char)c;
	}
	return length || c != EOF ? length : -1;
}

static int read_lines(struct tpi_corr *corr, FILE *file, struct times *times,
		      const struct tpi_replay_options *options,
		      struct tpi_replay_stats *stats, char *why)
{
	uint64_t time_ns, latest_ns = 0;
	char *line = malloc(LINE_BYTES + 1);
	ssize_t length;
	int result = line ? 0 : -ENOMEM;

	while (result >= 0 && (length = next_line(file, line)) >= 0) {
		stats->lines++;
		if (!length)
			continue;
		if (length > LINE_BYTES) {
			snprintf(
				why, TPI_REPLAY_WHY_BYTES,
				"it is longer than %d bytes, which no event is",
				LINE_BYTES);
			result = -EFBIG;
			break;
		}
		line[length] = 0;
		result = replay_line(corr, times, line, (size_t)length,
				     &time_ns, why);
		count_line(stats, result, time_ns);
		if (time_ns > latest_ns)
			latest_ns = time_ns;
		follow(corr, latest_ns, options, stats);
	}
	free(line);
	if (result < 0)
		return say_line(why, stats->lines,
				*why ? why : strerror(-result));
	if (ferror(file))
		return -EIO;
	tpi_corr_time(corr, latest_ns);
	return 0;
}

int tpi_replay_file(struct tpi_corr *corr, const char *path,
		    const struct tpi_replay_options *options,
		    struct tpi_replay_stats *stats, char *why)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	struct times *times = calloc(1, sizeof(*times));
	int err = -ENOMEM;

	memset(stats, 0, sizeof(*stats));
	if (!file) {
		err = -errno;
		snprintf(why, TPI_REPLAY_WHY_BYTES, "%s", strerror(-err));
		free(times);
		return err;
	}
	if (times) {
		times->source = -1;
		err = read_lines(corr, file, times, options, stats, why);
		forget_times(times);
	}
	free(times);
	if (file != stdin)
		fclose(file);
	return err;
}
