/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-shmstat: shows a broker's memory, whether the broker lives or not.
 *
 * The first word names a command of stat_commands[], or a part of a look. Then further
 * words name further parts. Options stand anywhere.
 */
#include <stdlib.h>

#include "tools/shmstat/options.h"

int main(int argc, char **argv)
{
	struct stat_args args = {0};
	const struct stat_command *command;
	int status;

	tpi_tool_init("tapio-shmstat");
	command = stat_parse(argc, argv, &args);
	if (!command)
		status = args.explain ? stat_once(&args, command_show)
				      : command_show(&args);
	else
		status = command->once ? stat_once(&args, command->run)
				       : command->run(&args);
	free(args.words);
	return status;
}
