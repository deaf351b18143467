/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a broker to reload, for `tapiod --reload`. Called by main.c.
 *
 * It asks by a message (wire.h) and sends no signal: the answer is that of this very
 * request, it has the broker's reason, and it needs no process number, which another
 * process may bear by the time of the signal. Whoever may not signal the broker is
 * refused by it (session.c).
 *
 * The broker's death: the connection ends, and that is no answer. It may have taken the
 * file, and the next broker takes it anyway.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/config/config.h"
#include "broker/tapiod.h"
#include "lib/base/error.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"
#include "lib/wire/wire.h"

/* Names of users may come from a directory service that is slow. */
#define ANSWER_SECONDS 60

int tapiod_dial(const char *name, int seconds, char *said, size_t bytes)
{
	/* Also for connect(), when the backlog is full. */
	const struct timeval limit = {.tv_sec = seconds};
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, name), sock, err;

	if (length < 0)
		return tpi_fail(length, said, bytes,
				"a socket's name has 1 to %zu bytes",
				sizeof(address.sun_path) - 1);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return tpi_fail(-errno, said, bytes, "socket: %s",
				strerror(errno));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(sock, (struct sockaddr *)&address, (socklen_t)length))
		return sock;
	err = -errno;
	close(sock);
	return tpi_fail(err, said, bytes,
			"no broker answers: %s (--socket names another one)",
			strerror(-err));
}

static int no_answer(ssize_t n, char *said, size_t bytes)
{
	if (!n)
		return tpi_fail(-ECONNRESET, said, bytes,
				"the broker closed the connection");
	if (n == -EAGAIN)
		return tpi_fail(-ETIMEDOUT, said, bytes,
				"no answer within %d s: the broker is stopped "
				"or busy, and may still take the configuration",
				ANSWER_SECONDS);
	return tpi_fail((int)n, said, bytes, "asking the broker: %s",
			strerror((int)-n));
}

/* Any text of a broker is printable, and this one is another process's word. */
static int understand(const union tpi_wire_message *m, bool *answered,
		      char *said, size_t bytes)
{
	if (m->header.type == TPI_WIRE_RELOADED) {
		snprintf(said, bytes, "%s", m->reloaded.text);
		*answered = true;
		return 0;
	}
	if (m->header.type != TPI_WIRE_REFUSED)
		return tpi_fail(-EPROTO, said, bytes,
				"message type %u is no answer to a reload",
				m->header.type);
	if (m->header.minor < TPI_WIRE_MINOR_RELOAD)
		return tpi_fail(-EPROTONOSUPPORT, said, bytes,
				"the broker is an older one (protocol %u.%u) "
				"and reads its configuration at start only: "
				"restart it",
				m->header.major, m->header.minor);
	snprintf(said, bytes, "%s", m->refused.text);
	*answered = true;
	return m->refused.error < 0 ? m->refused.error : -EPROTO;
}

static int ask(int sock, bool *answered, char *said, size_t bytes)
{
	union tpi_wire_message m;
	unsigned int none = 0;
	ssize_t n;
	int err;

	tpi_wire_init(&m, TPI_WIRE_RELOAD);
	n = tpi_send_fds(sock, &m, m.header.length, NULL, 0);
	if (n > 0)
		n = tpi_recv_fds(sock, &m, sizeof(m), NULL, &none);
	if (n <= 0)
		return no_answer(n, said, bytes);
	tpi_wire_complete(&m, n);
	err = tpi_wire_check(&m, (size_t)n, none, said, bytes);
	return err ? err : understand(&m, answered, said, bytes);
}

/*
 * Asks the broker at a socket to take its changed configuration. 0, or -errno with the
 * broker's reason (*answered), or with why there was no answer.
 */
static int ask_broker(const char *socket, bool *answered, char *said,
		      size_t said_bytes)
{
	int sock = tapiod_dial(socket, ANSWER_SECONDS, said, said_bytes), err;

	*answered = false;
	if (sock < 0)
		return sock;
	err = ask(sock, answered, said, said_bytes);
	close(sock);
	return err;
}

/* ---- the command ---------------------------------------------------------------- */

#define NAME_BYTES \
	512 /* longer than any socket's, so that one too long stays so */

/* The socket that a configuration names, when it is right. EXIT_OK, or EXIT_CONFIG. */
static int configured_socket(const char *file, char name[NAME_BYTES])
{
	struct tpi_config config;
	char error[512];
	int err = tpi_config_load(&config, file, NULL, error, sizeof(error));

	if (err)
		fprintf(stderr, "tapiod: %s\n", error);
	else if (config.socket)
		snprintf(name, NAME_BYTES, "%s", config.socket);
	tpi_config_free(&config);
	return err ? EXIT_CONFIG : EXIT_OK;
}

/* EXIT_OK, or EXIT_CONFIG. */
static int find_socket(const struct arguments *a, char name[NAME_BYTES])
{
	struct tpi_socket_name found;
	int status = EXIT_OK;

	snprintf(name, NAME_BYTES, "%s", tpi_socket_name_of(NULL, &found));
	/* With -s alone the broker's file may be another one. */
	if (a->config || !a->socket)
		status = configured_socket(tapiod_config_file(a), name);
	if (a->socket)
		snprintf(name, NAME_BYTES, "%s", a->socket);
	return status;
}

int tapiod_reload(const struct arguments *a)
{
	char name[NAME_BYTES], said[512] = "";
	bool answered;
	int status = find_socket(a, name);

	if (status)
		return status;
	if (!ask_broker(name, &answered, said, sizeof(said))) {
		printf("%s: %s\n", name, said);
		return EXIT_OK;
	}
	fprintf(stderr, "tapiod: %s: %s%s\n", name,
		answered ? "refused, nothing has changed: " : "", said);
	return answered ? EXIT_CONFIG : EXIT_SOCKET;
}
