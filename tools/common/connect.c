/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --socket, --wait, and finding the broker. Used by every tool that attaches.
 *
 * The library can wait by itself, but not hear a signal meanwhile, so the wait
 * is cut in slices here: each lets the library wait a little, and between two we
 * look whether somebody wants us to stop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"
#include "tools/common/tool.h"

#define SLICE_NS INT64_C(100000000)
/* A keeper has a broker again by then, unless that cannot begin. */
#define AWAY_NS INT64_C(5000000000)

static const struct argp_option options[] = {
	{"socket", 's', "PATH", 0, TPI_SOCKET_HELP, 0},
	{"wait", 'w', "TIME", OPTION_ARG_OPTIONAL,
	 "Wait for a broker that is not there yet, this long (default: for ever)",
	 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct tpi_connect *connect = state->input;

	switch (key) {
	case 's':
		connect->socket = arg;
		return 0;
	case 'w':
		connect->wait_ns = arg ? tpi_arg_duration(state, "--wait", arg)
				       : TAPIO_FOREVER;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* argp frees what is not `text` itself. */
static char *help(int key, const char *text, void *input)
{
	const struct tpi_connect *connect = input;

	if (key == 's' && connect && connect->own_broker)
		return strdup("Broker's socket, a path or @NAME (default: "
			      "$TAPIO_SOCKET, else a broker of its own)");
	return (char *)text;
}

const struct argp tpi_connect_argp = {
	.options = options,
	.parser = parse,
	.help_filter = help,
};

const char *tpi_connect_socket(const struct tpi_connect *connect)
{
	static struct tpi_socket_name found;

	return tpi_socket_name_of(connect->socket, &found);
}

/* Whether `err` of an open means that no broker is there, or that it is mute. */
static bool no_broker(int err)
{
	return err == -ECONNREFUSED || err == -ETIMEDOUT;
}

int tpi_connect(struct tpi_connect *connect, tpi_open_fn *open, void *arg)
{
	struct tapio_options broker = {
		.size = sizeof(broker),
		.socket = connect->socket,
		.error = connect->error,
		.error_bytes = sizeof(connect->error),
	};
	int64_t deadline_ns =
		tpi_deadline_ns(tpi_monotonic_ns(), connect->wait_ns);

	if (connect->end_ns && deadline_ns > connect->end_ns)
		deadline_ns = connect->end_ns;
	for (;;) {
		int64_t left_ns = deadline_ns - tpi_monotonic_ns();

		if (left_ns < 0)
			left_ns = 0;
		broker.connect_ns = left_ns < SLICE_NS ? left_ns : SLICE_NS;
		connect->error[0] = '\0';
		int err = open(arg, &broker);
		if (!err)
			return 0;
		if (tpi_stop_signal())
			return -EINTR;
		if (!left_ns || !no_broker(err))
			return err;
		if (connect->idle)
			connect->idle(connect->idle_arg);
		/* The library may have given up at once: do not spin on it. */
		if (!tpi_sleep_until(tpi_monotonic_ns() + SLICE_NS / 10))
			return -EINTR;
	}
}

enum tpi_exit tpi_connect_failed(const struct tpi_connect *connect,
				 const char *channel, int err)
{
	const char *path = tpi_connect_socket(connect);
	const char *why = connect->error[0] ? connect->error : strerror(-err);
	const char *remedy = err != -ECONNREFUSED
				     ? ""
				     : " (start tapiod, or name its "
				       "socket: --socket, TAPIO_SOCKET)";

	if (err == -EINTR) {
		tpi_say("stopped while waiting for a broker at %s", path);
		return TPI_EXIT_NO_BROKER;
	}
	if (no_broker(err)) {
		/* The library's words name the socket. */
		if (connect->error[0])
			tpi_say("%s%s", why, remedy);
		else
			tpi_say("no broker at \"%s\": %s%s", path, why, remedy);
		return TPI_EXIT_NO_BROKER;
	}
	tpi_say("cannot attach to channel '%s' of %s: %s", channel, path, why);
	if (err == -ENOENT || err == -EACCES || err == -EPERM)
		return TPI_EXIT_REFUSED;
	return TPI_EXIT_FAILURE;
}

bool tpi_has_listener(const char *name)
{
	struct sockaddr_un address;
	int sock, length = tpi_socket_address(&address, name);
	bool there;

	if (length < 0)
		return false;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      0);
	if (sock < 0)
		return false;
	there = !connect(sock, (struct sockaddr *)&address,
			 (socklen_t)length) ||
		errno == EAGAIN;
	close(sock);
	return there;
}

bool tpi_broker_gone(struct tpi_connect *connect, int link)
{
	int64_t now = tpi_monotonic_ns();

	if (link == TAPIO_LINK_THERE || link == TAPIO_LINK_REMOVED) {
		connect->away_ns = 0;
		return false;
	}
	if (!connect->away_ns)
		connect->away_ns = now;
	if (link == TAPIO_LINK_RESTARTING && now - connect->away_ns < AWAY_NS)
		return false;
	connect->away_ns = 0;
	return true;
}
