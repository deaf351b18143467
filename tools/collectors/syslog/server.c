/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading messages, and emitting them.
 *
 * TCP has two ways to frame them (RFC 6587): a count of bytes and a space before each message,
 * or a newline behind it. Each message says by its first character which one it is. A message
 * that is too long is cut, and its rest passed over.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/syslog/server.h"
#include "tools/common/tool.h"

#define BATCH    64 /* messages of a socket, before others get their turn */
#define EVENTS   32
#define DRAIN_NS INT64_C(1000000000)

/* ---- addresses ------------------------------------------------------------------------ */

static bool parse_port(const char *text, in_port_t *port)
{
	unsigned long number = 0;
	int digits = 0;

	for (; *text >= '0' && *text <= '9' && digits < 6; text++, digits++)
		number = number * 10 + (unsigned long)(*text - '0');
	if (*text || !digits || !number || number > 65535)
		return false;
	*port = htons((in_port_t)number);
	return true;
}

bool tpi_address_parse(struct tpi_address *address, const char *text)
{
	struct sockaddr_in *v4 = (void *)&address->storage;
	struct sockaddr_in6 *v6 = (void *)&address->storage;
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	char host[64];

	memset(address, 0, sizeof(*address));
	if (!length || length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		v6->sin6_family = AF_INET6;
		address->length = sizeof(*v6);
		return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 &&
		       parse_port(colon + 1, &v6->sin6_port);
	}
	v4->sin_family = AF_INET;
	address->length = sizeof(*v4);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 &&
	       parse_port(colon + 1, &v4->sin_port);
}

static void name_peer(struct tpi_endpoint *e, const void *address)
{
	const struct sockaddr_in *v4 = address;
	const struct sockaddr_in6 *v6 = address;

	e->peer[0] = '\0';
	if (v4->sin_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, e->peer, sizeof(e->peer));
	else if (v6->sin6_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, e->peer, sizeof(e->peer));
}

/* ---- events --------------------------------------------------------------------------- */

static void put_span(struct tpi_sink *sink, struct tapio_event_string *field,
		     const struct tpi_span *span)
{
	if (span->text)
		tpi_sink_string(sink, field, span->text, span->length);
}

static uint32_t to_pid(const struct tpi_span *span)
{
	uint64_t pid = 0;

	if (!span->length || span->length > 9)
		return 0;
	for (size_t i = 0; i < span->length; i++) {
		if (span->text[i] < '0' || span->text[i] > '9')
			return 0;
		pid = pid * 10 + (uint64_t)(span->text[i] - '0');
	}
	return (uint32_t)pid;
}

static void put_attributes(struct tpi_server *server,
			   const struct tpi_endpoint *e,
			   struct tapio_event_log *log,
			   const struct tpi_syslog *m)
{
	struct tpi_sink *sink = server->sink;
	size_t at = 0, length;
	char key[128];

	if (e->peer[0])
		tpi_sink_attribute(sink, &log->attributes, "peer", e->peer,
				   strlen(e->peer));
	if (m->message_id.text)
		tpi_sink_attribute(sink, &log->attributes, "msgid",
				   m->message_id.text, m->message_id.length);
	/* Of a pid that is a word. */
	if (m->pid.text && !to_pid(&m->pid))
		tpi_sink_attribute(sink, &log->attributes, "procid",
				   m->pid.text, m->pid.length);
	while (m->data.text &&
	       tpi_syslog_parameter(&m->data, &at, key, sizeof(key),
				    server->value, &length))
		tpi_sink_attribute(sink, &log->attributes, key, server->value,
				   length);
}

/* `writer` is what the kernel says of the sender, or NULL. */
static void emit(struct tpi_server *server, const struct tpi_endpoint *e,
		 const char *text, size_t length, bool cut,
		 const struct ucred *writer)
{
	static const uint8_t severities[8] = {
		TAPIO_SEVERITY_EMERGENCY, TAPIO_SEVERITY_ALERT,
		TAPIO_SEVERITY_CRITICAL,  TAPIO_SEVERITY_ERROR,
		TAPIO_SEVERITY_WARNING,   TAPIO_SEVERITY_NOTICE,
		TAPIO_SEVERITY_INFO,      TAPIO_SEVERITY_DEBUG,
	};
	static const char *const ways[] = {"unix", "udp", "tcp"};
	struct tpi_sink *sink = server->sink;
	struct tapio_event_log *log = tpi_sink_begin(sink, TPI_SYSLOG_MESSAGE);
	struct tapio_event *event = sink->builder.event;
	struct tpi_syslog m;

	if (!log)
		return;
	tpi_syslog_parse(&m, text, length, tpi_clock_read_ns(CLOCK_REALTIME));
	event->severity = severities[m.priority];
	event->time_ns = m.time_ns;
	event->pid = writer ? (uint32_t)writer->pid : to_pid(&m.pid);
	if (writer) {
		event->uid = writer->uid;
		event->gid = writer->gid;
	}
	if (cut)
		event->flags |= TAPIO_EVENT_TRUNCATED;
	log->facility = (uint16_t)TAPIO_FACILITY(m.facility);
	put_span(sink, &log->host, &m.host);
	put_span(sink, &log->identifier, &m.identifier);
	tpi_sink_text(sink, &log->transport, ways[e->way]);
	put_span(sink, &log->body, &m.message);
	put_attributes(server, e, log, &m);
	tpi_sink_end(sink);
}

