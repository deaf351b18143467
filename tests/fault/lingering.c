/* SPDX-License-Identifier: Apache-2.0 */
/* See lingering.h. */
#include "tests/fault/lingering.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int lingering_socket(int *other)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 60};
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char bytes[65536] = {0};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, (void *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	getsockname(listener, (void *)&address, &length);
	connect(sock, (void *)&address, sizeof(address));
	*other = accept(listener, NULL, NULL);
	ck_assert_int_ge(*other, 0);
	close(listener);
	setsockopt(sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	while (send(sock, bytes, sizeof(bytes), 0) > 0)
		;
	ck_assert_int_eq(fcntl(sock, F_SETFL, 0), 0);
	return sock;
}
