/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that is connected to the manager's, so that poll() tells when there is room.
 *
 * SIGKILL after sendmsg(): the datagram is in the manager's queue. It belongs to a process
 * that the manager still knows, since systemd reads this queue before it looks at deaths.
 * A restart opens the socket anew.
 */
#include "broker/keep/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/own_fd.h"
#include "lib/wire/fdpass.h"

static struct {
	int sock;
	uint32_t store;
	uint64_t watchdog_ns;
} manager = {.sock = -1};

static uint64_t take_number(const char *name)
{
	const char *text = getenv(name);
	char *end = NULL;
	uint64_t number;

	errno = 0;
	number = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10)
						      : 0;
	if (errno || (end && *end))
		number = 0;
	unsetenv(name);
	return number;
}

static void read_watchdog(void)
{
	bool has_pid = getenv("WATCHDOG_PID") != NULL;
	uint64_t pid = take_number("WATCHDOG_PID");
	uint64_t us = take_number("WATCHDOG_USEC");

	if (has_pid && pid != (uint64_t)getpid())
		return;
	if (us < UINT64_MAX / 1000)
		manager.watchdog_ns = us * 1000 / 2;
}

void tpi_notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	int length = name ? tpi_socket_address(&address, name) : -1;
	int sock;

	read_watchdog();
	manager.store = (uint32_t)take_number("FDSTORE");
	unsetenv("NOTIFY_SOCKET");
	if (length < 0)
		return;
	sock = tpi_fd_above_stdio(
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (sock >= 0 &&
	    connect(sock, (struct sockaddr *)&address, (socklen_t)length)) {
		close(sock);
		sock = -1;
	}
	manager.sock = sock;
}

bool tpi_notify_is_open(void)
{
	return manager.sock >= 0;
}

uint32_t tpi_notify_store(void)
{
	return manager.sock < 0 ? 0 : manager.store;
}

uint64_t tpi_notify_watchdog_ns(void)
{
	return manager.sock < 0 ? 0 : manager.watchdog_ns;
}

int tpi_notify_send(const char *text, int fd, int wait_ms)
{
	struct pollfd room = {.fd = manager.sock, .events = POLLOUT};
	ssize_t sent;

	if (manager.sock < 0)
		return -ENOTCONN;
	sent = tpi_send_fds(manager.sock, text, strlen(text), &fd, fd >= 0);
	if (sent == -EAGAIN && wait_ms && poll(&room, 1, wait_ms) == 1)
		sent = tpi_send_fds(manager.sock, text, strlen(text), &fd,
				    fd >= 0);
	return sent < 0 ? (int)sent : 0;
}

void tpi_notify(enum tpi_note note)
{
	static const char *const texts[TPI_NOTES] = {
		[TPI_NOTE_READY] = "READY=1",
		[TPI_NOTE_STOPPING] = "STOPPING=1",
		[TPI_NOTE_WATCHDOG] = "WATCHDOG=1",
	};

	(void)tpi_notify_send(texts[note], -1, 0);
}
