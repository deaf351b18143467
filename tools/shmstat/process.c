/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a process that the catalog names still there? The pid alone proves nothing.
 * Its start time must be the one that the broker saw.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/stat.h"

#define FIELD_STATE      3
#define FIELD_START_TIME 22

/* /proc/PID/stat from its third field on. False when there is no process. */
static bool read_stat(uint64_t pid, char *text, size_t bytes)
{
	char path[64], *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/stat",
		 (unsigned long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, bytes - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* The second field, the name, may contain anything, and ends at the
	 * last bracket. */
	end = strrchr(text, ')');
	if (!end || end[1] != ' ')
		return false;
	memmove(text, end + 2, strlen(end + 2) + 1);
	return true;
}

const char *process_state(uint64_t pid, uint64_t start_time_ticks)
{
	char text[1024], *at = text;
	char state;

	if (!pid)
		return "unknown";
	if (!read_stat(pid, text, sizeof(text)))
		return "gone";
	state = *at;
	for (int field = FIELD_STATE; field < FIELD_START_TIME; field++) {
		at = strchr(at, ' ');
		if (!at)
			return "unknown";
		at++;
	}
	if (strtoull(at, NULL, 10) != start_time_ticks)
		return "gone";
	switch (state) {
	case 'T':
	case 't':
		return "stopped";
	case 'Z':
	case 'X':
		return "gone";
	default:
		return "running";
	}
}
