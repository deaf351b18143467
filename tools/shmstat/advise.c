/* SPDX-License-Identifier: Apache-2.0 */
/* Working out what is advised. See the header. */
#include "tools/shmstat/advise.h"

#include <string.h>

#define LANE_BYTES       256 /* tapio_shm_lane */
#define DESCRIPTOR_BYTES 16  /* with the ticket */
#define STAMP_BYTES      8
#define NODES_MOST       64

static const char *const lane_keys[] = {"channel", "lane", NULL};

/* The lane of a class that has needed most, of those of CPUs or of side lanes. */
struct need {
	json_int_t most; /* unread, lost and refused there */
	json_int_t lane, unread, lost, refused;
	const json_t *group;
	json_int_t rate; /* events between the looks, on the busiest lane */
	json_int_t capacity, lanes;
	json_int_t taken; /* side lanes with an owner */
};

struct klass {
	const json_t *row; /* of the channel's classes */
	struct need cpu, side;
	json_int_t published;
	json_int_t full, held, size, no_lane; /* refused */
	bool lost;
};

static json_int_t larger(json_int_t a, json_int_t b)
{
	return a > b ? a : b;
}

static json_int_t power_of_two(json_int_t n)
{
	json_int_t power = 4;

	while (power < n && power < ADVISE_BLOCKS_MOST)
		power *= 2;
	return power;
}

/* ---- what was needed ------------------------------------------------------------ */

static json_int_t refused_for_room(const json_t *lane)
{
	const json_t *dropped = json_object_get(lane, "dropped");

	return row_count(dropped, "full") + row_count(dropped, "timeout");
}

/* A lossy group has asked to be overtaken. */
static bool is_kept(const struct why *why, const json_t *ledger)
{
	const json_t *group;
	size_t i;

	json_array_foreach(look_rows(why->after, "groups"), i,
			   group) if (row_same(group, ledger, "channel") &&
				      row_same(group, ledger,
					       "slot")) return !row_is(group,
								       "policy",
								       "lossy");
	return false;
}

static void need_at_least(struct need *need, const json_t *lane,
			  const json_t *group, json_int_t unread,
			  json_int_t lost)
{
	json_int_t refused = refused_for_room(lane);
	json_int_t most = unread + lost + refused;
	json_int_t ever = row_count(lane, "published") + refused;

	if (most > ever)
		most = ever;
	if (most <= need->most)
		return;
	need->most = most;
	need->lane = row_count(lane, "lane");
	need->unread = unread;
	need->lost = lost;
	need->refused = refused;
	need->group = group;
}

static void add_groups(const struct why *why, struct klass *k,
		       struct need *need, const json_t *lane)
{
	const json_t *ledger;
	json_int_t unread, lost;
	size_t i;

	json_array_foreach(look_rows(why->after, "ledger"), i, ledger)
	{
		if (!row_same(ledger, lane, "lane") ||
		    !row_same(ledger, lane, "channel") || !is_kept(why, ledger))
			continue;
		/* A member that never polled has noted nothing. */
		unread = larger(row_count(ledger, "high_water"),
				row_count(ledger, "in_flight"));
		lost = row_count(ledger, "lost");
		k->lost |= lost > 0;
		need_at_least(need, lane, json_object_get(ledger, "group"),
			      unread, lost);
	}
	if (refused_for_room(lane))
		need_at_least(need, lane, NULL, row_count(lane, "capacity"), 0);
}

static void add_lane(const struct why *why, struct klass *k, const json_t *lane)
{
	const json_t *before = row_before(why, "lanes", lane, lane_keys);
	const json_t *dropped = json_object_get(lane, "dropped");
	bool side = json_is_true(json_object_get(lane, "side"));
	struct need *need = side ? &k->side : &k->cpu;

	need->lanes++;
	need->capacity = row_count(lane, "capacity");
	need->taken += row_count(lane, "owner") != 0;
	need->rate = larger(need->rate, row_grown(lane, before, "published"));
	k->published += row_count(lane, "published");
	k->full += refused_for_room(lane);
	k->held += row_count(dropped, "held");
	k->size += row_count(dropped, "size");
	k->no_lane += row_count(dropped, "no_lane");
	add_groups(why, k, need, lane);
}

static void look_at_class(const struct why *why, const json_t *channel,
			  struct klass *k)
{
	const json_t *name = json_object_get(k->row, "name"), *lane;
	size_t i;

	json_array_foreach(look_rows(why->after, "lanes"), i,
			   lane) if (row_same(lane, channel, "channel") &&
				     json_equal(json_object_get(lane, "class"),
						name)) add_lane(why, k, lane);
}

/* ---- what is advised ------------------------------------------------------------ */

/* Twice what was needed, and no less than there is. */
static json_int_t blocks_for(const struct need *need)
{
	return larger(need->capacity, power_of_two(2 * need->most));
}

