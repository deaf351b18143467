/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat advise`: two looks, and how large classes and lags should be. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/shmstat/advise.h"
#include "tools/shmstat/named.h"
#include "tools/shmstat/text.h"

static json_t *string_of(char *text)
{
	json_t *string = text ? json_string(text) : json_null();

	free(text);
	return string;
}

static void add_config(json_t *advice)
{
	json_t *channel;
	size_t i;

	json_object_set_new(advice, "config", string_of(advise_budget(advice)));
	json_array_foreach(json_object_get(advice, "channels"), i, channel)
		json_object_set_new(
			channel, "config",
			json_is_true(json_object_get(channel, "seen_enough"))
				? string_of(advise_config(channel))
				: json_null());
}

static bool is_advised(const json_t *advice, const json_t *group)
{
	const json_t *channel;
	size_t i;

	json_array_foreach(json_object_get(advice, "channels"), i, channel)
	{
		if (row_same(channel, group, "channel"))
			return true;
	}
	return false;
}

/* These may need more than the advice says. */
static void say_groups_not_read(const json_t *look, const json_t *advice)
{
	const json_t *group;
	size_t i;

	json_array_foreach(look_rows(look, "groups"), i, group)
	{
		if (json_is_true(json_object_get(group, "not_read")) &&
		    is_advised(advice, group))
			tpi_say("group %s of channel %s could not be read: the "
				"advice is without it",
				row_text(group, "group"),
				row_text(group, "channel"));
	}
}

static int answer(const struct stat_args *args, struct tpi_inspect *inspect,
		  const json_t *before, int64_t between_ns)
{
	json_t *after = parts_collect(inspect, WHY_PARTS), *advice = NULL;
	int status = TPI_EXIT_FAILURE;
	char text[512];
	struct why why = {
		.before = before,
		.after = after,
		.seconds = (double)between_ns / 1e9,
		.filter = &args->filter,
	};

	if (named_is_unknown(&args->filter, inspect, NULL, text,
			     sizeof(text))) {
		tpi_say("%s", text);
		json_decref(after);
		return TPI_EXIT_USAGE;
	}
	if (after)
		advice = advise(&why);
	if (!advice) {
		tpi_say("out of memory");
		json_decref(after);
		return status;
	}
	status = why_not_read(&why);
	say_groups_not_read(after, advice);
	if (args->json) {
		add_config(advice);
		json_dumpf(advice, stdout,
			   JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else {
		advise_print(advice, text_width(args));
	}
	json_decref(advice);
	json_decref(after);
	return status;
}

int command_advise(struct stat_args *args)
{
	return stat_two_looks(args, answer);
}
