/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that lie in the broker: its process, its clock, what it has refused. */
#include <string.h>

#include "tools/shmstat/why.h"

/* Of stamps against the clock: more than any clock that is slewed, or a look that was
 * disturbed, makes of it. */
#define CLOCK_OFF_NS 1000000

static json_int_t count_alive(const struct why *why)
{
	const json_t *row;
	json_int_t count = 0;
	size_t i;

	json_array_foreach(look_rows(why->after, "clients"), i, row) count +=
		json_is_true(json_object_get(row, "alive"));
	return count;
}

/* The process that keeps the memory. A file says of it only that there was to be one. */
static json_t *keeper_of(const struct why *why, const json_t *broker)
{
	const json_t *source = json_object_get(why->after, "source");

	return json_object_get(broker, row_is(source, "from", "file")
					       ? "keeper_pid"
					       : "held_by");
}

static json_t *numbers_of(const struct why *why, const json_t *broker)
{
	return json_pack("{s:O?, s:s, s:I, s:O?}", "pid",
			 json_object_get(broker, "pid"), "instance",
			 row_text(broker, "instance"), "clients",
			 count_alive(why), "held_by", keeper_of(why, broker));
}

static void find_process(struct why *why, const json_t *broker)
{
	const json_t *source = json_object_get(why->after, "source");
	const json_t *note = json_object_get(source, "note");
	enum cause cause = CAUSES;

	if (row_is(broker, "state", "stopped"))
		cause = CAUSE_FORMER;
	else if (row_is(broker, "process", "gone"))
		cause = json_is_integer(keeper_of(why, broker))
				? CAUSE_BROKER_AWAY
				: CAUSE_ORPHANED;
	else if (row_is(broker, "process", "stopped"))
		cause = CAUSE_BROKER_STOPPED;
	if (cause != CAUSES)
		why_add(why, cause, numbers_of(why, broker));
	else if (json_is_string(note))
		why_add(why, CAUSE_BROKER_SILENT,
			json_pack("{s:O?, s:O}", "pid",
				  json_object_get(broker, "pid"), "note",
				  note));
}

static void find_clock(struct why *why, const json_t *broker,
		       const json_t *before)
{
	const json_t *off = json_object_get(broker, "clock_off_ns");
	json_int_t ns = json_integer_value(off);

	if (ns > CLOCK_OFF_NS || ns < -CLOCK_OFF_NS)
		why_add(why, CAUSE_CLOCK_OFF,
			json_pack("{s:I, s:I}", "off_ns", ns, "limit_ns",
				  (json_int_t)CLOCK_OFF_NS));
	if (row_grown(broker, before, "clock_steps") > 0)
		why_add(why, CAUSE_CLOCK_SET,
			json_pack("{s:I}", "steps",
				  row_count(broker, "clock_steps")));
}

static void find_refusals(struct why *why, const json_t *broker,
			  const json_t *before)
{
	const json_t *counters = json_object_get(broker, "counters");
	const json_t *then = json_object_get(before, "counters");
	json_int_t refused = row_count(counters, "refusals");
	json_int_t grown = row_grown(counters, then, "refusals");
	json_int_t reloads = row_count(counters, "reload_refusals");

	if (grown > 0)
		why_add(why, CAUSE_REQUESTS,
			json_pack("{s:I, s:I}", "refused", refused,
				  "refused_now", grown));
	else if (refused)
		why_add(why, CAUSE_REFUSED_REQUESTS,
			json_pack("{s:I}", "refused", refused));
	if (reloads)
		why_add(why, CAUSE_RELOAD_REFUSED,
			json_pack("{s:I}", "refusals", reloads));
}

void why_broker(struct why *why)
{
	const json_t *broker = json_object_get(why->after, "broker");
	const json_t *before = json_object_get(why->before, "broker");
	json_int_t broken = row_count(why->after, "broken");

	find_process(why, broker);
	find_clock(why, broker, before);
	find_refusals(why, broker, before);
	if (broken)
		why_add(why, CAUSE_RULES_BROKEN,
			json_pack("{s:I}", "broken", broken));
}