/* The kernel's count of datagrams that this socket had no room for. */
static void count_dropped(struct tpi_server *server, struct tpi_endpoint *e,
			  uint32_t dropped)
{
	const struct tpi_loss loss = {
		.count = dropped - e->dropped,
		.cpu = UINT32_MAX,
		.cause = "socket-full",
		.message =
			"the kernel dropped datagrams: the socket's buffer was "
			"full",
	};

	if (dropped == e->dropped)
		return;
	e->dropped = dropped;
	tpi_sink_loss(server->sink, TPI_SYSLOG_MESSAGE, "syslog", &loss);
}

/* The same count, asked for: else drops after the last datagram would not be known. */
static void ask_dropped(struct tpi_server *server, struct tpi_endpoint *e)
{
	uint32_t values[SK_MEMINFO_VARS];
	socklen_t length = sizeof(values);

	if (e->fd < 0 || e->way != TPI_WAY_UDP ||
	    getsockopt(e->fd, SOL_SOCKET, SO_MEMINFO, values, &length) ||
	    length <= SK_MEMINFO_DROPS * sizeof(values[0]))
		return;
	count_dropped(server, e, values[SK_MEMINFO_DROPS]);
}

/* ---- datagrams ------------------------------------------------------------------------- */

/* Exactly one datagram. False: there is none. */
static bool read_datagram(struct tpi_server *server, struct tpi_endpoint *e)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(sizeof(uint32_t))];
		struct cmsghdr aligned;
	} control;
	struct sockaddr_storage peer = {0};
	struct iovec part = {server->message, TPI_SYSLOG_BYTES};
	struct msghdr header = {
		.msg_name = &peer,
		.msg_namelen = sizeof(peer),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct ucred writer;
	bool known = false;
	ssize_t got = recvmsg(e->fd, &header, MSG_DONTWAIT);

	if (got < 0)
		return errno == EINTR;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c;
	     c = CMSG_NXTHDR(&header, c)) {
		uint32_t dropped;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&writer, CMSG_DATA(c), sizeof(writer));
			known = true;
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&dropped, CMSG_DATA(c), sizeof(dropped));
			count_dropped(server, e, dropped);
		}
	}
	name_peer(e, &peer);
	emit(server, e, server->message, (size_t)got,
	     header.msg_flags & MSG_TRUNC, known ? &writer : NULL);
	return true;
}

/* ---- connections ------------------------------------------------------------------------ */

static void close_endpoint(struct tpi_server *server, struct tpi_endpoint *e)
{
	if (e->buffer)
		server->connections--;
	close(e->fd);
	free(e->buffer);
	if (e->path)
		unlink(e->path);
	*e = (struct tpi_endpoint){.fd = -1};
}

/* How a buffer begins. */
enum framing {
	FRAMING_MORE,  /* it cannot be told yet */
	FRAMING_COUNT, /* "LENGTH " */
	FRAMING_LINE,
};

static enum framing framing_of(const struct tpi_endpoint *e, size_t *header,
			       size_t *length)
{
	size_t i = 0;

	*length = 0;
	for (;
	     i < e->used && i < 9 && e->buffer[i] >= '0' && e->buffer[i] <= '9';
	     i++)
		*length = *length * 10 + (size_t)(e->buffer[i] - '0');
	*header = i + 1;
	if (!i || e->buffer[0] == '0')
		return FRAMING_LINE;
	if (e->used < i + 2)
		return FRAMING_MORE;
	/* A line may begin with a number; a message that is counted begins with <. */
	return e->buffer[i] == ' ' && e->buffer[i + 1] == '<' ? FRAMING_COUNT
							      : FRAMING_LINE;
}

static void consume(struct tpi_endpoint *e, size_t bytes)
{
	memmove(e->buffer, e->buffer + bytes, e->used - bytes);
	e->used -= bytes;
}

