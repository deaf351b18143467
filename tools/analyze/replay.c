/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --replay: a file as tapio-tail --json writes it, in any order. Its end is the end of all, so
 * the same file gives the same windows each time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/analyze/replay.h"
#include "tools/emit/emit.h"

/* An event with the longest strings. */
#define EVENT_BYTES \
	(sizeof(struct tapio_event) + TAPIO_EVENT_FIELDS_MAX + 8 + 65536)
#define LINES_A_DELTA 4096u
#define TIME_MAX      (INT64_MAX / 2)
#define LANES_MAX     65536
/* Slides: half of what a merger may have. */
#define OPEN_MAX 32768u

struct lane {
	int64_t time_ns; /* of its latest event. INT64_MIN: none yet */
	bool open_hole;  /* a gap was read, and no event since */
};

struct an_replay {
	const struct an_spec *spec;
	struct an_budget *budget;
	struct an_merger *merger;
	struct an_delta delta;
	struct an_sample sample;
	uint32_t lines;
	int64_t latest_ns; /* INT64_MIN: none yet */
	bool follows;      /* too much is open: windows close as live */
	bool open_hole;    /* a gap of no lane was read, and no event since */
	struct lane *lanes;
	uint32_t lane_count;
	TAPIO_EVENT_ALIGNED char buffer[EVENT_BYTES];
};

struct an_replay *an_replay_new(const struct an_spec *spec,
				struct an_budget *budget,
				struct an_merger *merger)
{
	struct an_replay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->spec = spec;
	r->budget = budget;
	r->merger = merger;
	r->latest_ns = INT64_MIN;
	r->delta.lane = AN_LANE_NONE;
	r->delta.member = 1;
	r->delta.began_ns = INT64_MIN;
	return r;
}

void an_replay_free(struct an_replay *r)
{
	if (!r)
		return;
	an_delta_clear(&r->delta, r->budget);
	an_give(r->budget, r->lanes, r->lane_count * sizeof(*r->lanes));
	free(r);
}

/*
 * A recording may be lane by lane, so windows stay open to its end. Only where they take too
 * much they close behind the latest event, as live.
 */
static bool has_room(const struct an_replay *r)
{
	/* Relaxed: one thread uses it. */
	return tpi_load_relaxed(&r->budget->used_bytes) <
		       r->budget->max_bytes / 2 &&
	       an_merger_open(r->merger) < OPEN_MAX;
}

void an_replay_flush(struct an_replay *r)
{
	r->follows = r->follows || !has_room(r);
	r->delta.watermark_ns = r->follows ? r->latest_ns : INT64_MIN;
	an_merger_take(r->merger, &r->delta, 0);
	an_merger_look(r->merger, 0);
	r->lines = 0;
}

/* The lane of a gap or an event, 0 if it has none. NULL: there is no memory. */
static struct lane *lane_of(struct an_replay *r, const json_t *object)
{
	const json_int_t number =
		json_integer_value(json_object_get(object, "lane"));
	uint32_t count = r->lane_count ? r->lane_count : 8;
	struct lane *lanes;

	if (number < 0 || number >= LANES_MAX)
		return NULL;
	if (number < r->lane_count)
		return &r->lanes[number];
	while (count <= number)
		count *= 2;
	lanes = an_grow(r->budget, r->lanes, r->lane_count * sizeof(*lanes),
			count * sizeof(*lanes));
	if (!lanes)
		return NULL;
	for (uint32_t i = r->lane_count; i < count; i++)
		lanes[i].time_ns = INT64_MIN;
	r->lanes = lanes;
	r->lane_count = count;
	return &lanes[number];
}

/* At some time between the two events about it, of its lane if it has one. */
static void take_gap(struct an_replay *r, const json_t *gap)
{
	const json_int_t lost =
		json_integer_value(json_object_get(gap, "lost"));
	struct lane *lane =
		json_object_get(gap, "lane") ? lane_of(r, gap) : NULL;
	const int64_t from_ns = lane ? lane->time_ns : r->latest_ns;

	an_delta_lose(&r->delta, lost > 0 ? (uint64_t)lost : 0, from_ns,
		      from_ns);
	if (lane)
		lane->open_hole = true;
	else
		r->open_hole = true;
}

