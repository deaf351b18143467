/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that lie in the lanes of a class: refusals, by cause, and side lanes. */
#include <string.h>

#include "tools/shmstat/why.h"

#define BLOCKS_MOST     65536
#define SIDE_LANES_MOST 4096

/* One class of one channel, over all its lanes. */
struct sums {
	const json_t *channel;
	const json_t *klass;
	json_int_t dropped[4],
		grown[4]; /* full and timeout, size, held, no_lane */
	json_int_t timeout;
	json_int_t side_lanes, side_taken;
	json_int_t held, blocks, block_bytes;
	bool full; /* now, on some lane: the group finder says why */
};
enum {
	FULL,
	SIZE,
	HELD,
	NO_LANE
};

static const char *const lane_keys[] = {"channel", "lane", NULL};

static void add_cause(struct sums *s, int sum, const char *cause,
		      const json_t *row, const json_t *before)
{
	const json_t *now = json_object_get(row, "dropped");
	const json_t *then = json_object_get(before, "dropped");
	json_int_t grown = row_grown(now, then, cause);

	s->dropped[sum] += row_count(now, cause);
	if (grown > 0)
		s->grown[sum] += grown;
}

static void add_lane(struct sums *s, const struct why *why, const json_t *row)
{
	const json_t *before = row_before(why, "lanes", row, lane_keys);
	bool side = json_is_true(json_object_get(row, "side"));

	add_cause(s, FULL, "full", row, before);
	add_cause(s, FULL, "timeout", row, before);
	add_cause(s, SIZE, "size", row, before);
	add_cause(s, HELD, "held", row, before);
	add_cause(s, NO_LANE, "no_lane", row, before);
	s->timeout += row_count(json_object_get(row, "dropped"), "timeout");
	s->side_lanes += side;
	s->side_taken += side && row_count(row, "owner");
	s->held += row_count(row, "held");
	s->block_bytes = row_count(row, "block_bytes");
	if (row_count(row, "capacity") > s->blocks)
		s->blocks = row_count(row, "capacity");
	if (row_count(row, "used") + row_count(row, "held") >=
	    row_count(row, "capacity"))
		s->full = true;
}

static json_int_t doubled(json_int_t n, json_int_t most)
{
	return n * 2 < most ? n * 2 : most;
}

static json_t *numbers_of(const struct why *why, const struct sums *s, int sum)
{
	return json_pack(
		"{s:O, s:O, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "channel",
		s->channel, "class", s->klass, "refused", s->dropped[sum],
		"refused_now",
		why->before ? json_integer(s->grown[sum]) : json_null(), "held",
		s->held, "blocks", s->blocks, "blocks_more",
		doubled(s->blocks, BLOCKS_MOST), "block_bytes", s->block_bytes,
		"block_more", 2 * s->block_bytes, "timeout",
		s->timeout ? json_integer(s->timeout) : json_null());
}

static void find_side_lanes(struct why *why, const struct sums *s)
{
	json_t *numbers;

	if (!s->dropped[NO_LANE])
		return;
	numbers = numbers_of(why, s, NO_LANE);
	json_object_set_new(numbers, "side_lanes", json_integer(s->side_lanes));
	json_object_set_new(numbers, "free",
			    json_integer(s->side_lanes - s->side_taken));
	json_object_set_new(
		numbers, "side_lanes_more",
		json_integer(s->side_lanes
				     ? doubled(s->side_lanes, SIDE_LANES_MOST)
				     : 8));
	json_object_set_new(numbers, "reason", why_side_reason(why, ""));
	why_add(why,
		s->side_taken == s->side_lanes ? CAUSE_SIDE_EXHAUSTED
					       : CAUSE_REFUSED_SIDE,
		numbers);
}

static void conclude(struct why *why, const struct sums *s)
{
	if (s->dropped[SIZE])
		why_add(why, CAUSE_REFUSED_SIZE, numbers_of(why, s, SIZE));
	if (s->dropped[HELD])
		why_add(why, CAUSE_REFUSED_HELD, numbers_of(why, s, HELD));
	if (s->dropped[FULL] && !s->full)
		why_add(why, CAUSE_REFUSED_FULL, numbers_of(why, s, FULL));
	find_side_lanes(why, s);
}

static void find_impossible(struct why *why, const json_t *row)
{
	const json_t *faults = json_object_get(row, "faults");

	if (json_array_size(faults))
		why_add(why, CAUSE_IMPOSSIBLE,
			json_pack("{s:O, s:O, s:O}", "channel",
				  json_object_get(row, "channel"), "lane",
				  json_object_get(row, "lane"), "faults",
				  faults));
}

static void find_class(struct why *why, const json_t *channel,
		       const json_t *name)
{
	struct sums s = {.channel = json_object_get(channel, "channel"),
			 .klass = name};
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "lanes"), i,
			   row) if (row_same(row, channel, "channel") &&
				    json_equal(json_object_get(row, "class"),
					       name)) add_lane(&s, why, row);
	conclude(why, &s);
}

void why_lanes(struct why *why)
{
	const json_t *row, *klass;
	size_t i, k;

	json_array_foreach(look_rows(why->after, "lanes"), i,
			   row) if (why_concerns(why, row))
		find_impossible(why, row);
	json_array_foreach(look_rows(why->after, "channels"), i, row)
	{
		if (!why_concerns(why, row))
			continue;
		json_array_foreach(json_object_get(row, "classes"), k, klass)
			find_class(why, row, json_object_get(klass, "name"));
	}
}
