/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/daemon.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"

char daemon_directory[64], daemon_socket[96], daemon_config[80];

void daemon_set_up(void)
{
	strcpy(daemon_directory, "/tmp/tapio-tapiod-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(daemon_directory));
	snprintf(daemon_socket, sizeof(daemon_socket), "%s/sock",
		 daemon_directory);
	snprintf(daemon_config, sizeof(daemon_config), "%s/conf",
		 daemon_directory);
}

void daemon_tear_down(void)
{
	char lock[sizeof(daemon_socket) + 8];

	snprintf(lock, sizeof(lock), "%s.lock", daemon_socket);
	unlink(daemon_socket);
	unlink(daemon_config);
	unlink(lock);
	rmdir(daemon_directory);
}

bool daemon_answers(void)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, daemon_socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	bool yes = !connect(fd, (void *)&address, (socklen_t)length);

	close(fd);
	return yes;
}

bool daemon_comes(void)
{
	for (int i = 0; i < 6000 && !daemon_answers(); i++)
		usleep(10000);
	return daemon_answers();
}

int daemon_stop(pid_t pid, int signal)
{
	int status;

	if (signal)
		kill(pid, signal);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
