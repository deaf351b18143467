/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-syslog: messages of syslog, from Unix sockets, UDP and TCP, as events of
 * type log.
 *
 * One thread and one epoll. A sender cannot be asked again, and one that writes to a Unix
 * socket would wait for us. So nothing waits for room here: messages that the channel refuses are counted,
 * and what the kernel dropped before we could read it (SO_RXQ_OVFL) is counted as lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/common/collector.h"
#include "tools/collectors/syslog/server.h"

static const struct tpi_kind kinds[TPI_SYSLOG_KINDS] = {
	[TPI_SYSLOG_MESSAGE] = {"message", TAPIO_EVENT_LOG,
				TAPIO_SEVERITY_INFO},
};

struct values {
	struct tpi_list sockets;
	struct tpi_list udp;
	struct tpi_list tcp;
	uint64_t connections;
};

#define AT(member) .offset = offsetof(struct values, member)

static const struct tpi_setting settings[] = {
	{.help = "Where messages come from (one at least):"},
	{"unix", "PATH",
	 "A Unix datagram socket, as /dev/log (may be repeated)", 'u',
	 TPI_SETTING_LIST, AT(sockets)},
	{"udp", "ADDRESS:PORT",
	 "Datagrams of UDP, as 127.0.0.1:514 or [::1]:514 (may be repeated)",
	 .kind = TPI_SETTING_LIST, AT(udp)},
	{"tcp", "ADDRESS:PORT", "Connections of TCP (may be repeated)",
	 .kind = TPI_SETTING_LIST, AT(tcp)},
	{"connections", "N", "At most so many of them at once (default: 64)",
	 .kind = TPI_SETTING_COUNT, .min = 1, .max = TPI_SYSLOG_CONNECTIONS_MAX,
	 AT(connections)},
	{0},
};

static const char doc[] =
	"Emits messages of syslog (RFC 5424 and RFC 3164) as typed events of type "
	"log.\v"
	"Examples:\n"
	"  tapio-collect-syslog --wait --unix=/dev/log\n"
	"  tapio-collect-syslog --udp=127.0.0.1:514 --tcp=[::1]:514\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

static bool check_addresses(const struct tpi_list *list, const char *option,
			    char *why, size_t why_bytes)
{
	struct tpi_address address;

	for (size_t i = 0; i < list->count; i++) {
		if (tpi_address_parse(&address, list->items[i]))
			continue;
		snprintf(why, why_bytes,
			 "%s: '%s' is not an address and a port (as "
			 "127.0.0.1:514, [::]:514)",
			 option, list->items[i]);
		return false;
	}
	return true;
}

static bool check(void *arg, char *why, size_t why_bytes)
{
	const struct values *values = arg;

	if (!values->sockets.count && !values->udp.count &&
	    !values->tcp.count) {
		snprintf(why, why_bytes,
			 "unix, udp, tcp: one of them must be given");
		return false;
	}
	return check_addresses(&values->udp, "udp", why, why_bytes) &&
	       check_addresses(&values->tcp, "tcp", why, why_bytes);
}

static int open_list(struct tpi_server *server, const struct tpi_list *list,
		     enum tpi_way way)
{
	for (size_t i = 0; i < list->count; i++) {
		int err = tpi_server_listen(server, way, list->items[i]);

		if (!err)
			continue;
		tpi_say("cannot listen at %s: %s", list->items[i],
			strerror(-err));
		return err;
	}
	return 0;
}

/* So long messages wait for a broker, in the sockets. */
#define PATIENCE_NS INT64_C(2000000000)
/* And so long they are read at once, before the broker is looked for again. */
#define IDLE_NS INT64_C(50000000)

static struct run {
	struct tpi_collector collector;
	struct tpi_sink sink;
	struct tpi_server server;
	int64_t idle_ns; /* since when there is no broker. 0: there is one */
	bool told;
} run_state;

/*
 * A process that writes to a Unix socket waits until there is room in it: all that log would stand
 * still for as long as there is no broker.
 */
static void idle(void *values)
{
	struct run *run = &run_state;
	const int64_t now_ns = tpi_monotonic_ns();

	(void)values;
	if (!run->idle_ns)
		run->idle_ns = now_ns;
	if (now_ns - run->idle_ns < PATIENCE_NS)
		return;
	if (!run->told)
		tpi_say("no broker: messages are dropped, and counted, so that "
			"their senders need not wait");
	run->told = true;
	while (tpi_server_serve(&run->server) &&
	       tpi_monotonic_ns() - now_ns < IDLE_NS)
		;
}

static void collect(struct run *run, const struct values *values)
{
	struct tpi_collector *c = &run->collector;
	struct tpi_server *server = &run->server;

	if (tpi_collector_sink(c, &run->sink))
		return;
	if (tpi_server_init(server, &run->sink,
			    (uint32_t)values->connections) ||
	    open_list(server, &values->sockets, TPI_WAY_UNIX) ||
	    open_list(server, &values->udp, TPI_WAY_UDP) ||
	    open_list(server, &values->tcp, TPI_WAY_TCP)) {
		c->status = TPI_EXIT_FAILURE;
	} else if (tpi_collector_attach(c)) {
		while (tpi_collector_tend(c)) {
			run->idle_ns = 0;
			run->told = false;
			if (tpi_collector_wait(c, server->epoll, TPI_NEVER) > 0)
				tpi_server_serve(server);
		}
		if (c->producer) /* messages that are here already */
			tpi_server_drain(server);
	}
	tpi_server_fini(server);
}

int main(int argc, char **argv)
{
	static struct values values = {.connections = 64};
	static const struct tpi_collector_about about = {
		.name = "tapio-collect-syslog",
		.section = "syslog",
		.doc = doc,
		.settings = {settings, &values},
		.check = check,
		.kinds = kinds,
		.kind_count = TPI_SYSLOG_KINDS,
		.source = TAPIO_SOURCE_SYSLOG,
		.event_bytes = TPI_SINK_BYTES_MAX,
		.idle = idle,
	};
	struct run *run = &run_state;

	if (!tpi_collector_begin(&run->collector, &about, argc, argv))
		return run->collector.status;
	collect(run, &values);
	return tpi_collector_end(&run->collector);
}
