/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that a keeper may have, and those that it should not. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/keep/keeper.h"

/* Of the descriptors that it may have, these are for itself. */
#define OWN_FDS 16

uint32_t tpi_keeper_room(void)
{
	struct rlimit limit;
	uint64_t room = 1024;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		room = limit.rlim_max;
	}
	if (room > TPI_KEEP_TABLE_MAX)
		room = TPI_KEEP_TABLE_MAX;
	return room > 2 * OWN_FDS ? (uint32_t)room - OWN_FDS : OWN_FDS;
}

void tpi_keeper_quiet_stdio(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	close(fd);
}