static json_t *say_need(const struct need *need, json_int_t advised)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:O?, s:I, s:I, s:I, s:b}",
			 "most", need->most, "lane", need->lane, "unread",
			 need->unread, "lost", need->lost, "group", need->group,
			 "refused", need->refused, "twice", 2 * need->most,
			 "advised", advised, "enough",
			 2 * need->most <= ADVISE_BLOCKS_MOST);
}

static json_int_t side_lanes_for(const struct klass *k)
{
	json_int_t now = row_count(k->row, "side_lanes"), twice;

	if (!k->no_lane)
		return now;
	twice = larger(2 * now, 8);
	return twice < ADVISE_SIDE_LANES_MOST ? twice : ADVISE_SIDE_LANES_MOST;
}

static json_t *advise_class(const struct why *why, const json_t *channel,
			    struct klass *k)
{
	/* Its lanes are those of producers. */
	bool isolated = row_is(channel, "isolation", "process");
	struct need *main = isolated ? &k->side : &k->cpu;
	json_int_t blocks = blocks_for(main);
	json_int_t side = isolated ? row_count(k->row, "side_blocks")
				   : blocks_for(&k->side);
	json_t *object;

	if (k->held)
		blocks = larger(blocks, power_of_two(2 * main->capacity));
	object = json_pack(
		"{s:O, s:I, s:O, s:I, s:O, s:I, s:O, s:I, s:O}", "class",
		json_object_get(k->row, "name"), "lanes", main->lanes, "blocks",
		json_object_get(k->row, "blocks"), "blocks_advised", blocks,
		"side_blocks", json_object_get(k->row, "side_blocks"),
		"side_blocks_advised", side, "side_lanes",
		json_object_get(k->row, "side_lanes"), "side_lanes_advised",
		isolated ? row_count(k->row, "side_lanes") : side_lanes_for(k),
		"block_bytes", json_object_get(k->row, "block_bytes"));
	json_object_set(object, "priority",
			json_object_get(k->row, "priority"));
	json_object_set_new(object, "published", json_integer(k->published));
	json_object_set_new(object, "busiest_per_s",
			    json_real(per_second(why, main->rate)));
	json_object_set_new(object, "needed", say_need(main, blocks));
	json_object_set_new(object, "needed_on_side_lanes",
			    isolated ? json_null() : say_need(&k->side, side));
	json_object_set_new(object, "refused",
			    json_pack("{s:I, s:I, s:I, s:I}", "room", k->full,
				      "held", k->held, "size", k->size,
				      "no_lane", k->no_lane));
	return object;
}

/* The room that a group has needed on a lane, also for events that were refused. */
static json_int_t needed_there(const struct why *why, const json_t *ledger)
{
	const json_t *lane;
	size_t i;

	json_array_foreach(look_rows(why->after, "lanes"), i, lane) if (
		row_same(lane, ledger, "lane") &&
		row_same(lane, ledger,
			 "channel")) return larger(row_count(ledger,
							     "high_water"),
						   row_count(ledger,
							     "in_flight")) +
		row_count(ledger, "lost") + refused_for_room(lane);
	return 0;
}

/* The lag of a group that has one of its own: the most that it has needed on a lane. */
static json_t *advise_group(const struct why *why, const json_t *group)
{
	json_int_t lag = row_count(group, "lag_max"), most = 0;
	const json_t *ledger;
	size_t i;

	json_array_foreach(look_rows(why->after, "ledger"), i,
			   ledger) if (row_same(ledger, group, "slot") &&
				       row_same(ledger, group, "channel"))
		most = larger(most, needed_there(why, ledger));
	return json_pack(
		"{s:O, s:O, s:O, s:I, s:I, s:I, s:O, s:O, s:O, s:O}", "group",
		json_object_get(group, "group"), "policy",
		json_object_get(group, "policy"), "durable",
		json_object_get(group, "durable"), "lag", lag, "lag_advised",
		lag && most < ADVISE_BLOCKS_MOST ? larger(lag, most) : lag,
		"needed", most, "high_water",
		json_object_get(group, "high_water"), "lost",
		json_object_get(group, "lost"), "members",
		json_object_get(group, "members"), "takeover_ns",
		json_object_get(group, "takeover_ns"));
}

/* ---- memory --------------------------------------------------------------------- */

static json_int_t lane_bytes(const json_t *channel, const json_t *klass,
			     json_int_t blocks)
{
	json_int_t each = row_count(klass, "block_bytes") + DESCRIPTOR_BYTES;

	if (!row_is(channel, "stamp", "none"))
		each += STAMP_BYTES;
	return LANE_BYTES + blocks * each;
}

static const json_t *class_named(const json_t *classes, const json_t *name)
{
	const json_t *klass;
	size_t i;

	json_array_foreach(
		classes, i,
		klass) if (json_equal(json_object_get(klass, "class"),
				      name)) return klass;
	return NULL;
}