/* The next event is the end of a gap. */
static void end_gaps(struct an_replay *r, struct lane *lane, int64_t time_ns)
{
	if (r->open_hole)
		an_delta_lose(&r->delta, 0, r->latest_ns, time_ns);
	r->open_hole = false;
	if (!lane)
		return;
	if (lane->open_hole)
		an_delta_lose(&r->delta, 0, lane->time_ns, time_ns);
	lane->open_hole = false;
	if (time_ns > lane->time_ns)
		lane->time_ns = time_ns;
}

static void count(struct an_replay *r, struct lane *lane,
		  const struct tapio_event *event)
{
	const int64_t time_ns = r->sample.time_ns;
	const uint64_t seen_ns = event->observed_ns;

	if (!time_ns) {
		r->delta.untimed++;
		return;
	}
	if (time_ns > TIME_MAX ||
	    (seen_ns &&
	     (uint64_t)time_ns > seen_ns + (uint64_t)r->spec->future_ns)) {
		r->delta.future++;
		return;
	}
	end_gaps(r, lane, time_ns);
	if (time_ns > r->latest_ns)
		r->latest_ns = time_ns;
	if (!an_delta_add(&r->delta, r->spec, r->budget, &r->sample))
		an_delta_lose(&r->delta, 1, time_ns, time_ns);
}

/* Bytes without a type, or of a type without a table, have no fields. */
static bool is_typed(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "type"));
	uint16_t type;

	return name && !tapio_event_type_parse(name, &type) &&
	       tapio_event_type_get(type);
}

/* When it was emitted. 0: the line does not say. */
static int64_t stamp_of(const json_t *object)
{
	const json_int_t stamp_ns =
		json_integer_value(json_object_get(object, "stamp_ns"));

	return stamp_ns > 0 ? stamp_ns : 0;
}

static bool take_event(struct an_replay *r, const json_t *object,
		       const struct tpi_line *line, char *why)
{
	struct tapio_event_builder b;
	struct tapio_event_view view;
	int64_t stamp_ns = stamp_of(object);
	int length;

	if (!tpi_fields_parse(&b, r->buffer, sizeof(r->buffer), 0, line, why))
		return false;
	if (!stamp_ns && !r->spec->by_stamp)
		stamp_ns = (int64_t)(b.event->time_ns & INT64_MAX);
	/* The builder would take the present time. */
	if (!b.event->time_ns)
		b.event->time_ns = (uint64_t)stamp_ns;
	length = tapio_event_builder_finish(&b);
	if (length < 0 ||
	    tapio_event_view_init(&view, r->buffer, (size_t)length)) {
		strcpy(why, "its strings do not fit an event");
		return false;
	}
	if (an_sample_take(r->spec, &view, stamp_ns, &r->sample))
		count(r, lane_of(r, object), &view.header);
	else
		r->delta.passed++;
	return true;
}

bool an_replay_line(struct an_replay *r, const char *text, size_t length,
		    char *why)
{
	const struct tpi_line line = {text, length, false};
	json_error_t error;
	json_t *object = json_loadb(
		text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	bool ok = true;

	if (!json_is_object(object)) {
		snprintf(why, AN_REPLAY_WHY_BYTES, "it is no JSON object%s%s",
			 object ? "" : ": ", object ? "" : error.text);
		ok = false;
	} else if (json_object_get(object, "gap")) {
		take_gap(r, json_object_get(object, "gap"));
	} else if (!is_typed(object)) {
		r->delta.passed++;
	} else {
		ok = take_event(r, object, &line, why);
	}
	json_decref(object);
	if (++r->lines == LINES_A_DELTA || r->delta.pane_count > 64)
		an_replay_flush(r);
	return ok;
}
