/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that lie in a group: the events that it keeps or has lost, and its members. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/why.h"

#define MEMBERS_TOLD 4
#define BEHIND_LEAST 64   /* unread, or it is nothing to speak of */
#define BEHIND_PART  0.95 /* of what is published */

static const char *const group_keys[] = {"channel", "slot", "incarnation",
					 NULL};
static const char *const ledger_keys[] = {"channel", "slot", "lane", NULL};

/* Lanes of a group that have something in common, and the one that is told of. */
struct some {
	json_int_t lanes;
	json_int_t count;    /* events there */
	const json_t *worst; /* its row of the ledger .. */
	const json_t *lane;  /* .. and of the lanes */
};

struct sums {
	struct some starves, holds, at_lag, found, untaken;
	json_int_t worst_left; /* blocks, until a lane is at its limit */
};

/* ---- members ------------------------------------------------------------------- */

static const char *what_it_does(const json_t *client)
{
	const json_t *polls = json_object_get(client, "polls");

	if (row_is(client, "process", "gone"))
		return "is dead";
	if (row_is(client, "process", "stopped"))
		return "is stopped";
	if (json_is_false(polls))
		return "does not poll";
	if (json_is_true(polls))
		return "polls";
	if (!row_count(client, "lanes"))
		return "has taken no lane";
	return "runs";
}

static bool is_member(const json_t *client, const json_t *group)
{
	return row_is(client, "role", "consume") &&
	       row_same(client, group, "channel") &&
	       row_same(client, group, "group");
}

json_t *why_members(const struct why *why, const json_t *group)
{
	const json_t *client;
	char text[512] = "";
	size_t i, at = 0, told = 0, more = 0;

	json_array_foreach(look_rows(why->after, "clients"), i, client)
	{
		if (!is_member(client, group))
			continue;
		if (told == MEMBERS_TOLD || at >= sizeof(text)) {
			more++;
			continue;
		}
		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%s%lld (%s) %s",
			told++ ? ", " : "", (long long)row_count(client, "pid"),
			row_text(client, "comm"), what_it_does(client));
	}
	if (!told)
		return json_string("there is none");
	return more ? json_sprintf("%s, and %zu more", text, more)
		    : json_string(text);
}

/* ---- lanes of a group ---------------------------------------------------------- */

/* Rows of lanes stand in the order of channels and numbers. */
static const json_t *lane_of(const struct why *why, const json_t *ledger,
			     size_t *from)
{
	const json_t *rows = look_rows(why->after, "lanes"), *row;
	size_t count = json_array_size(rows);

	for (size_t i = 0; i < count; i++) {
		size_t at = (*from + i) % count;

		row = json_array_get(rows, at);
		if (!row_same(row, ledger, "lane") ||
		    !row_same(row, ledger, "channel"))
			continue;
		*from = at + 1;
		return row;
	}
	return NULL;
}

static void note(struct some *some, json_int_t count, const json_t *ledger,
		 const json_t *lane)
{
	some->lanes++;
	some->count += count;
	if (some->worst && row_count(some->worst, "in_flight") >=
				   row_count(ledger, "in_flight"))
		return;
	some->worst = ledger;
	some->lane = lane;
}

static json_int_t refused_for_room(const json_t *lane)
{
	const json_t *dropped = json_object_get(lane, "dropped");

	return row_count(dropped, "full") + row_count(dropped, "timeout");
}

static bool has_word(const json_t *list, const char *word)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value) if (!strcmp(json_string_value(value),
						       word)) return true;
	return false;
}

static bool was_quarantined(const json_t *ledger)
{
	const json_t *faults = json_object_get(ledger, "faults");

	return has_word(faults, "state") || has_word(faults, "descriptor");
}

/* Nobody had it, and it did not move. */
static bool is_untaken(const struct why *why, const json_t *ledger)
{
	const json_t *before;

	if (row_count(ledger, "lease") || !row_count(ledger, "in_flight"))
		return false;
	before = row_before(why, "ledger", ledger, ledger_keys);
	return before && !row_count(before, "lease") &&
	       row_count(before, "in_flight") &&
	       !row_grown(ledger, before, "delivered") &&
	       !row_grown(ledger, before, "skipped");
}

/* More faults than those that a member has found and passed over. */
static void find_impossible(struct why *why, const json_t *ledger)
{
	if (json_is_false(json_object_get(ledger, "balanced")))
		why_add(why, CAUSE_IMPOSSIBLE,
			json_pack("{s:O, s:O, s:O, s:O}", "channel",
				  json_object_get(ledger, "channel"), "group",
				  json_object_get(ledger, "group"), "lane",
				  json_object_get(ledger, "lane"), "faults",
				  json_object_get(ledger, "faults")));
}