/* A lane as it is, and as it would be. More side lanes come to node 0. */
static void add_memory(json_int_t bytes[2][NODES_MOST], const json_t *channel,
		       const json_t *klass, const json_t *lane)
{
	json_int_t node = row_count(lane, "node");
	bool side = json_is_true(json_object_get(lane, "side")) &&
		    row_is(channel, "isolation", "channel");

	if (node < 0 || node >= NODES_MOST)
		node = 0;
	bytes[0][node] +=
		lane_bytes(channel, klass, row_count(lane, "capacity"));
	bytes[1][node] +=
		lane_bytes(channel, klass,
			   row_count(klass, side ? "side_blocks_advised"
						 : "blocks_advised"));
}

static json_t *advise_memory(const struct why *why, const json_t *channel,
			     const json_t *classes)
{
	json_int_t bytes[2][NODES_MOST] = {{0}};
	json_t *nodes = json_array();
	const json_t *row, *klass;
	size_t i;

	json_array_foreach(look_rows(why->after, "lanes"), i, row)
	{
		klass = class_named(classes, json_object_get(row, "class"));
		if (klass && row_same(row, channel, "channel"))
			add_memory(bytes, channel, klass, row);
	}
	json_array_foreach(classes, i, klass) bytes[1][0] +=
		(row_count(klass, "side_lanes_advised") -
		 row_count(klass, "side_lanes")) *
		lane_bytes(channel, klass,
			   row_count(klass, "side_blocks_advised"));
	for (i = 0; i < NODES_MOST; i++)
		if (bytes[0][i])
			json_array_append_new(
				nodes,
				json_pack("{s:I, s:I, s:I}", "node",
					  (json_int_t)i, "bytes", bytes[0][i],
					  "bytes_advised", bytes[1][i]));
	return nodes;
}

/* ---- a channel ------------------------------------------------------------------ */

static json_t *advise_groups(const struct why *why, const json_t *channel)
{
	json_t *groups = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "groups"), i,
			   row) if (row_same(row, channel, "channel") &&
				    row_is(row, "state", "active"))
		json_array_append_new(groups, advise_group(why, row));
	return groups;
}

static bool has_evidence(const struct klass *k)
{
	return k->lost || k->full || k->held || k->size || k->no_lane;
}

/* The keys that its section is written from. */
static json_t *described(const json_t *channel)
{
	static const char *const keys[] = {"channel",       "isolation",
					   "producers_max", "full",
					   "wait_ns",       "stamp"};
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set(object, keys[i],
				json_object_get(channel, keys[i]));
	return object;
}

static json_t *advise_channel(const struct why *why, const json_t *channel)
{
	const json_t *broker = json_object_get(why->after, "broker"), *row;
	double uptime = json_number_value(json_object_get(broker, "uptime_s"));
	json_t *object = described(channel);
	json_t *classes = json_array();
	json_int_t published = 0;
	bool evidence = false;
	size_t i;

	json_array_foreach(json_object_get(channel, "classes"), i, row)
	{
		struct klass k = {.row = row};

		look_at_class(why, channel, &k);
		json_array_append_new(classes, advise_class(why, channel, &k));
		published += k.published;
		evidence |= has_evidence(&k);
	}
	json_object_set_new(object, "published", json_integer(published));
	json_object_set_new(object, "uptime_s", json_real(uptime));
	json_object_set_new(
		object, "seen_enough",
		json_boolean(evidence || (published >= ADVISE_EVENTS_LEAST &&
					  uptime >= ADVISE_SECONDS_LEAST)));
	json_object_set_new(object, "memory",
			    advise_memory(why, channel, classes));
	json_object_set_new(object, "groups", advise_groups(why, channel));
	json_object_set_new(object, "classes", classes);
	return object;
}

static json_int_t more_bytes(const json_t *channels)
{
	const json_t *channel, *node;
	json_int_t more = 0;
	size_t i, k;

	json_array_foreach(channels, i, channel)
		json_array_foreach(json_object_get(channel, "memory"), k, node)
			more +=
		row_count(node, "bytes_advised") - row_count(node, "bytes");
	return more;
}

json_t *advise(const struct why *why)
{
	const json_t *broker = json_object_get(why->after, "broker"), *row;
	json_t *channels = json_array();
	size_t i;

	json_array_foreach(look_rows(why->after, "channels"), i,
			   row) if (why_concerns(why, row) &&
				    !row_is(row, "state", "removed") &&
				    json_is_null(json_object_get(row, "error")))
		json_array_append_new(channels, advise_channel(why, row));
	return json_pack("{s:s, s:O, s:f, s:O, s:O, s:I, s:o}", "schema",
			 STAT_SCHEMA_ADVISE, "source",
			 json_object_get(why->after, "source"), "seconds",
			 why->seconds, "budget_bytes",
			 json_object_get(broker, "budget_bytes"), "used_bytes",
			 json_object_get(broker, "used_bytes"),
			 "used_bytes_advised",
			 row_count(broker, "used_bytes") + more_bytes(channels),
			 "channels", channels);
}
