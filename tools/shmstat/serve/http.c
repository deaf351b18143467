/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon, its connections and their limits. See http.h. */
#include "tools/shmstat/serve/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/common/tool.h"

/* ---- connections ---------------------------------------------------------------- */

static void add_peer(struct http *http, struct MHD_Connection *connection,
		     void **context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer *peer = calloc(1, sizeof(*peer));

	*context = peer;
	if (!peer || !info)
		return;
	peer->fd = info->connect_fd;
	peer->since_ns = tpi_monotonic_ns();
	peer->next = http->peers;
	peer->link = &http->peers;
	if (peer->next)
		peer->next->link = &peer->next;
	http->peers = peer;
}

static void drop_peer(struct http *http, struct MHD_Connection *connection,
		      struct peer *peer)
{
	for (unsigned int i = 0; i < http->waiting_count; i++)
		if (http->waiting[i] == connection)
			http->waiting[i--] =
				http->waiting[--http->waiting_count];
	if (!peer || !peer->link)
		return;
	*peer->link = peer->next;
	if (peer->next)
		peer->next->link = peer->link;
}

/* Before the descriptor of one that ends is closed, so http_tick() never has a closed one. */
static void on_connection(void *context, struct MHD_Connection *connection,
			  void **peer, enum MHD_ConnectionNotificationCode what)
{
	struct http *http = context;

	pthread_mutex_lock(&http->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		add_peer(http, connection, peer);
	} else {
		drop_peer(http, connection, *peer);
		free(*peer);
		*peer = NULL;
	}
	pthread_mutex_unlock(&http->lock);
}

static void on_completed(void *context, struct MHD_Connection *connection,
			 void **state, enum MHD_RequestTerminationCode how)
{
	struct http *http = context;

	(void)state;
	(void)how;
	pthread_mutex_lock(&http->lock);
	http_peer_does(http_peer(connection), PEER_ASKS);
	pthread_mutex_unlock(&http->lock);
}

struct peer *http_peer(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void http_peer_does(struct peer *peer, int does)
{
	if (!peer)
		return;
	peer->does = does;
	peer->since_ns = tpi_monotonic_ns();
}

/*
 * libmicrohttpd's own limit is of silence, so a byte now and then would hold a connection for
 * hours.
 */
void http_tick(struct http *http)
{
	int64_t now = tpi_monotonic_ns();

	pthread_mutex_lock(&http->lock);
	for (struct peer *peer = http->peers; peer; peer = peer->next) {
		int64_t limit = peer->does == PEER_ASKS      ? HTTP_REQUEST_NS
				: peer->does == PEER_IS_SENT ? HTTP_ANSWER_NS
							     : INT64_MAX;

		if (now - peer->since_ns > limit)
			shutdown(peer->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&http->lock);
}

/* ---- looks ------------------------------------------------------------------------- */

void http_want_locked(struct http *http)
{
	int64_t now = tpi_monotonic_ns();

	if (now - http->wanted_ns > HTTP_IDLE_NS || !http->number)
		eventfd_write(http->fd, 1);
	http->wanted_ns = now;
}

void http_wait_locked(struct http *http, struct MHD_Connection *connection)
{
	/* There is room: the daemon has no more connections, and each waits once. */
	http_peer_does(http_peer(connection), PEER_WAITS);
	MHD_suspend_connection(connection);
	http->waiting[http->waiting_count++] = connection;
}

bool http_is_wanted(struct http *http)
{
	bool wanted;

	pthread_mutex_lock(&http->lock);
	wanted = http->streams || http->waiting_count ||
		 (http->wanted_ns &&
		  tpi_monotonic_ns() - http->wanted_ns <= HTTP_IDLE_NS);
	pthread_mutex_unlock(&http->lock);
	return wanted;
}

int http_fd(const struct http *http)
{
	return http->fd;
}

static void put_locked(struct body *body)
{
	if (!body || --body->references)
		return;
	free(body->text);
	free(body);
}

void http_body_put(struct body *body)
{
	struct http *http = body->http;

	pthread_mutex_lock(&http->lock);
	put_locked(body);
	pthread_mutex_unlock(&http->lock);
}

static struct body *new_body(struct http *http, char *text, size_t length)
{
	struct body *body = text ? calloc(1, sizeof(*body)) : NULL;

	if (!body) {
		free(text);
		return NULL;
	}
	*body = (struct body){
		.http = http, .references = 1, .length = length, .text = text};
	return body;
}

static void resume_locked(struct http *http)
{
	for (unsigned int i = 0; i < http->waiting_count; i++)
		MHD_resume_connection(http->waiting[i]);
	http->waiting_count = 0;
}

void http_publish(struct http *http, const struct http_look *look)
{
	pthread_mutex_lock(&http->lock);
	for (int i = 0; i < HTTP_TEXTS; i++) {
		put_locked(http->bodies[i]);
		http->bodies[i] =
			new_body(http, look->texts[i], look->lengths[i]);
	}
	http->found = look->found;
	http->number++;
	http->at_ns = tpi_monotonic_ns();
	resume_locked(http);
	pthread_mutex_unlock(&http->lock);
}

/* ---- begin and end ------------------------------------------------------------------ */

static struct MHD_Daemon *start_daemon(struct http *http, int listener)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_ITC,
		0, NULL, NULL, http_answer, http, MHD_OPTION_LISTEN_SOCKET,
		listener, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS_PEER,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)(HTTP_REQUEST_NS / 1000000000),
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		http, MHD_OPTION_END);
}

struct http *http_start(int listener, bool loopback, int64_t fresh_ns)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->loopback = loopback;
	http->fresh_ns = fresh_ns;
	http->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&http->lock, NULL);
	errno = 0;
	if (http->fd >= 0)
		http->daemon = start_daemon(http, listener);
	if (http->daemon)
		return http;
	if (!errno)
		errno = ENOMEM;
	if (http->fd >= 0)
		close(http->fd);
	free(http);
	return NULL;
}

void http_stop(struct http *http)
{
	pthread_mutex_lock(&http->lock);
	http->stop = true;
	resume_locked(http);
	pthread_mutex_unlock(&http->lock);
	MHD_stop_daemon(http->daemon);
	for (int i = 0; i < HTTP_TEXTS; i++)
		put_locked(http->bodies[i]);
	pthread_mutex_destroy(&http->lock);
	close(http->fd);
	free(http);
}
