/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events: each look once, as it comes. A client that reads slowly gets the looks
 * that there are when it has read one, and misses those between.
 */
#include "tools/shmstat/serve/http_internal.h"

#include <stdlib.h>
#include <string.h>

#include "tools/common/tool.h"

#define BLOCK 32768 /* bytes of a piece */

static const char before[] = "data: ";
static const char after[] = "\n\n";

struct stream {
	struct http *http;
	struct MHD_Connection *connection;
	struct body *body; /* that is being sent, or NULL */
	size_t at; /* in what goes before it, it, and what goes after it */
	uint64_t number; /* of the look that was taken last */
};

static size_t whole(const struct stream *s)
{
	return sizeof(before) - 1 + s->body->length + sizeof(after) - 1;
}

/* The byte at a place of the event. */
static size_t copy(const struct stream *s, char *to, size_t most)
{
	const struct {
		const char *text;
		size_t length;
	} pieces[] = {
		{before, sizeof(before) - 1},
		{s->body->text, s->body->length},
		{after, sizeof(after) - 1},
	};
	size_t at = s->at, done = 0;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t n = pieces[i].length;

		if (at >= n) {
			at -= n;
			continue;
		}
		n = n - at < most - done ? n - at : most - done;
		memcpy(to + done, pieces[i].text + at, n);
		done += n;
		at = 0;
		if (done == most)
			break;
	}
	return done;
}

/* Takes the newest look if it is not the last one again, and not one of long ago. */
static bool take_locked(struct stream *s)
{
	struct http *http = s->http;

	if (s->number == http->number || !http->bodies[HTTP_EVENT] ||
	    tpi_monotonic_ns() - http->at_ns > http->fresh_ns)
		return false;
	s->body = http->bodies[HTTP_EVENT];
	s->body->references++;
	s->number = http->number;
	s->at = 0;
	http_peer_does(http_peer(s->connection), PEER_IS_SENT);
	return true;
}

static ssize_t read_stream(void *context, uint64_t position, char *to,
			   size_t most)
{
	struct stream *s = context;
	struct body *sent = NULL;
	ssize_t count = 0;

	(void)position;
	pthread_mutex_lock(&s->http->lock);
	if (s->http->stop)
		count = MHD_CONTENT_READER_END_OF_STREAM;
	else if (!s->body && !take_locked(s))
		http_wait_locked(s->http, s->connection);
	pthread_mutex_unlock(&s->http->lock);
	if (count || !s->body)
		return count;
	count = (ssize_t)copy(s, to, most);
	s->at += (size_t)count;
	if (s->at == whole(s)) {
		sent = s->body;
		s->body = NULL;
		http_body_put(sent);
	}
	return count;
}

static void end_stream(void *context)
{
	struct stream *s = context;

	if (s->body)
		http_body_put(s->body);
	pthread_mutex_lock(&s->http->lock);
	s->http->streams--;
	http_want_locked(s->http);
	pthread_mutex_unlock(&s->http->lock);
	free(s);
}

struct MHD_Response *http_stream(struct http *http,
				 struct MHD_Connection *connection)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct MHD_Response *response;

	if (!s)
		return NULL;
	*s = (struct stream){.http = http, .connection = connection};
	pthread_mutex_lock(&http->lock);
	http_want_locked(http);
	http->streams++;
	pthread_mutex_unlock(&http->lock);
	response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, BLOCK, read_stream, s, end_stream);
	if (!response)
		end_stream(s);
	return response;
}
