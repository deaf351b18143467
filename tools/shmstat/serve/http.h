/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of `serve`, by libmicrohttpd: one thread, GET and HEAD, and the same texts for all
 * clients. A client cannot make it look more often, hold more than its share of connections, or
 * hold one for longer than it takes to answer.
 */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CONNECTIONS      64
#define HTTP_CONNECTIONS_PEER 32 /* of one address */
#define HTTP_MEMORY           16384 /* bytes of a request, and of its answer's head */
#define HTTP_REQUEST_NS       INT64_C(5000000000)
#define HTTP_ANSWER_NS        INT64_C(20000000000)
#define HTTP_IDLE_NS          INT64_C(30000000000) /* then looks rest */

/* A look as it is served. */
enum http_text {
	HTTP_METRICS_OPEN,
	HTTP_METRICS_PLAIN,
	HTTP_JSON,
	HTTP_EVENT,
	HTTP_TEXTS
};

struct http_look {
	char *texts[HTTP_TEXTS];
	size_t lengths[HTTP_TEXTS];
	bool found; /* else /json is status 503 */
};

struct http;

/*
 * Serves on a socket that listens, which it owns then. `fresh_ns` is how old a look may be.
 * `loopback`: a request must be for a name of this host's own. NULL: with errno.
 */
struct http *http_start(int listener, bool loopback, int64_t fresh_ns);
void http_stop(struct http *http);

/* From here on this is what is served. The texts are its own. */
void http_publish(struct http *http, const struct http_look *look);
/* Closes what takes too long. Called each second. */
void http_tick(struct http *http);
/* Whether somebody wants looks, or did lately. */
bool http_is_wanted(struct http *http);
/* Polls readable when looks are wanted that were not. */
int http_fd(const struct http *http);

/* The page (made from tools/shmstat/page). */
struct http_asset {
	const char *path, *type;
	const unsigned char *data;
	size_t length;
};
extern const struct http_asset http_assets[];
extern const size_t http_asset_count;

#endif
