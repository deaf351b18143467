/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager is trusted, but the variables may be left over from another process,
 * or written by hand: a number that is none, fewer names than descriptors, numbers that
 * are not open. Nothing is closed that the variables do not name.
 */
#include "broker/keep/listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const kinds[TPI_KEEP_KINDS] = {
	[TPI_KEEP_LOCK] = "lock",       [TPI_KEEP_LISTEN] = "listen",
	[TPI_KEEP_CATALOG] = "catalog", [TPI_KEEP_STATE] = "state",
	[TPI_KEEP_SEGMENT] = "segment", [TPI_KEEP_PROCESS] = "process",
};

void tpi_keep_name(char *name, struct tpi_keep_key key)
{
	snprintf(name, TPI_KEEP_NAME_BYTES, "tapio-%s-%u", kinds[key.kind],
		 key.number);
}

static int parse_number(const char *text, size_t length, uint32_t limit,
			uint32_t *number)
{
	uint64_t value = 0;

	if (!length || length > 10)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value > limit)
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

int tpi_keep_name_parse(const char *name, size_t length,
			struct tpi_keep_key *key)
{
	char start[TPI_KEEP_NAME_BYTES];

	for (uint32_t kind = TPI_KEEP_LOCK; kind < TPI_KEEP_KINDS; kind++) {
		size_t n;

		if (!kinds[kind])
			continue;
		n = (size_t)snprintf(start, sizeof(start), "tapio-%s-",
				     kinds[kind]);
		if (length <= n || memcmp(name, start, n))
			continue;
		key->kind = kind;
		if (parse_number(name + n, length - n, UINT32_MAX,
				 &key->number))
			return -EINVAL;
		return tpi_keep_key_valid(*key) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int get_option(int fd, int option)
{
	socklen_t length = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) ? -1 : value;
}

/* Whether clients can connect there. */
static bool is_listening(int fd)
{
	return get_option(fd, SO_DOMAIN) == AF_UNIX &&
	       get_option(fd, SO_TYPE) == SOCK_SEQPACKET &&
	       get_option(fd, SO_ACCEPTCONN) == 1;
}

static bool take_one(struct tpi_keep_table *table, int fd, const char *name,
		     size_t length)
{
	struct tpi_keep_key key;
	int old;

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (tpi_keep_name_parse(name, length, &key)) {
		if (!is_listening(fd))
			return false;
		key = (struct tpi_keep_key){.kind = TPI_KEEP_ACTIVATED};
	}
	if (tpi_keep_table_find(table, key) >= 0)
		return false;
	return !tpi_keep_table_put(table, key, fd, &old);
}

/* How many there are for this process. */
static uint32_t count_fds(void)
{
	const char *pid_text = getenv("LISTEN_PID"),
		   *count_text = getenv("LISTEN_FDS");
	uint32_t pid, count;

	if (!pid_text || !count_text ||
	    parse_number(pid_text, strlen(pid_text), INT32_MAX, &pid) ||
	    parse_number(count_text, strlen(count_text), TPI_KEEP_TABLE_MAX,
			 &count) ||
	    pid != (uint32_t)getpid())
		return 0;
	return count;
}

int tpi_listen_fds_take(struct tpi_keep_table *table, uint32_t *closed)
{
	uint32_t count = count_fds();
	const char *names = getenv("LISTEN_FDNAMES");

	*closed = 0;
	if (!names)
		names = "";
	for (uint32_t i = 0; i < count; i++) {
		int fd = TPI_LISTEN_FDS_START + (int)i;
		size_t length = strcspn(names, ":");

		if (fcntl(fd, F_GETFD) >= 0 &&
		    !take_one(table, fd, names, length)) {
			close(fd);
			++*closed;
		}
		names += length + (names[length] == ':');
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return TPI_LISTEN_FDS_START + (int)count;
}
