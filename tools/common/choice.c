/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "tools/common/choice.h"

#include <stdio.h>
#include <string.h>

#include <tapio/consumer.h>

const struct tpi_choice tpi_starts[] = {
	{"newest", TAPIO_START_NEWEST},
	{"oldest", TAPIO_START_OLDEST},
	{NULL, 0},
};

const struct tpi_choice tpi_policies[] = {
	{"lossy", TAPIO_GROUP_LOSSY},
	{"until", TAPIO_GROUP_UNTIL},
	{"lossless", TAPIO_GROUP_LOSSLESS},
	{NULL, 0},
};

const struct tpi_choice *tpi_choice_find(const struct tpi_choice *choices,
					 const char *name)
{
	for (; choices->name; choices++)
		if (!strcmp(choices->name, name))
			return choices;
	return NULL;
}

uint32_t tpi_arg_choice(struct argp_state *state, const char *option,
			const struct tpi_choice *choices, const char *text)
{
	const struct tpi_choice *found = tpi_choice_find(choices, text);
	char names[128] = "";
	size_t used = 0;

	if (found)
		return found->value;
	for (; choices->name && used < sizeof(names); choices++)
		used += (size_t)snprintf(names + used, sizeof(names) - used,
					 "%s%s", used ? ", " : "",
					 choices->name);
	argp_error(state, "%s: '%s' is not one of %s", option, text, names);
	return 0;
}
