/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tapiod that dies or stops at a testpoint: POINT names it, POINT_DO says self (SIGKILL),
 * stop (SIGSTOP) or parent (SIGKILL of the parent). The first process that makes the file
 * POINT_ONCE does it, and no other one.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/testpoint.h"

static void on_point(const char *name)
{
	const char *what = getenv("POINT_DO");
	int fd;

	if (strcmp(name, getenv("POINT")))
		return;
	fd = open(getenv("POINT_ONCE"), O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	close(fd);
	if (!strcmp(what, "parent"))
		kill(getppid(), SIGKILL);
	else
		kill(getpid(), strcmp(what, "stop") ? SIGKILL : SIGSTOP);
}

__attribute__((constructor)) static void begin(void)
{
	if (getenv("POINT"))
		tpi_testpoint_set(on_point);
}
