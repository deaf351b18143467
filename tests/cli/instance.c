/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/instance.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/daemon.h"

pid_t instance_start(void)
{
	pid_t keeper = fork();
	int null;

	ck_assert_int_ge(keeper, 0);
	if (!keeper) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDERR_FILENO);
		execl(TAPIO_BIN "/tapiod", "tapiod", "--socket", daemon_socket,
		      "--config", daemon_config, "--keeper=process",
		      (char *)NULL);
		_exit(127);
	}
	ck_assert(daemon_comes());
	return keeper;
}

static pid_t child_of(pid_t parent)
{
	char path[64];
	FILE *file;
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent,
		 parent);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%d", &child), 1);
	fclose(file);
	return child;
}

void instance_lose(pid_t keeper)
{
	pid_t broker = child_of(keeper);
	int status;

	ck_assert_int_eq(kill(broker, SIGSTOP), 0);
	ck_assert_int_eq(kill(keeper, SIGKILL), 0);
	ck_assert_int_eq(waitpid(keeper, &status, 0), keeper);
	ck_assert_int_eq(kill(broker, SIGKILL), 0);
	ck_assert_int_eq(waitpid(broker, &status, 0), broker);
}
