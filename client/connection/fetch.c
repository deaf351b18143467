/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking for the cursors of group slots while a producer is at work, and for segments of
 * isolated producers while a reader is.
 *
 * Called by client/producer/slots.c and segments.c, by one thread of a handle at a time, and
 * perhaps in a signal handler: plain system calls on memory of the stack, and no text.
 * Nothing waits for longer than the caller says. Opening a handle has calls with more patience, and
 * with words (connect.c).
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "client/connection/client.h"
#include "lib/base/testpoint.h"
#include "lib/wire/fdpass.h"

static int send_fetch(const struct tpi_client *client, uint32_t kind,
		      uint64_t bits)
{
	int sock = tpi_own_fd_number(&client->handle.sock);
	union tpi_wire_message message;
	ssize_t n;

	if (sock < 0)
		return -EBADF;
	tpi_wire_init(&message, TPI_WIRE_FETCH);
	message.fetch.attachment = client->granted.attachment;
	message.fetch.kind = kind;
	message.fetch.slots = bits;
	n = tpi_send_fds(sock, message.bytes, message.header.length, NULL, 0);
	return n < 0 ? (int)n : 0;
}

int tpi_client_ask(struct tpi_client *client, uint32_t kind, uint64_t bits)
{
	int err = 0;

	if (tpi_client_called(client))
		err = tpi_client_revive_soon(client);
	if (!err)
		err = send_fetch(client, kind, bits);
	if (err != -EPIPE && err != -ECONNRESET)
		return err;
	tpi_client_hung_up(client);
	err = tpi_client_revive_soon(client);
	return err ? err : send_fetch(client, kind, bits);
}

int tpi_client_take_fetched(struct tpi_client *client, int wait_ms,
			    union tpi_wire_message *message, int *fds,
			    unsigned int *count)
{
	struct pollfd ready = {.events = POLLIN};
	unsigned int room = *count;
	ssize_t n;
	int err;

	*count = 0;

	ready.fd = tpi_own_fd_number(&client->handle.sock);
	if (ready.fd < 0)
		return -EBADF;
	if (poll(&ready, 1, wait_ms) <= 0)
		return -EAGAIN;
	TPI_TESTPOINT("slots.answered");
	*count = room;
	n = tpi_recv_fds(ready.fd, message->bytes, sizeof(message->bytes), fds,
			 count);
	if (n <= 0)
		*count = 0;
	if (n == -EINTR)
		return -EAGAIN;
	if (n <= 0)
		return n ? (int)n : -ECONNREFUSED;
	err = tpi_wire_check(message, (size_t)n, *count, NULL, 0);
	if (!err && message->header.type != TPI_WIRE_FETCHED)
		err = -EPROTO;
	while (err && *count)
		close(fds[--*count]);
	return err;
}

int tpi_client_take_slots(struct tpi_client *client, int wait_ms,
			  uint32_t *epochs)
{
	unsigned int count = TPI_WIRE_FETCH_MAX;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	int err =
		tpi_client_take_fetched(client, wait_ms, &message, fds, &count);

	if (!err)
		err = tpi_client_map_slots(client, &message.fetched, fds,
					   epochs);
	while (count)
		close(fds[--count]);
	return err;
}
