/* SPDX-License-Identifier: Apache-2.0 */
/* One table says everything about the commands that are more than parts of a look. */
#include "tools/shmstat/command.h"

#include <string.h>

const struct stat_command stat_commands[] = {
	{"check", NULL, 0, 0, "every rule of the memory", command_check, NULL,
	 false, 0},
	{"advise", NULL, 0, 0, "how large classes and lags should be",
	 command_advise, NULL, true, FILTER_CHANNEL},
	{"why", NULL, 0, 0, "why no events, why refusals, why slow",
	 command_why, &why_argp, true,
	 FILTER_CHANNEL | FILTER_GROUP | FILTER_CLIENT},
	{"watch", NULL, 0, 0,
	 "a live view of the terminal's size; --json: lines", command_watch,
	 NULL, false, FILTERS_OF_LOOK},
	{"serve", NULL, 0, 0, "metrics, JSON and a live page by HTTP",
	 command_serve, &command_serve_argp, false, FILTERS_OF_LOOK},
	{"snapshot", "FILE", 1, 1,
	 "copies the memory, with its events, to a file", command_snapshot,
	 &command_snapshot_argp, true, 0},
	{"instances", NULL, 0, 0,
	 "all brokers' memories that processes of this host hold",
	 command_instances, NULL, true, 0},
	{0},
};

const struct stat_command *stat_command_find(const char *name)
{
	for (const struct stat_command *c = stat_commands; c->name; c++)
		if (!strcmp(name, c->name))
			return c;
	return NULL;
}