/* The rest of a message that was cut. False: all that is there is of it. */
static bool pass_over(struct tpi_endpoint *e)
{
	size_t n = e->skip < e->used ? e->skip : e->used;

	if (e->skips_line) {
		const char *newline = memchr(e->buffer, '\n', e->used);

		n = newline ? (size_t)(newline - e->buffer) + 1 : e->used;
		e->skips_line = !newline;
	} else {
		e->skip -= n;
	}
	if (n)
		consume(e, n);
	return !e->skip && !e->skips_line;
}

/* One message with its length before it. False: it is not whole yet. */
static bool take_counted(struct tpi_server *server, struct tpi_endpoint *e,
			 size_t header, size_t length)
{
	const size_t room = TPI_SYSLOG_BYTES - header;
	const bool cut = length > room;

	if (cut && e->used == TPI_SYSLOG_BYTES) {
		emit(server, e, e->buffer + header, room, true, NULL);
		e->skip = length - room;
		e->used = 0;
		return true;
	}
	if (cut || e->used - header < length)
		return false;
	emit(server, e, e->buffer + header, length, false, NULL);
	consume(e, header + length);
	return true;
}

static bool take_line(struct tpi_server *server, struct tpi_endpoint *e)
{
	const char *newline = memchr(e->buffer, '\n', e->used);
	size_t length = newline ? (size_t)(newline - e->buffer) : e->used;

	if (!newline && e->used < TPI_SYSLOG_BYTES)
		return false;
	if (length)
		emit(server, e, e->buffer, length, !newline, NULL);
	e->skips_line = !newline;
	consume(e, length + (newline ? 1 : 0));
	return true;
}

static void take_messages(struct tpi_server *server, struct tpi_endpoint *e)
{
	size_t header, length;

	while (pass_over(e) && e->used) {
		enum framing framing = framing_of(e, &header, &length);

		if (framing == FRAMING_MORE)
			return;
		if (framing == FRAMING_COUNT
			    ? !take_counted(server, e, header, length)
			    : !take_line(server, e))
			return;
	}
}

/* A last line needs no newline. */
static void emit_last(struct tpi_server *server, struct tpi_endpoint *e)
{
	size_t header, length;
	bool cut = framing_of(e, &header, &length) == FRAMING_COUNT;

	emit(server, e, e->buffer + (cut ? header : 0),
	     e->used - (cut ? header : 0), cut, NULL);
}

/* False: nothing was there. The end of a connection ends its last message, too. */
static bool read_connection(struct tpi_server *server, struct tpi_endpoint *e)
{
	ssize_t got = recv(e->fd, e->buffer + e->used,
			   TPI_SYSLOG_BYTES - e->used, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got > 0) {
		e->used += (size_t)got;
		take_messages(server, e);
		return true;
	}
	if (e->used)
		emit_last(server, e);
	close_endpoint(server, e);
	return false;
}

static int watch(struct tpi_server *server, struct tpi_endpoint *e)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = e}};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, e->fd, &event) ? -errno
								      : 0;
}

static struct tpi_endpoint *free_endpoint(struct tpi_server *server)
{
	for (uint32_t i = 0; i < server->endpoint_count; i++)
		if (server->endpoints[i].fd < 0)
			return &server->endpoints[i];
	return NULL;
}

/* A connection above the limit is closed: its sender sees that, and comes again. */
static void take_connection(struct tpi_server *server,
			    const struct tpi_endpoint *listener)
{
	struct sockaddr_storage peer = {0};
	socklen_t length = sizeof(peer);
	int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct tpi_endpoint *e = free_endpoint(server);
	const int one = 1;

	if (fd < 0)
		return;
	/* A peer that has gone without a word would keep its place for ever. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (!e || server->connections >= server->connections_max) {
		tpi_say("a connection was closed: there are %u already "
			"(--connections)",
			server->connections);
		close(fd);
		return;
	}
	*e = (struct tpi_endpoint){
		.fd = fd,
		.way = TPI_WAY_TCP,
		.buffer = malloc(TPI_SYSLOG_BYTES),
	};
	if (e->buffer)
		server->connections++;
	name_peer(e, &peer);
	if (!e->buffer || watch(server, e))
		close_endpoint(server, e);
}

/* ---- sockets --------------------------------------------------------------------------- */

/* A socket without a listener is one that a former run has left. */
static int bind_unix(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode)) {
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return -EADDRINUSE;
		unlink(path);
	}
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return chmod(path, 0666) ? -errno : 0;
}

