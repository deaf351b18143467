/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the server. */
#ifndef SERVE_HTTP_INTERNAL_H
#define SERVE_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "tools/shmstat/serve/http.h"

/* One text, for as long as an answer has it. References are counted under the lock. */
struct body {
	struct http *http;
	unsigned int references;
	size_t length;
	char *text;
};

/* A connection. */
struct peer {
	int fd;
	int64_t since_ns; /* when it began what it does */
	enum {
		PEER_ASKS,    /* a request has not come whole */
		PEER_WAITS,   /* for a look: that is ours */
		PEER_IS_SENT, /* an answer */
	} does;
	struct peer *next, **link;
};

struct http {
	struct MHD_Daemon *daemon;
	bool loopback;
	int64_t fresh_ns;
	int fd; /* an eventfd */

	pthread_mutex_t lock; /* of all that follows */
	struct body *bodies[HTTP_TEXTS];
	bool found, stop;
	uint64_t number; /* of the look */
	int64_t at_ns, wanted_ns;
	unsigned int streams;
	struct peer *peers;
	struct MHD_Connection *waiting[HTTP_CONNECTIONS];
	unsigned int waiting_count;
};

/* Each under the lock. */
void http_want_locked(struct http *http);
void http_wait_locked(struct http *http, struct MHD_Connection *connection);
struct peer *http_peer(struct MHD_Connection *connection);
void http_peer_does(struct peer *peer, int does);
void http_body_put(struct body *body);

/* The answer to a GET of /events (http_stream.c). NULL: memory is out. */
struct MHD_Response *http_stream(struct http *http,
				 struct MHD_Connection *connection);

/* The answer to a request, as libmicrohttpd calls it (http_answer.c). */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection,
			    const char *url, const char *method,
			    const char *version, const char *data,
			    size_t *data_bytes, void **state);

#endif
