/* SPDX-License-Identifier: Apache-2.0 */
/* Output that is lost must be noticed: "tapiod --check x >report" on a full disk. */
#include "lib/base/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program_name;
static int failure_status;

/* exit() writes what is buffered after this, and tells no one about failures. */
static void check(void)
{
	int failed = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !failed)
		return;
	if (errno != EPIPE)
		dprintf(STDERR_FILENO, "%s: cannot write standard output%s%s\n",
			program_name, errno ? ": " : "",
			errno ? strerror(errno) : "");
	_exit(failure_status);
}

void tpi_output_check_at_exit(const char *program, int status)
{
	program_name = program;
	failure_status = status;
	atexit(check);
}