static void judge_lane(struct why *why, struct sums *s, const json_t *group,
		       const json_t *ledger, const json_t *lane)
{
	json_int_t unread = row_count(ledger, "in_flight");
	json_int_t held = row_count(lane, "held");
	json_int_t limit = row_count(lane, "capacity") - held;
	const json_t *lag = json_object_get(ledger, "lag");

	find_impossible(why, ledger);
	if (was_quarantined(ledger))
		note(&s->found, row_count(ledger, "lost"), ledger, lane);
	if (row_is(group, "in_force", "lossless") && unread >= limit)
		note(refused_for_room(lane) ? &s->starves : &s->holds, unread,
		     ledger, lane);
	if (json_is_integer(lag)) {
		limit = json_integer_value(lag);
		if (unread >= limit)
			note(&s->at_lag, unread, ledger, lane);
	}
	if (row_count(group, "members") && is_untaken(why, ledger))
		note(&s->untaken, unread, ledger, lane);
	if (limit - unread < s->worst_left)
		s->worst_left = limit - unread;
}

/* ---- findings ------------------------------------------------------------------ */

/* Those that all of them have. */
static json_t *numbers_of(const struct why *why, const json_t *group)
{
	const json_t *before = row_before(why, "groups", group, group_keys);

	return json_pack(
		"{s:O, s:O, s:O, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}",
		"channel", json_object_get(group, "channel"), "group",
		json_object_get(group, "group"), "policy",
		json_object_get(group, "policy"), "members",
		row_count(group, "members"), "delivered",
		row_count(group, "delivered"), "skipped",
		row_count(group, "skipped"), "lost", row_count(group, "lost"),
		"in_flight", row_count(group, "in_flight"), "lost_now",
		count_or_null(row_grown(group, before, "lost")),
		"delivered_now",
		count_or_null(row_grown(group, before, "delivered")),
		"skipped_now",
		count_or_null(row_grown(group, before, "skipped")));
}

/* How long a producer waits for room, or null. */
static json_t *wait_of(const struct why *why, const json_t *group)
{
	const json_t *channel;
	size_t i;

	json_array_foreach(look_rows(why->after, "channels"), i, channel) if (
		row_same(channel, group, "channel") &&
		row_is(channel, "full",
		       "wait")) return json_integer(row_count(channel,
							      "wait_ns"));
	return json_null();
}

/* And those of a finding about some of its lanes. */
static void add_some(struct why *why, enum cause cause, const json_t *group,
		     const struct some *some)
{
	static const char *const lane_keys[] = {"channel", "lane", NULL};
	json_t *numbers;
	const json_t *before;
	json_int_t refused;

	if (!some->lanes)
		return;
	numbers = numbers_of(why, group);
	before = row_before(why, "lanes", some->lane, lane_keys);
	refused = refused_for_room(some->lane);
	json_object_set_new(numbers, "lanes", json_integer(some->lanes));
	json_object_set_new(numbers, "unread", json_integer(some->count));
	json_object_set(numbers, "lane", json_object_get(some->lane, "lane"));
	json_object_set(numbers, "class", json_object_get(some->lane, "class"));
	json_object_set(numbers, "blocks",
			json_object_get(some->lane, "capacity"));
	json_object_set(numbers, "in_flight",
			json_object_get(some->worst, "in_flight"));
	json_object_set(numbers, "lag", json_object_get(some->worst, "lag"));
	json_object_set(numbers, "faults",
			json_object_get(some->worst, "faults"));
	json_object_set_new(numbers, "refused", json_integer(refused));
	json_object_set_new(
		numbers, "refused_now",
		before ? json_integer(refused - refused_for_room(before))
		       : json_null());
	json_object_set_new(numbers, "members_say", why_members(why, group));
	json_object_set_new(numbers, "wait_ns", wait_of(why, group));
	if (cause == CAUSE_QUARANTINED)
		json_object_set_new(numbers, "lost", json_integer(some->count));
	if (stat_causes[cause].other_remedy && !row_count(group, "members"))
		why_add_other(why, cause, numbers);
	else
		why_add(why, cause, numbers);
}

