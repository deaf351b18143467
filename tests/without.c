/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a test program where a system call is forbidden, as by a container's seccomp
 * profile:
 *
 *	test_without CALL ERROR PROGRAM [ARGUMENT]...
 *
 * CALL is io_uring_setup or io_uring_enter, ERROR is EPERM or ENOSYS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/fault/deny.h"

static const struct {
	const char *name;
	long number;
} calls[] = {
	{"io_uring_setup", SYS_io_uring_setup},
	{"io_uring_enter", SYS_io_uring_enter},
};

int main(int argc, char **argv)
{
	long number = -1;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (argc > 3 && !strcmp(argv[1], calls[i].name))
			number = calls[i].number;
	if (number < 0) {
		fprintf(stderr, "usage: test_without CALL ERROR PROGRAM...\n");
		return 2;
	}
	if (!deny_syscall(number, strcmp(argv[2], "EPERM") ? ENOSYS : EPERM)) {
		printf("this kernel has no seccomp filters\n");
		return 77;
	}
	/* So that a test can see that it is the one which it is to be. */
	setenv("TAPIO_TEST_WITHOUT", argv[1], 1);
	execv(argv[3], argv + 3);
	perror(argv[3]);
	return 126;
}
