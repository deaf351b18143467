/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings. See the header, and tools/collectors/common/settings.h. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/consumer.h>

#include "tools/common/choice.h"
#include "tools/correlate/options.h"

struct tpi_correlate_values tpi_correlate_values = {
	.group = "correlate",
	.policy = TPI_POLICY_DEFAULT,
	.lateness_ns = INT64_C(1000000000),
	.store_ns = INT64_C(200000000),
	.hold = 1024,
	.limit_keys = 65536,
	.limit_bytes = UINT64_C(256) << 20,
	.limit_events = 64,
};

static const struct tpi_choice policies[] = {
	{"lossless", TAPIO_GROUP_LOSSLESS},
	{"until", TAPIO_GROUP_UNTIL},
	{"lossy", TAPIO_GROUP_LOSSY},
	{NULL, 0},
};

static const struct tpi_choice orders[] = {
	{"stamp", TPI_ORDER_STAMP},
	{"event", TPI_ORDER_EVENT},
	{NULL, 0},
};

static const struct tpi_choice outputs[] = {
	{"text", TPI_OUTPUT_TEXT},
	{"json", TPI_OUTPUT_JSON},
	{"none", TPI_OUTPUT_NONE},
	{NULL, 0},
};

/* All members are 32 bits wide. */
static bool choose(const struct tpi_choice *choices, void *value,
		   const char *text, char *why, size_t why_bytes)
{
	const struct tpi_choice *found = tpi_choice_find(choices, text);
	size_t used = 0;

	if (found) {
		memcpy(value, &found->value, sizeof(found->value));
		return true;
	}
	for (const struct tpi_choice *c = choices; c->name; c++) {
		int n = snprintf(why + used, why_bytes - used, "%s%s",
				 used ? ", " : "none of ", c->name);

		if (n > 0 && (size_t)n < why_bytes - used)
			used += (size_t)n;
	}
	return false;
}

static bool parse_policy(void *value, const char *text, char *why,
			 size_t why_bytes)
{
	return choose(policies, value, text, why, why_bytes);
}

static bool parse_start(void *value, const char *text, char *why,
			size_t why_bytes)
{
	return choose(tpi_starts, value, text, why, why_bytes);
}

static bool parse_order(void *value, const char *text, char *why,
			size_t why_bytes)
{
	_Static_assert(sizeof(enum tpi_correlate_order) == sizeof(uint32_t),
		       "choose() stores 32 bits");
	return choose(orders, value, text, why, why_bytes);
}

static bool parse_output(void *value, const char *text, char *why,
			 size_t why_bytes)
{
	_Static_assert(sizeof(enum tpi_correlate_output) == sizeof(uint32_t),
		       "choose() stores 32 bits");
	return choose(outputs, value, text, why, why_bytes);
}

#define AT(member) .offset = offsetof(struct tpi_correlate_values, member)

const struct tpi_setting tpi_correlate_settings[] = {
	{.help = "Patterns:"},
	{"rules", "FILE", "The rules (SIGHUP reads them anew)", 'r',
	 TPI_SETTING_TEXT, AT(rules)},
	{"lateness", "TIME",
	 "How much later than others an event may come and still count in its place "
	 "(default: 1s)",
	 .kind = TPI_SETTING_DURATION, .min = 0, AT(lateness_ns)},
	{"order", "TIME",
	 "Which time of an event counts: stamp (when it was published, the default) or "
	 "event (its own)",
	 .kind = TPI_SETTING_OWN, AT(order), .parse = parse_order},
	{.help = "Where events come from:"},
	{"channel", "NAME",
	 "A channel to read, may be given more than once (default: events)",
	 'c', TPI_SETTING_LIST, AT(channels)},
	{"group", "NAME", "The group to read as (default: correlate)", 'g',
	 TPI_SETTING_TEXT, AT(group)},
	{"policy", "POLICY",
	 "Whether producers wait for it: lossless (the default with --state), until a "
	 "lag (the default without), or lossy",
	 .kind = TPI_SETTING_OWN, AT(policy), .parse = parse_policy},
	{"lag", "COUNT", "The lag of the policy until (default: half a lane)",
	 .kind = TPI_SETTING_COUNT, .min = 1, .max = UINT32_MAX, AT(lag)},
	{"since", "WHEN",
	 "Where a new group begins: newest (the default), or oldest: with all that "
	 "the channel still holds",
	 .kind = TPI_SETTING_OWN, AT(start), .parse = parse_start},
	{"replay", "FILE",
	 "Read a recording in JSON of tapio-tail instead (- is standard input), emit "
	 "nothing, and end with it",
	 .kind = TPI_SETTING_TEXT, AT(replay), .command_line_only = true},
	{.help = "State over kills:"},
	{"state", "FILE",
	 "Keep the state here, read with a durable group, and emit each finding once "
	 "over any kill (default: correlate.state in $STATE_DIRECTORY if that is set)",
	 .kind = TPI_SETTING_TEXT, AT(state)},
	{"store", "TIME", "Between two writes of it (default: 200ms)",
	 .kind = TPI_SETTING_DURATION, .min = 1000000, AT(store_ns)},
	{"hold", "COUNT",
	 "Write it at once when so many events of a channel wait for that (default: "
	 "1024)",
	 .kind = TPI_SETTING_COUNT, .min = 1, .max = UINT32_MAX, AT(hold)},
	{.help = "Limits:"},
	{"limit-keys", "COUNT", "Live keys of a rule (default: 65536)",
	 .kind = TPI_SETTING_COUNT, .min = 1, .max = UINT32_MAX,
	 AT(limit_keys)},
	{"limit-events", "COUNT", "Events of a key of a sequence (default: 64)",
	 .kind = TPI_SETTING_COUNT, .min = 1, .max = 1024, AT(limit_events)},
	{"limit-bytes", "SIZE", "All state in memory (default: 256M)",
	 .kind = TPI_SETTING_SIZE, .min = 65536, AT(limit_bytes)},
	{.help = "Output:"},
	{"output", "FORM",
	 "Findings on standard output: text (the default), json (a line for each), or "
	 "none",
	 'o', TPI_SETTING_OWN, AT(output), .parse = parse_output},
	{"explain", NULL,
	 "Say for each key of each rule how far it got, and why it did not fire",
	 .kind = TPI_SETTING_FLAG, AT(explain)},
	{0},
};

/* One that is stopped holds no producer up for ever, unless it is to miss nothing. */
static uint32_t default_policy(const struct tpi_correlate_values *values)
{
	const char *directory = getenv("STATE_DIRECTORY");

	return values->state || (directory && *directory) ? TAPIO_GROUP_LOSSLESS
							  : TAPIO_GROUP_UNTIL;
}

bool tpi_correlate_check(void *arg, char *why, size_t why_bytes)
{
	struct tpi_correlate_values *values = arg;

	if (values->policy == TPI_POLICY_DEFAULT)
		values->policy = default_policy(values);
	if (!values->rules) {
		snprintf(why, why_bytes, "no rules: --rules=FILE is needed");
		return false;
	}
	if (values->lag && values->policy != TAPIO_GROUP_UNTIL) {
		snprintf(why, why_bytes, "--lag needs --policy=until");
		return false;
	}
	if (values->lateness_ns < 0) {
		snprintf(why, why_bytes, "--lateness: forever is not allowed");
		return false;
	}
	return true;
}