static void find_losses(struct why *why, const json_t *group,
			const struct sums *s)
{
	if (!row_count(group, "lost") || s->at_lag.lanes)
		return;
	if (row_is(group, "policy", "lossy"))
		why_add(why, CAUSE_LAPPED, numbers_of(why, group));
	else if (row_is(group, "policy", "lossless"))
		why_add_other(why, CAUSE_LOST, numbers_of(why, group));
	else
		why_add(why, CAUSE_LOST, numbers_of(why, group));
}

static json_int_t done(const json_t *group)
{
	return row_count(group, "delivered") + row_count(group, "skipped") +
	       row_count(group, "lost");
}

/* By two looks: how much came, how much went, and when there is no room any more. */
static void find_rates(struct why *why, const json_t *group,
		       const json_t *before, const struct sums *s)
{
	json_int_t unread = row_count(group, "in_flight");
	json_int_t went = done(group) - done(before);
	json_int_t came = went + unread - row_count(before, "in_flight");
	json_t *numbers, *left = json_null();

	if (unread < BEHIND_LEAST || came <= went ||
	    (double)went > BEHIND_PART * (double)came)
		return;
	if (s->worst_left > 0 && s->worst_left != INT64_MAX)
		left = json_real((double)s->worst_left /
				 per_second(why, came - went));
	numbers = numbers_of(why, group);
	json_object_set_new(numbers, "published_s",
			    json_real(per_second(why, came)));
	json_object_set_new(numbers, "done_s",
			    json_real(per_second(why, went)));
	json_object_set_new(numbers, "left_s", left);
	why_add(why, CAUSE_BEHIND, numbers);
}

static void find_filter(struct why *why, const json_t *group,
			const json_t *before)
{
	if (!json_is_string(json_object_get(group, "filter")))
		return;
	if (row_grown(group, before, "skipped") > 0 &&
	    !row_grown(group, before, "delivered"))
		why_add(why, CAUSE_FILTERED, numbers_of(why, group));
	else
		why_add(why, CAUSE_FILTER, numbers_of(why, group));
}

static void find_members(struct why *why, const json_t *group,
			 const json_t *before)
{
	json_t *numbers;

	if (json_is_true(json_object_get(group, "joining")) && before &&
	    json_is_true(json_object_get(before, "joining")))
		why_add(why, CAUSE_JOINING, numbers_of(why, group));
	if (row_count(group, "members") || !row_count(group, "in_flight"))
		return;
	numbers = numbers_of(why, group);
	json_object_set_new(numbers, "unread",
			    json_integer(row_count(group, "in_flight")));
	why_add(why, CAUSE_NO_MEMBER, numbers);
}

static void conclude(struct why *why, const json_t *group, const struct sums *s)
{
	const json_t *before = row_before(why, "groups", group, group_keys);

	if (json_is_true(json_object_get(group, "evicted"))) {
		why_add(why, CAUSE_EVICTED, numbers_of(why, group));
		if (!row_is(group, "state", "active"))
			return;
	}
	add_some(why, CAUSE_QUARANTINED, group, &s->found);
	add_some(why, CAUSE_STARVES, group, &s->starves);
	add_some(why, CAUSE_HOLDS, group, &s->holds);
	add_some(why, CAUSE_AT_LAG, group, &s->at_lag);
	add_some(why, CAUSE_UNTAKEN, group, &s->untaken);
	find_losses(why, group, s);
	find_filter(why, group, before);
	find_members(why, group, before);
	if (before)
		find_rates(why, group, before, s);
}

/* Rows of the ledger stand in the order of groups. */
static size_t add_up(struct why *why, const json_t *group, struct sums *s,
		     size_t at)
{
	const json_t *rows = look_rows(why->after, "ledger"), *ledger, *lane;
	size_t count = json_array_size(rows), lanes = 0;
	bool met = false;

	for (size_t i = 0; i < count; i++) {
		ledger = json_array_get(rows, (at + i) % count);
		if (!row_same(ledger, group, "slot") ||
		    !row_same(ledger, group, "channel")) {
			if (met) /* they were in a row */
				return (at + i) % count;
			continue;
		}
		met = true;
		lane = lane_of(why, ledger, &lanes);
		if (lane)
			judge_lane(why, s, group, ledger, lane);
	}
	return at;
}

void why_groups(struct why *why)
{
	const json_t *row;
	size_t i, at = 0;

	json_array_foreach(look_rows(why->after, "groups"), i, row)
	{
		struct sums s = {.worst_left = INT64_MAX};

		if (!why_concerns(why, row))
			continue;
		at = add_up(why, row, &s, at);
		conclude(why, row, &s);
	}
}