static int bind_address(int fd, enum tpi_way way, const char *text)
{
	struct tpi_address address;
	const int one = 1;

	if (!tpi_address_parse(&address, text))
		return -EINVAL;
	if (address.storage.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		return -errno;
	if (way == TPI_WAY_TCP &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	if (bind(fd, (struct sockaddr *)&address.storage, address.length))
		return -errno;
	return way == TPI_WAY_TCP && listen(fd, 64) ? -errno : 0;
}

static int open_socket(enum tpi_way way, const char *text)
{
	struct tpi_address address;
	int domain = AF_UNIX;

	if (way != TPI_WAY_UNIX) {
		if (!tpi_address_parse(&address, text))
			return -EINVAL;
		domain = address.storage.ss_family;
	}
	int fd = socket(domain,
			(way == TPI_WAY_TCP ? SOCK_STREAM : SOCK_DGRAM) |
				SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	return fd < 0 ? -errno : fd;
}

int tpi_server_listen(struct tpi_server *server, enum tpi_way way,
		      const char *text)
{
	struct tpi_endpoint *e = free_endpoint(server);
	const int one = 1;
	int err;

	if (!e)
		return -EMFILE;
	*e = (struct tpi_endpoint){.fd = open_socket(way, text), .way = way};
	if (e->fd < 0) {
		err = e->fd;
		e->fd = -1;
		return err;
	}
	e->listens = way == TPI_WAY_TCP;
	if (way == TPI_WAY_UNIX)
		err = bind_unix(e->fd, text);
	else
		err = bind_address(e->fd, way, text);
	if (!err && way == TPI_WAY_UNIX) {
		e->path = text;
		if (setsockopt(e->fd, SOL_SOCKET, SO_PASSCRED, &one,
			       sizeof(one)))
			err = -errno;
	}
	if (!err && way == TPI_WAY_UDP &&
	    setsockopt(e->fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)))
		err = -errno;
	if (!err)
		err = watch(server, e);
	if (err)
		close_endpoint(server, e);
	return err;
}

/* ---- serving --------------------------------------------------------------------------- */

static void serve(struct tpi_server *server, struct tpi_endpoint *e)
{
	if (e->fd < 0) /* closed by an event before this one */
		return;
	if (e->listens) {
		take_connection(server, e);
		return;
	}
	for (int i = 0; i < BATCH && e->fd >= 0; i++)
		if (e->buffer ? !read_connection(server, e)
			      : !read_datagram(server, e))
			return;
}

static int serve_ready(struct tpi_server *server)
{
	struct epoll_event events[EVENTS];
	int got = epoll_wait(server->epoll, events, EVENTS, 0);

	for (int i = 0; i < got; i++)
		serve(server, events[i].data.ptr);
	return got;
}

bool tpi_server_serve(struct tpi_server *server)
{
	return serve_ready(server) > 0;
}

void tpi_server_drain(struct tpi_server *server)
{
	int64_t end_ns = tpi_monotonic_ns() + DRAIN_NS;

	while (serve_ready(server) > 0 && tpi_monotonic_ns() < end_ns)
		;
	for (uint32_t i = 0; i < server->endpoint_count; i++) {
		struct tpi_endpoint *e = &server->endpoints[i];

		ask_dropped(server, e);
		if (e->fd >= 0 && e->buffer && e->used)
			emit_last(server, e);
	}
}

/* A descriptor for each connection: where accept() fails for want of one, its caller spins. */
static void allow_descriptors(uint32_t connections)
{
	struct rlimit limit;
	const rlim_t wanted = connections + TPI_SYSLOG_LISTENERS_MAX + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int tpi_server_init(struct tpi_server *server, struct tpi_sink *sink,
		    uint32_t connections_max)
{
	const uint32_t count = TPI_SYSLOG_LISTENERS_MAX + connections_max;

	*server = (struct tpi_server){
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.sink = sink,
		.connections_max = connections_max,
		.endpoints = calloc(count, sizeof(struct tpi_endpoint)),
		.message = malloc(TPI_SYSLOG_BYTES),
		.value = malloc(TPI_SYSLOG_BYTES),
	};
	if (server->epoll < 0 || !server->endpoints || !server->message ||
	    !server->value) {
		tpi_say("out of memory or descriptors");
		return -ENOMEM;
	}
	allow_descriptors(connections_max);
	server->endpoint_count = count;
	for (uint32_t i = 0; i < count; i++)
		server->endpoints[i].fd = -1;
	return 0;
}

void tpi_server_fini(struct tpi_server *server)
{
	for (uint32_t i = 0; i < server->endpoint_count; i++)
		if (server->endpoints[i].fd >= 0)
			close_endpoint(server, &server->endpoints[i]);
	if (server->epoll >= 0)
		close(server->epoll);
	free(server->endpoints);
	free(server->message);
	free(server->value);
}
