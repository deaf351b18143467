/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For programs that are tested with testpoints: with TAPIO_KILL_AT=POINT:N in the environment
 * the program kills itself when it passes that testpoint for the Nth time.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/testpoint.h"

static const char *point;
static size_t point_bytes;
static long passes;

static void pass(const char *name)
{
	if (strlen(name) == point_bytes && !memcmp(name, point, point_bytes) &&
	    --passes == 0)
		kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void set(void)
{
	const char *colon;

	point = getenv("TAPIO_KILL_AT");
	colon = point ? strchr(point, ':') : NULL;
	if (!colon)
		return;
	point_bytes = (size_t)(colon - point);
	passes = strtol(colon + 1, NULL, 10);
	tpi_testpoint_set(pass);
}
