/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that lie in a client: its process, and whether it polls. */
#include <string.h>

#include "tools/shmstat/why.h"

static const char *const client_keys[] = {"id", NULL};

/* Lanes of a member that holds no events are taken over after this at most. */
#define IDLE_NS 1000000000

/* When another member takes its lanes over. null: never, or it is no member. */
static json_t *takeover_of(const struct why *why, const json_t *client)
{
	const json_t *group, *ns;
	size_t i;

	json_array_foreach(look_rows(why->after, "groups"), i, group)
	{
		if (!row_same(client, group, "channel") ||
		    !row_same(client, group, "group"))
			continue;
		ns = json_object_get(group, "takeover_ns");
		if (!row_count(client, "in_hand") &&
		    (!json_is_integer(ns) || json_integer_value(ns) > IDLE_NS))
			return json_integer(IDLE_NS);
		return json_incref((json_t *)(uintptr_t)ns);
	}
	return json_null();
}

static json_t *numbers_of(const struct why *why, const json_t *row)
{
	return json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:o}", "pid",
			 json_object_get(row, "pid"), "comm",
			 json_object_get(row, "comm"), "channel",
			 json_object_get(row, "channel"), "role",
			 json_object_get(row, "role"), "group",
			 json_object_get(row, "group"), "lanes",
			 json_object_get(row, "lanes"), "in_hand",
			 json_object_get(row, "in_hand"), "unread",
			 json_object_get(row, "unread"), "takeover_ns",
			 takeover_of(why, row));
}

/* Gone at both looks: a broker that runs has seen to it in between. */
static bool is_dead(const struct why *why, const json_t *row)
{
	const json_t *before;

	if (!row_is(row, "process", "gone"))
		return false;
	if (!why->before)
		return true;
	before = row_before(why, "clients", row, client_keys);
	return before && row_is(before, "process", "gone");
}

void why_clients(struct why *why)
{
	const json_t *row;
	size_t i;

	json_array_foreach(look_rows(why->after, "clients"), i, row)
	{
		if (!why_concerns(why, row))
			continue;
		if (is_dead(why, row))
			why_add(why, CAUSE_CLIENT_DEAD, numbers_of(why, row));
		else if (row_is(row, "process", "stopped"))
			why_add(why, CAUSE_CLIENT_STOPPED,
				numbers_of(why, row));
		else if (json_is_false(json_object_get(row, "polls")))
			why_add(why, CAUSE_CLIENT_SLEEPS, numbers_of(why, row));
	}
}
