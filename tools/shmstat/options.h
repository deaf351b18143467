/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of tapio-shmstat. */
#ifndef STAT_OPTIONS_H
#define STAT_OPTIONS_H

#include "tools/shmstat/command.h"

/*
 * Parses all of it into *args, which points into argv afterwards. Returns the command that
 * was named. NULL: parts, which are in args->parts. Wrong usage ends the program.
 */
const struct stat_command *stat_parse(int argc, char **argv,
				      struct stat_args *args);

#endif
