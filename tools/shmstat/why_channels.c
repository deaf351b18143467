/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that lie in a channel: its memory, its state, and whether events come. */
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/why.h"

#define LARGE_BYTES (2 << 20) /* a huge page, and more, would fit */

static json_int_t sum_of(const json_t *look, const json_t *channel,
			 const char *part, const char *key)
{
	const json_t *row;
	json_int_t sum = 0;
	size_t i;

	json_array_foreach(look_rows(look, part), i,
			   row) if (row_same(row, channel, "channel")) sum +=
		row_count(row, key);
	return sum;
}

/* Producers that are attached, and those of them that no CPU's lane serves. */
static json_int_t count_producers(const struct why *why, const json_t *channel,
				  json_int_t *on_side_lanes,
				  const char **verdict)
{
	json_int_t count = 0;
	const json_t *row;
	size_t i;

	*on_side_lanes = 0;
	*verdict = "";
	json_array_foreach(look_rows(why->after, "clients"), i, row)
	{
		if (!row_is(row, "role", "produce") ||
		    !row_same(row, channel, "channel"))
			continue;
		count++;
		/* Unknown: it has emitted nothing yet. */
		if (row_is(row, "rseq", "proven") ||
		    row_is(row, "rseq", "unknown"))
			continue;
		++*on_side_lanes;
		*verdict = row_text(row, "rseq");
	}
	return count;
}

json_t *why_side_reason(const struct why *why, const char *verdict)
{
	const json_t *broker = json_object_get(why->after, "broker");
	const char *reason = row_text(broker, "rseq_reason");

	if (!row_is(broker, "rseq", "proven"))
		return json_sprintf("restartable sequences are %s here%s%s",
				    row_text(broker, "rseq"),
				    *reason ? ": " : "", reason);
	return json_sprintf("restartable sequences work on this host, and are "
			    "%s in the process (its C library, a tunable, or a "
			    "call that is forbidden there)",
			    *verdict ? verdict : "absent");
}

static void find_events(struct why *why, const json_t *channel)
{
	json_int_t published =
		sum_of(why->after, channel, "lanes", "published");
	json_int_t before, side, producers;
	const char *verdict;

	producers = count_producers(why, channel, &side, &verdict);
	if (!producers) {
		why_add(why, CAUSE_NO_PRODUCER,
			json_pack("{s:O, s:I}", "channel",
				  json_object_get(channel, "channel"),
				  "published", published));
	} else if (why->before) {
		before = sum_of(why->before, channel, "lanes", "published");
		if (before == published)
			why_add(why, CAUSE_NO_EVENTS,
				json_pack("{s:O, s:I, s:I}", "channel",
					  json_object_get(channel, "channel"),
					  "producers", producers, "published",
					  published));
	}
	if (side && row_is(channel, "isolation", "channel"))
		why_add(why, CAUSE_SIDE_LANES,
			json_pack("{s:O, s:I, s:o}", "channel",
				  json_object_get(channel, "channel"),
				  "producers", side, "reason",
				  why_side_reason(why, verdict)));
}

static void find_placement(struct why *why, const json_t *segment)
{
	json_int_t pages = row_count(segment, "misplaced_pages");

	if (pages > 0 || row_is(segment, "placement", "elsewhere"))
		why_add(why, CAUSE_MISPLACED,
			json_pack("{s:O, s:O, s:I}", "channel",
				  json_object_get(segment, "channel"), "node",
				  json_object_get(segment, "node"), "pages",
				  pages));
	if (row_is(segment, "placement", "unbound"))
		why_add(why, CAUSE_UNBOUND,
			json_pack("{s:O, s:O, s:s}", "channel",
				  json_object_get(segment, "channel"), "node",
				  json_object_get(segment, "node"), "error",
				  row_text(segment, "placement_error")));
}

struct small {
	json_int_t segments;
	json_int_t bytes;
	json_int_t page;
	const json_t *failed;
};

static void add_small(struct why *why, const json_t *channel,
		      const struct small *s)
{
	json_t *errors = json_array(), *error;
	const char *rung;

	json_object_foreach((json_t *)(uintptr_t)s->failed, rung, error)
		json_array_append_new(
			errors,
			json_sprintf("%s %s", rung, json_string_value(error)));
	why_add(why, CAUSE_SMALL_PAGES,
		json_pack("{s:O, s:I, s:I, s:I, s:o, s:I}", "channel",
			  json_object_get(channel, "channel"), "segments",
			  s->segments, "length_bytes", s->bytes, "page_bytes",
			  s->page, "errors", errors, "hugepages",
			  s->bytes / LARGE_BYTES + 1));
}

static void find_segments(struct why *why, const json_t *channel)
{
	struct small small = {0};
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "segments"), i, row)
	{
		const json_t *failed = json_object_get(row, "rungs_failed");

		if (!row_same(row, channel, "channel"))
			continue;
		find_placement(why, row);
		if (!row_is(row, "kind", "channel") ||
		    !row_is(row, "rung", "pages") ||
		    row_count(row, "length_bytes") < LARGE_BYTES ||
		    !json_object_size(failed))
			continue;
		small.segments++;
		small.bytes += row_count(row, "length_bytes");
		small.page = row_count(row, "page_bytes");
		small.failed = failed;
	}
	if (small.segments)
		add_small(why, channel, &small);
}

/* The user without the right: of a snapshot that of its writer. */
static json_t *uid_of(const struct why *why)
{
	const json_t *source = json_object_get(why->after, "source");
	json_t *uid =
		json_object_get(json_object_get(source, "snapshot"), "uid");

	return uid ? json_incref(uid) : json_integer(geteuid());
}

/* null: none. */
static json_t *groups_not_read(const json_t *channel)
{
	json_int_t count = row_count(channel, "groups_not_read");

	return count ? json_integer(count) : json_null();
}

static void find_state(struct why *why, const json_t *channel)
{
	const json_t *error = json_object_get(channel, "error");
	const json_t *broker = json_object_get(why->after, "broker");

	if (json_is_string(error))
		why_add(why,
			json_is_true(json_object_get(channel, "denied"))
				? CAUSE_NO_RIGHT
				: CAUSE_UNREADABLE,
			json_pack("{s:O, s:O, s:o}", "channel",
				  json_object_get(channel, "channel"), "error",
				  error, "uid", uid_of(why)));
	if (row_is(channel, "state", "removed"))
		why_add(why, CAUSE_DRAINING,
			json_pack("{s:O, s:I, s:I, s:o}", "channel",
				  json_object_get(channel, "channel"),
				  "attached", row_count(channel, "attached"),
				  "unread", row_count(channel, "unread"),
				  "groups_not_read", groups_not_read(channel)));
	if (row_is(channel, "stamp", "tsc") &&
	    json_is_null(json_object_get(broker, "clock_error_ns")))
		why_add(why, CAUSE_NO_STAMPS,
			json_pack("{s:O}", "channel",
				  json_object_get(channel, "channel")));
}

void why_channels(struct why *why)
{
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "channels"), i, row)
	{
		if (!why_concerns(why, row))
			continue;
		find_state(why, row);
		find_segments(why, row);
		/* Of one that is not read nothing else is known. */
		if (!json_is_string(json_object_get(row, "error")))
			find_events(why, row);
	}
}
